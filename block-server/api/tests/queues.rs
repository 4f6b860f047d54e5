//! The two ends as their users see them.
#![allow(clippy::cast_possible_truncation, reason = "test data")]

use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, Ordering};

use block_server_api::{
    Answer, Client, DATA_SIZE, DiskInfo, DiskPort, HEADER_SIZE, MAX_DISKS, Op, Presence, QUEUE_LEN,
    Refused, Region, Request, SECTOR, ServerEnd, Status,
};
use guest_mem::VecWindow;
use proptest::prelude::*;

fn memory() -> Vec<AtomicU32> {
    (0..HEADER_SIZE / 4).map(|_| AtomicU32::new(0)).collect()
}

fn ends<'a, F: FnMut()>(
    memory: &'a [AtomicU32],
    notify: F,
) -> (Client<'a, VecWindow, F>, ServerEnd<'a>) {
    let region = Region::new(memory).unwrap();
    (
        region.client(VecWindow::new(), notify).unwrap(),
        region.server().unwrap(),
    )
}

fn read(id: u32) -> Request {
    Request {
        id,
        disk: 3,
        op: Op::Read,
        offset: 4096,
        sector: 1 << 40 | 5,
        count: 8,
    }
}

const fn done(id: u32) -> Answer {
    Answer {
        id,
        status: Status::Done,
    }
}

#[test]
fn requests_and_answers_arrive_as_they_were_sent() {
    let memory = memory();
    let (mut client, mut server) = ends(&memory, || {});
    let flush = Request {
        id: u32::MAX,
        disk: 7,
        op: Op::Flush,
        offset: 0,
        sector: 0,
        count: 0,
    };
    assert!(client.submit(&read(1)) && client.submit(&flush));
    assert_eq!(server.take(), Some(Ok(read(1))));
    assert_eq!(server.take(), Some(Ok(flush)));
    assert_eq!(server.take(), None);
    assert_eq!(server.open(), 2);
    for status in [
        Status::Done,
        Status::Failed,
        Status::Invalid,
        Status::ReadOnly,
        Status::Unsupported,
        Status::Gone,
    ] {
        let answer = Answer { id: 9, status };
        server.answer(answer);
        assert_eq!(client.take(), Some(answer));
    }
    assert_eq!(client.take(), None);
}

#[test]
fn a_side_is_notified_only_when_it_may_sleep() {
    let memory = memory();
    let kicks = Cell::new(0);
    let (mut client, mut server) = ends(&memory, || kicks.set(kicks.get() + 1));
    client.kick();
    assert_eq!(kicks.get(), 0, "there is nothing");
    for id in 0..5 {
        assert!(client.submit(&read(id)));
    }
    client.kick();
    client.kick();
    assert!(client.submit(&read(5)));
    client.kick();
    assert_eq!(kicks.get(), 1, "the server has taken none of them");
    while server.take().is_some() {}
    assert!(client.submit(&read(6)));
    client.kick();
    assert_eq!(kicks.get(), 2);

    assert!(!server.take_notify());
    server.answer(done(0));
    server.answer(done(1));
    assert!(server.take_notify() && !server.take_notify());
    server.answer(done(2));
    assert!(!server.take_notify());
    while client.take().is_some() {}
    server.answer(done(3));
    assert!(server.take_notify());
}

#[test]
fn a_request_without_sense_is_taken_and_refused() {
    let memory = memory();
    let (mut client, mut server) = ends(&memory, || {});
    let end = DATA_SIZE - 8 * SECTOR;
    for (request, sound) in [
        (read(0), true),
        (
            Request {
                disk: MAX_DISKS as u8,
                ..read(1)
            },
            false,
        ),
        (
            Request {
                offset: 1,
                ..read(2)
            },
            false,
        ),
        (
            Request {
                offset: end,
                ..read(3)
            },
            true,
        ),
        (
            Request {
                offset: end + SECTOR,
                ..read(4)
            },
            false,
        ),
        (
            Request {
                offset: !511,
                ..read(5)
            },
            false,
        ),
        (
            Request {
                count: u32::MAX,
                ..read(6)
            },
            false,
        ),
        (
            Request {
                count: 0,
                ..read(7)
            },
            false,
        ),
        (
            Request {
                sector: u64::MAX,
                ..read(8)
            },
            false,
        ),
        (
            Request {
                op: Op::Flush,
                ..read(9)
            },
            false,
        ),
        // It moves no data, so its length is the disk's business.
        (
            Request {
                op: Op::Discard,
                count: u32::MAX,
                ..read(10)
            },
            true,
        ),
    ] {
        assert!(client.submit(&request));
        let expected = if sound {
            Ok(request)
        } else {
            Err(Refused { id: request.id })
        };
        assert_eq!(server.take(), Some(expected));
        server.answer(done(request.id));
        assert_eq!(client.take(), Some(done(request.id)));
    }
    // An operation that there is not.
    assert!(client.submit(&read(11)));
    memory[1024 + 11 * 8].store(3, Ordering::Relaxed);
    assert_eq!(server.take(), Some(Err(Refused { id: 11 })));
}

#[test]
fn a_disk_is_seen_when_it_is_there_and_makes_sense() {
    let memory = memory();
    let (client, mut server) = ends(&memory, || {});
    let disk = DiskInfo {
        sectors: 1 << 33,
        sector_size: 4096,
        physical_size: 8192,
        read_only: true,
        flush: true,
        discard: true,
        discard_granularity: 1 << 20,
    };
    assert_eq!(
        (client.presence(2), client.info(2)),
        (Presence::Absent, None)
    );
    server.set_disk(2, &disk);
    assert_eq!(
        (client.presence(2), client.info(2)),
        (Presence::Present, Some(disk))
    );
    assert_eq!((client.generation(2), client.generation(3)), (1, 0));
    for (wrong, why) in [
        (DiskInfo { sectors: 0, ..disk }, "none"),
        (
            DiskInfo {
                sectors: 1 << 55,
                ..disk
            },
            "bytes past 64 bits",
        ),
        (DiskInfo { sectors: 9, ..disk }, "half a sector"),
        (
            DiskInfo {
                sector_size: 0,
                ..disk
            },
            "no size",
        ),
        (
            DiskInfo {
                sector_size: 8192,
                ..disk
            },
            "larger than a page",
        ),
        (
            DiskInfo {
                physical_size: 512,
                ..disk
            },
            "smaller than a sector",
        ),
        (
            DiskInfo {
                discard_granularity: 0,
                ..disk
            },
            "nothing to discard",
        ),
    ] {
        server.set_disk(2, &wrong);
        assert_eq!(client.info(2), None, "{why}");
    }
    server.set_disk(2, &disk);
    server.remove_disk(2);
    assert_eq!((client.presence(2), client.info(2)), (Presence::Gone, None));
    server.set_disk(u8::MAX, &disk);
    assert_eq!(client.info(u8::MAX), None, "there are not so many");
}

#[test]
fn a_disk_refuses_what_it_cannot_do() {
    let disk = DiskInfo {
        sector_size: 1024,
        physical_size: 1024,
        ..DiskInfo::plain(100)
    };
    let at = |op, sector, count| Request {
        op,
        sector,
        count,
        ..read(0)
    };
    let read_only = DiskInfo {
        read_only: true,
        ..disk
    };
    for (disk, request, expected) in [
        (disk, at(Op::Read, 0, 100), Ok(())),
        (disk, at(Op::Write, 98, 2), Ok(())),
        (disk, at(Op::Flush, 0, 0), Ok(())),
        (disk, at(Op::Read, 98, 4), Err(Status::Invalid)),
        (disk, at(Op::Read, 1, 2), Err(Status::Invalid)),
        (disk, at(Op::Read, 0, 1), Err(Status::Invalid)),
        (disk, at(Op::Read, u64::MAX - 1, 2), Err(Status::Invalid)),
        (disk, at(Op::Discard, 0, 2), Err(Status::Unsupported)),
        (read_only, at(Op::Write, 0, 2), Err(Status::ReadOnly)),
        (read_only, at(Op::Discard, 0, 2), Err(Status::ReadOnly)),
        (read_only, at(Op::Flush, 0, 0), Ok(())),
    ] {
        assert_eq!(disk.check(&request), expected, "{request:?}");
    }
}

#[test]
fn a_server_that_left_answers_nothing() {
    let memory = memory();
    let (mut client, mut server) = ends(&memory, || {});
    server.set_disk(0, &DiskInfo::plain(8));
    assert!(client.submit(&read(0)));
    assert_eq!(server.take(), Some(Ok(read(0))));
    server.answer(done(0));
    server.leave();
    assert!(client.is_lost());
    assert_eq!((client.presence(0), client.info(0)), (Presence::Gone, None));
    assert_eq!((client.submit(&read(1)), client.take()), (false, None));
    let memory = self::memory();
    let (mut client, _) = ends(&memory, || {});
    client.lose();
    assert!(client.is_lost() && !client.submit(&read(1)));
}

/// A VMM that does not keep to [`QUEUE_LEN`] waits for itself.
#[test]
fn nothing_is_taken_for_whose_answer_there_is_no_room() {
    let memory = memory();
    let (mut client, mut server) = ends(&memory, || {});
    for id in 0..QUEUE_LEN as u32 {
        assert!(client.submit(&read(id)));
        assert!(server.take().is_some());
    }
    assert!(client.submit(&read(1000)));
    assert_eq!(
        (server.take(), server.has_request()),
        (None, false),
        "all are open"
    );
    for id in 0..QUEUE_LEN as u32 {
        server.answer(done(id));
    }
    assert_eq!(server.take(), None, "no answer was fetched");
    assert_eq!(client.take(), Some(done(0)));
    assert_eq!(server.take(), Some(Ok(read(1000))));
    // The VMM breaks its index: its answer is dropped, nobody waits.
    memory[64 + 16].store(0x8000_0000, Ordering::Relaxed);
    server.answer(done(1000));
    assert_eq!(server.open(), 0);
}

#[derive(Clone, Debug)]
enum Step {
    Submit,
    Take,
    Answer(usize),
    Fetch,
    Spoil(usize, u32),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Submit),
        4 => Just(Step::Take),
        4 => any::<usize>().prop_map(Step::Answer),
        4 => Just(Step::Fetch),
        1 => (0..HEADER_SIZE / 4, any::<u32>()).prop_map(|(at, value)| Step::Spoil(at, value)),
    ]
}

proptest! {
    /// A VMM that keeps to the number of requests gets an answer to each.
    #[test]
    fn every_request_is_answered_once(steps in prop::collection::vec(step(), 0..400)) {
        let memory = memory();
        let (mut client, mut server) = ends(&memory, || {});
        let (mut asked, mut taken, mut answered) = (VecDeque::new(), Vec::new(), VecDeque::new());
        for (id, step) in (0..).zip(steps) {
            match step {
                Step::Submit => {
                    let under_way = asked.len() + taken.len() + answered.len();
                    prop_assert_eq!(client.under_way(), under_way);
                    if under_way < QUEUE_LEN {
                        prop_assert!(client.submit(&read(id)));
                        asked.push_back(id);
                    }
                }
                Step::Take => {
                    let expected = asked.pop_front();
                    prop_assert_eq!(server.take(), expected.map(|id| Ok(read(id))));
                    taken.extend(expected);
                }
                Step::Answer(which) => if !taken.is_empty() {
                    let id = taken.swap_remove(which % taken.len());
                    server.answer(done(id));
                    answered.push_back(id);
                }
                Step::Fetch => prop_assert_eq!(client.take(), answered.pop_front().map(done)),
                Step::Spoil(..) => {}
            }
        }
    }

    /// Whatever is written to the shared words, neither side stops, and the server holds no more
    /// than it has places for.
    #[test]
    fn nothing_in_the_region_breaks_a_side(steps in prop::collection::vec(step(), 0..200)) {
        let memory = memory();
        let (mut client, mut server) = ends(&memory, || {});
        let mut taken = Vec::new();
        for step in steps {
            match step {
                Step::Submit => {
                    client.submit(&read(0));
                    client.kick();
                }
                Step::Take => if let Some(request) = server.take() {
                    if let Ok(request) = request {
                        prop_assert!(u64::from(request.offset) + u64::from(request.bytes()) <= u64::from(DATA_SIZE));
                        prop_assert!(usize::from(request.disk) < MAX_DISKS);
                    }
                    taken.push(request);
                    prop_assert!(server.open() <= QUEUE_LEN);
                }
                Step::Answer(_) => if taken.pop().is_some() {
                    server.answer(done(0));
                    server.take_notify();
                }
                Step::Fetch => {
                    client.take();
                    for disk in 0..=MAX_DISKS as u8 {
                        prop_assert!(client.info(disk).is_none_or(|info| info.is_sound()));
                        client.presence(disk);
                    }
                }
                Step::Spoil(at, value) => memory[at].store(value, Ordering::Relaxed),
            }
        }
    }
}
