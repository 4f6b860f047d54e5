//! A guest that measures what it gets of the processor while others do what they like.
//!
//! It reads the virtual counter without an exit and prints nothing until it is through, so
//! everything that it does not get somebody else got. Two reads that lie further apart than
//! [`BREAK`] of a second were interrupted.

use crate::{abi_events, cpu, println, storm};

/// A round of the loop is some ten instructions; what took longer than this part of a second (250
/// ns) was no round.
const BREAK: u64 = 4_000_000;
/// Windows at most.
const MOST: usize = 64;
const WINDOWS: usize = 8;
/// Windows a second: a window is 100 ms.
const PER_SECOND: u64 = 10;
/// Milliseconds from the start to the first window, in which the others start.
const WARM_UP: u64 = 300;

/// What the guest got in one window.
#[derive(Clone, Copy, Default)]
struct Window {
    /// Ticks of its own.
    own: u64,
    /// Ticks from the window's start to the first read behind its end.
    length: u64,
    /// Ticks of the longest gap that ended in it.
    gap: u64,
    rounds: u64,
}

/// Runs until counter `end`.
fn run_until(start: u64, end: u64, limit: u64) -> Window {
    let mut window = Window::default();
    let mut last = start;
    while last < end {
        let now = cpu::counter();
        let passed = now - last;
        if passed <= limit {
            window.own += passed;
        } else if passed > window.gap {
            window.gap = passed;
        }
        window.rounds += 1;
        last = now;
    }
    window.length = last - start;
    window
}

/// Parts in a thousand.
fn permille(window: Window) -> u64 {
    window.own * 1000 / window.length.max(1)
}

/// Measures `windows` windows, prints them, and computes for ever, so that those who still measure
/// have the same neighbours.
pub fn run(windows: Option<usize>, warm_up: Option<u64>) -> ! {
    // For the one attack that needs it; between guests that do not meet it is refused.
    (1..=storm::DOMAINS).for_each(abi_events::set_aside);
    let windows = windows.unwrap_or(WINDOWS).clamp(1, MOST);
    let frequency = cpu::frequency();
    let limit = frequency / BREAK + 1;
    let microseconds = |ticks: u64| ticks * 1_000_000 / frequency;
    let mut seen = [Window::default(); MOST];
    let mut start = cpu::counter();
    let warm = run_until(
        start,
        start + frequency * warm_up.unwrap_or(WARM_UP) / 1000,
        limit,
    );
    start += warm.length;
    for window in &mut seen[..windows] {
        *window = run_until(start, start + frequency / PER_SECOND, limit);
        start += window.length;
    }
    let seen = &seen[..windows];
    for (n, window) in seen.iter().enumerate() {
        println!(
            "share: window {n} permille {} gap {} us, {} rounds",
            permille(*window),
            microseconds(window.gap),
            window.rounds
        );
    }
    let all = Window {
        own: seen.iter().map(|window| window.own).sum(),
        length: seen.iter().map(|window| window.length).sum(),
        ..Window::default()
    };
    println!(
        "share: done {windows} windows, permille {}, least {}, longest gap {} us",
        permille(all),
        seen.iter()
            .map(|window| permille(*window))
            .min()
            .unwrap_or(0),
        microseconds(seen.iter().map(|window| window.gap).max().unwrap_or(0))
    );
    loop {
        run_until(cpu::counter(), u64::MAX, limit);
    }
}
