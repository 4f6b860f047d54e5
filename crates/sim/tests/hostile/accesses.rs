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

#[test]
fn every_exception_class_is_survived() {
    attack(|guest| {
        for class in 0..64_u32 {
            for iss in [0, 1, 0xea1, 0x1ff_ffff] {
                let esr = class << 26 | 1 << 25 | iss;
                // HVC with the PC behind it, WFI and SMC calls that would stop or stall are their own tests.
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
