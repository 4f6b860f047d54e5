//! The VMM of one guest: Microkit's events in, the hypervisor core's answers out.
//!
//! A library, so that the boot tests' own VMM can be this one until it crashes.
#![no_std]
#![deny(unsafe_code)]

mod host;

use dt_server_api::{Client, DtServer as _};
use hv_types::{Gpa, Gva};
use hypervisor_core::exit::Exit;
use hypervisor_core::host::Clock as _;
use hypervisor_core::life::Life;
use hypervisor_core::vm::Next;
use topology::channel;
use zazen_rt::clients::dt_call;
use zazen_rt::fault::{Fault, Faulted};
use zazen_rt::{Channel, ChannelSet, Child, Handler, Infallible, MessageInfo};

use crate::host::GuestHost;

/// Interrupt of the virtual timer, the only one that the kernel passes to VMMs.
const VIRTUAL_TIMER: u64 = 27;

type Dt = Client<fn(&dt_server_api::Message) -> dt_server_api::Message>;

/// The VMM.
pub struct Vmm {
    host: GuestHost,
    /// `None` without a domain record; the log says why.
    life: Option<Life<'static, Dt>>,
    waiting: bool,
}

/// The VMM, which builds its guest when the timer server answers; called once, at start.
pub fn init() -> Vmm {
    let mut host = GuestHost::take();
    let life = life(&mut host);
    // The guest is built where it stays: when the notification comes that is asked for here.
    host.wake_at(Some(host.now()));
    Vmm {
        host,
        life,
        waiting: true,
    }
}

fn life(host: &mut GuestHost) -> Option<Life<'static, Dt>> {
    let mut dt: Dt = Client::new(dt_call);
    match dt.record() {
        Ok(record) => {
            let p2m = host.take_p2m(&record);
            let modules = host.modules(&record);
            Some(Life::new(host, dt, record, p2m, modules))
        }
        Err(error) => {
            host.say(format_args!(
                "no domain record: {error}; the dt-server's lines say what is wrong"
            ));
            None
        }
    }
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
            if console {
                self.host.flush_log();
            }
            let Some(life) = &mut self.life else { continue };
            let next = if console {
                life.on_console(&mut self.host)
            } else {
                life.on_wake(&mut self.host)
            };
            // A vCPU that runs needs no resuming; one that waits gets no reply but is made to run.
            if self.waiting || next != Next::Resume {
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
        let next = match &mut self.life {
            Some(life) => life.handle(&mut self.host, exit),
            None => Next::Wait,
        };
        Ok(self.apply(next))
    }
}
