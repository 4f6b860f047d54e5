//! Loads, stores and fetches of what is not there.

use super::*;

#[test]
fn loads_and_stores_outside_the_map_are_data_aborts() {
    attack(|guest| {
        let end = RAM + (16 << 20);
        for at in [
            0,
            0x1000,
            GICD + 0x1000 + 0x2000,
            UART,
            RAM - 8,
            end,
            0x1_0000_0000,
            SHARED_INFO,
        ] {
            for width in [
                Width::Byte,
                Width::Half,
                Width::Word,
                Width::Double,
                Width::SignedByte,
                Width::Pair,
            ] {
                for store in [false, true] {
                    guest.set_x(4, 0x4444);
                    let Ran::Exception(taken) = guest.access(at, width, store) else {
                        panic!("{at:#x} is nothing")
                    };
                    assert_eq!(
                        (taken.vector, taken.esr, taken.elr),
                        (0x200, 0x9600_0000, 0),
                        "{at:#x} {width:?}"
                    );
                    assert_eq!(taken.far, at, "{width:?}");
                    assert_eq!(guest.x(4), 0x4444, "no register changes");
                    assert_eq!(guest.sysreg(SysReg::Spsr), 0x3c5);
                }
            }
        }
    });
}

#[test]
fn ldp_and_stp_to_the_distributor_are_data_aborts() {
    attack(|guest| {
        for offset in [0, 0x100, 0x400, 0xff0] {
            for store in [false, true] {
                let ran = guest.access(GICD + offset, Width::Pair, store);
                let Ran::Exception(taken) = ran else {
                    panic!("ISV is 0: {ran:?}")
                };
                assert_eq!((taken.esr, taken.far), (0x9600_0000, GICD + offset));
            }
        }
        assert_eq!(guest.load(GICD, Width::Word), 0);
    });
}

#[test]
fn fetching_from_nowhere_is_an_instruction_abort() {
    attack(|guest| {
        for pc in [0, GICD, RAM + (16 << 20), 0x1_0000_0000] {
            let Ran::Exception(taken) = guest.fetch_fault_at(pc) else {
                panic!("{pc:#x}")
            };
            assert_eq!(
                (taken.vector, taken.esr, taken.far, taken.elr),
                (0x200, 0x8600_0000, pc, 0)
            );
        }
    });
}

#[test]
fn system_registers_that_a_guest_does_not_have_are_undefined() {
    attack(|guest| {
        for encoding in [
            [3, 0, 12, 12, 5],
            [3, 0, 15, 1, 0],
            [3, 4, 1, 1, 0],
            [2, 1, 0, 0, 0],
            [3, 3, 14, 2, 3],
        ] {
            for rt in [0, 5, 30, 31] {
                let Ran::Exception(taken) = guest.trap(insn::NOP, insn::esr_mrs(encoding, rt))
                else {
                    panic!("{encoding:?} is not emulated")
                };
                assert_eq!((taken.esr, taken.elr), (0x0200_0000, 0));
            }
        }
    });
}

/// Every instruction that a guest loses to the host is told with what it was, where, and what to do
/// about it.
#[test]
fn instructions_that_no_guest_is_offered_are_undefined_and_told() {
    let mut sys = System::two();
    for (class, iss, words, advice) in [
        (0x19_u32, 0, "SVE instruction, pc ", "arm64.nosve"),
        (0x1d, 0, "SME instruction, pc ", "arm64.nosme"),
        (
            0x09,
            0,
            "instruction of pointer authentication, pc ",
            "arm64.nopauth",
        ),
        (0x07, 0x1e0_0000, "floating-point instruction, pc ", ""),
        (0x17, 1, "smc #0x1, pc ", "smc #0"),
        (0x0e, 0, "illegal execution state, pc ", "SPSR_EL1"),
        (0x27, 0, "memory (MOPS), pc ", "arm64.nomops"),
        (0x2d, 0, "control stack (GCS), pc ", "arm64.nogcs"),
        (0x3f, 0, "instruction with exception class 0x3f, pc ", ""),
    ] {
        let mut guest = sys.guest(0);
        let Ran::Exception(taken) = guest.trap(insn::NOP, class << 26 | 1 << 25 | iss) else {
            panic!("class {class:#x}")
        };
        assert_eq!((taken.esr, taken.elr), (0x0200_0000, 0), "class {class:#x}");
        let line = sys.vmm_log(0).last().expect("a line").clone();
        assert!(line.contains(words) && line.contains(advice), "{line}");
        // At most 20 lines a second.
        sys.advance(FREQUENCY);
    }
    for (encoding, advice) in [
        ([3, 0, 2, 1, 0], "arm64.nopauth"),
        ([3, 0, 1, 0, 6], "arm64.nomte"),
        ([3, 0, 12, 12, 5], "GICv2"),
        ([3, 0, 5, 3, 0], "RAS"),
        ([2, 1, 0, 0, 0], "switch the feature off"),
    ] {
        sys.guest(0).trap(insn::NOP, insn::esr_mrs(encoding, 3));
        let line = sys.vmm_log(0).last().expect("a line").clone();
        assert!(
            line.contains("system register") && line.contains(advice),
            "{line}"
        );
        sys.advance(FREQUENCY);
    }
    sys.guest(0).hvc_imm(0x1234, Way::Trap);
    let line = sys.vmm_log(0).last().expect("a line");
    assert!(
        line.contains("hvc #0x1234, pc ") && line.contains("hvc #0xea1"),
        "{line}"
    );
}

/// A guest of a machine where reads of identification registers trap sees what it can use.
#[test]
fn identification_registers_promise_what_a_guest_can_use() {
    let mut sys = System::two();
    let mut guest = sys.guest(0);
    // A processor that says yes to everything, with AArch32 user space.
    guest.identify_as(|name| if name == (4, 0) { !0xf | 2 } else { u64::MAX });
    for (encoding, value) in [
        ([3, 0, 0, 4, 0], 0xf101_0000_00ff_0012_u64),
        ([3, 0, 0, 4, 1], 0x21),
        ([3, 0, 0, 4, 4], 0),
        ([3, 0, 0, 4, 5], 0),
        ([3, 0, 0, 6, 2], 0),
        ([3, 0, 0, 7, 4], 0),
        ([3, 0, 0, 1, 2], 6),
    ] {
        guest.set_x(5, 0x77);
        assert_eq!(guest.trap(insn::NOP, insn::esr_mrs(encoding, 5)), Ran::Done);
        assert_eq!(guest.x(5), value, "{encoding:?}");
    }
    let mut other = sys.guest(1);
    let ran = other.trap(insn::NOP, insn::esr_mrs([3, 0, 0, 4, 0], 5));
    assert!(
        matches!(ran, Ran::Exception(_)),
        "a host that cannot read them has no answer"
    );
}

#[test]
fn every_exception_class_is_survived() {
    attack(|guest| {
        for class in 0..64_u32 {
            for iss in [0, 1, 0xea1, 0x1ff_ffff] {
                let esr = class << 26 | 1 << 25 | iss;
                // HVC with the PC behind it, WFI and SMC calls that would stop or stall are their
                // own tests.
                if matches!(class, 0x01 | 0x16 | 0x17) {
                    continue;
                }
                guest.set_x(0, 0);
                let ran = guest.trap(insn::NOP, esr);
                assert!(
                    matches!(ran, Ran::Done | Ran::Exception(_)),
                    "{esr:#x}: {ran:?}"
                );
            }
        }
    });
}

#[test]
fn el0_and_aarch32_states_are_survived() {
    attack(|guest| {
        for pstate in [
            0x3c0,
            0x3c4,
            0x3c5,
            0x10,
            0x1d3,
            0xffff_ffff,
            0x3cd,
            u64::MAX,
        ] {
            guest.set_pstate(pstate);
            let ran = guest.access(0x1000, Width::Word, false);
            assert!(matches!(ran, Ran::Exception(_)), "{pstate:#x}: {ran:?}");
            guest.set_pstate(pstate);
            let ran = guest.hvc_imm(0x42, Way::Trap);
            assert!(matches!(ran, Ran::Exception(_)), "{pstate:#x}: {ran:?}");
        }
        guest.set_pstate(0x3c5);
    });
}

#[test]
fn a_domain_may_ask_that_nothing_reads_as_ones_and_swallows_writes() {
    let domain = Domain {
        trap_unmapped: Some(0),
        ..Domain::new("lenient")
    };
    let mut sys = System::new(&[domain]);
    let mut guest = sys.guest(0);
    for at in [0x1000, UART, RAM + (16 << 20)] {
        assert_eq!(guest.load(at, Width::Byte), 0xff);
        assert_eq!(guest.load(at, Width::Word), 0xffff_ffff);
        assert_eq!(guest.load(at, Width::Double), u64::MAX);
        guest.store(at, Width::Word, 5);
        let ran = guest.access(at, Width::Pair, false);
        assert!(
            matches!(ran, Ran::Exception(_)),
            "what cannot be decoded is an abort all the same: {ran:?}"
        );
    }
}
