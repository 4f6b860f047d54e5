//! SBSA generic UART (Arm SBSA, appendix "Generic UART"; a subset of PL011, Arm DDI 0183), for
//! guests without a PV console.
//!
//! Only the registers of xen-arm-abi 5.5 do something; any other reads as zero and ignores
//! writes. Accesses of 8, 16 and 32 bits.
//!
//! Output goes straight to the console. Where that has no room, up to 32 bytes wait in the
//! transmit FIFO; then FR.TXFF is set, and a driver that looks at it, or at the interrupt, loses
//! nothing. A byte written while TXFF is set is lost, as on the device. Input waits with the
//! console until the receive FIFO has room.
//!
//! A guest may have a PV console too, and there is one stream of input. What the FIFO takes, a
//! driver of the PV console never sees, so the UART takes input only where somebody reads it: see
//! [`Pv`].

use console_api::ConsolePort;
use dt_server_api::{DomainRecord, GuestLayout, PvFeatures};
use heapless::Deque;

use super::model::{Device, Line, Region, Words, Written};
use crate::evtchn::Service;
use crate::host::Host;
use crate::host::on_vcpu::VcpuHost;

/// Bytes of each FIFO.
const FIFO: usize = 32;
/// Trigger level of both interrupts: half, the reset value of a PL011 (SBSA UARTs have no IFLS
/// register).
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
/// Receive timeout interrupt: there is something, if less than the trigger level. Time is not
/// emulated: it comes at once.
const TIMEOUT: u32 = 1 << 6;
/// The interrupts of an SBSA UART: bits 10:4.
const INTERRUPTS: u32 = 0x7f0;

/// The guest's PV console, with which the UART shares the input.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pv {
    /// There is none: all input is for the UART.
    Absent,
    /// No driver has made itself known there. Input is for the UART once its receive interrupt is
    /// unmasked or its flags are read (firmware that polls), and waits with the console until then.
    Unused,
    /// A driver has signalled its port. Input is for the UART while its receive interrupt is
    /// unmasked: a driver opened it.
    Used,
}

/// The device.
#[derive(Debug)]
pub struct Vpl011 {
    intid: u16,
    tx: Deque<u8, FIFO>,
    rx: Deque<u8, FIFO>,
    imsc: u32,
    ris: u32,
    pv: Pv,
}

impl Vpl011 {
    /// The device after reset, in a guest without a PV console: FIFOs empty, interrupts masked. Its
    /// interrupt is `intid`.
    pub const fn at(intid: u16) -> Self {
        Self {
            intid,
            tx: Deque::new(),
            rx: Deque::new(),
            imsc: 0,
            ris: 0,
            pv: Pv::Absent,
        }
    }

    /// Says what there is of a PV console.
    pub const fn set_pv(&mut self, pv: Pv) {
        self.pv = pv;
    }

    /// Whether a driver waits for input here: the receive interrupt is unmasked.
    pub const fn is_open(&self) -> bool {
        self.imsc & (RX | TIMEOUT) != 0
    }

    /// Whether input is for the PV console now.
    pub fn leaves_input(&self) -> bool {
        self.pv == Pv::Used && !self.is_open()
    }

    /// Reads the register at byte `off` with an access of `size` bytes.
    ///
    /// `None`: a data abort for the guest (ICR, which is write-only, or an access of other than 1,
    /// 2 or 4 bytes).
    pub fn mmio_read<C: ConsolePort>(&mut self, off: u32, size: u8, c: &mut C) -> Option<u32> {
        let mask = mask(size)?;
        let value = match off {
            register::DR => self.receive(c),
            register::FR => {
                self.send(c);
                // Elsewhere the console's notification has brought it.
                if self.pv == Pv::Unused && self.rx.is_empty() {
                    self.fill(c);
                }
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
            register::IMSC => {
                self.imsc = (self.imsc & !mask) | (value & INTERRUPTS);
                self.take_input(c);
            }
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
        self.take_input(c);
        self.irq_level() != before
    }

    /// Moves what is left of a guest's output that has stopped; returns whether nothing is left.
    pub fn drain_to<C: ConsolePort>(&mut self, c: &mut C) -> bool {
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
            // What still waits with the console follows at once, so that a driver that reads until
            // RXFE gets it all.
            self.ris &= !TIMEOUT;
            self.take_input(c);
        }
        if self.rx.len() < TRIGGER {
            self.ris &= !RX;
        }
        u32::from(byte)
    }

    /// Fills the receive FIFO where input is for the UART now.
    fn take_input<C: ConsolePort>(&mut self, c: &mut C) {
        if self.pv == Pv::Absent || self.is_open() {
            self.fill(c);
        }
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

/// The bits that an access of `size` bytes reaches.
const fn mask(size: u8) -> Option<u32> {
    match size {
        1 => Some(0xff),
        2 => Some(0xffff),
        4 => Some(0xffff_ffff),
        _ => None,
    }
}

impl Device for Vpl011 {
    const WORDS: Words = Words {
        name: "the UART (vpl011)",
        refuses: "the SBSA UART has no such register of that size: use 16- or 32-bit accesses",
        absent: (
            "the place of a UART (vpl011)",
            "the domain has no UART: add `vpl011;` to it, or use hvc0 as the guest's console",
        ),
    };

    fn is_in(record: &DomainRecord) -> bool {
        record.vpl011
    }
    fn new(record: &DomainRecord) -> Self {
        let mut uart = Self::at(record.layout.vpl011_intid);
        if record.pv != PvFeatures::None {
            uart.set_pv(Pv::Unused);
        }
        uart
    }
    fn place(layout: &GuestLayout) -> Option<Region> {
        Some(Region {
            start: layout.vpl011,
            size: 0x1000,
        })
    }
    fn read<H: VcpuHost>(&mut self, host: &mut H, offset: u32, size: u8) -> Option<u32> {
        self.mmio_read(offset, size, host.console())
    }
    fn write<H: VcpuHost>(&mut self, host: &mut H, offset: u32, size: u8, value: u32) -> Written {
        let open = self.is_open();
        match self.mmio_write(offset, size, value, host.console()) {
            // A UART that is closed leaves what waits to the PV console.
            true if open && !self.is_open() => Written::Notify,
            true => Written::Done,
            false => Written::Refused,
        }
    }
    fn line(&self) -> Option<Line> {
        Some(Line {
            intid: self.intid,
            high: self.irq_level(),
        })
    }
    fn work<H: Host>(&mut self, host: &mut H) -> Option<Service> {
        self.pump(host.console());
        None
    }
    fn drain<H: Host>(&mut self, host: &mut H) -> bool {
        self.drain_to(host.console())
    }
    fn reset<H: Host>(&mut self, _: &mut H) {
        let pv = if self.pv == Pv::Absent {
            Pv::Absent
        } else {
            Pv::Unused
        };
        *self = Self {
            pv,
            ..Self::at(self.intid)
        };
    }
}

#[cfg(test)]
mod tests;
