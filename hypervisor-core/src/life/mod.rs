//! A guest's lives, one after the other.
//!
//! A guest that asks for a restart (PSCI `SYSTEM_RESET`, `SHUTDOWN_reboot`) gets one: everything it
//! had is taken back and it is built anew from its files, in the same memory where that is static.
//! A guest that stops for any other reason stays down, as one that Xen has started from the device
//! tree does; its memory goes back, and heap memory serves others. From the console any of them can
//! be stopped, started and restarted ([`Life::order`]), as `xl` does where there is one.
//!
//! # Others go on
//!
//! A restart takes longer than anything else that a VMM does, much of it in servers that run before
//! all guests, and a guest may restart as often as it likes. So it is done in slices of a
//! millisecond, after each of which the VMM rests as long for each other domain: a guest that does
//! nothing but restart has one domain's share of the processor. What a restart has taken is paid
//! for before the next one begins. A guest whose lives are all short waits longer and longer, and
//! then stays down ([`pace`]).

pub mod boot;
pub mod driver;
pub mod loader;
pub mod pace;
pub mod teardown;

use dt_server_api::{DomainRecord, DtServer};
use hv_types::Vcpus;
use memory_server_api::{Error, MemoryServer, Relinquished, Reply, Request};

use console_api::{End, Order, Shown, State as Doing};

use crate::domain::shutdown::StopReason;
use crate::exit::Exit;
use crate::host::Host;
use crate::vcpu::action::VcpuAction;
use crate::vm::Vm;
use boot::{Boot, BootError, Modules};
use pace::Pace;
use teardown::Remains;

/// Slices in a second.
const SLICES: u64 = 1000;
/// How often the memory server may fail in a row before the guest is left as it is.
const ATTEMPTS: u32 = 8;

/// What is under way.
enum State<'m> {
    /// The guest lives.
    Up,
    /// It has stopped; what it has written goes out, until this tick at the latest.
    Leaving(StopReason, u64),
    /// Its memory goes back.
    Ending(Ending<'m>),
    /// It is built anew at this tick.
    Pausing(Remains<'m>, u64),
    /// It is being built.
    Building(Boot<'m>),
    /// There is no guest, and none will be unless somebody wants one; from nothing none can be
    /// built.
    Down(Option<Remains<'m>>),
}

/// A guest's memory on its way back.
struct Ending<'m> {
    remains: Option<Remains<'m>>,
    /// It lives again afterwards.
    again: bool,
    /// How often in a row the memory server failed.
    failures: u32,
}

impl<'m> Ending<'m> {
    /// For good.
    const fn down(remains: Option<Remains<'m>>) -> Self {
        Self {
            remains,
            again: false,
            failures: 0,
        }
    }

    /// For another life, where something is left to build it from.
    const fn again(remains: Option<Remains<'m>>) -> Self {
        Self {
            again: remains.is_some(),
            remains,
            failures: 0,
        }
    }
}

/// What a step brought.
enum Step {
    /// There is more to do.
    More,
    /// There is more to do when the console has room or time has passed.
    Sleep,
    /// That was all; where the guest stops for good, why.
    Done(Option<StopReason>),
}

/// A guest with its lives. About 20 KiB: build it where it stays.
pub struct Life<'m, D> {
    dt: D,
    modules: Modules<'m>,
    /// The guest, while the state is up or leaving.
    vm: Option<Vm<'m>>,
    state: State<'m>,
    restarts: u32,
    /// The guest was started at least once.
    lived: bool,
    /// Domains in the system.
    domains: u8,
    /// Until this tick it is the others' turn.
    rest: u64,
    pace: Pace,
    /// Ticks between the end of this life and the next.
    pause: u64,
    /// Since when it does what it does.
    since: u64,
    /// Why it is down, or about to be.
    end: End,
}

impl<'m, D: DtServer> Life<'m, D> {
    /// The guest that `record` describes, of which nothing is built yet: [`Life::start`] follows,
    /// or [`Life::on_wake`], which the first time does all of it too.
    ///
    /// `table` is the memory behind its p2m, [`crate::memory::p2m::P2m::table_words`] of the
    /// record's `max_banks` long.
    pub fn new<H: Host>(
        host: &mut H,
        dt: D,
        record: DomainRecord,
        table: &'m mut [u32],
        modules: Modules<'m>,
    ) -> Self {
        let domains = record.domains;
        let state = match Boot::new(record, table, &modules) {
            Ok(boot) => State::Building(boot),
            Err(error) => refused(host, &error, None),
        };
        Self {
            since: host.now(),
            end: End::NotBuilt,
            dt,
            modules,
            vm: None,
            state,
            restarts: 0,
            lived: false,
            domains,
            rest: 0,
            pace: Pace::new(),
            pause: 0,
        }
    }

    /// Builds the guest and starts its vCPU; returns whether it lives. Where that fails the host's
    /// log says why, and what the guest had of memory has been given back.
    pub fn start<H: Host>(&mut self, host: &mut H) -> bool {
        // No guest runs yet whom this could keep waiting, and each step has an end.
        while !matches!(self.state, State::Up | State::Down(_)) {
            self.step(host);
        }
        self.vm.is_some()
    }

    /// The guest's vCPUs that run, or would like to.
    #[inline]
    pub fn running(&self) -> Vcpus {
        match (&self.state, &self.vm) {
            (State::Up, Some(vm)) => vm.running(),
            _ => Vcpus::NONE,
        }
    }

    /// The guest, while it lives.
    pub fn vm(&self) -> Option<&Vm<'m>> {
        match self.state {
            State::Up => self.vm.as_ref(),
            _ => None,
        }
    }

    /// How often the guest has begun to live again.
    pub const fn restarts(&self) -> u32 {
        self.restarts
    }

    /// What the guest does, for the console.
    pub fn shown(&self) -> Shown {
        let state = match &self.state {
            State::Up => Doing::Runs,
            State::Leaving(StopReason::Reboot, _) | State::Pausing(..) => Doing::Restarts,
            State::Ending(ending) if ending.again => Doing::Restarts,
            State::Building(_) if self.lived => Doing::Restarts,
            State::Building(_) => Doing::Starts,
            State::Leaving(..) | State::Ending(_) | State::Down(_) => Doing::Down(self.end),
        };
        Shown {
            state,
            since: self.since,
            restarts: self.restarts,
            ..Shown::UNKNOWN
        }
    }

    /// Does what somebody at the console wants. What the guest is doing is left where it is, as
    /// when its power is cut. Where a life ends, the host stops the vCPUs before the wake-up asked
    /// for here. Returns why the guest stops for good, if it does.
    pub fn order<H: Host>(&mut self, host: &mut H, order: Order) -> Option<StopReason> {
        if order != Order::Stop {
            self.pace.forget();
            self.pause = 0;
        }
        let state = core::mem::replace(&mut self.state, State::Down(None));
        self.state = match (order, state) {
            (Order::Stop | Order::Restart, State::Up) => {
                if let Some(vm) = &mut self.vm {
                    vm.cut();
                }
                let reason = match order {
                    Order::Stop => StopReason::Stopped,
                    Order::Start | Order::Restart => StopReason::Reboot,
                };
                return self.leave(host, reason);
            }
            (Order::Stop, State::Leaving(StopReason::Reboot, until)) => {
                State::Leaving(StopReason::Stopped, until)
            }
            (Order::Stop, State::Ending(ending)) if ending.again => State::Ending(Ending {
                again: false,
                ..ending
            }),
            (Order::Stop, State::Pausing(remains, _)) => State::Ending(Ending::down(Some(remains))),
            (Order::Stop, State::Building(boot)) => {
                State::Ending(Ending::down(Some(boot.abandon())))
            }
            (Order::Start | Order::Restart, State::Down(Some(remains))) => {
                self.since = host.now();
                State::Ending(Ending::again(Some(remains)))
            }
            (Order::Start | Order::Restart, State::Pausing(remains, _)) => {
                State::Pausing(remains, host.now())
            }
            // What it had is still on its way back.
            (Order::Start | Order::Restart, State::Leaving(reason, until))
                if reason != StopReason::Reboot =>
            {
                State::Leaving(StopReason::Reboot, until)
            }
            (Order::Start | Order::Restart, State::Ending(ending))
                if !ending.again && ending.remains.is_some() =>
            {
                State::Ending(Ending {
                    again: true,
                    ..ending
                })
            }
            (_, state) => {
                self.state = state;
                let what = self.shown().state;
                host.log(format_args!(
                    "nothing was done at the console's order: {}",
                    match what {
                        Doing::Runs => "the guest runs",
                        Doing::Down(_) if order == Order::Stop => "the guest is down",
                        Doing::Down(_) => "the guest cannot be built, as said above",
                        Doing::Starts | Doing::Restarts | Doing::Unknown =>
                            "the guest is about to start",
                    }
                ));
                return match what {
                    Doing::Runs => self.on_console(host),
                    _ => None,
                };
            }
        };
        host.wake_at(Some(host.now()));
        if order == Order::Stop {
            self.ends(host, StopReason::Stopped);
            return Some(StopReason::Stopped);
        }
        None
    }

    /// Handles an exit of a vCPU. [`VcpuAction::Stop`] is the guest's last.
    #[inline(always)]
    pub fn handle<H: Host>(&mut self, host: &mut H, exit: Exit) -> VcpuAction {
        let (State::Up, Some(vm)) = (&self.state, &mut self.vm) else {
            return VcpuAction::Wait;
        };
        match vm.handle(host, exit) {
            VcpuAction::Stop(reason) => {
                let last = self.stop(host, reason);
                last.map_or(VcpuAction::Wait, VcpuAction::Stop)
            }
            next => next,
        }
    }

    /// Time has passed: what was asked for by `wake_at`, or an early look. Returns why the guest
    /// stops for good, if it does.
    pub fn on_wake<H: Host>(&mut self, host: &mut H) -> Option<StopReason> {
        let (State::Up, Some(vm)) = (&self.state, &mut self.vm) else {
            return self.go_on(host);
        };
        let reason = vm.on_wake(host)?;
        self.stop(host, reason)
    }

    /// The console has input for the guest or room for its output. As [`Life::on_wake`].
    pub fn on_console<H: Host>(&mut self, host: &mut H) -> Option<StopReason> {
        match (&self.state, &mut self.vm) {
            (State::Up, Some(vm)) => {
                vm.on_console(host);
                None
            }
            (State::Leaving(..), _) => self.go_on(host),
            // The wake-up that was asked for goes on.
            _ => None,
        }
    }

    /// The store has something for the guest, or room for its requests.
    pub fn on_store<H: Host>(&mut self, host: &mut H) {
        if let (State::Up, Some(vm)) = (&self.state, &mut self.vm) {
            vm.on_store(host);
        }
    }

    /// The block server has answers, or says something about a disk.
    pub fn on_disks<H: Host>(&mut self, host: &mut H) {
        if let (State::Up, Some(vm)) = (&self.state, &mut self.vm) {
            vm.on_disks(host);
        }
    }

    /// The net server has frames or room, or says something about an interface.
    pub fn on_nets<H: Host>(&mut self, host: &mut H) {
        if let (State::Up, Some(vm)) = (&self.state, &mut self.vm) {
            vm.on_nets(host);
        }
    }

    /// Other domains have sent events to the guest, or want pages that it grants. Those for one
    /// that does not live are dropped, or wait for its next life on static channels. As
    /// [`Life::on_wake`].
    pub fn on_peers<H: Host>(&mut self, host: &mut H) -> Option<StopReason> {
        let (State::Up, Some(vm)) = (&self.state, &mut self.vm) else {
            return None;
        };
        vm.on_peers(host);
        let Err(error) = vm.lend(host) else {
            return None;
        };
        host.log(format_args!(
            "RAM cannot be brought back after a split: {error}; the guest cannot go on"
        ));
        self.stop(host, StopReason::Fatal)
    }

    /// The guest has stopped; why it did for good, if it did. Its vCPUs have not: the host stops
    /// them before the wake-up asked for here.
    #[cold]
    fn stop<H: Host>(&mut self, host: &mut H, reason: StopReason) -> Option<StopReason> {
        let reason = match reason {
            StopReason::Reboot => self.restart(host),
            reason => reason,
        };
        self.leave(host, reason)
    }

    /// Lets what the guest has written go out, and then its memory.
    fn leave<H: Host>(&mut self, host: &mut H, reason: StopReason) -> Option<StopReason> {
        self.ends(host, reason);
        // A second is more than the slowest line needs for what a ring holds.
        let until = host.now().saturating_add(host.frequency());
        self.state = State::Leaving(reason, until);
        host.wake_at(Some(host.now()));
        match reason {
            StopReason::Reboot => None,
            reason => Some(reason),
        }
    }

    /// A life ends now, for this reason.
    fn ends<H: Host>(&mut self, host: &mut H, reason: StopReason) {
        self.since = host.now();
        self.end = match reason {
            StopReason::PowerOff => End::PowerOff,
            StopReason::ShortLives | StopReason::Reboot => End::ShortLives,
            StopReason::Suspend => End::Suspend,
            StopReason::Crash => End::Crash,
            StopReason::Watchdog => End::Watchdog,
            StopReason::SoftReset => End::SoftReset,
            StopReason::Fatal => End::Fatal,
            StopReason::Stopped => End::Stopped,
        };
    }

    /// The guest asks for a restart: whether it gets one, and when.
    fn restart<H: Host>(&mut self, host: &mut H) -> StopReason {
        match self.pace.end(host.now(), host.frequency()) {
            pace::Next::After(pause) => {
                self.pause = pause;
                StopReason::Reboot
            }
            pace::Next::Never => StopReason::ShortLives,
        }
    }

    /// Does as much as a slice allows, unless the others' turn is not over.
    fn go_on<H: Host>(&mut self, host: &mut H) -> Option<StopReason> {
        let begin = host.now();
        if begin < self.rest {
            host.wake_at(Some(self.rest));
            return None;
        }
        let slice = host.frequency() / SLICES;
        loop {
            let step = self.step(host);
            let now = host.now();
            let spent = now.saturating_sub(begin);
            // Nobody else's guest runs yet when this one is built for the first time.
            let others = u64::from(self.domains.saturating_sub(1)) * u64::from(self.lived);
            self.rest = now.saturating_add(spent.saturating_mul(others));
            match step {
                Step::Done(next) => return next,
                Step::Sleep => return None,
                Step::More if self.lived && spent >= slice => {
                    host.wake_at(Some(self.rest));
                    return None;
                }
                Step::More => {}
            }
        }
    }

    fn step<H: Host>(&mut self, host: &mut H) -> Step {
        // A guest that is being built stays where it is: it takes hundreds of steps.
        let built = match &mut self.state {
            State::Building(boot) => match boot.step(host, &mut self.dt, &self.modules) {
                Ok(false) => return Step::More,
                built => built.map(drop),
            },
            _ => Ok(()),
        };
        match core::mem::replace(&mut self.state, State::Down(None)) {
            State::Leaving(reason, until) => {
                let drained = self.vm.as_mut().is_none_or(|vm| vm.drain(host));
                if !drained && host.now() < until {
                    self.state = State::Leaving(reason, until);
                    host.wake_at(Some(until));
                    return Step::Sleep;
                }
                let remains = self.vm.take().map(|vm| vm.end(host));
                self.state = State::Ending(match reason {
                    StopReason::Reboot => Ending::again(remains),
                    _ => Ending::down(remains),
                });
                Step::More
            }
            State::Ending(ending) => self.end(host, ending),
            State::Pausing(remains, until) if host.now() < until => {
                self.state = State::Pausing(remains, until);
                host.wake_at(Some(until));
                Step::Sleep
            }
            State::Pausing(remains, _) => self.again(host, remains),
            State::Building(boot) => self.built(host, boot, built),
            State::Up => {
                self.state = State::Up;
                Step::Done(None)
            }
            State::Down(remains) => {
                self.state = State::Down(remains);
                Step::Done(None)
            }
        }
    }

    /// Has the memory server take a part of the guest's memory back.
    fn end<H: Host>(&mut self, host: &mut H, ending: Ending<'m>) -> Step {
        let (again, failures) = (ending.again, ending.failures);
        match host.memory().call(Request::Relinquish { again }) {
            Ok(Reply::Relinquished { more: true, .. }) => {
                self.state = State::Ending(Ending {
                    failures: 0,
                    ..ending
                });
            }
            Ok(Reply::Relinquished { taken, .. }) => {
                let mut remains = ending.remains;
                let Some(remains) = remains.take_if(|_| again) else {
                    self.state = State::Down(remains);
                    let Relinquished { ram, extra, tables } = taken;
                    host.log(format_args!(
                        "its memory went back: {ram} pages of RAM, {extra} extra pages, {tables} page tables"
                    ));
                    return Step::Done(None);
                };
                if self.pause == 0 {
                    return self.again(host, remains);
                }
                let short = self.pace.short();
                let ms = self.pause.saturating_mul(1000) / host.frequency().max(1);
                host.log(format_args!(
                    "it ended within a second of its start, {short} times in a row: it starts again in {ms} ms"
                ));
                self.state = State::Pausing(remains, host.now().saturating_add(self.pause));
            }
            // It goes on where it stopped, and the refusal may have been the only one.
            Err(Error::Kernel) if failures < ATTEMPTS => {
                self.state = State::Ending(Ending {
                    failures: failures + 1,
                    ..ending
                });
            }
            answer => {
                host.log(format_args!(
                    "the memory server does not take the guest's memory back ({answer:?}); the guest stays down"
                ));
                self.end = End::Fatal;
                return Step::Done(again.then_some(StopReason::Fatal));
            }
        }
        Step::More
    }

    /// Begins to build the guest anew.
    fn again<H: Host>(&mut self, host: &mut H, remains: Remains<'m>) -> Step {
        self.restarts = self.restarts.saturating_add(1);
        host.log(format_args!("guest restarts (restart {})", self.restarts));
        self.state = match Boot::again(remains, &self.modules) {
            Ok(boot) => State::Building(boot),
            Err(error) => refused(host, &error, None),
        };
        Step::More
    }

    /// The guest begins to live, if it is `built`.
    fn built<H: Host>(
        &mut self,
        host: &mut H,
        boot: Boot<'m>,
        built: Result<(), BootError>,
    ) -> Step {
        if let Err(error) = built {
            return self.fail(host, &error, Some(boot.abandon()));
        }
        if let Err(error) = boot.finish(host, &mut self.vm) {
            return self.fail(host, &error, None);
        }
        self.lived = true;
        self.pace.begin(host.now());
        self.since = host.now();
        self.state = State::Up;
        if let Some(vm) = &mut self.vm {
            vm.meet(host);
        }
        Step::Done(None)
    }

    fn fail<H: Host>(
        &mut self,
        host: &mut H,
        error: &BootError,
        remains: Option<Remains<'m>>,
    ) -> Step {
        (self.since, self.end) = (host.now(), End::NotBuilt);
        self.state = refused(host, error, remains);
        host.wake_at(Some(host.now()));
        Step::Done(Some(StopReason::Fatal))
    }
}

/// The guest cannot be built: what it has of memory goes back.
fn refused<'m, H: Host>(
    host: &mut H,
    error: &BootError,
    remains: Option<Remains<'m>>,
) -> State<'m> {
    host.log(format_args!("the guest is not started: {error}"));
    State::Ending(Ending::down(remains))
}
