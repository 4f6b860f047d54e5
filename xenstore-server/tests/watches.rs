//! Who is told of what, when, and in which words.

mod common;

use common::{OK, Rig, assert_answer};
use xen_abi::store::kind;

/// A guest with these watches, whose first events have come.
fn watching(paths: &[&str]) -> Rig {
    let mut rig = Rig::new(2);
    for path in paths {
        let (answer, events) = rig.exchange(0, kind::WATCH, 0, format!("{path}\0t\0").as_bytes());
        assert_eq!(answer.text(), "OK|");
        let events: Vec<_> = events.iter().map(common::Message::text).collect();
        assert_eq!(events, [format!("{path}|t|")], "once at the beginning");
    }
    rig
}

/// Makes a request of guest 0, which must succeed, and returns the events that it got.
fn events_of(rig: &mut Rig, kind: u32, payload: &str) -> Vec<String> {
    let payload = payload.replace('|', "\0");
    let (answer, events) = rig.exchange(0, kind, 0, payload.as_bytes());
    assert_eq!(answer.header.kind, kind, "{}", answer.text());
    events.iter().map(common::Message::text).collect()
}

#[test]
fn a_watch_sees_its_node_and_those_below() {
    let mut rig = watching(&["data/a"]);
    let mut write = |path: &str| events_of(&mut rig, kind::WRITE, &format!("{path}|x"));
    assert_eq!(write("data/a"), ["data/a|t|"]);
    assert_eq!(
        write("data/a/b/c"),
        ["data/a/b/c|t|"],
        "of parents nothing is said"
    );
    assert!(write("data/ab").is_empty());
    assert!(write("data").is_empty());
    assert_eq!(
        events_of(&mut rig, kind::MKDIR, "data/a/d|"),
        ["data/a/d|t|"]
    );
    assert!(events_of(&mut rig, kind::MKDIR, "data/a/d|").is_empty());
    assert_eq!(
        events_of(&mut rig, kind::SET_PERMS, "data/a/d|n1|"),
        ["data/a/d|t|"]
    );
    assert!(events_of(&mut rig, kind::READ, "data/a|").is_empty());
}

#[test]
fn paths_are_told_as_they_were_asked_for() {
    let mut rig = watching(&["data/a", "/local/domain/1/data", "/local/domain/1/data/a/b"]);
    assert_eq!(
        events_of(&mut rig, kind::WRITE, "/local/domain/1/data/a/b|x"),
        [
            "data/a/b|t|",
            "/local/domain/1/data/a/b|t|",
            "/local/domain/1/data/a/b|t|"
        ]
    );
}

#[test]
fn of_what_is_removed_below_only_its_own_watches_hear() {
    let mut rig = watching(&["data", "data/a", "data/a/b/c", "data/a/none"]);
    events_of(&mut rig, kind::WRITE, "data/a/b/c|x");
    assert_eq!(
        events_of(&mut rig, kind::RM, "data/a|"),
        ["data/a/b/c|t|", "data/a|t|", "data/a|t|"]
    );
    assert!(events_of(&mut rig, kind::RM, "data/a|").is_empty());
}

#[test]
fn watches_may_be_limited_in_depth() {
    let mut rig = watching(&[]);
    for depth in ["0", "1", "2"] {
        events_of(&mut rig, kind::WATCH, &format!("data|{depth}|{depth}|"));
    }
    let mut write = |path: &str| events_of(&mut rig, kind::WRITE, &format!("{path}|x"));
    assert_eq!(write("data"), ["data|0|", "data|1|", "data|2|"]);
    assert_eq!(write("data/a"), ["data/a|1|", "data/a|2|"]);
    assert_eq!(write("data/a/b"), ["data/a/b|2|"]);
    assert!(write("data/a/b/c").is_empty());
    assert_answer(rig.ask(0, kind::WATCH, 0, b"data\0x\0-1\0"), Err("EINVAL"));
}

#[test]
fn watches_come_and_go() {
    let mut rig = watching(&["data"]);
    assert_answer(rig.watch(0, "data", "t"), Err("EEXIST"));
    assert_answer(rig.watch(0, "/local/domain/1/data", "t"), Err("EEXIST"));
    for (payload, error) in [
        (&b"data\0other\0"[..], "ENOENT"),
        (b"data/x\0t\0", "ENOENT"),
        (b"data\0", "EINVAL"),
        (b"data/\0t\0", "EINVAL"),
    ] {
        assert_answer(rig.ask(0, kind::UNWATCH, 0, payload), Err(error));
    }
    for bad in [&b"data\0"[..], b"", b"data//x\0t\0", b"data\0a\0b\0c\0"] {
        assert_answer(rig.ask(0, kind::WATCH, 0, bad), Err("EINVAL"));
    }
    // Both ignore the transaction.
    assert_answer(rig.ask(0, kind::UNWATCH, 77, b"data\0t\0"), OK);
    assert!(events_of(&mut rig, kind::WRITE, "data|x").is_empty());
    for n in 0..5 {
        events_of(&mut rig, kind::WATCH, &format!("data|{n}|"));
    }
    // From the middle, the end and the front of the list.
    for n in [2, 4, 0] {
        let payload = format!("data\0{n}\0");
        assert_answer(rig.ask(0, kind::UNWATCH, 0, payload.as_bytes()), OK);
    }
    events_of(&mut rig, kind::WATCH, "data|5|");
    assert_eq!(
        events_of(&mut rig, kind::WRITE, "data|x"),
        ["data|1|", "data|3|", "data|5|"]
    );
    let tx = rig.start(0);
    assert_answer(rig.ask(0, kind::RESET_WATCHES, 0, b"\0"), OK);
    assert!(events_of(&mut rig, kind::WRITE, "data|x").is_empty());
    assert_answer(rig.finish(0, tx, true), Err("ENOENT"));
}

#[test]
fn only_who_may_read_the_node_or_its_parent_is_told() {
    let mut rig = Rig::new(3);
    let shared = "/local/domain/1/data/s";
    assert_answer(rig.write(0, "data/s/a", "x"), OK);
    assert_answer(rig.set_perms(0, "data/s", "n1|r2"), OK);
    for guest in [1, 2] {
        assert_answer(rig.watch(guest, shared, "t"), OK);
        assert_eq!(rig.events(guest), Vec::<String>::new());
    }
    rig.write(0, "data/s/a", "y").unwrap();
    assert_eq!(
        rig.events(1),
        [format!("{shared}/a|t|")],
        "it may read the parent"
    );
    assert!(rig.events(2).is_empty());
    rig.write(0, "data/s/a/b", "y").unwrap();
    assert!(rig.events(1).is_empty());
    // Who loses the right hears of that.
    rig.set_perms(0, "data/s", "n1").unwrap();
    assert_eq!(rig.events(1), [format!("{shared}|t|")]);
    rig.write(0, "data/s", "z").unwrap();
    assert!(rig.events(1).is_empty());
}

#[test]
fn a_transactions_events_come_when_it_is_committed_once_for_each_node() {
    let mut rig = watching(&["data"]);
    let tx = rig.start(0);
    for (path, value) in [("data/a", "1"), ("data/b/c", "2"), ("data/a", "3")] {
        assert_answer(rig.write_in(0, tx, path, value), OK);
    }
    assert!(rig.events(0).is_empty());
    let (answer, events) = rig.exchange(0, kind::TRANSACTION_END, tx, b"T\0");
    assert_eq!(answer.text(), "OK|");
    let events: Vec<_> = events.iter().map(common::Message::text).collect();
    assert_eq!(events, ["data/a|t|", "data/b/c|t|"]);
    let tx = rig.start(0);
    rig.write_in(0, tx, "data/a", "4").unwrap();
    rig.ask(0, kind::RM, tx, b"data/b\0").unwrap();
    assert_answer(rig.finish(0, tx, false), OK);
    assert!(rig.events(0).is_empty());
    let tx = rig.start(0);
    rig.ask(0, kind::RM, tx, b"data/b\0").unwrap();
    let (_, events) = rig.exchange(0, kind::TRANSACTION_END, tx, b"T\0");
    let events: Vec<_> = events.iter().map(common::Message::text).collect();
    assert_eq!(events, ["data/b|t|"]);
}

#[test]
fn the_end_of_a_domain_is_told() {
    let mut rig = Rig::new(3);
    for (path, token) in [("@releaseDomain", "all"), ("@introduceDomain", "hidden")] {
        assert_answer(rig.watch(0, path, token), OK);
    }
    assert_answer(
        rig.ask(0, kind::WATCH, 0, b"@releaseDomain\0one\x001\0"),
        OK,
    );
    assert!(rig.events(0).is_empty());
    rig.end(1);
    assert_eq!(
        rig.events(0),
        ["@releaseDomain|all|", "@releaseDomain/2|one|"]
    );
    rig.connect(1);
    assert!(rig.events(0).is_empty());
    // Any name may be watched that begins so; nothing ever happens to it.
    assert_answer(rig.watch(0, "@whatever", "t"), OK);
}
