//! Checks, their lines and their count.

use core::fmt;

use crate::println;
use crate::trap::Outcome;

/// Counts passes and failures.
#[derive(Default)]
pub struct Report {
    passed: u32,
    failed: u32,
    /// Wrong answers to wild pointers in the check that is under way.
    pub wild_failures: u32,
}

impl Report {
    /// One check.
    pub fn check(&mut self, set: &str, name: &str, pass: bool, details: fmt::Arguments<'_>) {
        if pass {
            self.passed += 1;
        } else {
            self.failed += 1;
        }
        println!(
            "probe: {set} {name} {} {details}",
            if pass { "PASS" } else { "FAIL" }
        );
    }

    /// Result `got` must be `want`.
    pub fn equal(&mut self, set: &str, name: &str, got: i64, want: i64) {
        self.check(
            set,
            name,
            got == want,
            format_args!("got {got} want {want}"),
        );
    }

    /// The instruction must have taken an exception of `class`, at `far` where that is given, with
    /// ELR `past` bytes behind the instruction.
    pub fn took(&mut self, name: &str, outcome: Outcome, class: u64, far: Option<u64>, past: i64) {
        let pass = match outcome {
            Outcome::Done => false,
            Outcome::Took(fault) => {
                fault.class() == class
                    && far.is_none_or(|far| fault.far == far)
                    && fault.past == past
            }
        };
        self.check("bad", name, pass, format_args!("{outcome}"));
    }

    /// Prints the count.
    pub fn finish(&self) {
        println!("probe: done {} passed, {} failed", self.passed, self.failed);
    }
}
