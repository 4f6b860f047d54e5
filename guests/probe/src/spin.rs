//! A guest that makes no exit any more: only somebody else can stop it.

use crate::abi_memory::{DECREASE, extent};
use crate::report::Report;
use crate::xen::{self, nr};
use crate::{cpu, page, println};

/// RAM that no file is loaded to.
const RAM: u64 = 0x4010_0000;
/// Words that it writes, over and over.
const WORDS: u64 = 1 << 14;
/// `sched_op(poll)`.
const POLL: u64 = 3;
const NS_PER_SECOND: u64 = 1_000_000_000;
/// Seconds for the others to start in.
const LATER: u64 = 4;

/// `struct sched_poll`.
#[repr(C)]
struct Poll {
    ports: u64,
    count: u32,
    /// Nanoseconds of the system counter.
    timeout: u64,
}

/// Has a block of its RAM split and sleeps for a while; then writes memory for ever, all interrupts
/// masked as they were at its start.
pub fn run(report: &mut Report) -> ! {
    let frame = page::frame(page::Use::Balloon);
    report.equal("spin", "decrease", extent(DECREASE, frame, 0), 1);
    sleep_until(cpu::counter() / cpu::frequency() + LATER);
    println!("probe: spins");
    let mut round = 0_u64;
    loop {
        for n in 0..WORDS {
            // SAFETY: RAM of this guest's that holds neither its image nor its device tree.
            unsafe { ((RAM + 8 * n) as *mut u64).write_volatile(round) }
        }
        round = round.wrapping_add(1);
    }
}

/// Sleeps until the counter is at `seconds`.
pub fn sleep_until(seconds: u64) {
    while cpu::counter() / cpu::frequency() < seconds {
        let mut poll = Poll {
            ports: 0,
            count: 0,
            timeout: seconds * NS_PER_SECOND,
        };
        xen::call_with(nr::SCHED, POLL, &mut poll);
    }
}
