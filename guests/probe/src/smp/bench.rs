//! What it costs to reach another vCPU.

use super::second::{self, Ask};
use crate::bench::instructions;
use crate::gic::{self, gicd};
use crate::{cpu, println};

/// Runs the set.
pub fn run() {
    const RUNS: u64 = 25;
    gic::listen();
    second::turn_on(1);
    second::get(1, Ask::Listen, 0);
    // One that spins gives nothing up: each turn of its takes a whole slice.
    for (name, what, turns) in [
        ("sgi_to_sleeper", Ask::Answer, 20),
        ("sgi_to_ready", Ask::Spin, 2),
    ] {
        let mut least = u64::MAX;
        for _ in 0..RUNS {
            second::ask(1, what, 0);
            for _ in 0..turns {
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
        super::off(1);
        // What it does first.
        second::ask(1, Ask::Send, 1 << 16 | u64::from(second::BACK));
        let start = cpu::counter();
        second::turn_on(1);
        gic::sleep_until(second::BACK);
        second::result(1);
        least = least.min(second::began(1).saturating_sub(start));
    }
    println!("bench: cpu_on {}", instructions(least));
}
