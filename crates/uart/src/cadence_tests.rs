//! The driver against a model of the device.

use std::collections::VecDeque;
use std::vec::Vec;

use super::*;

/// What UG1087 says of the registers that the driver uses: FIFOs of 64 bytes, sticky interrupt bits
/// that are set again while their condition lasts, and a transmitter that ignores bytes while it is
/// off.
#[derive(Default)]
struct Model {
    rx: VecDeque<u8>,
    tx: VecDeque<u8>,
    wire: Vec<u8>,
    control: u32,
    mode: u32,
    mask: u32,
    latched: u32,
    generator: u32,
    divider: u32,
    trigger: u32,
    timeout: u32,
    lost: usize,
}

impl Model {
    fn status(&self) -> u32 {
        let bit = |set: bool, at: u32| u32::from(set) << at;
        bit(self.rx.len() >= self.trigger as usize, 0)
            | bit(self.rx.is_empty(), 1)
            | bit(self.tx.is_empty(), 3)
            | bit(self.tx.len() == 64, 4)
    }
    fn latch(&mut self) {
        self.latched |= self.status() & 0x1f;
    }
    fn line_up(&mut self) -> bool {
        self.latch();
        self.latched & self.mask != 0
    }
    /// Bytes arrive, and then nothing for as long as `RXTOUT` says.
    fn receive(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            if self.rx.len() == 64 {
                self.latched |= 1 << 5;
            } else {
                self.rx.push_back(byte);
            }
        }
        self.latch();
    }
    fn pause(&mut self) {
        if !self.rx.is_empty() && self.timeout != 0 {
            self.latched |= TIMEOUT;
        }
    }
    fn send(&mut self, count: usize) {
        let count = count.min(self.tx.len());
        self.wire.extend(self.tx.drain(..count));
        self.latch();
    }
}

impl Registers for &mut Model {
    fn read(&mut self, offset: usize) -> u32 {
        match offset {
            SR => self.status(),
            ISR => {
                self.latch();
                self.latched
            }
            FIFO => self.rx.pop_front().map_or(0, u32::from),
            _ => panic!("read of {offset:#x}"),
        }
    }
    fn write(&mut self, offset: usize, value: u32) {
        match offset {
            CR => {
                if value & 1 != 0 {
                    self.rx.clear();
                }
                if value & 2 != 0 {
                    self.tx.clear();
                }
                self.control = value & !0b11;
            }
            MR => self.mode = value,
            IER => self.mask |= value,
            IDR => self.mask &= !value,
            ISR => {
                self.latched &= !value;
                self.latch();
            }
            BAUDGEN => self.generator = value,
            BAUDDIV => self.divider = value,
            RXWM => self.trigger = value,
            RXTOUT => self.timeout = value,
            FIFO if self.control & 0x30 == 0x10 && self.tx.len() < 64 => {
                self.tx.push_back(value.to_le_bytes()[0]);
            }
            FIFO => self.lost += 1,
            _ => panic!("write of {offset:#x}"),
        }
    }
}

const LINE: Line = Line {
    baud: 115_200,
    clock_hz: 100_000_000,
};

fn with<T>(model: &mut Model, act: impl FnOnce(&mut Cadence<&mut Model>) -> T) -> T {
    act(&mut Cadence::over(model))
}

fn started() -> Model {
    // A release kernel leaves it so: transmitter and receiver disabled.
    let mut model = Model {
        control: 0x28,
        ..Model::default()
    };
    assert_eq!(with(&mut model, |uart| uart.start(LINE)), Ok(()));
    model
}

#[test]
fn start_turns_on_what_a_release_kernel_leaves_off() {
    let model = started();
    assert_eq!(model.control & 0x3c, CR_ON);
    assert_eq!((model.mode, model.mask), (MR_8N1, RX));
    assert_eq!(
        LINE.clock_hz / (model.generator * (model.divider + 1)),
        115_207
    );
}

#[test]
fn a_speed_out_of_reach_is_refused_untouched() {
    let mut model = Model::default();
    let line = Line { baud: 0, ..LINE };
    assert_eq!(
        with(&mut model, |uart| uart.start(line)),
        Err(BadLine(line))
    );
    assert_eq!((model.control, model.mode, model.mask), (0, 0, 0));
}

#[test]
fn write_stops_at_a_full_fifo_and_the_interrupt_says_when_to_go_on() {
    let mut model = started();
    let text = [b'x'; 100];
    let sent = with(&mut model, |uart| {
        let sent = uart.write(&text);
        uart.set_tx_irq(true);
        uart.ack();
        sent
    });
    assert_eq!((sent, model.lost), (64, 0));
    assert!(!model.line_up(), "nothing has drained yet");
    model.send(63);
    assert!(!model.line_up(), "one byte is left");
    model.send(1);
    assert!(model.line_up());
    let mut uart = Cadence {
        registers: &mut model,
        tx_irq: true,
        errors: 0,
    };
    uart.ack();
    assert_eq!(uart.write(&text[sent..]), 36);
    uart.set_tx_irq(false);
    assert!(!model.line_up());
    model.send(64);
    assert_eq!(model.wire, text);
}

#[test]
fn a_fifo_that_drained_before_the_interrupt_was_enabled_still_raises_it() {
    let mut model = started();
    assert_eq!(with(&mut model, |uart| uart.write(&[0; 65])), 64);
    model.send(64);
    with(&mut model, |uart| uart.set_tx_irq(true));
    assert!(model.line_up());
}

#[test]
fn a_burst_raises_the_trigger_and_a_few_bytes_the_timeout() {
    let mut model = started();
    model.receive(b"0123456789abcde");
    assert!(!model.line_up());
    model.receive(b"f");
    assert!(model.line_up(), "16 bytes");
    let mut into = [0; 32];
    let got = with(&mut model, |uart| {
        uart.ack();
        uart.read(&mut into)
    });
    assert_eq!(&into[..got], b"0123456789abcdef");
    with(&mut model, |uart| uart.ack());
    assert!(!model.line_up());
    model.receive(b"k");
    assert!(!model.line_up());
    model.pause();
    assert!(model.line_up(), "one byte, and then a pause");
    let got = with(&mut model, |uart| {
        uart.ack();
        uart.read(&mut into)
    });
    assert_eq!(&into[..got], b"k");
    assert!(!model.line_up());
}

#[test]
fn reading_takes_no_more_than_asked_and_errors_are_counted() {
    let mut model = started();
    model.receive(&[b'a'; 70]);
    let mut into = [0; 10];
    let (got, errors) = with(&mut model, |uart| {
        uart.ack();
        (uart.read(&mut into), uart.receive_errors())
    });
    assert_eq!((got, errors, model.rx.len()), (10, 1, 54));
}
