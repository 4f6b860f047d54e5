//! The UART, and whoever sits at the other end of the line.

use std::collections::VecDeque;

use uart::Uart;

/// A UART whose transmit FIFO drains as time passes, and that keeps everything that came out of it.
#[derive(Debug)]
pub struct Serial {
    /// Ticks that a byte takes; `None` is a line that takes everything at once.
    ticks_per_byte: Option<u64>,
    depth: usize,
    fifo: usize,
    /// Tick up to which bytes have left.
    sent_at: u64,
    typed: VecDeque<u8>,
    transcript: Vec<u8>,
    tx_irq: bool,
    pending: bool,
}

impl Serial {
    /// A line of unlimited speed.
    pub const fn fast() -> Self {
        Self::new(None, usize::MAX)
    }

    /// A UART with a FIFO of `depth` bytes; each byte takes `ticks` to leave.
    pub const fn slow(depth: usize, ticks: u64) -> Self {
        Self::new(Some(ticks), depth)
    }

    const fn new(ticks_per_byte: Option<u64>, depth: usize) -> Self {
        Self {
            ticks_per_byte,
            depth,
            fifo: 0,
            sent_at: 0,
            typed: VecDeque::new(),
            transcript: Vec::new(),
            tx_irq: false,
            pending: false,
        }
    }

    /// Time has come to tick `now`: bytes leave the FIFO.
    pub(crate) fn at(&mut self, now: u64) {
        let Some(ticks) = self.ticks_per_byte else {
            self.fifo = 0;
            return;
        };
        if self.fifo == 0 {
            self.sent_at = now;
            return;
        }
        let could = (now - self.sent_at) / ticks;
        let gone = self.fifo.min(usize::try_from(could).unwrap_or(usize::MAX));
        self.fifo -= gone;
        self.sent_at = if self.fifo == 0 {
            now
        } else {
            self.sent_at + gone as u64 * ticks
        };
        self.pending |= self.tx_irq && gone > 0;
    }

    /// The tick at which the next byte leaves, if the console waits for that.
    pub(crate) fn next(&self) -> Option<u64> {
        let ticks = self
            .ticks_per_byte
            .filter(|_| self.tx_irq && self.fifo > 0)?;
        Some(self.sent_at + ticks)
    }

    /// Whether the interrupt line is up.
    pub(crate) fn irq(&self) -> bool {
        self.pending || !self.typed.is_empty()
    }

    pub(crate) fn type_in(&mut self, keys: &[u8]) {
        self.typed.extend(keys);
    }

    /// Everything that came out so far.
    pub fn transcript(&self) -> &[u8] {
        &self.transcript
    }
}

impl Uart for Serial {
    fn write(&mut self, bytes: &[u8]) -> usize {
        let taken = if self.ticks_per_byte.is_none() {
            bytes.len()
        } else {
            bytes.len().min(self.depth - self.fifo)
        };
        if self.ticks_per_byte.is_some() {
            self.fifo += taken;
        }
        self.transcript.extend(&bytes[..taken]);
        taken
    }
    fn read(&mut self, into: &mut [u8]) -> usize {
        let count = into.len().min(self.typed.len());
        for (slot, byte) in into.iter_mut().zip(self.typed.drain(..count)) {
            *slot = byte;
        }
        count
    }
    fn set_tx_irq(&mut self, on: bool) {
        self.tx_irq = on;
    }
    fn ack(&mut self) {
        self.pending = false;
    }
}
