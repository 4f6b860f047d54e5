//! The UART as a guest's driver sees it.
#![allow(clippy::cast_possible_truncation, reason = "test data")]

use super::Vpl011;
use crate::fake::FakeConsole;

const DR: u32 = 0;
const FR: u32 = 0x18;
const IMSC: u32 = 0x38;
const RIS: u32 = 0x3c;
const MIS: u32 = 0x40;
const ICR: u32 = 0x44;
const RXFE: u32 = 1 << 4;
const TXFF: u32 = 1 << 5;
const RXFF: u32 = 1 << 6;
const TXFE: u32 = 1 << 7;
const BUSY: u32 = 1 << 3;

struct Rig {
    uart: Vpl011,
    port: FakeConsole,
}

impl Rig {
    fn new() -> Self {
        Self {
            uart: Vpl011::at(32),
            port: FakeConsole {
                out: Vec::new(),
                input: std::collections::VecDeque::new(),
                room: usize::MAX,
            },
        }
    }
    fn get(&mut self, off: u32) -> u32 {
        self.uart.mmio_read(off, 4, &mut self.port).unwrap()
    }
    fn set(&mut self, off: u32, value: u32) {
        assert!(self.uart.mmio_write(off, 4, value, &mut self.port));
    }
    /// A polling driver; false if it gave up on TXFF.
    fn putc(&mut self, byte: u8) -> bool {
        if self.get(FR) & TXFF != 0 {
            return false;
        }
        self.set(DR, byte.into());
        true
    }
}

#[test]
fn registers_after_reset() {
    let mut rig = Rig::new();
    assert_eq!(rig.get(FR), TXFE | RXFE);
    for off in [
        0x04, 0x24, 0x28, 0x2c, 0x30, 0x34, IMSC, RIS, MIS, 0x48, 0x1, 0xfe0, 0xffc,
    ] {
        assert_eq!(rig.get(off), 0, "{off:#x}");
    }
    assert!(!rig.uart.irq_level());
}

#[test]
fn other_registers_ignore_writes_and_icr_cannot_be_read() {
    let mut rig = Rig::new();
    for off in [0x04, FR, RIS, MIS, 0x2c, 0x30, 0xfe0] {
        rig.set(off, 0xffff_ffff);
        assert_eq!(
            rig.get(off),
            if off == FR { TXFE | RXFE } else { 0 },
            "{off:#x}"
        );
    }
    assert_eq!(rig.uart.mmio_read(ICR, 4, &mut rig.port), None);
    assert_eq!(rig.uart.mmio_read(DR, 8, &mut rig.port), None);
    assert!(!rig.uart.mmio_write(DR, 8, 0, &mut rig.port));
    assert_eq!(rig.port.out, b"");
}

#[test]
fn every_access_size_works() {
    let mut rig = Rig::new();
    for (size, value) in [(1, 0x4441), (2, 0x4442), (4, 0x4443)] {
        assert!(rig.uart.mmio_write(DR, size, value, &mut rig.port));
    }
    assert_eq!(rig.port.out, b"ABC");
    rig.set(IMSC, 0x7f0);
    assert!(rig.uart.mmio_write(IMSC, 1, 0x20, &mut rig.port));
    assert_eq!(rig.get(IMSC), 0x720);
    assert_eq!(rig.uart.mmio_read(IMSC, 1, &mut rig.port), Some(0x20));
    assert_eq!(rig.uart.mmio_read(IMSC, 2, &mut rig.port), Some(0x720));
}

#[test]
fn a_driver_that_looks_at_txff_loses_nothing() {
    let mut rig = Rig::new();
    rig.port.room = 10;
    let text: Vec<u8> = (0..100).collect();
    let sent = text.iter().take_while(|&&b| rig.putc(b)).count();
    assert_eq!(sent, 10 + 32);
    assert_eq!(rig.get(FR), TXFF | BUSY | RXFE);
    let mut rest = &text[sent..];
    while !rest.is_empty() {
        rig.port.room = 5;
        rig.uart.pump(&mut rig.port);
        let n = rest.iter().take_while(|&&b| rig.putc(b)).count();
        assert_eq!(n, 5);
        rest = &rest[n.min(rest.len())..];
        if rest.len() < 5 {
            break;
        }
    }
    rig.port.room = usize::MAX;
    rig.uart.pump(&mut rig.port);
    assert!(rest.iter().all(|&b| rig.putc(b)));
    assert_eq!(rig.port.out, text);
    assert_eq!(rig.get(FR), TXFE | RXFE);
}

#[test]
fn the_transmit_interrupt_comes_when_the_fifo_has_drained() {
    let mut rig = Rig::new();
    rig.set(IMSC, 0x20);
    assert!(
        !rig.uart.irq_level(),
        "as on the device: not for being empty"
    );
    rig.set(DR, b'x'.into());
    assert!(rig.uart.irq_level());
    assert_eq!((rig.get(RIS), rig.get(MIS)), (0x20, 0x20));
    rig.set(ICR, 0x20);
    assert!(!rig.uart.irq_level());
    rig.port.room = 0;
    for _ in 0..32 {
        assert!(rig.putc(b'y'));
    }
    assert!(!rig.uart.irq_level());
    rig.port.room = 15;
    assert!(!rig.uart.pump(&mut rig.port), "17 of 32 left");
    rig.port.room = 1;
    assert!(rig.uart.pump(&mut rig.port), "half full");
    assert!(rig.uart.irq_level());
    rig.set(IMSC, 0);
    assert_eq!((rig.get(RIS), rig.get(MIS)), (0x20, 0));
    assert!(!rig.uart.irq_level());
}

#[test]
fn input_interrupts_and_is_read_until_the_fifo_is_empty() {
    let mut rig = Rig::new();
    rig.set(IMSC, 0x50);
    rig.port.input.extend(b"ls\r");
    assert!(rig.uart.pump(&mut rig.port));
    assert_eq!((rig.get(MIS), rig.get(FR)), (0x40, TXFE));
    let got: Vec<u32> = (0..3).map(|_| rig.get(DR)).collect();
    assert_eq!(got, [u32::from(b'l'), u32::from(b's'), 13]);
    assert_eq!((rig.get(RIS), rig.get(FR)), (0, TXFE | RXFE));
    assert!(!rig.uart.irq_level());
    assert_eq!(rig.get(DR), 0);
}

#[test]
fn input_beyond_the_fifo_waits_with_the_console() {
    let mut rig = Rig::new();
    let typed: Vec<u8> = (0..100).collect();
    rig.port.input.extend(&typed);
    rig.uart.pump(&mut rig.port);
    assert_eq!(rig.port.input.len(), 68);
    assert_eq!(rig.get(RIS), 0x50);
    assert_eq!(rig.get(FR), TXFE | RXFF);
    // The driver clears the interrupt and then reads all there is.
    rig.set(ICR, 0x50);
    let mut got = Vec::new();
    while rig.get(FR) & RXFE == 0 {
        got.push(rig.get(DR) as u8);
    }
    assert_eq!(got, typed);
    assert_eq!(rig.get(RIS), 0);
    // One byte more is an interrupt again.
    rig.port.input.push_back(b'!');
    rig.uart.pump(&mut rig.port);
    assert_eq!(rig.get(RIS), 0x40);
}

#[test]
fn the_receive_interrupt_ends_below_half() {
    let mut rig = Rig::new();
    rig.port.input.extend([b'x'; 17]);
    rig.uart.pump(&mut rig.port);
    assert_eq!(rig.get(RIS), 0x50);
    rig.get(DR);
    assert_eq!(rig.get(RIS), 0x50);
    rig.get(DR);
    assert_eq!(rig.get(RIS), 0x40);
}
