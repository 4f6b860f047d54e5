//! Bytes on their way to the UART.

use heapless::Deque;
use uart::Uart;

/// The multiplexer composes more while at most so many bytes wait: enough for a UART's FIFO to stay
/// busy, and few, so that an answer to a key comes soon at 115,200 baud.
pub(crate) const LOW: usize = 512;
/// Most that one step composes: a line ended, a line of at most 544 bytes, and 64 bytes of
/// which each second is a CR that brings the name again. Argued in `serve`, checked by `lost`.
pub(crate) const STEP_MAX: usize = 3072;

/// The queue.
#[derive(Debug)]
pub(crate) struct Wire {
    queue: Deque<u8, { LOW + STEP_MAX }>,
    lost: u64,
}

impl Wire {
    pub(crate) const fn new() -> Self {
        Self {
            queue: Deque::new(),
            lost: 0,
        }
    }

    pub(crate) fn put(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            if self.queue.push_back(byte).is_err() {
                self.lost += 1;
            }
        }
    }

    /// Gives the UART what it takes; returns how much that was.
    pub(crate) fn drain(&mut self, uart: &mut impl Uart) -> usize {
        let mut total = 0;
        // Twice: the queue is two slices where it wraps.
        for _ in 0..2 {
            let (front, _) = self.queue.as_slices();
            let taken = uart.write(front).min(front.len());
            for _ in 0..taken {
                self.queue.pop_front();
            }
            total += taken;
        }
        total
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
    /// Whether a step may compose.
    pub(crate) fn has_room(&self) -> bool {
        self.queue.len() <= LOW
    }
    /// Bytes lost because a step composed more than [`STEP_MAX`]: a mistake in this crate.
    pub(crate) const fn lost(&self) -> u64 {
        self.lost
    }
}
