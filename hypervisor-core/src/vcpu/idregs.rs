//! Identification registers, where reads of them trap (`HCR_EL2.TID3`): what a guest is told that
//! the processor has.
//!
//! An allow-list: a field that is not here reads as zero, whatever the processor has, because a
//! feature that this program does not know may have registers that nobody switches. Xen lists what
//! it hides instead (xen/arch/arm/cpufeature.c, `create_domain_cpuinfo`); all of that is hidden
//! here, and `ID_AA64ISAR2_EL1` and its like read as zero as there.
//!
//! Numbers are those of the Arm ARM, D19.2: a register of the group is (3, 0, 0, CRm, op2) with CRm
//! 1 to 7, its fields have four bits.

/// CRm and op2 of a register of the group.
pub type Name = (u8, u8);

const ID_AA64PFR0_EL1: Name = (4, 0);
/// `ID_AA64PFR0_EL1.EL0`: user space may be AArch32, too.
const BOTH_STATES: u64 = 2;

/// A field that guests see.
#[derive(Clone, Copy)]
enum Field {
    /// As the processor has it: instructions, and state that changes hands with the vCPU.
    Same(u32),
    /// As the processor has it, but no more than this.
    AtMost(u32, u64),
    /// The same for a signed field: negative says that there is nothing.
    AtMostSigned(u32, u64),
    /// This, whatever the processor has.
    Is(u32, u64),
}

use Field::{AtMost, AtMostSigned, Is, Same};

/// All eight fields of an AArch32 register, which describe instructions or, for EL1, what no guest
/// can reach.
const WHOLE: &[Field] = &[
    Same(0),
    Same(4),
    Same(8),
    Same(12),
    Same(16),
    Same(20),
    Same(24),
    Same(28),
];

/// The fields of a register that guests see. Registers that nothing names have none.
const fn fields(name: Name) -> &'static [Field] {
    match name {
        // ID_AA64PFR0_EL1: EL0, EL1 in AArch64 alone; FP, AdvSIMD, DIT; CSV2 without SCXTNUM_ELx,
        // which traps; CSV3. No EL2 and EL3, GIC registers, RAS, SVE, SEL2, MPAM, AMU, RME.
        ID_AA64PFR0_EL1 => &[
            AtMost(0, BOTH_STATES),
            Is(4, 1),
            Same(16),
            Same(20),
            AtMost(48, 1),
            AtMost(56, 1),
            Same(60),
        ],
        // ID_AA64PFR1_EL1: BT, SSBS. No MTE, RAS, MPAM, SME, CSV2_frac, NMI, GCS.
        (4, 1) => &[AtMost(0, 1), AtMost(4, 2)],
        // ID_AA64DFR0_EL1: a debug architecture with as little as there can be, two breakpoints and
        // two watchpoints, which read as zero; DoubleLock. No counters, trace, profiling.
        (5, 0) => &[Is(0, 6), Is(12, 1), Is(20, 1), Same(36)],
        // ID_AA64ISAR0_EL1: AES, SHA1, SHA2, CRC32, Atomic, RDM, SHA3, SM3, SM4, DP, FHM, TS, TLB,
        // RNDR. No TME.
        (6, 0) => &[
            AtMost(4, 2),
            AtMost(8, 1),
            AtMost(12, 2),
            AtMost(16, 1),
            AtMost(20, 2),
            AtMost(28, 1),
            AtMost(32, 1),
            AtMost(36, 1),
            AtMost(40, 1),
            AtMost(44, 1),
            AtMost(48, 1),
            AtMost(52, 2),
            AtMost(56, 2),
            AtMost(60, 1),
        ],
        // ID_AA64ISAR1_EL1: DPB, JSCVT, FCMA, LRCPC, FRINTTS, SB, SPECRES, BF16, DGH, I8MM, XS. No
        // pointer authentication (APA, API, GPA, GPI), no LS64.
        (6, 1) => &[
            AtMost(0, 2),
            AtMost(12, 1),
            AtMost(16, 1),
            AtMost(20, 2),
            AtMost(32, 1),
            AtMost(36, 1),
            AtMost(40, 1),
            AtMost(44, 1),
            AtMost(48, 1),
            AtMost(52, 1),
            AtMost(56, 1),
        ],
        // ID_AA64MMFR0_EL1: PARange up to the 40 bits of guest physical addresses, ASIDBits,
        // BigEnd, SNSMem, BigEndEL0, granules without 52-bit addresses, which hypercalls do not
        // follow; ExS, ECV's counters. No FGT.
        (7, 0) => &[
            AtMost(0, 2),
            AtMost(4, 2),
            AtMost(8, 1),
            AtMost(12, 1),
            AtMost(16, 1),
            AtMost(20, 1),
            Same(24),
            AtMostSigned(28, 0),
            AtMost(44, 1),
            AtMost(60, 1),
        ],
        // ID_AA64MMFR1_EL1: HAFDBS, HPDS, PAN, SpecSEI, ETS, AFP, nTLBPA, ECBHB. No VH, LO, XNX,
        // TWED, HCX.
        (7, 1) => &[
            AtMost(0, 2),
            AtMost(12, 2),
            AtMost(20, 3),
            AtMost(24, 1),
            AtMost(36, 2),
            AtMost(44, 1),
            AtMost(48, 1),
            AtMost(60, 1),
        ],
        // ID_AA64MMFR2_EL1: CnP, UAO, LSM, CCIDX, AT, IDS, TTL, BBM, E0PD. No IESB, VARange, NV,
        // ST, FWB, EVT.
        (7, 2) => &[
            AtMost(0, 1),
            AtMost(4, 1),
            AtMost(8, 1),
            AtMost(20, 1),
            AtMost(32, 1),
            AtMost(36, 1),
            AtMost(48, 1),
            AtMost(52, 2),
            AtMost(60, 1),
        ],
        // ID_PFR0_EL1: State0 to State2, CSV2, DIT. No ThumbEE, AMU, RAS.
        (1, 0) => &[Same(0), Same(4), Same(8), AtMost(16, 1), AtMost(24, 1)],
        // ID_PFR1_EL1: ProgMod, GenTimer. No Security, Virtualization, GIC registers.
        (1, 1) => &[Same(0), AtMost(16, 1)],
        // ID_DFR0_EL1: CopDbg. No counters, trace.
        (1, 2) => &[Is(0, 6)],
        // ID_MMFR0_EL1 to ID_MMFR3_EL1, ID_ISAR0_EL1 to ID_ISAR6_EL1.
        (1, 4..=7) | (2, 0..=5) | (2, 7) => WHOLE,
        // ID_MMFR4_EL1: SpecSEI, AC2, CnP, HPDS, LSM, CCIDX. No XNX, EVT.
        (2, 6) => &[Same(0), Same(4), Same(12), Same(16), Same(20), Same(24)],
        // MVFR0_EL1 to MVFR2_EL1.
        (3, 0..=2) => WHOLE,
        // ID_PFR2_EL1: CSV3, SSBS. No RAS.
        (3, 4) => &[Same(0), Same(4)],
        // ID_MMFR5_EL1: ETS, nTLBPA.
        (3, 6) => &[Same(0), Same(4)],
        _ => &[],
    }
}

/// Whether a guest's access to (`op0`, `op1`, `CRn`, `CRm`, `op2`) is one to the group, and which.
pub const fn name((op0, op1, crn, crm, op2): (u8, u8, u8, u8, u8)) -> Option<Name> {
    match (op0, op1, crn, crm) {
        (3, 0, 0, 1..=7) => Some((crm, op2)),
        _ => None,
    }
}

/// What a guest reads from the register `name`, on a processor whose registers are as `processor`
/// says.
pub fn offered(name: Name, mut processor: impl FnMut(Name) -> u64) -> u64 {
    let aarch32 = |(crm, _): Name| crm < 4;
    // Without AArch32 the registers about it are unknown.
    if aarch32(name) && processor(ID_AA64PFR0_EL1) & 0xf != BOTH_STATES {
        return 0;
    }
    let fields = fields(name);
    if fields.is_empty() {
        return 0;
    }
    let has = processor(name);
    fields
        .iter()
        .fold(0, |value, field| value | field.offered(has))
}

impl Field {
    /// The field, at its place, where the processor's register is `has`.
    const fn offered(self, has: u64) -> u64 {
        let (shift, value) = match self {
            Same(shift) => (shift, has >> shift & 0xf),
            AtMost(shift, most) => (shift, smaller(has >> shift & 0xf, most)),
            AtMostSigned(shift, most) => {
                let value = has >> shift & 0xf;
                (
                    shift,
                    if value < 8 {
                        smaller(value, most)
                    } else {
                        value
                    },
                )
            }
            Is(shift, value) => (shift, value),
        };
        value << shift
    }
}

const fn smaller(a: u64, b: u64) -> u64 {
    if a < b { a } else { b }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> impl Iterator<Item = Name> {
        (1..8).flat_map(|crm| (0..8).map(move |op2| (crm, op2)))
    }

    fn field(value: u64, shift: u32) -> u64 {
        value >> shift & 0xf
    }

    /// QEMU 7.2's `-cpu max`, which has what a guest must not have.
    fn max(name: Name) -> u64 {
        match name {
            (4, 0) => 0x1201_1111_2111_1112 | 1 << 32 | 1 << 40 | 1 << 44,
            (4, 1) => 0x0000_0000_0101_0321,
            (4, 4) => 0x0110_1101_0122_1121,
            (4, 5) => 0x80f1_00fd_0000_0000,
            (5, 0) => 0x0000_0000_1030_5609 | 1 << 32 | 1 << 40 | 1 << 44,
            (6, 0) => 0x1221_1111_1021_1120 | 1 << 24,
            (6, 1) => 0x1111_1111_1121_1111 | 1 << 60,
            (6, 2) => 0x0000_0000_0001_1111,
            (7, 0) => 0x1100_0222_1011_1126 | 1 << 56 | 2 << 60,
            (7, 1) => 0x1001_1010_1121_2122 | 1 << 16 | 1 << 40,
            (7, 2) => 0x1221_0111_0011_1111,
            (1, 0) => 0x1111_1131,
            (1, 1) => 0x1001_1011,
            (1, 2) => 0x0701_0676,
            (crm, op2) => 0x1111_0000 | u64::from(crm) << 4 | u64::from(op2),
        }
    }

    #[test]
    fn what_guests_cannot_use_is_not_there() {
        let pfr0 = offered((4, 0), max);
        // GIC, RAS, SVE, SEL2, MPAM, AMU, RME; EL2 and EL3.
        for shift in [8, 12, 24, 28, 32, 36, 40, 44, 52] {
            assert_eq!(field(pfr0, shift), 0, "bit {shift} of {pfr0:#x}");
        }
        assert_eq!((field(pfr0, 0), field(pfr0, 4)), (2, 1));
        assert_eq!(field(pfr0, 56), 1, "CSV2 without SCXTNUM");
        let pfr1 = offered((4, 1), max);
        assert_eq!(pfr1, 0x21, "BT and SSBS; no MTE, SME, RAS, RNDR_trap");
        assert_eq!(offered((4, 4), max), 0, "SVE");
        assert_eq!(offered((4, 5), max), 0, "SME");
        let isar1 = offered((6, 1), max);
        for shift in [4, 8, 24, 28, 60] {
            assert_eq!(field(isar1, shift), 0, "bit {shift} of {isar1:#x}");
        }
        assert_eq!(
            offered((6, 2), max),
            0,
            "WFxT, QARMA3, MOPS and what is to come"
        );
        assert_eq!(field(offered((6, 0), max), 24), 0, "TME");
        let dfr0 = offered((5, 0), max);
        assert_eq!(
            dfr0, 0x10_1006,
            "neither counters nor trace nor profiling; DoubleLock is there"
        );
        assert_eq!(offered((5, 1), max), 0);
        let mmfr1 = offered((7, 1), max);
        for shift in [4, 8, 16, 28, 32, 40, 52, 56] {
            assert_eq!(field(mmfr1, shift), 0, "bit {shift} of {mmfr1:#x}");
        }
    }

    #[test]
    fn addresses_are_those_that_a_guest_has_and_hypercalls_follow() {
        let mmfr0 = offered((7, 0), max);
        assert_eq!(field(mmfr0, 0), 2, "40 bits");
        assert_eq!(field(mmfr0, 28), 0, "4 KiB granule without LPA2");
        assert_eq!(field(mmfr0, 20), 1, "16 KiB granule without LPA2");
        assert_eq!(field(mmfr0, 56), 0, "fine-grained traps are EL2's");
        let small = |_| 0xf000_0000_u64 | 0xf << 24 | 1;
        assert_eq!(
            offered((7, 0), small),
            0xff00_0001,
            "granules that are not there"
        );
        assert_eq!(field(offered((7, 2), max), 16), 0, "52-bit addresses");
    }

    #[test]
    fn instructions_that_need_no_state_are_offered() {
        let isar0 = offered((6, 0), max);
        assert_eq!(isar0, 0x1221_1111_1021_1120);
        for shift in [0, 12, 16, 20, 32, 36, 44, 52] {
            assert_ne!(field(offered((6, 1), max), shift), 0, "bit {shift}");
        }
        assert_ne!(field(offered((7, 1), max), 20), 0, "PAN");
        assert_ne!(field(offered((7, 2), max), 60), 0, "E0PD");
    }

    #[test]
    fn vectors_that_are_not_there_stay_so() {
        let none = |_| 0x00ff_0011_u64;
        assert_eq!(offered((4, 0), none), 0x00ff_0011);
    }

    #[test]
    fn without_aarch32_its_registers_are_zero() {
        let only64 = |name| if name == (4, 0) { 0x11 } else { u64::MAX };
        for name in all().filter(|(crm, _)| *crm < 4) {
            assert_eq!(offered(name, only64), 0, "{name:?}");
            assert!(offered(name, max) >> 32 == 0, "{name:?}");
        }
        assert_eq!(offered((1, 0), max), 0x0101_0131 & !0xf000);
        assert_eq!(offered((1, 2), max), 6);
    }

    #[test]
    fn only_the_group_has_names() {
        assert_eq!(name((3, 0, 0, 4, 0)), Some((4, 0)));
        assert_eq!(name((3, 0, 0, 7, 7)), Some((7, 7)));
        for other in [
            (3, 0, 0, 0, 0),
            (3, 0, 0, 8, 0),
            (3, 1, 0, 4, 0),
            (2, 0, 0, 4, 0),
            (3, 0, 1, 4, 0),
        ] {
            assert_eq!(name(other), None);
        }
    }

    /// A processor that has everything: each field of every register at its largest. What a guest
    /// sees of it is this list and no more; a field that is added needs a reason here, too.
    #[test]
    fn a_processor_of_the_future_shows_what_is_known() {
        let future = |name| {
            if name == (4, 0) {
                !0xf | BOTH_STATES
            } else {
                u64::MAX
            }
        };
        let seen: std::vec::Vec<_> = all()
            .filter(|name| name.0 >= 4)
            .map(|name| (name, offered(name, future)))
            .filter(|(_, value)| *value != 0)
            .collect();
        assert_eq!(
            seen,
            [
                ((4, 0), 0xf101_0000_00ff_0012),
                ((4, 1), 0x21),
                ((5, 0), 0xf0_0010_1006),
                ((6, 0), 0x1221_1111_1021_2120),
                ((6, 1), 0x0111_1111_0021_1002),
                ((7, 0), 0x1000_1000_ff11_1122),
                ((7, 1), 0x1001_1020_0130_2002),
                ((7, 2), 0x1021_0011_0010_0111),
            ]
        );
    }
}
