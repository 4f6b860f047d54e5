//! What ballooning costs: lists of single pages as Linux sends them, and whole 2 MiB extents.
//!
//! The same rows for every kind of RAM; the domains file decides which kind this guest has. RAM
//! starts at a multiple of 1 GiB, and 4..10 MiB of it hold nothing: not this program (at its
//! start), nor the device tree (at its end).

use crate::page::{self, Use};
use crate::xen::{SELF, call_with, call2, nr};
use crate::{bench, cpu, println};

/// Pages of one call.
const PAGES: usize = 512;
const RUNS: u64 = 3;
/// `XENMEM_decrease_reservation`.
pub const DECREASE: u64 = 1;
/// `XENMEM_populate_physmap`.
pub const POPULATE: u64 = 6;
const CURRENT_RESERVATION: u64 = 3;

/// `xen_memory_reservation`, as words: list, extents, order and flags, domain.
pub fn reservation(command: u64, frames: &[u64], order: u64) -> i64 {
    let mut words = [
        frames.as_ptr() as u64,
        frames.len() as u64,
        order,
        u64::from(SELF),
    ];
    call_with(nr::MEMORY, command, &mut words)
}

/// Runs the rows.
pub fn run() {
    let start = page::address(Use::Balloon) & !0x3fff_ffff;
    let first = (start >> 12) + 1024;
    // The first page of a block that was whole: it has to be made pages of.
    quiet();
    let (ticks, done) = timed(|| reservation(DECREASE, &[first], 0));
    if done == 1 {
        println!("bench: first_decrease {}", bench::instructions(ticks));
    }
    let frames: [u64; PAGES] = core::array::from_fn(|n| first + n as u64);
    touches("touch", |n| first + n);
    _ = reservation(POPULATE, &[first], 0);
    // What the copy left behind is zeroed on time that is nobody's here.
    for _ in 0..3 {
        quiet();
    }
    round_trip("page", &frames, 0);
    round_trip("block", &[first + 512], 9);
    // Another block, in an order without a pattern: 293 has no divisor in common with 512.
    let next = first + 1024;
    quiet();
    let (ticks, done) = timed(|| reservation(DECREASE, &[next], 0));
    if done == 1 {
        println!("bench: next_first_decrease {}", bench::instructions(ticks));
        touches("random_touch", |n| next + n * 293 % 512);
        _ = reservation(POPULATE, &[next], 0);
    }
}

/// Waits until what was said is printed: the console does that in slices of its own, which would be
/// counted to whatever is measured meanwhile.
fn quiet() {
    const TICKS: u64 = 62_500_000 / 200;
    let start = cpu::counter();
    while cpu::counter() - start < TICKS {
        core::hint::spin_loop();
    }
}

/// Touches the pages of a block, of which the first is gone, in the order that `frame` gives, and
/// in the middle looks at one with the hypervisor's eyes: the longest pause, and all of them
/// together.
fn touches(name: &str, frame: impl Fn(u64) -> u64) {
    let (mut longest, mut sum, mut looked) = (0, 0, 0);
    // Pauses of more than 60,000, 40,000, 20,000 and 1,000 instructions, and all shorter ones.
    const BOUNDS: [u64; 4] = [60_000, 40_000, 20_000, 1_000];
    let mut histogram = [0; BOUNDS.len() + 1];
    quiet();
    for n in 0..PAGES as u64 {
        let gfn = frame(n);
        if gfn.is_multiple_of(PAGES as u64) {
            continue;
        }
        let address = gfn << 12;
        let (ticks, _) = timed(|| {
            // A call with its argument there; what it says is of no account.
            if n == PAGES as u64 / 2 {
                return call2(nr::MEMORY, CURRENT_RESERVATION, address);
            }
            // SAFETY: RAM that this program does not use.
            i64::from(unsafe { (address as *const u8).read_volatile() })
        });
        let pause = bench::instructions(ticks);
        if n == PAGES as u64 / 2 {
            looked = pause;
            continue;
        }
        (longest, sum) = (pause.max(longest), sum + pause);
        let place = BOUNDS.iter().position(|bound| pause > *bound);
        histogram[place.unwrap_or(BOUNDS.len())] += 1;
    }
    println!("bench: {name}_longest {longest}");
    println!("bench: {name}_sum {sum}");
    println!("bench: {name}_looked_at {looked}");
    println!("probe: {name}: pauses longer than {BOUNDS:?}, and shorter ones: {histogram:?}");
}

/// Decrease and populate of the same extents: the least of some runs, for each extent.
fn round_trip(name: &str, frames: &[u64], order: u64) {
    let (mut least_down, mut least_up) = (u64::MAX, u64::MAX);
    for _ in 0..RUNS {
        let (down, gone) = timed(|| reservation(DECREASE, frames, order));
        let (up, back) = timed(|| reservation(POPULATE, frames, order));
        if gone != frames.len() as i64 || back != gone {
            // Xen too refuses large extents to domains with static memory.
            println!("bench: {name}s are not served: {gone} went and {back} came back");
            return;
        }
        (least_down, least_up) = (least_down.min(down), least_up.min(up));
    }
    for (what, ticks) in [
        ("decrease", least_down),
        ("populate", least_up),
        ("balloon", least_down + least_up),
    ] {
        let each = bench::instructions(ticks) / frames.len() as u64;
        println!("bench: {what}_{name} {each}");
    }
}

fn timed(call: impl FnOnce() -> i64) -> (u64, i64) {
    let start = cpu::counter();
    let result = call();
    (cpu::counter() - start, result)
}
