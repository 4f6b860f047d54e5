//! PSCI and SMCCC, and instructions that are no calls.

use super::*;

#[test]
fn psci_by_smc_and_by_hvc() {
    let calls: [(&[u64], i64); 14] = [
        (&[0x8400_0000], 0x1_0001),
        (&[0x8000_0000], 0x1_0002),
        (&[0x8000_0001, 0x8000], -1),
        (&[0x8400_0006], 2),
        (&[0xc400_0003, 0, RAM, 0], -4),
        (&[0xc400_0003, 1, RAM, 0], -2),
        (&[0xc400_0003, 0, RAM + 1, 0], -9),
        (&[0xc400_0004, 0, 0], 0),
        (&[0xc400_0004, 1, 0], 1),
        (&[0xc400_0004, 0, 4], -2),
        (&[0x8400_000a, 0x8400_0008], 0),
        (&[0x8400_000a, 0x8400_0042], -1),
        (&[0x8500_ff00], 3),
        (&[0x1234_5678], -1),
    ];
    in_every_way(|guest| {
        for (args, answer) in calls {
            assert_eq!(guest.smc(args), Ran::Done);
            assert_eq!(guest.x(0).cast_signed(), answer, "smc {args:#x?}");
        }
    });
    for way in Way::ALL {
        let mut sys = System::two();
        let mut guest = sys.guest(0);
        for (args, answer) in calls {
            for (n, value) in (0..).zip(args) {
                guest.set_x(n, *value);
            }
            assert_eq!(guest.hvc_imm(0, way), Ran::Done);
            assert_eq!(guest.x(0).cast_signed(), answer, "hvc {args:#x?}");
        }
    }
}

#[test]
fn psci_features_claims_every_call_of_the_minimum() {
    let mut sys = System::two();
    let mut guest = sys.guest(0);
    for id in [
        0x8400_0000,
        0x8400_0002,
        0x8400_0003,
        0xc400_0003,
        0x8400_0004,
        0xc400_0004,
        0x8400_0006,
        0x8400_0008,
    ]
    .into_iter()
    .chain([0x8400_0009, 0x8400_000a, 0x8000_0000])
    {
        assert_eq!(guest.smc(&[0x8400_000a, id]), Ran::Done);
        assert_eq!(guest.x(0), 0, "{id:#x}");
    }
}

#[test]
fn psci_power() {
    let mut sys = System::two();
    assert_eq!(
        sys.guest(0).smc(&[0x8400_0008]),
        Ran::Stopped(StopReason::PowerOff)
    );
    assert!(!sys.is_alive(0) && sys.is_alive(1));
    assert_eq!(sys.guest(1).smc(&[0x8400_0009]), Ran::Restarts);
    assert!(sys.is_alive(1));
    assert_eq!(sys.restarts(1), 1);
    let mut sys = System::two();
    assert_eq!(
        sys.guest(0).smc(&[0x8400_0002]),
        Ran::Waiting,
        "CPU_OFF of the only vCPU"
    );
    sys.type_in(b"hello");
    sys.advance(1_000_000_000);
    assert!(sys.is_waiting(0), "nothing turns it on again");
}

#[test]
fn psci_suspend_sleeps_like_wfi() {
    let mut sys = System::two();
    let mut guest = sys.guest(0);
    guest.enable_gic();
    guest.enable_interrupt(27);
    let now = guest.sys.now();
    guest.set_timer(now + 500);
    assert_eq!(guest.smc(&[0xc400_0001, 0, RAM, 0]), Ran::Waiting);
    sys.advance(500);
    let mut guest = sys.guest(0);
    assert!(guest.is_running());
    assert_eq!(guest.x(0), 0);
}

#[test]
fn other_immediates_are_undefined() {
    in_every_way(|guest| {
        for way in Way::ALL {
            for imm in [1, 0x1234, 0xea0, 0xea2, 0xffff] {
                let Ran::Exception(taken) = guest.hvc_imm(imm, way) else {
                    panic!("hvc #{imm:#x} is no call")
                };
                assert_eq!(
                    (taken.vector, taken.esr, taken.elr),
                    (0x200, 0x0200_0000, 4),
                    "hvc: behind it"
                );
            }
        }
        for imm in [1, 0xea1] {
            let Ran::Exception(taken) = guest.smc_imm(imm) else {
                panic!("smc #{imm:#x} is no call")
            };
            assert_eq!(
                (taken.vector, taken.esr, taken.elr),
                (0x200, 0x0200_0000, 0),
                "smc: at it"
            );
        }
    });
}
