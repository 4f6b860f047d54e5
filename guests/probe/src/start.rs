//! Image header, first instructions and exception vectors.

use core::arch::global_asm;

// The header is Linux's (Documentation/arm64/booting.rst): text_offset 0, flags "little-endian, 4
// KiB pages, anywhere". The vectors save what a Rust function may change, but for the vector
// registers: interrupts are open only inside assembly that declares those clobbered.
global_asm!(
    r#"
    .section .head, "ax"
    .globl _head
_head:
    b       1f
    .long   0
    .quad   0
    .quad   _image_size
    .quad   0xa
    .quad   0, 0, 0
    .ascii  "ARM\x64"
    .long   0
1:
    mov     x19, x0
    mov     x1, #(3 << 20)          // CPACR_EL1.FPEN: the compiler uses vector registers
    msr     cpacr_el1, x1
    isb
    adrp    x1, _stack_top
    add     x1, x1, :lo12:_stack_top
    mov     sp, x1
    adrp    x1, _bss
    add     x1, x1, :lo12:_bss
    adrp    x2, _bss_end
    add     x2, x2, :lo12:_bss_end
2:
    cmp     x1, x2
    b.hs    3f
    str     xzr, [x1], #8
    b       2b
3:
    adrp    x1, first_vectors       // before the compiler's code uses them
    add     x1, x1, :lo12:first_vectors
    stp     q0, q1, [x1]
    stp     q2, q3, [x1, #32]
    stp     q4, q5, [x1, #64]
    stp     q6, q7, [x1, #96]
    stp     q8, q9, [x1, #128]
    stp     q10, q11, [x1, #160]
    stp     q12, q13, [x1, #192]
    stp     q14, q15, [x1, #224]
    stp     q16, q17, [x1, #256]
    stp     q18, q19, [x1, #288]
    stp     q20, q21, [x1, #320]
    stp     q22, q23, [x1, #352]
    stp     q24, q25, [x1, #384]
    stp     q26, q27, [x1, #416]
    stp     q28, q29, [x1, #448]
    stp     q30, q31, [x1, #480]
    mrs     x2, fpcr
    mrs     x3, fpsr
    add     x1, x1, #512
    stp     x2, x3, [x1]

    adrp    x1, vectors
    add     x1, x1, :lo12:vectors
    msr     vbar_el1, x1
    isb
    mov     x0, x19
    bl      probe_main
4:
    b       4b

    // For the check that a new life executes what is loaded: `cpu` changes its first instruction.
    .globl  changing
changing:
    mov     w0, #1
    ret

    .section .bss.first_vectors, "aw", @nobits
    .balign 16
    .globl  first_vectors
first_vectors:
    .skip   528

    .section .vectors, "ax"
    .balign 0x800
    .globl  vectors
vectors:
    .set    number, 0
    .rept   16
    .balign 0x80
    sub     sp, sp, #272
    stp     x0, x1, [sp]
    mrs     x1, cntvct_el0          // as early as can be: this is what latencies are taken from
    mov     x0, #number
    b       exception_common
    .set    number, number + 1
    .endr

    .balign 16
exception_common:
    stp     x2, x3, [sp, #16]
    stp     x4, x5, [sp, #32]
    stp     x6, x7, [sp, #48]
    stp     x8, x9, [sp, #64]
    stp     x10, x11, [sp, #80]
    stp     x12, x13, [sp, #96]
    stp     x14, x15, [sp, #112]
    stp     x16, x17, [sp, #128]
    stp     x18, x29, [sp, #144]
    str     x30, [sp, #160]
    bl      probe_exception
    ldr     x30, [sp, #160]
    ldp     x18, x29, [sp, #144]
    ldp     x16, x17, [sp, #128]
    ldp     x14, x15, [sp, #112]
    ldp     x12, x13, [sp, #96]
    ldp     x10, x11, [sp, #80]
    ldp     x8, x9, [sp, #64]
    ldp     x6, x7, [sp, #48]
    ldp     x4, x5, [sp, #32]
    ldp     x2, x3, [sp, #16]
    ldp     x0, x1, [sp]
    add     sp, sp, #272
    eret
"#
);
