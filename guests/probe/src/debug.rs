//! A guest that turns the processor's debug registers, counters and step against everybody else,
//! and its victim.
//!
//! The comparators match virtual addresses of whoever runs, unless the hypervisor keeps guests away
//! from them. The attacker then computes for ever, so that what it has armed stays armed.

use core::arch::asm;

use crate::abi_memory::{DECREASE, POPULATE, extent};
use crate::report::Report;
use crate::trap::Outcome;
use crate::{attempt, cpu, page, println};

/// Beats of the victim, and how many it makes a second.
const BEATS: u32 = 80;
const PER_SECOND: u64 = 10;
/// Seconds that the attacker leaves the victim to start in.
const LATER: u64 = 2;

/// What the victim executes in each beat: the attacker knows its address, as both run the same
/// image.
#[inline(never)]
extern "C" fn heart(beats: u32) -> u32 {
    core::hint::black_box(beats) + 1
}

fn wait(ticks: u64) {
    let end = cpu::counter() + ticks;
    while cpu::counter() < end {
        core::hint::spin_loop();
    }
}

/// The victim: works with memory, its console and the memory server, and counts.
pub fn beat(report: &mut Report) {
    let frame = page::frame(page::Use::Balloon);
    // Debug exceptions are open, as they are in Linux. SAFETY: this guest arms nothing.
    unsafe { asm!("msr daifclr, #8", options(nomem, nostack, preserves_flags)) };
    let mut beats = 0;
    let mut exchanged = 0;
    while beats < BEATS {
        wait(cpu::frequency() / PER_SECOND);
        // A page to the memory server and back.
        if extent(DECREASE, frame, 0) == 1 && extent(POPULATE, frame, 0) == 1 {
            exchanged += 1;
        }
        beats = heart(beats);
        println!("probe: beat {beats}");
    }
    report.equal("beat", "exchanged", exchanged, i64::from(BEATS));
}

/// `DBGWCRn_EL1`: enabled, EL0 and EL1, loads and stores, all bytes, and addresses up to `2^mask`
/// bytes.
const fn watch(mask: u64) -> u64 {
    1 | 3 << 1 | 3 << 3 | 0xff << 5 | mask << 24
}

/// `DBGBCRn_EL1`: enabled, all bytes of the instruction; at EL1 alone, at EL0 alone.
const BREAK_EL1: u64 = 1 | 1 << 1 | 0xf << 5;
const BREAK_EL0: u64 = 1 | 2 << 1 | 0xf << 5;
/// `MDSCR_EL1`: SS (bit 0) steps; KDE (bit 13) lets EL1 take what EL1 armed; MDE (bit 15) arms.
const STEP: u64 = 1 | 1 << 13;
const ARM: u64 = 1 << 13 | 1 << 15;

/// Where protection domains have their text, and how much is tried.
const TEXT: u64 = 0x20_0000;
const TEXT_SIZE: u64 = 0x2_0000;

/// An MSR of x9, which is the value; a register that is not there is as good as one that traps.
macro_rules! set {
    ($instruction:literal, $value:expr) => {{
        let _: Outcome = attempt!($instruction, in("x9") $value);
    }};
}

/// Attacks as `which` says, for ever.
pub fn attack(which: &str) -> ! {
    wait(cpu::frequency() * LATER);
    println!("probe: attacks by {which}");
    // All of it is undone nowhere: that is the attack.
    set!("msr oslar_el1, x9", 0_u64);
    match which {
        "watch" => {
            // The first 2 GiB, in which all programs have their data and guests their RAM.
            set!("msr dbgwvr0_el1, x9", 0_u64);
            set!("msr dbgwcr0_el1, x9", watch(31));
            set!("msr mdscr_el1, x9", ARM);
        }
        "break" => {
            set!("msr dbgbvr0_el1, x9", heart as *const () as u64);
            set!("msr dbgbcr0_el1, x9", BREAK_EL1);
            set!("msr mdscr_el1, x9", ARM);
        }
        "text" => {
            set!("msr mdscr_el1, x9", ARM);
            sweep_text();
        }
        "step" => set!("msr mdscr_el1, x9", STEP),
        "lock" => {
            set!("msr oslar_el1, x9", 1_u64);
            set!("msr osdlr_el1, x9", 1_u64);
        }
        "count" => count(),
        _ => println!("probe: no attack {which}"),
    }
    println!("probe: armed");
    loop {
        core::hint::spin_loop();
    }
}

/// Breakpoints at EL0 on four instructions of the text of protection domains at a time, all over
/// it, for ever. Each stays for more than a time slice, so that others run.
fn sweep_text() -> ! {
    /// Multiples of it, by the size, come everywhere.
    const STRIDE: u64 = 0x9e37;
    println!("probe: armed");
    let mut n = 0;
    let mut next = || {
        n += STRIDE * 4;
        TEXT + n % TEXT_SIZE
    };
    loop {
        set!("msr dbgbvr0_el1, x9", next());
        set!("msr dbgbvr1_el1, x9", next());
        set!("msr dbgbvr2_el1, x9", next());
        set!("msr dbgbvr3_el1, x9", next());
        set!("msr dbgbcr0_el1, x9", BREAK_EL0);
        set!("msr dbgbcr1_el1, x9", BREAK_EL0);
        set!("msr dbgbcr2_el1, x9", BREAK_EL0);
        set!("msr dbgbcr3_el1, x9", BREAK_EL0);
        wait(cpu::frequency() / 100);
    }
}

/// Every counter at its end, with its interrupt, at EL0 and EL1, again and again.
fn count() -> ! {
    println!("probe: armed");
    loop {
        set!("msr pmuserenr_el0, x9", 0xf_u64);
        set!("msr pmccfiltr_el0, x9", 0_u64);
        set!("msr pmccntr_el0, x9", u64::MAX - 1000);
        set!("msr pmevtyper0_el0, x9", 8_u64);
        set!("msr pmevcntr0_el0, x9", 0xffff_f000_u64);
        set!("msr pmintenset_el1, x9", 0x8000_ffff_u64);
        set!("msr pmcntenset_el0, x9", 0x8000_ffff_u64);
        set!("msr pmcr_el0, x9", 1_u64 | 1 << 6);
        // SAFETY: changes no register or memory.
        unsafe { asm!("isb", options(nomem, nostack, preserves_flags)) };
    }
}
