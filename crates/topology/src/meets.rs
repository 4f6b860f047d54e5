//! Which domains meet: the pairs that have a page and a channel between their VMMs.

use core::fmt;

use crate::MAX_DOMAINS;

/// Pairs of domains, by their numbers from 0. Without a pair there is nothing between two domains:
/// no channel, no page and no call.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Meets([u8; MAX_DOMAINS]);

impl Meets {
    /// Nobody meets.
    pub const NONE: Self = Self([0; MAX_DOMAINS]);
    /// Everybody meets everybody else.
    pub const ALL: Self = {
        let mut all = [u8::MAX; MAX_DOMAINS];
        let mut domain = 0;
        while domain < MAX_DOMAINS {
            all[domain] &= !(1 << domain);
            domain += 1;
        }
        Self(all)
    };

    /// The pairs of eight bytes: byte `n` has a bit for each whom domain `n` meets. What is not
    /// said by both is not meant.
    #[must_use]
    pub fn from_bits(bits: u64) -> Self {
        let told = Self(bits.to_le_bytes());
        let pairs = told.pairs().filter(|(a, b)| told.contains(*b, *a));
        pairs.fold(Self::NONE, |meets, (a, b)| meets.with(a, b))
    }

    /// As [`Meets::from_bits`] takes it.
    #[must_use]
    pub const fn bits(self) -> u64 {
        u64::from_le_bytes(self.0)
    }

    /// These and the pair `a`, `b`; the same where those are no two domains.
    #[must_use]
    pub fn with(mut self, a: usize, b: usize) -> Self {
        if a != b && a < MAX_DOMAINS && b < MAX_DOMAINS {
            self.0[a] |= 1 << b;
            self.0[b] |= 1 << a;
        }
        self
    }

    /// Whether `a` and `b` meet.
    #[must_use]
    pub fn contains(self, a: usize, b: usize) -> bool {
        self.of(a).any(|met| met == b)
    }

    /// Those whom `domain` meets, ascending.
    pub fn of(self, domain: usize) -> impl Iterator<Item = usize> {
        let bits = self.0.get(domain).copied().unwrap_or(0);
        (0..MAX_DOMAINS).filter(move |other| bits & 1 << other != 0)
    }

    /// Whether `domain` meets anybody; of none: whether anybody does.
    #[must_use]
    pub fn is_met(self, domain: Option<usize>) -> bool {
        match domain {
            Some(domain) => self.0.get(domain).is_some_and(|bits| *bits != 0),
            None => self != Self::NONE,
        }
    }

    /// The pairs, each once with the lower number first.
    pub fn pairs(self) -> impl Iterator<Item = (usize, usize)> {
        (0..MAX_DOMAINS).flat_map(move |a| {
            let above = self.of(a).filter(move |b| a < *b);
            above.map(move |b| (a, b))
        })
    }
}

/// Who may map pages that another domain grants to it, by their numbers from 0. Unlike [`Meets`] it
/// has a direction.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Lends([u8; MAX_DOMAINS]);

impl Lends {
    /// Nobody lends anything.
    pub const NONE: Self = Self([0; MAX_DOMAINS]);

    /// Those of eight bytes: byte `n` has a bit for each who may map what domain `n` grants. Nobody
    /// lends to itself.
    #[must_use]
    pub fn from_bits(bits: u64) -> Self {
        let mut all = bits.to_le_bytes();
        for (domain, to) in all.iter_mut().enumerate() {
            *to &= !(1 << domain);
        }
        Self(all)
    }

    /// As [`Lends::from_bits`] takes it.
    #[must_use]
    pub const fn bits(self) -> u64 {
        u64::from_le_bytes(self.0)
    }

    /// These, and what `lender` grants to `borrower`; the same where those are no two domains.
    #[must_use]
    pub fn with(mut self, lender: usize, borrower: usize) -> Self {
        if lender != borrower && lender < MAX_DOMAINS && borrower < MAX_DOMAINS {
            self.0[lender] |= 1 << borrower;
        }
        self
    }

    /// Whether `borrower` may map what `lender` grants.
    #[must_use]
    pub fn contains(self, lender: usize, borrower: usize) -> bool {
        let bits = self.0.get(lender).copied().unwrap_or(0);
        borrower < MAX_DOMAINS && bits & 1 << borrower != 0
    }

    /// Of whom `borrower` may map pages, a bit for each.
    #[must_use]
    pub fn lenders(self, borrower: usize) -> u8 {
        let lenders = (0..MAX_DOMAINS).filter(|lender| self.contains(*lender, borrower));
        lenders.fold(0, |bits, lender| bits | 1 << lender)
    }
}

/// The name of the memory region that two VMMs share, by the names of their domains, of which the
/// first has the lower number. No domain's name has the colon between them, so two pairs never
/// have the same.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PageName<'a>(pub &'a str, pub &'a str);

impl fmt::Display for PageName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PAGE_PREFIX}{}:{}", self.0, self.1)
    }
}

/// What the names of those regions begin with.
pub const PAGE_PREFIX: &str = "events_";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lending_has_a_direction() {
        let lends = Lends::NONE.with(2, 0).with(1, 1).with(0, MAX_DOMAINS);
        assert!(lends.contains(2, 0) && !lends.contains(0, 2) && !lends.contains(1, 1));
        assert_eq!([lends.lenders(0), lends.lenders(2)], [0b100, 0]);
        assert_eq!(Lends::from_bits(lends.bits()), lends);
        let all = Lends::from_bits(u64::MAX);
        assert!(all.contains(7, 0) && !all.contains(7, 7));
    }

    #[test]
    fn a_pair_is_one_both_ways_and_nobody_meets_himself() {
        let meets = Meets::NONE.with(2, 0).with(1, 1).with(0, MAX_DOMAINS);
        assert!(meets.contains(0, 2) && meets.contains(2, 0) && !meets.contains(0, 1));
        assert!(meets.pairs().eq([(0, 2)]));
        assert!(meets.is_met(Some(2)) && !meets.is_met(Some(1)) && meets.is_met(None));
        assert!(!Meets::NONE.is_met(None));
        assert_eq!(Meets::from_bits(meets.bits()), meets);
        assert_eq!(
            Meets::from_bits(0b10),
            Meets::NONE,
            "the other one knows nothing of it"
        );
        assert_eq!(Meets::from_bits(u64::MAX), Meets::ALL);
        assert_eq!(
            Meets::ALL.pairs().count(),
            MAX_DOMAINS * (MAX_DOMAINS - 1) / 2
        );
    }
}
