//! The PV console as a guest's `hvc0` driver sees it.
#![allow(
    clippy::cast_possible_truncation,
    reason = "test data and masked indices"
)]

use std::collections::VecDeque;

use console_api::ConsolePort;
use guest_mem::{VecWindow, Window};
use hv_types::{Gfn, Port, WindowAddr};
use proptest::prelude::*;

use super::{PvConsole, Ring, at};
use xen_abi::console::ring::{CONNECTION, IN_CONS, IN_PROD, OUT, OUT_CONS, OUT_PROD};

/// A console with `room` for output.
struct FakePort {
    out: Vec<u8>,
    input: VecDeque<u8>,
    room: usize,
}

impl ConsolePort for FakePort {
    fn write(&mut self, bytes: &[u8]) -> usize {
        let n = bytes.len().min(self.room);
        self.room -= n;
        self.out.extend_from_slice(&bytes[..n]);
        n
    }
    fn read(&mut self, into: &mut [u8]) -> usize {
        let n = into.len().min(self.input.len());
        for slot in &mut into[..n] {
            *slot = self.input.pop_front().unwrap();
        }
        n
    }
    fn room(&self) -> usize {
        self.room
    }
}

/// The guest's side, and the backend.
struct Rig {
    w: VecWindow,
    ring: PvConsole,
    port: FakePort,
}

impl Rig {
    fn new() -> Self {
        let w = VecWindow::new().with(WindowAddr::extra(1, 0), 4096);
        let ring = PvConsole::new(Gfn::new(0x39000), Port(2));
        ring.connect(&w);
        let port = FakePort {
            out: Vec::new(),
            input: VecDeque::new(),
            room: usize::MAX,
        };
        Self { w, ring, port }
    }
    fn index(&self, offset: u16) -> u32 {
        self.w.load_u32(at(offset))
    }
    fn set(&self, offset: u16, value: u32) {
        self.w.store_u32(at(offset), value);
    }
    /// What a driver does: copies while there is room, then moves the index.
    fn guest_write(&self, bytes: &[u8]) -> usize {
        let (cons, mut prod) = (self.index(OUT_CONS), self.index(OUT_PROD));
        let room = 2048 - prod.wrapping_sub(cons) as usize;
        let n = room.min(bytes.len());
        for &b in &bytes[..n] {
            self.w.write(at(OUT + (prod & 2047) as u16), &[b]);
            prod = prod.wrapping_add(1);
        }
        self.set(OUT_PROD, prod);
        n
    }
    fn guest_read(&self) -> Vec<u8> {
        let (mut cons, prod) = (self.index(IN_CONS), self.index(IN_PROD));
        let mut got = Vec::new();
        while cons != prod {
            got.push(self.w.load_u8(at((cons & 1023) as u16)));
            cons = cons.wrapping_add(1);
        }
        self.set(IN_CONS, cons);
        got
    }
    fn pump(&mut self) -> bool {
        self.ring.pump(&self.w, &mut self.port, true)
    }
}

#[test]
fn output_goes_to_the_console_and_the_guest_is_signalled() {
    let mut rig = Rig::new();
    assert!(!rig.pump(), "nothing moved, no event");
    assert_eq!(rig.guest_write(b"Xen 4.22 support found\r\n"), 24);
    assert!(rig.pump());
    assert_eq!(rig.port.out, b"Xen 4.22 support found\r\n");
    assert_eq!(rig.index(OUT_CONS), 24);
    assert!(!rig.pump());
    assert_eq!(rig.ring.port(), Port(2));
}

#[test]
fn input_arrives_and_waits_for_room() {
    let mut rig = Rig::new();
    let typed: Vec<u8> = (0..1500u32).map(|n| n as u8).collect();
    rig.port.input.extend(&typed);
    assert!(rig.pump());
    assert_eq!(rig.port.input.len(), 1500 - 1024);
    assert!(!rig.pump(), "the guest's ring is full");
    assert_eq!(rig.guest_read(), &typed[..1024]);
    assert!(rig.pump());
    assert_eq!(rig.guest_read(), &typed[1024..]);
}

#[test]
fn output_stays_in_the_guests_ring_until_the_console_takes_it() {
    let mut rig = Rig::new();
    let text: Vec<u8> = (0..3000u32).map(|n| n as u8).collect();
    rig.port.room = 100;
    assert_eq!(rig.guest_write(&text), 2048);
    assert!(rig.pump());
    assert_eq!((rig.port.out.len(), rig.index(OUT_CONS)), (100, 100));
    assert!(!rig.pump());
    assert_eq!(rig.guest_write(&text[2048..]), 100);
    rig.port.room = usize::MAX;
    assert!(rig.pump());
    rig.guest_write(&text[2148..]);
    assert!(rig.pump());
    assert_eq!(rig.port.out, text);
}

#[test]
fn indices_wrap() {
    let mut rig = Rig::new();
    for offset in [IN_CONS, IN_PROD, OUT_CONS, OUT_PROD] {
        rig.set(offset, u32::MAX - 2);
    }
    rig.guest_write(b"across the end");
    rig.port.input.extend(b"and back");
    assert!(rig.pump());
    assert_eq!(rig.port.out, b"across the end");
    assert_eq!(rig.guest_read(), b"and back");
    assert_eq!(rig.index(OUT_CONS), 11);
}

#[test]
fn a_broken_ring_is_told_once_ignored_and_followed_when_repaired() {
    let mut rig = Rig::new();
    rig.set(OUT_PROD, 2049);
    rig.port.input.extend(b"still in");
    assert!(rig.pump(), "the other ring works");
    let broken = rig.ring.take_broken().unwrap();
    assert_eq!(
        (broken.ring, broken.prod, broken.cons),
        (Ring::Out, 2049, 0)
    );
    assert!(
        broken
            .to_string()
            .contains("out_prod 0x801 and out_cons 0x0"),
        "{broken}"
    );
    assert!(!rig.pump());
    assert_eq!(rig.ring.take_broken(), None);
    assert_eq!((rig.port.out.len(), rig.index(OUT_CONS)), (0, 0));
    rig.set(OUT_PROD, 0);
    rig.guest_write(b"mended");
    assert!(rig.pump());
    assert_eq!(rig.port.out, b"mended");
    rig.set(IN_CONS, 9);
    assert!(!rig.pump());
    assert_eq!(rig.ring.take_broken().map(|b| b.ring), Some(Ring::In));
}

#[test]
fn a_second_kernel_may_start_the_page_afresh() {
    let mut rig = Rig::new();
    rig.guest_write(b"first");
    rig.pump();
    for offset in [IN_CONS, IN_PROD, OUT_CONS, OUT_PROD] {
        rig.set(offset, 0);
    }
    rig.guest_write(b"second");
    assert!(rig.pump());
    assert_eq!(rig.port.out, b"firstsecond");
}

#[test]
fn connect_makes_an_empty_connected_page() {
    let rig = Rig::new();
    rig.w.write(at(0), &[0xff; 4096]);
    rig.ring.connect(&rig.w);
    for offset in [IN_CONS, IN_PROD, OUT_CONS, OUT_PROD] {
        assert_eq!(rig.index(offset), 0);
    }
    assert_eq!(rig.w.load_u8(at(CONNECTION)), 0);
}

proptest! {
    /// However the guest writes, the console makes room and keys come, both streams are complete
    /// and in order.
    #[test]
    fn both_streams_are_complete(ops in prop::collection::vec((0u8..4, 0usize..3000), 0..200), start in any::<u32>()) {
        let mut rig = Rig::new();
        for offset in [IN_CONS, IN_PROD, OUT_CONS, OUT_PROD] {
            rig.set(offset, start);
        }
        rig.port.room = 0;
        let (mut written, mut typed, mut read) = (Vec::new(), Vec::new(), Vec::new());
        let mut next = 0u8;
        for (op, n) in ops {
            let bytes: Vec<u8> = (0..n).map(|_| { next = next.wrapping_add(1); next }).collect();
            match op {
                0 => { let n = rig.guest_write(&bytes); written.extend_from_slice(&bytes[..n]); }
                1 => rig.port.room = n,
                2 => { rig.port.input.extend(&bytes); typed.extend(bytes); }
                _ => read.extend(rig.guest_read()),
            }
            rig.pump();
            prop_assert!(written.starts_with(&rig.port.out));
        }
        rig.port.room = usize::MAX;
        loop {
            let moved = rig.pump();
            let got = rig.guest_read();
            if !moved && got.is_empty() {
                break;
            }
            read.extend(got);
        }
        prop_assert_eq!(&rig.port.out, &written);
        prop_assert_eq!(&read, &typed);
        prop_assert_eq!(rig.ring.take_broken(), None);
    }

    /// Any indices at all: nothing panics, and what moves is at most what a ring holds.
    #[test]
    fn any_indices(words in prop::collection::vec((0usize..4, any::<u32>()), 0..50)) {
        let mut rig = Rig::new();
        for (i, value) in words {
            rig.set([IN_CONS, IN_PROD, OUT_CONS, OUT_PROD][i], value);
            rig.port.input.extend([b'x'; 10]);
            let before = rig.port.out.len();
            rig.pump();
            prop_assert!(rig.port.out.len() - before <= 2048);
        }
    }
}
