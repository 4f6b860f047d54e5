//! Choosing places in the kernel's memory so that little of it is zeroed.
//!
//! Making the first object from a boot untyped zeroes all of it. So a request goes into an
//! untyped that is in use already if one has room, else into the smallest that fits.

use core::cmp::Reverse;

use crate::{BootUntyped, Chunk, Span, cut, subtract};

/// Free memory of the normal boot untypeds.
#[derive(Clone, Debug)]
pub struct Arena {
    untypeds: Vec<Free>,
}

#[derive(Clone, Debug)]
struct Free {
    size: u64,
    /// Something is made from it, so all of it is zeroed anyhow.
    touched: bool,
    /// Ascending, disjoint.
    spans: Vec<Span>,
}

impl Free {
    /// The smallest naturally aligned block with room for `2^bits`; the first of that size.
    fn best_block(&self, bits: u8) -> Option<Chunk> {
        let blocks = self.spans.iter().flat_map(|&span| cut(span));
        blocks
            .filter(|block| block.bits >= bits)
            .min_by_key(|block| (block.bits, block.paddr))
    }
    fn take(&mut self, chunk: Chunk) {
        self.spans = subtract(&self.spans, &[chunk.span()]);
        self.touched = true;
    }
    fn blocks(&self, min_bits: u8) -> Vec<Chunk> {
        let blocks = self.spans.iter().flat_map(|&span| cut(span));
        blocks.filter(|block| block.bits >= min_bits).collect()
    }
    fn room(&self, min_bits: u8) -> u64 {
        self.blocks(min_bits).iter().map(|block| block.size()).sum()
    }
}

impl Arena {
    /// The normal ones of `boot` without what lies in `occupied`.
    pub fn new(boot: &[BootUntyped], occupied: &[Span]) -> Self {
        let untypeds = boot
            .iter()
            .filter(|untyped| !untyped.device)
            .map(|untyped| {
                let span = untyped.span();
                let spans = subtract(&[span], occupied);
                Free {
                    size: span.size(),
                    touched: spans != [span],
                    spans,
                }
            });
        Self {
            untypeds: untypeds.collect(),
        }
    }

    /// Bytes that are free.
    pub fn free(&self) -> u64 {
        self.untypeds
            .iter()
            .flat_map(|untyped| &untyped.spans)
            .map(|span| span.size())
            .sum()
    }

    /// A place for `2^bits` bytes.
    pub fn place(&mut self, bits: u8) -> Option<Chunk> {
        let (best, block) = self
            .untypeds
            .iter()
            .enumerate()
            .filter_map(|(i, untyped)| Some((i, untyped.best_block(bits)?)))
            .min_by_key(|&(i, block)| (self.cost(i), block.bits, block.paddr))?;
        let chunk = Chunk {
            paddr: block.paddr,
            bits,
        };
        self.untypeds[best].take(chunk);
        Some(chunk)
    }

    /// Places for `bytes` bytes in pieces of at least `2^min_bits`, `bytes` rounded up to a
    /// multiple of that; `None`, and nothing taken, if there is not as much.
    pub fn place_bytes(&mut self, bytes: u64, min_bits: u8) -> Option<Vec<Chunk>> {
        let mut arena = self.clone();
        let mut rest = bytes.checked_next_multiple_of(1 << min_bits)?;
        let mut chunks = Vec::new();
        while rest > 0 {
            let i = arena.choose(rest, min_bits)?;
            let mut blocks = arena.untypeds[i].blocks(min_bits);
            blocks.sort_by_key(|block| Reverse(block.bits));
            for block in blocks {
                // Of a block larger than what is wanted, its start: the remainder stays whole.
                let take = rest.min(block.size());
                let pieces = Span::sized(block.paddr, take).map(cut).unwrap_or_default();
                for piece in pieces {
                    arena.untypeds[i].take(piece);
                    chunks.push(piece);
                    rest -= piece.size();
                }
            }
        }
        chunks.sort();
        *self = arena;
        Some(chunks)
    }

    /// Every free chunk of at least `2^min_bits` bytes.
    pub fn take_all(&mut self, min_bits: u8) -> Vec<Chunk> {
        let mut chunks = Vec::new();
        for untyped in &mut self.untypeds {
            for block in untyped.blocks(min_bits) {
                untyped.take(block);
                chunks.push(block);
            }
        }
        chunks.sort();
        chunks
    }

    /// The largest free chunk; the lowest of those.
    pub fn largest(&self) -> Option<Chunk> {
        let blocks = self.untypeds.iter().flat_map(|untyped| untyped.blocks(0));
        blocks.max_by_key(|block| (block.bits, Reverse(block.paddr)))
    }

    /// What taking from untyped `i` costs: the bytes it makes the kernel zero.
    fn cost(&self, i: usize) -> u64 {
        if self.untypeds[i].touched {
            0
        } else {
            self.untypeds[i].size
        }
    }

    /// Which untyped to take from next for `rest` bytes: one in use, the larger the better; else
    /// either the smallest that holds all of it, or the largest that holds part of it plus the
    /// best for what then remains, whichever zeroes less.
    fn choose(&self, rest: u64, min_bits: u8) -> Option<usize> {
        let room = |i: &usize| self.untypeds[*i].room(min_bits);
        let (touched, fresh): (Vec<usize>, Vec<usize>) = (0..self.untypeds.len())
            .filter(|i| room(i) > 0)
            .partition(|&i| self.untypeds[i].touched);
        if let Some(i) = touched
            .iter()
            .copied()
            .max_by_key(|i| (room(i), Reverse(*i)))
        {
            return Some(i);
        }
        let mut by_room = fresh;
        by_room.sort_by_key(|i| (room(i), *i));
        let sizes: Vec<u64> = by_room.iter().map(room).collect();
        let (_, first) = cheapest(&sizes, rest)?;
        by_room.get(first).copied()
    }
}

/// The cheapest cover of `rest` with some of `sizes` (ascending): its cost and the first to take.
fn cheapest(sizes: &[u64], rest: u64) -> Option<(u64, usize)> {
    let whole = sizes
        .iter()
        .position(|&size| size >= rest)
        .map(|i| (sizes[i], i));
    let part = sizes.iter().rposition(|&size| size < rest).and_then(|i| {
        let (cost, _) = cheapest(&sizes[..i], rest - sizes[i])?;
        Some((cost + sizes[i], i))
    });
    match (whole, part) {
        // Fewer pieces where the cost is the same.
        (Some(whole), Some(part)) => Some(if part.0 < whole.0 { part } else { whole }),
        (whole, part) => whole.or(part),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Paddr;
    use proptest::prelude::*;

    fn normal(paddr: u64, bits: u8) -> BootUntyped {
        BootUntyped::new(Paddr(paddr), bits, false)
    }
    fn chunk(paddr: u64, bits: u8) -> Chunk {
        Chunk {
            paddr: Paddr(paddr),
            bits,
        }
    }
    fn span(start: u64, end: u64) -> Span {
        Span::new(Paddr(start), Paddr(end)).unwrap()
    }

    /// The ladder that the kernel leaves on qemu_virt: each untyped twice the one before.
    fn ladder() -> Vec<BootUntyped> {
        let mut boot: Vec<BootUntyped> = (20..29)
            .map(|bits| normal(0x6000_0000 + (1 << bits), bits))
            .collect();
        boot.push(normal(0x8000_0000, 29));
        boot.push(BootUntyped::new(Paddr(0x4000_0000), 29, true));
        boot
    }

    #[test]
    fn the_smallest_untyped_that_fits_is_used_first() {
        let mut arena = Arena::new(&ladder(), &[]);
        assert_eq!(arena.place(21), Some(chunk(0x6020_0000, 21)));
        assert_eq!(arena.place(21), Some(chunk(0x6040_0000, 21)));
        // The rest of the one in use costs nothing more.
        assert_eq!(arena.place(20), Some(chunk(0x6060_0000, 20)));
        assert_eq!(arena.place(30), None);
    }

    #[test]
    fn memory_in_use_is_preferred() {
        let mut arena = Arena::new(&ladder(), &[span(0x6400_0000, 0x6400_1000)]);
        assert_eq!(arena.place(16), Some(chunk(0x6401_0000, 16)));
    }

    #[test]
    fn device_memory_is_not_offered() {
        let arena = Arena::new(&ladder(), &[]);
        assert_eq!(arena.free(), 0x6020_0000 - 0x6010_0000 + 0x3fe0_0000);
        assert_eq!(arena.largest(), Some(chunk(0x8000_0000, 29)));
    }

    #[test]
    fn an_amount_is_covered_by_the_rungs_that_add_up_to_it() {
        let mut arena = Arena::new(&ladder(), &[]);
        let chunks = arena.place_bytes(66 << 20, 21).unwrap();
        assert_eq!(chunks, [chunk(0x6020_0000, 21), chunk(0x6400_0000, 26)]);
    }

    #[test]
    fn an_amount_between_two_rungs_takes_the_part_that_it_needs() {
        // 96 MiB of one 128 MiB untyped: the remainder stays for others.
        let mut arena = Arena::new(&[normal(0x6800_0000, 27)], &[]);
        let chunks = arena.place_bytes(96 << 20, 21).unwrap();
        assert_eq!(chunks, [chunk(0x6800_0000, 26), chunk(0x6c00_0000, 25)]);
        assert_eq!(arena.free(), 32 << 20);
    }

    #[test]
    fn an_amount_that_is_not_there_takes_nothing() {
        let mut arena = Arena::new(&ladder(), &[]);
        let free = arena.free();
        assert_eq!(arena.place_bytes(2 << 30, 21), None);
        assert_eq!(arena.free(), free);
    }

    #[test]
    fn everything_is_everything() {
        let mut arena = Arena::new(&ladder(), &[span(0x6010_0000, 0x6010_1000)]);
        let free = arena.free();
        let chunks = arena.take_all(16);
        let taken: u64 = chunks.iter().map(|chunk| chunk.size()).sum();
        assert_eq!(free - taken, arena.free());
        // 4 KiB are used: of the gaps up to the next multiple of 64 KiB nothing is taken.
        assert_eq!(arena.free(), 0xf000);
    }

    proptest! {
        #[test]
        fn amounts_are_exact_disjoint_and_free(
            blocks in 0u64..600, used in proptest::collection::vec((0u64..1024, 1u64..64), 0..8),
        ) {
            let used: Vec<Span> = used
                .iter()
                .map(|(at, size)| span(0x6000_0000 + (at << 20), 0x6000_0000 + ((at + size) << 20)))
                .collect();
            let mut arena = Arena::new(&ladder(), &used);
            let before = arena.free();
            if let Some(chunks) = arena.place_bytes(blocks << 21, 21) {
                let total: u64 = chunks.iter().map(|chunk| chunk.size()).sum();
                prop_assert_eq!(total, blocks << 21);
                prop_assert_eq!(arena.free(), before - total);
                for (i, chunk) in chunks.iter().enumerate() {
                    prop_assert_eq!(chunk.paddr.0 % chunk.size(), 0);
                    prop_assert!(used.iter().all(|used| used.intersection(chunk.span()).is_none()));
                    prop_assert!(ladder().iter().any(|b| !b.device && b.span().contains(chunk.span())));
                    let others = &chunks[i + 1..];
                    prop_assert!(others.iter().all(|o| o.span().intersection(chunk.span()).is_none()));
                }
            } else {
                prop_assert!(before < (blocks << 21) + (20 << 20) * 2, "refused with room");
            }
        }
    }
}
