//! Words beside the headers of two rings, for what is said once in a while.

use crate::header::HEADER_WORDS;
use crate::sync::{AtomicU32, Ordering};

/// A block of words in the memory that both sides share. Each side has words of its own and reads
/// the other's; neither waits.
#[derive(Clone, Copy, Debug)]
pub struct Words<'a>(&'a [AtomicU32]);

impl<'a> Words<'a> {
    /// First word of the block in the headers' memory.
    pub const FIRST: usize = 128;
    /// Words of the block.
    pub const COUNT: usize = 8;

    /// The block in `header`; `None` where that is too short.
    pub fn new(header: &'a [AtomicU32]) -> Option<Self> {
        Self::at(header, Self::FIRST, Self::COUNT)
    }

    /// A block of `count` words from word `first` on; `None` where `header` is too short.
    pub fn at(header: &'a [AtomicU32], first: usize, count: usize) -> Option<Self> {
        Some(Self(header.get(first..first.checked_add(count)?)?))
    }

    /// Word `at`; 0 where there is none.
    pub fn load(&self, at: usize) -> u32 {
        self.0
            .get(at)
            .map_or(0, |word| word.load(Ordering::Acquire))
    }

    /// Sets word `at`, if there is one.
    pub fn store(&self, at: usize, value: u32) {
        if let Some(word) = self.0.get(at) {
            word.store(value, Ordering::Release);
        }
    }

    /// The number in two words, low and high, which may change between the two reads.
    pub fn load_u64(&self, at: [usize; 2]) -> u64 {
        let [low, high] = at.map(|at| u64::from(self.load(at)));
        high << 32 | low
    }

    /// Sets two words, low and high, one after the other.
    pub fn store_u64(&self, [low, high]: [usize; 2], value: u64) {
        #[expect(clippy::cast_possible_truncation, reason = "the high word follows")]
        self.store(low, value as u32);
        self.store(high, (value >> 32) as u32);
    }
}

const _: () = assert!(2 * HEADER_WORDS <= Words::FIRST);
