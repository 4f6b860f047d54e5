//! The VMM of one guest: Microkit's events in, the hypervisor core's answers out.
//!
//! A library, so that the boot tests' own VMM can be this one until it crashes.
#![no_std]
#![deny(unsafe_code)]

mod host;

use dt_server_api::{Client, DtServer as _};
use hv_types::{Gpa, VcpuId, Vcpus};
use hypervisor_core::exit::{Exit, Reason};
use hypervisor_core::host::{Clock as _, Host as _, Vcpu as _};
use hypervisor_core::life::Life;
use hypervisor_core::life::driver::{Driven as _, Driver, Signal};
use hypervisor_core::vcpu::action::VcpuAction;
use topology::channel;
use zazen_rt::MessageInfo;
use zazen_rt::clients::dt_call;
use zazen_rt::event::{Event, Signals};
use zazen_rt::fault::{Fault, Faulted};
use zazen_rt::invoke;
use zazen_rt::lent::{self, Answer, Lent};
use zazen_rt::vcpu::VIRTUAL_TIMER;

use crate::host::GuestHost;

type Dt = Client<fn(&dt_server_api::Message) -> dt_server_api::Message>;

/// The VMM.
pub struct Vmm {
    host: GuestHost,
    driver: Driver<'static, Dt>,
    /// vCPUs whose threads run.
    runs: Vcpus,
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
        runs: Vcpus::NONE,
    }
}

fn life(host: &mut GuestHost) -> Option<Life<'static, Dt>> {
    let mut dt: Dt = Client::new(dt_call);
    match dt.record() {
        Ok(record) => {
            host.meet(&record);
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
    /// Stops the vCPUs that are not to run any more.
    fn hold(&mut self) {
        let running = self.driver.running();
        for id in self.runs.without(running) {
            self.host.vcpu(id).hold();
        }
        self.runs = self.runs.and(running);
    }

    /// Lets those vCPUs run that are to and do not; returns the last answer, of one that waits.
    ///
    /// `exited` has just stopped; where it yields it comes after those who are ready.
    fn resume(&mut self, exited: Option<VcpuId>, yields: bool) -> Answer {
        let running = self.driver.running();
        let resumed = running.without(self.runs);
        self.runs = running;
        let mut first = resumed;
        if yields && let Some(id) = exited {
            if self.host.replies.has_time_of(id) {
                invoke::sched_yield();
            } else {
                first = first.without(Vcpus::only(id));
            }
        }
        let last = self.host.replies.last(first, exited);
        let others = last.map_or(resumed, |last| resumed.without(Vcpus::only(last)));
        for id in others {
            if let Some(info) = self.host.vcpu(id).resume() {
                self.host.replies.answer(id, info);
            }
        }
        let last = last?;
        Some((last, self.host.vcpu(last).resume()?))
    }

    /// After an exit of `id`: who else runs may be another.
    #[inline(never)]
    fn settle(&mut self, id: VcpuId, action: VcpuAction) -> Answer {
        self.runs = self.runs.without(Vcpus::only(id));
        self.hold();
        self.resume(Some(id), action == VcpuAction::Yield)
    }

    #[inline]
    fn exit(&mut self, vcpu: VcpuId, info: &MessageInfo) -> Exit {
        let regs = self.host.vcpu(vcpu);
        let reason = match regs.stopped_with(info) {
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
            Fault::Vppi { .. } | Fault::Debug { .. } | Fault::Other => {
                Reason::Unknown { pc: regs.pc() }
            }
        };
        Exit { vcpu, reason }
    }
}

impl lent::Vmm for Vmm {
    fn notified(&mut self, signals: Signals) -> Answer {
        for (id, signal) in [
            (channel::TIMER, Signal::Time),
            (channel::CONSOLE, Signal::Console),
            (channel::STORE, Signal::Store),
            (channel::DISKS, Signal::Disks),
            (channel::DISKS_LOST, Signal::Disks),
            (channel::NETS, Signal::Nets),
            (channel::NETS_LOST, Signal::Nets),
        ] {
            if signals.contains(id) {
                self.driver.note(signal);
            }
        }
        if signals.among(channel::PAIR, topology::MAX_DOMAINS) {
            self.driver.note(Signal::Peers);
        }
        if signals.contains(channel::TIMER) {
            self.host.woken();
        }
        if signals.contains(channel::DISKS_LOST) {
            self.host.lose_disks();
        }
        if signals.contains(channel::NETS_LOST) {
            self.host.lose_nets();
        }
        // Answers come last: what comes before them uses the message registers.
        while self.driver.is_behind() {
            self.driver.catch_up(&mut self.host);
            self.hold();
        }
        self.resume(None, false)
    }

    #[inline]
    fn fault(&mut self, id: VcpuId, info: MessageInfo) -> Answer {
        let exit = self.exit(id, &info);
        let action = self.driver.exit(&mut self.host, exit);
        // Most exits change nothing for other vCPUs, and this one goes on.
        let unchanged = self.runs.contains(id) && self.driver.running() == self.runs;
        if unchanged && action == VcpuAction::Resume && self.host.replies.waits(id) {
            return Some((id, self.host.vcpu(id).resume()?));
        }
        self.settle(id, action)
    }

    #[inline]
    fn next(&mut self, answer: Answer) -> Event {
        self.host.replies.next(answer)
    }

    fn take_missed(&mut self) -> Signals {
        self.host.take_missed()
    }
}
