//! Guest memory on the heap.

use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering::SeqCst};

use hv_types::{PAGE_SIZE, WindowAddr};
use zerocopy::FromZeros;

use crate::Window;

/// A [`Window`] whose regions are vectors of atomic words: for tests and sim. Touching what no
/// region holds panics, as touching a hole of a real window stops the VMM. Memory starts zeroed.
#[derive(Debug, Default)]
pub struct VecWindow {
    regions: Vec<Region>,
    cleaned: AtomicU64,
}

#[derive(Debug)]
struct Region {
    start: u64,
    words: Vec<AtomicU64>,
}

impl VecWindow {
    /// A window without memory.
    pub const fn new() -> Self {
        Self {
            regions: Vec::new(),
            cleaned: AtomicU64::new(0),
        }
    }

    /// Adds `len` bytes of zeroed memory at `start`, both multiples of 4 KiB; regions do not
    /// overlap.
    ///
    /// # Panics
    /// Where that is not so, or the heap is exhausted.
    #[must_use]
    pub fn with(mut self, start: WindowAddr, len: u64) -> Self {
        assert!(
            start.is_aligned(PAGE_SIZE) && len.is_multiple_of(PAGE_SIZE),
            "regions are made of pages"
        );
        let start = start.raw();
        let end = start
            .checked_add(len)
            .expect("the region ends within 64 bits");
        for region in &self.regions {
            assert!(
                end <= region.start || region.end() <= start,
                "regions overlap"
            );
        }
        let count = usize::try_from(len / 8).expect("the region fits the heap");
        let words = AtomicU64::new_vec_zeroed(count).expect("the heap has room");
        self.regions.push(Region { start, words });
        self
    }

    /// Bytes for which [`Window::clean`] has been called so far.
    pub fn cleaned(&self) -> u64 {
        self.cleaned.load(SeqCst)
    }

    /// The word that holds the byte at `at`, and that byte's place in it (0..=7).
    fn word(&self, at: u64) -> (&AtomicU64, usize) {
        let found = self
            .regions
            .iter()
            .find(|r| (r.start..r.end()).contains(&at));
        let Some(region) = found else {
            panic!("window address {at:#x} is a hole");
        };
        let index = usize::try_from((at - region.start) / 8).expect("a region fits the heap");
        (&region.words[index], (at % 8) as usize)
    }

    /// The aligned word of `size` bytes at `at`: its cell and its shift in it.
    fn aligned(&self, at: WindowAddr, size: u64) -> (&AtomicU64, u32) {
        assert!(
            at.is_aligned(size),
            "window address {at:#x} is not a multiple of {size}"
        );
        let (word, byte) = self.word(at.raw());
        #[expect(clippy::cast_possible_truncation, reason = "at most 7")]
        let byte = byte as u32;
        (word, 8 * byte)
    }

    /// Splits `len` bytes at `at` into pieces within words: (word, first byte in it, offset in the
    /// range, bytes).
    fn pieces(
        &self,
        at: WindowAddr,
        len: usize,
    ) -> impl Iterator<Item = (&AtomicU64, usize, usize, usize)> {
        let mut done = 0;
        core::iter::from_fn(move || {
            if done == len {
                return None;
            }
            let (word, byte) = self.word(at.raw() + done as u64);
            let count = (8 - byte).min(len - done);
            let piece = (word, byte, done, count);
            done += count;
            Some(piece)
        })
    }
}

impl Region {
    fn end(&self) -> u64 {
        self.start + 8 * self.words.len() as u64
    }
}

/// Replaces the bits of `mask` in `word`; the word before.
fn merge(word: &AtomicU64, mask: u64, bits: u64) -> u64 {
    match word.fetch_update(SeqCst, SeqCst, |old| Some(old & !mask | bits & mask)) {
        Ok(old) | Err(old) => old,
    }
}

impl Window for VecWindow {
    fn read(&self, at: WindowAddr, into: &mut [u8]) {
        for (word, byte, offset, count) in self.pieces(at, into.len()) {
            let bytes = word.load(SeqCst).to_le_bytes();
            into[offset..offset + count].copy_from_slice(&bytes[byte..byte + count]);
        }
    }
    fn write(&self, at: WindowAddr, from: &[u8]) {
        for (word, byte, offset, count) in self.pieces(at, from.len()) {
            let (mut bytes, mut mask) = ([0; 8], [0; 8]);
            bytes[byte..byte + count].copy_from_slice(&from[offset..offset + count]);
            mask[byte..byte + count].fill(0xff);
            if count == 8 {
                word.store(u64::from_le_bytes(bytes), SeqCst);
            } else {
                merge(word, u64::from_le_bytes(mask), u64::from_le_bytes(bytes));
            }
        }
    }
    fn zero(&self, at: WindowAddr, len: u64) {
        let len = usize::try_from(len).expect("a region fits the heap");
        for (word, byte, _, count) in self.pieces(at, len) {
            let mut mask = [0; 8];
            mask[byte..byte + count].fill(0xff);
            merge(word, u64::from_le_bytes(mask), 0);
        }
    }
    fn copy(&self, from: WindowAddr, to: WindowAddr, len: u64) {
        let mut buffer = [0; 256];
        let mut done = 0;
        while done < len {
            let count = (len - done).min(256);
            let buffer = &mut buffer[..count as usize];
            self.read(WindowAddr::new(from.raw() + done), buffer);
            self.write(WindowAddr::new(to.raw() + done), buffer);
            done += count;
        }
    }
    fn clean(&self, at: WindowAddr, len: u64) {
        if len != 0 {
            let _first = self.word(at.raw());
            let _last = self.word(at.raw() + len - 1);
        }
        self.cleaned.fetch_add(len, SeqCst);
    }

    #[expect(clippy::cast_possible_truncation, reason = "the low half is meant")]
    fn load_u32(&self, at: WindowAddr) -> u32 {
        let (word, shift) = self.aligned(at, 4);
        (word.load(SeqCst) >> shift) as u32
    }
    fn store_u32(&self, at: WindowAddr, value: u32) {
        let (word, shift) = self.aligned(at, 4);
        merge(
            word,
            u64::from(u32::MAX) << shift,
            u64::from(value) << shift,
        );
    }
    fn load_u64(&self, at: WindowAddr) -> u64 {
        self.aligned(at, 8).0.load(SeqCst)
    }
    fn store_u64(&self, at: WindowAddr, value: u64) {
        self.aligned(at, 8).0.store(value, SeqCst);
    }
    fn fetch_or_u64(&self, at: WindowAddr, bits: u64) -> u64 {
        self.aligned(at, 8).0.fetch_or(bits, SeqCst)
    }
    fn fetch_and_u64(&self, at: WindowAddr, bits: u64) -> u64 {
        self.aligned(at, 8).0.fetch_and(bits, SeqCst)
    }
    fn swap_u8(&self, at: WindowAddr, value: u8) -> u8 {
        let (word, shift) = self.aligned(at, 1);
        let old = merge(word, 0xff << shift, u64::from(value) << shift);
        old.to_le_bytes()[shift as usize / 8]
    }
    fn load_u8(&self, at: WindowAddr) -> u8 {
        let (word, shift) = self.aligned(at, 1);
        word.load(SeqCst).to_le_bytes()[shift as usize / 8]
    }
    #[expect(clippy::cast_possible_truncation, reason = "the low half is meant")]
    fn compare_exchange_u32(&self, at: WindowAddr, expected: u32, new: u32) -> Result<u32, u32> {
        let (word, shift) = self.aligned(at, 4);
        let half = |all: u64| (all >> shift) as u32;
        let mask = u64::from(u32::MAX) << shift;
        word.fetch_update(SeqCst, SeqCst, |all| {
            (half(all) == expected).then_some(all & !mask | u64::from(new) << shift)
        })
        .map(half)
        .map_err(half)
    }
}
