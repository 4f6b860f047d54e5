//! The few A64 instructions that the image builder writes itself (Arm ARM C6.2).

/// A general register, 0..=30, or [`XZR`].
pub(crate) type X = u32;

/// The zero register.
pub(crate) const XZR: X = 31;

/// A system register by its encoding: op0, op1, CRn, CRm, op2.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct SystemRegister(pub u32, pub u32, pub u32, pub u32, pub u32);

impl SystemRegister {
    /// The fields at their places in `MRS` and `MSR`.
    const fn bits(self) -> u32 {
        let Self(op0, op1, crn, crm, op2) = self;
        (op0 & 3) << 19 | op1 << 16 | crn << 12 | crm << 8 | op2 << 5
    }
}

/// `mrs to, register`.
pub(crate) const fn mrs(to: X, register: SystemRegister) -> u32 {
    0xd520_0000 | register.bits() | to
}

/// `msr register, from`.
pub(crate) const fn msr(register: SystemRegister, from: X) -> u32 {
    0xd500_0000 | register.bits() | from
}

/// `movz to, #value` and `movk to, #value, lsl #16`: a constant of 32 bits.
pub(crate) const fn mov(to: X, value: u32) -> [u32; 2] {
    [
        0xd280_0000 | (value & 0xffff) << 5 | to,
        0xf2a0_0000 | (value >> 16) << 5 | to,
    ]
}

/// `orr to, a, b`.
pub(crate) const fn orr(to: X, a: X, b: X) -> u32 {
    0xaa00_0000 | b << 16 | a << 5 | to
}

/// `and to, a, b`.
pub(crate) const fn and(to: X, a: X, b: X) -> u32 {
    0x8a00_0000 | b << 16 | a << 5 | to
}

/// `ubfx to, from, #lsb, #width`: bits `lsb..lsb + width`.
pub(crate) const fn ubfx(to: X, from: X, lsb: u32, width: u32) -> u32 {
    0xd340_0000 | lsb << 16 | (lsb + width - 1) << 10 | from << 5 | to
}

/// `cmp a, b`.
pub(crate) const fn cmp(a: X, b: X) -> u32 {
    0xeb00_001f | b << 16 | a << 5
}

/// `cmp a, #value`, of 12 bits.
pub(crate) const fn cmp_value(a: X, value: u32) -> u32 {
    0xf100_001f | (value & 0xfff) << 10 | a << 5
}

/// `b.eq` over `words` words, this one included.
pub(crate) const fn b_eq(words: u32) -> u32 {
    0x5400_0000 | (words & 0x7_ffff) << 5
}

/// `b.ne` over `words` words, this one included.
pub(crate) const fn b_ne(words: u32) -> u32 {
    b_eq(words) | 1
}

/// `ldr to, literal`, `words` words ahead.
pub(crate) const fn ldr_literal(to: X, words: u32) -> u32 {
    0x5800_0000 | (words & 0x7_ffff) << 5 | to
}

/// `br to`.
pub(crate) const fn br(to: X) -> u32 {
    0xd61f_0000 | to << 5
}

/// `isb`.
pub(crate) const ISB: u32 = 0xd503_3fdf;
/// `nop`.
pub(crate) const NOP: u32 = 0xd503_201f;
/// `wfe`.
pub(crate) const WFE: u32 = 0xd503_205f;
/// `b` to the word before.
pub(crate) const B_BACK: u32 = 0x17ff_ffff;

#[cfg(test)]
mod tests {
    use super::*;

    /// Against what GNU as makes of the text.
    #[test]
    fn words_are_those_of_an_assembler() {
        let mdcr_el2 = SystemRegister(3, 4, 1, 1, 1);
        let mdscr_el1 = SystemRegister(2, 0, 0, 2, 2);
        let words = [
            ("mrs x9, mdcr_el2", mrs(9, mdcr_el2), 0xd53c_1129),
            ("msr mdcr_el2, x9", msr(mdcr_el2, 9), 0xd51c_1129),
            ("msr mdscr_el1, xzr", msr(mdscr_el1, XZR), 0xd510_025f),
            ("movz x10, #0x4e60", mov(10, 0x8_4e60)[0], 0xd289_cc0a),
            ("movk x10, #8, lsl #16", mov(10, 0x8_4e60)[1], 0xf2a0_010a),
            ("orr x9, x9, x10", orr(9, 9, 10), 0xaa0a_0129),
            ("and x9, x9, x10", and(9, 9, 10), 0x8a0a_0129),
            ("ubfx x9, x9, #8, #4", ubfx(9, 9, 8, 4), 0xd348_2d29),
            ("cmp x9, x10", cmp(9, 10), 0xeb0a_013f),
            ("cmp x9, #8", cmp_value(9, 8), 0xf100_213f),
            ("b.eq . + 40", b_eq(10), 0x5400_0140),
            ("b.ne . + 100", b_ne(25), 0x5400_0321),
            ("ldr x9, . + 16", ldr_literal(9, 4), 0x5800_0089),
            ("br x9", br(9), 0xd61f_0120),
        ];
        for (text, made, wanted) in words {
            assert_eq!(made, wanted, "{text}: {made:#x} instead of {wanted:#x}");
        }
    }
}
