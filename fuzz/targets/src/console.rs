//! The console: a client that corrupts its region, prints anything and is typed at.

use std::collections::VecDeque;

use console::{Mux, Role};
use console_api::{ConsolePort, HEADER_SIZE, RX_SIZE, Region, TX_SIZE};
use ring::sync::{AtomicU8, AtomicU32, Ordering};
use uart::Uart;

use crate::input::Input;

/// Ticks of a millisecond.
const MS: u64 = 62_500;
/// Words of the region's header that mean something: `prod`, `cons` and `starved` of output and
/// input.
const WORDS: [usize; 6] = [0, 16, 32, 64, 80, 96];
/// Turns after which the console has to be done with a region that does not change.
const MOST_TURNS: usize = 10_000;

/// A UART whose FIFO drains on request, and everything that left it.
#[derive(Default)]
struct Line {
    room: usize,
    wire: Vec<u8>,
    typed: VecDeque<u8>,
    tx_irq: bool,
}

impl Uart for Line {
    fn write(&mut self, bytes: &[u8]) -> usize {
        let taken = bytes.len().min(self.room);
        self.room -= taken;
        self.wire.extend(&bytes[..taken]);
        taken
    }
    fn read(&mut self, into: &mut [u8]) -> usize {
        let got = into.len().min(self.typed.len());
        for (to, from) in into.iter_mut().zip(self.typed.drain(..got)) {
            *to = from;
        }
        got
    }
    fn set_tx_irq(&mut self, on: bool) {
        self.tx_irq = on;
    }
    fn ack(&mut self) {}
}

/// The memory of a client's region.
struct Memory(Vec<AtomicU32>, Vec<AtomicU8>);

impl Memory {
    fn new() -> Self {
        Self(
            (0..HEADER_SIZE / 4).map(|_| AtomicU32::new(0)).collect(),
            (0..TX_SIZE + RX_SIZE).map(|_| AtomicU8::new(0)).collect(),
        )
    }
    fn region(&self) -> Region<'_> {
        Region::new(&self.0, &self.1).expect("the region has its size")
    }
}

/// The console and its line.
struct Rig<'a> {
    mux: Box<Mux<'a, 3>>,
    line: Line,
    now: u64,
}

impl Rig<'_> {
    fn pump(&mut self) {
        for _ in 0..MOST_TURNS {
            if !self.mux.pump(&mut self.line, self.now).more {
                assert_eq!(self.mux.lost(), 0, "the console lost bytes");
                return;
            }
        }
        panic!("the console does not come to rest");
    }

    fn typed(&mut self) {
        self.mux.on_uart_irq(&mut self.line);
        self.pump();
    }

    /// Lets time pass and bytes leave until nothing more comes.
    fn settle(&mut self) {
        for _ in 0..MOST_TURNS {
            self.line.room = usize::MAX / 2;
            let before = self.line.wire.len();
            self.typed();
            let woken = self.mux.pump(&mut self.line, self.now).wake_at;
            self.now = woken.unwrap_or(self.now + 1000 * MS).max(self.now + 1);
            if self.line.wire.len() == before && woken.is_none() && self.line.typed.is_empty() {
                return;
            }
        }
        panic!("output never ends");
    }
}

/// A guest with any words in its region's header and any output, somebody who types anything, and a
/// server beside them: nothing is lost inside the console, it comes to rest, and the server's lines
/// come out whole and in order.
pub fn console_mux(data: &[u8]) {
    let mut input = Input::new(data);
    let memory = [(); 3].map(|()| Memory::new());
    let [hostile, quiet, server] = &memory;
    let mut rig = Rig {
        mux: Box::default(),
        line: Line::default(),
        now: 1_000_000,
    };
    rig.mux.set_frequency(1000 * MS);
    // The hostile guest's words may be anything when the console starts.
    let start = u32::try_from(input.number() & 0xffff_ffff).unwrap_or(0);
    hostile.0[WORDS[0]].store(start, Ordering::Relaxed);
    for (memory, name, role) in [
        (hostile, "g1", Role::Guest),
        (quiet, "g2", Role::Guest),
        (server, "srv", Role::Server),
    ] {
        let end = memory.region().server().expect("the region has its size");
        rig.mux.add(name, role, end).expect("three good names");
    }
    let mut client = hostile
        .region()
        .client(|| ())
        .expect("the region has its size");
    let mut says = server
        .region()
        .client(|| ())
        .expect("the region has its size");
    let mut said = 0usize;
    while let Some(operation) = input.operation() {
        match operation % 10 {
            0 => {
                let word = &hostile.0[WORDS[usize::from(operation / 10) % WORDS.len()]];
                word.store(
                    u32::try_from(input.number() & 0xffff_ffff).unwrap_or(0),
                    Ordering::Relaxed,
                );
            }
            1 | 2 => {
                let count = usize::from(input.get::<u8>());
                let text = input.bytes(count);
                let repeat = if operation & 0x80 == 0 { 1 } else { 32 };
                for _ in 0..repeat {
                    client.write(text);
                }
            }
            3 => {
                let mut into = [0; 64];
                assert!(client.read(&mut into) <= 64 && client.room() <= TX_SIZE);
            }
            4 => {
                let at = usize::from(input.get::<u16>()) % hostile.1.len();
                hostile.1[at].store(input.get(), Ordering::Relaxed);
            }
            5 => {
                // Whole lines, or the line would go on later.
                if says.room() >= 32 {
                    let line = format!("line {said}\n");
                    assert_eq!(says.write(line.as_bytes()), line.len());
                    said += 1;
                    rig.mux.on_client(2);
                }
            }
            6 => {
                let count = usize::from(operation / 10);
                rig.line.typed.extend(input.bytes(count));
                rig.typed();
            }
            7 => {
                rig.line.room = usize::from(input.get::<u16>() % 4096);
                rig.pump();
            }
            8 => {
                rig.now += u64::from(input.get::<u8>()) * MS;
                rig.pump();
            }
            // Any number of a client.
            _ => {
                rig.mux.on_client(usize::from(operation / 10));
                rig.pump();
            }
        }
    }
    rig.mux.on_client(0);
    rig.settle();
    let mut rest = &rig.line.wire[..];
    for n in 0..said {
        let line = format!("srv: line {n}\r\n").into_bytes();
        let found = rest.windows(line.len()).position(|part| part == line);
        let at = found.unwrap_or_else(|| panic!("no {:?}", String::from_utf8_lossy(&line)));
        rest = &rest[at + line.len()..];
    }
}
