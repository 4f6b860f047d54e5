//! Devices that are emulated: accesses that compilers make, and interrupts when many wait.

use crate::attempt;
use crate::gic::{self, GICD, gicd};
use crate::report::Report;
use crate::trap::Outcome;

/// Priorities of SGIs 4 to 7, which nothing here uses otherwise.
const AT: u64 = GICD + gicd::IPRIORITYR + 4;

/// Runs the set.
pub fn run(report: &mut Report) {
    write_back(report);
    caches(report);
    urgent(report);
    gic::write_distributor(gicd::IPRIORITYR + 4, 0);
}

/// Loads and stores that move their base (ISV = 0).
fn write_back(report: &mut Report) {
    let mut done = |name: &str, outcome: Outcome, moved: u64, by: u64, value: u64, want: u64| {
        let pass =
            matches!(outcome, Outcome::Done) && moved == AT.wrapping_add(by) && value == want;
        report.check(
            "abi",
            name,
            pass,
            format_args!("{outcome} base {moved:#x} value {value:#x}"),
        );
    };
    let (mut base, mut value) = (AT, 0x80a0_90b0_u64);
    let outcome = attempt!("str w0, [x9], #4", inout("x9") base, in("x0") value);
    let there = u64::from(gic::read_distributor(gicd::IPRIORITYR + 4));
    done("str-post-index", outcome, base, 4, there, 0x80a0_90b0);
    base = AT;
    let outcome = attempt!("ldr w0, [x9], #4", inout("x9") base, out("x0") value);
    done("ldr-post-index", outcome, base, 4, value, 0x80a0_90b0);
    base = AT;
    let outcome = attempt!("ldrb w0, [x9], #1", inout("x9") base, out("x0") value);
    done("ldrb-post-index", outcome, base, 1, value, 0xb0);
    base = AT;
    let outcome = attempt!("strb wzr, [x9], #-1", inout("x9") base);
    let there = u64::from(gic::read_distributor(gicd::IPRIORITYR + 4));
    done(
        "strb-post-index",
        outcome,
        base,
        1_u64.wrapping_neg(),
        there,
        0x80a0_9000,
    );
}

/// On a device there is nothing to maintain.
fn caches(report: &mut Report) {
    let outcome = attempt!("dc civac, {}", in(reg) AT);
    let pass = matches!(outcome, Outcome::Done);
    report.check("abi", "dc-civac-device", pass, format_args!("{outcome}"));
}

/// However many wait behind the priority mask, an urgent interrupt comes.
fn urgent(report: &mut Report) {
    for waiting in [1, 3, 4, 5, 12] {
        let (first, then) = gic::urgent(waiting);
        report.check(
            "abi",
            "urgent-interrupt",
            first == gic::URGENT && then == (1 << waiting) - 1,
            format_args!("{waiting} wait: first {first}, then {then:#x}"),
        );
    }
}
