//! Physical addresses and ranges of them.

use core::fmt;

/// A physical address in bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Paddr(pub u64);

impl fmt::Display for Paddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

impl fmt::Debug for Paddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Paddr({:#x})", self.0)
    }
}

/// A range of physical memory: `start` inclusive, `end` exclusive, never empty.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Span {
    start: Paddr,
    end: Paddr,
}

impl Span {
    /// The bytes from `start` up to `end`; `None` if that is nothing.
    pub fn new(start: Paddr, end: Paddr) -> Option<Self> {
        (start < end).then_some(Self { start, end })
    }
    /// `size` bytes from `start`; `None` if `size` is 0 or the end has no 64-bit address.
    pub fn sized(start: Paddr, size: u64) -> Option<Self> {
        Self::new(start, Paddr(start.0.checked_add(size)?))
    }
    /// First byte.
    pub fn start(self) -> Paddr {
        self.start
    }
    /// One past the last byte.
    pub fn end(self) -> Paddr {
        self.end
    }
    /// Bytes.
    pub fn size(self) -> u64 {
        self.end.0 - self.start.0
    }
    /// Whether all of `inner` lies in `self`.
    pub fn contains(self, inner: Self) -> bool {
        self.start <= inner.start && inner.end <= self.end
    }
    /// The bytes that both have.
    pub fn intersection(self, other: Self) -> Option<Self> {
        Self::new(self.start.max(other.start), self.end.min(other.end))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.start, self.end)
    }
}

/// The first overlap of a span in `a` with one in `b`.
pub fn overlap(a: &[Span], b: &[Span]) -> Option<(Span, Span)> {
    a.iter().find_map(|&x| {
        b.iter()
            .find(|&&y| x.intersection(y).is_some())
            .map(|&y| (x, y))
    })
}

/// What is left of `from` without `holes` (which may overlap each other), ascending.
pub fn subtract(from: &[Span], holes: &[Span]) -> Vec<Span> {
    let mut holes = holes.to_vec();
    holes.sort();
    let mut left = Vec::new();
    for &span in from {
        let mut at = span.start;
        for hole in holes.iter().filter_map(|hole| hole.intersection(span)) {
            left.extend(Span::new(at, hole.start));
            at = at.max(hole.end);
        }
        left.extend(Span::new(at, span.end));
    }
    left.sort();
    left
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(start: u64, end: u64) -> Span {
        Span::new(Paddr(start), Paddr(end)).unwrap()
    }

    #[test]
    fn empty_and_wrapping_spans_do_not_exist() {
        assert_eq!(Span::new(Paddr(5), Paddr(5)), None);
        assert_eq!(Span::new(Paddr(6), Paddr(5)), None);
        assert_eq!(Span::sized(Paddr(u64::MAX), 2), None);
        assert_eq!(Span::sized(Paddr(4), 4), Some(span(4, 8)));
    }

    #[test]
    fn subtracting_cuts_holes_out() {
        let left = subtract(
            &[span(0, 100)],
            &[span(40, 60), span(50, 70), span(90, 200)],
        );
        assert_eq!(left, [span(0, 40), span(70, 90)]);
        assert_eq!(subtract(&[span(10, 20)], &[span(0, 30)]), []);
        assert_eq!(
            subtract(&[span(10, 20), span(0, 5)], &[]),
            [span(0, 5), span(10, 20)]
        );
    }

    #[test]
    fn overlaps_are_found_and_neighbours_are_none() {
        assert_eq!(overlap(&[span(0, 10)], &[span(10, 20)]), None);
        assert_eq!(
            overlap(&[span(0, 11)], &[span(10, 20)]),
            Some((span(0, 11), span(10, 20)))
        );
    }
}
