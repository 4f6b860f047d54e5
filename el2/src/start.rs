//! Image header, first instructions, exception vectors and the world switch.
//!
//! # Soundness
//! Everything here is assembly. What Rust relies on: `el2_main` is entered once, at EL2 on a stack
//! that ends where the header says that the image does, relocated, with its bss zeroed and memory
//! cached; `el2_secondary` is entered once by each further core, likewise, on the stack that
//! `cores.rs` has for it; `el2_enter` keeps the procedure call standard, touches no memory but its
//! stack and the frame it is given, and returns when the guest stops; an exception that EL2 itself
//! takes ends in `el2_fault` and never returns.
#![expect(unsafe_code, reason = "assembly")]

use core::arch::global_asm;

use el2_boot::plan::{GUARD, STACK};

use crate::board::DEVICE_GIB;
use crate::cores::STACK_ENDS;

// The header is Linux's (Documentation/arm64/booting.rst); the packer fills in text_offset and the
// size of all, at whose end the stack is. The boot tables map the GiB that the image begins in, and
// where it ends in the next that one too, as memory and the board's GiB of devices as such.
global_asm!(
    r#"
    .section .head, "ax"
    .globl _head
_head:
    b       1f
    .long   0
    .quad   0
    .quad   _image_end - _head + {stack}
    .quad   0xa
    .quad   0, 0, 0
    .ascii  "ARM\x64"
    .long   0
1:
    mov     x19, x0
    msr     daifset, #15
    mrs     x1, CurrentEL
    cmp     x1, #8
2:  b.ne    2b                      // Not EL2: nothing can be said, not even that.

    adrp    x1, _bss
    add     x1, x1, :lo12:_bss
    adrp    x2, _bss_end
3:  cmp     x1, x2
    b.hs    4f
    stp     xzr, xzr, [x1], #16
    b       3b

4:  adrp    x20, _head
    adrp    x1, _rela
    add     x1, x1, :lo12:_rela
    adrp    x2, _rela_end
    add     x2, x2, :lo12:_rela_end
5:  cmp     x1, x2
    b.hs    6f
    ldp     x3, x4, [x1], #16       // offset, kind
    ldr     x5, [x1], #8            // addend
    cmp     x4, #1027               // R_AARCH64_RELATIVE
    b.ne    5b
    add     x5, x5, x20
    str     x5, [x20, x3]
    b       5b

6:  adrp    x1, boot_level0
    adrp    x2, boot_level1
    orr     x3, x2, #3
    str     x3, [x1]                // table
    mov     x3, #0x445              // block, attribute 1 (device), AF
    orr     x3, x3, #0x40000000000000
    mov     x4, #{device_gib}
    lsl     x5, x4, #30
    orr     x3, x3, x5
    str     x3, [x2, x4, lsl #3]
    lsr     x4, x20, #30
    lsl     x5, x4, #30
    mov     x3, #0x741              // block, attribute 0, inner shareable, AF
    orr     x3, x3, x5
    str     x3, [x2, x4, lsl #3]
    ldr     x6, [x20, #16]          // image_size
    add     x6, x6, x20
    sub     x6, x6, #1
    lsr     x6, x6, #30
    cmp     x6, x4
    b.eq    7f
    add     x4, x4, #1
    mov     x5, #0x40000000
    add     x3, x3, x5
    str     x3, [x2, x4, lsl #3]
7:  dsb     sy
    mov     x3, #0x00ff             // attribute 0: write-back memory, 1: device-nGnRnE
    msr     mair_el2, x3
    ldr     x3, ={translation}      // 48 bits, 4 KiB, write-back inner shareable walks, 40-bit addresses
    msr     tcr_el2, x3
    msr     ttbr0_el2, x1
    isb
    tlbi    alle2
    ic      iallu
    dsb     sy
    isb
    ldr     x3, ={control}          // MMU, caches and stack alignment check on, little-endian
    msr     sctlr_el2, x3
    isb
    adrp    x3, vectors
    add     x3, x3, :lo12:vectors
    msr     vbar_el2, x3
    isb
    ldr     x3, [x20, #16]          // image_size
    add     sp, x20, x3
    mov     x29, xzr
    mov     x30, xzr
    mov     x0, x19                 // the machine's device tree, or whatever was there
    bl      el2_main

    .ltorg
    .section .bss.boot, "aw", @nobits
    .balign 4096
boot_level0: .skip 4096
boot_level1: .skip 4096
"#,
    device_gib = const DEVICE_GIB,
    stack = const GUARD + STACK,
    translation = const TRANSLATION,
    control = const CONTROL,
);

/// `TCR_EL2`.
const TRANSLATION: u32 = 0x8082_3510;
/// `SCTLR_EL2` until the host has tables of its own.
const CONTROL: u32 = 0x30c5_183d;
/// The same with WXN, as `cpu::set_host_tables` leaves it.
const CONTROL_WXN: u32 = CONTROL | 1 << 19;

// A further core: firmware gives it the address of a `cores::First` in x0. The host's tables map
// this one to one.
global_asm!(
    r#"
    .text
    .globl  secondary_start
secondary_start:
    mov     x19, x0
    msr     daifset, #15
    mrs     x1, CurrentEL
    cmp     x1, #8
2:  b.ne    2b
    ldp     x1, x2, [x19]           // tables, stack
    mov     x3, #0x00ff
    msr     mair_el2, x3
    ldr     x3, ={translation}
    msr     tcr_el2, x3
    msr     ttbr0_el2, x1
    isb
    tlbi    alle2
    tlbi    alle1
    ic      iallu
    dsb     sy
    isb
    ldr     x3, ={control}
    msr     sctlr_el2, x3
    isb
    adrp    x3, vectors
    add     x3, x3, :lo12:vectors
    msr     vbar_el2, x3
    isb
    mov     sp, x2
    mov     x29, xzr
    mov     x30, xzr
    ldr     x0, [x19, #16]          // its number
    bl      el2_secondary
    .ltorg
"#,
    translation = const TRANSLATION,
    control = const CONTROL_WXN,
);

// A guest that stops leaves x0..x30, the PC and PSTATE in its frame (whose address is in
// TPIDR_EL2), and `el2_enter` returns what kind of exception it was: 0 synchronous, 1 IRQ, 2 FIQ, 3
// SError.
global_asm!(
    r#"
    .macro stop kind
    .balign 0x80
    stp     x0, x1, [sp, #-16]!
    mrs     x0, tpidr_el2
    mov     w1, #\kind
    b       guest_stopped
    .endm

    .macro fault kind
    .balign 0x80
    mov     x0, #\kind
    b       host_fault
    .endm

    .section .vectors, "ax"
    .balign 0x800
vectors:
    fault   0
    fault   1
    fault   2
    fault   3
    fault   4
    fault   5
    fault   6
    fault   7
    stop    0
    stop    1
    stop    2
    stop    3
    stop    0                       // from AArch32, which a guest may use at EL0
    stop    1
    stop    2
    stop    3

    .balign 64
guest_stopped:
    stp     x2, x3, [x0, #16]
    stp     x4, x5, [x0, #32]
    stp     x6, x7, [x0, #48]
    stp     x8, x9, [x0, #64]
    stp     x10, x11, [x0, #80]
    stp     x12, x13, [x0, #96]
    stp     x14, x15, [x0, #112]
    stp     x16, x17, [x0, #128]
    stp     x18, x19, [x0, #144]
    stp     x20, x21, [x0, #160]
    stp     x22, x23, [x0, #176]
    stp     x24, x25, [x0, #192]
    stp     x26, x27, [x0, #208]
    stp     x28, x29, [x0, #224]
    mrs     x4, elr_el2
    mrs     x5, spsr_el2
    stp     x30, x4, [x0, #240]
    str     x5, [x0, #256]
    ldp     x2, x3, [sp], #16
    stp     x2, x3, [x0]
    mov     w0, w1
    ldp     x19, x20, [sp]
    ldp     x21, x22, [sp, #16]
    ldp     x23, x24, [sp, #32]
    ldp     x25, x26, [sp, #48]
    ldp     x27, x28, [sp, #64]
    ldp     x29, x30, [sp, #80]
    add     sp, sp, #96
    ret

    .balign 64
    .globl  el2_enter
el2_enter:
    stp     x19, x20, [sp, #-96]!
    stp     x21, x22, [sp, #16]
    stp     x23, x24, [sp, #32]
    stp     x25, x26, [sp, #48]
    stp     x27, x28, [sp, #64]
    stp     x29, x30, [sp, #80]
    msr     tpidr_el2, x0
    ldp     x30, x1, [x0, #240]
    ldr     x2, [x0, #256]
    msr     elr_el2, x1
    msr     spsr_el2, x2
    ldp     x2, x3, [x0, #16]
    ldp     x4, x5, [x0, #32]
    ldp     x6, x7, [x0, #48]
    ldp     x8, x9, [x0, #64]
    ldp     x10, x11, [x0, #80]
    ldp     x12, x13, [x0, #96]
    ldp     x14, x15, [x0, #112]
    ldp     x16, x17, [x0, #128]
    ldp     x18, x19, [x0, #144]
    ldp     x20, x21, [x0, #160]
    ldp     x22, x23, [x0, #176]
    ldp     x24, x25, [x0, #192]
    ldp     x26, x27, [x0, #208]
    ldp     x28, x29, [x0, #224]
    ldp     x0, x1, [x0]
    eret

    // A fault of the host's own: on a fresh stack, because it may be the stack that overflowed.
host_fault:
    adrp    x1, {stacks}
    add     x1, x1, :lo12:{stacks}
    mrs     x2, mpidr_el1
    and     x2, x2, #7
    ldr     x1, [x1, x2, lsl #3]
    cbnz    x1, 1f
    adrp    x1, _head
    ldr     x2, [x1, #16]
    add     x1, x1, x2
1:  mov     sp, x1
    mrs     x1, esr_el2
    mrs     x2, elr_el2
    mrs     x3, far_el2
    bl      el2_fault
"#,
    stacks = sym STACK_ENDS,
);

// Vector registers change hands with the vCPU only.
global_asm!(
    r#"
    .arch_extension fp
    .arch_extension simd
    .text
    .globl  el2_save_vectors
el2_save_vectors:
    stp     q0, q1, [x0]
    stp     q2, q3, [x0, #32]
    stp     q4, q5, [x0, #64]
    stp     q6, q7, [x0, #96]
    stp     q8, q9, [x0, #128]
    stp     q10, q11, [x0, #160]
    stp     q12, q13, [x0, #192]
    stp     q14, q15, [x0, #224]
    stp     q16, q17, [x0, #256]
    stp     q18, q19, [x0, #288]
    stp     q20, q21, [x0, #320]
    stp     q22, q23, [x0, #352]
    stp     q24, q25, [x0, #384]
    stp     q26, q27, [x0, #416]
    stp     q28, q29, [x0, #448]
    stp     q30, q31, [x0, #480]
    mrs     x1, fpsr
    mrs     x2, fpcr
    add     x0, x0, #512
    stp     x1, x2, [x0]
    ret

    .globl  el2_load_vectors
el2_load_vectors:
    ldp     q0, q1, [x0]
    ldp     q2, q3, [x0, #32]
    ldp     q4, q5, [x0, #64]
    ldp     q6, q7, [x0, #96]
    ldp     q8, q9, [x0, #128]
    ldp     q10, q11, [x0, #160]
    ldp     q12, q13, [x0, #192]
    ldp     q14, q15, [x0, #224]
    ldp     q16, q17, [x0, #256]
    ldp     q18, q19, [x0, #288]
    ldp     q20, q21, [x0, #320]
    ldp     q22, q23, [x0, #352]
    ldp     q24, q25, [x0, #384]
    ldp     q26, q27, [x0, #416]
    ldp     q28, q29, [x0, #448]
    ldp     q30, q31, [x0, #480]
    add     x0, x0, #512
    ldp     x1, x2, [x0]
    msr     fpsr, x1
    msr     fpcr, x2
    ret
"#
);
