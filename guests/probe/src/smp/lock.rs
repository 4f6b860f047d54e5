//! What a spin lock costs where its holder may be off the processor: each vCPU adds to a number
//! under the lock.
//!
//! A vCPU that waits spins, or it gives up its turn. The second is what WFE does, which QEMU never
//! traps, so `sched_op(yield)` stands for it here. With the MMU off nothing promises exclusive
//! accesses; QEMU has them everywhere, and the number at the end shows that they held.

use core::hint::{black_box, spin_loop};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::second::{self, Ask, VCPUS};
use crate::bench::instructions;
use crate::{cpu, println};

/// Operations of each way, divided among the vCPUs.
const OPERATIONS: u64 = 100_000;
/// Rounds of a loop under the lock and outside of it.
const INSIDE: u64 = 20;
const OUTSIDE: u64 = 20;

static LOCKED: AtomicBool = AtomicBool::new(false);
static SUM: AtomicU64 = AtomicU64::new(0);

/// Does so many operations; a vCPU that waits gives up its turn, or spins.
pub fn work(operations: u64, gives_up: bool) {
    for _ in 0..operations {
        while LOCKED
            .compare_exchange_weak(false, true, Ordering::Acquire, Ordering::Relaxed)
            .is_err()
        {
            if gives_up {
                second::make_way();
            } else {
                spin_loop();
            }
        }
        let sum = SUM.load(Ordering::Relaxed);
        (0..INSIDE).for_each(|n| _ = black_box(n));
        SUM.store(sum + 1, Ordering::Relaxed);
        LOCKED.store(false, Ordering::Release);
        (0..OUTSIDE).for_each(|n| _ = black_box(n));
    }
}

/// Runs the set: instructions for each operation on one vCPU, and on four.
pub fn run() {
    for n in 1..VCPUS {
        second::turn_on(n);
    }
    for (name, vcpus, gives_up) in [
        ("lock_alone", 1, false),
        ("lock_spinning", VCPUS, false),
        ("lock_giving_way", VCPUS, true),
    ] {
        SUM.store(0, Ordering::Relaxed);
        let each = OPERATIONS / vcpus as u64;
        let start = cpu::counter();
        for n in 1..vcpus {
            second::ask_two(n, Ask::Lock, each, gives_up.into());
        }
        work(each, gives_up);
        for n in 1..vcpus {
            second::result(n);
        }
        let spent = instructions(cpu::counter() - start);
        if SUM.load(Ordering::Relaxed) != OPERATIONS {
            println!("bench: {name} counted wrongly");
            cpu::power_off()
        }
        println!("bench: {name} {}", spent / OPERATIONS);
    }
    for n in 1..VCPUS {
        super::off(n);
    }
}
