//! How soon a guest that asks for a restart gets it.
//!
//! A guest that ends within its first second, again and again, will do so for ever: firmware that
//! misses something, a kernel with the wrong arguments. Each restart costs the memory server work
//! and the console lines. So after three such lives in a row it waits, each time twice as long, and
//! after [`MAX_SHORT_LIVES`] it stays down. One life that lasts longer, and the count begins anew.

use crate::domain::shutdown::MAX_SHORT_LIVES;

/// Short lives in a row that are followed by another at once.
pub(super) const FREE: u32 = 3;
/// The first wait is this part of a second.
const FIRST_WAIT: u64 = 16;

/// What follows the end of a life.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Next {
    /// Another, after so many ticks.
    After(u64),
    /// None.
    Never,
}

/// Counts short lives.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pace {
    born: u64,
    short: u32,
}

impl Pace {
    /// No life so far.
    pub(super) const fn new() -> Self {
        Self { born: 0, short: 0 }
    }

    /// A life begins at tick `now`.
    pub(super) fn begin(&mut self, now: u64) {
        self.born = now;
    }

    /// The user wants the next life: those before it do not count.
    pub(super) const fn forget(&mut self) {
        self.short = 0;
    }

    /// Short lives in a row.
    pub(super) const fn short(&self) -> u32 {
        self.short
    }

    /// The guest asks for a restart at tick `now`; a second has `frequency` ticks.
    pub(super) fn end(&mut self, now: u64, frequency: u64) -> Next {
        if now.saturating_sub(self.born) >= frequency {
            self.short = 0;
            return Next::After(0);
        }
        self.short = self.short.saturating_add(1);
        match self.short {
            ..=FREE => Next::After(0),
            MAX_SHORT_LIVES.. => Next::Never,
            short => Next::After((frequency / FIRST_WAIT) << (short - FREE - 1)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 62_500_000;

    /// The waits after lives of these lengths; each life begins when the wait before it is over.
    fn waits(lives: &[u64]) -> Vec<Next> {
        let (mut pace, mut now) = (Pace::new(), 1234);
        let mut end = |length: &u64| {
            pace.begin(now);
            let next = pace.end(now + length, SECOND);
            now += length;
            if let Next::After(wait) = next {
                now += wait;
            }
            next
        };
        lives.iter().map(&mut end).collect()
    }

    #[test]
    fn short_lives_are_followed_later_and_later_and_then_by_none() {
        let after = |parts| Next::After(SECOND / 16 * parts);
        let waits = waits(&[SECOND - 1; 11]);
        assert_eq!(waits[..3], [Next::After(0); 3]);
        assert_eq!(
            waits[3..9],
            [after(1), after(2), after(4), after(8), after(16), after(32)]
        );
        assert_eq!(waits[9..], [Next::Never; 2]);
    }

    #[test]
    fn a_life_of_a_second_begins_the_count_anew() {
        let mut lives = [0; 16];
        lives[8] = SECOND;
        let waits = waits(&lives);
        assert_eq!(waits[8..12], [Next::After(0); 4]);
        assert!(!waits.contains(&Next::Never));
        assert_eq!(waits[12], Next::After(SECOND / 16));
    }

    #[test]
    fn a_counter_that_goes_back_is_no_end() {
        let mut pace = Pace::new();
        pace.begin(u64::MAX);
        assert_eq!(pace.end(0, SECOND), Next::After(0));
        assert_eq!(pace.short(), 1);
        assert_eq!(Pace::new().end(u64::MAX, 0), Next::After(0));
    }
}
