//! A UART for tests: its FIFO drains on request.

use crate::Uart;

/// Bytes that a [`FakeUart`] keeps of what came out of it.
const WIRE: usize = 64 * 1024;

/// A UART whose transmit FIFO holds a given number of bytes and drains only by [`FakeUart::drain`].
#[derive(Debug)]
pub struct FakeUart {
    wire: [u8; WIRE],
    written: usize,
    sent: usize,
    depth: usize,
    typed: [u8; 64],
    typed_len: usize,
    tx_irq: bool,
    acks: u32,
}

impl FakeUart {
    /// A UART with a transmit FIFO of `depth` bytes; `usize::MAX` never fills.
    pub const fn new(depth: usize) -> Self {
        Self {
            wire: [0; WIRE],
            written: 0,
            sent: 0,
            depth,
            typed: [0; 64],
            typed_len: 0,
            tx_irq: false,
            acks: 0,
        }
    }
    /// Lets `count` bytes leave the FIFO; returns whether the interrupt line goes up for it.
    pub fn drain(&mut self, count: usize) -> bool {
        let left = self.written - self.sent;
        self.sent += count.min(left);
        self.tx_irq && left > 0 && count > 0
    }
    /// Everything written so far (at most 64 KiB).
    pub fn wire(&self) -> &[u8] {
        self.wire.get(..self.written).unwrap_or(&[])
    }
    /// Forgets what was written so far.
    pub fn clear(&mut self) {
        (self.written, self.sent) = (0, 0);
    }
    /// Types `bytes` at the other end; returns how many fitted into the receive FIFO of 64 bytes.
    pub fn type_in(&mut self, bytes: &[u8]) -> usize {
        let free = self.typed.get_mut(self.typed_len..).unwrap_or(&mut []);
        let n = free.len().min(bytes.len());
        for (slot, &byte) in free.iter_mut().zip(bytes) {
            *slot = byte;
        }
        self.typed_len += n;
        n
    }
    /// Whether the transmit interrupt is on.
    pub const fn tx_irq(&self) -> bool {
        self.tx_irq
    }
    /// How often [`Uart::ack`] was called.
    pub const fn acks(&self) -> u32 {
        self.acks
    }
}

impl Uart for FakeUart {
    fn write(&mut self, bytes: &[u8]) -> usize {
        let fifo = self.depth - (self.written - self.sent).min(self.depth);
        let free = self.wire.get_mut(self.written..).unwrap_or(&mut []);
        let n = bytes.len().min(fifo).min(free.len());
        for (slot, &byte) in free.iter_mut().zip(bytes).take(n) {
            *slot = byte;
        }
        self.written += n;
        n
    }
    fn read(&mut self, into: &mut [u8]) -> usize {
        let n = into.len().min(self.typed_len);
        for (slot, &byte) in into.iter_mut().zip(&self.typed).take(n) {
            *slot = byte;
        }
        self.typed.copy_within(n..self.typed_len, 0);
        self.typed_len -= n;
        n
    }
    fn set_tx_irq(&mut self, on: bool) {
        self.tx_irq = on;
    }
    fn ack(&mut self) {
        self.acks += 1;
    }
}
