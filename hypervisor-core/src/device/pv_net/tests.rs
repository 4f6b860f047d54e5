//! The back end as a front end and a server see it.
#![allow(clippy::cast_possible_truncation, reason = "test data")]

use std::boxed::Box;
use std::string::{String, ToString};
use std::vec::Vec;

use core::sync::atomic::AtomicU32;
use guest_mem::{VecWindow, Window};
use hv_types::{DomId, WindowAddr};
use memory_server_api::Extra;
use net_server_api::{
    Checksum, DATA_SIZE, Gso, GsoKind, HEADER_SIZE, Offload, QUEUE_LEN, Region, ServerEnd,
};
use xen_abi::grant::gtf;
use xen_abi::netif::{
    Extra as Info, RxRequest, RxResponse, TxRequest, TxResponse, extra, rx, status, tx,
};
use xen_abi::ring::{HEADER, REQ_EVENT, REQ_PROD, RSP_EVENT, RSP_PROD};
use zerocopy::{FromBytes, IntoBytes};

use super::*;
use crate::domain::peers::Domains;
use crate::fake::{DOMID, FakeHost, FakePages, RAM, record};
use crate::hypercall::grant::backend::Grants;

/// Pages of the guest's RAM: the rings are the first two.
const PAGES: u32 = 64;
/// Grants of pages are numbered behind the reserved ones.
const FIRST_GREF: u32 = 8;
const SENDS: u32 = 0;
const RECEIVES: u32 = 1;
const PLAIN: Offload = Offload {
    checksum: Checksum::Unknown,
    gso: None,
};

struct World {
    host: FakeHost,
    pages: FakePages,
    events: Events,
    net: PvNet,
    inbox: Inbox,
    server: ServerEnd<'static, &'static VecWindow>,
    data: &'static VecWindow,
    ports: [Port; 2],
    /// Requests that the front end has written to each ring, and responses that it has read.
    asked: [u32; 2],
    heard: [u32; 2],
}

fn node(end: &str, name: &str) -> String {
    match end {
        "front" => std::format!("/local/domain/{DOMID}/device/vif/0/{name}"),
        _ => std::format!("/local/domain/0/backend/vif/{DOMID}/0/{name}"),
    }
}

impl World {
    fn new() -> Self {
        let header: Vec<_> = (0..HEADER_SIZE / 4).map(|_| AtomicU32::new(0)).collect();
        let region = Region::new(header.leak()).unwrap();
        let data = VecWindow::new().with(WindowAddr::new(0), DATA_SIZE.into());
        let data: &'static VecWindow = Box::leak(Box::new(data));
        let mut server = region.server(data).unwrap();
        server.set_present(0);
        let size = u64::from(PAGES) * 4096;
        let mut host = FakeHost::new(size);
        let notify: Box<dyn FnMut()> = Box::new(|| {});
        host.nets = region.client(data, notify);
        let mut events = Events::new(Domains::new(DomId(DOMID), 3), 1023, 1);
        events.allow_backends();
        let mut net = PvNet::new(&record());
        net.reset(&mut host);
        let world = Self {
            host,
            pages: FakePages::new(size),
            events,
            net,
            inbox: Inbox::new(),
            server,
            data,
            ports: [Port(0); 2],
            asked: [0; 2],
            heard: [0; 2],
        };
        (0..PAGES).for_each(|page| world.grant(page, gtf::PERMIT_ACCESS));
        world
    }

    fn connected() -> Self {
        let mut world = Self::new();
        world.connect(&["feature-sg", "feature-gso-tcpv4", "feature-gso-tcpv6"]);
        world
    }

    fn grant(&self, page: u32, flags: u16) {
        let entry = u64::from(flags) | ((RAM >> 12) + u64::from(page)) << 32;
        let gref = FIRST_GREF + page;
        let at = WindowAddr::extra(Extra::GrantFrame(0).index(), (8 * gref) as u16);
        self.host.window.store_u64(at, entry);
    }

    fn say(&mut self, name: &str, value: impl ToString) {
        let value = value.to_string();
        self.host.store.write(&node("front", name), &value);
    }

    fn back(&self, name: &str) -> &str {
        let node = self.host.store.nodes.get(&node("back", name));
        node.map_or("", String::as_str)
    }

    /// Serves until nothing is left over.
    fn serve(&mut self) -> Vcpus {
        let mut upcalls = Vcpus::NONE;
        for _ in 0..1000 {
            let grants = Grants::new(&self.pages, 1);
            let (host, events) = (&mut self.host, &mut self.events);
            let served = self.net.serve(host, &grants, events, &mut self.inbox);
            upcalls = upcalls.with(served);
            if !self.net.has_more() {
                return upcalls;
            }
        }
        panic!("it never comes to rest");
    }

    /// What a kernel does, with these features.
    fn connect(&mut self, features: &[&str]) {
        self.say("state", 1);
        self.serve();
        assert_eq!(self.back("state"), "2");
        for ring in [SENDS, RECEIVES] {
            self.host.window.zero(page(ring), 4096);
            let at = self.at(ring, RSP_EVENT);
            self.host.window.store_u32(at, 1);
            (self.asked[ring as usize], self.heard[ring as usize]) = (0, 0);
            self.ports[ring as usize] = self.events.alloc_unbound(DomId::SELF, DomId(0)).unwrap();
        }
        self.say("request-rx-copy", 1);
        self.say("tx-ring-ref", FIRST_GREF + SENDS);
        self.say("rx-ring-ref", FIRST_GREF + RECEIVES);
        self.say("event-channel-tx", self.ports[0].0);
        self.say("event-channel-rx", self.ports[1].0);
        self.say("feature-ipv6-csum-offload", 1);
        features.iter().for_each(|feature| self.say(feature, 1));
        self.say("state", 4);
        self.serve();
    }

    fn at(&self, ring: u32, offset: u16) -> WindowAddr {
        page(ring).checked_add(offset.into()).unwrap()
    }

    fn put(&mut self, ring: u32, bytes: &[u8]) {
        let asked = self.asked[ring as usize];
        let size = if ring == SENDS { 12 } else { 8 };
        let slot = self.at(ring, (HEADER + asked % 256 * size) as u16);
        self.host.window.write(slot, bytes);
        self.asked[ring as usize] = asked.wrapping_add(1);
    }

    fn push(&mut self) {
        for ring in [SENDS, RECEIVES] {
            let at = self.at(ring, REQ_PROD);
            self.host.window.store_u32(at, self.asked[ring as usize]);
        }
    }

    /// Sends the bytes of pages from `first` on: so many of each.
    fn send(&mut self, first: u32, lens: &[u16], flags: u16, info: Option<Info>) {
        let total: u16 = lens.iter().sum();
        for (number, len) in lens.iter().enumerate() {
            let more = if number + 1 < lens.len() {
                tx::MORE_DATA
            } else {
                0
            };
            let own = match (number, info) {
                (0, Some(_)) => flags | tx::EXTRA_INFO,
                (0, None) => flags,
                _ => 0,
            };
            let request = TxRequest {
                gref: FIRST_GREF + first + number as u32,
                offset: 0,
                flags: own | more,
                id: 100 + number as u16,
                size: if number == 0 { total } else { *len },
            };
            self.put(SENDS, request.as_bytes());
            if let (0, Some(info)) = (number, info) {
                self.put(SENDS, info.as_bytes());
            }
        }
        self.push();
    }

    fn sent(&mut self) -> Option<(Vec<u8>, Offload)> {
        let receiver = self.server.sent(0).unwrap();
        let frame = receiver.peek()?.unwrap();
        let mut bytes = std::vec![0; frame.len as usize];
        self.data
            .read(WindowAddr::new(frame.offset.into()), &mut bytes);
        receiver.advance();
        Some((bytes, frame.offload))
    }

    fn bring(&mut self, bytes: &[u8], offload: Offload) -> bool {
        let (sender, data) = self.server.to(0).unwrap();
        let Some(at) = sender.reserve(bytes.len() as u32) else {
            return false;
        };
        data.write(WindowAddr::new(at.into()), bytes);
        sender.send(bytes.len() as u32, offload)
    }

    /// Asks for pages from `first` on to be filled.
    fn ask(&mut self, first: u32, count: u32) {
        for number in 0..count {
            let request = RxRequest {
                id: (first + number) as u16,
                pad: 0,
                gref: FIRST_GREF + first + number,
            };
            self.put(RECEIVES, request.as_bytes());
        }
        self.push();
    }

    fn response<T: FromBytes>(&mut self, ring: u32) -> Option<T> {
        let heard = self.heard[ring as usize];
        if self.host.window.load_u32(self.at(ring, RSP_PROD)) == heard {
            return None;
        }
        let size = if ring == SENDS { 12 } else { 8 };
        let mut bytes = std::vec![0; size_of::<T>()];
        let slot = self.at(ring, (HEADER + heard % 256 * size) as u16);
        self.host.window.read(slot, &mut bytes);
        self.heard[ring as usize] = heard.wrapping_add(1);
        let event = self.at(ring, RSP_EVENT);
        self.host.window.store_u32(event, heard.wrapping_add(2));
        Some(T::read_from_bytes(&bytes).unwrap())
    }

    fn statuses(&mut self) -> Vec<i16> {
        core::iter::from_fn(|| self.response::<TxResponse>(SENDS))
            .map(|response| response.status)
            .collect()
    }
}

fn page(number: u32) -> WindowAddr {
    WindowAddr::new(RAM + u64::from(number) * 4096)
}

fn contents(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at / 256 + at) as u8 & 0xfe).collect()
}

#[test]
fn a_front_end_connects_and_is_told_the_truth() {
    let mut world = World::new();
    world.connect(&[]);
    assert_eq!(world.back("state"), "4", "{:?}", world.host.log);
    for name in ["feature-sg", "feature-gso-tcpv4", "feature-rx-copy"] {
        assert_eq!(world.back(name), "1", "{name}");
    }
    assert_eq!(world.back("feature-rx-flip"), "0");
    assert!(world.server.is_open(0));
    for round in 0..100 {
        world.say("state", 5);
        world.serve();
        assert!(!world.server.is_open(0));
        assert_eq!(world.back("state"), "5", "{round}");
        world.say("state", 6);
        world.serve();
        assert_eq!(world.back("state"), "6");
        world.connect(&[]);
        assert_eq!(world.back("state"), "4", "{:?}", world.host.log);
    }
}

#[test]
fn what_is_given_wrongly_closes_the_interface() {
    let wrong: [(&str, &str, &str); 6] = [
        ("request-rx-copy", "0", "request-rx-copy is not 1"),
        ("tx-ring-ref", "500", "its ring: grant 500"),
        ("rx-ring-ref", "x", "rx-ring-ref is missing or no number"),
        ("event-channel-tx", "77", "event channel 77"),
        ("multi-queue-num-queues", "2", "it has 2 queues"),
        ("feature-no-csum-offload", "1", "it wants checksums"),
    ];
    for (name, value, told) in wrong {
        let mut world = World::new();
        world.say(name, value);
        // Written again by `connect`, unless it is the one that is watched for.
        world.connect(&[]);
        let own = ["multi-queue-num-queues", "feature-no-csum-offload"].contains(&name);
        if !own {
            world.say("state", 6);
            world.serve();
            world.say("state", 1);
            world.serve();
            world.say(name, value);
            world.say("state", 4);
            world.serve();
        }
        assert_eq!(world.back("state"), "5", "{name}: {:?}", world.host.log);
        assert!(
            world.host.log.concat().contains(told),
            "{:?}",
            world.host.log
        );
        assert!(!world.server.is_open(0));
    }
}

#[test]
fn packets_go_to_the_server_whole() {
    let mut world = World::connected();
    let bytes = contents(9000);
    world.host.window.write(page(4), &bytes);
    let gso = Info {
        kind: extra::GSO,
        flags: 0,
        data: [0xb4, 5, extra::GSO_TCPV4, 0, 0, 0],
    };
    world.send(4, &[60], 0, None);
    world.send(4, &[4096, 4096, 808], tx::CSUM_BLANK, Some(gso));
    assert!(world.serve().contains(hv_types::VcpuId::BOOT));
    assert_eq!(world.sent(), Some((bytes[..60].to_vec(), PLAIN)));
    let (sent, offload) = world.sent().unwrap();
    assert!(sent == bytes);
    let (kind, size) = (GsoKind::Tcp4, 1460);
    assert_eq!(offload.gso, Some(Gso { kind, size }));
    assert_eq!(offload.checksum, Checksum::Blank);
    let ok = status::OKAY;
    assert_eq!(world.statuses(), [ok, ok, status::NULL, ok, ok]);
}

#[test]
fn a_full_server_leaves_packets_in_the_ring() {
    let mut world = World::connected();
    for _ in 0..5 {
        world.send(4, &[4096; 15], 0, None);
    }
    world.serve();
    let taken = world.statuses().len();
    assert!((15..75).contains(&taken), "{taken}");
    assert!(world.sent().is_some() && world.server.take_notify());
    world.serve();
    assert_eq!(world.statuses().len(), 15);
}

#[test]
fn withdrawn_pages_and_nonsense_are_errors_for_that_packet_alone() {
    let mut world = World::connected();
    world.grant(5, 0);
    world.send(4, &[4096, 100], 0, None);
    world.send(4, &[10], 0, None);
    world.send(4, &[60], 0, None);
    world.serve();
    let (error, ok) = (status::ERROR, status::OKAY);
    assert_eq!(world.statuses(), [error, error, error, ok]);
    assert!(world.sent().is_some() && world.sent().is_none());
}

#[test]
fn a_broken_ring_closes_the_interface_until_it_connects_again() {
    let breaks: [fn(&mut World); 4] = [
        |world| {
            world.asked[0] = 257;
            world.push();
        },
        |world| {
            let flags = tx::MORE_DATA;
            let request = TxRequest {
                flags,
                ..Default::default()
            };
            world.put(SENDS, request.as_bytes());
            world.push();
        },
        |world| {
            let kind = 77;
            world.send(
                4,
                &[60],
                0,
                Some(Info {
                    kind,
                    ..Default::default()
                }),
            );
        },
        |world| {
            world.grant(SENDS, 0);
            world.send(4, &[60], 0, None);
        },
    ];
    for (number, breaks) in breaks.iter().enumerate() {
        let mut world = World::connected();
        breaks(&mut world);
        world.serve();
        assert_eq!(world.back("state"), "5", "{number}");
        assert!(!world.server.is_open(0));
        assert!(
            world.host.log.concat().contains("broke its ring"),
            "{number}"
        );
        world.grant(SENDS, gtf::PERMIT_ACCESS);
        world.say("state", 6);
        world.serve();
        world.connect(&["feature-sg"]);
        world.send(4, &[60], 0, None);
        world.serve();
        assert!(world.sent().is_some(), "{number}");
    }
}

#[test]
fn frames_fill_the_pages_that_were_asked_for() {
    let mut world = World::connected();
    let bytes = contents(9000);
    let gso = Some(Gso {
        kind: GsoKind::Tcp6,
        size: 1440,
    });
    let checksum = Checksum::Blank;
    assert!(world.bring(&bytes[..60], PLAIN));
    assert!(world.bring(&bytes, Offload { checksum, gso }));
    world.ask(10, 2);
    world.serve();
    let first: RxResponse = world.response(RECEIVES).unwrap();
    assert_eq!((first.id, first.flags, first.status), (10, 0, 60));
    assert!(
        world.response::<RxResponse>(RECEIVES).is_none(),
        "too few pages"
    );
    let wanted = world.host.window.load_u32(world.at(RECEIVES, REQ_EVENT));
    assert_eq!(wanted, 5, "an event when there are enough");
    world.ask(12, 3);
    world.serve();
    let second: RxResponse = world.response(RECEIVES).unwrap();
    let flags = rx::MORE_DATA | rx::EXTRA_INFO | rx::CSUM_BLANK | rx::DATA_VALIDATED;
    assert_eq!((second.id, second.flags, second.status), (11, flags, 4096));
    let info: Info = world.response(RECEIVES).unwrap();
    assert_eq!(
        (info.kind, info.data),
        (extra::GSO, [0xa0, 5, extra::GSO_TCPV6, 0, 0, 0])
    );
    let mut got = std::vec![0; 9000];
    world.host.window.read(page(11), &mut got[..4096]);
    for (at, id) in [(4096, 13), (8192, 14)] {
        let next: RxResponse = world.response(RECEIVES).unwrap();
        assert_eq!(next.id, id, "the page of the extra information is left out");
        let len = next.status as usize;
        world
            .host
            .window
            .read(page(id.into()), &mut got[at..at + len]);
    }
    assert!(got == bytes);
}

#[test]
fn what_a_front_end_cannot_take_or_does_not_want_is_left_out() {
    let mut world = World::new();
    world.connect(&["request-multicast-control"]);
    world.ask(10, 20);
    let group = [1, 0, 0x5e, 0, 0, 9];
    let mut to_group = contents(60);
    to_group[..6].copy_from_slice(&group);
    let mut to_all = contents(60);
    to_all[..6].copy_from_slice(&[0xff; 6]);
    let gso = Some(Gso {
        kind: GsoKind::Tcp4,
        size: 1460,
    });
    let heard = |world: &mut World| {
        world.serve();
        core::iter::from_fn(|| world.response::<RxResponse>(RECEIVES)).count()
    };
    assert!(world.bring(&contents(5000), PLAIN));
    assert!(world.bring(&contents(100), Offload { gso, ..PLAIN }));
    assert!(world.bring(&to_group, PLAIN));
    assert_eq!(heard(&mut world), 0);
    assert!(world.bring(&to_all, PLAIN));
    assert_eq!(heard(&mut world), 1);
    for (kind, expected) in [(extra::MCAST_ADD, 1), (extra::MCAST_DEL, 0)] {
        let data = group;
        world.send(
            4,
            &[0],
            0,
            Some(Info {
                kind,
                flags: 0,
                data,
            }),
        );
        world.serve();
        assert_eq!(world.statuses(), [status::OKAY, status::NULL]);
        assert!(world.bring(&to_group, PLAIN));
        assert_eq!(heard(&mut world), expected);
    }
}

#[test]
fn without_a_server_the_interface_closes() {
    let mut world = World::connected();
    world.server.leave();
    world.serve();
    assert_eq!(world.back("state"), "5");
    world.send(4, &[60], 0, None);
    world.say("state", 6);
    world.serve();
    assert_eq!(world.back("state"), "6");
    world.say("state", 1);
    world.serve();
    assert_eq!(world.back("state"), "6", "there is nothing to offer");
}

/// Marsaglia's xorshift, so that a number says what a run does.
fn random(state: &mut u64, below: u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    (*state >> 11) % below
}

/// A front end that does anything: it neither stops the VMM nor gets bytes that were not for it,
/// and what the server is given makes sense.
fn any_front_end(seed: u64, steps: u32) {
    let mut state = seed | 1;
    let mut world = World::connected();
    for _ in 0..steps {
        let one_in = |state: &mut u64, n| random(state, n) == 0;
        let noise = random(&mut state, u64::MAX);
        match random(&mut state, 12) {
            0..4 => {
                let request = TxRequest {
                    gref: FIRST_GREF + random(&mut state, u64::from(PAGES)) as u32,
                    offset: random(&mut state, 5000) as u16,
                    flags: noise as u16 & if one_in(&mut state, 4) { 15 } else { 3 },
                    id: noise as u16,
                    size: random(&mut state, 5000) as u16,
                };
                world.put(SENDS, request.as_bytes());
                if one_in(&mut state, 3) {
                    world.put(SENDS, &noise.to_le_bytes());
                }
                world.push();
            }
            4..6 => world.ask(
                2 + random(&mut state, 40) as u32,
                random(&mut state, 20) as u32,
            ),
            6..8 => {
                let len = 14 + random(&mut state, 20_000) as usize;
                world.bring(&contents(len), PLAIN);
            }
            8 => {
                let flags = if one_in(&mut state, 2) {
                    0
                } else {
                    gtf::PERMIT_ACCESS
                };
                let page = random(&mut state, u64::from(PAGES)) as u32;
                world.grant(page, flags);
            }
            9 if one_in(&mut state, 5) => {
                let at = world.at(
                    random(&mut state, 2) as u32,
                    random(&mut state, 80) as u16 & !3,
                );
                world.host.window.store_u32(at, noise as u32);
            }
            10 if one_in(&mut state, 3) => world.say("state", random(&mut state, 9)),
            _ => {
                while let Some((bytes, _)) = world.sent() {
                    assert!(bytes.len() >= 14);
                }
                // An index that it overwrote itself it does not follow for long.
                for _ in 0..256 {
                    world.response::<RxResponse>(RECEIVES);
                    world.response::<TxResponse>(SENDS);
                }
            }
        }
        world.serve();
        if !world.net.link.is_connected(0) && one_in(&mut state, 3) {
            (0..PAGES).for_each(|page| world.grant(page, gtf::PERMIT_ACCESS));
            world.say("state", 6);
            world.serve();
            world.connect(&["feature-sg"]);
            assert_eq!(world.back("state"), "4", "{:?}", world.host.log.last());
        }
        let waits = world.server.sent(0).unwrap().len();
        assert!(waits <= QUEUE_LEN);
    }
}

#[test]
fn random_front_ends() {
    (1..=20).for_each(|seed| any_front_end(seed * 0x9e37_79b9, 1000));
}

/// For a long night; see CONTRIBUTING.md.
#[test]
#[ignore = "takes minutes"]
fn a_million_steps() {
    any_front_end(0x1234_5678_9abc_def1, 1_000_000);
}
