//! sched_op (public/sched.h).

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::GuestHandle;

/// `SCHEDOP_yield`: no argument.
pub const YIELD: u64 = 0;
/// `SCHEDOP_block`: no argument.
pub const BLOCK: u64 = 1;
/// `SCHEDOP_shutdown`: [`Shutdown`].
pub const SHUTDOWN: u64 = 2;
/// `SCHEDOP_poll`: [`Poll`].
pub const POLL: u64 = 3;
/// `SCHEDOP_remote_shutdown`: [`RemoteShutdown`].
pub const REMOTE_SHUTDOWN: u64 = 4;
/// `SCHEDOP_shutdown_code`: [`Shutdown`].
pub const SHUTDOWN_CODE: u64 = 5;
/// `SCHEDOP_watchdog`: [`Watchdog`].
pub const WATCHDOG: u64 = 6;
/// `SCHEDOP_pin_override`.
pub const PIN_OVERRIDE: u64 = 7;

/// Most ports of one [`Poll`].
pub const POLL_MAX_PORTS: u32 = 128;

/// Reasons of a shutdown (`SHUTDOWN_*`).
pub mod reason {
    /// Exited normally.
    pub const POWEROFF: u32 = 0;
    /// Restart.
    pub const REBOOT: u32 = 1;
    /// Save and resume.
    pub const SUSPEND: u32 = 2;
    /// Crashed.
    pub const CRASH: u32 = 3;
    /// A watchdog expired.
    pub const WATCHDOG: u32 = 4;
    /// Reset keeping memory.
    pub const SOFT_RESET: u32 = 5;
}

/// `sched_shutdown`.
#[derive(
    Clone, Copy, PartialEq, Eq, Debug, Default, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct Shutdown {
    /// [`reason`].
    pub reason: u32,
}
layout!(Shutdown, 4; reason @ 0);

/// `sched_poll`.
#[derive(
    Clone, Copy, PartialEq, Eq, Debug, Default, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct Poll {
    /// Array of `nr_ports` ports, 4 bytes each.
    pub ports: GuestHandle,
    /// Elements of the array.
    pub nr_ports: u32,
    /// Padding.
    pub pad: u32,
    /// System time in ns at which to give up; 0 never.
    pub timeout: u64,
}
layout!(Poll, 24; ports @ 0, nr_ports @ 8, pad @ 12, timeout @ 16);

/// `sched_remote_shutdown`.
#[derive(
    Clone, Copy, PartialEq, Eq, Debug, Default, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct RemoteShutdown {
    /// Whom.
    pub domain_id: u16,
    /// Padding.
    pub pad: u16,
    /// [`reason`].
    pub reason: u32,
}
layout!(RemoteShutdown, 8; domain_id @ 0, pad @ 2, reason @ 4);

/// `sched_watchdog`.
#[derive(
    Clone, Copy, PartialEq, Eq, Debug, Default, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct Watchdog {
    /// 0 to arm a new one, or the number of one in use.
    pub id: u32,
    /// Seconds from now; 0 with a number disarms it.
    pub timeout: u32,
}
layout!(Watchdog, 8; id @ 0, timeout @ 4);
