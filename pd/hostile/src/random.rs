//! Random words that lean towards what a protocol knows.

/// Marsaglia's xorshift64: the same words in every run.
pub(crate) struct Random(u64);

impl Random {
    /// A generator; `seed` is not 0.
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Any word.
    pub(crate) const fn word(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A word below `end`.
    pub(crate) const fn below(&mut self, end: u64) -> u64 {
        self.word() % end
    }

    /// A word below `end`, as narrow as `end` is.
    pub(crate) fn below_small(&mut self, end: u32) -> u32 {
        u32::try_from(self.below(u64::from(end))).unwrap_or(0)
    }

    /// One of `all`, which is not empty.
    pub(crate) fn one_of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        let index = self.below(all.len() as u64);
        &all[usize::try_from(index).unwrap_or(0)]
    }

    /// A word as an attacker picks it: small, at the edge of a range, an address, or anything.
    pub(crate) const fn argument(&mut self) -> u64 {
        match self.below(8) {
            0 => self.below(4),
            1 => self.below(1 << 10),
            2 => self.below(1 << 20),
            3 => u64::MAX - self.below(4),
            4 => (1 << self.below(64)) - self.below(2),
            5 => 0x40000 + self.below(0x1000),
            6 => (self.below(64) * 512) * 2,
            _ => self.word(),
        }
    }
}
