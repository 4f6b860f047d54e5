//! A guest's xenbus driver.
#![allow(dead_code, reason = "each test file uses a part")]

use sim::Guest;
use sim::guest::{SHARED_INFO, UPCALL};
use xen_abi::hvm::param::{STORE_EVTCHN, STORE_PFN};
use xen_abi::store::ring::{CONNECTION, REQ, REQ_CONS, REQ_PROD, RSP, RSP_CONS, RSP_PROD, SIZE};
use xen_abi::store::{CONNECTED, HEADER, Header};
use zerocopy::{FromBytes as _, IntoBytes as _};

/// A guest's xenbus driver.
pub(crate) struct Bus {
    pub(crate) page: u64,
    pub(crate) port: u32,
    pub(crate) pending: Vec<u8>,
}

impl Bus {
    /// What a kernel does before it uses the store: it learns where the page is and waits for the
    /// event that says that the store has connected.
    pub(crate) fn probe(guest: &mut Guest<'_>) -> Self {
        guest.map_shared_info();
        guest.enable_gic();
        guest.enable_interrupt(UPCALL);
        let port = u32::try_from(guest.param(STORE_EVTCHN)).unwrap();
        assert_ne!(port, 0);
        let events = events(guest);
        assert!(events.contains(&port), "{events:?}");
        let page = guest.param(STORE_PFN) << 12;
        let bus = Self {
            page,
            port,
            pending: Vec::new(),
        };
        assert_eq!(bus.get(guest, CONNECTION), CONNECTED);
        bus
    }

    pub(crate) fn get(&self, guest: &Guest<'_>, offset: u16) -> u32 {
        guest.get(self.page + u64::from(offset))
    }

    pub(crate) fn set(&self, guest: &mut Guest<'_>, offset: u16, value: u32) {
        guest.put(self.page + u64::from(offset), &value);
    }

    /// Copies as much as there is room for, and says so.
    pub(crate) fn put(&self, guest: &mut Guest<'_>, bytes: &[u8]) -> usize {
        let (cons, mut prod) = (self.get(guest, REQ_CONS), self.get(guest, REQ_PROD));
        let room = SIZE - prod.wrapping_sub(cons);
        let count = bytes.len().min(room as usize);
        for byte in &bytes[..count] {
            let at = self.page + u64::from(REQ) + u64::from(prod & (SIZE - 1));
            guest.put(at, byte);
            prod = prod.wrapping_add(1);
        }
        self.set(guest, REQ_PROD, prod);
        assert_eq!(guest.send(self.port), 0);
        count
    }

    /// Takes what has arrived, and says so.
    pub(crate) fn take(&mut self, guest: &mut Guest<'_>) {
        let (mut cons, prod) = (self.get(guest, RSP_CONS), self.get(guest, RSP_PROD));
        assert!(prod.wrapping_sub(cons) <= SIZE);
        if cons == prod {
            return;
        }
        while cons != prod {
            let at = self.page + u64::from(RSP) + u64::from(cons & (SIZE - 1));
            self.pending.push(guest.get(at));
            cons = cons.wrapping_add(1);
        }
        self.set(guest, RSP_CONS, cons);
        assert_eq!(guest.send(self.port), 0);
    }

    pub(crate) fn message(&mut self) -> Option<(Header, String)> {
        let header = Header::read_from_bytes(self.pending.get(..HEADER)?).unwrap();
        let end = HEADER + header.len as usize;
        let text = String::from_utf8_lossy(self.pending.get(HEADER..end)?).replace('\0', "|");
        self.pending.drain(..end);
        Some((header, text))
    }

    pub(crate) fn send(&mut self, guest: &mut Guest<'_>, kind: u32, payload: &str) {
        let payload = payload.replace('|', "\0").into_bytes();
        let header = Header {
            kind,
            req_id: 1,
            tx_id: 0,
            len: u32::try_from(payload.len()).unwrap(),
        };
        let bytes = [header.as_bytes(), &payload].concat();
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let sent = self.put(guest, rest);
            rest = &rest[sent..];
            self.take(guest);
        }
    }

    pub(crate) fn receive(&mut self, guest: &mut Guest<'_>) -> Option<(Header, String)> {
        for _ in 0..100 {
            if let Some(message) = self.message() {
                return Some(message);
            }
            self.take(guest);
        }
        None
    }

    pub(crate) fn ask(&mut self, guest: &mut Guest<'_>, kind: u32, payload: &str) -> String {
        self.send(guest, kind, payload);
        self.receive(guest).expect("an answer").1
    }
}

/// The events that wait for the guest.
pub(crate) fn events(guest: &mut Guest<'_>) -> Vec<u32> {
    let mut ports = Vec::new();
    while guest.irq() {
        let intid = guest.acknowledge();
        assert_eq!(intid, UPCALL);
        ports.extend(guest.take_events(SHARED_INFO));
        guest.end(intid);
    }
    ports
}
