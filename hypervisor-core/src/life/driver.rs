//! The loop around a guest that every host has: exits and signals in, which vCPUs run out.
//!
//! A host notes a signal when it comes and lets the driver [catch up](Driver::catch_up) when it is
//! the guest's turn. What is left to the host is to make threads run and stop: after each call
//! those in [`Driver::running`] are to run, and no others.

use core::fmt;

use console_api::{Order, Shown, State, VCPUS_MAX, VcpuShown, VcpuState};
use dt_server_api::DtServer;
use hv_types::{MAX_VCPUS, VcpuId, Vcpus};

use super::Life;
use crate::domain::shutdown::StopReason;
use crate::exit::Exit;
use crate::host::Host;
use crate::vcpu::action::VcpuAction;
use crate::vm::Vm;

const _: () = assert!(VCPUS_MAX == MAX_VCPUS);

/// A host that is driven.
pub trait Driven: Host {
    /// Writes a line to the VMM's log, however many there have been: a guest cannot cause many of
    /// these.
    fn say(&mut self, line: fmt::Arguments<'_>);

    /// The console has room: hands on lines that wait for it.
    fn flush_log(&mut self) {}

    /// Shows the console what the guest does.
    fn show(&mut self, shown: Shown);

    /// The core that a vCPU of the guest is on.
    fn core(&self, _vcpu: VcpuId) -> u8 {
        0
    }

    /// What somebody at the console wants of the guest.
    fn take_order(&mut self) -> Option<Order>;
}

/// What a host may be told at any time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Signal {
    /// Time has passed, maybe as much as was asked for.
    Time,
    /// The console has input for the guest or room for its output.
    Console,
    /// The store has something for the guest, or room for its requests.
    Store,
    /// The block server has answers, or says something about a disk.
    Disks,
    /// The net server has frames or room, or says something about an interface.
    Nets,
    /// Another domain has sent an event.
    Peers,
}

impl Signal {
    /// Its bit among the signals of a guest.
    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// A guest and its loop. As large as a [`Life`]: build it where it stays.
pub struct Driver<'m, D> {
    /// `None` where there is nothing to build a guest from; the log says why.
    life: Option<Life<'m, D>>,
    /// It has stopped for good, or was not started. The core may still be giving memory back.
    gone: bool,
    stopped: Option<StopReason>,
    /// Signals that have come, a bit each: whether there are any is asked often.
    signals: u8,
    /// What the console was told last.
    told: Option<Told>,
}

/// What all that a guest shows comes from, in the words that change: state, since when, restarts,
/// and of one that lives the vCPUs that are on and those that run.
type Told = (State, u64, u32, Option<(Vcpus, Vcpus)>);

impl<'m, D: DtServer> Driver<'m, D> {
    /// The loop of a guest that is built when the first [`Signal::Time`] comes, or by
    /// [`Driver::start`].
    #[inline]
    pub fn new(life: Option<Life<'m, D>>) -> Self {
        Self {
            life,
            gone: false,
            stopped: None,
            signals: 0,
            told: None,
        }
    }

    /// Builds the guest now; whether it lives.
    pub fn start<H: Driven>(&mut self, host: &mut H) -> bool {
        let lives = self.life.as_mut().is_some_and(|life| life.start(host));
        self.gone = !lives;
        self.show(host);
        lives
    }

    /// Its vCPUs that run, or would like to.
    #[inline]
    pub fn running(&self) -> Vcpus {
        self.life.as_ref().map_or(Vcpus::NONE, Life::running)
    }

    /// Why the guest stopped for good.
    pub const fn stopped(&self) -> Option<StopReason> {
        self.stopped
    }

    /// The guest, while it lives.
    pub fn vm(&self) -> Option<&Vm<'m>> {
        self.life.as_ref()?.vm()
    }

    /// How often the guest has begun to live again.
    pub fn restarts(&self) -> u32 {
        self.life.as_ref().map_or(0, Life::restarts)
    }

    /// A vCPU stopped: what the host does with it. What it did may have changed
    /// [who else runs](Driver::running).
    #[inline(always)]
    pub fn exit<H: Driven>(&mut self, host: &mut H, exit: Exit) -> VcpuAction {
        let action = match &mut self.life {
            Some(life) => life.handle(host, exit),
            None => VcpuAction::Wait,
        };
        if let VcpuAction::Stop(reason) = action {
            self.stop(host, reason);
        }
        action
    }

    /// A signal has come.
    pub const fn note(&mut self, signal: Signal) {
        self.signals |= signal.bit();
    }

    /// Whether a signal has come, which has not then.
    const fn take(&mut self, signal: Signal) -> bool {
        let come = self.signals & signal.bit() != 0;
        self.signals &= !signal.bit();
        come
    }

    /// Whether signals have come with which it has not caught up.
    #[inline]
    pub const fn is_behind(&self) -> bool {
        self.signals != 0
    }

    /// Does what the signals that have come mean. The host then lets those vCPUs run, or stops
    /// those, of which that is new; it does it last: making a vCPU run may end the host's own time.
    /// Where the guest stops it does it first: the driver [is still behind](Driver::is_behind) then
    /// if there was more.
    pub fn catch_up<H: Driven>(&mut self, host: &mut H) {
        let ran = !self.running().is_empty();
        if self.take(Signal::Time) {
            let reason = self.life.as_mut().and_then(|life| life.on_wake(host));
            self.stopped_by(host, reason);
        }
        // Most often that was all.
        if self.signals != 0 && !(ran && self.running().is_empty()) {
            self.catch_up_with_servers(host);
        }
        self.show(host);
    }

    /// [`Driver::catch_up`] with signals of servers and other domains.
    #[inline(never)]
    fn catch_up_with_servers<H: Driven>(&mut self, host: &mut H) {
        if self.take(Signal::Console) {
            host.flush_log();
            let reason = self.on_console(host);
            self.stopped_by(host, reason);
        }
        if self.take(Signal::Store)
            && let Some(life) = &mut self.life
        {
            life.on_store(host);
        }
        if self.take(Signal::Disks)
            && let Some(life) = &mut self.life
        {
            life.on_disks(host);
        }
        if self.take(Signal::Nets)
            && let Some(life) = &mut self.life
        {
            life.on_nets(host);
        }
        if self.take(Signal::Peers)
            && let Some(life) = &mut self.life
        {
            let reason = life.on_peers(host);
            self.stopped_by(host, reason);
        }
    }

    /// Tells the core that the console has something, or what somebody there wants.
    fn on_console<H: Driven>(&mut self, host: &mut H) -> Option<StopReason> {
        let life = self.life.as_mut()?;
        let Some(order) = host.take_order() else {
            return life.on_console(host);
        };
        // A guest that has gone may come back: its core says when.
        self.gone = false;
        self.stopped = None;
        life.order(host, order)
    }

    /// Tells the console what the guest does, and each of its vCPUs, if it was not told the same
    /// before: a guest that sleeps and wakes is most often as it was.
    pub fn show<H: Driven>(&mut self, host: &mut H) {
        let Some(life) = &self.life else {
            return;
        };
        let shown = life.shown();
        let vcpus = life.vm().map(|vm| (vm.on(), vm.running()));
        let now = Some((shown.state, shown.since, shown.restarts, vcpus));
        if self.told != now {
            self.told = now;
            Self::show_all(life, shown, host);
        }
    }

    /// [`Driver::show`] where there is something new; `shown` is without vCPUs.
    #[cold]
    #[inline(never)]
    fn show_all<H: Driven>(life: &Life<'m, D>, mut shown: Shown, host: &mut H) {
        if let Some(vm) = life.vm() {
            let (on, runs) = (vm.on(), vm.running());
            for id in vm.all() {
                let state = match (on.contains(id), runs.contains(id)) {
                    (false, _) => VcpuState::Off,
                    (true, true) => VcpuState::Runs,
                    (true, false) => VcpuState::Waits,
                };
                let core = host.core(id);
                shown.vcpus[id.index()] = Some(VcpuShown { state, core });
            }
        }
        host.show(shown);
    }

    fn stopped_by<H: Driven>(&mut self, host: &mut H, reason: Option<StopReason>) {
        if let Some(reason) = reason {
            self.stop(host, reason);
        }
    }

    /// The guest has stopped for good.
    #[cold]
    #[inline(never)]
    fn stop<H: Driven>(&mut self, host: &mut H, reason: StopReason) {
        if self.gone {
            return;
        }
        // Before the line about it, with which the console looks.
        self.show(host);
        host.say(format_args!("guest stopped: {reason}"));
        self.stopped = Some(reason);
        self.gone = true;
    }
}
