//! The VMM of one guest: what `pd/vmm` does with the Microkit's events, over the models.

use std::cell::RefCell;
use std::rc::Rc;

use dt_server::DtServer;
use dt_server_api::{Bank, Client, DtServer as _, Message};
use hypervisor_core::domain::shutdown::StopReason;
use hypervisor_core::exit::Exit;
use hypervisor_core::host::Host;
use hypervisor_core::life::Life;
use hypervisor_core::life::boot::Modules;
use hypervisor_core::life::driver::{Driver, Signal};
use hypervisor_core::vcpu::action::VcpuAction;
use hypervisor_core::vm::Vm;

use crate::bus::{CONSOLE, STORE, TIMER};
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

    /// The vCPU stopped.
    pub(crate) fn fault(&mut self, exit: Exit) {
        assert_eq!(
            self.host.cpus[0].thread,
            Thread::Running,
            "only a vCPU that runs can stop"
        );
        self.host.cpus[0].thread = Thread::Faulted;
        let action = self.driver.exit(&mut self.host, exit);
        self.apply(action);
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
        ] {
            if bits & bit != 0 {
                self.driver.note(signal);
            }
        }
        while self.driver.is_behind() {
            if let Some(action) = self.driver.catch_up(&mut self.host) {
                self.apply(action);
            }
        }
    }

    fn apply(&mut self, action: VcpuAction) {
        self.host.cpus[0].thread = match action {
            VcpuAction::Resume => Thread::Running,
            VcpuAction::Wait | VcpuAction::Stop(_) => Thread::Parked,
        };
    }
}
