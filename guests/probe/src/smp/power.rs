//! PSCI with several vCPUs.

use super::second::{self, Ask, NONE, VCPUS};
use super::{AFFINITY_INFO, IS_OFF, SET, let_wait, off, on, taken};
use crate::cpu;
use crate::gic::{self, gicd};
use crate::report::Report;

const CPU_SUSPEND: [u64; 2] = [0x8400_0001, 0xc400_0001];
const SYSTEM_SUSPEND: [u64; 2] = [0x8400_000e, 0xc400_000e];
const CPU_ON: [u64; 2] = [0x8400_0003, second::CPU_ON];
/// `CPU_ON` of PSCI 0.1.
const OLD_CPU_ON: u64 = 2;
/// How often two turn a third on at a time.
const RACES: u64 = 20;

/// Every vCPU is on afterwards.
pub fn run(report: &mut Report) {
    let count = (gic::read_distributor(gicd::TYPER) >> 5 & 7) + 1;
    report.equal(SET, "typer", count.into(), VCPUS as i64);
    report.equal(SET, "boot_mpidr", (cpu::mpidr() & 0xff_00ff_ffff) as i64, 0);
    for n in 1..VCPUS {
        let state = || cpu::smc(AFFINITY_INFO, n as u64, 0, 0);
        report.equal(SET, "affinity_off", state(), IS_OFF);
        report.equal(SET, "cpu_on", second::turn_on(n), 0);
        report.equal(SET, "affinity_on", state(), 0);
        report.equal(SET, "cpu_on_again", second::turn_on(n), -4);
        let mpidr = second::get(n, Ask::Who, 0) & 0xff_00ff_ffff;
        report.equal(SET, "mpidr", mpidr as i64, n as i64);
    }
    codes(report);
    suspend(report);
    boot_cpu(report);
    pending(report);
}

fn codes(report: &mut Report) {
    for suspend in SYSTEM_SUSPEND {
        let denied = cpu::smc(suspend, 0x4000_0000, 0, 0);
        report.equal(SET, "suspend_denied", denied, -3);
        report.equal(SET, "suspend_odd", cpu::smc(suspend, 0x4000_0001, 0, 0), -9);
    }
    let last = VCPUS as u64;
    for cpu_on in CPU_ON {
        for (name, mpidr, entry, want) in [
            ("cpu_on_nobody", last, 0x4000_0000, -2),
            ("cpu_on_nobody_odd", last, 0x4000_0001, -2),
            ("cpu_on_far", 0x100, 0x4000_0000, -2),
            ("cpu_on_odd", 1, 0x4000_0001, -9),
            ("cpu_on_running", 1, 0x4000_0000, -4),
            ("cpu_on_level_2", 0x1_0003, 0x4000_0000, -4),
            ("cpu_on_self", 0, 0x4000_0000, -4),
        ] {
            report.equal(SET, name, cpu::smc(cpu_on, mpidr, entry, 0), want);
        }
    }
    for (n, entry) in [(last, 0x4000_0000), (1, 0x4000_0001), (1, 0x4000_0000)] {
        report.equal(SET, "old_cpu_on", cpu::smc(OLD_CPU_ON, n, entry, 0), -2);
    }
    // A level that names nobody in particular has those that are on below it.
    for (affinity, level, want) in [
        (last, 0, 1),
        (0x103, 0, 1),
        (3, 0, 0),
        (0x8000_0003, 0, 0),
        (3, 1, 0),
        (last, 1, 0),
        (0x100, 1, 1),
        (0xffff, 2, 0),
        (0x1_0000, 2, 1),
        (0, 3, 0),
        (3, 4, -2),
    ] {
        for info in [0x8400_0004, AFFINITY_INFO] {
            report.equal(SET, "affinity", cpu::smc(info, affinity, level, 0), want);
        }
    }
}

/// `CPU_SUSPEND` sleeps until an interrupt is there, whatever state is asked for.
fn suspend(report: &mut Report) {
    second::get(1, Ask::Listen, 0);
    gic::listen();
    for suspend in CPU_SUSPEND {
        for state in [0, 1, 1 << 16, u64::MAX] {
            second::ask_two(1, Ask::Smc, suspend, state);
            let_wait();
            report.equal(SET, "suspended", second::is_done(1).into(), 0);
            let affinity = cpu::smc(AFFINITY_INFO, 1, 0, 0);
            report.equal(SET, "suspended_is_on", affinity, 0);
            gic::write_distributor(gicd::SGIR, 1 << 17 | 6);
            report.equal(SET, "suspend", second::result(1) as i64, 0);
            let woken = second::get(1, Ask::Take, 0) & 0x3ff;
            report.equal(SET, "suspend_woken", woken as i64, 6);
        }
        // With an interrupt there already it does not sleep at all.
        gic::write_distributor(gicd::SGIR, 1 << 17 | 7);
        second::ask_two(1, Ask::Smc, suspend, 0);
        report.equal(SET, "suspend_pending", second::result(1) as i64, 0);
        let woken = second::get(1, Ask::Take, 0) & 0x3ff;
        report.equal(SET, "suspend_not_slept", woken as i64, 7);
    }
}

/// The boot CPU goes off; another one has it go on behind its call.
fn boot_cpu(report: &mut Report) {
    for reviver in 1..VCPUS {
        second::ask(reviver, Ask::Revive, 0);
        second::off_until_revived();
        report.equal(SET, "revived", second::result(reviver) as i64, 0);
        report.equal(SET, "revived_mpidr", (cpu::mpidr() & 0xff) as i64, 0);
        let mmu = cpu::system_control() & 0x1005;
        report.equal(SET, "revived_without_mmu", mmu as i64, 0);
    }
}

/// What is sent to a vCPU that is off does not come when it is on again.
fn pending(report: &mut Report) {
    for n in 1..VCPUS {
        second::get(n, Ask::Listen, 0);
    }
    gic::listen();
    for n in 1..VCPUS {
        off(n);
        gic::write_distributor(gicd::SGIR, 1 << (16 + n) | 3);
        gic::write_distributor(gicd::SGIR, 1 << 24 | 4);
        // Nobody takes it off with him.
        for other in (1..VCPUS).filter(|other| *other != n) {
            let id = second::get(other, Ask::Take, 0) & 0x3ff;
            report.equal(SET, "sgi_to_those_on", id as i64, 4);
        }
        on(report, n);
        let id = second::get(n, Ask::Take, 0);
        report.equal(SET, "nothing_pending", id as i64, NONE as i64);
    }
    report.equal(SET, "all_taken", (taken() == [NONE; VCPUS]).into(), 1);
}

/// Two turn a third on: one of them does. Then each goes off and on again, `rounds` times in all.
pub fn races(report: &mut Report, rounds: u64) {
    let mut wrong = 0;
    for round in 0..RACES {
        let third = 1 + (round % 3) as usize;
        let two = [1 + third % 3, 1 + (third + 1) % 3];
        off(third);
        for n in two {
            second::ask(n, Ask::TurnOn, third as u64);
        }
        let results = two.map(|n| second::result(n) as i64);
        wrong += i64::from(results != [0, -4] && results != [-4, 0]);
        wrong += i64::from(second::get(third, Ask::Who, 0) & 0xff != third as u64);
    }
    report.equal(SET, "races", wrong, 0);
    wrong = 0;
    for round in 0..rounds {
        let n = 1 + (round % 3) as usize;
        off(n);
        wrong += i64::from(second::turn_on(n) != 0);
        wrong += i64::from(second::get(n, Ask::Who, 0) & 0xff != n as u64);
    }
    report.check(
        SET,
        "on_and_off",
        wrong == 0,
        format_args!("{rounds} rounds, {wrong} wrong"),
    );
}
