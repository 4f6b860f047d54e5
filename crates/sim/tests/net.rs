//! Networks from within guests: through the store, rings, VMMs and the net server.

#[path = "common/store.rs"]
mod store;

use hv_types::Mac;
use net_server::Dropped;
use sim::guest::{FREE, SHARED_INFO};
use sim::{Domain, Guest, System};
use store::{Bus, events};
use xen_abi::event::{ALLOC_UNBOUND, AllocUnbound};
use xen_abi::grant::gtf;
use xen_abi::memory::space;
use xen_abi::netif::{RxRequest, RxResponse, TxRequest, TxResponse, status};
use xen_abi::number::EVENT_CHANNEL_OP;
use xen_abi::ring::{HEADER, REQ_PROD, RSP_EVENT, RSP_PROD};
use xen_abi::store::kind;

/// Where the guest sees its grant table.
const GRANTS: u64 = SHARED_INFO + 0x1000;
/// First grant that is not reserved: page 0 of [`FREE`], and so on. The rings are the first two
/// pages, what is sent is in the next, and what is received in those behind.
const FIRST_GREF: u32 = 8;
const SENT: u32 = 2;
const RECEIVED: u32 = 3;
const PAGES: u32 = 8;

const fn page(number: u32) -> u64 {
    FREE + number as u64 * 4096
}

const fn mac(guest: u8) -> Mac {
    Mac([2, 0, 0, 0, 0, guest])
}

fn system(networks: &[u8]) -> System {
    let domains = (0..).zip(networks).map(|(guest, network)| {
        let domain = Domain::new(["a", "b", "c"][usize::from(guest)]).heap();
        domain.enhanced("enabled").with_nic(*network, mac(guest))
    });
    System::new(&domains.collect::<Vec<_>>())
}

/// A guest's front end of its interface, with one event channel.
struct Front {
    bus: Bus,
    port: u32,
    sent: u32,
    heard: u32,
}

impl Front {
    /// What a kernel does.
    fn connect(guest: &mut Guest<'_>) -> Self {
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
        for number in 0..RECEIVED + PAGES {
            let entry = u64::from(gtf::PERMIT_ACCESS) | (page(number) >> 12) << 32;
            guest.put(GRANTS + 8 * u64::from(FIRST_GREF + number), &entry);
        }
        assert_eq!(front.back(guest, "state"), "2");
        for ring in 0..2 {
            guest.put(page(ring), &[0u8; 4096]);
            guest.put(page(ring) + u64::from(RSP_EVENT), &1u32);
        }
        for number in 0..PAGES {
            let request = RxRequest {
                id: u16::try_from(number).unwrap(),
                pad: 0,
                gref: FIRST_GREF + RECEIVED + number,
            };
            guest.put(page(1) + u64::from(HEADER + number * 8), &request);
        }
        guest.put(page(1) + u64::from(REQ_PROD), &PAGES);
        let port = front.port;
        for (name, value) in [
            ("request-rx-copy", 1),
            ("tx-ring-ref", FIRST_GREF),
            ("rx-ring-ref", FIRST_GREF + 1),
            ("event-channel", port),
            ("feature-sg", 1),
            ("feature-ipv6-csum-offload", 1),
            ("state", 4),
        ] {
            let message = format!("device/vif/0/{name}|{value}");
            assert_eq!(front.bus.ask(guest, kind::WRITE, &message), "OK|", "{name}");
        }
        front
    }

    fn back(&mut self, guest: &mut Guest<'_>, name: &str) -> String {
        let domid = guest.domid();
        let path = format!("/local/domain/0/backend/vif/{domid}/0/{name}|");
        self.bus.ask(guest, kind::READ, &path)
    }

    /// Sends a frame; how that was answered.
    fn send(&mut self, guest: &mut Guest<'_>, to: Mac, from: Mac) -> Option<i16> {
        let mut frame = [0x5a; 100];
        frame[..6].copy_from_slice(&to.0);
        frame[6..12].copy_from_slice(&from.0);
        guest.put(page(SENT), &frame);
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

    /// The next frame.
    fn receive(&mut self, guest: &mut Guest<'_>) -> Option<Vec<u8>> {
        let prod: u32 = guest.get(page(1) + u64::from(RSP_PROD));
        if prod == self.heard {
            return None;
        }
        let slot = u64::from(HEADER + self.heard % 256 * 8);
        let response: RxResponse = guest.get(page(1) + slot);
        self.heard += 1;
        guest.put(page(1) + u64::from(RSP_EVENT), &(self.heard + 1));
        let len = usize::try_from(response.status).unwrap();
        Some(guest.bytes(page(RECEIVED + u32::from(response.id)), len))
    }
}

fn connect(sys: &mut System, guests: usize) -> Vec<Front> {
    (0..guests)
        .map(|guest| Front::connect(&mut sys.guest(guest)))
        .collect()
}

#[test]
fn a_frame_goes_from_guest_to_guest() {
    let mut sys = system(&[1, 1, 1]);
    let mut fronts = connect(&mut sys, 3);
    assert_eq!(fronts[0].back(&mut sys.guest(0), "state"), "4");
    assert_eq!(fronts[0].back(&mut sys.guest(0), "mac"), mac(0).to_string());
    events(&mut sys.guest(1));
    let sent = fronts[0].send(&mut sys.guest(0), mac(1), mac(0));
    assert_eq!(sent, Some(status::OKAY));
    let mut guest = sys.guest(1);
    let port = fronts[1].port;
    assert!(events(&mut guest).contains(&port));
    let frame = fronts[1].receive(&mut guest).unwrap();
    assert_eq!((frame.len(), &frame[6..12]), (100, &mac(0).0[..]));
    assert_eq!(frame[12..], [0x5a; 88]);
    assert_eq!(fronts[2].receive(&mut sys.guest(2)), None);
    fronts[2].send(&mut sys.guest(2), Mac::BROADCAST, mac(2));
    assert!(fronts[0].receive(&mut sys.guest(0)).is_some());
    assert!(fronts[1].receive(&mut sys.guest(1)).is_some());
}

#[test]
fn networks_never_meet_and_forged_frames_go_nowhere() {
    let mut sys = system(&[1, 2, 1]);
    let mut fronts = connect(&mut sys, 3);
    for to in [mac(1), Mac::BROADCAST] {
        fronts[0].send(&mut sys.guest(0), to, mac(0));
        assert_eq!(fronts[1].receive(&mut sys.guest(1)), None);
    }
    fronts[2].receive(&mut sys.guest(2)).expect("the broadcast");
    let sent = fronts[0].send(&mut sys.guest(0), mac(2), mac(1));
    assert_eq!(sent, Some(status::OKAY), "as on a wire");
    assert_eq!(fronts[2].receive(&mut sys.guest(2)), None);
    assert_eq!(sys.port(0, 0).dropped(Dropped::Forged), 1);
    assert_eq!(sys.port(0, 0).dropped(Dropped::Unknown), 1);
}

#[test]
fn an_idle_network_wakes_nobody() {
    let mut sys = system(&[1, 1]);
    let mut fronts = connect(&mut sys, 2);
    fronts[0].send(&mut sys.guest(0), mac(1), mac(0));
    let wakes = (sys.net_wakes(), sys.store_wakes());
    sys.advance(10 * sim::FREQUENCY);
    assert_eq!((sys.net_wakes(), sys.store_wakes()), wakes);
}

#[test]
fn who_receives_nothing_holds_nobody_up() {
    let mut sys = system(&[1, 1, 1]);
    let mut fronts = connect(&mut sys, 3);
    // More than are asked for, and more than wait in the queue.
    for _ in 0..400 {
        let sent = fronts[0].send(&mut sys.guest(0), mac(1), mac(0));
        assert_eq!(sent, Some(status::OKAY));
    }
    assert!(sys.port(1, 0).dropped(Dropped::Full) > 100);
    fronts[0].send(&mut sys.guest(0), mac(2), mac(0));
    assert!(fronts[2].receive(&mut sys.guest(2)).is_some());
}

#[test]
fn a_server_that_crashes_closes_the_back_ends() {
    let mut sys = system(&[1, 1]);
    let mut fronts = connect(&mut sys, 2);
    sys.crash_nets();
    for (guest, front) in fronts.iter_mut().enumerate() {
        assert_eq!(front.back(&mut sys.guest(guest), "state"), "5");
        assert!(sys.is_alive(guest));
    }
    fronts[0].send(&mut sys.guest(0), mac(1), mac(0));
    assert_eq!(fronts[1].receive(&mut sys.guest(1)), None);
}
