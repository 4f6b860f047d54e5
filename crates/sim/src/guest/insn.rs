//! Instruction words and syndromes (Arm ARM C6.2 and D19.2.37).

/// `nop`.
pub const NOP: u32 = 0xd503_201f;
/// `wfi`.
pub const WFI: u32 = 0xd503_207f;
/// `wfe`.
pub const WFE: u32 = 0xd503_205f;
/// Syndrome of a trapped WFI.
pub const ESR_WFI: u32 = 0x07e0_0000;
/// Syndrome of a trapped WFE.
pub const ESR_WFE: u32 = 0x07e0_0001;
/// ISS of an abort: the syndrome describes the access.
pub const ISV: u32 = 1 << 24;
/// ISS of an abort: a write.
pub const WNR: u32 = 1 << 6;
/// ISS of an abort: cache maintenance.
pub const CM: u32 = 1 << 8;
/// Fault status: translation fault, level 3.
pub const TRANSLATION_3: u32 = 0b000_111;

/// `movz x16, #nr`.
pub const fn movz_x16(nr: u16) -> u32 {
    0xd280_0010 | (nr as u32) << 5
}
/// `hvc #imm`.
pub const fn hvc(imm: u16) -> u32 {
    0xd400_0002 | (imm as u32) << 5
}
/// `smc #imm`.
pub const fn smc(imm: u16) -> u32 {
    0xd400_0003 | (imm as u32) << 5
}
/// Syndrome of `hvc #imm`.
pub const fn esr_hvc(imm: u16) -> u32 {
    0x16 << 26 | 1 << 25 | imm as u32
}
/// Syndrome of `smc #imm`.
pub const fn esr_smc(imm: u16) -> u32 {
    0x17 << 26 | 1 << 25 | imm as u32
}
/// Syndrome of `mrs xt, S<op0>_<op1>_C<crn>_C<crm>_<op2>`.
pub const fn esr_mrs(encoding: [u32; 5], rt: u8) -> u32 {
    let [op0, op1, crn, crm, op2] = encoding;
    0x18 << 26
        | 1 << 25
        | op0 << 20
        | op2 << 17
        | op1 << 14
        | crn << 10
        | (rt as u32) << 5
        | crm << 1
        | 1
}

/// How a register is loaded or stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Width {
    /// `ldrb`/`strb`.
    Byte,
    /// `ldrh`/`strh`.
    Half,
    /// `ldr`/`str` of a w register.
    Word,
    /// `ldr`/`str` of an x register.
    Double,
    /// `ldrsb` to an x register; a store stores a byte.
    SignedByte,
    /// `ldp`/`stp` of x registers: the syndrome says nothing.
    Pair,
}

impl Width {
    /// Bytes accessed.
    pub const fn bytes(self) -> usize {
        match self {
            Self::Byte | Self::SignedByte => 1,
            Self::Half => 2,
            Self::Word => 4,
            Self::Double => 8,
            Self::Pair => 16,
        }
    }

    const fn log2(self) -> u32 {
        match self {
            Self::Byte | Self::SignedByte => 0,
            Self::Half => 1,
            Self::Word => 2,
            Self::Double | Self::Pair => 3,
        }
    }

    /// The instruction with base register `rn` and no offset; a pair takes `rt` and the register
    /// after it.
    pub const fn instruction(self, store: bool, rt: u8, rn: u8) -> u32 {
        let (rt, rn) = (rt as u32, rn as u32);
        let low = rn << 5 | rt;
        match self {
            Self::Pair => 0xa900_0000 | (!store as u32) << 22 | (rt + 1) << 10 | low,
            Self::SignedByte if !store => 0x3980_0000 | low,
            _ => self.log2() << 30 | 0x3900_0000 | (!store as u32) << 22 | low,
        }
    }

    /// The ISS of its stage-2 translation fault.
    pub const fn iss(self, store: bool, rt: u8) -> u32 {
        let write = if store { WNR } else { 0 };
        if matches!(self, Self::Pair) {
            return write | TRANSLATION_3;
        }
        let signed = matches!(self, Self::SignedByte) && !store;
        let wide = signed || matches!(self, Self::Double);
        ISV | self.log2() << 22
            | (signed as u32) << 21
            | (rt as u32) << 16
            | (wide as u32) << 15
            | write
            | TRANSLATION_3
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Words as GNU as and LLVM write them.
    #[test]
    fn words() {
        assert_eq!(hvc(0xea1), 0xd401_d422);
        assert_eq!(movz_x16(17), 0xd280_0230);
        assert_eq!(smc(0), 0xd400_0003);
        assert_eq!(
            Width::Word.instruction(true, 1, 2),
            0xb900_0041,
            "str w1, [x2]"
        );
        assert_eq!(
            Width::Word.instruction(false, 1, 2),
            0xb940_0041,
            "ldr w1, [x2]"
        );
        assert_eq!(
            Width::Double.instruction(false, 1, 2),
            0xf940_0041,
            "ldr x1, [x2]"
        );
        assert_eq!(
            Width::Half.instruction(true, 1, 2),
            0x7900_0041,
            "strh w1, [x2]"
        );
        assert_eq!(
            Width::SignedByte.instruction(false, 1, 2),
            0x3980_0041,
            "ldrsb x1, [x2]"
        );
        assert_eq!(
            Width::Pair.instruction(false, 4, 2),
            0xa940_1444,
            "ldp x4, x5, [x2]"
        );
        assert_eq!(
            Width::Pair.instruction(true, 4, 2),
            0xa900_1444,
            "stp x4, x5, [x2]"
        );
    }

    #[test]
    fn syndromes() {
        assert_eq!(esr_hvc(0xea1), 0x5a00_0ea1);
        assert_eq!(
            Width::Word.iss(true, 1),
            0x0181_0047,
            "str w1: SAS 2, SRT 1, WnR"
        );
        assert_eq!(Width::SignedByte.iss(false, 1), 0x0121_8007);
        assert_eq!(
            esr_mrs([3, 3, 14, 0, 1], 2),
            0x6232_f841,
            "mrs x2, cntpct_el0"
        );
    }
}
