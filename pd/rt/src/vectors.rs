//! Zeroing a guest's vector registers.
//!
//! The kernel keeps q0..q31, `FPCR` and `FPSR` with a thread, zeroes them when the thread is made
//! and offers no call that changes them, so only the thread itself can. Before the guest begins a
//! new life its thread runs the few instructions of [`program`] at EL1.
#![expect(unsafe_code, reason = "the labels around the program")]

use core::arch::global_asm;

use crate::program::Program;

// Leaves CPACR_EL1 as it was; x1 and x2 are written again when the guest starts. WFI traps, and the
// thread stops there; a processor may go on when an interrupt is pending for somebody else.
global_asm!(
    r#"
    .section .rodata.clear_vectors, "a"
    .arch_extension fp
    .arch_extension simd
    .globl  clear_vectors, clear_vectors_stop, clear_vectors_end
    .balign 4
clear_vectors:
    mrs     x1, cpacr_el1
    mov     x2, #(3 << 20)
    msr     cpacr_el1, x2
    isb
    .irp    n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
    movi    v\n\().2d, #0
    .endr
    msr     fpcr, xzr
    msr     fpsr, xzr
    msr     cpacr_el1, x1
clear_vectors_stop:
    wfi
    b       clear_vectors_stop
clear_vectors_end:
    .previous
"#
);

unsafe extern "C" {
    static clear_vectors: u8;
    static clear_vectors_stop: u8;
    static clear_vectors_end: u8;
}

/// The program.
pub fn program() -> Program {
    let (start, stop, end) = (
        &raw const clear_vectors,
        &raw const clear_vectors_stop,
        &raw const clear_vectors_end,
    );
    // SAFETY: the assembler put the labels around the program.
    unsafe { Program::between(start, stop, end) }
}
