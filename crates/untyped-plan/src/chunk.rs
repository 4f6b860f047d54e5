//! Naturally aligned powers of two, and cutting ranges into them.

use crate::{BootUntyped, Paddr, Span, subtract};

/// `2^bits` bytes at a multiple of `2^bits`: what an untyped can cover.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Chunk {
    /// First byte.
    pub paddr: Paddr,
    /// log2 of the bytes, at most 62.
    pub bits: u8,
}

impl Chunk {
    /// Bytes.
    pub fn size(self) -> u64 {
        1 << self.bits
    }
    /// Its bytes as a range.
    pub fn span(self) -> Span {
        Span::sized(self.paddr, self.size()).expect("a chunk ends below 2^63")
    }
    /// The largest chunk that starts at `span`'s start and lies in it, at most `2^most` bytes.
    fn first_of(span: Span, most: u8) -> Self {
        // trailing_zeros of 0 is 64: address 0 is aligned to everything.
        let bits = span
            .start()
            .0
            .trailing_zeros()
            .min(span.size().ilog2())
            .min(u32::from(most));
        Self {
            paddr: span.start(),
            bits: u8::try_from(bits).expect("below 64"),
        }
    }
}

/// A part of a range that no single boot untyped holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Uncovered(pub Span);

/// Largest untyped (`seL4_MaxUntypedBits` on AArch64).
const MAX_UNTYPED_BITS: u8 = 47;

/// Cuts `span` into the fewest naturally aligned chunks.
pub fn cut(span: Span) -> Vec<Chunk> {
    let mut chunks = Vec::new();
    let mut rest = Some(span);
    while let Some(span) = rest {
        let chunk = Chunk::first_of(span, MAX_UNTYPED_BITS);
        chunks.push(chunk);
        rest = Span::new(chunk.span().end(), span.end());
    }
    chunks
}

/// Cuts `span` into chunks of which each lies in one of `boot`: only then can the initialiser
/// make untypeds of them.
///
/// # Errors
/// [`Uncovered`] with the first part that lies in no boot untyped.
pub fn cut_within(span: Span, boot: &[BootUntyped]) -> Result<Vec<Chunk>, Uncovered> {
    let covers: Vec<Span> = boot.iter().map(|untyped| untyped.span()).collect();
    if let Some(&hole) = subtract(&[span], &covers).first() {
        return Err(Uncovered(hole));
    }
    let mut parts: Vec<Span> = covers
        .iter()
        .filter_map(|cover| cover.intersection(span))
        .collect();
    parts.sort();
    Ok(parts.into_iter().flat_map(cut).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn span(start: u64, end: u64) -> Span {
        Span::new(Paddr(start), Paddr(end)).unwrap()
    }
    fn chunk(paddr: u64, bits: u8) -> Chunk {
        Chunk {
            paddr: Paddr(paddr),
            bits,
        }
    }

    #[test]
    fn an_aligned_power_of_two_is_one_chunk() {
        assert_eq!(
            cut(span(0x5000_0000, 0x6000_0000)),
            [chunk(0x5000_0000, 28)]
        );
    }

    #[test]
    fn three_blocks_at_an_odd_block_are_two_chunks() {
        // 6 MiB from 2 MiB on: 2 MiB, then 4 MiB at a multiple of 4 MiB.
        assert_eq!(
            cut(span(0x20_0000, 0x80_0000)),
            [chunk(0x20_0000, 21), chunk(0x40_0000, 22)]
        );
    }

    #[test]
    fn chunks_do_not_cross_boot_untypeds() {
        let boot = [
            BootUntyped::new(Paddr(0x4000_0000), 28, true),
            BootUntyped::new(Paddr(0x5000_0000), 28, true),
        ];
        let chunks = cut_within(span(0x4000_0000, 0x6000_0000), &boot).unwrap();
        assert_eq!(chunks, [chunk(0x4000_0000, 28), chunk(0x5000_0000, 28)]);
    }

    #[test]
    fn a_part_without_an_untyped_is_named() {
        let boot = [BootUntyped::new(Paddr(0x4000_0000), 28, true)];
        let error = cut_within(span(0x4000_0000, 0x5000_1000), &boot).unwrap_err();
        assert_eq!(error, Uncovered(span(0x5000_0000, 0x5000_1000)));
    }

    proptest! {
        #[test]
        fn chunks_tile_the_span(start in 0u64..1 << 30, pages in 1u64..1 << 18) {
            let span = span(start << 12, (start + pages) << 12);
            let mut at = span.start();
            for chunk in cut(span) {
                prop_assert_eq!(chunk.paddr, at);
                prop_assert_eq!(chunk.paddr.0 % chunk.size(), 0);
                at = chunk.span().end();
            }
            prop_assert_eq!(at, span.end());
        }

        #[test]
        fn never_two_chunks_where_one_would_do(start in 0u64..1 << 20, pages in 1u64..1 << 14) {
            let chunks = cut(span(start << 12, (start + pages) << 12));
            for pair in chunks.windows(2) {
                let mergeable = pair[0].bits == pair[1].bits
                    && pair[0].paddr.0 % (pair[0].size() * 2) == 0;
                prop_assert!(!mergeable);
            }
        }
    }
}
