//! System registers and calls to firmware.

use core::arch::asm;

macro_rules! read {
    ($(#[$doc:meta])* $name:ident, $register:literal) => {
        $(#[$doc])*
        pub fn $name() -> u64 {
            let value: u64;
            // SAFETY: reading this register has no effect; `isb` keeps the order of counter reads.
            unsafe { asm!("isb", concat!("mrs {}, ", $register), out(reg) value, options(nomem, nostack, preserves_flags)) };
            value
        }
    };
}

macro_rules! write {
    ($(#[$doc:meta])* $name:ident, $register:literal) => {
        $(#[$doc])*
        pub fn $name(value: u64) {
            // SAFETY: called with values for which the register's effect is what the caller documents.
            unsafe { asm!(concat!("msr ", $register, ", {}"), "isb", in(reg) value, options(nostack, preserves_flags)) };
        }
    };
}

read!(/** Virtual counter. */ counter, "cntvct_el0");
read!(/** Ticks of it per second. */ frequency, "cntfrq_el0");
read!(/** Syndrome. */ esr, "esr_el1");
read!(/** Fault address. */ far, "far_el1");
read!(/** Return address. */ elr, "elr_el1");
write!(/** Sets the return address; only for the exception handler. */ set_elr, "elr_el1");
write!(/** Virtual timer control: bit 0 enable, bit 1 mask. */ set_timer_control, "cntv_ctl_el0");
write!(/** Virtual timer compare value. */ set_timer, "cntv_cval_el0");

/// PSCI and other SMCCC functions by `smc #0`; returns x0.
pub fn smc(function: u64, a: u64, b: u64, c: u64) -> i64 {
    let result: i64;
    // SAFETY: the functions that tests call change nothing of this guest's memory; SMCCC lets x0-x17 change.
    unsafe {
        asm!("smc #0", inlateout("x0") function => result, inlateout("x1") a => _, inlateout("x2") b => _, inlateout("x3") c => _,
             clobber_abi("C"));
    }
    result
}

/// The same by `hvc #0`.
pub fn hvc0(function: u64, a: u64, b: u64, c: u64) -> i64 {
    let result: i64;
    // SAFETY: as for `smc`.
    unsafe {
        asm!("hvc #0", inlateout("x0") function => result, inlateout("x1") a => _, inlateout("x2") b => _, inlateout("x3") c => _,
             in("x7") 0, clobber_abi("C"));
    }
    result
}

/// PSCI `SYSTEM_OFF`.
pub fn power_off() -> ! {
    smc(0x8400_0008, 0, 0, 0);
    loop {
        // SAFETY: waiting changes nothing. Reached only where SYSTEM_OFF returned.
        unsafe { asm!("wfi", options(nomem, nostack)) };
    }
}
