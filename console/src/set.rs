//! Sets of clients.

/// A set of client indices below 64.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct ClientSet(u64);

impl ClientSet {
    /// No client.
    pub const EMPTY: Self = Self(0);

    /// Adds `index`; 64 and more are ignored.
    pub fn insert(&mut self, index: usize) {
        self.0 |= bit(index);
    }
    /// Takes `index` out.
    pub fn remove(&mut self, index: usize) {
        self.0 &= !bit(index);
    }
    /// Whether `index` is in it.
    pub fn contains(self, index: usize) -> bool {
        self.0 & bit(index) != 0
    }
    /// Whether it is empty.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
    /// The first member at or after `from`, else the first of all.
    pub(crate) fn next_from(self, from: usize) -> Option<usize> {
        let above = u32::try_from(from)
            .ok()
            .and_then(|shift| u64::MAX.checked_shl(shift))
            .unwrap_or(0);
        Self(self.0 & above).first().or_else(|| self.first())
    }
    fn first(self) -> Option<usize> {
        (self.0 != 0).then_some(self.0.trailing_zeros() as usize)
    }
}

fn bit(index: usize) -> u64 {
    u32::try_from(index)
        .ok()
        .and_then(|shift| 1u64.checked_shl(shift))
        .unwrap_or(0)
}

impl Iterator for ClientSet {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        let first = self.first()?;
        self.remove(first);
        Some(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goes_round() {
        let mut set = ClientSet::EMPTY;
        for i in [0, 5, 63, 64, usize::MAX] {
            set.insert(i);
        }
        assert_eq!(set.next_from(1), Some(5));
        assert_eq!(set.next_from(6), Some(63));
        assert_eq!(set.next_from(64), Some(0));
        assert_eq!(set.next_from(usize::MAX), Some(0));
        assert!(!set.contains(64));
        assert!(set.eq([0, 5, 63]));
        assert_eq!(ClientSet::EMPTY.next_from(0), None);
    }
}
