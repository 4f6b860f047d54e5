//! RAM that nobody has claimed yet.

use dt_server::Range;
use heapless::Vec;

/// Most pieces that are kept apart; smaller ones than would fit are forgotten.
const PIECES: usize = 96;

/// Free RAM, in ascending order.
#[derive(Clone, Debug, Default)]
pub struct Ram {
    free: Vec<Range, PIECES>,
}

impl Ram {
    /// All of these ranges, which are ascending and disjoint.
    pub fn new(ranges: &[Range]) -> Self {
        let mut ram = Self::default();
        for range in ranges {
            ram.keep(range.start, range.end());
        }
        ram
    }

    fn keep(&mut self, start: u64, end: u64) {
        if let Some(range) = end
            .checked_sub(start)
            .and_then(|size| Range::new(start, size))
        {
            // Where there are too many pieces the rest stays unused.
            let _ = self.free.push(range);
        }
    }

    /// Claims `taken`, whether or not all of it was free.
    pub fn claim(&mut self, taken: Range) {
        for range in core::mem::take(&mut self.free) {
            if range.overlaps(&taken) {
                self.keep(range.start, taken.start.max(range.start));
                self.keep(taken.end().min(range.end()), range.end());
            } else {
                self.keep(range.start, range.end());
            }
        }
    }

    /// Claims `size` bytes at a multiple of `align` (a power of two), as low as possible.
    pub fn take(&mut self, size: u64, align: u64) -> Option<Range> {
        let found = self.free.iter().find_map(|range| {
            let place = Range::new(range.start.checked_next_multiple_of(align)?, size)?;
            (place.end() <= range.end()).then_some(place)
        })?;
        self.claim(found);
        Some(found)
    }

    /// The highest place for `size` bytes at a multiple of `align` (a power of two); claims
    /// nothing.
    pub fn highest(&self, size: u64, align: u64) -> Option<Range> {
        self.free.iter().rev().find_map(|range| {
            let start = range.end().checked_sub(size)? & !(align - 1);
            Range::new(start, size).filter(|place| place.start >= range.start)
        })
    }

    /// Bytes that are free.
    pub fn bytes(&self) -> u64 {
        self.free.iter().map(|range| range.size).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(start: u64, end: u64) -> Range {
        Range::new(start, end - start).unwrap()
    }

    #[test]
    fn claims_cut_pieces_out() {
        let mut ram = Ram::new(&[range(0x1000, 0x9000), range(0x1_0000, 0x2_0000)]);
        ram.claim(range(0x3000, 0x4000));
        ram.claim(range(0x8000, 0x1_1000));
        assert_eq!(
            ram.free,
            [
                range(0x1000, 0x3000),
                range(0x4000, 0x8000),
                range(0x1_1000, 0x2_0000)
            ]
        );
        assert_eq!(ram.bytes(), 0x1_5000);
    }

    #[test]
    fn takes_the_lowest_and_finds_the_highest_aligned_place() {
        let mut ram = Ram::new(&[range(0x1000, 0x9000), range(0x1_1000, 0x2_0000)]);
        assert_eq!(ram.take(0x2000, 0x4000), Some(range(0x4000, 0x6000)));
        assert_eq!(ram.take(0x4000, 0x1000), Some(range(0x1_1000, 0x1_5000)));
        assert_eq!(ram.highest(0x3000, 0x4000), Some(range(0x1_c000, 0x1_f000)));
        assert_eq!(ram.highest(0xb001, 1), None);
        assert_eq!(ram.take(0x2_0000, 0x1000), None);
        assert_eq!(ram.bytes(), 0x3000 + 0x3000 + 0xb000);
    }
}
