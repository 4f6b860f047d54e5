//! Time as user level has it: the generic timer, or what the board has instead
//! ([`crate::counter`]).
//!
//! The kernel exports the physical counter to user level, and on boards without a peripheral timer
//! (qemu_virt) the EL1 physical timer too. Guests see the same count as `CNTVCT_EL0`, because
//! Microkit's kernels keep the virtual offset at 0.

use core::arch::asm;

use board::TimerKind;

use crate::counter::{self, CounterTimer, NoTime};
use crate::{MessageInfo, patched};

/// Ticks of the system counter.
#[inline]
pub fn now() -> u64 {
    match patched::clock_page() {
        0 => system_counter(),
        page => counter::now(page),
    }
}

/// `CNTPCT_EL0` (Arm ARM D19.12.20).
#[inline]
fn system_counter() -> u64 {
    let ticks: u64;
    // SAFETY: reads a counter; the barrier keeps the read from being speculated ahead.
    #[expect(unsafe_code, reason = "system register")]
    unsafe {
        asm!("isb", "mrs {}, cntpct_el0", out(reg) ticks, options(nomem, nostack, preserves_flags));
    }
    ticks
}

/// Ticks per second (`CNTFRQ_EL0`).
#[inline]
pub fn frequency() -> u64 {
    let hz: u64;
    // SAFETY: reads a constant register.
    #[expect(unsafe_code, reason = "system register")]
    unsafe {
        asm!("mrs {}, cntfrq_el0", out(reg) hz, options(nomem, nostack, preserves_flags));
    }
    hz
}

/// The EL1 physical timer, which raises INTID 30 on qemu_virt.
///
/// Guests at EL1 can reach its registers too where user level can (one control bit governs both),
/// so its expiry is a hint: the owner re-arms it on every wake and looks at [`now`].
#[derive(Debug)]
pub struct PhysicalTimer(());

impl PhysicalTimer {
    /// The timer; the timer server alone calls this.
    pub fn take() -> Self {
        Self(())
    }

    /// Fires at tick `deadline`, or not at all.
    pub fn set(&mut self, deadline: Option<u64>) {
        let (cval, ctl) = match deadline {
            Some(cval) => (cval, 1_u64),
            None => (u64::MAX, 0),
        };
        // SAFETY: the timer's registers have no effect on memory.
        #[expect(unsafe_code, reason = "system register")]
        unsafe {
            asm!(
                "msr cntp_cval_el0, {}",
                "msr cntp_ctl_el0, {}",
                "isb",
                in(reg) cval,
                in(reg) ctl,
                options(nomem, nostack, preserves_flags)
            );
        }
    }
}

/// The timer that the timer server has.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "there is one, and a timer server has no allocator"
)]
pub enum Timer {
    /// The EL1 physical timer.
    System(PhysicalTimer),
    /// A timer of the board.
    Counter(CounterTimer),
}

impl Timer {
    /// The board's timer, stopped; taken once, by the timer server.
    pub fn take() -> Self {
        match patched::clock_page() {
            0 => {
                let mut timer = PhysicalTimer::take();
                timer.set(None);
                Self::System(timer)
            }
            page => Self::Counter(CounterTimer::take(page)),
        }
    }

    /// Its kind.
    pub const fn kind(&self) -> TimerKind {
        match self {
            Self::System(_) => TimerKind::System,
            Self::Counter(_) => TimerKind::Ttc,
        }
    }

    /// Fires at tick `deadline`, somewhat before or soon after; without one it may fire all the
    /// same.
    pub fn set(&mut self, deadline: Option<u64>) {
        match self {
            Self::System(timer) => timer.set(deadline),
            Self::Counter(timer) => timer.set(deadline),
        }
    }

    /// The timer's interrupt came; to be called before [`Timer::set`].
    pub fn on_interrupt(&mut self) {
        match self {
            Self::System(_) => {}
            Self::Counter(timer) => timer.on_interrupt(),
        }
    }

    /// The virtual machine of a board's timer stopped. Returns the reply to it, if there is to be
    /// one.
    ///
    /// # Errors
    /// [`NoTime`].
    pub fn on_vcpu(&mut self, info: &MessageInfo) -> Result<Option<MessageInfo>, NoTime> {
        match self {
            Self::System(_) => Ok(None),
            Self::Counter(timer) => timer.on_vcpu(info),
        }
    }
}
