//! Pairs of directories for devices, and what the back ends of a guest may do with them.

mod common;

use common::{OK, Rig, assert_answer};
use xen_abi::store::{HEADER, kind};
use xenstore_server_api::{
    BackendStore as _, Devices, Disk, Node, RING_SIZE, Request, StorePort as _, Wish, quota,
};

const FRONT: &str = "/local/domain/1/device/vbd/51712";
const BACK: &str = "/local/domain/0/backend/vbd/1/51712";

fn devices() -> Devices {
    let mut devices = Devices::new();
    let disk = |number| Disk {
        number,
        params: "a disk",
        is_read_only: number == 1,
        can_discard: false,
    };
    devices.add_disk(&disk(0)).unwrap();
    devices.add_disk(&disk(1)).unwrap();
    let mac = Node {
        is_back: false,
        name: "mac",
        value: "00:16:3e:01:02:03",
    };
    devices.add("vif", 0, &[mac]).unwrap();
    devices
}

fn rig(count: usize) -> Rig {
    Rig::with_devices(count, &devices())
}

#[test]
fn a_guest_finds_both_directories() {
    let mut rig = rig(2);
    assert_answer(rig.directory(0, "device"), Ok("suspend|vbd|vif|"));
    assert_answer(rig.directory(0, "device/vbd"), Ok("51712|51728|"));
    let perms =
        |rig: &mut Rig, path: &str| rig.ask(0, kind::GET_PERMS, 0, format!("{path}\0").as_bytes());
    for (end, own, nodes) in [
        (
            FRONT,
            "n1|r0|",
            &[
                ("backend", BACK),
                ("backend-id", "0"),
                ("state", "1"),
                ("virtual-device", "51712"),
                ("device-type", "disk"),
            ][..],
        ),
        (
            BACK,
            "n0|r1|",
            &[
                ("frontend", FRONT),
                ("frontend-id", "1"),
                ("state", "1"),
                ("online", "1"),
                ("dev", "xvda"),
                ("mode", "w"),
                ("params", "a disk"),
            ],
        ),
    ] {
        assert_answer(perms(&mut rig, end), Ok(own));
        for (name, value) in nodes {
            let path = format!("{end}/{name}");
            assert_answer(rig.read(0, &path), Ok(value));
            assert_answer(perms(&mut rig, &path), Ok(own));
        }
    }
    assert_answer(
        rig.read(
            1,
            &BACK
                .replace("vbd/1", "vbd/2")
                .replace("51712", "51728/mode"),
        ),
        Ok("r"),
    );
    assert_answer(rig.read(0, "device/vif/0/mac"), Ok("00:16:3e:01:02:03"));
    // The guest may change its own and nothing of the other's.
    assert_answer(rig.write(0, "device/vbd/51712/state", "3"), OK);
    assert_answer(rig.write(0, &format!("{BACK}/state"), "4"), Err("EACCES"));
    assert_answer(rig.write(0, &format!("{BACK}/new"), "4"), Err("EACCES"));
    assert_answer(rig.rm(0, BACK), Err("EACCES"));
    assert_answer(rig.set_perms(0, BACK, "b0|r1"), Err("EACCES"));
    assert_answer(rig.read(1, &format!("{BACK}/state")), Err("EACCES"));
    assert_answer(rig.directory(0, "/local/domain/0/backend"), Err("EACCES"));
}

#[test]
fn both_ends_tell_each_other_of_their_states() {
    let mut rig = rig(1);
    let state = format!("{FRONT}/state");
    assert_answer(
        rig.back_ask(0, kind::WATCH, 0, &format!("{state}|front|")),
        OK,
    );
    assert_answer(rig.watch(0, &format!("{BACK}/state"), "back"), OK);
    rig.events(0);
    assert_answer(
        rig.back_ask(0, kind::WRITE, 0, "backend/vbd/1/51712/state|2"),
        OK,
    );
    assert_eq!(rig.events(0), [format!("{BACK}/state|back|")]);
    assert_answer(rig.write(0, "device/vbd/51712/ring-ref", "8"), OK);
    assert_answer(rig.write(0, "device/vbd/51712/state", "3"), OK);
    let heard = rig.hear(0);
    let texts: Vec<_> = heard.iter().map(common::Message::text).collect();
    assert_eq!(texts, [format!("{state}|front|")]);
    assert_answer(
        rig.back_ask(0, kind::READ, 0, &format!("{FRONT}/ring-ref|")),
        Ok("8"),
    );
    // Several nodes at once.
    let tx = rig.back_ask(0, kind::TRANSACTION_START, 0, "|").unwrap();
    let tx = tx.trim_end_matches('|').parse().unwrap();
    for (name, value) in [("sectors", "1000"), ("sector-size", "512")] {
        assert_answer(
            rig.back_ask(0, kind::WRITE, tx, &format!("{BACK}/{name}|{value}")),
            OK,
        );
    }
    assert_answer(rig.read(0, &format!("{BACK}/sectors")), Err("ENOENT"));
    assert_answer(rig.back_ask(0, kind::TRANSACTION_END, tx, "T|"), OK);
    assert_answer(rig.read(0, &format!("{BACK}/sectors")), Ok("1000"));
}

#[test]
fn back_ends_reach_the_devices_of_their_guest_alone() {
    let mut rig = rig(2);
    for path in [
        "/",
        "/local/domain/1",
        "/local/domain/1/name",
        "/local/domain/1/device/vbd",
        "/local/domain/2/device/vbd/51712/state",
        "/local/domain/0/backend/vbd/2/51712/state",
        "/local/domain/0/backend/vbd/1",
        "/tool/xenstored",
        "name",
        "@releaseDomain",
    ] {
        for kind in [kind::READ, kind::DIRECTORY, kind::RM, kind::GET_PERMS] {
            let refused = if path.starts_with('@') && kind != kind::GET_PERMS {
                "EINVAL"
            } else {
                "EACCES"
            };
            assert_answer(rig.back_ask(0, kind, 0, &format!("{path}|")), Err(refused));
        }
        assert_answer(
            rig.back_ask(0, kind::WATCH, 0, &format!("{path}|t|")),
            Err("EACCES"),
        );
        if !path.starts_with('@') {
            assert_answer(
                rig.back_ask(0, kind::WRITE, 0, &format!("{path}|x")),
                Err("EACCES"),
            );
        }
    }
    // Not even a directory that is theirs, nor one that is not there.
    for path in [FRONT, BACK] {
        assert_answer(
            rig.back_ask(0, kind::RM, 0, &format!("{path}|")),
            Err("EACCES"),
        );
        let perms = format!("{path}|b1|");
        assert_answer(rig.back_ask(0, kind::SET_PERMS, 0, &perms), Err("EACCES"));
    }
    let other = "backend/vbd/1/7/state|1";
    assert_answer(rig.back_ask(0, kind::WRITE, 0, other), Err("ENOENT"));
    assert_answer(
        rig.back_ask(0, kind::MKDIR, 0, "backend/x/1/y|"),
        Err("ENOENT"),
    );
    assert_answer(rig.back_ask(0, kind::INTRODUCE, 0, "1|1|1|"), Err("EACCES"));
}

#[test]
fn pairs_go_with_a_life_and_come_with_the_next() {
    let mut rig = rig(2);
    let connected = format!("{BACK}/state|4");
    assert_answer(rig.back_ask(0, kind::WRITE, 0, &connected), OK);
    assert_answer(
        rig.back_ask(0, kind::WRITE, 0, &format!("{BACK}/sectors|8")),
        OK,
    );
    let watch = format!("{FRONT}/state|t|");
    assert_answer(rig.back_ask(0, kind::WATCH, 0, &watch), OK);
    let used = rig.server.used_by_back_ends(0);
    assert_ne!(used, 0);
    // A fresh connection of the guest changes nothing for its back ends.
    rig.guests[0].client.again();
    rig.settle();
    assert!(rig.guests[0].client.is_ready());
    assert_answer(rig.back_ask(0, kind::WATCH, 0, &watch), Err("EEXIST"));
    assert_answer(rig.read(0, &format!("{BACK}/state")), Ok("4"));
    rig.end(0);
    assert_eq!(rig.server.used_by_back_ends(0), 0, "nothing is left");
    assert!(rig.server.used_by_back_ends(1) > 0);
    let life = rig.guests[0].life;
    rig.wish(
        0,
        Wish::Connect {
            life,
            port: 1,
            gfn: 1,
        },
    );
    assert!(rig.guests[0].client.is_ready());
    assert_answer(rig.read(0, &format!("{BACK}/state")), Ok("1"));
    assert_answer(rig.read(0, &format!("{BACK}/sectors")), Err("ENOENT"));
    assert_answer(rig.back_ask(0, kind::WATCH, 0, &watch), OK);
}

#[test]
fn a_guest_with_all_disks_and_others_fit() {
    let mut devices = Devices::new();
    for number in 0..16 {
        let disk = Disk {
            number,
            params: "x",
            is_read_only: false,
            can_discard: true,
        };
        if devices.add_disk(&disk).is_err() {
            break;
        }
    }
    let count = devices.iter().count();
    assert!(count >= 8, "{count}");
    let mut rig = Rig::with_devices(8, &devices);
    for guest in 0..8 {
        let dirs = rig.directory(guest, "device/vbd").unwrap();
        assert_eq!(dirs.split_terminator('|').count(), count);
    }
}

#[test]
fn greedy_back_ends_use_up_what_is_theirs() {
    let mut rig = rig(2);
    let before = rig.server.used_by_back_ends(1);
    let value = "x".repeat(1900);
    let full = (0..).find_map(|n| {
        let node = format!("{BACK}/{n}|{value}");
        rig.back_ask(0, kind::WRITE, 0, &node).err()
    });
    assert_eq!(full.as_deref(), Some("EIO"));
    assert!(rig.server.used_by_back_ends(0) <= quota::BACK_MEMORY as usize);
    // Neither their guest nor anybody else's back ends notice; and what they ask is answered.
    assert_answer(rig.write(0, "data/a", &value), OK);
    let other = BACK.replace("vbd/1", "vbd/2");
    assert_answer(
        rig.back_ask(1, kind::WRITE, 0, &format!("{other}/a|{value}")),
        OK,
    );
    assert_eq!(
        rig.back_ask(0, kind::READ, 0, &format!("{BACK}/0|"))
            .unwrap()
            .len(),
        512,
        "cut"
    );
    assert!(rig.server.used_by_back_ends(1) > before);
}

#[test]
fn back_ends_that_hear_nothing_delay_themselves_alone() {
    let mut rig = rig(1);
    let path = format!("{BACK}/state\0");
    let read = Request {
        kind: kind::READ,
        id: 1,
        tx: 0,
        payload: &[path.as_bytes()],
    };
    let mut asked = 0;
    while rig.guests[0].client.ask(read) {
        asked += 1;
        rig.settle();
        assert!(asked < 10_000, "its rings fill");
    }
    assert_answer(rig.read(0, "domid"), Ok("1"));
    assert_eq!(rig.hear(0).len(), asked);
    assert!(rig.guests[0].client.ask(read));
    // More than a ring holds is no request.
    let long = [0; RING_SIZE - HEADER + 1];
    let request = Request {
        payload: &[&long],
        ..read
    };
    assert!(!rig.guests[0].client.ask(request));
}
