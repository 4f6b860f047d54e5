//! A byte ring in a page that a guest shares with a back end: the PV console's and the store's.
//!
//! The guest may write anything there at any time, so each index is read once and used only if the
//! pair is at most the ring's size apart. Our own index is published once, after the bytes.

use guest_mem::Window;
use hv_types::WindowAddr;
use memory_server_api::Extra;

/// Bytes moved at a time.
const CHUNK: usize = 256;

/// Where a ring lies: its page, and byte offsets there.
#[derive(Clone, Copy, Debug)]
pub(super) struct PageRing {
    pub(super) page: Extra,
    /// The producer's index, which runs freely.
    pub(super) prod: u16,
    /// The consumer's.
    pub(super) cons: u16,
    /// The bytes.
    pub(super) bytes: u16,
    /// How many there are: a power of two, at most 2048.
    pub(super) size: u32,
}

impl PageRing {
    /// A byte of the page.
    fn at(&self, offset: u16) -> WindowAddr {
        WindowAddr::extra(self.page.index(), offset)
    }

    pub(super) fn prod<W: Window>(&self, w: &W) -> u32 {
        w.load_u32(self.at(self.prod))
    }

    pub(super) fn cons<W: Window>(&self, w: &W) -> u32 {
        w.load_u32(self.at(self.cons))
    }

    /// Bytes in the ring; `None` where there cannot be so many.
    pub(super) fn used(&self, prod: u32, cons: u32) -> Option<u32> {
        let used = prod.wrapping_sub(cons);
        (used <= self.size).then_some(used)
    }

    /// Takes the `used` bytes from `cons` on out of the ring, as far as `to` takes them, which
    /// returns how many that were; whether there were any.
    ///
    /// At most the ring's size, because the guest's index is not read again: a guest that goes on
    /// writing sends another event.
    pub(super) fn drain<W: Window>(
        &self,
        w: &W,
        mut cons: u32,
        mut used: u32,
        mut to: impl FnMut(&[u8]) -> usize,
    ) -> bool {
        // Most looks find nothing, and a buffer costs more than the look.
        if used == 0 {
            return false;
        }
        // The sequentially consistent loads and stores of `Window` are the full barriers that the
        // protocol asks for between the indices and the bytes.
        let mut moved = false;
        let mut chunk = [0; CHUNK];
        while used > 0 {
            let (offset, run) = self.run(cons, used);
            let Some(bytes) = chunk.get_mut(..run) else {
                break;
            };
            w.read(self.at(self.bytes + offset), bytes);
            let taken = to(bytes).min(run);
            // At most CHUNK.
            let step = u32::try_from(taken).unwrap_or(0);
            cons = cons.wrapping_add(step);
            used -= step;
            moved |= taken > 0;
            if taken < run {
                break;
            }
        }
        if moved {
            w.store_u32(self.at(self.cons), cons);
        }
        moved
    }

    /// Fills the ring, in which `used` bytes end at `prod`, with what `from` puts into the buffer
    /// that it gets, as far as there is room; `from` returns how many bytes that were. Whether
    /// there were any.
    pub(super) fn fill<W: Window>(
        &self,
        w: &W,
        mut prod: u32,
        used: u32,
        mut from: impl FnMut(&mut [u8]) -> usize,
    ) -> bool {
        let mut room = self.size - used;
        let mut moved = false;
        let mut chunk = [0; CHUNK];
        while room > 0 {
            let (offset, run) = self.run(prod, room);
            let Some(into) = chunk.get_mut(..run) else {
                break;
            };
            let got = from(into).min(run);
            let step = u32::try_from(got).unwrap_or(0);
            if step == 0 {
                break;
            }
            w.write(
                self.at(self.bytes + offset),
                chunk.get(..got).unwrap_or(&[]),
            );
            prod = prod.wrapping_add(step);
            room -= step;
            moved = true;
        }
        if moved {
            w.store_u32(self.at(self.prod), prod);
        }
        moved
    }

    /// Byte offset of free-running `index`, and how many of `count` bytes lie there in a row, at
    /// most [`CHUNK`].
    fn run(&self, index: u32, count: u32) -> (u16, usize) {
        let offset = index & (self.size - 1);
        let run = usize::try_from(count.min(self.size - offset)).unwrap_or(0);
        // Below the size, which fits.
        (u16::try_from(offset).unwrap_or(0), run.min(CHUNK))
    }
}
