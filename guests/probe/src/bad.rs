//! Instructions that a guest should not execute: each must have its architectural answer, and
//! whatever is below must live on.

use crate::attempt;
use crate::gic::{GICD, gicd};
use crate::report::Report;
use crate::trap::{Outcome, class};

/// A hole in Xen's guest layout, below all devices.
const HOLE: u64 = 0x0100_0000;
/// Beyond RAM bank 0 of a small guest, below bank 1.
const HOLE_ABOVE: u64 = 0x1_8000_0000;

/// Runs the set.
pub fn run(report: &mut Report) {
    holes(report);
    wrong_immediates(report);
    undecodable(report);
    odd_sizes(report);
    system_registers(report);
}

fn holes(report: &mut Report) {
    for (name, hole) in [("low", HOLE), ("above-ram", HOLE_ABOVE)] {
        let outcome = attempt!("ldr x0, [{}]", in(reg) hole);
        took_abort(report, "load", name, outcome, hole);
        let outcome = attempt!("str x0, [{}]", in(reg) hole);
        took_abort(report, "store", name, outcome, hole);
        let outcome = attempt!("blr {}", in(reg) hole);
        let pass = matches!(outcome, Outcome::Took(fault) if fault.class() == class::FETCH_ABORT && fault.far == hole);
        report.check("bad", "fetch-hole", pass, format_args!("{name}: {outcome}"));
    }
}

/// A data abort at `address`, ELR at the instruction.
fn took_abort(report: &mut Report, what: &str, place: &str, outcome: Outcome, address: u64) {
    let pass = matches!(outcome, Outcome::Took(fault)
        if fault.class() == class::DATA_ABORT && fault.far == address && fault.past == 0);
    report.check("bad", what, pass, format_args!("{place}: {outcome}"));
}

/// Xen gives UNDEF for both; its ELR is behind an HVC and at an SMC, as the architecture leaves
/// them.
fn wrong_immediates(report: &mut Report) {
    report.took(
        "hvc-0x1234",
        attempt!("hvc #0x1234", in("x7") 0),
        class::UNDEFINED,
        None,
        4,
    );
    report.took(
        "hvc-1",
        attempt!("hvc #1", in("x7") 0),
        class::UNDEFINED,
        None,
        4,
    );
    report.took(
        "hvc-0xea0",
        attempt!("hvc #0xea0", in("x7") 0),
        class::UNDEFINED,
        None,
        4,
    );
    report.took(
        "hvc-0xffff",
        attempt!("hvc #0xffff", in("x7") 0),
        class::UNDEFINED,
        None,
        4,
    );
    report.took("smc-1", attempt!("smc #1"), class::UNDEFINED, None, 0);
    report.took(
        "smc-0xea1",
        attempt!("smc #0xea1"),
        class::UNDEFINED,
        None,
        0,
    );
}

/// Accesses to a device for which the syndrome has no register (ISV = 0), and which nobody decodes:
/// they become aborts.
fn undecodable(report: &mut Report) {
    let at = GICD + gicd::IPRIORITYR;
    took_abort(
        report,
        "ldp-distributor",
        "x",
        attempt!("ldp x0, x1, [{}]", in(reg) at),
        at,
    );
    took_abort(
        report,
        "stp-distributor",
        "w",
        attempt!("stp wzr, wzr, [{}]", in(reg) at),
        at,
    );
    // Not on Xen.
    report.survived(
        "str-pre-index",
        attempt!("str wzr, [x9, #4]!", inout("x9") at - 4 => _),
    );
    took_abort(
        report,
        "ldr-vector",
        "q",
        attempt!("ldr q0, [{}]", in(reg) at),
        at,
    );
    took_abort(
        report,
        "ld1-vector",
        "4s",
        attempt!("ld1 {{v0.4s}}, [{}]", in(reg) at),
        at,
    );
    // Exclusives may abort or work, as on hardware: the device is Device memory.
    report.survived("ldxr-distributor", attempt!("ldxr w0, [{}]", in(reg) at));
}

fn odd_sizes(report: &mut Report) {
    let control = GICD + gicd::CTLR;
    took_abort(
        report,
        "ldrb-ctlr",
        "b",
        attempt!("ldrb w0, [{}]", in(reg) control),
        control,
    );
    took_abort(
        report,
        "ldrh-ctlr",
        "h",
        attempt!("ldrh w0, [{}]", in(reg) control),
        control,
    );
    took_abort(
        report,
        "strb-ctlr",
        "b",
        attempt!("strb wzr, [{}]", in(reg) control),
        control,
    );
    took_abort(
        report,
        "ldr-x-ctlr",
        "x",
        attempt!("ldr x0, [{}]", in(reg) control),
        control,
    );
    // With the MMU off this is Device memory, where an unaligned access aborts; QEMU lets it
    // through.
    report.survived(
        "unaligned-typer",
        attempt!("ldr w0, [{}]", in(reg) GICD + gicd::TYPER + 2),
    );
    let outcome = attempt!("ldrb w0, [{}]", in(reg) GICD + gicd::IPRIORITYR + 1);
    report.check(
        "bad",
        "ldrb-priority",
        matches!(outcome, Outcome::Done),
        format_args!("{outcome}"),
    );
    // The last word of the distributor, and the first behind it.
    report.survived(
        "distributor-end",
        attempt!("ldr w0, [{}]", in(reg) GICD + 0xffc),
    );
    took_abort(
        report,
        "distributor-before",
        "w",
        attempt!("ldr w0, [{}]", in(reg) GICD - 4),
        GICD - 4,
    );
}

/// Registers and instructions that the hypervisor may give, hide or trap; none may do more than
/// UNDEF.
fn system_registers(report: &mut Report) {
    report.survived("read-actlr", attempt!("mrs x0, actlr_el1"));
    report.survived("write-actlr", attempt!("msr actlr_el1, xzr"));
    report.survived("read-pmcr", attempt!("mrs x0, pmcr_el0"));
    report.survived("write-pmcr", attempt!("msr pmcr_el0, xzr"));
    report.survived("read-mdscr", attempt!("mrs x0, mdscr_el1"));
    report.survived("write-oslar", attempt!("msr oslar_el1, xzr"));
    report.survived("read-dbgbvr0", attempt!("mrs x0, dbgbvr0_el1"));
    report.survived("read-cntp-ctl", attempt!("mrs x0, cntp_ctl_el0"));
    report.survived("read-cntpct", attempt!("mrs x0, cntpct_el0"));
    report.survived("read-icc-sre", attempt!("mrs x0, S3_0_C12_C12_5"));
    report.survived("write-icc-sgi1r", attempt!("msr S3_0_C12_C11_5, xzr"));
    report.survived("dc-isw", attempt!("dc isw, xzr"));
    report.survived("read-l2ctlr", attempt!("mrs x0, S3_1_C11_C0_2"));
    report.took(
        "read-hcr",
        attempt!("mrs x0, hcr_el2"),
        class::UNDEFINED,
        None,
        0,
    );
    report.took(
        "read-vttbr",
        attempt!("mrs x0, vttbr_el2"),
        class::UNDEFINED,
        None,
        0,
    );
    report.took(
        "eret-to-el2-register",
        attempt!("msr elr_el2, xzr"),
        class::UNDEFINED,
        None,
        0,
    );
    report.took("udf", attempt!("udf #0"), class::UNDEFINED, None, 0);
}

impl Report {
    /// The instruction worked or was undefined or aborted: that this line is printed is the point.
    fn survived(&mut self, name: &str, outcome: Outcome) {
        let pass = match outcome {
            Outcome::Done => true,
            Outcome::Took(fault) => matches!(fault.class(), class::UNDEFINED | class::DATA_ABORT),
        };
        self.check("bad", name, pass, format_args!("{outcome}"));
    }
}
