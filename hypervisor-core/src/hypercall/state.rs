//! What the small families remember.

use xen_abi::sched::reason;

use super::runstate::Runstate;
use super::sched::PollWait;
use super::watchdog::Watchdogs;
use crate::vm::StopReason;

/// State of the hypercall families that keep little: one per guest.
#[derive(Debug, Default)]
pub struct State {
    /// `HVM_PARAM_CONSOLE_PFN`: guest frame of the console ring, 0 without one.
    pub console_gfn: u64,
    /// `HVM_PARAM_CONSOLE_EVTCHN`: port of the console ring, 0 without one.
    pub console_port: u32,
    /// The guest sent an event to the console port: its output ring is to be looked at.
    pub console_kick: bool,
    /// A byte that was typed for the guest, taken for a console_io read that had nowhere to put it.
    pub(super) typed: Option<u8>,
    /// vm_assist's types in force, a bit each.
    pub(super) assists: u32,
    /// Time accounting of the vCPU and the area it is told in.
    pub(super) runstate: Runstate,
    /// SCHEDOP_watchdog.
    pub(super) watchdogs: Watchdogs,
    /// What the vCPU waits for in SCHEDOP_poll.
    pub(super) poll: Option<PollWait>,
    /// The first shutdown code that was given; later ones do not replace it.
    shutdown_code: Option<u32>,
}

impl State {
    /// Latches `code` (`SHUTDOWN_*`, public/sched.h) unless one is latched.
    pub fn latch(&mut self, code: u32) -> u32 {
        *self.shutdown_code.get_or_insert(code)
    }

    /// Shuts down with `code`, unless a code was latched before, which then counts.
    ///
    /// PSCI's SYSTEM_OFF and SYSTEM_RESET go through here too, as in Xen. A code without a meaning
    /// counts as a crash.
    pub fn shutdown(&mut self, code: u32) -> StopReason {
        match self.latch(code) {
            reason::POWEROFF => StopReason::PowerOff,
            reason::REBOOT => StopReason::Reboot,
            reason::SUSPEND => StopReason::Suspend,
            reason::WATCHDOG => StopReason::Watchdog,
            reason::SOFT_RESET => StopReason::SoftReset,
            _ => StopReason::Crash,
        }
    }

    /// The tick of the system counter at which [`State::on_time`] or [`super::poll_is_over`] has something to say.
    ///
    /// Both a watchdog, which counts while the guest runs, and a poll's timeout, which only
    /// exists while it waits.
    pub fn next_deadline(&self) -> Option<u64> {
        let poll = self.poll.as_ref().and_then(|poll| poll.deadline);
        [self.watchdogs.next(), poll].into_iter().flatten().min()
    }

    /// Looks at the watchdogs at tick `now`; where one expired the guest stops.
    pub fn on_time(&mut self, now: u64) -> Option<StopReason> {
        self.watchdogs
            .expired(now)
            .then(|| self.shutdown(reason::WATCHDOG))
    }
}
