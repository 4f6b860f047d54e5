//! The generic timer as user level may use it.
//!
//! The kernel exports the physical counter to user level, and on boards without a peripheral timer
//! (qemu_virt) the EL1 physical timer too. Guests see the same count as `CNTVCT_EL0`, because Microkit's
//! kernels keep the virtual offset at 0.

use core::arch::asm;

/// Ticks of the system counter (`CNTPCT_EL0`, Arm ARM D19.12.20).
#[inline]
pub fn now() -> u64 {
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
