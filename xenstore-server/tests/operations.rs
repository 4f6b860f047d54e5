//! Every operation that a guest may ask for, and the answers to those that it may not.

mod common;

use common::{OK, Rig, assert_answer, nul};
use xen_abi::store::kind;

/// The nodes that `init-dom0less` of Xen 4.22 writes for a domain, below its directory.
const NODES: [(&str, &str); 30] = [
    ("vm", "/vm/00000000-0000-0000-0000-000000000001"),
    ("name", "linux1"),
    ("cpu", ""),
    ("cpu/0", ""),
    ("cpu/0/availability", "online"),
    ("memory", ""),
    ("memory/static-max", "131072"),
    ("memory/target", "131072"),
    ("memory/videoram", "-1"),
    ("device", ""),
    ("device/suspend", ""),
    ("device/suspend/event-channel", ""),
    ("control", ""),
    ("control/shutdown", ""),
    ("control/feature-poweroff", "1"),
    ("control/feature-reboot", "1"),
    ("control/feature-suspend", ""),
    ("control/sysrq", ""),
    ("control/platform-feature-multiprocessor-suspend", "1"),
    ("control/platform-feature-xs_reset_watches", "1"),
    ("domid", "1"),
    ("data", ""),
    ("drivers", ""),
    ("feature", ""),
    ("attr", ""),
    ("store/port", "1"),
    ("store/ring-ref", "233473"),
    ("control/shutdown", ""),
    ("domid", "1"),
    ("data", ""),
];

#[test]
fn a_guest_finds_its_nodes() {
    let mut rig = Rig::new(2);
    for (path, value) in NODES {
        assert_answer(rig.read(0, path), Ok(value));
        let absolute = format!("/local/domain/1/{path}");
        assert_answer(rig.read(0, &absolute), Ok(value));
        // Another guest does not hear whether they exist.
        assert_answer(rig.read(1, &absolute), Err("EACCES"));
        if !path.starts_with("store") && path != "cpu/0" {
            let perms = rig.ask(0, kind::GET_PERMS, 0, &nul(path));
            assert_answer(perms, Ok("n1|r0|"));
        }
    }
    assert_answer(rig.read(1, "name"), Ok("linux2"));
    assert_answer(
        rig.directory(0, "memory"),
        Ok("static-max|target|videoram|"),
    );
    // What is the toolstack's.
    for path in [
        "/",
        "/local",
        "/local/domain",
        "/local/domain/1",
        "/vm",
        "/libxl/1/type",
        "store",
        "/nothing",
    ] {
        assert_answer(rig.directory(0, path), Err("EACCES"));
    }
    assert_answer(rig.write(0, "foo", "x"), Err("EACCES"));
    assert_answer(rig.write(0, "device/foo", "x"), OK);
}

#[test]
fn values_are_written_and_read() {
    let mut rig = Rig::new(1);
    assert_answer(rig.write(0, "data/a", "one"), OK);
    assert_answer(rig.read(0, "data/a"), Ok("one"));
    assert_answer(rig.write(0, "data/a", ""), OK);
    assert_answer(rig.read(0, "data/a"), Ok(""));
    // Values are bytes, NULs among them, and have none at the end.
    assert_answer(rig.write(0, "data/a", "b\0c"), OK);
    assert_answer(rig.read(0, "data/a"), Ok("b|c"));
    for size in [1, 55, 56, 57, 111, 112, 113, 2000] {
        let value = "x".repeat(size);
        assert_answer(rig.write(0, "data/a", &value), OK);
        assert_answer(rig.read(0, "data/a"), Ok(&value));
    }
    // Parents come by themselves.
    assert_answer(rig.write(0, "data/x/y/z", "deep"), OK);
    assert_answer(rig.read(0, "data/x/y"), Ok(""));
    assert_answer(rig.directory(0, "data"), Ok("a|x|"));
    assert_answer(rig.directory(0, "data/x/y"), Ok("z|"));
    assert_answer(rig.directory(0, "data/x/y/z"), Ok(""));
    for (payload, error) in [
        (&b""[..], "EINVAL"),
        (b"data/a", "EINVAL"),
        (b"\0x", "EINVAL"),
    ] {
        assert_answer(rig.ask(0, kind::WRITE, 0, payload), Err(error));
    }
    for payload in [
        &b""[..],
        b"data/a",
        b"data/a\0b\0",
        b"data/a/\0",
        b"data//a\0",
        b"data/a b\0",
        b"@releaseDomain\0",
    ] {
        for kind in [kind::READ, kind::DIRECTORY, kind::MKDIR, kind::RM] {
            assert_answer(rig.ask(0, kind, 0, payload), Err("EINVAL"));
        }
    }
    assert_answer(rig.read(0, "data/b"), Err("ENOENT"));
    assert_answer(rig.directory(0, "data/b/c"), Err("ENOENT"));
}

#[test]
fn directories_are_made_and_removed() {
    let mut rig = Rig::new(1);
    let mkdir = |rig: &mut Rig, path: &str| rig.ask(0, kind::MKDIR, 0, &nul(path));
    assert_answer(mkdir(&mut rig, "data/d/e"), OK);
    assert_answer(rig.write(0, "data/d/e", "kept"), OK);
    assert_answer(mkdir(&mut rig, "data/d/e"), OK);
    assert_answer(rig.read(0, "data/d/e"), Ok("kept"));
    for name in ["one", "two", "three"] {
        assert_answer(rig.write(0, &format!("data/d/{name}"), ""), OK);
    }
    assert_answer(rig.directory(0, "data/d"), Ok("e|one|two|three|"));
    assert_answer(rig.rm(0, "data/d/one"), OK);
    assert_answer(rig.directory(0, "data/d"), Ok("e|two|three|"));
    assert_answer(rig.rm(0, "data/d/three"), OK);
    assert_answer(rig.rm(0, "data/d/e"), OK);
    assert_answer(rig.directory(0, "data/d"), Ok("two|"));
    // One that is not there is fine where its parent is.
    assert_answer(rig.rm(0, "data/d/none"), OK);
    assert_answer(rig.rm(0, "data/none/none"), Err("ENOENT"));
    assert_answer(rig.rm(0, "data/d"), OK);
    assert_answer(rig.read(0, "data/d/two"), Err("ENOENT"));
    assert_answer(rig.directory(0, "data"), Ok(""));
    assert_answer(rig.rm(0, "/"), Err("EACCES"));
    assert_answer(rig.rm(0, "/local/domain/1"), Err("EACCES"));
    // Its own nodes may go, too.
    assert_answer(rig.rm(0, "device"), OK);
    assert_answer(rig.read(0, "device/suspend"), Err("EACCES"));
}

#[test]
fn long_directories_come_in_parts() {
    let mut rig = Rig::new(1);
    let part = |rig: &mut Rig, path: &str, offset: &str| {
        let answer = rig.ask(
            0,
            kind::DIRECTORY_PART,
            0,
            format!("{path}\0{offset}\0").as_bytes(),
        )?;
        let (generation, rest) = answer.split_once('|').expect("a NUL");
        generation.parse::<u64>().expect("a number");
        Ok::<_, String>((generation.to_owned(), rest.to_owned()))
    };
    let names: Vec<_> = (0..300).map(|n| format!("n{n:03}")).collect();
    for name in &names {
        assert_answer(rig.write(0, &format!("data/{name}"), ""), OK);
    }
    let all = names.join("|") + "|";
    let (generation, first) = part(&mut rig, "data", "0").unwrap();
    assert_eq!(first, all.clone() + "|");
    for (offset, rest) in [("5", &all[5..]), ("1495", &all[1495..]), ("7", &all[7..])] {
        let got = part(&mut rig, "data", offset).unwrap();
        assert_eq!(got, (generation.clone(), rest.to_owned() + "|"));
    }
    for offset in ["1500", "9999", "-1"] {
        assert_eq!(part(&mut rig, "data", offset).unwrap().1, "|");
    }
    assert_answer(rig.write(0, "data/more", ""), OK);
    assert_ne!(part(&mut rig, "data", "0").unwrap().0, generation);
    assert_eq!(part(&mut rig, "data/none", "0"), Err("ENOENT".to_owned()));
    for payload in [&b"data\0"[..], b"data\x000\0x\0", b""] {
        assert_answer(rig.ask(0, kind::DIRECTORY_PART, 0, payload), Err("EINVAL"));
    }
}

#[test]
fn what_only_a_toolstack_may_is_refused() {
    let mut rig = Rig::new(1);
    for kind in [0, 8, 9, 17, 18, 19, 24, 25, 26] {
        assert_answer(rig.ask(0, kind, 0, b"1\0"), Err("EACCES"));
        assert_answer(rig.ask(0, kind, 77, b""), Err("EACCES"));
    }
    for kind in [15, 16, 20, 27, 28, 1000, u32::MAX] {
        assert_answer(rig.ask(0, kind, 0, b""), Err("ENOSYS"));
        assert_answer(rig.ask(0, kind, 77, b""), Err("ENOSYS"));
    }
    assert_answer(rig.ask(0, kind::GET_FEATURE, 0, b""), Ok("15|"));
    assert_answer(rig.ask(0, kind::GET_FEATURE, 0, b"1\0"), Err("EACCES"));
}

#[test]
fn directories_of_domains_are_told() {
    let mut rig = Rig::new(1);
    let path = |rig: &mut Rig, payload: &[u8]| rig.ask(0, kind::GET_DOMAIN_PATH, 0, payload);
    assert_answer(path(&mut rig, b"7\0"), Ok("/local/domain/7|"));
    assert_answer(path(&mut rig, b"32752\0"), Ok("/local/domain/32752|"));
    for payload in [&b"7"[..], b"", b"x\0", b"70000\0", b"7\x008\0"] {
        assert_answer(path(&mut rig, payload), Err("EINVAL"));
    }
}

#[test]
fn a_payload_may_be_as_long_as_can_be() {
    let mut rig = Rig::new(1);
    let mut payload = nul("data/a");
    payload.resize(4096, b'x');
    assert_answer(rig.ask(0, kind::WRITE, 0, &payload), Err("ENOSPC"));
    assert_answer(rig.ask(0, kind::READ, 0, &[b'x'; 4096]), Err("EINVAL"));
    assert_answer(rig.read(0, "domid"), Ok("1"));
}
