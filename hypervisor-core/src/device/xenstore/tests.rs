//! The xenstore ring as a guest's xenbus driver sees it.
#![allow(
    clippy::cast_possible_truncation,
    reason = "test data and masked indices"
)]

use std::collections::VecDeque;
use std::string::ToString;
use std::vec::Vec;

use guest_mem::{VecWindow, Window};
use hv_types::{Port, WindowAddr};
use memory_server_api::Extra;
use proptest::prelude::*;
use xenstore_server_api::StorePort;

use super::*;
use crate::fake::record;

/// A store with `room` for requests that answers when it is told to.
#[derive(Default)]
struct FakeStore {
    requests: Vec<u8>,
    answers: VecDeque<u8>,
    room: usize,
    ready: bool,
    error: u32,
    connections: usize,
    begun: Option<(u32, u64)>,
}

impl StorePort for FakeStore {
    fn begin(&mut self, port: u32, gfn: u64) {
        (self.begun, self.ready) = (Some((port, gfn)), false);
    }
    fn again(&mut self) {
        self.ready = false;
        self.connections += 1;
    }
    fn end(&mut self) {}
    fn is_ready(&mut self) -> bool {
        self.ready
    }
    fn send(&mut self, bytes: &[u8]) -> usize {
        let n = bytes.len().min(self.room);
        self.room -= n;
        self.requests.extend_from_slice(&bytes[..n]);
        n
    }
    fn receive(&mut self, into: &mut [u8]) -> usize {
        let n = into.len().min(self.answers.len());
        for slot in &mut into[..n] {
            *slot = self.answers.pop_front().unwrap();
        }
        n
    }
    fn error(&self) -> u32 {
        self.error
    }
}

/// The guest's side, and the store.
struct Rig {
    w: VecWindow,
    ring: Xenstore,
    store: FakeStore,
}

const ALL: [u16; 4] = [REQ_CONS, REQ_PROD, RSP_CONS, RSP_PROD];

impl Rig {
    /// A guest with a page of this kind to which the store has not connected yet.
    fn new(pv: PvFeatures) -> Self {
        let extra = u64::from(Extra::COUNT) * 4096;
        let mut host = crate::fake::FakeHost::new(0x1000);
        let record = DomainRecord { pv, ..record() };
        let mut ring = <Xenstore as Device>::new(&record);
        ring.bind(Port(1));
        ring.reset(&mut host);
        let w = VecWindow::new().with(WindowAddr::extra(0, 0), extra);
        w.store_u32(at(CONNECTION), host.window.load_u32(at(CONNECTION)));
        let store = FakeStore {
            room: usize::MAX,
            ..FakeStore::default()
        };
        Self { w, ring, store }
    }

    fn connected() -> Self {
        let mut rig = Self::new(PvFeatures::Enabled);
        rig.store.ready = true;
        assert!(rig.pump());
        rig
    }

    fn get(&self, offset: u16) -> u32 {
        self.w.load_u32(at(offset))
    }
    fn set(&self, offset: u16, value: u32) {
        self.w.store_u32(at(offset), value);
    }
    fn pump(&mut self) -> bool {
        self.ring.pump(&self.w, &mut self.store)
    }
    /// What a driver does: copies while there is room, then moves the index.
    fn guest_write(&self, bytes: &[u8]) -> usize {
        let (cons, mut prod) = (self.get(REQ_CONS), self.get(REQ_PROD));
        let n = bytes.len().min(1024 - prod.wrapping_sub(cons) as usize);
        for &byte in &bytes[..n] {
            self.w.write(at(REQ + (prod & 1023) as u16), &[byte]);
            prod = prod.wrapping_add(1);
        }
        self.set(REQ_PROD, prod);
        n
    }
    fn guest_read(&self) -> Vec<u8> {
        let (mut cons, prod) = (self.get(RSP_CONS), self.get(RSP_PROD));
        let mut got = Vec::new();
        while cons != prod {
            got.push(self.w.load_u8(at(RSP + (cons & 1023) as u16)));
            cons = cons.wrapping_add(1);
        }
        self.set(RSP_CONS, cons);
        got
    }
    fn broken(&mut self) -> Option<std::string::String> {
        self.ring.report.take().map(|broken| broken.to_string())
    }
}

#[test]
fn the_page_waits_until_the_store_has_connected() {
    let mut rig = Rig::new(PvFeatures::Enabled);
    assert_eq!(rig.get(CONNECTION), RECONNECT);
    assert_eq!(rig.ring.pfn_param(), 0x39001);
    rig.guest_write(b"too early");
    assert!(!rig.pump());
    assert!(rig.store.requests.is_empty());
    rig.store.ready = true;
    assert!(rig.pump(), "the guest is told");
    assert_eq!(
        (rig.get(CONNECTION), rig.get(SERVER_FEATURES)),
        (CONNECTED, 15)
    );
    assert!(ALL.iter().all(|&index| rig.get(index) == 0));
    rig.guest_write(b"now");
    assert!(rig.pump());
    assert_eq!(rig.store.requests, b"now");
    assert!(!rig.pump(), "nothing moved, no event");
}

#[test]
fn a_page_that_comes_late_is_told_when_it_is_there() {
    let mut rig = Rig::new(PvFeatures::Legacy);
    let grant = WindowAddr::extra(Extra::GrantFrame(0).index(), 8);
    assert_eq!(rig.ring.pfn_param(), u64::MAX);
    assert_eq!(rig.w.load_u64(grant), 0);
    rig.store.ready = true;
    assert!(rig.pump());
    assert_eq!(rig.ring.pfn_param(), 0x39001);
    assert_eq!(rig.w.load_u64(grant), 0x39001 << 32 | 1, "for domain 0");
}

#[test]
fn answers_wait_for_room() {
    let mut rig = Rig::connected();
    let all: Vec<u8> = (0..1500u32).map(|n| n as u8).collect();
    rig.store.answers.extend(&all);
    assert!(rig.pump());
    assert_eq!(rig.store.answers.len(), 476);
    assert!(!rig.pump(), "the guest's ring is full");
    assert_eq!(rig.guest_read(), &all[..1024]);
    assert!(rig.pump());
    assert_eq!(rig.guest_read(), &all[1024..]);
}

#[test]
fn requests_stay_in_the_guests_ring_until_the_store_takes_them() {
    let mut rig = Rig::connected();
    rig.store.room = 10;
    assert_eq!(rig.guest_write(&[7; 2000]), 1024);
    assert!(rig.pump());
    assert_eq!((rig.store.requests.len(), rig.get(REQ_CONS)), (10, 10));
    assert!(!rig.pump());
    rig.store.room = usize::MAX;
    assert!(rig.pump());
    assert_eq!(rig.store.requests.len(), 1024);
}

#[test]
fn impossible_indices_end_the_connection_until_the_guest_asks_for_another() {
    for (index, name) in [(REQ_PROD, "req"), (RSP_CONS, "rsp")] {
        let mut rig = Rig::connected();
        rig.set(index, 1025);
        assert!(rig.pump());
        let said = rig.broken().unwrap();
        assert!(said.contains(name), "{said}");
        assert_eq!(rig.get(ERROR), error::RING_INDEX);
        assert_eq!(rig.store.connections, 1, "what was open goes");
        rig.store.ready = true;
        for index in ALL {
            rig.set(index, 0);
        }
        rig.guest_write(b"as if nothing had happened");
        assert!(!rig.pump());
        assert!(rig.store.requests.is_empty());
        rig.set(CONNECTION, RECONNECT);
        assert!(!rig.pump());
        assert_eq!(rig.store.connections, 2);
        assert_eq!(rig.get(CONNECTION), RECONNECT, "not yet");
        rig.store.ready = true;
        assert!(rig.pump());
        assert_eq!((rig.get(CONNECTION), rig.get(ERROR)), (CONNECTED, 0));
        assert_eq!(rig.broken(), None);
        rig.guest_write(b"mended");
        assert!(rig.pump());
        assert_eq!(rig.store.requests, b"mended");
    }
}

#[test]
fn what_the_store_refuses_is_told() {
    let mut rig = Rig::connected();
    rig.store.error = error::PROTOCOL;
    assert!(rig.pump());
    assert_eq!(rig.get(ERROR), error::PROTOCOL);
    rig.guest_write(b"more");
    assert!(!rig.pump());
    assert!(rig.store.requests.is_empty());
    // The guest asks for a fresh connection in the middle of everything.
    rig.set(CONNECTION, RECONNECT);
    rig.pump();
    (rig.store.error, rig.store.ready) = (0, true);
    assert!(rig.pump());
    assert_eq!(rig.get(ERROR), error::NONE);
}

proptest! {
    /// Any words at any time: nothing panics, and what moves is at most what a ring holds.
    #[test]
    fn any_words(words in prop::collection::vec((0usize..6, any::<u32>(), any::<bool>()), 0..60)) {
        let mut rig = Rig::connected();
        let places = [REQ_CONS, REQ_PROD, RSP_CONS, RSP_PROD, CONNECTION, ERROR];
        for (place, value, small) in words {
            rig.set(places[place], if small { value & 1023 } else { value });
            rig.store.answers.extend([b'x'; 10]);
            let before = rig.store.requests.len();
            rig.pump();
            prop_assert!(rig.store.requests.len() - before <= 1024);
            rig.store.ready = true;
        }
    }

    /// However both sides write and read, both streams are complete and in order.
    #[test]
    fn both_streams_are_complete(ops in prop::collection::vec((0u8..4, 0usize..1500), 0..200), start in any::<u32>()) {
        let mut rig = Rig::connected();
        for index in ALL {
            rig.set(index, start);
        }
        rig.store.room = 0;
        let (mut asked, mut answered, mut read) = (Vec::new(), Vec::new(), Vec::new());
        let mut next = 0u8;
        for (op, n) in ops {
            let bytes: Vec<u8> = (0..n).map(|_| { next = next.wrapping_add(1); next }).collect();
            match op {
                0 => { let n = rig.guest_write(&bytes); asked.extend_from_slice(&bytes[..n]); }
                1 => rig.store.room = n,
                2 => { rig.store.answers.extend(&bytes); answered.extend(bytes); }
                _ => read.extend(rig.guest_read()),
            }
            rig.pump();
            prop_assert!(asked.starts_with(&rig.store.requests));
        }
        rig.store.room = usize::MAX;
        loop {
            let moved = rig.pump();
            let got = rig.guest_read();
            if !moved && got.is_empty() {
                break;
            }
            read.extend(got);
        }
        prop_assert_eq!(&rig.store.requests, &asked);
        prop_assert_eq!(&read, &answered);
    }
}
