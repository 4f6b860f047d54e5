//! Xenstore from within a guest: through the page, the event channel, the VMM and the server.

#[path = "common/store.rs"]
mod store;

use sim::guest::ARGS;
use sim::{Domain, Ran, System};
use store::{Bus, events};
use xen_abi::hvm::param::{CONSOLE_EVTCHN, STORE_EVTCHN, STORE_PFN};
use xen_abi::number::SCHED_OP;
use xen_abi::sched::{SHUTDOWN, Shutdown};
use xen_abi::store::ring::{CONNECTION, ERROR, REQ_PROD, SERVER_FEATURES};
use xen_abi::store::{CONNECTED, Header, RECONNECT, error, kind};
use zerocopy::IntoBytes as _;

fn two(first: &'static str, second: &'static str) -> System {
    System::new(&[
        Domain::new("linux1").enhanced(first),
        Domain::new("linux2").heap().enhanced(second),
    ])
}

#[test]
fn a_guest_talks_to_the_store() {
    let mut sys = two("enabled", "legacy");
    for index in [0, 1] {
        let mut guest = sys.guest(index);
        assert_eq!(guest.param(STORE_EVTCHN), 1, "the first, as on Xen");
        assert_eq!(guest.param(CONSOLE_EVTCHN), 2);
        let mut bus = Bus::probe(&mut guest);
        assert_eq!(bus.page, 0x3900_1000);
        assert_eq!(bus.get(&guest, SERVER_FEATURES), 15);
        let guest = &mut guest;
        let id = (index + 1).to_string();
        assert_eq!(bus.ask(guest, kind::READ, "domid|"), id);
        assert_eq!(bus.ask(guest, kind::READ, "name|"), format!("linux{id}"));
        assert_eq!(bus.ask(guest, kind::READ, "memory/target|"), "16384");
        assert_eq!(bus.ask(guest, kind::READ, "store/port|"), "1");
        assert_eq!(bus.ask(guest, kind::READ, "store/ring-ref|"), "233473");
        assert_eq!(events(guest), [1], "answers come with an event");
        assert_eq!(bus.ask(guest, kind::WRITE, "data/a|value"), "OK|");
        assert_eq!(bus.ask(guest, kind::WATCH, "control/shutdown|tok|"), "OK|");
        assert_eq!(bus.receive(guest).unwrap().1, "control/shutdown|tok|");
        bus.send(guest, kind::WRITE, "control/shutdown|");
        let (event, text) = bus.receive(guest).unwrap();
        assert_eq!(
            (event.kind, text.as_str()),
            (kind::WATCH_EVENT, "control/shutdown|tok|")
        );
        assert_eq!(bus.receive(guest).unwrap().1, "OK|");
        let other = 3 - (index + 1);
        let secret = format!("/local/domain/{other}/data|");
        assert_eq!(bus.ask(guest, kind::READ, &secret), "EACCES|");
        // The reserved grant, which the store does not need.
        assert_eq!(bus.ask(guest, kind::GET_FEATURE, ""), "15|");
        // Longer than either ring.
        let value = "x".repeat(1990);
        assert_eq!(
            bus.ask(guest, kind::WRITE, &format!("data/long|{value}")),
            "OK|"
        );
        assert_eq!(bus.ask(guest, kind::READ, "data/long|"), value);
    }
    assert!(sys.is_alive(0) && sys.is_alive(1));
}

#[test]
fn a_guest_without_a_store_has_none() {
    let mut sys = two("no-xenstore", "enabled");
    let wakes = sys.store_wakes();
    let mut guest = sys.guest(0);
    assert_eq!(guest.param(STORE_EVTCHN), 0);
    assert_eq!(guest.param(STORE_PFN), 0);
    assert_eq!(guest.param(CONSOLE_EVTCHN), 1);
    assert!(!guest.is_mapped(0x3900_1000));
    guest.print(b"nothing to do with it\n");
    assert_eq!(sys.store_wakes(), wakes);
    assert_eq!(sys.store_used(0), 0);
}

#[test]
fn an_idle_store_wakes_nobody() {
    let mut sys = two("enabled", "enabled");
    let mut guest = sys.guest(0);
    let mut bus = Bus::probe(&mut guest);
    bus.ask(&mut guest, kind::READ, "domid|");
    let wakes = sys.store_wakes();
    sys.advance(10 * sim::FREQUENCY);
    assert_eq!(sys.store_wakes(), wakes);
}

#[test]
fn a_guest_that_takes_nothing_delays_itself_alone() {
    let mut sys = two("enabled", "enabled");
    let mut guest = sys.guest(0);
    let bus = Bus::probe(&mut guest);
    let ask = Header {
        kind: kind::READ,
        req_id: 1,
        tx_id: 0,
        len: 5,
    };
    let request = [ask.as_bytes(), b"name\0"].concat();
    let mut put = 0;
    loop {
        let count = bus.put(&mut guest, &request);
        put += count;
        if count < request.len() {
            break;
        }
        assert!(put < 1 << 20, "its ring fills");
    }
    let mut guest = sys.guest(1);
    let mut other = Bus::probe(&mut guest);
    assert_eq!(other.ask(&mut guest, kind::READ, "domid|"), "2");
    let wakes = sys.store_wakes();
    sys.advance(sim::FREQUENCY);
    assert_eq!(sys.store_wakes(), wakes);
}

#[test]
fn a_broken_ring_is_told_and_can_be_had_afresh() {
    let mut sys = two("enabled", "enabled");
    let mut guest = sys.guest(0);
    let mut bus = Bus::probe(&mut guest);
    bus.ask(&mut guest, kind::WRITE, "data/a|kept");
    bus.set(&mut guest, REQ_PROD, 0x8000_0000);
    guest.send(bus.port);
    assert_eq!(bus.get(&guest, ERROR), error::RING_INDEX);
    assert!(
        sys.vmm_log(0)
            .iter()
            .any(|line| line.contains("broke its xenstore page"))
    );
    let mut guest = sys.guest(0);
    bus.set(&mut guest, CONNECTION, RECONNECT);
    guest.send(bus.port);
    assert_eq!(bus.get(&guest, CONNECTION), CONNECTED);
    assert_eq!(bus.get(&guest, ERROR), error::NONE);
    assert_eq!(bus.ask(&mut guest, kind::READ, "data/a|"), "kept");
    // A payload that is too long.
    let header = Header {
        kind: kind::READ,
        req_id: 1,
        tx_id: 0,
        len: 4097,
    };
    bus.put(&mut guest, header.as_bytes());
    assert_eq!(bus.get(&guest, ERROR), error::PROTOCOL);
    bus.set(&mut guest, CONNECTION, RECONNECT);
    guest.send(bus.port);
    bus.pending.clear();
    assert_eq!(bus.ask(&mut guest, kind::READ, "data/a|"), "kept");
}

#[test]
fn nodes_go_with_a_life_and_come_with_the_next() {
    let mut sys = two("enabled", "enabled");
    let mut guest = sys.guest(1);
    let mut watcher = Bus::probe(&mut guest);
    watcher.ask(&mut guest, kind::WATCH, "@releaseDomain|gone|");
    watcher.receive(&mut guest).unwrap();
    let mut guest = sys.guest(0);
    let mut bus = Bus::probe(&mut guest);
    bus.ask(&mut guest, kind::WRITE, "data/a|mine");
    guest.put(ARGS, &Shutdown { reason: 1 });
    assert_eq!(guest.try_hvc(SCHED_OP, &[SHUTDOWN, ARGS]), Ran::Restarts);
    sys.advance(sim::FREQUENCY);
    assert_eq!(sys.restarts(0), 1);
    let mut guest = sys.guest(1);
    let told = watcher.receive(&mut guest).expect("an event").1;
    assert_eq!(told, "@releaseDomain|gone|");
    let mut guest = sys.guest(0);
    let mut bus = Bus::probe(&mut guest);
    assert_eq!(bus.ask(&mut guest, kind::READ, "data/a|"), "ENOENT|");
    assert_eq!(bus.ask(&mut guest, kind::READ, "domid|"), "1");
    // Off for good.
    guest.put(ARGS, &Shutdown { reason: 0 });
    guest.try_hvc(SCHED_OP, &[SHUTDOWN, ARGS]);
    sys.advance(sim::FREQUENCY);
    assert_eq!(sys.store_used(0), 0);
    assert_ne!(sys.store_used(1), 0);
}
