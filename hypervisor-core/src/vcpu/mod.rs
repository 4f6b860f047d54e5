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

use poll::PollWait;
use ptimer::PTimer;
use runstate::Runstate;
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
    /// Number `id` as it is when a guest's life begins.
    pub fn new(id: VcpuId) -> Self {
        Self {
            id,
            timer: VTimer::new(),
            ptimer: PTimer::new(),
            stubs: Cache::new(),
            wait: Wait::None,
            poll: None,
            runstate: Runstate::default(),
        }
    }

    /// Its number.
    pub const fn id(&self) -> VcpuId {
        self.id
    }

    /// The tick of the system counter at which a watchdog, a poll's timeout or the physical timer
    /// has something to say; the virtual timer is not among them.
    ///
    /// A watchdog counts while the guest runs, and a poll's timeout only exists while it waits.
    pub fn next_deadline(&self, watchdogs: &Watchdogs) -> Option<u64> {
        let poll = self.poll.as_ref().and_then(|poll| poll.deadline);
        earliest(watchdogs.next(), earliest(poll, self.ptimer.deadline()))
    }
}
