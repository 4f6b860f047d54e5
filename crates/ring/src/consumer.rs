//! The reading side.

use crate::cell::Cell;
use crate::header::{Corrupt, Header, cell, size_of};
use crate::sync::{AtomicU8, Ordering, fence};

/// The side that reads.
#[derive(Debug)]
pub struct Consumer<'a, C = AtomicU8> {
    header: Header<'a>,
    data: &'a [C],
    size: u32,
    /// Our index; what is in shared memory is a copy for the peer.
    cons: u32,
}

impl<'a, C: Cell> Consumer<'a, C> {
    /// The reading side of the ring over `data`, going on at the published index (0 in fresh
    /// memory).
    ///
    /// `None` where the length of `data` is not a power of two.
    pub fn new(header: Header<'a>, data: &'a [C]) -> Option<Self> {
        Some(Self {
            header,
            data,
            size: size_of(data)?,
            cons: header.cons.load(Ordering::Relaxed),
        })
    }

    /// Takes up to `into.len()` cells and returns how many; 0 when empty or corrupt.
    pub fn read(&mut self, into: &mut [C::Value]) -> usize {
        let got = self.peek(into);
        self.advance(got);
        got
    }

    /// Copies up to `into.len()` cells without taking them and returns how many; 0 when empty or
    /// corrupt.
    pub fn peek(&self, into: &mut [C::Value]) -> usize {
        let take = self.len().min(into.len());
        let mut at = self.cons;
        for slot in into.iter_mut().take(take) {
            if let Some(cell) = cell(self.data, at) {
                *slot = cell.get();
            }
            at = at.wrapping_add(1);
        }
        take
    }

    /// Takes `count` cells, at most those that are there.
    pub fn advance(&mut self, count: usize) {
        let Ok(step) = u32::try_from(count.min(self.len())) else {
            return;
        };
        if step == 0 {
            return;
        }
        self.cons = self.cons.wrapping_add(step);
        // Release: our reads of the cells are done before the producer may overwrite them.
        self.header.cons.store(self.cons, Ordering::Release);
        // Between telling and looking (at `prod` or at `starved`): see "Wake-ups".
        fence(Ordering::SeqCst);
    }

    /// Cells that can be taken now; 0 in a corrupt ring.
    pub fn len(&self) -> usize {
        self.check()
            .map_or(0, |used| usize::try_from(used).unwrap_or(0))
    }

    /// Whether there is nothing to take now.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Cells that can be taken, if the producer's index makes sense.
    ///
    /// # Errors
    /// [`Corrupt`]: the producer published an index that cannot be; the ring counts as empty.
    pub fn check(&self) -> Result<u32, Corrupt> {
        // Acquire: the cells before `prod` are there.
        let prod = self.header.prod.load(Ordering::Acquire);
        let distance = prod.wrapping_sub(self.cons);
        if distance > self.size {
            return Err(Corrupt {
                distance,
                size: self.size,
            });
        }
        Ok(distance)
    }

    /// Whether the producer asked to be notified of room since the last call; to be called after
    /// taking cells.
    ///
    /// A consumer may leave the flag until there is as much room as it thinks worth a wake-up, so
    /// long as it does ask in the end.
    pub fn take_starved(&mut self) -> bool {
        // The plain load keeps the common case free of an exclusive access.
        self.header.starved.load(Ordering::Relaxed) != 0
            && self.header.starved.swap(0, Ordering::Relaxed) != 0
    }
}
