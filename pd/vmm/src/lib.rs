//! The VMM of one guest: Microkit's events in, the hypervisor core's answers out.
//!
//! A library, so that the boot tests' own VMM can be this one until it crashes.
#![no_std]
#![deny(unsafe_code)]

mod host;

use dt_server_api::{Client, DtServer as _};
use hv_types::{Gpa, VcpuId};
use hypervisor_core::exit::{Exit, Reason};
use hypervisor_core::host::{Clock as _, Host as _, Vcpu as _};
use hypervisor_core::life::Life;
use hypervisor_core::life::driver::{Driven as _, Driver, Signal};
use hypervisor_core::vcpu::action::VcpuAction;
use topology::channel;
use zazen_rt::MessageInfo;
use zazen_rt::clients::dt_call;
use zazen_rt::event::Signals;
use zazen_rt::fault::{Fault, Faulted};
use zazen_rt::lent::{self, Lent};
use zazen_rt::vcpu::{VIRTUAL_TIMER, VcpuRegs};

use crate::host::GuestHost;

type Dt = Client<fn(&dt_server_api::Message) -> dt_server_api::Message>;

/// The VMM.
pub struct Vmm {
    host: GuestHost,
    driver: Driver<'static, Dt>,
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
    Vmm {
        host,
        driver: Driver::new(life),
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
    /// Does what the core says comes next. Returns the guest's reply, if it waits for one and is to
    /// continue.
    fn apply(&mut self, action: VcpuAction) -> Option<MessageInfo> {
        match action {
            VcpuAction::Resume => self.regs().resume(),
            VcpuAction::Wait | VcpuAction::Stop(_) => {
                self.regs().hold();
                None
            }
        }
    }

    /// The guest's one vCPU.
    fn regs(&mut self) -> &mut VcpuRegs {
        self.host.vcpu(VcpuId::BOOT)
    }

    #[inline]
    fn exit(&mut self, info: &MessageInfo) -> Exit {
        let reason = match self.regs().stopped_with(info) {
            // A capability fault is an HVC whose x7 looked like one of seL4's own calls.
            Fault::UnknownSyscall | Fault::Cap { .. } => Reason::Hvc,
            Fault::Vcpu { hsr } => Reason::Trap { esr: hsr },
            Fault::Vm(Faulted {
                address,
                iss,
                fetch,
                ..
            }) => Reason::Abort {
                gpa: Gpa::new(address),
                iss,
                fetch,
            },
            Fault::Maintenance { lr } => Reason::Maintenance { lr },
            Fault::Vppi { irq: VIRTUAL_TIMER } => Reason::VirtualTimer,
            // An undefined instruction that the kernel took for a native thread's.
            Fault::User { .. } => Reason::Trap { esr: 0 },
            Fault::Vppi { .. } | Fault::Debug { .. } | Fault::Other => Reason::Unknown {
                pc: self.regs().pc(),
            },
        };
        Exit {
            vcpu: VcpuId::BOOT,
            reason,
        }
    }
}

impl lent::Vmm for Vmm {
    fn notified(&mut self, signals: Signals) -> Option<MessageInfo> {
        for (id, signal) in [
            (channel::TIMER, Signal::Time),
            (channel::CONSOLE, Signal::Console),
            (channel::STORE, Signal::Store),
        ] {
            if signals.contains(id) {
                self.driver.note(signal);
            }
        }
        // The reply is made last: what comes before it uses the message registers.
        let mut reply = None;
        while self.driver.is_behind() {
            if let Some(action) = self.driver.catch_up(&mut self.host) {
                reply = self.apply(action);
            }
        }
        reply
    }

    fn fault(&mut self, info: MessageInfo) -> Option<MessageInfo> {
        let exit = self.exit(&info);
        let action = self.driver.exit(&mut self.host, exit);
        self.apply(action)
    }

    fn guest_waits(&self) -> bool {
        self.host.vcpus.iter().any(VcpuRegs::waits)
    }

    fn take_missed(&mut self) -> Signals {
        self.regs().take_missed()
    }
}
