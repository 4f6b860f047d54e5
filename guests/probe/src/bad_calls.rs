//! Hypercalls with wild pointers, with numbers that do not exist, and with every small negative x7.

use crate::gic::GICD;
use crate::println;
use crate::report::Report;
use crate::xen::{call_x7, call2, call3, errno, nr};

/// Pointers that no call may follow: outside any RAM, in a device, at the ends of the address
/// space, not canonical, and across the end of what there is.
const WILD: [u64; 9] = [
    8,
    0x0100_0000,
    GICD,
    0x1_8000_0000,
    0x00ff_ffff_ffff,
    0x7fff_ffff_ffff_fff8,
    0x8000_0000_0000_0000,
    0xdead_beef_0000_0000,
    u64::MAX - 3,
];

/// Calls whose second argument is a pointer, and what they answer to a wild one.
const CALLS: [(&str, u64, u64, i64); 12] = [
    ("version-get-features", nr::VERSION, 6, errno::FAULT),
    ("version-extraversion", nr::VERSION, 1, errno::FAULT),
    ("memory-current-reservation", nr::MEMORY, 3, errno::FAULT),
    ("memory-add-to-physmap", nr::MEMORY, 7, errno::FAULT),
    ("memory-remove-from-physmap", nr::MEMORY, 15, errno::FAULT),
    // Both never answer an error number.
    ("memory-decrease-reservation", nr::MEMORY, 1, 0),
    ("memory-populate-physmap", nr::MEMORY, 6, 0),
    ("evtchn-send", nr::EVTCHN, 4, errno::FAULT),
    ("evtchn-status", nr::EVTCHN, 5, errno::FAULT),
    ("evtchn-alloc-unbound", nr::EVTCHN, 6, errno::FAULT),
    ("hvm-get-param", nr::HVM, 1, errno::FAULT),
    ("sched-shutdown", nr::SCHED, 2, errno::FAULT),
];

/// Numbers outside the table. The number is 64 bits wide: the last ones have a good number in their
/// low half.
const UNKNOWN: [u64; 14] = [
    0,
    1,
    15,
    30,
    38,
    40,
    47,
    48,
    49,
    63,
    0xffff_ffff,
    0x1_0000_0011,
    0x8000_0000_0000_0011,
    u64::MAX,
];

/// Runs the set; the sweep of x7 goes down to `-x7`.
pub fn run(report: &mut Report, x7: u64) {
    for (name, number, command, want) in CALLS {
        for pointer in WILD {
            let got = call2(number, command, pointer);
            if got != want {
                println!("probe: bad {name} with {pointer:#x}: got {got}");
            }
            report.wild(got == want);
        }
        report.wild_done(name);
    }
    for pointer in WILD {
        report.wild(call3(nr::VCPU, 10, 0, pointer) == errno::FAULT);
    }
    report.wild_done("vcpu-register-info");
    for pointer in WILD {
        report.wild(call3(nr::GRANT, 6, pointer, 1) == errno::FAULT);
    }
    report.wild_done("grant-query-size");
    for pointer in WILD {
        report.wild(call3(nr::CONSOLE, 0, 16, pointer) == errno::FAULT);
    }
    report.wild_done("console-write");
    // More than there is memory for: Xen walks until the end of what is mapped, which must be soon.
    let got = call3(nr::CONSOLE, 0, u64::MAX, 8);
    report.equal("bad", "console-write-count-minus-1", got, errno::FAULT);
    for number in UNKNOWN {
        let got = call2(number, 0, 0);
        report.check(
            "bad",
            "unknown-number",
            got == errno::NOSYS,
            format_args!("{number:#x}: got {got}"),
        );
    }
    sweep(report, x7);
}

/// seL4's stock kernel takes an HVC for one of its own calls where x7 has that call's number. The
/// guard of the VM's capability space turns these into faults; NBSend (-6) and Yield (-11) return
/// at once on an unchanged kernel, so there x0 comes back as it was, which is here the command, 0.
fn sweep(report: &mut Report, last: u64) {
    for n in 1..=last.min(64) {
        let x7 = n.wrapping_neg();
        let got = call_x7(nr::VERSION, [0, 0, 0, 0, 0], x7);
        let answered = got >> 16 == 4;
        let pass = answered || (matches!(n, 6 | 11) && got == 0);
        let how = if answered {
            "answered"
        } else {
            "swallowed by the kernel"
        };
        report.check("bad", "x7", pass, format_args!("-{n}: {how}, got {got:#x}"));
    }
    // PSCI by HVC takes the same way.
    let version = crate::cpu::hvc0(0x8400_0000, 0, 0, 0);
    report.equal("bad", "psci-by-hvc", version, 0x1_0001);
}

impl Report {
    /// Collects the answers to one call's wild pointers.
    fn wild(&mut self, good: bool) {
        self.wild_failures += u32::from(!good);
    }

    /// The check for what [`Report::wild`] collected.
    fn wild_done(&mut self, name: &str) {
        let failures = core::mem::take(&mut self.wild_failures);
        self.check(
            "bad",
            name,
            failures == 0,
            format_args!(
                "{failures} of {} wild pointers answered wrongly",
                WILD.len()
            ),
        );
    }
}
