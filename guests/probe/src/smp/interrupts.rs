//! Interrupts between vCPUs, targets of shared ones, and timers.

use super::second::{self, Ask, NONE, VCPUS};
use super::{SET, let_wait, taken, takers};
use crate::gic::{self, gicd};
use crate::report::Report;
use crate::trap::class;
use crate::{cpu, xen};

/// A shared interrupt without a device.
const SHARED: u64 = 40;

/// Runs the checks; every vCPU is on and listens.
pub fn run(report: &mut Report) {
    sgis(report);
    wakes(report);
    targets(report);
    timers(report);
}

/// Has `sender` write to `GICD_SGIR`; the class of the exception that it took, or none.
fn send(sender: usize, word: u32) -> Option<u64> {
    let outcome = match sender {
        0 => gic::send(word.into()),
        _ => second::get(sender, Ask::Send, word.into()),
    };
    (outcome != 0).then_some(outcome >> 26)
}

/// Each sender, filter and list, and who gets it.
fn sgis(report: &mut Report) {
    const ALL: u32 = (1 << VCPUS) - 1;
    let mut wrong = 0;
    let mut id = 0;
    for sender in 0..VCPUS {
        let own = 1_u32 << sender;
        let lists = (0..=ALL).map(|list| (list << 16, list));
        let beyond = [(0xf0 << 16, 0), (0xff << 16, ALL)];
        // The list counts with the first filter only.
        let filters =
            [0, 0xff << 16].map(|list| [(1 << 24 | list, ALL & !own), (2 << 24 | list, own)]);
        for (word, want) in lists.chain(beyond).chain(filters.into_iter().flatten()) {
            id = (id + 1) % 16;
            let trapped = send(sender, word | id);
            let got = takers(id.into());
            if trapped.is_some() || got != i64::from(want) {
                wrong += 1;
                report.check(
                    SET,
                    "sgi",
                    false,
                    format_args!("{word:#x} from {sender}: {got:#x} want {want:#x}"),
                );
            }
        }
        // Reserved.
        let (reserved, zazen) = (send(sender, 3 << 24 | 0xff << 16 | 5), xen::is_zazen());
        let pass = reserved == (!zazen).then_some(class::DATA_ABORT);
        report.check(
            SET,
            "sgi_reserved",
            pass,
            format_args!("class {reserved:?} on Zazen {zazen}"),
        );
        report.equal(SET, "sgi_reserved_sends", takers(5), 0);
    }
    report.equal(SET, "sgis", wrong, 0);
    // Sent by all it is taken once; here once more if the first was delivered before the last came.
    for sender in 0..VCPUS {
        send(sender, 1 << 18 | 9);
    }
    report.equal(SET, "sgi_of_all", takers(9), 0b100);
    let again = takers(9);
    let pass = again == 0 || again == 0b100 && xen::is_zazen();
    report.check(SET, "sgi_of_all_again", pass, format_args!("{again:#b}"));
    report.equal(SET, "nothing_more", (taken() == [NONE; VCPUS]).into(), 1);
}

/// vCPUs that sleep.
fn wakes(report: &mut Report) {
    for n in 1..VCPUS {
        second::ask(n, Ask::Sleep, 0);
    }
    let_wait();
    for n in 1..VCPUS {
        report.equal(SET, "sleeps", second::is_done(n).into(), 0);
    }
    for n in (1..VCPUS).rev() {
        send(0, 1 << (16 + n) | n as u32);
        report.equal(SET, "woken", (second::result(n) & 0x3ff) as i64, n as i64);
        let others = (1..n).filter(|n| second::is_done(*n)).count();
        report.equal(SET, "others_sleep_on", others as i64, 0);
    }
    report.equal(SET, "nothing_more", (taken() == [NONE; VCPUS]).into(), 1);
}

fn targets(report: &mut Report) {
    let at = |id: u64| gicd::ITARGETSR + id;
    let mask = |n: usize| 0x0101_0101 << n;
    // Private ones have the vCPU that looks, whatever is written.
    gic::write_distributor(at(16), 0x0f0f_0f0f);
    for n in 0..VCPUS {
        for id in [0, 16, 28] {
            let word = match n {
                0 => gic::read_distributor(at(id)),
                _ => second::get(n, Ask::Read, at(id)) as u32,
            };
            report.equal(SET, "own_target", word.into(), mask(n).into());
        }
    }
    // Of several the first; none and those beyond change nothing.
    let mut was = gic::read_distributor(at(SHARED)) & 0xff;
    report.equal(SET, "first_target", was.into(), 1);
    for (word, want) in [
        (2, 2),
        (0b1100, 4),
        (0, 4),
        (0xf0, 4),
        (0xf8, 8),
        (0xff, 1),
        (0b1010, 2),
    ] {
        gic::write_distributor(at(SHARED), word);
        was = gic::read_distributor(at(SHARED));
        report.equal(SET, "target", (was & 0xff).into(), want);
        report.equal(SET, "target_of_next", (was >> 8 & 0xff).into(), 1);
    }
    // It comes to that one and no other, and follows while it is pending and not enabled.
    let bit = 1 << (SHARED % 32);
    gic::write_distributor(gicd::IPRIORITYR + SHARED, 0xa0a0_a0a0);
    for n in (0..VCPUS).chain([2]) {
        gic::write_distributor(at(SHARED), 1 << n);
        gic::write_distributor(gicd::ISENABLER + 4, bit);
        gic::write_distributor(gicd::ISPENDR + 4, bit);
        report.equal(SET, "shared", takers(SHARED), 1 << n);
        gic::write_distributor(gicd::ICENABLER + 4, bit);
        gic::write_distributor(gicd::ISPENDR + 4, bit);
        report.equal(SET, "shared_disabled", takers(SHARED), 0);
        let next = (n + 1) % VCPUS;
        gic::write_distributor(at(SHARED), 1 << next);
        gic::write_distributor(gicd::ISENABLER + 4, bit);
        report.equal(SET, "shared_moved", takers(SHARED), 1 << next);
    }
    gic::write_distributor(gicd::ICENABLER + 4, bit);
}

fn timers(report: &mut Report) {
    let tick = cpu::frequency() / 1000;
    for n in 1..VCPUS {
        // The last one first.
        second::ask(n, Ask::Timer, tick * (2 * (VCPUS - n) as u64));
    }
    for n in 1..VCPUS {
        let late = second::result(n);
        let pass = late < 100 * tick;
        report.check(
            SET,
            "timer",
            pass,
            format_args!("of {n}: {late} ticks late"),
        );
    }
    // All at once.
    for n in 1..VCPUS {
        second::ask(n, Ask::Timer, tick);
    }
    let late = (1..VCPUS).map(second::result).max().unwrap_or(u64::MAX);
    report.check(
        SET,
        "timers",
        late < 100 * tick,
        format_args!("{late} ticks late"),
    );
    report.equal(SET, "no_other_timer", (taken() == [NONE; VCPUS]).into(), 1);
}
