//! The words that both sides share.

use crate::cell::Cell;
use crate::sync::AtomicU32;

/// 32-bit words that a [`Header`] takes of the shared memory: three, each in a cache line of its
/// own.
pub const HEADER_WORDS: usize = 3 * LINE_WORDS;
/// Words of a 64-byte cache line.
const LINE_WORDS: usize = 16;

/// A ring's indices and flag in shared memory.
#[derive(Clone, Copy, Debug)]
pub struct Header<'a> {
    /// Cells ever written, modulo 2^32; stored by the producer alone.
    pub(crate) prod: &'a AtomicU32,
    /// Cells ever taken, modulo 2^32; stored by the consumer alone.
    pub(crate) cons: &'a AtomicU32,
    /// Not 0: the producer wants to be told of room. Set by the producer, taken by the consumer.
    pub(crate) starved: &'a AtomicU32,
}

impl<'a> Header<'a> {
    /// The header in the first [`HEADER_WORDS`] of `words`; `None` if there are fewer.
    pub fn new(words: &'a [AtomicU32]) -> Option<Self> {
        let words = words.get(..HEADER_WORDS)?;
        Some(Self {
            prod: words.first()?,
            cons: words.get(LINE_WORDS)?,
            starved: words.get(2 * LINE_WORDS)?,
        })
    }
}

/// The peer's index is further from ours than the ring is long.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Corrupt {
    /// Distance of the indices in cells, modulo 2^32.
    pub distance: u32,
    /// Size of the ring in cells.
    pub size: u32,
}

impl core::fmt::Display for Corrupt {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(
            f,
            "the indices are {} apart in a ring of {}",
            self.distance, self.size
        )
    }
}

/// Size of a ring over `data`: a power of two from 1 to 2^31, so that free-running indices can be
/// masked.
pub(crate) fn size_of<C: Cell>(data: &[C]) -> Option<u32> {
    let size = u32::try_from(data.len()).ok()?;
    size.is_power_of_two().then_some(size)
}

/// The cell of `data` that free-running `index` names.
pub(crate) fn cell<C: Cell>(data: &[C], index: u32) -> Option<&C> {
    let mask = data.len().checked_sub(1)?;
    data.get(usize::try_from(index).ok()? & mask)
}
