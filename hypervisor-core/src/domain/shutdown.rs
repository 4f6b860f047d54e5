//! Why a guest stops, and the shutdown code that counts.

use xen_abi::sched::reason;

/// Short lives in a row after which a guest stays down.
pub const MAX_SHORT_LIVES: u32 = 10;

/// Why a guest stopped (`SHUTDOWN_*`, xen/include/public/sched.h).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StopReason {
    /// It switched itself off.
    PowerOff,
    /// It asked for a restart.
    Reboot,
    /// It asked for a restart within a second of its start, [too often](MAX_SHORT_LIVES) in a row.
    ShortLives,
    /// It suspended.
    Suspend,
    /// It reported a crash of its own.
    Crash,
    /// A watchdog it had armed expired.
    Watchdog,
    /// It asked for a restart that keeps its memory.
    SoftReset,
    /// The VMM cannot run it any further; the log says why.
    Fatal,
    /// The user stopped it at the console.
    Stopped,
}

impl StopReason {
    /// The reason as a shutdown code (`SHUTDOWN_*`).
    pub const fn code(self) -> u32 {
        match self {
            Self::PowerOff | Self::Stopped => reason::POWEROFF,
            Self::Reboot | Self::ShortLives => reason::REBOOT,
            Self::Suspend => reason::SUSPEND,
            Self::Crash | Self::Fatal => reason::CRASH,
            Self::Watchdog => reason::WATCHDOG,
            Self::SoftReset => reason::SOFT_RESET,
        }
    }
}

impl core::fmt::Display for StopReason {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::PowerOff => "it switched itself off",
            Self::Reboot => "it asked for a restart",
            Self::ShortLives => {
                return write!(
                    f,
                    "it asked for a restart within a second of its start, {MAX_SHORT_LIVES} times in a row, and stays down; its own \
                     last lines say why it ends. Try another kernel, other bootargs or another xen,enhanced in the domains file"
                );
            }
            Self::Suspend => "it suspended",
            Self::Crash => "it reported a crash; its own last lines say why",
            Self::Watchdog => "its watchdog expired",
            Self::SoftReset => "it asked for a restart that keeps its memory",
            Self::Fatal => "it cannot run any further",
            Self::Stopped => "it was stopped from the console",
        })
    }
}

/// The first shutdown code that a guest gave; later ones do not replace it.
#[derive(Clone, Copy, Debug, Default)]
pub struct ShutdownCode(Option<u32>);

impl ShutdownCode {
    /// No code was given.
    pub const fn new() -> Self {
        Self(None)
    }

    /// Latches `code` (`SHUTDOWN_*`, public/sched.h) unless one is latched.
    pub fn latch(&mut self, code: u32) -> u32 {
        *self.0.get_or_insert(code)
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
}
