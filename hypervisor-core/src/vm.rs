//! One guest: everything its VMM keeps about it.

use dt_server_api::{DomainRecord, GuestLayout};
use xen_abi::sched::reason;

use crate::device::pv_console::ConsoleRing;
use crate::device::vgic::VGic;
use crate::device::vpl011::Vpl011;
use crate::evtchn::Events;
use crate::hypercall;
use crate::life::pace::MAX_SHORT;
use crate::memory::p2m::P2m;
use crate::vcpu::ptimer::PTimer;
use crate::vcpu::vtimer::VTimer;
use crate::vcpu::walk;

/// What the host does with the vCPU after an exit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Next {
    /// Let it run.
    Resume,
    /// Leave it stopped until a wake, an interrupt or console input.
    Wait,
    /// Stop it for good. (Of a [`Vm`], which does not outlive it; a [`crate::life::Life`] may have another one for it.)
    Stop(StopReason),
}

/// Why a guest stopped (`SHUTDOWN_*`, xen/include/public/sched.h).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StopReason {
    /// It switched itself off.
    PowerOff,
    /// It asked for a restart.
    Reboot,
    /// It asked for a restart within a second of its start, [too often](crate::life::pace::MAX_SHORT) in a row.
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
}

impl StopReason {
    /// The reason as a shutdown code (`SHUTDOWN_*`).
    pub const fn code(self) -> u32 {
        match self {
            Self::PowerOff => reason::POWEROFF,
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
                    "it asked for a restart within a second of its start, {MAX_SHORT} times in a row, and stays down; its own \
                     last lines say why it ends. Try another kernel, other bootargs or another xen,enhanced in the domains file"
                );
            }
            Self::Suspend => "it suspended",
            Self::Crash => "it reported a crash; its own last lines say why",
            Self::Watchdog => "its watchdog expired",
            Self::SoftReset => "it asked for a restart that keeps its memory",
            Self::Fatal => "it cannot run any further",
        })
    }
}

/// What a vCPU that does not run waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Wait {
    /// It does not wait.
    #[default]
    None,
    /// An interrupt, an event or its timer (WFI, SCHEDOP_block, SCHEDOP_poll).
    Interrupt,
    /// Room on the console: its hypercall is then executed again.
    Retry,
    /// Nothing: it is off.
    Off,
}

/// A guest.
pub struct Vm<'m> {
    /// What the device tree says of the domain.
    pub record: DomainRecord,
    /// Fixed places of its physical map.
    pub layout: GuestLayout,
    /// Which guest frame holds what.
    pub p2m: P2m<'m>,
    /// Virtual interrupt controller.
    pub gic: VGic,
    /// Virtual timer.
    pub timer: VTimer,
    /// Physical timer, where it traps.
    pub ptimer: PTimer,
    /// Event channels.
    pub events: Events,
    /// PV console, where the domain has PV features; its page exists then.
    pub console: Option<ConsoleRing>,
    /// SBSA UART, where the domain has one.
    pub vpl011: Option<Vpl011>,
    /// State of the hypercall families that keep little.
    pub hc: hypercall::State,
    /// Where this guest's hypercall stubs are.
    pub walk: walk::Cache,
    /// What its vCPU waits for.
    pub(crate) wait: Wait,
}
