//! A guest that sleeps, and measures by how much it is woken too late.

use crate::{cpu, gic, println, storm};

/// Sleeps, and the length of each as a part of a second (3 ms).
const SLEEPS: u64 = 200;
const SLEEP: u64 = 333;

/// Sleeps again and again while others do what they like; prints the longest delay, and powers
/// itself off.
pub fn run() -> ! {
    gic::start();
    let frequency = cpu::frequency();
    let microseconds = |ticks: u64| ticks * 1_000_000 / frequency;
    let (mut worst, mut sum) = (0, 0);
    for _ in 0..SLEEPS {
        let due = cpu::counter() + frequency / SLEEP;
        while cpu::counter() < due {
            storm::sleep(due.saturating_sub(cpu::counter()).max(1));
        }
        let late = cpu::counter() - due;
        worst = late.max(worst);
        sum += late;
    }
    println!(
        "late: done {SLEEPS} sleeps, {} us late at most, {} us on average",
        microseconds(worst),
        microseconds(sum / SLEEPS)
    );
    cpu::power_off()
}
