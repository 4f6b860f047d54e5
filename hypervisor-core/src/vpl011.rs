//! SBSA generic UART (Arm SBSA, appendix "Generic UART"; a subset of PL011, Arm DDI 0183), for guests without a PV console.
//!
//! Only the registers of xen-arm-abi 5.5 do something; any other reads as zero and ignores
//! writes. Accesses of 8, 16 and 32 bits.
//!
//! Output goes straight to the console. Where that has no room, up to 32 bytes wait in the
//! transmit FIFO; then FR.TXFF is set, and a driver that looks at it, or at the interrupt, loses
//! nothing. A byte written while TXFF is set is lost, as on the device. Input waits with the
//! console until the receive FIFO has room.

use console_api::ConsolePort;
use heapless::Deque;

/// Bytes of each FIFO.
const FIFO: usize = 32;
/// Trigger level of both interrupts: half, the reset value of a PL011 (SBSA UARTs have no IFLS register).
const TRIGGER: usize = FIFO / 2;

/// Register offsets in bytes (Arm DDI 0183, table 3-1).
mod register {
    pub(super) const DR: u32 = 0x00;
    pub(super) const FR: u32 = 0x18;
    pub(super) const IMSC: u32 = 0x38;
    pub(super) const RIS: u32 = 0x3c;
    pub(super) const MIS: u32 = 0x40;
    pub(super) const ICR: u32 = 0x44;
}

/// Bits of FR (Arm DDI 0183, 3.3.3).
mod flag {
    pub(super) const BUSY: u32 = 1 << 3;
    pub(super) const RXFE: u32 = 1 << 4;
    pub(super) const TXFF: u32 = 1 << 5;
    pub(super) const RXFF: u32 = 1 << 6;
    pub(super) const TXFE: u32 = 1 << 7;
}

/// Receive interrupt, in IMSC, RIS, MIS and ICR.
const RX: u32 = 1 << 4;
/// Transmit interrupt.
const TX: u32 = 1 << 5;
/// Receive timeout interrupt: there is something, if less than the trigger level. Time is not emulated: it comes at once.
const TIMEOUT: u32 = 1 << 6;
/// The interrupts of an SBSA UART: bits 10:4.
const INTERRUPTS: u32 = 0x7f0;

/// The device.
#[derive(Debug)]
pub struct Vpl011 {
    tx: Deque<u8, FIFO>,
    rx: Deque<u8, FIFO>,
    imsc: u32,
    ris: u32,
}

impl Vpl011 {
    /// The device after reset: FIFOs empty, interrupts masked.
    pub const fn new() -> Self {
        Self {
            tx: Deque::new(),
            rx: Deque::new(),
            imsc: 0,
            ris: 0,
        }
    }

    /// Reads the register at byte `off` with an access of `size` bytes.
    ///
    /// `None`: a data abort for the guest (ICR, which is write-only, or an access of other than 1, 2 or 4 bytes).
    pub fn mmio_read<C: ConsolePort>(&mut self, off: u32, size: u8, c: &mut C) -> Option<u32> {
        let mask = mask(size)?;
        let value = match off {
            register::DR => self.receive(c),
            register::FR => {
                self.send(c);
                self.flags()
            }
            register::IMSC => self.imsc,
            register::RIS => self.ris,
            register::MIS => self.ris & self.imsc,
            register::ICR => return None,
            _ => 0,
        };
        Some(value & mask)
    }

    /// Writes the register at byte `off` with an access of `size` bytes.
    ///
    /// `false`: a data abort for the guest (an access of other than 1, 2 or 4 bytes).
    pub fn mmio_write<C: ConsolePort>(
        &mut self,
        off: u32,
        size: u8,
        value: u32,
        c: &mut C,
    ) -> bool {
        let Some(mask) = mask(size) else {
            return false;
        };
        let value = value & mask;
        match off {
            register::DR => {
                // Bits 7:0 are the data; the device loses what is written to a full FIFO.
                #[expect(clippy::cast_possible_truncation, reason = "DR.DATA is bits 7:0")]
                let _ = self.tx.push_back(value as u8);
                self.ris &= !TX;
                self.send(c);
            }
            // The bits that this access does not reach stay as they are.
            register::IMSC => self.imsc = (self.imsc & !mask) | (value & INTERRUPTS),
            register::ICR => self.ris &= !value,
            _ => {}
        }
        true
    }

    /// Moves output to the console and input to the receive FIFO, as far as there is room; returns
    /// whether the interrupt line changed. To be called when the console sends a notification.
    pub fn pump<C: ConsolePort>(&mut self, c: &mut C) -> bool {
        let before = self.irq_level();
        if !self.tx.is_empty() {
            self.send(c);
        }
        self.fill(c);
        self.irq_level() != before
    }

    /// Moves what is left of a guest's output that has stopped; returns whether nothing is left.
    pub fn drain<C: ConsolePort>(&mut self, c: &mut C) -> bool {
        self.send(c);
        self.tx.is_empty()
    }

    /// Level of the interrupt line (SPI 32).
    pub const fn irq_level(&self) -> bool {
        self.ris & self.imsc != 0
    }

    /// Gives the console what waits in the transmit FIFO; TX rises when that is at most half full.
    fn send<C: ConsolePort>(&mut self, c: &mut C) {
        let mut moved = false;
        // Twice: the FIFO is two slices where it wraps.
        for _ in 0..2 {
            let (front, _) = self.tx.as_slices();
            if front.is_empty() {
                break;
            }
            let taken = c.write(front).min(front.len());
            for _ in 0..taken {
                self.tx.pop_front();
            }
            moved |= taken > 0;
        }
        if moved && self.tx.len() <= TRIGGER {
            self.ris |= TX;
        }
    }

    fn receive<C: ConsolePort>(&mut self, c: &mut C) -> u32 {
        let byte = self.rx.pop_front().unwrap_or(0);
        if self.rx.is_empty() {
            // What still waits with the console follows at once, so that a driver that reads until RXFE gets it all.
            self.ris &= !TIMEOUT;
            self.fill(c);
        }
        if self.rx.len() < TRIGGER {
            self.ris &= !RX;
        }
        u32::from(byte)
    }

    fn fill<C: ConsolePort>(&mut self, c: &mut C) {
        let mut bytes = [0; FIFO];
        let room = FIFO - self.rx.len();
        let into = bytes.get_mut(..room).unwrap_or(&mut []);
        let got = if into.is_empty() {
            0
        } else {
            c.read(into).min(room)
        };
        for &byte in bytes.iter().take(got) {
            let _ = self.rx.push_back(byte);
        }
        if got > 0 {
            self.ris |= TIMEOUT;
            if self.rx.len() >= TRIGGER {
                self.ris |= RX;
            }
        }
    }

    fn flags(&self) -> u32 {
        let mut flags = 0;
        for (is, bit) in [
            (self.tx.is_empty(), flag::TXFE),
            (self.tx.is_full(), flag::TXFF),
            (!self.tx.is_empty(), flag::BUSY),
            (self.rx.is_empty(), flag::RXFE),
            (self.rx.is_full(), flag::RXFF),
        ] {
            if is {
                flags |= bit;
            }
        }
        flags
    }
}

impl Default for Vpl011 {
    fn default() -> Self {
        Self::new()
    }
}

/// The bits that an access of `size` bytes reaches.
const fn mask(size: u8) -> Option<u32> {
    match size {
        1 => Some(0xff),
        2 => Some(0xffff),
        4 => Some(0xffff_ffff),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
