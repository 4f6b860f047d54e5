//! A guest's front end of its network interface.
#![allow(dead_code, reason = "each test file uses a part")]

use hv_types::Mac;
use sim::Guest;
use sim::guest::{FREE, SHARED_INFO};
use xen_abi::event::{ALLOC_UNBOUND, AllocUnbound};
use xen_abi::grant::gtf;
use xen_abi::memory::space;
use xen_abi::netif::{RxRequest, RxResponse, TxRequest, TxResponse, rx};
use xen_abi::number::EVENT_CHANNEL_OP;
use xen_abi::ring::{HEADER, REQ_PROD, RSP_EVENT, RSP_PROD};
use xen_abi::store::kind;
use xen_abi::xenbus::state;

use crate::store::Bus;

/// Where the guest sees its grant table.
pub(crate) const GRANTS: u64 = SHARED_INFO + 0x1000;
/// First grant that is not reserved: page 0 of [`FREE`], and so on. The rings are the first two
/// pages, what is sent is in the next, and what is received in those behind.
pub(crate) const FIRST_GREF: u32 = 8;
pub(crate) const SENT: u32 = 2;
pub(crate) const RECEIVED: u32 = 3;
pub(crate) const PAGES: u32 = 24;

pub(crate) const fn page(number: u32) -> u64 {
    FREE + number as u64 * 4096
}

pub(crate) const fn mac(guest: u8) -> Mac {
    Mac([2, 0, 0, 0, 0, guest])
}

/// A guest's front end of its interface, with one event channel.
pub(crate) struct Front {
    pub(crate) bus: Bus,
    pub(crate) port: u32,
    pub(crate) sent: u32,
    pub(crate) heard: u32,
}

impl Front {
    /// What a kernel does.
    pub(crate) fn connect(guest: &mut Guest<'_>) -> Self {
        let bus = Bus::probe(guest);
        let mut arg = AllocUnbound {
            dom: 0x7ff0,
            remote_dom: 0,
            port: 0,
        };
        assert_eq!(guest.op(EVENT_CHANNEL_OP, ALLOC_UNBOUND, &mut arg), 0);
        let mut front = Self {
            bus,
            port: arg.port,
            sent: 0,
            heard: 0,
        };
        assert_eq!(guest.add_to_physmap(space::GRANT_TABLE, 0, GRANTS >> 12), 0);
        front.offer(guest);
        front
    }

    /// What a kernel does that was loaded anew.
    pub(crate) fn again(&mut self, guest: &mut Guest<'_>) {
        for state in [state::CLOSED, state::INITIALISING] {
            let message = format!("device/vif/0/state|{state}");
            assert_eq!(self.bus.ask(guest, kind::WRITE, &message), "OK|");
        }
        (self.sent, self.heard) = (0, 0);
        self.offer(guest);
    }

    /// Grants its pages, empties its rings and connects.
    fn offer(&mut self, guest: &mut Guest<'_>) {
        for number in 0..RECEIVED + PAGES {
            let entry = u64::from(gtf::PERMIT_ACCESS) | (page(number) >> 12) << 32;
            guest.put(GRANTS + 8 * u64::from(FIRST_GREF + number), &entry);
        }
        assert_eq!(self.back(guest, "state"), "2");
        for ring in 0..2 {
            guest.put(page(ring), &[0u8; 4096]);
            guest.put(page(ring) + u64::from(RSP_EVENT), &1u32);
        }
        for number in 0..PAGES {
            Self::ask_for(guest, number, number);
        }
        guest.put(page(1) + u64::from(REQ_PROD), &PAGES);
        let port = self.port;
        for (name, value) in [
            ("request-rx-copy", 1),
            ("tx-ring-ref", FIRST_GREF),
            ("rx-ring-ref", FIRST_GREF + 1),
            ("event-channel", port),
            ("feature-sg", 1),
            ("feature-ipv6-csum-offload", 1),
            ("multi-queue-num-queues", 1),
            ("request-multicast-control", 0),
            ("state", 4),
        ] {
            let message = format!("device/vif/0/{name}|{value}");
            assert_eq!(self.bus.ask(guest, kind::WRITE, &message), "OK|", "{name}");
        }
    }

    /// Writes request `at` of the receiving ring, for page `number` of those to be filled.
    fn ask_for(guest: &mut Guest<'_>, at: u32, number: u32) {
        let request = RxRequest {
            id: u16::try_from(number).unwrap(),
            pad: 0,
            gref: FIRST_GREF + RECEIVED + number,
        };
        guest.put(page(1) + u64::from(HEADER + at % 256 * 8), &request);
    }

    pub(crate) fn back(&mut self, guest: &mut Guest<'_>, name: &str) -> String {
        let domid = guest.domid();
        let path = format!("/local/domain/0/backend/vif/{domid}/0/{name}|");
        self.bus.ask(guest, kind::READ, &path)
    }

    /// Sends a frame; how that was answered.
    pub(crate) fn send(&mut self, guest: &mut Guest<'_>, to: Mac, from: Mac) -> Option<i16> {
        self.send_with(guest, to, from, [0x5a; 88])
    }

    /// The same with these bytes behind the addresses.
    pub(crate) fn send_with(
        &mut self,
        guest: &mut Guest<'_>,
        to: Mac,
        from: Mac,
        bytes: [u8; 88],
    ) -> Option<i16> {
        guest.put(page(SENT), &[&to.0[..], &from.0, &bytes].concat()[..]);
        let request = TxRequest {
            gref: FIRST_GREF + SENT,
            offset: 0,
            flags: 0,
            id: 1,
            size: 100,
        };
        let slot = u64::from(HEADER + self.sent % 256 * 12);
        guest.put(page(0) + slot, &request);
        self.sent += 1;
        guest.put(page(0) + u64::from(REQ_PROD), &self.sent);
        assert_eq!(guest.send(self.port), 0);
        let prod: u32 = guest.get(page(0) + u64::from(RSP_PROD));
        let response: TxResponse = guest.get(page(0) + slot);
        (prod == self.sent).then_some(response.status)
    }

    /// The next frame; its pages are given back to be filled.
    pub(crate) fn receive(&mut self, guest: &mut Guest<'_>) -> Option<Vec<u8>> {
        let mut frame = Vec::new();
        loop {
            let prod: u32 = guest.get(page(1) + u64::from(RSP_PROD));
            if prod == self.heard {
                assert_eq!(frame, [], "frames come as a whole");
                return None;
            }
            let slot = u64::from(HEADER + self.heard % 256 * 8);
            let response: RxResponse = guest.get(page(1) + slot);
            self.heard += 1;
            guest.put(page(1) + u64::from(RSP_EVENT), &(self.heard + 1));
            let len = usize::try_from(response.status).unwrap();
            frame.extend(guest.bytes(page(RECEIVED + u32::from(response.id)), len));
            let asked = self.heard + PAGES - 1;
            Self::ask_for(guest, asked, response.id.into());
            guest.put(page(1) + u64::from(REQ_PROD), &(asked + 1));
            if response.flags & rx::MORE_DATA == 0 {
                break;
            }
        }
        assert_eq!(guest.send(self.port), 0);
        Some(frame)
    }
}
