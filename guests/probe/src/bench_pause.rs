//! How long a guest stands still while it gives 128 MiB up and takes them back, as Linux's balloon
//! does: 512 pages at a time, each of which is written to before it goes and after it has come.
//! Those of a call lie in all of the blocks, as in a guest that has run for long.
//!
//! The virtual timer is due every 10 µs, whatever runs. By how much its interrupt comes late at
//! most is the longest pause, of a hypercall that does much at a time as of a touch.

use core::arch::{asm, global_asm};

use crate::bench_memory::{DECREASE, POPULATE, reservation};
use crate::page::{self, Use};
use crate::{bench, cpu, gic, println};

/// Pages of one call.
const PAGES: usize = 512;
/// Where they begin in RAM, behind the device tree, and how many calls there are: 128 MiB.
const FIRST: u64 = 136 << 8;
const CALLS: u64 = (128 << 8) / PAGES as u64;

global_asm!(
    ".balign 2048",
    "pause_vectors:",
    // The interrupt, from this exception level with its own stack.
    ".space 0x280",
    "stp x9, x10, [sp, #-32]!",
    "stp x11, x12, [sp, #16]",
    "mrs x9, cntvct_el0",
    "mrs x10, cntv_cval_el0",
    "sub x10, x9, x10",
    "adr x11, pause_longest",
    "ldr x12, [x11]",
    "cmp x10, x12",
    "csel x12, x10, x12, hi",
    "str x12, [x11]",
    "ldr x12, [x11, #8]",
    "add x12, x12, #1",
    "str x12, [x11, #8]",
    // 10 µs at 62.5 MHz.
    "add x9, x9, #625",
    "msr cntv_cval_el0, x9",
    "isb",
    "ldr x11, [x11, #16]",
    "ldr w9, [x11, #0xc]",
    "str w9, [x11, #0x10]",
    "ldp x11, x12, [sp, #16]",
    "ldp x9, x10, [sp], #32",
    "eret",
    ".balign 2048",
    "pause_longest:",
    ".space 24",
);

unsafe extern "C" {
    static pause_vectors: u8;
    /// The longest so far in ticks, how many there were, and the address of the CPU interface.
    static mut pause_longest: [u64; 3];
}

/// Runs the rows.
pub fn run() {
    gic::start();
    let start = (page::address(Use::Balloon) & !0x3fff_ffff) >> 12;
    let (mut gone, mut back) = (0, 0);
    let pause = longest(|| gone = each(start + FIRST, DECREASE));
    println!("bench: pause_down {pause}");
    let pause = longest(|| back = each(start + FIRST, POPULATE));
    println!("bench: pause_up {pause}");
    println!("probe: pause: {gone} pages went and {back} came back");
}

/// Gives pages up, or takes them back; returns how many.
fn each(first: u64, command: u64) -> i64 {
    let touch = |frames: &[u64]| {
        for gfn in frames {
            // SAFETY: RAM that this program does not use.
            unsafe { ((gfn << 12) as *mut u64).write_volatile(*gfn) };
        }
    };
    let mut done = 0;
    for call in 0..CALLS {
        let frames: [u64; PAGES] = core::array::from_fn(|n| first + n as u64 * CALLS + call);
        if command == DECREASE {
            touch(&frames);
        }
        done += reservation(command, &frames, 0);
        if command == POPULATE {
            touch(&frames);
        }
    }
    done
}

/// Instructions that the timer's interrupt is late at most while `work` runs.
fn longest(work: impl FnOnce()) -> u64 {
    let state = &raw mut pause_longest;
    // SAFETY: interrupts are masked, so the handler does not run; it keeps all registers, and the
    // words behind `state` are read and written by volatile access.
    let before = unsafe {
        state.write_volatile([0, 0, gic::GICC]);
        let before: u64;
        asm!("mrs {}, vbar_el1", out(reg) before);
        asm!("msr vbar_el1, {}", "isb", in(reg) &raw const pause_vectors);
        before
    };
    cpu::set_timer(cpu::counter() + 625);
    cpu::set_timer_control(1);
    // SAFETY: as above.
    unsafe { asm!("msr daifclr, #2") };
    work();
    // SAFETY: as above.
    let [ticks, count, _] = unsafe {
        asm!("msr daifset, #2");
        asm!("msr vbar_el1, {}", "isb", in(reg) before);
        state.read_volatile()
    };
    cpu::set_timer_control(0);
    println!("probe: pause: the timer came {count} times");
    bench::instructions(ticks)
}
