//! Guests that do anything to their rings of the store, while another one uses its own.
//!
//! `ZAZEN_STEPS=1000000 cargo test --release -p sim --test store_random -- --ignored --nocapture`
//! does so many steps.

mod common;
#[path = "common/store.rs"]
mod store;

use sim::guest::ARGS;
use sim::{Domain, Guest, Ran, System};
use store::Bus;
use xen_abi::hvm::param::{STORE_EVTCHN, STORE_PFN};
use xen_abi::number::SCHED_OP;
use xen_abi::sched::{SHUTDOWN, Shutdown};
use xen_abi::store::ring::{CONNECTION, REQ, REQ_CONS, REQ_PROD, RSP, RSP_CONS, RSP_PROD, SIZE};
use xen_abi::store::{HEADER, Header, RECONNECT, kind};
use zerocopy::{FromBytes as _, IntoBytes as _};

/// Steps where nobody says how many, and after how many the guest that keeps to the rules asks.
const STEPS: u64 = 3000;
const EACH: u64 = 50;
/// Guests that do anything, and the one that does not.
const WILD: usize = 2;
const TAME: usize = WILD;

/// Marsaglia's xorshift.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 >> 11
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn one_of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        let at = self.below(all.len() as u64);
        &all[usize::try_from(at).expect("a position")]
    }
}

/// Paths that are there, are another's, are none, or may come and go.
const PATHS: [&str; 14] = [
    "data/a",
    "data/a/b",
    "data/c",
    "data",
    "",
    "/",
    "control/shutdown",
    "/local/domain/1/data/a",
    "/local/domain/3/data/kept",
    "/local/domain/3/name",
    "@releaseDomain",
    "data//a",
    "data/\u{1}",
    "..",
];

/// A guest that does anything; of what it had answered it remembers transactions.
#[derive(Default)]
struct Wild {
    received: Vec<u8>,
    transactions: Vec<u32>,
}

impl Wild {
    fn page(guest: &mut Guest<'_>) -> u64 {
        guest.param(STORE_PFN) << 12
    }

    fn ring(guest: &mut Guest<'_>) {
        let port = u32::try_from(guest.param(STORE_EVTCHN)).expect("a port");
        guest.send(port);
    }

    /// Writes bytes behind what it has written, whether or not there is room.
    fn put(guest: &mut Guest<'_>, bytes: &[u8]) {
        let page = Self::page(guest);
        let mut prod: u32 = guest.get(page + u64::from(REQ_PROD));
        for byte in bytes {
            let at = page + u64::from(REQ) + u64::from(prod & (SIZE - 1));
            guest.put(at, byte);
            prod = prod.wrapping_add(1);
        }
        guest.put(page + u64::from(REQ_PROD), &prod);
        Self::ring(guest);
    }

    /// Takes what has come, as far as indices make sense.
    fn take(&mut self, guest: &mut Guest<'_>) {
        let page = Self::page(guest);
        let prod: u32 = guest.get(page + u64::from(RSP_PROD));
        let mut cons: u32 = guest.get(page + u64::from(RSP_CONS));
        if prod.wrapping_sub(cons) > SIZE {
            return;
        }
        while cons != prod {
            let at = page + u64::from(RSP) + u64::from(cons & (SIZE - 1));
            self.received.push(guest.get(at));
            cons = cons.wrapping_add(1);
        }
        guest.put(page + u64::from(RSP_CONS), &cons);
        Self::ring(guest);
        while let Some(header) = self.received.get(..HEADER) {
            let header = Header::read_from_bytes(header).expect("its length");
            let Some(payload) = self.received.get(HEADER..HEADER + header.len as usize) else {
                // What came before a reconnection may be half a message.
                if header.len > 4096 {
                    self.received.clear();
                }
                return;
            };
            if header.kind == kind::TRANSACTION_START {
                let text = String::from_utf8_lossy(payload);
                let id = text.trim_end_matches('\0').parse();
                self.transactions
                    .extend(id.ok().filter(|id: &u32| *id != 0));
                let more = self.transactions.len().saturating_sub(8);
                self.transactions.drain(..more);
            }
            self.received.drain(..HEADER + header.len as usize);
        }
    }

    /// A request that may make sense.
    fn request(&mut self, random: &mut Random) -> Vec<u8> {
        let kind = match random.below(4) {
            0 => u32::try_from(random.below(32)).expect("small"),
            1 => *random.one_of(&[kind::TRANSACTION_START, kind::TRANSACTION_END]),
            _ => *random.one_of(&[
                kind::READ,
                kind::WRITE,
                kind::MKDIR,
                kind::RM,
                kind::WATCH,
                kind::UNWATCH,
                kind::DIRECTORY,
                kind::SET_PERMS,
            ]),
        };
        let path = *random.one_of(&PATHS);
        let mut payload = match kind {
            kind::TRANSACTION_START => "\0".to_owned(),
            kind::TRANSACTION_END => random.one_of(&["T\0", "F\0", "T", ""]).to_string(),
            kind::WRITE => format!("{path}\0{}", random.next()),
            kind::WATCH | kind::UNWATCH => format!("{path}\0tok{}\0", random.below(3)),
            kind::SET_PERMS => format!("{path}\0n1\0r{}\0", random.below(4)),
            _ => format!("{path}\0"),
        }
        .into_bytes();
        if random.below(40) == 0 {
            payload.resize(usize::try_from(random.below(900)).expect("small"), b'x');
        }
        let tx_id = match random.below(3) {
            0 if !self.transactions.is_empty() => *random.one_of(&self.transactions),
            1 if random.below(20) == 0 => u32::try_from(random.below(1 << 32)).expect("a word"),
            _ => 0,
        };
        let header = Header {
            kind,
            req_id: u32::try_from(random.below(1 << 32)).expect("a word"),
            tx_id,
            len: u32::try_from(payload.len()).expect("small"),
        };
        [header.as_bytes(), &payload].concat()
    }

    fn step(&mut self, guest: &mut Guest<'_>, random: &mut Random) {
        let page = Self::page(guest);
        match random.below(64) {
            0..40 => {
                let cons: u32 = guest.get(page + u64::from(REQ_CONS));
                let prod: u32 = guest.get(page + u64::from(REQ_PROD));
                let request = self.request(random);
                // Most of the time as much as there is room for.
                let room = SIZE.saturating_sub(prod.wrapping_sub(cons)) as usize;
                if request.len() <= room || random.below(50) == 0 {
                    Self::put(guest, &request);
                }
            }
            40..56 => self.take(guest),
            56 => {
                let some = usize::try_from(random.below(64)).expect("small");
                let bytes: Vec<u8> = (0..some).map(|_| random.next().to_le_bytes()[0]).collect();
                Self::put(guest, &bytes);
            }
            57 => {
                let word = *random.one_of(&[REQ_PROD, REQ_CONS, RSP_PROD, RSP_CONS, CONNECTION]);
                let value = random.next() >> random.below(53);
                guest.put(
                    page + u64::from(word),
                    &u32::try_from(value & 0xffff_ffff).expect("a word"),
                );
                Self::ring(guest);
            }
            58..62 => {
                guest.put(page + u64::from(CONNECTION), &RECONNECT);
                Self::ring(guest);
                self.received.clear();
            }
            62 => guest.sys.advance(sim::FREQUENCY / 1000),
            _ => Self::ring(guest),
        }
    }
}

/// It starts over, as by kexec or a restart of its machine.
fn restart(sys: &mut System, index: usize) {
    // Long enough to count as a life.
    sys.advance(2 * sim::FREQUENCY);
    let mut guest = sys.guest(index);
    guest.put(ARGS, &Shutdown { reason: 1 });
    assert_eq!(guest.try_hvc(SCHED_OP, &[SHUTDOWN, ARGS]), Ran::Restarts);
    sys.advance(sim::FREQUENCY);
    assert!(sys.is_alive(index));
}

/// Does so many steps from this seed.
fn run(seed: u64, steps: u64) {
    let mut sys = System::new(&[
        Domain::new("linux1").enhanced("enabled").with_cpus(2),
        Domain::new("linux2").enhanced("enabled"),
        Domain::new("linux3").heap().enhanced("enabled"),
    ]);
    let mut random = Random(seed | 1);
    let mut wild: [Wild; WILD] = Default::default();
    let mut guest = sys.guest(TAME);
    let mut tame = Bus::probe(&mut guest);
    assert_eq!(tame.ask(&mut guest, kind::WRITE, "data/kept|0"), "OK|");
    let mut kept = 0;
    for step in 1..=steps {
        let index = usize::try_from(random.below(WILD as u64)).expect("small");
        if random.below(5000) == 0 {
            restart(&mut sys, index);
            wild[index] = Wild::default();
            continue;
        }
        let mut guest = sys.guest(index);
        wild[index].step(&mut guest, &mut random);
        if step % EACH != 0 {
            continue;
        }
        // Time for its credit to come back: who writes much waits, as on Xen.
        sys.advance(sim::FREQUENCY / 10);
        let mut guest = sys.guest(TAME);
        let before = tame.ask(&mut guest, kind::READ, "data/kept|");
        assert_eq!(before, kept.to_string(), "step {step}");
        kept += 1;
        let write = format!("data/kept|{kept}");
        assert_eq!(
            tame.ask(&mut guest, kind::WRITE, &write),
            "OK|",
            "step {step}"
        );
        assert!((0..=TAME).all(|index| sys.is_alive(index)), "step {step}");
    }
    sys.assert_consistent();
    // Whatever was done to it, a ring can be had afresh.
    for index in 0..WILD {
        restart(&mut sys, index);
        let mut guest = sys.guest(index);
        let mut bus = Bus::probe(&mut guest);
        let id = (index + 1).to_string();
        assert_eq!(bus.ask(&mut guest, kind::READ, "domid|"), id);
    }
}

#[test]
fn what_others_do_to_their_rings_hurts_nobody() {
    for seed in 1..=4 {
        run(seed << 32, STEPS);
    }
}

/// The same for as many steps as are asked for.
#[test]
#[ignore = "takes minutes"]
fn what_others_do_for_long_hurts_nobody() {
    common::for_long_from_seeds(10 * STEPS, run);
}
