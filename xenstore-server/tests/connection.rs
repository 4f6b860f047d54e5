//! Connections: slow guests, broken ones, fresh ones, and lives.

mod common;

use common::{FREQUENCY, OK, Rig, assert_answer, nul};
use xen_abi::store::{Header, error, kind};
use xenstore_server_api::{StorePort as _, Wish};
use zerocopy::IntoBytes as _;

fn kinds(messages: &[common::Message]) -> Vec<u32> {
    messages.iter().map(|message| message.header.kind).collect()
}

#[test]
fn events_come_before_the_answer_but_after_that_of_their_watch() {
    let mut rig = Rig::new(1);
    rig.send(0, kind::WATCH, 0, b"data\0t\0");
    rig.send(0, kind::WRITE, 0, b"data\0x");
    let order = kinds(&rig.settle_guest(0));
    let event = kind::WATCH_EVENT;
    assert_eq!(order, [kind::WATCH, event, event, kind::WRITE]);
}

#[test]
fn a_vmm_that_stops_takes_its_guest_along() {
    let mut rig = Rig::new(2);
    assert_answer(rig.watch(1, "@releaseDomain", "gone"), OK);
    rig.events(1);
    assert_answer(rig.write(0, "data/a", "x"), OK);
    assert_answer(rig.watch(0, "data", "t"), OK);
    let tx = rig.start(0);
    assert_answer(rig.write_in(0, tx, "data/b", "x"), OK);
    rig.server.on_crash(0);
    rig.turn();
    rig.settle();
    assert_eq!(rig.events(1), ["@releaseDomain|gone|"]);
    assert_eq!(rig.server.used(0), 0);
    // Whatever it says afterwards.
    let (life, port, gfn) = (9, 1, 1);
    rig.wish(0, Wish::Connect { life, port, gfn });
    assert!(!rig.guests[0].client.is_ready());
    rig.send(0, kind::READ, 0, b"domid\0");
    rig.settle();
    assert!(rig.receive(0).is_empty());
    assert_eq!(rig.server.used(0), 0);
    assert_answer(rig.read(1, "domid"), Ok("2"));
    // A number that is no guest's, and one that has gone already.
    rig.server.on_crash(0);
    rig.server.on_crash(99);
    rig.turn();
    assert_answer(rig.read(1, "domid"), Ok("2"));
}

#[test]
fn bytes_may_come_one_by_one() {
    let mut rig = Rig::new(1);
    let header = Header {
        kind: kind::READ,
        req_id: 7,
        tx_id: 0,
        len: 6,
    };
    for byte in [header.as_bytes(), b"domid\0"].concat() {
        assert!(rig.receive(0).is_empty());
        rig.send_raw(0, &[byte]);
        rig.settle();
    }
    let got = rig.receive(0);
    assert_eq!((got[0].header.req_id, got[0].text()), (7, "1".to_owned()));
}

#[test]
fn a_guest_that_does_not_take_its_answers_delays_itself_alone() {
    let mut rig = Rig::new(2);
    let value = "x".repeat(1000);
    rig.write(0, "data/a", &value).unwrap();
    let mut asked = 0;
    // As long as requests go somewhere.
    while rig.unsent(0) == 0 {
        rig.send(0, kind::READ, 0, &nul("data/a"));
        asked += 1;
        rig.settle();
    }
    // Two answers fit into the ring, twenty wait, and the ring of requests is full.
    let size = 16 + "data/a".len() + 1;
    let expected = 2048 / 1016 + 20 + 2048 / size + 1;
    assert!((expected - 2..=expected + 2).contains(&asked), "{asked}");
    assert!(
        !rig.last.more && rig.last.wake_at.is_none(),
        "nothing to do"
    );
    assert_answer(rig.write(1, "data/a", "x"), OK);
    // When it does, everything comes, in order.
    let answers = rig.settle_guest(0);
    assert_eq!(answers.len(), asked);
    for (answer, id) in answers.iter().zip(2..) {
        assert_eq!((answer.header.req_id, answer.text()), (id, value.clone()));
    }
}

#[test]
fn events_wait_once_each_and_are_bounded() {
    let mut rig = Rig::new(2);
    rig.write(1, "data/s", "").unwrap();
    rig.set_perms(1, "data/s", "n2|r1").unwrap();
    rig.watch(0, "/local/domain/2/data", "t").unwrap();
    // Guest 0 takes nothing while guest 1 writes.
    for n in 0..400 {
        for _ in 0..3 {
            assert_answer(rig.write(1, &format!("data/s/{}", n % 300), "x"), OK);
        }
    }
    let ring = 2048 / (16 + "/local/domain/2/data/s/100|t|".len());
    let events = rig.events(0);
    // Those in the ring came three times.
    assert!(
        events.len() >= 300 && events.len() <= 300 + 3 * ring,
        "{}",
        events.len()
    );
    // Tokens as long as can be, until its share is used up: later events are lost to it alone.
    let token = "x".repeat(4000);
    rig.watch(0, "/local/domain/2/data/s", &token).unwrap();
    for round in 0..3 {
        for n in 0..300 {
            assert_answer(rig.write(1, &format!("data/s/{n}"), &round.to_string()), OK);
        }
    }
    let used = rig.server.used(0);
    assert!(
        used <= xenstore_server_api::quota::MEMORY as usize,
        "{used}"
    );
    rig.settle_guest(0);
    assert_answer(rig.read(0, "domid"), Ok("1"));
    assert_eq!(rig.events(0), Vec::<String>::new());
}

#[test]
fn a_payload_that_is_too_long_ends_the_connection() {
    let mut rig = Rig::new(2);
    rig.write(0, "data/a", "kept").unwrap();
    rig.watch(0, "data", "t").unwrap();
    rig.start(0);
    let header = Header {
        kind: kind::READ,
        req_id: 1,
        tx_id: 0,
        len: 4097,
    };
    rig.send_raw(0, header.as_bytes());
    rig.settle();
    assert_eq!(rig.guests[0].client.error(), error::PROTOCOL);
    // Nothing that it sends is looked at any more.
    rig.send(0, kind::READ, 0, b"domid\0");
    assert!(rig.settle_guest(0).is_empty());
    assert_answer(rig.read(1, "domid"), Ok("2"));
    // A fresh connection works, and its nodes are still there.
    rig.connect(0);
    assert_eq!(rig.guests[0].client.error(), error::NONE);
    assert_answer(rig.read(0, "data/a"), Ok("kept"));
    rig.write(0, "data/a", "x").unwrap();
    assert!(rig.events(0).is_empty(), "the watch is gone");
    assert_eq!(rig.start(0), 2, "so is the transaction");
}

#[test]
fn a_fresh_connection_begins_with_nothing() {
    let mut rig = Rig::new(1);
    rig.write(0, "data/a", "kept").unwrap();
    rig.watch(0, "data", "t").unwrap();
    let tx = rig.start(0);
    // In the middle of a message, with answers under way.
    for _ in 0..40 {
        rig.send(0, kind::READ, 0, b"data/a\0");
    }
    rig.settle();
    rig.send_raw(0, &[1, 2, 3]);
    rig.connect(0);
    assert!(rig.settle_guest(0).is_empty());
    assert_answer(rig.read(0, "data/a"), Ok("kept"));
    assert_answer(rig.finish(0, tx, true), Err("ENOENT"));
    rig.write(0, "data/a", "x").unwrap();
    assert!(rig.events(0).is_empty());
}

#[test]
fn a_guests_nodes_end_with_it_and_begin_with_the_next() {
    let mut rig = Rig::new(2);
    rig.write(0, "data/a", "mine").unwrap();
    rig.write(0, "memory/target", "7").unwrap();
    let before = rig.server.used(0);
    rig.end(0);
    assert_eq!(rig.server.used(0), 0);
    rig.send(0, kind::READ, 0, b"domid\0");
    assert!(rig.settle_guest(0).is_empty(), "nobody is there");
    rig.connect(0);
    assert_answer(rig.read(0, "data/a"), Err("ENOENT"));
    assert_answer(rig.read(0, "memory/target"), Ok("131072"));
    assert!(rig.server.used(0) < before);
    assert_answer(rig.read(1, "domid"), Ok("2"));
    // A life that the server has not seen the end of.
    rig.write(0, "data/a", "mine").unwrap();
    let connect = |life| Wish::Connect {
        life,
        port: 3,
        gfn: 0x1234,
    };
    rig.guests[0].client.wish(Wish::Down);
    rig.wish(0, connect(9));
    assert!(rig.guests[0].client.is_ready());
    assert_answer(rig.read(0, "data/a"), Err("ENOENT"));
    assert_answer(rig.read(0, "store/port"), Ok("3"));
    assert_answer(rig.read(0, "store/ring-ref"), Ok("4660"));
}

#[test]
fn writers_wait_while_there_are_transactions() {
    let mut rig = Rig::new(2);
    rig.write(0, "data/a", "").unwrap();
    let tx = rig.start(1);
    let mut written = 0;
    // Ten are free, and the one that is too many is paid for before the next is read.
    while rig.last.wake_at.is_none() {
        rig.send(0, kind::WRITE, 0, b"data/a\0x");
        rig.settle();
        written += rig.receive(0).len();
        assert!(written < 50);
    }
    assert_eq!(written, 11);
    assert_answer(rig.read(1, "domid"), Ok("2"));
    // Two guests share 200 a second.
    rig.advance(FREQUENCY / 2);
    assert_eq!(rig.receive(0).len(), 1);
    rig.advance(FREQUENCY);
    let mut more = 0;
    while rig.last.wake_at.is_none() && more < 1000 {
        rig.send(0, kind::WRITE, 0, b"data/a\0x");
        rig.settle();
        more += rig.receive(0).len();
    }
    // What it did not need in that second and a half is in reserve for all, but for the twenty that
    // the two guests began with.
    assert!((128..=131).contains(&more), "{more}");
    // Without transactions nobody waits.
    rig.advance(FREQUENCY);
    rig.receive(0);
    rig.finish(1, tx, false).unwrap();
    for _ in 0..50 {
        assert_answer(rig.write(0, "data/a", "x"), OK);
    }
    assert_eq!(rig.last.wake_at, None);
}

#[test]
fn an_idle_store_asks_for_nothing() {
    let mut rig = Rig::new(2);
    rig.write(0, "data/a", "x").unwrap();
    rig.settle();
    assert!(!rig.last.more);
    assert_eq!((rig.last.wake_at, rig.last.notify & !1), (None, 0));
}
