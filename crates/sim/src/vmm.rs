//! The VMM of one guest: what `pd/vmm` does with the Microkit's events, over the models.

use std::cell::RefCell;
use std::rc::Rc;

use dt_server::DtServer;
use dt_server_api::{Bank, Client, Message};
use hypervisor_core::boot::Modules;
use hypervisor_core::exit::Exit;
use hypervisor_core::host::Host;
use hypervisor_core::vm::{Next, StopReason, Vm};

use crate::bus::{CONSOLE, TIMER};
use crate::domains::Files;
use crate::guest::Way;
use crate::host::SimHost;
use crate::vcpu::Thread;

pub(crate) struct Vmm {
    pub(crate) host: SimHost,
    pub(crate) vm: Option<Box<Vm<'static>>>,
    /// Why the guest does not run any more.
    pub(crate) stopped: Option<StopReason>,
    waiting: bool,
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
        let mut dt = Client::new(|message: &Message| dt.borrow_mut().on_ppc(index, message));
        let vm = match build(&mut host, &mut dt, files) {
            Ok(vm) => Some(Box::new(vm)),
            Err(why) => {
                host.log(format_args!("the guest is not started: {why}"));
                None
            }
        };
        Self {
            host,
            vm,
            stopped: None,
            waiting: false,
            way: Way::default(),
        }
    }

    /// The vCPU stopped.
    pub(crate) fn fault(&mut self, exit: Exit) {
        assert_eq!(
            self.host.cpu.thread,
            Thread::Running,
            "only a vCPU that runs can stop"
        );
        self.host.cpu.thread = Thread::Faulted;
        let Some(vm) = &mut self.vm else {
            self.park();
            return;
        };
        let next = vm.handle(&mut self.host, exit);
        self.apply(next);
    }

    /// Notifications came.
    pub(crate) fn notified(&mut self, bits: u32) {
        for bit in [TIMER, CONSOLE] {
            if bits & bit == 0 {
                continue;
            }
            let Some(vm) = &mut self.vm else { continue };
            let next = if bit == CONSOLE {
                vm.on_console(&mut self.host)
            } else {
                vm.on_wake(&mut self.host)
            };
            if self.waiting || matches!(next, Next::Stop(_)) {
                self.apply(next);
            }
        }
    }

    fn apply(&mut self, next: Next) {
        match next {
            Next::Resume => {
                self.waiting = false;
                self.host.cpu.thread = Thread::Running;
            }
            Next::Wait => {
                self.waiting = true;
                self.park();
            }
            Next::Stop(reason) => {
                self.waiting = false;
                self.park();
                self.host.log(format_args!("guest stopped: {reason}"));
                self.stopped = Some(reason);
                self.vm = None;
            }
        }
    }

    fn park(&mut self) {
        self.host.cpu.thread = Thread::Parked;
    }
}

fn build(
    host: &mut SimHost,
    dt: &mut impl dt_server_api::DtServer,
    files: &Files,
) -> Result<Vm<'static>, String> {
    let record = dt.record().map_err(|error| error.to_string())?;
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
    Vm::boot(host, dt, record, table, &Modules { kernel, ramdisk })
        .map_err(|error| error.to_string())
}
