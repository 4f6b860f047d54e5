//! The VMM of one guest: Microkit's events in, the hypervisor core's answers out.
#![no_std]
#![no_main]
#![deny(unsafe_code)]

mod host;

use dt_server_api::DtServer;
use hv_types::{Gpa, Gva};
use hypervisor_core::exit::Exit;
use hypervisor_core::vm::{Next, Vm};
use topology::channel;
use zazen_rt::clients::dt_call;
use zazen_rt::fault::{Fault, Faulted};
use zazen_rt::{Channel, ChannelSet, Child, Handler, Infallible, MessageInfo, protection_domain};

use crate::host::GuestHost;

protection_domain!(init);

/// Interrupt of the virtual timer, the only one that the kernel passes to VMMs.
const VIRTUAL_TIMER: u64 = 27;

struct Vmm {
    host: GuestHost,
    /// `None` where the guest could not be built; the log says why.
    vm: Option<Vm<'static>>,
    waiting: bool,
}

fn init() -> Vmm {
    let mut host = GuestHost::take();
    let mut dt = dt_server_api::Client::new(dt_call);
    let vm = build(&mut host, &mut dt).ok();
    Vmm {
        host,
        vm,
        waiting: false,
    }
}

fn build(host: &mut GuestHost, dt: &mut impl DtServer) -> Result<Vm<'static>, ()> {
    let record = match dt.record() {
        Ok(record) => record,
        Err(error) => {
            host.say(format_args!(
                "no domain record: {error}; the dt-server's lines say what is wrong"
            ));
            return Err(());
        }
    };
    let p2m = host.take_p2m(&record);
    let modules = host.modules(&record);
    Vm::boot(host, dt, record, p2m, &modules).map_err(|error| {
        host.say(format_args!("the guest is not started: {error}"));
    })
}

impl Vmm {
    fn apply(&mut self, next: Next) -> Option<MessageInfo> {
        match next {
            Next::Resume => {
                self.waiting = false;
                self.host.regs.resume()
            }
            Next::Wait => {
                self.waiting = true;
                self.host.regs.park();
                None
            }
            Next::Stop(reason) => {
                self.waiting = false;
                self.host.regs.park();
                self.host.say(format_args!("guest stopped: {reason}"));
                self.vm = None;
                None
            }
        }
    }

    fn exit(&mut self, info: &MessageInfo) -> Exit {
        let regs = &mut self.host.regs;
        match Fault::decode(info) {
            Fault::UnknownSyscall => {
                regs.stopped_in_syscall();
                Exit::Hvc
            }
            // A capability fault is an HVC whose x7 looked like one of seL4's own calls.
            Fault::Cap { pc } => {
                regs.stopped_in_fault(Some(pc));
                Exit::Hvc
            }
            Fault::Vcpu { hsr } => {
                regs.stopped_in_fault(None);
                Exit::Trap { esr: hsr }
            }
            Fault::Vm(Faulted {
                pc,
                address,
                iss,
                fetch,
            }) => {
                regs.stopped_in_fault(Some(pc));
                Exit::Abort {
                    gpa: Gpa::new(address),
                    iss,
                    fetch,
                }
            }
            Fault::Maintenance { lr } => {
                regs.stopped_in_fault(None);
                Exit::Maintenance { lr }
            }
            Fault::Vppi { irq: VIRTUAL_TIMER } => {
                regs.stopped_in_fault(None);
                Exit::VirtualTimer
            }
            Fault::User { pc } => {
                // An undefined instruction that the kernel took for a native thread's.
                regs.stopped_in_fault(Some(pc));
                Exit::Trap { esr: 0 }
            }
            Fault::Vppi { .. } | Fault::Debug { .. } | Fault::Other => {
                regs.stopped_in_fault(None);
                Exit::Unknown {
                    pc: Gva::new(regs.pc().raw()),
                }
            }
        }
    }
}

impl Handler for Vmm {
    type Error = Infallible;

    fn notified(&mut self, channels: ChannelSet) -> Result<(), Infallible> {
        for (id, console) in [(channel::TIMER, false), (channel::CONSOLE, true)] {
            if !channels.contains(Channel::new(id)) {
                continue;
            }
            let Some(vm) = &mut self.vm else {
                self.host.flush_log();
                continue;
            };
            let next = if console {
                self.host.flush_log();
                vm.on_console(&mut self.host)
            } else {
                vm.on_wake(&mut self.host)
            };
            // A vCPU that runs needs no resuming; one that waits gets no reply but is made to run.
            if self.waiting || matches!(next, Next::Stop(_)) {
                let reply = self.apply(next);
                debug_assert!(reply.is_none(), "a parked vCPU owes no reply");
            }
        }
        Ok(())
    }

    fn fault(
        &mut self,
        _vcpu: Child,
        info: MessageInfo,
    ) -> Result<Option<MessageInfo>, Infallible> {
        let exit = self.exit(&info);
        let Some(vm) = &mut self.vm else {
            self.host.regs.park();
            return Ok(None);
        };
        let next = vm.handle(&mut self.host, exit);
        Ok(self.apply(next))
    }
}
