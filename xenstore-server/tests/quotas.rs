//! Every quota, at its edge: the numbers of C xenstored are the first that are refused.

mod common;

use common::{OK, Rig, assert_answer, nul};
use xen_abi::store::kind;

/// Nodes that a guest owns from the beginning: all below its directory but `store`, which holds two
/// of them.
const OWNED: usize = 27;

/// The `n`th of many nodes: a directory cannot hold all their names.
fn nth(n: usize) -> String {
    format!("data/{}/{n}", n / 200)
}

/// Makes nodes until the guest owns `count`; how many there are of [`nth`].
fn fill(rig: &mut Rig, count: usize, value: &str) -> usize {
    let mut owned = OWNED;
    for n in 0.. {
        owned += 1 + usize::from(n % 200 == 0);
        if owned > count {
            return n;
        }
        assert_answer(rig.write(0, &nth(n), value), OK);
    }
    unreachable!()
}

#[test]
fn nodes() {
    let mut rig = Rig::new(2);
    fill(&mut rig, 999, "");
    assert_answer(rig.write(0, "data/one-more", ""), Err("ENOSPC"));
    assert_answer(
        rig.ask(0, kind::MKDIR, 0, b"data/one-more\0"),
        Err("ENOSPC"),
    );
    // Those that there are may change, and another guest is not concerned.
    assert_answer(rig.write(0, &nth(500), "x"), OK);
    assert_answer(rig.write(1, "data/one", "x"), OK);
    assert_answer(rig.rm(0, &nth(500)), OK);
    assert_answer(rig.write(0, "data/one-more", ""), OK);
    assert_answer(rig.rm(0, "data"), OK);
    for n in 0..100 {
        assert_answer(rig.write(0, &format!("device/{n}"), ""), OK);
    }
}

#[test]
fn nodes_of_a_transaction_count_when_it_ends() {
    let mut rig = Rig::new(1);
    fill(&mut rig, 990, "");
    for (more, answer) in [(10, Err("ENOSPC")), (9, OK)] {
        let tx = rig.start(0);
        for n in 0..more {
            assert_answer(rig.write_in(0, tx, &format!("data/new{n}"), ""), OK);
        }
        assert_answer(rig.finish(0, tx, true), answer);
    }
    // Exchanging is possible.
    let tx = rig.start(0);
    rig.ask(0, kind::RM, tx, b"data/new0\0").unwrap();
    assert_answer(rig.write_in(0, tx, "data/other", ""), Err("ENOSPC"));
    assert_answer(rig.finish(0, tx, true), OK);
}

#[test]
fn size_of_a_node() {
    let mut rig = Rig::new(1);
    rig.write(0, "data/a", "").unwrap();
    // A header of 16 bytes and 8 for each permission.
    let value = "x".repeat(2047 - 16 - 2 * 8);
    assert_answer(rig.write(0, "data/a", &value), OK);
    assert_answer(
        rig.write(0, "data/a", &(value.clone() + "x")),
        Err("ENOSPC"),
    );
    assert_answer(
        rig.write(0, "data/b", &(value.clone() + "x")),
        Err("ENOSPC"),
    );
    assert_answer(rig.set_perms(0, "data/a", "n1|r0|r0"), Err("ENOSPC"));
    assert_answer(rig.read(0, "data/a"), Ok(&value));
    // Names of children count with their NULs.
    assert_answer(rig.write(0, "data/a/b", ""), Err("ENOSPC"));
    assert_answer(rig.write(0, "data/a", &value[2..]), OK);
    assert_answer(rig.write(0, "data/a/b", ""), OK);
    assert_answer(rig.write(0, "data/a/c", ""), Err("ENOSPC"));
    // The children of a guest's directory.
    let mut made = 0;
    while rig.write(0, &format!("data/c/{made:07}"), "").is_ok() {
        made += 1;
    }
    assert_eq!(made, (2047 - 16 - 16) / 8);
    // What failed in a transaction cannot be committed.
    let tx = rig.start(0);
    let too_long = value + "x";
    assert_answer(rig.write_in(0, tx, "data/a", &too_long), Err("ENOSPC"));
    assert_answer(rig.finish(0, tx, true), Err("ENOMEM"));
}

#[test]
fn watches() {
    let mut rig = Rig::new(2);
    for n in 0..127 {
        assert_answer(rig.watch(0, "data", &n.to_string()), OK);
    }
    assert_answer(rig.watch(0, "data", "127"), Err("ENOSPC"));
    assert_answer(rig.watch(0, "data", "1"), Err("EEXIST"));
    assert_answer(rig.watch(1, "data", "1"), OK);
    assert_answer(rig.ask(0, kind::UNWATCH, 0, b"data\x0064\0"), OK);
    assert_answer(rig.watch(0, "data", "127"), OK);
}

#[test]
fn transactions() {
    let mut rig = Rig::new(2);
    let open: Vec<_> = (0..9).map(|_| rig.start(0)).collect();
    assert_eq!(open, (1..10).collect::<Vec<_>>());
    let start = rig.ask(0, kind::TRANSACTION_START, 0, b"\0");
    assert_answer(start, Err("ENOSPC"));
    assert_eq!(rig.start(1), 1);
    assert_answer(rig.finish(0, 5, false), OK);
    assert_eq!(rig.start(0), 10);
}

#[test]
fn nodes_in_a_transaction() {
    let mut rig = Rig::new(1);
    let tx = rig.start(0);
    // Each that is missing, and the one above all.
    for n in 0..1022 {
        let got = rig.ask(0, kind::READ, tx, &nul(&format!("data/{n}")));
        assert_answer(got, Err("ENOENT"));
    }
    let got = rig.ask(0, kind::READ, tx, b"data/more\0");
    assert_answer(got, Err("ENOSPC"));
    assert_answer(rig.ask(0, kind::READ, tx, b"data\0"), Ok(""));
    assert_answer(rig.finish(0, tx, true), Err("ENOMEM"));
}

#[test]
fn permissions_of_a_node() {
    let mut rig = Rig::new(1);
    assert_answer(rig.set_perms(0, "data", "n1|r0|r0|r0"), OK);
    assert_answer(rig.set_perms(0, "data", "n1|r0|r0|r0|r0"), Err("ENOSPC"));
}

#[test]
fn length_of_a_path() {
    let mut rig = Rig::new(1);
    let path = |len: usize| {
        let path = "data/".to_owned() + &"x".repeat(len - 5);
        assert_eq!(path.len(), len);
        path
    };
    assert_answer(rig.read(0, &path(2047)), Err("ENOENT"));
    assert_answer(rig.read(0, &path(2048)), Err("EINVAL"));
    assert_answer(rig.watch(0, &path(2047), "t"), OK);
    assert_answer(rig.watch(0, &path(2048), "t"), Err("EINVAL"));
    // As deep as can be.
    let deep = "data".to_owned() + &"/x".repeat(400);
    assert_answer(rig.write(0, &deep, "deep"), OK);
    assert_answer(rig.read(0, &deep), Ok("deep"));
    assert_answer(rig.rm(0, "data/x"), OK);
    assert_answer(rig.directory(0, "data"), Ok(""));
}

#[test]
fn memory() {
    let mut rig = Rig::new(2);
    let value = "x".repeat(2000);
    let before = rig.server.used(0);
    let count = fill(&mut rig, 900, &value);
    // What transactions have copied counts too.
    let mut full = 0;
    'all: for _ in 0..9 {
        let tx = rig.start(0);
        for n in 0..count {
            let got = rig.ask(0, kind::READ, tx, &nul(&nth(n)));
            if got == Err("ENOMEM".to_owned()) {
                full = tx;
                break 'all;
            }
            assert_answer(got, Ok(&value));
        }
    }
    assert_ne!(full, 0, "nine times as much is too much");
    assert!(rig.server.used(0) <= xenstore_server_api::quota::MEMORY as usize);
    assert_answer(rig.write(0, "data/more", &value), Err("EIO"));
    assert_answer(rig.watch(0, "data", &value), Err("ENOMEM"));
    // It can still read what it has, and another can do everything.
    assert_answer(rig.read(0, &nth(0)), Ok(&value));
    assert_answer(rig.write(1, "data/more", &value), OK);
    for tx in 1..=full {
        assert_answer(rig.finish(0, tx, false), OK);
    }
    assert_answer(rig.write(0, "data/more", &value), OK);
    rig.rm(0, "data").unwrap();
    assert!(rig.server.used(0) < before);
    rig.end(0);
    assert_eq!(rig.server.used(0), 0);
}
