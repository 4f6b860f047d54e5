//! Four vCPUs: power, interrupts between them, timers and events of each.

mod second;

use second::{Ask, NONE, VCPUS};

use crate::bench::instructions;
use crate::gic::{self, gicd};
use crate::page::{self, Use};
use crate::report::Report;
use crate::xen::{SELF, call_with, call3, nr};
use crate::{abi_memory, cpu, println};

const SET: &str = "smp";
/// PSCI functions.
const AFFINITY_INFO: u64 = 0xc400_0004;
const SYSTEM_SUSPEND: u64 = 0xc400_000e;
/// How often vCPUs are turned on and off.
const ROUNDS: u64 = 100;
/// How often two turn a third on at a time.
const RACES: u64 = 20;
/// Where `vcpu_info` of vCPU `n` is in the page for them.
const fn info(n: u64) -> u64 {
    64 * n
}

/// Runs the set.
pub fn run(report: &mut Report) {
    power(report);
    for n in 1..VCPUS {
        second::get(n, Ask::Listen, 0);
    }
    gic::listen();
    sgis(report);
    timers(report);
    codes(report);
    events(report);
    races(report);
    on_and_off(report);
}

/// Returns once vCPU `number` is off.
fn off(number: usize) {
    second::ask(number, Ask::Off, 0);
    while cpu::smc(AFFINITY_INFO, number as u64, 0, 0) != 1 {
        second::make_way();
    }
}

fn power(report: &mut Report) {
    let count = (gic::read_distributor(gicd::TYPER) >> 5 & 7) + 1;
    report.equal(SET, "typer", count.into(), VCPUS as i64);
    report.equal(SET, "boot_mpidr", (cpu::mpidr() & 0xff_00ff_ffff) as i64, 0);
    for n in 1..VCPUS {
        let state = || cpu::smc(AFFINITY_INFO, n as u64, 0, 0);
        report.equal(SET, "affinity_off", state(), 1);
        report.equal(SET, "cpu_on", second::turn_on(n), 0);
        report.equal(SET, "affinity_on", state(), 0);
        report.equal(SET, "cpu_on_again", second::turn_on(n), -4);
        let mpidr = second::get(n, Ask::Who, 0) & 0xff_00ff_ffff;
        report.equal(SET, "mpidr", mpidr as i64, n as i64);
    }
    let suspend = cpu::smc(SYSTEM_SUSPEND, 0x4000_0000, 0, 0);
    report.equal(SET, "suspend_denied", suspend, -3);
    for (name, mpidr, entry, want) in [
        ("cpu_on_nobody", VCPUS as u64, 0x4000_0000, -2),
        ("cpu_on_far", 0x100, 0x4000_0000, -2),
        ("cpu_on_odd", 1, 0x4000_0001, -9),
        ("cpu_on_self", 0, 0x4000_0000, -4),
    ] {
        report.equal(SET, name, cpu::smc(second::CPU_ON, mpidr, entry, 0), want);
    }
}

/// What each vCPU has: the number of an interrupt, or none.
fn taken() -> [u64; VCPUS] {
    core::array::from_fn(|n| match n {
        0 => gic::take_one(),
        _ => second::get(n, Ask::Take, 0),
    })
}

fn sgis(report: &mut Report) {
    // Sender, filter and list, and who gets it.
    for (sender, word, want) in [
        (0, 0b1010 << 16, 0b1010),
        (0, 0b0001 << 16, 0b0001),
        (2, 0xff << 16, 0b1111),
        (1, 0xf0 << 16, 0),
        (0, 1 << 24, 0b1110),
        (3, 1 << 24 | 0xff << 16, 0b0111),
        (2, 2 << 24, 0b0100),
        (1, 3 << 24 | 0xff << 16, 0),
    ] {
        let word = word | 5;
        match sender {
            0 => gic::write_distributor(gicd::SGIR, word),
            _ => _ = second::get(sender, Ask::Send, word.into()),
        }
        let got = (0..).zip(taken()).fold(0, |got, (n, id)| {
            got | i64::from(id != NONE && id & 0x3ff == 5) << n
        });
        report.equal(SET, "sgi", got, want);
    }
    // A vCPU that sleeps.
    second::ask(1, Ask::Sleep, 0);
    for _ in 0..100 {
        second::make_way();
    }
    report.equal(SET, "sleeps", second::is_done(1).into(), 0);
    gic::write_distributor(gicd::SGIR, 1 << 17 | 6);
    report.equal(SET, "woken", (second::result(1) & 0x3ff) as i64, 6);
    let (others, all) = (taken(), [NONE; VCPUS]);
    report.equal(SET, "nothing_more", (others == all).into(), 1);
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
}

/// `vcpu_op(cmd)` for vCPU `n` with `vcpu_info` or a runstate area at its place.
fn vcpu_op(cmd: u64, n: u64) -> i64 {
    let mut place = match cmd {
        10 => [page::frame(Use::Vcpu), info(n)],
        _ => [page::address(Use::Vcpu) + 2048 + info(n), 0],
    };
    call3(nr::VCPU, cmd, n, core::ptr::from_mut(&mut place) as u64)
}

fn codes(report: &mut Report) {
    let last = VCPUS as u64;
    report.equal(SET, "info_of_nobody", vcpu_op(10, last), -2);
    report.equal(SET, "runstate_of_nobody", vcpu_op(5, last), -2);
    for n in 0..last {
        report.equal(SET, "info", vcpu_op(10, n), 0);
        report.equal(SET, "info_again", vcpu_op(10, n), -16);
        report.equal(SET, "runstate", vcpu_op(5, n), 0);
    }
    // Registering brings an upcall to each.
    let all = taken().iter().filter(|id| **id == 31).count();
    report.equal(SET, "upcalls", all as i64, last as i64);
}

/// `bind_vcpu` of a loopback to each in turn.
fn events(report: &mut Report) {
    report.equal(SET, "shared_info", abi_memory::map_shared_info(), 0);
    let mut alloc = [u32::from(SELF) | u32::from(SELF) << 16, 0];
    report.equal(SET, "alloc", call_with(nr::EVTCHN, 6, &mut alloc), 0);
    let mut bind = [u32::from(SELF), alloc[1], 0];
    report.equal(SET, "bind", call_with(nr::EVTCHN, 0, &mut bind), 0);
    let (port, peer) = (alloc[1], bind[2]);
    for n in (0..VCPUS).rev() {
        for n in 0..VCPUS as u64 {
            page::write(Use::Vcpu, info(n), 0);
            page::write(Use::Vcpu, info(n) + 8, 0);
        }
        // Pending bits of the first ports.
        page::write(Use::SharedInfo, 48, 0);
        taken();
        let mut to = [port, n as u32];
        report.equal(SET, "bind_vcpu", call_with(nr::EVTCHN, 8, &mut to), 0);
        report.equal(SET, "send", call_with(nr::EVTCHN, 4, &mut { peer }), 0);
        let got = (0..)
            .zip(taken())
            .fold(0, |got, (n, id)| got | i64::from(id == 31) << n);
        report.equal(SET, "event", got, 1 << n);
        let flag = page::read_byte(Use::Vcpu, info(n as u64));
        report.equal(SET, "event_flag", flag.into(), 1);
    }
    let mut to = [port, VCPUS as u32];
    report.equal(SET, "bind_to_nobody", call_with(nr::EVTCHN, 8, &mut to), -2);
}

/// Two turn a third on: one of them does.
fn races(report: &mut Report) {
    let mut wrong = 0;
    for _ in 0..RACES {
        off(3);
        for n in [1, 2] {
            second::ask(n, Ask::TurnOn, 3);
        }
        let results = [1, 2].map(|n| second::result(n) as i64);
        wrong += i64::from(results != [0, -4] && results != [-4, 0]);
        second::get(3, Ask::Who, 0);
    }
    report.equal(SET, "races", wrong, 0);
}

fn on_and_off(report: &mut Report) {
    let mut wrong = 0;
    for round in 0..ROUNDS {
        let n = 1 + (round % 3) as usize;
        off(n);
        wrong += i64::from(second::turn_on(n) != 0);
        wrong += i64::from(second::get(n, Ask::Who, 0) & 0xff != n as u64);
    }
    report.equal(SET, "on_and_off", wrong, 0);
}

/// What it costs to reach another vCPU.
pub fn bench() {
    const RUNS: u64 = 100;
    gic::listen();
    second::turn_on(1);
    second::get(1, Ask::Listen, 0);
    for (name, what) in [("sgi_to_sleeper", Ask::Answer), ("sgi_to_ready", Ask::Spin)] {
        let mut least = u64::MAX;
        for _ in 0..RUNS {
            second::ask(1, what, 0);
            for _ in 0..20 {
                second::make_way();
            }
            let start = cpu::counter();
            gic::write_distributor(gicd::SGIR, 1 << 17 | 7);
            gic::sleep_until(second::BACK);
            second::result(1);
            least = least.min(second::awake(1).saturating_sub(start));
        }
        println!("bench: {name} {}", instructions(least));
    }
    let mut least = u64::MAX;
    for _ in 0..RUNS {
        off(1);
        let start = cpu::counter();
        second::turn_on(1);
        second::get(1, Ask::Who, 0);
        least = least.min(second::began(1).saturating_sub(start));
    }
    println!("bench: cpu_on {}", instructions(least));
}
