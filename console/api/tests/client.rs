//! The region as a client and the console server use it.

use std::cell::Cell;
use std::fmt::Write;
use std::sync::atomic::{AtomicU8, AtomicU32};

use console_api::{
    ConsolePort, HEADER_SIZE, LOG_LINE_MAX, Logger, REGION_SIZE, RX_SIZE, Region, ServerEnd,
    TX_SIZE,
};

struct Memory {
    header: Vec<AtomicU32>,
    data: Vec<AtomicU8>,
}

impl Memory {
    fn new() -> Self {
        Self {
            header: (0..HEADER_SIZE / 4).map(|_| AtomicU32::new(0)).collect(),
            data: (0..REGION_SIZE - HEADER_SIZE)
                .map(|_| AtomicU8::new(0))
                .collect(),
        }
    }
    fn region(&self) -> Region<'_> {
        Region::new(&self.header, &self.data).unwrap()
    }
}

fn text(end: &mut ServerEnd<'_>) -> String {
    let mut all = vec![0; TX_SIZE];
    let n = end.output.read(&mut all);
    String::from_utf8(all[..n].to_vec()).unwrap()
}

#[test]
fn both_directions_and_their_notifications() {
    let memory = Memory::new();
    let told = Cell::new(0);
    let mut client = memory.region().client(|| told.set(told.get() + 1)).unwrap();
    let mut server = memory.region().server().unwrap();
    assert_eq!(client.room(), TX_SIZE);
    assert_eq!(client.write(b"hello "), 6);
    assert_eq!(client.write(b"world"), 5);
    assert_eq!(
        told.get(),
        1,
        "the second write meets a console that has not looked yet"
    );
    assert_eq!(text(&mut server), "hello world");
    assert_eq!(client.write(b"!"), 1);
    assert_eq!(told.get(), 2);
    assert_eq!(server.input.write(b"ls\r"), 3);
    let mut got = [0; 8];
    assert_eq!(client.read(&mut got), 3);
    assert_eq!(&got[..3], b"ls\r");
    assert_eq!(told.get(), 2);
}

#[test]
fn a_full_ring_takes_a_part_and_asks_for_room() {
    let memory = Memory::new();
    let mut client = memory.region().client(|| ()).unwrap();
    let mut server = memory.region().server().unwrap();
    assert_eq!(client.write(&vec![b'x'; TX_SIZE + 5]), TX_SIZE);
    assert_eq!(client.room(), 0);
    assert_eq!(text(&mut server).len(), TX_SIZE);
    assert!(server.output.take_starved());
}

#[test]
fn input_that_did_not_fit_is_asked_for_when_the_client_reads() {
    let memory = Memory::new();
    let told = Cell::new(0);
    let mut client = memory.region().client(|| told.set(told.get() + 1)).unwrap();
    let mut server = memory.region().server().unwrap();
    assert_eq!(server.input.write(&vec![b'x'; RX_SIZE + 1]), RX_SIZE);
    let mut got = [0; 10];
    assert_eq!(client.read(&mut got), 10);
    assert_eq!(told.get(), 1);
    assert_eq!(client.read(&mut got), 10);
    assert_eq!(told.get(), 1);
}

#[test]
fn memory_that_is_too_small_is_refused() {
    let memory = Memory::new();
    assert!(Region::new(&memory.header[1..], &memory.data).is_none());
    assert!(Region::new(&memory.header, &memory.data[1..]).is_none());
}

#[test]
fn a_logger_hands_over_whole_lines() {
    let memory = Memory::new();
    let mut server = memory.region().server().unwrap();
    let mut log = Logger::new(memory.region().client(|| ()).unwrap());
    write!(log, "granted {} frames", 3).unwrap();
    assert_eq!(text(&mut server), "");
    write!(log, " to linux{}\nnext", 1).unwrap();
    assert_eq!(text(&mut server), "granted 3 frames to linux1\n");
    let long = "é".repeat(LOG_LINE_MAX);
    writeln!(log, "\n{long}").unwrap();
    let got = text(&mut server);
    let lines: Vec<&str> = got.lines().collect();
    assert_eq!(lines[0], "next");
    assert_eq!(lines[1..].concat(), long);
    assert!(lines.iter().all(|l| l.len() <= LOG_LINE_MAX));
}

#[test]
fn a_logger_drops_whole_lines_and_says_how_many() {
    let memory = Memory::new();
    let mut server = memory.region().server().unwrap();
    let mut log = Logger::new(memory.region().client(|| ()).unwrap());
    let line = "y".repeat(99);
    for _ in 0..TX_SIZE / 100 + 2 {
        writeln!(log, "{line}").unwrap();
    }
    assert_eq!(log.dropped(), 2);
    let got = text(&mut server);
    assert!(got.lines().all(|l| l == line));
    writeln!(log, "again").unwrap();
    assert_eq!(
        text(&mut server),
        "(2 lines dropped here: the console was full)\nagain\n"
    );
    assert_eq!(log.dropped(), 0);
}
