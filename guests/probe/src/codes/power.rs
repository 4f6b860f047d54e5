//! PSCI and the other SMCCC functions.

use super::Codes;
use crate::cpu::{hvc0, smc};

/// What a function that does not exist answers.
const NOT_SUPPORTED: i64 = -1;

/// Runs the checks.
pub fn run(c: &mut Codes<'_>) {
    features(c);
    processors(c);
    services(c);
}

fn features(c: &mut Codes<'_>) {
    for function in 0..0x20u64 {
        for base in [0x8400_0000, 0xc400_0000] {
            let id = base + function;
            let there = matches!(
                id,
                0x8400_0000..=0x8400_0004 | 0x8400_0006 | 0x8400_0008..=0x8400_000a | 0x8400_000e | 0xc400_0001 | 0xc400_0003 | 0xc400_0004 | 0xc400_000e
            );
            let want = if there { 0 } else { NOT_SUPPORTED };
            c.of("psci-features", id, smc(0x8400_000a, id, 0, 0), want);
        }
    }
    for id in [0, 1, 2, 0x8000_0001, 0x8600_ff01, 0xffff_ffff] {
        c.of(
            "psci-features",
            id,
            smc(0x8400_000a, id, 0, 0),
            NOT_SUPPORTED,
        );
    }
    c.is(
        "psci-features-smccc",
        smc(0x8400_000a, 0x8000_0000, 0, 0),
        0,
    );
    c.is(
        "psci-features-upper",
        smc(0x8400_000a, 1 << 32 | 0x8400_0000, 0, 0),
        0,
    );
    for id in [
        0x8400_0005,
        0x8400_0007,
        0x8400_000b,
        0x8400_000c,
        0x8400_000d,
        0x8400_000f,
        0x8400_0012,
        0x8400_001f,
        0xc400_0000,
        0xc400_0002,
        0xc400_0006,
        0xc400_0008,
        0xc400_000a,
    ] {
        c.of("psci-no-function", id, smc(id, 0, 0, 0), NOT_SUPPORTED);
    }
    c.is(
        "psci-version",
        smc(0xdead_beef_8400_0000, 0, 0, 0),
        0x1_0001,
    );
    c.is("psci-version-hvc", hvc0(0x8400_0000, 0, 0, 0), 0x1_0001);
    c.is("migrate-type", smc(0x8400_0006, 0, 0, 0), 2);
    // Suspending to an odd address is refused; the other calls of SYSTEM_SUSPEND would end the
    // test.
    for id in [0x8400_000e, 0xc400_000e] {
        c.of("system-suspend-odd", id, smc(id, 0x4000_0001, 0, 0), -9);
    }
}

fn processors(c: &mut Codes<'_>) {
    for id in [0x8400_0003, 0xc400_0003] {
        c.of("cpu-on-self", id, smc(id, 0, 0x4000_0000, 0), -4);
        c.of("cpu-on-odd", id, smc(id, 0, 0x4000_0001, 0), -9);
        c.of("cpu-on-1", id, smc(id, 1, 0x4000_0001, 0), -2);
        c.of("cpu-on-100", id, smc(id, 0x100, 0, 0), -2);
        c.of("cpu-on-80", id, smc(id, 0x80, 0, 0), -2);
        // Levels 2 and 3 and the bits between them are not looked at.
        c.of("cpu-on-level-2", id, smc(id, 0x1_0000, 0, 0), -4);
        c.of("cpu-on-bit-31", id, smc(id, 0x8000_0000, 0, 0), -4);
        c.of("cpu-on-level-3", id, smc(id, 1 << 32, 0, 0), -4);
    }
    // PSCI 0.1 knows one error only.
    c.is("old-cpu-on-self", smc(2, 0, 0x4000_0000, 0), -2);
    c.is("old-cpu-on-odd", smc(2, 0, 0x4000_0001, 0), -2);
    c.is("old-cpu-on-1", smc(2, 1, 0x4000_0000, 0), -2);
    for id in [0x8400_0004, 0xc400_0004] {
        for (affinity, level, want) in [
            (0, 0, 0),
            (1, 0, 1),
            (0x100, 0, 1),
            (1, 1, 0),
            (0x100, 1, 1),
            (0xffff, 2, 0),
            (0x1_0000, 2, 1),
            (0xff_ffff, 3, 0),
            (0, 4, -2),
            (0, 0xffff_ffff, -2),
            (0, 1 << 32, 0),
            (0x8000_0000, 0, 0),
        ] {
            c.of(
                "affinity",
                level << 32 | affinity,
                smc(id, affinity, level, 0),
                want,
            );
        }
    }
    c.is(
        "affinity-level-3-narrow",
        smc(0x8400_0004, 1 << 32, 0, 0),
        0,
    );
    c.is("affinity-level-3", smc(0xc400_0004, 1 << 32, 0, 0), 1);
}

fn services(c: &mut Codes<'_>) {
    c.is("smccc-version", smc(0x8000_0000, 0, 0, 0), 0x1_0002);
    for id in [0, 0x8000_0000, 0x8000_0001, 0x8000_3fff, 0x8000_8000] {
        c.of(
            "arch-features",
            id,
            smc(0x8000_0001, id, 0, 0),
            NOT_SUPPORTED,
        );
    }
    // There the call may be made, and does nothing on this CPU.
    let ssbd = smc(0x8000_0001, 0x8000_7fff, 0, 0);
    c.differs("arch-features-ssbd", ssbd, 0, NOT_SUPPORTED);
    // Calls without a result leave x0 as it was, or zero it.
    for id in [0x8000_8000, 0x8000_7fff, 0x8000_3fff] {
        c.of("workaround", id, smc(id, 0, 0, 0), id as i64);
        c.of("workaround-hvc", id, hvc0(id, 0, 0, 0), 0);
    }
    for (id, want) in [
        (0x8500_ff00, 3),
        (0x8500_ff01, 0xdc12_18a7),
        (0x8500_ff03, 0),
        (0x8400_ff00, 17),
        (0x8400_ff01, 0x6f38_63f8),
        (0x8400_ff03, 0),
    ] {
        c.of("service", id, smc(id, 0, 0, 0), want);
    }
    for id in [
        0,
        3,
        4,
        0xea1,
        0x0100_ffff,
        0x8000_0002,
        0x8000_ff00,
        0x8100_ff00,
        0x8200_0000,
        0x8200_ff01,
        0x8300_0000,
        0x8400_0020,
        0x8400_0060,
        0x8400_ff02,
        0x8500_0000,
        0x8600_0000,
        0x8500_ff02,
        0x8600_ff00,
        0x8600_ff01,
        0xb200_0000,
        0xbf00_ff01,
        0xc000_0000,
        0xc600_ff01,
        0x4400_0000,
        0x0400_0000,
        0xffff_ffff,
    ] {
        c.of("no-service", id, smc(id, 0, 0, 0), NOT_SUPPORTED);
    }
}
