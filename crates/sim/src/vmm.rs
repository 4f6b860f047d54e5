//! The VMM of one guest: what `pd/vmm` does with the Microkit's events, over the models.

use std::cell::RefCell;
use std::rc::Rc;

use dt_server::DtServer;
use dt_server_api::{Bank, Client, DtServer as _, Message};
use hv_types::Vcpus;
use hypervisor_core::domain::shutdown::StopReason;
use hypervisor_core::exit::Exit;
use hypervisor_core::host::Host;
use hypervisor_core::life::Life;
use hypervisor_core::life::boot::Modules;
use hypervisor_core::life::driver::{Driver, Signal};
use hypervisor_core::vm::Vm;

use crate::bus::{CONSOLE, DISKS, NETS, PEERS, STORE, TIMER};
use crate::domains::Files;
use crate::guest::way::Way;
use crate::host::SimHost;
use crate::vcpu::Thread;

type Dt = Client<Box<dyn FnMut(&Message) -> Message>>;

pub(crate) struct Vmm {
    pub(crate) host: SimHost,
    driver: Box<Driver<'static, Dt>>,
    /// It handles nothing any more, as if it were in an endless loop.
    pub(crate) hangs: bool,
    /// How the guest makes hypercalls.
    pub(crate) way: Way,
}

impl Vmm {
    /// Initialises: asks for the record, builds the guest and starts it.
    pub(crate) fn init(
        index: usize,
        mut host: SimHost,
        dt: &Rc<RefCell<DtServer>>,
        files: &Files,
    ) -> Self {
        let dt = dt.clone();
        let call = move |message: &Message| dt.borrow_mut().on_ppc(index, message);
        let mut dt: Dt = Client::new(Box::new(call));
        let life = match dt.record() {
            Ok(record) => {
                let ram = record.max_banks.iter().map(Bank::size).sum();
                // As much as the system description gives a VMM, and zeroed.
                let words = usize::try_from(topology::p2m_bytes(ram) / 4).expect("a p2m of memory");
                let table = vec![0; words].leak();
                let (kernel, ramdisk) = files.of(record.domid);
                assert_eq!(
                    kernel.len() as u64,
                    record.kernel.size,
                    "the record tells the exact size"
                );
                let modules = Modules { kernel, ramdisk };
                Some(Life::new(&mut host, dt, record, table, modules))
            }
            Err(error) => {
                host.log(format_args!("no domain record: {error}"));
                None
            }
        };
        let mut driver = Box::new(Driver::new(life));
        driver.start(&mut host);
        Self {
            host,
            driver,
            hangs: false,
            way: Way::default(),
        }
    }

    /// The guest, while it lives.
    pub(crate) fn vm(&self) -> Option<&Vm<'static>> {
        self.driver.vm()
    }

    /// How often the guest has begun to live again.
    pub(crate) fn restarts(&self) -> u32 {
        self.driver.restarts()
    }

    /// A vCPU stopped.
    pub(crate) fn fault(&mut self, exit: Exit) {
        let cpu = &mut self.host.cpus[exit.vcpu.index()];
        assert_eq!(
            cpu.thread,
            Thread::Running,
            "only a vCPU that runs can stop"
        );
        cpu.thread = Thread::Faulted;
        self.driver.exit(&mut self.host, exit);
        self.apply();
    }

    /// Why the guest does not run any more.
    pub(crate) fn stopped(&self) -> Option<StopReason> {
        self.driver.stopped()
    }

    /// Notifications came.
    pub(crate) fn notified(&mut self, bits: u32) {
        if self.hangs {
            return;
        }
        for (bit, signal) in [
            (TIMER, Signal::Time),
            (CONSOLE, Signal::Console),
            (STORE, Signal::Store),
            (DISKS, Signal::Disks),
            (NETS, Signal::Nets),
            (PEERS, Signal::Peers),
        ] {
            if bits & bit != 0 {
                self.driver.note(signal);
            }
        }
        while self.driver.is_behind() {
            self.driver.catch_up(&mut self.host);
            self.apply();
        }
    }

    /// Lets those vCPUs run that are to, and no others.
    fn apply(&mut self) {
        let running = self.driver.running();
        for id in Vcpus::first(u8::MAX) {
            let thread = &mut self.host.cpus[id.index()].thread;
            *thread = match *thread {
                _ if running.contains(id) => Thread::Running,
                Thread::Idle => Thread::Idle,
                _ => Thread::Parked,
            };
        }
    }
}
