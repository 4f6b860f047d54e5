//! Ranges of host physical memory.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use crate::node::Cells;

/// `size` bytes of host physical memory from `start`; `start + size` has a 64-bit number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Range {
    /// First byte.
    pub start: u64,
    /// Bytes, at least 1 in every range that validation lets through.
    pub size: u64,
}

impl Range {
    /// `size` bytes from `start`, or `None` where that is empty or passes the end of 64 bits.
    pub const fn new(start: u64, size: u64) -> Option<Self> {
        match start.checked_add(size) {
            Some(_) if size > 0 => Some(Self { start, size }),
            _ => None,
        }
    }

    /// First byte past the range.
    pub const fn end(&self) -> u64 {
        self.start.saturating_add(self.size)
    }

    /// Whether the two have a byte in common.
    pub const fn overlaps(&self, other: &Self) -> bool {
        self.start < other.end() && other.start < self.end()
    }

    /// Whether start and size are multiples of `align` (a power of two).
    pub const fn is_aligned(&self, align: u64) -> bool {
        (self.start | self.size) & (align - 1) == 0
    }
}

impl Range {
    /// The range as a DTS has it, in `cells`.
    pub(crate) fn written(&self, cells: Cells) -> String {
        let number = |number: u64, cells: u32| match cells {
            1 => format!("{number:#x}"),
            _ => format!("{:#x} {:#x}", number >> 32, number & 0xffff_ffff),
        };
        let (start, size) = (
            number(self.start, cells.address),
            number(self.size, cells.size),
        );
        format!("<{start} {size}>")
    }

    /// Whether address and size have room in `cells`.
    pub(crate) fn fits(&self, cells: Cells) -> bool {
        let fits = |number: u64, cells: u32| cells > 1 || u32::try_from(number).is_ok();
        fits(self.start, cells.address) && fits(self.size, cells.size)
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}..{:#x}", self.start, self.end())
    }
}

/// The sum of sizes; saturates.
pub(crate) fn total(ranges: &[Range]) -> u64 {
    ranges
        .iter()
        .fold(0, |sum, range| sum.saturating_add(range.size))
}

/// `ranges` sorted, with those that touch or overlap made one.
pub(crate) fn merged(ranges: &[Range]) -> Vec<Range> {
    let mut sorted = ranges.to_vec();
    sorted.sort_unstable();
    let mut merged: Vec<Range> = Vec::new();
    for range in sorted {
        match merged.last_mut() {
            Some(last) if range.start <= last.end() => {
                last.size = last.end().max(range.end()) - last.start
            }
            _ => merged.push(range),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    #[test]
    fn empty_and_wrapping_ranges_do_not_exist() {
        assert_eq!(Range::new(0x1000, 0), None);
        assert_eq!(Range::new(u64::MAX, 2), None);
        assert_eq!(Range::new(u64::MAX - 1, 1).map(|r| r.end()), Some(u64::MAX));
    }

    #[test]
    fn touching_is_not_overlapping() {
        let a = Range {
            start: 0x1000,
            size: 0x1000,
        };
        assert!(!a.overlaps(&Range {
            start: 0x2000,
            size: 0x1000
        }));
        assert!(a.overlaps(&Range {
            start: 0x1fff,
            size: 1
        }));
        assert!(a.overlaps(&Range {
            start: 0,
            size: 0x8000
        }));
    }

    #[test]
    fn merging() {
        let r = |start, size| Range { start, size };
        assert_eq!(
            merged(&[r(8, 8), r(0, 8), r(20, 4), r(21, 1)]),
            vec![r(0, 16), r(20, 4)]
        );
        assert_eq!(total(&[r(0, u64::MAX), r(1, 5)]), u64::MAX);
    }
}
