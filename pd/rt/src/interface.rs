//! Bringing a vCPU's interrupt interface back to its reset state.
//!
//! On a multicore kernel vCPU objects are not made anew ([`crate::vcpu::VcpuRegs::reset`]), and no
//! call of the kernel empties list registers that are in use, lowers the running priority or sets
//! `GICH_VMCR`. So the vCPU itself does, with [`program`], through its GICV (GICv2, 5.5).
#![expect(unsafe_code, reason = "the labels around the program")]

use core::arch::global_asm;

use crate::program::Program;

// x0 is the address of the interface; all interrupts are masked (PSTATE.I). An end of each
// interrupt there can be lowers the running priority as far as it goes and has active ones end
// (EOImode is 0). Those that are pending are taken and ended then: there are no more than list
// registers, of which GICv2 has 64. Each end may be a maintenance interrupt, which the VMM answers.
global_asm!(
    r#"
    .section .rodata.reset_interface, "a"
    .globl  reset_interface, reset_interface_stop, reset_interface_end
    .balign 4
reset_interface:
    mov     w1, #1
    str     w1, [x0]            // GICV_CTLR
    mov     w1, #0xff
    str     w1, [x0, #0x4]      // GICV_PMR
    str     wzr, [x0, #0x8]     // GICV_BPR
    mov     w1, wzr
1:  str     w1, [x0, #0x10]     // GICV_EOIR
    add     w1, w1, #1
    cmp     w1, #1020
    b.ne    1b
    mov     w2, #64
2:  ldr     w1, [x0, #0xc]      // GICV_IAR
    and     w3, w1, #0x3ff
    cmp     w3, #1020
    b.hs    3f
    str     w1, [x0, #0x10]
    sub     w2, w2, #1
    cbnz    w2, 2b
3:  str     wzr, [x0, #0x1c]    // GICV_ABPR
    str     wzr, [x0, #0x4]
    str     wzr, [x0]
    dsb     sy
reset_interface_stop:
    wfi
    b       reset_interface_stop
reset_interface_end:
    .previous
"#
);

unsafe extern "C" {
    static reset_interface: u8;
    static reset_interface_stop: u8;
    static reset_interface_end: u8;
}

/// The program. x0 is the address of the interface when it starts.
pub fn program() -> Program {
    let (start, stop, end) = (
        &raw const reset_interface,
        &raw const reset_interface_stop,
        &raw const reset_interface_end,
    );
    // SAFETY: the assembler put the labels around the program.
    unsafe { Program::between(start, stop, end) }
}
