//! The writing side.

use crate::cell::Cell;
use crate::header::{Corrupt, Header, cell, size_of};
use crate::sync::{AtomicU8, Ordering, fence};

/// The side that writes.
#[derive(Debug)]
pub struct Producer<'a, C = AtomicU8> {
    header: Header<'a>,
    data: &'a [C],
    size: u32,
    /// Our index; what is in shared memory is a copy for the peer.
    prod: u32,
    notify: bool,
}

impl<'a, C: Cell> Producer<'a, C> {
    /// The writing side of the ring over `data`, going on at the published index (0 in fresh
    /// memory).
    ///
    /// `None` where the length of `data` is not a power of two.
    pub fn new(header: Header<'a>, data: &'a [C]) -> Option<Self> {
        Some(Self {
            header,
            data,
            size: size_of(data)?,
            prod: header.prod.load(Ordering::Relaxed),
            notify: false,
        })
    }

    /// Writes as much of `cells` as there is room for and returns how much that was.
    ///
    /// If that is less than all, the consumer's next
    /// [`Consumer::take_starved`](crate::Consumer::take_starved) says so, unless room appears
    /// before this call returns.
    pub fn write(&mut self, cells: &[C::Value]) -> usize {
        let mut done = self.put(cells);
        if done < cells.len() {
            // Tell, fence, look: see "Wake-ups" in the crate's documentation. One more look is
            // enough: what is taken after it comes with the flag in the consumer's sight.
            self.want_room();
            done += self.put(cells.get(done..).unwrap_or(&[]));
        }
        done
    }

    /// Writes all `parts` in a row, or nothing; returns whether it did.
    ///
    /// Where it did not, the consumer's next
    /// [`Consumer::take_starved`](crate::Consumer::take_starved) says so. More than the ring's size
    /// never fits.
    pub fn write_whole<'p>(&mut self, parts: impl Iterator<Item = &'p [C::Value]> + Clone) -> bool
    where
        C::Value: 'p,
    {
        let wanted = parts.clone().map(<[C::Value]>::len).sum();
        if self.room() < wanted {
            self.want_room();
            if self.room() < wanted {
                return false;
            }
        }
        for part in parts {
            self.put(part);
        }
        true
    }

    /// Has the consumer's next [`Consumer::take_starved`](crate::Consumer::take_starved) say that
    /// room is wanted, for what the cells stand for. Who asks looks once more before it sleeps.
    pub fn want_room(&self) {
        // As in `write`.
        self.header.starved.store(1, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    /// Cells that [`Producer::write`] would take now; 0 in a corrupt ring.
    pub fn room(&self) -> usize {
        self.check()
            .map_or(0, |used| usize::try_from(self.size - used).unwrap_or(0))
    }

    /// Cells that the consumer has not taken, if its index makes sense.
    ///
    /// # Errors
    /// [`Corrupt`]: the consumer published an index that cannot be; the ring counts as full.
    pub fn check(&self) -> Result<u32, Corrupt> {
        // Acquire: the consumer has finished with the cells before we overwrite them.
        let cons = self.header.cons.load(Ordering::Acquire);
        let distance = self.prod.wrapping_sub(cons);
        if distance > self.size {
            return Err(Corrupt {
                distance,
                size: self.size,
            });
        }
        Ok(distance)
    }

    /// Whether something written since the last call may have gone unseen by a consumer that
    /// sleeps, so that it must be notified now.
    pub fn take_notify(&mut self) -> bool {
        core::mem::take(&mut self.notify)
    }

    fn put(&mut self, cells: &[C::Value]) -> usize {
        let take = self.room().min(cells.len());
        let Ok(step) = u32::try_from(take) else {
            return 0;
        };
        if step == 0 {
            return 0;
        }
        let mut at = self.prod;
        for &value in cells.iter().take(take) {
            if let Some(cell) = cell(self.data, at) {
                cell.set(value);
            }
            at = at.wrapping_add(1);
        }
        let before = core::mem::replace(&mut self.prod, at);
        // Release: the cells are there before the index says so.
        self.header.prod.store(at, Ordering::Release);
        fence(Ordering::SeqCst);
        self.notify |= self.header.cons.load(Ordering::Relaxed) == before;
        take
    }
}
