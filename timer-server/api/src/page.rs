//! Time without the system counter.
//!
//! Where user level cannot read the system counter, a 16-bit counter of the board stands in for it,
//! and the timer server tells in a page that everybody may read how the two go together: at one
//! moment the system counter had [`Relation::ticks`] and the other [`Relation::count`], and since
//! then each count is [`Relation::scale`] / 2^32 ticks. It writes a new relation several times in
//! the 2^16 counts after which the counter starts again.

use core::sync::atomic::{AtomicU64, Ordering, fence};

/// Words of a [`ClockPage`].
pub const CLOCK_WORDS: usize = 4;

/// How the board's counter and the system counter go together.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Relation {
    /// Ticks of the system counter at one moment.
    pub ticks: u64,
    /// The board's counter at that moment.
    pub count: u16,
    /// Ticks per count, times 2^32; 0 where nothing is known yet.
    pub scale: u64,
}

impl Relation {
    /// The system counter when the board's counter is at `count`, less than 2^16 counts later.
    pub fn ticks_at(&self, count: u16) -> u64 {
        let since = u128::from(count.wrapping_sub(self.count)) * u128::from(self.scale);
        self.ticks
            .saturating_add(u64::try_from(since >> 32).unwrap_or(u64::MAX))
    }

    /// Counts in `ticks`, rounded up, at most `most`.
    pub fn counts(&self, ticks: u64, most: u16) -> u16 {
        let counts = (u128::from(ticks) << 32).div_ceil(u128::from(self.scale.max(1)));
        u16::try_from(counts).map_or(most, |counts| counts.min(most))
    }
}

/// The page: a sequence number, odd while the rest is written, and the relation.
#[derive(Clone, Copy, Debug)]
pub struct ClockPage<'a>(&'a [AtomicU64; CLOCK_WORDS]);

/// How often a reader looks again at a page that is being written. The writer has a higher priority
/// than the readers on the one processor, so they do not see one; this keeps a broken writer from
/// holding them.
const TRIES: u32 = 16;

impl<'a> ClockPage<'a> {
    /// The page in these words, zero at first.
    pub const fn new(words: &'a [AtomicU64; CLOCK_WORDS]) -> Self {
        Self(words)
    }

    /// Writes `relation`; for the timer server alone.
    pub fn publish(&self, relation: Relation) {
        let [sequence, ticks, count, scale] = self.0;
        let now = sequence.load(Ordering::Relaxed);
        sequence.store(now | 1, Ordering::Relaxed);
        fence(Ordering::Release);
        ticks.store(relation.ticks, Ordering::Relaxed);
        count.store(relation.count.into(), Ordering::Relaxed);
        scale.store(relation.scale, Ordering::Relaxed);
        sequence.store((now | 1).wrapping_add(1), Ordering::Release);
    }

    /// The relation, and the board's counter as `count` reads it while that relation holds.
    pub fn read(&self, mut count: impl FnMut() -> u16) -> (Relation, u16) {
        let [sequence, ticks, base, scale] = self.0;
        let mut last = (Relation::default(), 0);
        for _ in 0..TRIES {
            let before = sequence.load(Ordering::Acquire);
            let [low, high, ..] = base.load(Ordering::Relaxed).to_le_bytes();
            let relation = Relation {
                ticks: ticks.load(Ordering::Relaxed),
                count: u16::from_le_bytes([low, high]),
                scale: scale.load(Ordering::Relaxed),
            };
            last = (relation, count());
            fence(Ordering::Acquire);
            if before & 1 == 0 && sequence.load(Ordering::Relaxed) == before {
                break;
            }
        }
        last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_and_ticks_convert_across_the_wrap() {
        // 62.5 MHz over 133 MHz / 1024: 481.2 ticks a count.
        let scale = (481 << 32) + (203 << 24);
        let relation = Relation {
            ticks: 1_000_000,
            count: 65_530,
            scale,
        };
        assert_eq!(relation.ticks_at(65_530), 1_000_000);
        assert_eq!(relation.ticks_at(4), 1_000_000 + 4817);
        assert_eq!(relation.counts(0, 100), 0);
        assert_eq!(relation.counts(1, 100), 1);
        assert_eq!(relation.counts(4817, 100), 10);
        assert_eq!(relation.counts(u64::MAX, 0x4000), 0x4000);
        assert_eq!(Relation::default().counts(1, 7), 7);
        let wild = Relation {
            ticks: u64::MAX - 1,
            count: 0,
            scale: u64::MAX,
        };
        assert_eq!(wild.ticks_at(u16::MAX), u64::MAX);
    }

    #[test]
    fn readers_get_what_was_written_and_never_hang() {
        let words = [const { AtomicU64::new(0) }; CLOCK_WORDS];
        let page = ClockPage::new(&words);
        assert_eq!(page.read(|| 9), (Relation::default(), 9));
        let relation = Relation {
            ticks: 5,
            count: 6,
            scale: 7,
        };
        page.publish(relation);
        assert_eq!(page.read(|| 9), (relation, 9));
        // A writer that stopped half-way.
        words[0].store(1, Ordering::Relaxed);
        let mut reads = 0;
        page.read(|| {
            reads += 1;
            0
        });
        assert_eq!(reads, TRIES);
        page.publish(relation);
        assert_eq!(page.read(|| 9), (relation, 9));
        // A page that changes while it is read is read again.
        let newer = Relation {
            ticks: 8,
            ..relation
        };
        let mut first = true;
        let read = page.read(|| {
            if core::mem::take(&mut first) {
                page.publish(newer);
            }
            9
        });
        assert_eq!(read, (newer, 9));
    }
}
