//! Front ends that do anything.

use super::*;

/// Marsaglia's xorshift, so that a number says what a run does.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: u64) -> u64 {
        (self.next() >> 11) % end
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// Pages from this one on are data, but for the last, which are rings.
const DATA_PAGE: u32 = 2;
/// vCPUs of the guest, and so the most queues.
const VCPUS: u32 = 4;
const DATA_PAGES: u64 = PAGES - DATA_PAGE as u64 - VCPUS as u64;

fn random_segment(random: &mut Random) -> Segment {
    if random.one_in(200) {
        return Segment {
            gref: random.next() as u32 >> random.below(32),
            first: random.next() as u8,
            last: random.next() as u8,
            pad: 0,
        };
    }
    let first = random.below(8) as u8;
    let last = first + random.below(8 - u64::from(first)) as u8;
    let whole = random.one_in(2);
    segment(
        DATA_PAGE + random.below(DATA_PAGES) as u32,
        if whole { 0 } else { first },
        if whole { 7 } else { last },
    )
}

fn random_request(world: &World, random: &mut Random) -> Vec<u8> {
    let segments: Vec<Segment> = (0..1 + random.below(11))
        .map(|_| random_segment(random))
        .collect();
    let sector = if random.one_in(50) {
        random.next() >> random.below(64)
    } else {
        random.below((DISK / 512) as u64 - 100)
    };
    let op = [op::READ, op::WRITE, op::FLUSH, op::DISCARD][random.below(4) as usize];
    let mut bytes = match random.below(8) {
        0 => {
            let count = 1 + random.below(256);
            let all: Vec<Segment> = (0..count).map(|_| random_segment(random)).collect();
            world.host.window.write(page(1), all.as_bytes());
            let mut indirect = Indirect {
                op: op::INDIRECT,
                imm_op: op & 1,
                nr_segments: count as u16,
                sector,
                ..Indirect::new_zeroed()
            };
            indirect.pages[0] = FIRST_GREF + 1;
            indirect.as_bytes().to_vec()
        }
        1 => request(op::FLUSH, 0, &[]).as_bytes().to_vec(),
        _ => request(op, sector, &segments).as_bytes().to_vec(),
    };
    if random.one_in(30) {
        let at = random.below(bytes.len() as u64) as usize;
        bytes[at] = random.next() as u8;
    }
    bytes
}

/// After whatever has happened a front end that keeps to the rules is served, and gets what is on
/// the disk.
fn recovers(world: &mut World, queues: u32) {
    world.fails = None;
    for page in 0..PAGES as u32 {
        world.grant(FIRST_GREF + page, page, gtf::PERMIT_ACCESS, 0);
    }
    world.say("state", 6);
    for _ in 0..8 {
        world.serve();
        world.run_server();
    }
    for name in ["ring-page-order", "multi-queue-num-queues"] {
        world.host.store.nodes.remove(&front(name));
    }
    world.events.reset(&world.host.window, DomId::SELF).unwrap();
    world.connect_queues(queues);
    for queue in 0..queues {
        world.turn_to(queue);
        let segments = [segment(7 + queue, 0, 7)];
        assert_eq!(world.ask(request(op::READ, 64, &segments).as_bytes()), 0);
        let mut bytes = [0; 4096];
        world.host.window.read(page(7 + queue), &mut bytes);
        assert!(bytes == world.disk[64 * 512..72 * 512]);
    }
}

fn guest() -> DomainRecord {
    let vcpus = VCPUS as u8;
    DomainRecord { vcpus, ..record() }
}

fn step(world: &mut World, random: &mut Random) -> u64 {
    if random.one_in(4) {
        world.turn_to(random.below(VCPUS.into()) as u32);
    }
    match random.below(100) {
        0..40 => {
            let request = random_request(world, random);
            world.put(&request);
        }
        40..60 => {
            world.serve();
        }
        60..75 => {
            world.run_server();
        }
        75..90 => return core::iter::from_fn(|| world.response()).take(64).count() as u64,
        90..92 => {
            let gref = FIRST_GREF + random.below(PAGES) as u32;
            let (flags, page) = (random.below(8) as u16, random.below(PAGES) as u32);
            world.grant(gref, page, flags, u16::from(random.one_in(3)));
        }
        92 => {
            // Anything in the ring's page.
            let at = world.at(random.below(1024) as u16 * 4);
            world.host.window.store_u32(at, random.next() as u32);
        }
        93 => {
            let jump = random.next() as u32 >> random.below(32);
            let prod = world.asked.wrapping_add(jump);
            world.host.window.store_u32(world.at(REQ_PROD), prod);
        }
        94 => world.say("state", random.below(9)),
        95 => {
            let names = [
                "ring-ref",
                "event-channel",
                "ring-page-order",
                "protocol",
                "multi-queue-num-queues",
                "queue-0/ring-ref",
                "queue-2/event-channel",
            ];
            let name = names[random.below(7) as usize];
            let value = random.next() as u32 >> random.below(32);
            world.say(name, value);
        }
        96 => {
            let _ = world.events.close(&world.host.window, world.port);
        }
        97 => {
            let failures = [None, None, Some(Status::Failed), Some(Status::Gone)];
            world.fails = failures[random.below(4) as usize];
        }
        98 if random.one_in(4) => {
            // The guest's life ends, with requests under way.
            world.block.end(&mut world.host);
            world.block = PvBlock::new(&guest());
            world.block.reset(&mut world.host);
        }
        _ => {
            if random.one_in(4) {
                recovers(world, 1 + random.below(VCPUS.into()) as u32);
            }
        }
    }
    0
}

fn run(seed: u64, steps: u32) {
    let mut random = Random(seed);
    let info = DiskInfo {
        discard: true,
        discard_granularity: 512,
        flush: true,
        ..plain()
    };
    let mut world = World::with_vcpus(&info, guest().vcpus);
    world.connect_queues(VCPUS);
    let mut answered = 0;
    for number in 0..steps {
        answered += step(&mut world, &mut random);
        assert!(world.server.open() <= block_server_api::QUEUE_LEN);
        if number % 256 == 0 {
            world.host.log.clear();
        }
    }
    recovers(&mut world, VCPUS);
    assert!(
        answered > u64::from(steps) / 100,
        "{answered} requests were answered"
    );
}

#[test]
fn a_random_front_end_hurts_itself_alone() {
    for seed in 1..5 {
        run(seed, 3000);
    }
}

/// `cargo test --release -p hypervisor-core --lib a_million_steps -- --ignored`
#[test]
#[ignore = "it takes minutes"]
fn a_million_steps_of_a_random_front_end() {
    for seed in 1..=10 {
        run(0x9e37_79b9_7f4a_7c15 ^ seed, 100_000);
    }
}
