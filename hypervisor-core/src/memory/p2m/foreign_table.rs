//! Where the guest sees pages of other domains.
//!
//! There can be many more of them than aliases, so they are found by their place through a table of
//! hashes.

use hv_types::Gfn;
use memory_server_api::LENDS;

/// Words of a record: place plus one, whether it is in use and writable.
const RECORD: usize = 2;
/// Entries of the table of hashes: number plus one, two in each word.
const HASHES: usize = 2 * LENDS as usize;
/// Words of all this.
pub(super) const WORDS: usize = RECORD * LENDS as usize + HASHES / 2;

pub(super) const USED: u32 = 1;
pub(super) const WRITABLE: u32 = 2;

/// Pages of others, if the table has room for them.
#[derive(Debug)]
pub(super) struct Foreigners<'m> {
    words: &'m mut [u32],
    /// How many there are.
    pub(super) used: u32,
    /// None below this number is free.
    pub(super) first_free: u32,
    /// Grant slot of the first, once it is known.
    pub(super) base: Option<u32>,
}

/// Where the search for a place begins.
fn hash(gfn: Gfn) -> usize {
    let mixed = gfn.raw().wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
    usize::try_from(mixed).unwrap_or(0) % HASHES
}

impl<'m> Foreigners<'m> {
    /// None, in `words`, which are [`WORDS`] or too few for any.
    pub(super) fn new(words: &'m mut [u32]) -> Self {
        words.fill(0);
        Self {
            words,
            used: 0,
            first_free: 0,
            base: None,
        }
    }

    /// Whether there is room for any.
    pub(super) fn has_room(&self) -> bool {
        self.words.len() == WORDS
    }

    /// The words.
    pub(super) fn into_words(self) -> &'m mut [u32] {
        self.words
    }

    pub(super) fn record(&self, n: u32) -> Option<(Option<Gfn>, u32)> {
        let at = n as usize * RECORD;
        let [place, flags] = *self.words.get(at..at + RECORD)? else {
            return None;
        };
        let gfn = place.checked_sub(1).map(|gfn| Gfn::new(gfn.into()));
        (flags & USED != 0).then_some((gfn, flags))
    }

    pub(super) fn set_record(&mut self, n: u32, gfn: Option<Gfn>, flags: u32) {
        let at = n as usize * RECORD;
        if let Some([place, word]) = self.words.get_mut(at..at + RECORD) {
            // Frame numbers have 28 bits.
            *place = gfn.map_or(0, |gfn| u32::try_from(gfn.raw() + 1).unwrap_or(0));
            *word = flags;
        }
    }

    /// The entry of the table of hashes at `at`: a number, or nothing.
    fn entry(&self, at: usize) -> Option<u32> {
        let word = self.words.get(RECORD * LENDS as usize + at / 2)?;
        (word >> (16 * (at % 2)) & 0xffff).checked_sub(1)
    }

    fn set_entry(&mut self, at: usize, n: Option<u32>) {
        if let Some(word) = self.words.get_mut(RECORD * LENDS as usize + at / 2) {
            let shift = 16 * (at % 2);
            *word = *word & !(0xffff << shift) | n.map_or(0, |n| n + 1) << shift;
        }
    }

    fn place_of(&self, n: u32) -> Option<Gfn> {
        self.record(n).and_then(|(gfn, _)| gfn)
    }

    /// Where the number of what is at `gfn` stands.
    pub(super) fn find(&self, gfn: Gfn) -> Option<(usize, u32)> {
        if self.used == 0 {
            return None;
        }
        let start = hash(gfn);
        // Half of the entries are free at least.
        for at in (start..HASHES).chain(0..start) {
            let n = self.entry(at)?;
            if self.place_of(n) == Some(gfn) {
                return Some((at, n));
            }
        }
        None
    }

    pub(super) fn insert(&mut self, gfn: Gfn, n: u32) {
        let start = hash(gfn);
        let mut places = (start..HASHES).chain(0..start);
        if let Some(at) = places.find(|at| self.entry(*at).is_none()) {
            self.set_entry(at, Some(n));
        }
    }

    /// Takes `gfn` out of the table of hashes; what stands behind it moves up.
    pub(super) fn remove(&mut self, gfn: Gfn) {
        let Some((mut hole, _)) = self.find(gfn) else {
            return;
        };
        let mut at = hole;
        for _ in 0..HASHES {
            at = (at + 1) % HASHES;
            let Some(n) = self.entry(at) else {
                break;
            };
            let Some(home) = self.place_of(n).map(hash) else {
                break;
            };
            // It may stand anywhere from its home on, so in the hole if that is not before it.
            let from_home = (hole + HASHES - home) % HASHES;
            if from_home <= (at + HASHES - home) % HASHES {
                self.set_entry(hole, Some(n));
                hole = at;
            }
        }
        self.set_entry(hole, None);
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::collections::BTreeMap;
    use std::vec;

    use super::*;

    /// Places come and go in an order of their own, many of them with one hash.
    #[test]
    fn each_place_is_found_as_long_as_it_is_there() {
        let mut words = vec![7; WORDS];
        let mut table = Foreigners::new(&mut words);
        assert!(table.has_room());
        let mut model: BTreeMap<u64, u32> = BTreeMap::new();
        let mut state = 1_u64;
        for step in 0..60_000 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            // Few frames, and some that are far apart.
            let gfn = (state >> 33) % 3000 * if state >> 20 & 1 == 0 { 1 } else { 0x1_0001 };
            let number = u32::try_from(state >> 40).unwrap() % LENDS;
            if let Some(n) = model.remove(&gfn) {
                table.remove(Gfn::new(gfn));
                table.set_record(n, None, 0);
                table.used -= 1;
            } else if !model.values().any(|n| *n == number) {
                table.set_record(number, Some(Gfn::new(gfn)), USED);
                table.insert(Gfn::new(gfn), number);
                table.used += 1;
                model.insert(gfn, number);
            }
            if step % 500 == 0 {
                for gfn in (0..3000).flat_map(|n| [n, n * 0x1_0001]) {
                    let found = table.find(Gfn::new(gfn)).map(|(_, n)| n);
                    assert_eq!(found, model.get(&gfn).copied(), "{gfn:#x} at {step}");
                }
            }
        }
        assert!(model.len() > 1000);
        let mut few = [0; 9];
        assert!(!Foreigners::new(&mut few).has_room());
    }
}
