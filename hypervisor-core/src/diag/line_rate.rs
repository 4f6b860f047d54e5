//! How many lines a guest can make its VMM log.
//!
//! A guest causes log lines by doing odd things, and can do them in a loop (SM-22). A host asks
//! here before each such line; what is withheld is counted and said later.

use core::fmt;

/// Lines shown in each second.
const PER_SECOND: u32 = 20;

/// Counts the lines of the current second.
#[derive(Clone, Copy, Debug, Default)]
pub struct LineRate {
    second: u64,
    shown: u32,
    withheld: u32,
}

/// What to do with a line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Admission {
    /// Lines withheld until now and not reported yet; to be said before anything else where it is
    /// not 0.
    pub withheld: u32,
    /// Show the line.
    pub show: bool,
}

impl Admission {
    /// Shows `line` if it is to be shown, and before it how many were not.
    pub fn tell(self, line: fmt::Arguments<'_>, mut show: impl FnMut(fmt::Arguments<'_>)) {
        if self.withheld != 0 {
            show(format_args!(
                "{} more lines like these were not shown",
                self.withheld
            ));
        }
        if self.show {
            show(line);
        }
    }
}

impl LineRate {
    /// Nothing was shown yet.
    pub const fn new() -> Self {
        Self {
            second: 0,
            shown: 0,
            withheld: 0,
        }
    }

    /// A line at tick `now` of a counter with `frequency` ticks a second.
    pub fn admit(&mut self, now: u64, frequency: u64) -> Admission {
        let second = now / frequency.max(1);
        let mut withheld = 0;
        if second != self.second {
            self.second = second;
            self.shown = 0;
            withheld = core::mem::take(&mut self.withheld);
        }
        let show = self.shown < PER_SECOND;
        if show {
            self.shown += 1;
        } else {
            self.withheld = self.withheld.saturating_add(1);
        }
        Admission { withheld, show }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_much_is_counted_and_said_in_the_next_second() {
        let mut rate = LineRate::new();
        let shown = (0..50).filter(|n| rate.admit(1000 + n, 1000).show).count();
        assert_eq!(shown, 20);
        assert_eq!(
            rate.admit(2000, 1000),
            Admission {
                withheld: 30,
                show: true
            }
        );
        assert_eq!(
            rate.admit(2001, 1000),
            Admission {
                withheld: 0,
                show: true
            }
        );
        assert!(rate.admit(5, 0).show, "no division by zero");
    }
}
