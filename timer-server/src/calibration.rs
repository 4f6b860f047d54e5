//! How a counter of the board and the system counter go together, from looking at both at once.

use timer_server_api::Relation;

/// Both counters at one moment, just after the board's counter moved on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sight {
    /// The system counter.
    pub ticks: u64,
    /// The board's counter, modulo 2^16.
    pub count: u16,
}

/// Counts that must lie between two sights for a rate: the moment is known to a fraction of a
/// count.
const FEWEST: u16 = 128;
/// Counts after which the counter may have been round once.
const MOST: u16 = 0xf000;

/// The rate, from the sights so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct Calibration {
    last: Option<Sight>,
    relation: Relation,
}

impl Calibration {
    /// Nothing was seen.
    pub const fn new() -> Self {
        Self {
            last: None,
            relation: Relation {
                ticks: 0,
                count: 0,
                scale: 0,
            },
        }
    }

    /// Counts that should pass between the first sight and the second.
    pub const fn first_distance() -> u16 {
        FEWEST * 2
    }

    /// Looks at `sight`. Returns the relation from now on, or `None` while there is no rate yet.
    ///
    /// The rate is that between this sight and the last one, so that it follows clocks that drift.
    /// Two sights so far apart that the counter may have been round, or so close that they say
    /// nothing, leave it as it was.
    pub fn see(&mut self, sight: Sight) -> Option<Relation> {
        let Some(last) = self.last else {
            self.last = Some(sight);
            return None;
        };
        let ticks = sight.ticks.saturating_sub(last.ticks);
        let counts = sight.count.wrapping_sub(last.count);
        let scale = self.relation.scale;
        let round = scale != 0 && self.relation.counts(ticks, MOST) == MOST;
        if counts >= FEWEST && ticks != 0 && !round {
            let rate = (u128::from(ticks) << 32) / u128::from(counts);
            self.relation.scale = u64::try_from(rate).unwrap_or(scale);
        }
        if counts >= FEWEST || round {
            self.last = Some(sight);
        }
        self.relation.ticks = sight.ticks;
        self.relation.count = sight.count;
        (self.relation.scale != 0).then_some(self.relation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counters of 62.5 MHz and 129.883 kHz, after `ns` nanoseconds, at the next edge of the slow
    /// one.
    fn sight(ns: u64) -> Sight {
        let count = ns / 1_000 * 129_883 / 1_000_000 + 1;
        let edge = count * 1_000_000 / 129_883 * 1_000;
        let [low, high, ..] = count.to_le_bytes();
        Sight {
            ticks: edge / 16,
            count: u16::from_le_bytes([low, high]),
        }
    }

    #[test]
    fn two_sights_give_the_time_within_a_few_counts_for_half_a_second() {
        let mut calibration = Calibration::new();
        assert_eq!(calibration.see(sight(0)), None);
        let relation = calibration.see(sight(2_000_000)).unwrap();
        for ms in [2, 3, 10, 100, 400] {
            let now = sight(ms * 1_000_000);
            let told = relation.ticks_at(now.count);
            // 1 in 10,000 after two milliseconds of looking.
            assert!(
                told.abs_diff(now.ticks) <= 2 + now.ticks / 10_000,
                "{ms} ms: {told} {}",
                now.ticks
            );
        }
    }

    #[test]
    fn looking_again_keeps_time_for_hours() {
        let mut calibration = Calibration::new();
        let mut relation = None;
        for step in 0..100_000_u64 {
            relation = calibration.see(sight(step * 120_000_000));
        }
        let now = sight(99_999 * 120_000_000 + 119_000_000);
        let told = relation.unwrap().ticks_at(now.count);
        assert!(told.abs_diff(now.ticks) < 32, "{told} {}", now.ticks);
    }

    #[test]
    fn a_long_silence_keeps_the_rate_and_finds_the_time_again() {
        let mut calibration = Calibration::new();
        calibration.see(sight(0));
        let before = calibration.see(sight(100_000_000)).unwrap();
        // Ten seconds: the counter went round about 20 times.
        let after = calibration.see(sight(10_100_000_000)).unwrap();
        assert_eq!(after.scale, before.scale);
        let now = sight(10_200_000_000);
        assert!(after.ticks_at(now.count).abs_diff(now.ticks) < 700);
        assert!(calibration.see(now).is_some());
    }

    #[test]
    fn sights_too_close_move_the_base_and_not_the_rate() {
        let mut calibration = Calibration::new();
        calibration.see(sight(0));
        let before = calibration.see(sight(100_000_000)).unwrap();
        let after = calibration.see(sight(100_020_000)).unwrap();
        assert_eq!(after.scale, before.scale);
        assert!(after.ticks > before.ticks);
        assert_eq!(calibration.see(sight(100_020_000)), Some(after));
    }

    #[test]
    fn a_counter_that_stands_still_gives_no_time() {
        let mut calibration = Calibration::new();
        for ticks in [0, 1000, 1_000_000] {
            assert_eq!(calibration.see(Sight { ticks, count: 5 }), None);
        }
    }
}
