//! Four vCPUs: power, interrupts between them, timers and events of each.
//!
//! The same binary runs on Xen and here; the differences of SUPPORT.md are checked as such.

pub mod bench;
mod events;
mod interrupts;
pub mod lock;
mod power;
pub mod second;

use second::{Ask, NONE, VCPUS};

use crate::report::Report;
use crate::{cpu, gic};

const SET: &str = "smp";
/// PSCI `AFFINITY_INFO`.
const AFFINITY_INFO: u64 = 0xc400_0004;
/// What it answers for a vCPU that is off.
const IS_OFF: i64 = 1;
/// How often vCPUs are turned on and off where the command line does not say.
const ROUNDS: u64 = 1000;

/// Runs the set; vCPUs go off and on `rounds` times.
pub fn run(report: &mut Report, rounds: Option<u64>) {
    power::run(report);
    for n in 1..VCPUS {
        second::get(n, Ask::Listen, 0);
    }
    gic::listen();
    interrupts::run(report);
    events::run(report);
    power::races(report, rounds.unwrap_or(ROUNDS));
}

/// Returns once vCPU `number` is off.
fn off(number: usize) {
    second::ask(number, Ask::Off, 0);
    while cpu::smc(AFFINITY_INFO, number as u64, 0, 0) != IS_OFF {
        second::make_way();
    }
}

/// Has vCPU `number` on again, with interrupts coming to it.
fn on(report: &mut Report, number: usize) {
    report.equal(SET, "on", second::turn_on(number), 0);
    second::get(number, Ask::Listen, 0);
}

/// What each vCPU has: the number of an interrupt, or none.
fn taken() -> [u64; VCPUS] {
    core::array::from_fn(|n| match n {
        0 => gic::take_one(),
        _ => second::get(n, Ask::Take, 0),
    })
}

/// The vCPUs that have interrupt `id`, a bit each, which they take.
fn takers(id: u64) -> i64 {
    let taken = (0..).zip(taken());
    taken.fold(0, |all, (n, got)| {
        all | i64::from(got != NONE && got & 0x3ff == id) << n
    })
}

/// Lets the others come to where they wait.
fn let_wait() {
    for _ in 0..20 {
        second::make_way();
    }
}
