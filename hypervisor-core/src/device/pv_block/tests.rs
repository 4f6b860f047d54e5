//! The back end as a front end and a server see it.
#![allow(clippy::cast_possible_truncation, reason = "test data")]

use std::boxed::Box;
use std::string::{String, ToString};
use std::vec::Vec;

use block_server_api::{
    Answer, DATA_SIZE, DiskInfo, DiskPort, HEADER_SIZE, Op, Region, Request, ServerEnd, Status,
};
use core::sync::atomic::AtomicU32;
use guest_mem::{VecWindow, Window};
use hv_types::{DomId, Port, WindowAddr};
use memory_server_api::Extra;
use xen_abi::blkif::ring::{HEADER, REQ_EVENT, REQ_PROD, RSP_EVENT, RSP_PROD};
use xen_abi::blkif::{self, Indirect, Response, SLOT, Segment, op, status};
use xen_abi::grant::gtf;
use xen_abi::shared::shared_info;
use zerocopy::{FromZeros, IntoBytes};

use super::*;
use crate::domain::peers::Domains;
use crate::fake::{DOMID, FakeHost, FakePages, RAM, record};
use crate::hypercall::grant::backend::Grants;

mod random;

/// Pages of the guest's RAM: the ring is the first.
const PAGES: u64 = 300;
/// Bytes of the disk.
const DISK: usize = 4 << 20;
/// Grants of pages are numbered behind the reserved ones.
const FIRST_GREF: u32 = 8;

struct World {
    host: FakeHost,
    pages: FakePages,
    events: Events,
    block: PvBlock,
    inbox: Inbox,
    server: ServerEnd<'static>,
    disk: Vec<u8>,
    /// The queue that is used, and the state of the others.
    queue: u32,
    others: [(Port, u32, u32); QUEUES],
    port: Port,
    /// Requests that the front end has written, and responses that it has read.
    asked: u32,
    heard: u32,
    /// The server's answer to everything.
    fails: Option<Status>,
}

fn front(name: &str) -> String {
    std::format!("/local/domain/{DOMID}/device/vbd/51712/{name}")
}

fn back(name: &str) -> String {
    std::format!("/local/domain/0/backend/vbd/{DOMID}/51712/{name}")
}

impl World {
    fn new(info: &DiskInfo) -> Self {
        Self::with_vcpus(info, 1)
    }

    /// The world of a guest with so many vCPUs, which may have as many queues.
    fn with_vcpus(info: &DiskInfo, vcpus: u8) -> Self {
        let header: Vec<_> = (0..HEADER_SIZE / 4).map(|_| AtomicU32::new(0)).collect();
        let region = Region::new(header.leak()).unwrap();
        let data = VecWindow::new().with(WindowAddr::new(0), DATA_SIZE.into());
        let notify: Box<dyn FnMut()> = Box::new(|| {});
        let mut server = region.server().unwrap();
        server.set_disk(0, info);
        let mut host = FakeHost::new(PAGES * 4096);
        host.disks = region.client(data, notify);
        let mut events = Events::new(Domains::new(DomId(DOMID), 3), 1023, 1);
        events.allow_backends();
        let mut block = PvBlock::new(&DomainRecord { vcpus, ..record() });
        block.reset(&mut host);
        let disk = (0..DISK).map(|at| (at / 512 * 7 + at) as u8).collect();
        let world = Self {
            host,
            pages: FakePages::new(PAGES * 4096),
            events,
            block,
            inbox: Inbox::new(),
            server,
            disk,
            queue: 0,
            others: [(Port(0), 0, 0); QUEUES],
            port: Port(0),
            asked: 0,
            heard: 0,
            fails: None,
        };
        for page in 0..PAGES as u32 {
            world.grant(FIRST_GREF + page, page, gtf::PERMIT_ACCESS, 0);
        }
        world
    }

    /// Changes an entry of the grant table.
    fn grant(&self, gref: u32, page: u32, flags: u16, domid: u16) {
        let frame = (RAM >> 12) + u64::from(page);
        let entry = u64::from(flags) | u64::from(domid) << 16 | frame << 32;
        let at = WindowAddr::extra(Extra::GrantFrame(0).index(), (8 * gref) as u16);
        self.host.window.store_u64(at, entry);
    }

    /// Serves until nothing is left over.
    fn serve(&mut self) -> Vcpus {
        let mut upcalls = Vcpus::NONE;
        for _ in 0..1000 {
            let grants = Grants::new(&self.pages, 1);
            let served = {
                let (host, events) = (&mut self.host, &mut self.events);
                self.block.serve(host, &grants, events, &mut self.inbox)
            };
            upcalls = upcalls.with(served);
            if !self.block.has_more() {
                return upcalls;
            }
        }
        panic!("it never comes to rest");
    }

    /// The server does what it was asked.
    fn run_server(&mut self) -> usize {
        let mut done = 0;
        while let Some(request) = self.server.take() {
            done += 1;
            let (id, status) = match request {
                Ok(request) => (
                    request.id,
                    self.fails.unwrap_or_else(|| self.perform(&request)),
                ),
                Err(refused) => (refused.id, Status::Invalid),
            };
            self.server.answer(Answer { id, status });
        }
        done
    }

    fn perform(&mut self, request: &Request) -> Status {
        let info = self
            .host
            .disks
            .info(request.disk)
            .expect("a disk that is there");
        if let Err(status) = info.check(request) {
            return status;
        }
        let data = self.host.disks.as_ref().unwrap().data().unwrap();
        let at = request.sector as usize * 512;
        let bytes = &mut self.disk[at..at + request.bytes() as usize];
        let there = WindowAddr::new(request.offset.into());
        match request.op {
            Op::Read => data.write(there, bytes),
            Op::Write => data.read(there, bytes),
            Op::Flush => {}
            Op::Discard => self.disk[at..at + request.count as usize * 512].fill(0),
        }
        Status::Done
    }

    fn node(&self, name: &str) -> &str {
        self.host
            .store
            .nodes
            .get(&back(name))
            .map_or("", |value| value)
    }

    fn say(&mut self, name: &str, value: impl ToString) {
        self.host.store.write(&front(name), &value.to_string());
    }

    /// Uses queue `queue` from now on.
    fn turn_to(&mut self, queue: u32) {
        self.others[self.queue as usize] = (self.port, self.asked, self.heard);
        (self.port, self.asked, self.heard) = self.others[queue as usize];
        self.queue = queue;
    }

    /// A word of the ring of the queue that is used.
    fn at(&self, offset: u16) -> WindowAddr {
        let page = page(ring_page(self.queue));
        page.checked_add(offset.into()).unwrap()
    }

    /// Connects a ring of one page, in the guest's page 0.
    fn connect(&mut self) {
        self.connect_queues(1);
    }

    /// Connects so many queues with rings of one page each.
    fn connect_queues(&mut self, queues: u32) {
        self.say("state", 1);
        self.serve();
        assert_eq!(self.node("state"), "2");
        if queues > 1 {
            self.say("multi-queue-num-queues", queues);
        }
        for queue in (0..queues).rev() {
            self.turn_to(queue);
            self.host.window.zero(self.at(0), 4096);
            (self.asked, self.heard) = (0, 0);
            self.host.window.store_u32(self.at(RSP_EVENT), 1);
            self.port = self.events.alloc_unbound(DomId::SELF, DomId(0)).unwrap();
            let of_queue = |name| match queues {
                1 => std::string::String::from(name),
                _ => std::format!("queue-{queue}/{name}"),
            };
            self.say(&of_queue("ring-ref"), FIRST_GREF + ring_page(queue));
            self.say(&of_queue("event-channel"), self.port.0);
        }
        self.say("protocol", "arm-abi");
        self.say("state", 3);
        self.serve();
        assert_eq!(self.node("state"), "4", "{:?}", self.host.log);
    }

    /// Puts a request into the ring.
    fn put(&mut self, request: &[u8]) {
        let slot = (HEADER + self.asked % 32 * SLOT) as u16;
        self.host.window.write(self.at(slot), request);
        self.asked = self.asked.wrapping_add(1);
        self.host.window.store_u32(self.at(REQ_PROD), self.asked);
    }

    /// The next response: number, operation and status.
    fn response(&mut self) -> Option<(u64, u8, i16)> {
        if self.host.window.load_u32(self.at(RSP_PROD)) == self.heard {
            return None;
        }
        let slot = (HEADER + self.heard % 32 * SLOT) as u16;
        let response: Response = self.host.window.read_obj(self.at(slot));
        self.heard = self.heard.wrapping_add(1);
        let event = self.heard.wrapping_add(1);
        self.host.window.store_u32(self.at(RSP_EVENT), event);
        Some((response.id, response.op, response.status))
    }

    /// Does one request from one end to the other.
    fn ask(&mut self, request: &[u8]) -> i16 {
        self.put(request);
        self.serve();
        self.run_server();
        self.serve();
        let (_, _, status) = self.response().expect("a response");
        status
    }
}

fn at(offset: u16) -> WindowAddr {
    WindowAddr::new(RAM + u64::from(offset))
}

/// The page of a queue's ring: the first, and the last ones.
fn ring_page(queue: u32) -> u32 {
    match queue {
        0 => 0,
        _ => PAGES as u32 - queue,
    }
}

fn page(number: u32) -> WindowAddr {
    WindowAddr::new(RAM + 4096 * u64::from(number))
}

fn segment(page: u32, first: u8, last: u8) -> Segment {
    Segment {
        gref: FIRST_GREF + page,
        first,
        last,
        pad: 0,
    }
}

fn request(op: u8, sector: u64, segments: &[Segment]) -> blkif::Request {
    let mut request = blkif::Request {
        op,
        nr_segments: segments.len() as u8,
        id: 0x1234_5678_9abc,
        sector,
        ..blkif::Request::new_zeroed()
    };
    request.segments[..segments.len()].copy_from_slice(segments);
    request
}

fn plain() -> DiskInfo {
    DiskInfo::plain((DISK / 512) as u64)
}

fn connected(info: &DiskInfo) -> World {
    let mut world = World::new(info);
    world.connect();
    world
}

#[test]
fn the_front_end_is_told_what_the_disk_is() {
    let info = DiskInfo {
        sector_size: 4096,
        physical_size: 4096,
        read_only: true,
        flush: true,
        discard: true,
        discard_granularity: 8192,
        ..plain()
    };
    let world = connected(&info);
    for (name, value) in [
        ("feature-max-indirect-segments", "256"),
        ("multi-queue-max-queues", "1"),
        ("max-ring-page-order", "4"),
        ("feature-flush-cache", "1"),
        ("feature-barrier", "0"),
        ("feature-persistent", "0"),
        ("feature-discard", "1"),
        ("discard-granularity", "8192"),
        ("discard-secure", "0"),
        ("sectors", "8192"),
        ("info", "4"),
        ("sector-size", "4096"),
        ("physical-sector-size", "4096"),
    ] {
        assert_eq!(world.node(name), value, "{name}");
    }
    let world = connected(&plain());
    assert_eq!(world.node("feature-flush-cache"), "0");
    assert_eq!(world.node("feature-discard"), "");
}

#[test]
fn sectors_come_and_go_where_the_segments_say() {
    let mut world = connected(&plain());
    // Parts of three pages, which do not follow each other in the data area.
    let segments = [segment(5, 2, 7), segment(9, 0, 7), segment(3, 1, 1)];
    assert_eq!(world.ask(request(op::READ, 11, &segments).as_bytes()), 0);
    let mut at = 11 * 512;
    for (page, first, last) in [(5, 2, 7), (9, 0, 7), (3, 1, 1)] {
        let len = (last - first + 1) * 512;
        let mut bytes = std::vec![0; len];
        let there = self::page(page).checked_add(first as u64 * 512).unwrap();
        world.host.window.read(there, &mut bytes);
        assert_eq!(bytes, world.disk[at..at + len]);
        at += len;
    }
    let mut other = [0; 512];
    world.host.window.read(page(5), &mut other);
    assert_eq!(
        other, [0; 512],
        "in front of the segment nothing is written"
    );

    world.host.window.write(page(20), &[0xaa; 4096]);
    let segments = [segment(20, 0, 7)];
    assert_eq!(world.ask(request(op::WRITE, 100, &segments).as_bytes()), 0);
    assert_eq!(world.disk[100 * 512..108 * 512], [0xaa; 4096]);
    assert_eq!(world.disk[108 * 512], (108 * 7 + 108 * 512) as u8);
}

#[test]
fn an_indirect_request_has_256_segments() {
    let mut world = connected(&plain());
    let segments: Vec<Segment> = (2..258).map(|page| segment(page, 0, 7)).collect();
    world.host.window.write(page(1), segments.as_bytes());
    let mut indirect = Indirect {
        op: op::INDIRECT,
        imm_op: op::READ,
        nr_segments: 256,
        sector: 64,
        ..Indirect::new_zeroed()
    };
    indirect.pages[0] = FIRST_GREF + 1;
    world.put(indirect.as_bytes());
    world.serve();
    world.run_server();
    world.serve();
    // The response names the operation, as Xen's back ends do; Linux gives a disk up else.
    assert_eq!(world.response(), Some((0, op::READ, 0)));
    let mut bytes = std::vec![0; 1 << 20];
    world.host.window.read(page(2), &mut bytes);
    assert!(bytes == world.disk[64 * 512..64 * 512 + (1 << 20)]);
    // One more than fits: nothing is asked.
    indirect.nr_segments = 257;
    assert_eq!(world.ask(indirect.as_bytes()), status::ERROR);
    assert_eq!(world.server.open(), 0);
}

#[test]
fn what_makes_no_sense_is_an_error_and_nothing_is_asked() {
    let mut world = connected(&DiskInfo {
        read_only: true,
        ..plain()
    });
    let last = (DISK / 512 - 1) as u64;
    let read = |sector, segment: Segment| request(op::READ, sector, &[segment]);
    world.grant(400, 1, gtf::PERMIT_ACCESS, 1);
    world.grant(401, 1, 0, 0);
    world.grant(402, 1, gtf::PERMIT_ACCESS | gtf::READONLY, 0);
    world.grant(403, 0x10_0000, gtf::PERMIT_ACCESS, 0);
    let by = |gref| Segment {
        gref,
        ..segment(1, 0, 7)
    };
    for (request, expected) in [
        (read(0, segment(1, 5, 4)), status::ERROR),
        (read(0, segment(1, 0, 8)), status::ERROR),
        (read(last, segment(1, 0, 1)), status::ERROR),
        (read(u64::MAX, segment(1, 0, 0)), status::ERROR),
        (read(0, by(400)), status::ERROR),
        (read(0, by(401)), status::ERROR),
        (read(0, by(402)), status::ERROR),
        (read(0, by(403)), status::ERROR),
        (read(0, by(512)), status::ERROR),
        (read(0, by(u32::MAX)), status::ERROR),
        (request(op::READ, 0, &[]), status::ERROR),
        (request(op::WRITE, 0, &[segment(1, 0, 0)]), status::ERROR),
        (request(op::DISCARD, 0, &[]), status::ERROR),
        (request(op::WRITE_BARRIER, 0, &[]), status::UNSUPPORTED),
        (request(99, 0, &[]), status::UNSUPPORTED),
    ] {
        world.put(request.as_bytes());
        world.serve();
        assert_eq!(world.run_server(), 0, "{request:?}");
        assert_eq!(
            world.response(),
            Some((0x1234_5678_9abc, request.op, expected)),
            "{request:?}"
        );
    }
    // All is as it was.
    assert_eq!(
        world.ask(read(last, segment(1, 0, 0)).as_bytes()),
        status::OKAY
    );
    assert_eq!(
        world.ask(request(op::FLUSH, 0, &[]).as_bytes()),
        status::OKAY
    );
}

#[test]
fn a_grant_withdrawn_in_use_is_not_used() {
    let mut world = connected(&plain());
    world.host.window.write(page(7), &[1; 4096]);
    world.put(request(op::READ, 0, &[segment(7, 0, 7)]).as_bytes());
    world.serve();
    world.grant(FIRST_GREF + 7, 8, gtf::PERMIT_ACCESS, 0);
    world.run_server();
    world.serve();
    assert_eq!(world.response().unwrap().2, status::ERROR);
    let mut bytes = [0; 4096];
    world.host.window.read(page(7), &mut bytes);
    assert_eq!(bytes, [1; 4096]);
}

#[test]
fn events_are_sent_only_when_they_are_wanted() {
    let mut world = connected(&plain());
    let flush = request(op::FLUSH, 0, &[]);
    let pending = |world: &World| {
        let word = WindowAddr::extra(Extra::SharedInfo.index(), shared_info::EVTCHN_PENDING);
        let bit = 1 << world.port.0;
        world.host.window.fetch_and_u64(word, !bit) & bit != 0
    };
    assert_eq!(world.host.window.load_u32(at(REQ_EVENT)), 1);
    world.put(flush.as_bytes());
    world.put(flush.as_bytes());
    world.serve();
    assert!(!pending(&world));
    world.run_server();
    world.serve();
    assert!(pending(&world), "the first response was asked for");
    assert_eq!(world.host.window.load_u32(at(REQ_EVENT)), 3);
    // The front end has not looked: `rsp_event` is still 1.
    world.put(flush.as_bytes());
    world.serve();
    world.run_server();
    world.serve();
    assert!(!pending(&world));
    assert_eq!(core::iter::from_fn(|| world.response()).count(), 3);
    // A port that the guest has closed is left alone.
    world.events.close(&world.host.window, world.port).unwrap();
    world.put(flush.as_bytes());
    world.serve();
    world.run_server();
    world.serve();
    assert!(!pending(&world));
}

#[test]
fn an_index_that_cannot_be_closes_the_disk_until_it_connects_again() {
    for jump in [33, 0x8000_0000, u32::MAX] {
        let mut world = connected(&plain());
        assert_eq!(world.ask(request(op::FLUSH, 0, &[]).as_bytes()), 0);
        let prod = world.asked.wrapping_add(jump);
        world.host.window.store_u32(at(REQ_PROD), prod);
        world.serve();
        world.serve();
        assert_eq!(world.node("state"), "5");
        let lines = world.host.log.iter();
        assert_eq!(
            lines.filter(|line| line.contains("broke its ring")).count(),
            1
        );
        world.say("state", 6);
        world.serve();
        assert_eq!(world.node("state"), "6");
        world.connect();
        assert_eq!(world.ask(request(op::FLUSH, 0, &[]).as_bytes()), 0);
    }
}

#[test]
fn a_front_end_may_go_and_come_at_any_time() {
    let mut world = connected(&plain());
    let read = request(op::READ, 0, &[segment(7, 0, 7)]);
    // It ends with a request under way: closed is said when the server is done with it.
    world.put(read.as_bytes());
    world.serve();
    world.say("state", 6);
    world.serve();
    assert_eq!(world.node("state"), "4");
    world.run_server();
    world.serve();
    assert_eq!(world.node("state"), "6");
    assert_eq!(world.response(), None);
    world.connect();
    assert_eq!(world.ask(read.as_bytes()), 0);
    // Another kernel: it begins without having ended.
    world.connect();
    assert_eq!(world.ask(read.as_bytes()), 0);
    world.say("state", 5);
    world.serve();
    assert_eq!(world.node("state"), "5");
}

#[test]
fn what_a_front_end_gives_is_checked() {
    for (name, value) in [
        ("ring-page-order", "5"),
        ("multi-queue-num-queues", "2"),
        ("multi-queue-num-queues", "0"),
        ("protocol", "x86_32-abi"),
        ("ring-ref", "-1"),
        ("ring-ref", "700"),
        ("event-channel", "9"),
        ("event-channel", "4294967296"),
    ] {
        let mut world = World::new(&plain());
        let port = world.events.alloc_unbound(DomId::SELF, DomId(0)).unwrap();
        world.say("state", 1);
        world.serve();
        world.say("ring-ref", FIRST_GREF);
        world.say("event-channel", port.0);
        world.say(name, value);
        world.say("state", 3);
        world.serve();
        assert_eq!(world.node("state"), "5", "{name} = {value}");
        assert_eq!(world.host.log.len(), 1, "{:?}", world.host.log);
    }
}

#[test]
fn errors_of_the_server_reach_the_front_end() {
    let mut world = connected(&DiskInfo {
        discard: true,
        discard_granularity: 512,
        ..plain()
    });
    let read = request(op::READ, 0, &[segment(7, 0, 7)]);
    world.host.window.write(page(7), &[1; 4096]);
    for (answer, expected) in [
        (Status::Failed, status::ERROR),
        (Status::Gone, status::ERROR),
        (Status::Unsupported, status::UNSUPPORTED),
    ] {
        world.fails = Some(answer);
        assert_eq!(world.ask(read.as_bytes()), expected);
    }
    let mut bytes = [0; 4096];
    world.host.window.read(page(7), &mut bytes);
    assert_eq!(bytes, [1; 4096]);
    // The server goes, with a request under way.
    world.put(read.as_bytes());
    world.serve();
    world.server.leave();
    world.serve();
    assert_eq!(world.response().unwrap().2, status::ERROR);
    world.put(read.as_bytes());
    world.serve();
    assert_eq!(world.response().unwrap().2, status::ERROR);
}

#[test]
fn answers_of_the_life_before_are_waited_for() {
    let mut world = connected(&plain());
    world.put(request(op::READ, 0, &[segment(7, 0, 7)]).as_bytes());
    world.serve();
    world.block.end(&mut world.host);
    world.block = PvBlock::new(&record());
    world.block.reset(&mut world.host);
    world.say("state", 1);
    world.serve();
    assert_eq!(world.node("state"), "4", "nothing is done yet");
    world.run_server();
    world.connect();
    assert_eq!(world.ask(request(op::FLUSH, 0, &[]).as_bytes()), 0);
}

#[test]
fn each_queue_has_its_own_ring_and_port() {
    let mut world = World::with_vcpus(&plain(), 4);
    world.say("state", 1);
    world.serve();
    assert_eq!(world.node("multi-queue-max-queues"), "4");
    world.connect_queues(4);
    let reads: Vec<_> = (0..4)
        .map(|queue| request(op::READ, 8 * u64::from(queue), &[segment(20 + queue, 0, 7)]))
        .collect();
    for queue in 0..4 {
        world.turn_to(queue);
        world.put(reads[queue as usize].as_bytes());
    }
    world.serve();
    assert_eq!(world.run_server(), 4);
    world.serve();
    for queue in 0..4 {
        world.turn_to(queue);
        assert_eq!(world.response().map(|(_, _, status)| status), Some(0));
        assert_eq!(world.response(), None);
        let mut bytes = [0; 4096];
        world.host.window.read(page(20 + queue), &mut bytes);
        let from = 4096 * queue as usize;
        assert_eq!(bytes, world.disk[from..from + 4096], "queue {queue}");
    }
}
