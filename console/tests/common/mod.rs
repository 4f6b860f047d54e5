//! A console with clients, a UART and a user at the terminal.
#![allow(dead_code, reason = "each test file uses a part")]

use std::cell::Cell;
use std::rc::Rc;
use std::sync::atomic::{AtomicU8, AtomicU32};

use console::{Mux, Role};
use console_api::{Client, ConsolePort, HEADER_SIZE, REGION_SIZE, Region};
use uart::FakeUart;

pub(crate) const CLIENTS: usize = 4;
/// Ticks of a millisecond, as QEMU counts.
pub(crate) const MS: u64 = 62_500;

pub(crate) struct Rig {
    pub(crate) mux: Box<Mux<'static, CLIENTS>>,
    pub(crate) uart: Box<FakeUart>,
    pub(crate) clients: Vec<Client<'static, Box<dyn FnMut()>>>,
    pub(crate) headers: Vec<&'static [AtomicU32]>,
    signals: Rc<Cell<u64>>,
    /// Ticks of the system counter.
    pub(crate) now: u64,
    /// When the console wants to be woken.
    pub(crate) wake_at: Option<u64>,
    /// How often it was.
    pub(crate) woken: u32,
    /// Notifications that each client got.
    pub(crate) notified: [u32; CLIENTS],
}

impl Rig {
    pub(crate) fn new(names: &[(&str, Role)], fifo: usize) -> Self {
        let mut rig = Self {
            mux: Box::new(Mux::new()),
            uart: Box::new(FakeUart::new(fifo)),
            clients: Vec::new(),
            headers: Vec::new(),
            signals: Rc::new(Cell::new(0)),
            now: 1_000_000,
            wake_at: None,
            woken: 0,
            notified: [0; CLIENTS],
        };
        rig.mux.set_frequency(1000 * MS);
        for (i, &(name, role)) in names.iter().enumerate() {
            let (region, header) = region();
            rig.headers.push(header);
            assert_eq!(rig.mux.add(name, role, region.server().unwrap()), Ok(i));
            let signals = rig.signals.clone();
            let notify: Box<dyn FnMut()> = Box::new(move || signals.set(signals.get() | 1 << i));
            rig.clients.push(region.client(notify).unwrap());
        }
        rig
    }

    /// Two guests and a server, a UART that takes everything; the opening words have been read.
    pub(crate) fn usual() -> Self {
        let mut rig = Self::new(
            &[
                ("linux1", Role::Guest),
                ("linux2", Role::Guest),
                ("memory", Role::Server),
            ],
            usize::MAX,
        );
        assert_eq!(
            rig.seen(),
            "*** Input goes to linux1 now (Ctrl-a three times: next) ***\r\n"
        );
        rig
    }

    /// Client `i` writes, and the console does what there is to do.
    pub(crate) fn write(&mut self, i: usize, text: &[u8]) -> usize {
        let n = self.queue(i, text);
        self.pump();
        n
    }

    /// Client `i` writes before the console gets to run.
    pub(crate) fn queue(&mut self, i: usize, text: &[u8]) -> usize {
        self.clients[i].write(text)
    }

    /// Time passes; the console is woken when it asked for that.
    pub(crate) fn wait(&mut self, ticks: u64) {
        let until = self.now + ticks;
        while let Some(at) = self.wake_at.filter(|&at| at <= until) {
            assert!(at >= self.now, "woken for the past");
            self.now = at;
            self.woken += 1;
            self.pump();
            assert_ne!(self.wake_at, Some(at), "woken for nothing");
        }
        self.now = until;
    }

    /// Client `i` reads its input.
    pub(crate) fn read(&mut self, i: usize) -> Vec<u8> {
        let mut into = vec![0; 8192];
        let n = self.clients[i].read(&mut into);
        into.truncate(n);
        into
    }

    /// The user types, and the console serves until it is idle.
    pub(crate) fn type_in(&mut self, keys: &[u8]) {
        for part in keys.chunks(64) {
            assert_eq!(self.uart.type_in(part), part.len());
            self.mux.on_uart_irq(&mut *self.uart);
        }
        self.pump();
    }

    pub(crate) fn pump(&mut self) {
        for i in 0..CLIENTS {
            if self.signals.get() & 1 << i != 0 {
                self.mux.on_client(i);
            }
        }
        self.signals.set(0);
        for _ in 0..1000 {
            let pumped = self.mux.pump(&mut *self.uart, self.now);
            self.wake_at = pumped.wake_at;
            for i in pumped.notify {
                self.notified[i] += 1;
            }
            if !pumped.more {
                return;
            }
        }
        panic!("the console does not come to rest");
    }

    /// What came out of the UART since the last call.
    pub(crate) fn seen(&mut self) -> String {
        self.pump();
        let text = String::from_utf8_lossy(self.uart.wire()).into_owned();
        self.uart.clear();
        assert_eq!(self.mux.lost(), 0);
        text
    }
}

pub(crate) fn region() -> (Region<'static>, &'static [AtomicU32]) {
    let header: &'static [AtomicU32] = (0..HEADER_SIZE / 4)
        .map(|_| AtomicU32::new(0))
        .collect::<Vec<_>>()
        .leak();
    let data: &'static [AtomicU8] = (0..REGION_SIZE - HEADER_SIZE)
        .map(|_| AtomicU8::new(0))
        .collect::<Vec<_>>()
        .leak();
    (Region::new(header, data).unwrap(), header)
}
