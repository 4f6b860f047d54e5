//! One virtual CPU: its timers, its translations, what it waits for, how long it ran, the
//! exceptions that it takes.
//!
//! What devices have once for each vCPU (the banked registers of the distributor, the `vcpu_info`
//! of event channels) is in those devices, by the vCPU's number.

pub mod action;
pub mod idregs;
pub mod inject;
pub mod poll;
pub mod ptimer;
pub mod runstate;
pub mod time;
pub mod vtimer;
pub mod wait;
pub mod walk;

use hv_types::VcpuId;

use crate::domain::watchdog::Watchdogs;
use crate::evtchn::Events;
use crate::host::Host;

use poll::PollWait;
use ptimer::PTimer;
use runstate::{RunState, Runstate};
use time::earliest;
use vtimer::VTimer;
use wait::Wait;
use walk::stub::Cache;

/// What exists once for each vCPU of a guest.
#[derive(Debug)]
pub struct Vcpu {
    id: VcpuId,
    /// Virtual timer.
    pub timer: VTimer,
    /// Physical timer, where it traps.
    pub ptimer: PTimer,
    /// Where its hypercall stubs are.
    pub stubs: Cache,
    /// What it waits for.
    pub wait: Wait,
    /// What it waits for in SCHEDOP_poll.
    pub poll: Option<PollWait>,
    /// Time accounting, and the area that it is published to.
    pub runstate: Runstate,
}

impl Vcpu {
    /// Number `id` as it is when a guest's life begins: off, but for the boot CPU.
    pub fn new(id: VcpuId) -> Self {
        let (wait, state) = if id == VcpuId::BOOT {
            (Wait::None, RunState::Running)
        } else {
            (Wait::Off, RunState::Offline)
        };
        Self {
            id,
            timer: VTimer::new(id),
            ptimer: PTimer::new(id),
            stubs: Cache::new(),
            wait,
            poll: None,
            runstate: Runstate::new(state),
        }
    }

    /// Its number.
    pub const fn id(&self) -> VcpuId {
        self.id
    }

    /// Whether what it waits for in SCHEDOP_poll has come.
    pub(crate) fn has_polled<H: Host>(&self, events: &Events, host: &H) -> bool {
        let poll = self.poll.as_ref();
        poll.is_some_and(|poll| poll.is_over(events, host))
    }

    /// The tick of the system counter at which a poll's timeout, the physical timer or, while it
    /// sleeps, the virtual timer has something to say.
    ///
    /// A poll's timeout only exists while it waits.
    fn deadline(&self) -> Option<u64> {
        let poll = self.poll.as_ref().and_then(|poll| poll.deadline);
        let sleep = match self.wait {
            Wait::Interrupt => self.timer.sleeps_until(),
            _ => None,
        };
        earliest(earliest(poll, sleep), self.ptimer.deadline())
    }
}

/// The tick of the system counter at which one of these vCPUs, or a watchdog, has something to say.
///
/// A watchdog counts while the guest runs, too.
pub fn next_deadline(vcpus: &[Vcpu], watchdogs: &Watchdogs) -> Option<u64> {
    let deadlines = vcpus.iter().map(Vcpu::deadline);
    deadlines.fold(watchdogs.next(), earliest)
}
