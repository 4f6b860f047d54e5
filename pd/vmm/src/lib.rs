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
use zazen_rt::MessageInfo;
use zazen_rt::clients::dt_call;
use zazen_rt::event::Signals;
use zazen_rt::fault::{Fault, Faulted};
use zazen_rt::lent::{self, Lent};

use crate::host::GuestHost;

/// Interrupt of the virtual timer, the only one that the kernel passes to VMMs.
const VIRTUAL_TIMER: u64 = 27;

type Dt = Client<fn(&dt_server_api::Message) -> dt_server_api::Message>;

/// The VMM.
pub struct Vmm {
    host: GuestHost,
    /// `None` without a domain record; the log says why.
    life: Option<Life<'static, Dt>>,
}

/// The VMM, which builds its guest when the timer server answers; called once, at start.
pub fn init() -> Lent<Vmm> {
    Lent(start())
}

/// The same without the loop around it.
pub fn start() -> Vmm {
    let mut host = GuestHost::take();
    let life = life(&mut host);
    // The guest is built where it stays: when the notification comes that is asked for here.
    host.wake_at(Some(host.now()));
    Vmm { host, life }
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
    /// Tells the console what the guest does.
    fn show(&mut self) {
        if let Some(life) = &self.life {
            self.host.show(life.shown());
        }
    }

    /// Does what the core says comes next. Returns the guest's reply, if it waits for one and is to continue.
    fn apply(&mut self, next: Next) -> Option<MessageInfo> {
        match next {
            Next::Resume => self.host.regs.resume(),
            Next::Wait => {
                self.host.regs.hold();
                None
            }
            Next::Stop(reason) => {
                self.host.regs.hold();
                // Before the line about it, with which the console looks.
                self.show();
                self.host.say(format_args!("guest stopped: {reason}"));
                None
            }
        }
    }

    fn exit(&mut self, info: &MessageInfo) -> Exit {
        match self.host.regs.stopped_with(info) {
            // A capability fault is an HVC whose x7 looked like one of seL4's own calls.
            Fault::UnknownSyscall | Fault::Cap { .. } => Exit::Hvc,
            Fault::Vcpu { hsr } => Exit::Trap { esr: hsr },
            Fault::Vm(Faulted {
                address,
                iss,
                fetch,
                ..
            }) => Exit::Abort {
                gpa: Gpa::new(address),
                iss,
                fetch,
            },
            Fault::Maintenance { lr } => Exit::Maintenance { lr },
            Fault::Vppi { irq: VIRTUAL_TIMER } => Exit::VirtualTimer,
            // An undefined instruction that the kernel took for a native thread's.
            Fault::User { .. } => Exit::Trap { esr: 0 },
            Fault::Vppi { .. } | Fault::Debug { .. } | Fault::Other => Exit::Unknown {
                pc: Gva::new(self.host.regs.pc().raw()),
            },
        }
    }
}

impl lent::Vmm for Vmm {
    fn notified(&mut self, signals: Signals) -> Option<MessageInfo> {
        let mut last = None;
        for (id, console) in [(channel::TIMER, false), (channel::CONSOLE, true)] {
            if !signals.contains(id) {
                continue;
            }
            if console {
                self.host.flush_log();
            }
            let Some(life) = &mut self.life else { continue };
            let order = if console {
                self.host.take_order()
            } else {
                None
            };
            let next = match order {
                Some(order) => life.order(&mut self.host, order),
                None if console => life.on_console(&mut self.host),
                None => life.on_wake(&mut self.host),
            };
            match next {
                Next::Stop(_) => {
                    self.apply(next);
                    last = None;
                }
                Next::Resume | Next::Wait => last = Some(next),
            }
        }
        self.show();
        // The reply is made last: what comes before it uses the message registers.
        last.and_then(|next| self.apply(next))
    }

    fn fault(&mut self, info: MessageInfo) -> Option<MessageInfo> {
        let exit = self.exit(&info);
        let next = match &mut self.life {
            Some(life) => life.handle(&mut self.host, exit),
            None => Next::Wait,
        };
        self.apply(next)
    }

    fn guest_waits(&self) -> bool {
        self.host.regs.waits()
    }

    fn take_missed(&mut self) -> Signals {
        self.host.regs.take_missed()
    }
}
