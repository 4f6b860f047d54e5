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
            // SAFETY: called with values for which the register's effect is what the caller
            // documents.
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

read!(/** Which processor this is. */ mpidr, "mpidr_el1");
read!(/** MMU, caches, alignment. */ system_control, "sctlr_el1");
read!(ttbr0, "ttbr0_el1");
read!(tcr, "tcr_el1");
read!(mair, "mair_el1");
read!(thread, "tpidr_el1");
read!(user_thread, "tpidr_el0");
read!(user_thread_ro, "tpidrro_el0");
read!(context, "contextidr_el1");
read!(timer_access, "cntkctl_el1");
read!(timer_control, "cntv_ctl_el0");
read!(saved_state, "spsr_el1");
read!(user_stack, "sp_el0");
write!(set_ttbr0, "ttbr0_el1");
write!(set_tcr, "tcr_el1");
write!(set_mair, "mair_el1");
write!(set_thread, "tpidr_el1");
write!(set_user_thread, "tpidr_el0");
write!(set_user_thread_ro, "tpidrro_el0");
write!(set_context, "contextidr_el1");
write!(set_timer_access, "cntkctl_el1");
write!(set_saved_state, "spsr_el1");
write!(set_user_stack, "sp_el0");

/// The first register, by name, that does not have the value it has after reset, with the value.
pub fn fresh() -> Result<(), (&'static str, u64)> {
    let registers = [
        // MMU and caches.
        ("SCTLR_EL1", system_control() & 0x1005),
        ("TTBR0_EL1", ttbr0()),
        ("TCR_EL1", tcr()),
        ("MAIR_EL1", mair()),
        ("TPIDR_EL1", thread()),
        ("TPIDR_EL0", user_thread()),
        ("TPIDRRO_EL0", user_thread_ro()),
        ("CONTEXTIDR_EL1", context()),
        ("CNTKCTL_EL1", timer_access()),
        // Enabled or masked; the status bit is the condition's.
        ("CNTV_CTL_EL0", timer_control() & 3),
        ("SPSR_EL1", saved_state()),
        ("ESR_EL1", esr()),
        ("FAR_EL1", far()),
        ("ELR_EL1", elr()),
        ("SP_EL0", user_stack()),
    ];
    match registers.into_iter().find(|(_, value)| *value != 0) {
        Some(register) => Err(register),
        None => Ok(()),
    }
}

/// Gives every register of [`fresh`] another value; the MMU stays off, and the timer fires in a
/// moment.
pub fn dirty() {
    set_ttbr0(0x4000_3000);
    set_tcr(0x19);
    set_mair(0xff44);
    set_thread(1);
    set_user_thread(2);
    set_user_thread_ro(3);
    set_context(4);
    set_timer_access(3);
    set_saved_state(0x3c5);
    set_elr(5);
    set_user_stack(0x4000_0010);
    set_timer(counter() + 1000);
    set_timer_control(1);
}

/// The vector registers as they were at the first instruction: q0..q31, `FPCR`, `FPSR`.
#[repr(C)]
pub struct Vectors {
    q: [u128; 32],
    status: [u64; 2],
}

unsafe extern "C" {
    /// From `start`, which alone writes it.
    static first_vectors: Vectors;
    /// From `start`: returns 1 as it is loaded.
    fn changing() -> u32;
}

/// The first vector register that was not 0 at the first instruction, with its lower half; 32 is
/// `FPCR`, 33 `FPSR`.
pub fn fresh_vectors() -> Result<(), (usize, u64)> {
    // SAFETY: written before any Rust code ran.
    let Vectors { q, status } = unsafe { &first_vectors };
    let all = q.iter().copied().chain(status.map(u128::from));
    match all.enumerate().find(|(_, value)| *value != 0) {
        Some((n, value)) => Err((n, (value | value >> 64) as u64)),
        None => Ok(()),
    }
}

/// Gives every vector register, `FPCR` (rounding) and `FPSR` (a sticky flag) another value. The
/// caller's are lost, so whoever calls this goes on to code without them.
pub fn dirty_vectors() {
    // SAFETY: all that change are declared; rounding mode and sticky flags matter to nothing here.
    unsafe {
        asm!(
            ".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31",
            r"movi v\n\().16b, #(\n + 1)",
            ".endr",
            "msr fpcr, {rounding}",
            "msr fpsr, {sticky}",
            rounding = in(reg) 3_u64 << 22,
            sticky = in(reg) 1_u64,
            out("v0") _, out("v1") _, out("v2") _, out("v3") _, out("v4") _, out("v5") _, out("v6") _, out("v7") _,
            out("v8") _, out("v9") _, out("v10") _, out("v11") _, out("v12") _, out("v13") _, out("v14") _, out("v15") _,
            out("v16") _, out("v17") _, out("v18") _, out("v19") _, out("v20") _, out("v21") _, out("v22") _, out("v23") _,
            out("v24") _, out("v25") _, out("v26") _, out("v27") _, out("v28") _, out("v29") _, out("v30") _, out("v31") _,
            options(nomem, nostack)
        );
    }
}

/// What the function that [`change_text`] changes returns now: 1 as it is loaded.
pub fn text() -> u32 {
    // SAFETY: a function without arguments that changes nothing.
    unsafe { changing() }
}

/// Makes that function return 2, with the instruction cache on, so that it is in there.
pub fn change_text() {
    /// `mov w0, #2`.
    const RETURN_TWO: u32 = 0x5280_0040;
    // SAFETY: the instruction is this image's own, which is mapped writable because the MMU is off;
    // it is cleaned to memory and caches of instructions forget it before it is executed. The
    // cache's enable changes nothing else.
    unsafe {
        (changing as *mut u32).write_volatile(RETURN_TWO);
        asm!(
            "dc civac, {at}",
            "dsb sy",
            "mrs {t}, sctlr_el1",
            "orr {t}, {t}, #(1 << 12)",
            "msr sctlr_el1, {t}",
            "ic iallu",
            "dsb sy",
            "isb",
            at = in(reg) changing as *const u32,
            t = out(reg) _,
            options(nostack, preserves_flags)
        );
    }
}

/// PSCI and other SMCCC functions by `smc #0`; returns x0.
pub fn smc(function: u64, a: u64, b: u64, c: u64) -> i64 {
    let result: i64;
    // SAFETY: the functions that tests call change nothing of this guest's memory; SMCCC lets
    // x0-x17 change.
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

/// PSCI `SYSTEM_RESET`; returns only where there is none.
pub fn reset() {
    smc(0x8400_0009, 0, 0, 0);
}

/// WFI; an interrupt that is pending ends it, masked or not.
pub fn sleep() {
    // SAFETY: waiting changes nothing.
    unsafe { asm!("wfi", options(nomem, nostack, preserves_flags)) };
}

/// PSCI `SYSTEM_OFF`.
pub fn power_off() -> ! {
    smc(0x8400_0008, 0, 0, 0);
    loop {
        // SAFETY: waiting changes nothing. Reached only where SYSTEM_OFF returned.
        unsafe { asm!("wfi", options(nomem, nostack)) };
    }
}
