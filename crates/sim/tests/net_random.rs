//! Guests that do anything to the rings of their network interfaces, while two others in the same
//! network send each other frames.
//!
//! `ZAZEN_STEPS=1000000 cargo test --release -p sim --test net_random -- --ignored --nocapture`
//! does so many steps.

mod common;
#[path = "common/front.rs"]
mod front;
#[path = "common/store.rs"]
mod store;

use front::{FIRST_GREF, Front, GRANTS, PAGES, RECEIVED, mac, page};
use hv_types::Mac;
use net_server::Dropped;
use sim::{Domain, System};
use xen_abi::grant::gtf;
use xen_abi::netif::{Extra, RX_SLOT, RxRequest, TX_SLOT, TxRequest, extra, status, tx};
use xen_abi::ring::{HEADER, REQ_EVENT, REQ_PROD, RSP_EVENT, RSP_PROD};
use xen_abi::store::kind;
use xen_abi::xenbus::state;

/// Steps where nobody says how many, and after how many the guests that keep to the rules send.
const STEPS: u64 = 5000;
const EACH: u64 = 25;
/// Guests that do anything, and those that do not.
const WILD: usize = 2;
const TAME: [usize; 2] = [WILD, WILD + 1];
/// The last byte of their addresses.
const TAME_MACS: [u8; 2] = [2, 3];
/// Slots of either ring.
const SLOTS: u64 = 256;

/// Marsaglia's xorshift.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 >> 11
    }

    /// Below `end`, which is small.
    fn below(&mut self, end: u32) -> u32 {
        u32::try_from(self.next() % u64::from(end)).expect("below end")
    }

    #[expect(clippy::cast_possible_truncation, reason = "any bits")]
    fn bits(&mut self) -> u32 {
        self.next() as u32
    }

    #[expect(clippy::cast_possible_truncation, reason = "any bits")]
    fn short(&mut self) -> u16 {
        self.next() as u16
    }

    /// A word that a ring's index may be near, or any.
    fn index(&mut self, near: u32) -> u32 {
        match self.below(4) {
            0 => self.bits(),
            _ => near.wrapping_add(self.below(300)).wrapping_sub(20),
        }
    }
}

/// Any request of the ring that sends, most of them such that something may be sent.
fn request(random: &mut Random) -> TxRequest {
    let sane = random.below(4) != 0;
    TxRequest {
        gref: FIRST_GREF + random.below(if sane { RECEIVED + PAGES } else { 40 }),
        offset: if sane { 0 } else { random.short() },
        flags: if sane { 0 } else { random.short() & 0x1f },
        id: random.short(),
        size: if sane {
            14 + random.short() % 3000
        } else {
            random.short()
        },
    }
}

/// Any extra information.
fn information(random: &mut Random) -> Extra {
    let [a, b, c, d] = random.bits().to_le_bytes();
    Extra {
        kind: a % (extra::MAX + 2),
        flags: b & extra::MORE,
        data: [a, b, c % 3, d, a, b],
    }
}

/// One step of a guest that does anything.
fn step(sys: &mut System, fronts: &mut [Front], index: usize, random: &mut Random) {
    let guest = &mut sys.guest(index);
    let front = &mut fronts[index];
    let [sends, receives] = [page(0), page(1)];
    match random.below(24) {
        // Packets in their order, and the event.
        0..8 => {
            let mut prod: u32 = guest.get(sends + u64::from(REQ_PROD));
            for _ in 0..=random.below(3) {
                let slot = sends + u64::from(HEADER) + u64::from(prod) % SLOTS * TX_SLOT as u64;
                let request = request(random);
                guest.put(slot, &request);
                prod = prod.wrapping_add(1);
                if request.flags & tx::EXTRA_INFO != 0 {
                    let slot = sends + u64::from(HEADER) + u64::from(prod) % SLOTS * TX_SLOT as u64;
                    guest.put(slot, &information(random));
                    prod = prod.wrapping_add(1);
                }
            }
            guest.put(sends + u64::from(REQ_PROD), &prod);
            guest.send(front.port);
        }
        // Addresses in front of whatever is sent.
        8..11 => {
            let who = u8::try_from(random.below(6)).expect("few");
            let to = [mac(2), mac(3), mac(who), Mac::BROADCAST][random.below(4) as usize];
            let from = if random.below(4) == 0 {
                mac(who)
            } else {
                mac(u8::from(index != 0))
            };
            let at = page(random.below(RECEIVED + PAGES).max(2));
            guest.put(at, &[to.0, from.0]);
        }
        // Pages to be filled, read-only ones too.
        11..14 => {
            let mut prod: u32 = guest.get(receives + u64::from(REQ_PROD));
            for _ in 0..=random.below(20) {
                let request = RxRequest {
                    id: random.short(),
                    pad: random.short(),
                    gref: FIRST_GREF + random.below(20),
                };
                let slot = receives + u64::from(HEADER) + u64::from(prod) % SLOTS * RX_SLOT as u64;
                guest.put(slot, &request);
                prod = prod.wrapping_add(1);
            }
            guest.put(receives + u64::from(REQ_PROD), &prod);
            guest.send(front.port);
        }
        // Indices that jump, those that are the back end's too.
        14..16 => {
            let ring = [sends, receives][random.below(2) as usize];
            let field = [REQ_PROD, REQ_EVENT, RSP_PROD, RSP_EVENT][random.below(4) as usize];
            let now: u32 = guest.get(ring + u64::from(field));
            guest.put(ring + u64::from(field), &random.index(now));
            guest.send(front.port);
        }
        // Grants that are withdrawn, read-only, of no page, or given again.
        16..19 => {
            let number = random.below(RECEIVED + PAGES);
            let flags = [
                0,
                gtf::PERMIT_ACCESS,
                gtf::PERMIT_ACCESS | gtf::READONLY,
                random.short(),
            ];
            let gfn = match random.below(4) {
                0 => random.bits(),
                _ => u32::try_from(page(number) >> 12).expect("a page of the guest's"),
            };
            let entry = u64::from(flags[random.below(4) as usize]) | u64::from(gfn) << 32;
            guest.put(GRANTS + 8 * u64::from(FIRST_GREF + number), &entry);
        }
        // Any word of the rings.
        19..21 => {
            let at = page(random.below(2)) + u64::from(random.below(1024)) * 4;
            let word = random.bits();
            guest.put(at, &word);
        }
        // Any state, and anything where the back end will look.
        21..23 => {
            let name = [
                "state",
                "state",
                "tx-ring-ref",
                "rx-ring-ref",
                "event-channel",
                "request-rx-copy",
                "multi-queue-num-queues",
                "request-multicast-control",
            ][random.below(8) as usize];
            let value = random.below(10);
            let message = format!("device/vif/0/{name}|{value}");
            front.bus.ask(guest, kind::WRITE, &message);
        }
        // All anew, as a kernel does that was loaded anew.
        _ => front.again(guest),
    }
}

/// Frame `number`, which no other is like.
fn text(number: u64) -> [u8; 88] {
    let mut text = [0x5a; 88];
    text[..8].copy_from_slice(&number.to_le_bytes());
    text
}

/// Takes what has come to the guest `to` until that frame; whether that has come.
fn hears(sys: &mut System, fronts: &mut [Front], to: usize, number: u64) -> bool {
    let source = mac(TAME_MACS[usize::from(to == TAME[0])]);
    let guest = &mut sys.guest(to);
    let mut heard = false;
    while let Some(frame) = fronts[to].receive(guest) {
        let sender = &frame[6..12];
        assert!(
            (0..4).any(|guest| sender == mac(guest).0),
            "from nobody of the network: {sender:x?}"
        );
        if sender == source.0 {
            assert_eq!(frame[12..], text(number), "nobody else sends as {source}");
            heard = true;
        }
    }
    heard
}

/// Some steps; at the end all still have what they need.
fn run(seed: u64, steps: u64) {
    let domains = (0..4).map(|guest: u8| {
        let name = ["wild1", "wild2", "tame1", "tame2"][usize::from(guest)];
        // The heap is too small for all.
        let domain = Domain::new(name);
        let domain = if guest < 2 { domain.heap() } else { domain };
        domain.enhanced("enabled").with_nic(1, mac(guest))
    });
    let mut sys = System::new(&domains.collect::<Vec<_>>());
    let mut fronts: Vec<_> = (0..4)
        .map(|guest| Front::connect(&mut sys.guest(guest)))
        .collect();
    let mut random = Random(seed);
    for number in 0..steps {
        let index = random.below(2) as usize;
        step(&mut sys, &mut fronts, index, &mut random);
        // Who does not take what has come loses what comes then, and that is no fault.
        for to in TAME {
            assert!(!hears(&mut sys, &mut fronts, to, 0), "nobody has sent it");
        }
        if number % EACH != 0 {
            continue;
        }
        // What groups may be sent comes back, and so does what the store lets a guest do.
        sys.advance(sim::FREQUENCY / 10);
        for (from, to) in [(TAME[0], TAME[1]), (TAME[1], TAME[0])] {
            let [target, source] = TAME_MACS.map(mac);
            let (target, source) = if to == TAME[0] {
                (target, source)
            } else {
                (source, target)
            };
            let sent = fronts[from].send_with(&mut sys.guest(from), target, source, text(number));
            assert_eq!(sent, Some(status::OKAY), "step {number}");
            assert!(
                hears(&mut sys, &mut fronts, to, number),
                "step {number}: {from} sends, {to} does not hear"
            );
        }
        assert!((0..4).all(|index| sys.is_alive(index)), "step {number}");
    }
    sys.assert_consistent();
    // What it was about has happened.
    let logs = (0..WILD).flat_map(|index| sys.vmm_log(index));
    assert!(logs.filter(|line| line.contains("broke its ring")).count() > 0);
    assert!((0..WILD).all(|index| sys.port(index, 0).dropped(Dropped::Forged) > 0));
    assert!(
        sys.port(TAME[0], 0).received > 2 * steps / EACH,
        "wild ones reach it, too"
    );
    // Whatever was done to an interface, it can be had afresh.
    for (index, front) in fronts.iter_mut().enumerate().take(WILD) {
        let mut guest = sys.guest(index);
        front.again(&mut guest);
        let state = front.back(&mut guest, "state");
        assert_eq!(state, state::CONNECTED.to_string(), "{index}");
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
    common::for_long_from_seeds(4 * STEPS, run);
}
