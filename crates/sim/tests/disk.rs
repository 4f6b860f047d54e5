//! Disks from within a guest: through the store, a ring, the VMM and the block server.

#[path = "common/store.rs"]
mod store;

use block_server_api::Status;
use sim::guest::{ARGS, FREE, SHARED_INFO};
use sim::{Domain, Guest, Ran, System};
use store::{Bus, events};
use xen_abi::blkif::ring::{HEADER, REQ_PROD, RSP_EVENT, RSP_PROD};
use xen_abi::blkif::{Request, Response, SLOT, Segment, op, status};
use xen_abi::event::{ALLOC_UNBOUND, AllocUnbound};
use xen_abi::grant::gtf;
use xen_abi::memory::space;
use xen_abi::number::{EVENT_CHANNEL_OP, SCHED_OP};
use xen_abi::sched::{SHUTDOWN, Shutdown};
use xen_abi::store::kind;
use zerocopy::FromZeros as _;

/// Where the guest sees its grant table.
const GRANTS: u64 = SHARED_INFO + 0x1000;
/// First grant that is not reserved: page 0 of [`FREE`], and so on.
const FIRST_GREF: u32 = 8;

fn contents() -> Vec<u8> {
    (0..1 << 20)
        .map(|at: u32| (at / 512 + at).to_le_bytes()[0])
        .collect()
}

fn system(cpus: u32) -> System {
    let disk = |name| Domain::new(name).enhanced("enabled").with_disk(contents());
    System::new(&[
        disk("linux1").with_cpus(cpus),
        Domain::new("linux2").heap().enhanced("enabled"),
    ])
}

/// A guest's front end of a disk, with one queue or more.
struct Front {
    bus: Bus,
    queues: Vec<Queue>,
}

#[derive(Clone, Copy)]
struct Queue {
    page: u32,
    port: u32,
    asked: u32,
    heard: u32,
}

const fn page(number: u32) -> u64 {
    FREE + number as u64 * 4096
}

impl Front {
    /// What a kernel does, with so many queues.
    fn connect(guest: &mut Guest<'_>, queues: u32) -> Self {
        let bus = Bus::probe(guest);
        let mut front = Self {
            bus,
            queues: Vec::new(),
        };
        assert_eq!(guest.add_to_physmap(space::GRANT_TABLE, 0, GRANTS >> 12), 0);
        for number in 0..32 {
            front.grant(guest, FIRST_GREF + number, gtf::PERMIT_ACCESS);
        }
        assert_eq!(front.back(guest, "state"), "2");
        if queues > 1 {
            front.write(guest, "multi-queue-num-queues", queues);
        }
        for number in 0..queues {
            let port = unbound(guest, 0);
            assert!(port > 0);
            let queue = Queue {
                page: number,
                port: u32::try_from(port).unwrap(),
                asked: 0,
                heard: 0,
            };
            guest.put(page(number), &[0u8; 4096]);
            guest.put(page(number) + u64::from(RSP_EVENT), &1u32);
            let at = if queues > 1 {
                format!("queue-{number}/")
            } else {
                String::new()
            };
            front.write(guest, &format!("{at}ring-ref"), FIRST_GREF + number);
            front.write(guest, &format!("{at}event-channel"), queue.port);
            front.queues.push(queue);
        }
        front.write(guest, "state", 3);
        front
    }

    fn grant(&self, guest: &mut Guest<'_>, gref: u32, flags: u16) {
        let frame = page(gref - FIRST_GREF) >> 12;
        let entry = u64::from(flags) | frame << 32;
        guest.put(GRANTS + 8 * u64::from(gref), &entry);
    }

    fn write(&mut self, guest: &mut Guest<'_>, name: &str, value: u32) {
        let message = format!("device/vbd/51712/{name}|{value}");
        assert_eq!(self.bus.ask(guest, kind::WRITE, &message), "OK|", "{name}");
    }

    fn back(&mut self, guest: &mut Guest<'_>, name: &str) -> String {
        let domid = guest.domid();
        let path = format!("/local/domain/0/backend/vbd/{domid}/51712/{name}|");
        self.bus.ask(guest, kind::READ, &path)
    }

    /// Puts a request for one page into a queue, and says so.
    fn put(&mut self, guest: &mut Guest<'_>, queue: usize, (op, sector, data): (u8, u64, u32)) {
        let queue = &mut self.queues[queue];
        let mut request = Request {
            op,
            nr_segments: u8::from(op != op::FLUSH),
            id: u64::from(queue.asked),
            sector,
            ..Request::new_zeroed()
        };
        request.segments[0] = Segment {
            gref: FIRST_GREF + data,
            first: 0,
            last: 7,
            pad: 0,
        };
        let slot = u64::from(HEADER + queue.asked % 32 * SLOT);
        guest.put(page(queue.page) + slot, &request);
        queue.asked += 1;
        guest.put(page(queue.page) + u64::from(REQ_PROD), &queue.asked);
        assert_eq!(guest.send(queue.port), 0);
    }

    /// The next response's number and status.
    fn take(&mut self, guest: &mut Guest<'_>, queue: usize) -> Option<(u64, i16)> {
        let queue = &mut self.queues[queue];
        let prod: u32 = guest.get(page(queue.page) + u64::from(RSP_PROD));
        if prod == queue.heard {
            return None;
        }
        let slot = u64::from(HEADER + queue.heard % 32 * SLOT);
        let response: Response = guest.get(page(queue.page) + slot);
        queue.heard += 1;
        guest.put(page(queue.page) + u64::from(RSP_EVENT), &(queue.heard + 1));
        Some((response.id, response.status))
    }
}

/// A port set aside for a domain, or the error.
fn unbound(guest: &mut Guest<'_>, remote: u16) -> i64 {
    let mut arg = AllocUnbound {
        dom: 0x7ff0,
        remote_dom: remote,
        port: 0,
    };
    match guest.op(EVENT_CHANNEL_OP, ALLOC_UNBOUND, &mut arg) {
        0 => i64::from(arg.port),
        error => error,
    }
}

#[test]
fn a_guest_reads_and_writes_its_disk() {
    let mut sys = system(1);
    let mut guest = sys.guest(0);
    let mut front = Front::connect(&mut guest, 1);
    assert_eq!(front.back(&mut guest, "state"), "4");
    assert_eq!(front.back(&mut guest, "sectors"), "2048");
    front.put(&mut guest, 0, (op::READ, 16, 5));
    let events = events(&mut guest);
    assert!(events.contains(&front.queues[0].port), "{events:?}");
    assert_eq!(front.take(&mut guest, 0), Some((0, status::OKAY)));
    assert_eq!(guest.bytes(page(5), 4096), contents()[8192..8192 + 4096]);
    guest.put(page(6), &[0x5au8; 4096]);
    front.put(&mut guest, 0, (op::WRITE, 24, 6));
    front.put(&mut guest, 0, (op::FLUSH, 0, 0));
    assert_eq!(front.take(&mut guest, 0), Some((1, status::OKAY)));
    assert_eq!(front.take(&mut guest, 0), Some((2, status::OKAY)));
    assert_eq!(sys.disk_bytes(0, 24 * 512, 4096), [0x5a; 4096]);
    assert_eq!(sys.disk_bytes(0, 0, 8192), contents()[..8192]);
}

#[test]
fn an_idle_disk_wakes_nobody() {
    let mut sys = system(1);
    let mut front = Front::connect(&mut sys.guest(0), 1);
    front.put(&mut sys.guest(0), 0, (op::READ, 0, 5));
    let wakes = (sys.block_wakes(), sys.store_wakes());
    sys.advance(10 * sim::FREQUENCY);
    assert_eq!((sys.block_wakes(), sys.store_wakes()), wakes);
}

#[test]
fn each_vcpu_may_have_a_queue() {
    let mut sys = system(4);
    let mut guest = sys.guest(0);
    let mut front = Front::connect(&mut guest, 4);
    assert_eq!(front.back(&mut guest, "multi-queue-max-queues"), "4");
    assert_eq!(front.back(&mut guest, "state"), "4");
    for (queue, number) in (0..4).zip(0u32..) {
        let request = (op::READ, 8 * u64::from(number), 10 + number);
        front.put(&mut guest, queue, request);
    }
    for (queue, number) in (0..4).zip(0u32..) {
        assert_eq!(front.take(&mut guest, queue), Some((0, status::OKAY)));
        let at = 4096 * queue;
        let read = guest.bytes(page(10 + number), 4096);
        assert_eq!(read, contents()[at..at + 4096]);
    }
}

#[test]
fn domain_0_is_there_for_named_devices_alone() {
    let mut sys = system(1);
    let esrch = -(xen_abi::Errno::Esrch as i64);
    assert!(unbound(&mut sys.guest(0), 0) > 0);
    assert_eq!(unbound(&mut sys.guest(1), 0), esrch);
    assert_eq!(unbound(&mut sys.guest(0), 7), esrch);
}

#[test]
fn a_life_may_end_with_requests_under_way() {
    let mut sys = system(1);
    let mut front = Front::connect(&mut sys.guest(0), 1);
    sys.hold_disks(true);
    front.put(&mut sys.guest(0), 0, (op::READ, 0, 5));
    let mut guest = sys.guest(0);
    guest.put(ARGS, &Shutdown { reason: 1 });
    assert_eq!(guest.try_hvc(SCHED_OP, &[SHUTDOWN, ARGS]), Ran::Restarts);
    let mut guest = sys.guest(0);
    let mut bus = Bus::probe(&mut guest);
    let path = format!("/local/domain/0/backend/vbd/{}/51712/state|", guest.domid());
    assert_eq!(bus.ask(&mut guest, kind::READ, &path), "1", "it waits");
    sys.hold_disks(false);
    let mut guest = sys.guest(0);
    assert_eq!(bus.ask(&mut guest, kind::READ, &path), "2");
    assert_eq!(
        guest.bytes(page(5), 4096),
        [0; 4096],
        "its memory is its own"
    );
}

#[test]
fn a_server_that_crashes_is_an_error_and_no_hang() {
    let mut sys = system(1);
    let mut front = Front::connect(&mut sys.guest(0), 1);
    sys.fail_disks(Some(Status::Failed));
    front.put(&mut sys.guest(0), 0, (op::READ, 0, 5));
    assert_eq!(front.take(&mut sys.guest(0), 0), Some((0, status::ERROR)));
    sys.fail_disks(None);
    sys.hold_disks(true);
    front.put(&mut sys.guest(0), 0, (op::READ, 0, 5));
    assert_eq!(front.take(&mut sys.guest(0), 0), None);
    sys.crash_disks();
    assert_eq!(front.take(&mut sys.guest(0), 0), Some((1, status::ERROR)));
    front.put(&mut sys.guest(0), 0, (op::WRITE, 0, 5));
    assert_eq!(front.take(&mut sys.guest(0), 0), Some((2, status::ERROR)));
    assert!(sys.is_alive(0) && sys.is_alive(1));
}
