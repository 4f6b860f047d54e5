//! The server between VMMs and a device in memory.

mod common;

use block_server::Notice;
use block_server_api::{Op, Part, Presence, Status, VolumeSpec};
use common::{Rig, SECTORS, request};

fn whole(device: usize) -> VolumeSpec {
    VolumeSpec {
        device,
        part: Part::Whole,
        read_only: false,
    }
}

fn label(name: &str, read_only: bool) -> VolumeSpec {
    VolumeSpec {
        device: 0,
        part: Part::Label(name.try_into().unwrap()),
        read_only,
    }
}

fn number(number: u32) -> VolumeSpec {
    VolumeSpec {
        part: Part::Number(number),
        ..whole(0)
    }
}

#[test]
fn what_is_written_is_read_again_within_the_partition() {
    let mut rig = Rig::partitioned(&[(2048, 4095, "root"), (4096, 6143, "data")]);
    rig.add(0, vec![label("data", false)]);
    rig.run();
    assert_eq!(rig.info(0, 0).sectors, 2048);
    rig.fill(0, 0, 512, 0xa5);
    assert_eq!(rig.ask(0, request(Op::Write, 0, 10, 1)), Status::Done);
    assert_eq!(rig.device.byte((4096 + 10) * 512), 0xa5);
    rig.fill(0, 0, 512, 0);
    assert_eq!(rig.ask(0, request(Op::Read, 0, 10, 1)), Status::Done);
    assert_eq!(rig.byte(0, 511), 0xa5);
}

#[test]
fn nothing_outside_the_partition_is_reached() {
    let mut rig = Rig::partitioned(&[(2048, 4095, "root")]);
    rig.add(0, vec![label("root", false)]);
    rig.run();
    let before = rig.device.commands;
    for (sector, count) in [(2047, 2), (2048, 1), (u64::MAX - 1, 1), (1 << 54, 1)] {
        let asked = request(Op::Write, 0, sector, count);
        assert_eq!(rig.ask(0, asked), Status::Invalid, "{sector}");
    }
    assert_eq!(rig.device.commands, before);
    // Another disk than it has.
    assert_eq!(rig.ask(0, request(Op::Read, 1, 0, 1)), Status::Gone);
    // The last sector is its own.
    assert_eq!(rig.ask(0, request(Op::Read, 0, 2047, 1)), Status::Done);
}

#[test]
fn a_read_only_disk_is_not_changed() {
    let mut rig = Rig::partitioned(&[(2048, 4095, "root")]);
    rig.add(0, vec![label("root", true)]);
    rig.run();
    assert!(rig.info(0, 0).read_only);
    assert_eq!(rig.ask(0, request(Op::Write, 0, 0, 1)), Status::ReadOnly);
    assert_eq!(rig.ask(0, request(Op::Discard, 0, 0, 1)), Status::ReadOnly);
    assert_eq!(rig.ask(0, request(Op::Read, 0, 0, 1)), Status::Done);
}

#[test]
fn two_writers_of_one_partition_are_refused_by_name() {
    // One by its label, the other by its number, which only the table shows to be the same.
    let mut rig = Rig::partitioned(&[(2048, 4095, "root"), (4096, 6143, "data")]);
    rig.add(0, vec![label("root", false), label("data", true)]);
    rig.add(1, vec![number(1), label("data", true)]);
    rig.add(2, vec![whole(0)]);
    rig.run();
    assert_eq!(rig.presence(0, 0), Presence::Present);
    assert_eq!(rig.presence(1, 0), Presence::Absent);
    assert_eq!(rig.presence(1, 1), Presence::Present);
    assert_eq!(rig.presence(2, 0), Presence::Absent);
    let (guest, disk, other) = (1, 0, 0);
    assert!(rig.notices.contains(&Notice::Shared { guest, disk, other }));
    let (guest, disk, other) = (2, 0, 0);
    assert!(rig.notices.contains(&Notice::Shared { guest, disk, other }));
    assert_eq!(rig.ask(1, request(Op::Read, 0, 0, 1)), Status::Gone);
}

#[test]
fn a_disk_without_a_table_has_no_partitions() {
    let mut rig = Rig::blank();
    rig.add(0, vec![label("root", false)]);
    rig.add(1, vec![whole(0)]);
    rig.run();
    assert_eq!(rig.presence(0, 0), Presence::Absent);
    assert_eq!(rig.presence(1, 0), Presence::Present);
    assert!(matches!(rig.notices[0], Notice::NoTable { device: 0, .. }));
    let (guest, disk) = (0, 0);
    assert!(rig.notices.contains(&Notice::NoPart { guest, disk }));
}

#[test]
fn flush_and_discard_reach_the_device() {
    let mut rig = Rig::blank();
    rig.add(0, vec![whole(0)]);
    rig.run();
    assert_eq!(rig.ask(0, request(Op::Flush, 0, 0, 0)), Status::Done);
    assert_eq!(rig.device.flushes, 1);
    assert_eq!(rig.ask(0, request(Op::Discard, 0, 8, 16)), Status::Done);
    assert_eq!(rig.device.discarded, vec![(8, 16)]);
}

#[test]
fn an_error_of_the_device_is_told_to_whoever_asked() {
    let mut rig = Rig::blank();
    rig.add(0, vec![whole(0)]);
    rig.run();
    rig.device.bad = Some(77);
    assert_eq!(rig.ask(0, request(Op::Read, 0, 70, 10)), Status::Failed);
    assert_eq!(rig.ask(0, request(Op::Read, 0, 78, 10)), Status::Done);
}

#[test]
fn a_device_that_goes_leaves_nobody_waiting() {
    let mut rig = Rig::blank();
    rig.add(0, vec![whole(0)]);
    rig.run();
    rig.device.stuck = true;
    for n in 0..8 {
        rig.submit(0, request(Op::Read, 0, n, 1));
    }
    rig.turn();
    assert!(rig.answers(0).is_empty());
    rig.device.gone = true;
    let turn = rig.turn();
    assert_eq!(turn.notify, 1);
    let answers = rig.answers(0);
    assert_eq!(answers.len(), 8);
    assert!(answers.iter().all(|answer| answer.status == Status::Gone));
    assert_eq!(rig.presence(0, 0), Presence::Gone);
    assert_eq!(rig.ask(0, request(Op::Read, 0, 0, 1)), Status::Gone);
    assert!(rig.notices.contains(&Notice::Gone { device: 0 }));
    // What the device says later ends nothing.
    rig.device.stuck = false;
    rig.run();
    assert!(rig.answers(0).is_empty());
}

#[test]
fn answers_that_come_twice_or_from_nowhere_end_nothing() {
    let mut rig = Rig::blank();
    rig.add(0, vec![whole(0)]);
    rig.run();
    assert_eq!(rig.ask(0, request(Op::Read, 0, 0, 1)), Status::Done);
    let last = rig.device.last_tag;
    rig.device.stuck = true;
    rig.submit(0, request(Op::Read, 0, 1, 1));
    rig.turn();
    rig.device.forged = vec![last, last, 1 << 30, u32::MAX];
    rig.turn();
    assert!(rig.answers(0).is_empty());
    rig.device.stuck = false;
    rig.run();
    assert_eq!(rig.answers(0).len(), 1);
}

#[test]
fn requests_of_all_are_under_way_together() {
    let mut rig = Rig::blank();
    for guest in 0..4 {
        let part = VolumeSpec {
            read_only: true,
            ..whole(0)
        };
        rig.add(guest, vec![part]);
    }
    rig.run();
    rig.device.stuck = true;
    for guest in 0..4 {
        for n in 0..8 {
            rig.submit(guest, request(Op::Read, 0, n, 8));
        }
    }
    rig.turn();
    assert_eq!(rig.device.under_way(), 32);
}

#[test]
fn an_idle_server_has_nothing_to_do() {
    let mut rig = Rig::blank();
    rig.add(0, vec![whole(0)]);
    rig.run();
    for _ in 0..3 {
        let turn = rig.turn();
        assert!(!turn.more && turn.notify == 0, "{turn:?}");
    }
    assert_eq!(SECTORS, rig.info(0, 0).sectors);
}
