//! The driver over a device in memory, with the block server's end in the test's hands.

use std::collections::VecDeque;

use block_driver::{Device, Driver, Turn};
use block_server_api::driver::{AREAS, OWN, offset};
use block_server_api::{
    Client, DATA_SIZE, DiskInfo, DiskPort, HEADER_SIZE, Op, Presence, Region, Request, Status,
};
use guest_mem::VecWindow;
use proptest::prelude::*;
use ring::sync::AtomicU32;

const SECTORS: u64 = 4096;
/// Where area 2 and the block server's own buffer are; the others are not there.
const PLACES: [(usize, u64); 2] = [(2, 0x5fe0_0000), (OWN, 0x5fdf_f000)];

/// What reached the device.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Command {
    tag: u32,
    op: Op,
    sector: u64,
    count: u32,
    bytes: Option<u64>,
}

#[derive(Default)]
struct Memory {
    queue: VecDeque<Command>,
    room: usize,
    kicked: usize,
    acknowledged: bool,
}

impl Device for &mut Memory {
    fn info(&self) -> DiskInfo {
        DiskInfo {
            flush: true,
            ..DiskInfo::plain(SECTORS)
        }
    }
    fn submit(&mut self, tag: u32, op: Op, sector: u64, count: u32, bytes: Option<u64>) -> bool {
        if self.queue.len() == self.room {
            return false;
        }
        self.queue.push_back(Command {
            tag,
            op,
            sector,
            count,
            bytes,
        });
        true
    }
    fn kick(&mut self) {
        self.kicked = self.queue.len();
    }
    fn take(&mut self) -> Option<(u32, Status)> {
        Some((self.queue.pop_front()?.tag, Status::Done))
    }
    fn acknowledge(&mut self) {
        self.acknowledged = true;
    }
}

type End = Client<'static, VecWindow, fn()>;

fn ends() -> (End, block_server_api::ServerEnd<'static>) {
    let words: Vec<AtomicU32> = (0..HEADER_SIZE / 4).map(|_| AtomicU32::new(0)).collect();
    let region = Region::new(words.leak()).unwrap();
    let client = region.client(VecWindow::default(), (|| {}) as fn());
    (client.unwrap(), region.driver().unwrap())
}

fn areas() -> [u64; AREAS] {
    let mut areas = [0; AREAS];
    for (area, place) in PLACES {
        areas[area] = place;
    }
    areas
}

fn request(id: u32, op: Op, area: usize, at: u32, sector: u64, count: u32) -> Request {
    Request {
        id,
        disk: 0,
        op,
        offset: offset(area, at).unwrap(),
        sector,
        count,
    }
}

/// Lets the driver answer `request`; what reached the device and the answer.
fn asked(request: &Request) -> (Option<Command>, Status) {
    let (mut client, end) = ends();
    let mut memory = Memory {
        room: 1,
        ..Memory::default()
    };
    let mut driver = Driver::new(end, &mut memory, areas());
    assert_eq!(client.presence(0), Presence::Present);
    assert!(client.submit(request));
    driver.turn();
    let command = memory.queue.front().copied();
    if command.is_some() {
        return (command, Status::Done);
    }
    let answer = client.take().unwrap();
    assert_eq!(answer.id, request.id);
    (None, answer.status)
}

#[test]
fn a_request_reaches_the_device_at_its_areas_address() {
    let (command, _) = asked(&request(7, Op::Read, 2, 0x1000, 16, 8));
    let expected = Command {
        tag: 7,
        op: Op::Read,
        sector: 16,
        count: 8,
        bytes: Some(0x5fe0_1000),
    };
    assert_eq!(command, Some(expected));
    let (command, _) = asked(&request(7, Op::Write, OWN, 0, 0, 1));
    assert_eq!(command.unwrap().bytes, Some(0x5fdf_f000));
    let flush = Request {
        count: 0,
        sector: 0,
        offset: 0,
        ..request(7, Op::Flush, 0, 0, 0, 1)
    };
    assert_eq!(asked(&flush).0.unwrap().bytes, None);
}

#[test]
fn what_makes_no_sense_never_reaches_the_device() {
    for (wrong, status) in [
        // An area that is not there.
        (request(7, Op::Read, 0, 0, 0, 1), Status::Invalid),
        // Bytes of two areas.
        (
            request(7, Op::Read, 2, DATA_SIZE - 512, 0, 2),
            Status::Invalid,
        ),
        // Past the device's end.
        (request(7, Op::Write, 2, 0, SECTORS, 1), Status::Invalid),
        (request(7, Op::Write, 2, 0, SECTORS - 1, 2), Status::Invalid),
        // It cannot discard.
        (request(7, Op::Discard, 2, 0, 0, 1), Status::Unsupported),
        // There is no second device.
        (
            Request {
                disk: 1,
                ..request(7, Op::Read, 2, 0, 0, 1)
            },
            Status::Gone,
        ),
    ] {
        assert_eq!(asked(&wrong), (None, status), "{wrong:?}");
    }
}

#[test]
fn what_the_device_has_no_room_for_waits_and_keeps_its_place() {
    let (mut client, end) = ends();
    let mut memory = Memory {
        room: 2,
        ..Memory::default()
    };
    let mut driver = Driver::new(end, &mut memory, areas());
    for id in 0..5 {
        assert!(client.submit(&request(id, Op::Read, 2, 0, id.into(), 1)));
    }
    let mut order = Vec::new();
    for _ in 0..4 {
        let Turn { notify, .. } = driver.turn();
        let before = order.len();
        order.extend(std::iter::from_fn(|| client.take()).map(|answer| answer.id));
        assert_eq!(notify, order.len() > before);
    }
    assert_eq!(order, [0, 1, 2, 3, 4]);
    assert_eq!(driver.turn(), Turn::default());
    driver.on_interrupt();
    assert!(memory.acknowledged);
}

proptest! {
    /// Whatever the block server asks for, the device is given addresses within an area alone.
    #[test]
    fn no_byte_outside_an_area_is_named_to_the_device(
        op in prop_oneof![Just(Op::Read), Just(Op::Write), Just(Op::Flush), Just(Op::Discard)],
        disk in 0..8_u8,
        offset in (0..=9 * DATA_SIZE / 512).prop_map(|sectors| sectors * 512),
        sector in prop_oneof![0..SECTORS + 8, any::<u64>()],
        count in prop_oneof![0..64_u32, any::<u32>()],
    ) {
        let request = Request { id: 1, disk, op, offset, sector, count };
        if let (Some(command), _) = asked(&request) {
            prop_assert!(command.sector + u64::from(command.count) <= SECTORS);
            if let Some(start) = command.bytes {
                let end = start + u64::from(command.count) * 512;
                let within = PLACES.iter().any(|(_, place)| {
                    *place <= start && end <= place + u64::from(DATA_SIZE)
                });
                prop_assert!(within, "{command:x?}");
            }
        }
    }
}
