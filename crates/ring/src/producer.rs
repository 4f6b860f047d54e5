//! The writing side.

use crate::header::{Corrupt, Header, byte, size_of};
use crate::sync::{AtomicU8, Ordering, fence};

/// The side that writes.
#[derive(Debug)]
pub struct Producer<'a> {
    header: Header<'a>,
    data: &'a [AtomicU8],
    size: u32,
    /// Our index; what is in shared memory is a copy for the peer.
    prod: u32,
    notify: bool,
}

impl<'a> Producer<'a> {
    /// The writing side of the ring over `data`, going on at the published index (0 in fresh
    /// memory).
    ///
    /// `None` where the length of `data` is not a power of two.
    pub fn new(header: Header<'a>, data: &'a [AtomicU8]) -> Option<Self> {
        Some(Self {
            header,
            data,
            size: size_of(data)?,
            prod: header.prod.load(Ordering::Relaxed),
            notify: false,
        })
    }

    /// Writes as much of `bytes` as there is room for and returns how much that was.
    ///
    /// If that is less than all, the consumer's next
    /// [`Consumer::take_starved`](crate::Consumer::take_starved) says so, unless room appears
    /// before this call returns.
    pub fn write(&mut self, bytes: &[u8]) -> usize {
        let mut done = self.put(bytes);
        if done < bytes.len() {
            // Tell, fence, look: see "Wake-ups" in the crate's documentation. One more look is
            // enough: what is taken after it comes with the flag in the consumer's sight.
            self.header.starved.store(1, Ordering::Relaxed);
            fence(Ordering::SeqCst);
            done += self.put(bytes.get(done..).unwrap_or(&[]));
        }
        done
    }

    /// Bytes that [`Producer::write`] would take now; 0 in a corrupt ring.
    pub fn room(&self) -> usize {
        self.check()
            .map_or(0, |used| usize::try_from(self.size - used).unwrap_or(0))
    }

    /// Bytes that the consumer has not taken, if its index makes sense.
    ///
    /// # Errors
    /// [`Corrupt`]: the consumer published an index that cannot be; the ring counts as full.
    pub fn check(&self) -> Result<u32, Corrupt> {
        // Acquire: the consumer has finished with the bytes before we overwrite them.
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

    fn put(&mut self, bytes: &[u8]) -> usize {
        let take = self.room().min(bytes.len());
        let Ok(step) = u32::try_from(take) else {
            return 0;
        };
        if step == 0 {
            return 0;
        }
        let mut at = self.prod;
        for &value in bytes.iter().take(take) {
            if let Some(cell) = byte(self.data, at) {
                cell.store(value, Ordering::Relaxed);
            }
            at = at.wrapping_add(1);
        }
        let before = core::mem::replace(&mut self.prod, at);
        // Release: the bytes are there before the index says so.
        self.header.prod.store(at, Ordering::Release);
        fence(Ordering::SeqCst);
        self.notify |= self.header.cons.load(Ordering::Relaxed) == before;
        take
    }
}
