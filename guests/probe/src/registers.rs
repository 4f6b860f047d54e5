//! Which system registers two guests share: each writes a pattern of its own to every register that
//! it can, computes for some time slices, and looks whether the other's pattern is there.
//!
//! The registers are not listed but found: every encoding of `MRS` and `MSR` is tried (`access`).
//! What must not be written, because the guest could not go on or look, stands in [`KEPT_FROM`].
//! What no instruction reads back is not seen here; `debug` is about the effects of such registers.

use crate::cpu;
use crate::println;
use crate::report::Report;
use crate::trap::Outcome;

mod access;

use access::{Encoding, read, write};

/// What the guests write, by who they are: no bit is the same.
const PATTERNS: [u64; 2] = [0x5555_5555_5555_5555, 0xaaaa_aaaa_aaaa_aaaa];
/// Rounds, and milliseconds that each computes for: several time slices.
const ROUNDS: u32 = 150;
const MILLISECONDS: u64 = 25;
/// Registers that fit.
const MAX: usize = 512;

/// The bits that may be written of registers that the guest needs, or that would act at once.
const KEPT_FROM: [(Encoding, u64); 15] = [
    // SCTLR_EL1, CPACR_EL1, VBAR_EL1: the guest's own next instruction.
    (Encoding::new(3, 0, 1, 0, 0), 0),
    (Encoding::new(3, 0, 1, 0, 2), 0),
    (Encoding::new(3, 0, 12, 0, 0), 0),
    // SPSel, PAN, UAO, ALLINT.
    (Encoding::new(3, 0, 4, 2, 0), 0),
    (Encoding::new(3, 0, 4, 2, 3), 0),
    (Encoding::new(3, 0, 4, 2, 4), 0),
    (Encoding::new(3, 0, 4, 3, 0), 0),
    // NZCV, DAIF, SVCR, which all are PSTATE.
    (Encoding::new(3, 3, 4, 2, 0), 0),
    (Encoding::new(3, 3, 4, 2, 1), 0),
    (Encoding::new(3, 3, 4, 2, 2), 0),
    // MDSCR_EL1: TDCC alone, or what the others hold would be armed.
    (Encoding::new(2, 0, 0, 2, 2), 1 << 12),
    // PMCR_EL0: all but what starts and resets.
    (Encoding::new(3, 3, 9, 12, 0), 0x38),
    // CNTP_CTL_EL0, CNTV_CTL_EL0: IMASK.
    (Encoding::new(3, 3, 14, 2, 1), 2),
    (Encoding::new(3, 3, 14, 3, 1), 2),
    // CNTKCTL_EL1: not the event stream.
    (Encoding::new(3, 0, 14, 1, 0), 0x303),
];

/// Registers of which a write of 1 sets a bit, with those that clear it.
const SET_AND_CLEAR: [(Encoding, Encoding); 4] = [
    // PMCNTENSET_EL0, PMOVSSET_EL0, PMINTENSET_EL1, DBGCLAIMSET_EL1.
    (Encoding::new(3, 3, 9, 12, 1), Encoding::new(3, 3, 9, 12, 2)),
    (Encoding::new(3, 3, 9, 14, 3), Encoding::new(3, 3, 9, 12, 3)),
    (Encoding::new(3, 0, 9, 14, 1), Encoding::new(3, 0, 9, 14, 2)),
    (Encoding::new(2, 0, 7, 8, 6), Encoding::new(2, 0, 7, 9, 6)),
];

/// A register that can be read.
#[derive(Clone, Copy)]
struct Register {
    encoding: Encoding,
    /// Bits to write.
    mask: u64,
    clear: Option<Encoding>,
    /// What it reads as after this guest's pattern, and after the other's.
    own: u64,
    other: u64,
    /// It read otherwise than it was written, at some time.
    moves: bool,
    /// It read as the other guest writes it.
    shared: bool,
}

impl Register {
    const NONE: Self = Self {
        encoding: Encoding::new(2, 0, 0, 0, 0),
        mask: 0,
        clear: None,
        own: 0,
        other: 0,
        moves: false,
        shared: false,
    };

    /// The register at `encoding`, if it can be read.
    fn find(encoding: Encoding) -> Option<Self> {
        read(encoding).ok()?;
        let kept = KEPT_FROM.iter().find(|(kept, _)| *kept == encoding);
        let pair = SET_AND_CLEAR.iter().find(|(set, _)| *set == encoding);
        // Those that clear are written with those that set. A down-counter's value (TVAL) is its
        // compare value.
        let clears = SET_AND_CLEAR.iter().any(|(_, clear)| *clear == encoding);
        let mask = match kept {
            Some((_, mask)) => *mask,
            None if clears || encoding.is_timer_value() => 0,
            None => u64::MAX,
        };
        Some(Self {
            encoding,
            mask,
            clear: pair.map(|(_, clear)| *clear),
            ..Self::NONE
        })
    }

    fn set(&self, pattern: u64) -> bool {
        if let Some(clear) = self.clear {
            // A register that cannot be cleared keeps what it has, which is then seen.
            let _ = write(clear, u64::MAX);
        }
        self.mask != 0 && matches!(write(self.encoding, pattern & self.mask), Outcome::Done)
    }

    fn get(&self) -> u64 {
        read(self.encoding).unwrap_or(0)
    }

    /// Writes take, or are accepted and come to nothing.
    const fn keeps(&self) -> bool {
        self.own != self.other
    }
}

/// The registers that were found.
struct Registers {
    all: [Register; MAX],
    count: usize,
}

/// Runs the set as guest `who`, 0 or 1.
pub fn run(report: &mut Report, who: usize) {
    let who = who & 1;
    let mut registers = Registers {
        all: [Register::NONE; MAX],
        count: 0,
    };
    for encoding in Encoding::all() {
        let Some(mut register) = Register::find(encoding) else {
            continue;
        };
        if register.set(PATTERNS[1 - who]) {
            register.other = register.get();
            register.set(PATTERNS[who]);
            register.own = register.get();
        } else {
            register.mask = 0;
            register.own = register.get();
            register.other = register.own;
        }
        if let Some(slot) = registers.all.get_mut(registers.count) {
            *slot = register;
            registers.count += 1;
        }
    }
    report.check(
        "registers",
        "found",
        registers.count > 40 && registers.count < MAX,
        format_args!("{} can be read", registers.count),
    );
    let Some(found) = registers.all.get_mut(..registers.count) else {
        return;
    };
    println!("probe: registers: rounds begin");
    for _ in 0..ROUNDS {
        round(found, PATTERNS[who]);
    }
    tell(report, found);
}

/// Writes, lets the other guest run, and looks.
fn round(registers: &mut [Register], pattern: u64) {
    for register in registers.iter() {
        register.set(pattern);
    }
    let end = cpu::counter() + cpu::frequency() * MILLISECONDS / 1000;
    while cpu::counter() < end {
        core::hint::spin_loop();
    }
    for register in registers {
        let value = register.get();
        if value != register.own {
            if register.keeps() && value == register.other {
                register.shared = true;
            } else {
                register.moves = true;
            }
        }
    }
}

fn tell(report: &mut Report, registers: &[Register]) {
    let mut shared = 0;
    for register in registers.iter().filter(|register| register.shared) {
        shared += 1;
        let encoding = register.encoding;
        println!(
            "probe: registers: shared {encoding}: wrote {:#x}, the other's {:#x} was there",
            register.own, register.other
        );
    }
    let count = |which: &dyn Fn(&Register) -> bool| registers.iter().filter(|r| which(r)).count();
    println!(
        "probe: registers: {} readable, {} writable, {} ignore writes, {} move, {shared} shared",
        registers.len(),
        count(&Register::keeps),
        count(&|register| register.mask != 0 && !register.keeps()),
        count(&|register| register.moves),
    );
    // Not a failure by itself: what is shared depends on the machine, and whoever reads the lines
    // knows it.
    report.check(
        "registers",
        "kept",
        count(&|register| register.keeps() && !register.shared) > 10,
        format_args!("registers of this guest's own"),
    );
}
