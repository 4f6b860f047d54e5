//! A front end of a network interface that sends anything, withdraws what it has granted, pretends
//! to be others and breaks its rings: whoever else is in its network must not notice, and in the
//! end it is served like everybody who keeps to the rules.

mod front;

use front::{DATA, Front, RECEIVES, RECEIVES_RING, RING, SENDS};

use crate::device::{ACCESS, PATIENCE, Random, give_way, grant};
use crate::page::{self, Use};
use crate::report::Report;
use crate::{cpu, println};

/// Requests where nobody says how many.
const REQUESTS: u64 = 20_000;
/// Requests of a round.
const ROUND: u64 = 64;
/// The part of a second that it waits for a round.
const PART: u64 = 50;
/// Rounds between two lines that say how far it is.
const TOLD: u64 = 2048;
/// What its address is in the domains file, from its first byte on.
const MAC: [u8; 6] = [2, 0, 0, 0, 0, 0xbd];
/// Bytes of a frame that is as it should be.
const FRAME: u32 = 60;

/// A request to send that means nothing, or almost something.
fn malformed(random: &mut Random) -> [u32; SENDS] {
    let any = [
        random.next() as u32,
        random.next() as u32,
        random.next() as u32,
    ];
    if random.one_in(4) {
        return any;
    }
    // A grant near those that there are, an offset, flags (netif.h), a number and a length.
    let gref = RING + random.next() % 4;
    let (offset, size) = (random.next() % 4200, random.next() % 4200);
    let offset = if random.one_in(2) { 0 } else { offset };
    let flags = if random.one_in(2) {
        0
    } else {
        random.next() % 16
    };
    let [_, _, number] = any;
    [
        gref as u32,
        (offset | flags << 16) as u32,
        number & 0xffff | (size << 16) as u32,
    ]
}

/// Puts addresses in front of what is sent: to all or to anybody, from itself or from another.
fn address(random: &mut Random) {
    let to = if random.one_in(2) {
        u64::MAX
    } else {
        random.next() & !1
    };
    let mut from = MAC;
    if random.one_in(3) {
        from[5] = random.next() as u8;
    }
    let [a, b, c, d, e, f] = from;
    let [g, h, i, j, k, l, ..] = to.to_le_bytes();
    page::write(Use::Data, 0, u64::from_le_bytes([g, h, i, j, k, l, a, b]));
    page::write_half(Use::Data, 8, u32::from_le_bytes([c, d, e, f]));
}

/// Takes the page back, and gives it again, while it is in use.
fn withdraw() {
    grant(DATA, 0, Use::Data);
    give_way();
    grant(DATA, ACCESS, Use::Data);
}

/// A jump of an index: more requests than slots, or than there are; mostly none.
fn jump(random: &mut Random) -> u32 {
    if random.one_in(64) {
        random.next() as u32
    } else {
        0
    }
}

/// Runs the set with so many requests.
pub fn run(report: &mut Report, requests: Option<u64>) {
    let requests = requests.unwrap_or(REQUESTS);
    let Some(mut front) = Front::new() else {
        return report.check("net", "connect", false, format_args!("there is no store"));
    };
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let connected = front.connect();
    report.check("net", "connect", connected, format_args!("the first time"));
    println!("net: the attack begins");
    let short = cpu::frequency() / PART;
    let (mut sent, mut rounds, mut again, mut lost) = (0, 0u64, 0u64, 0u64);
    while sent < requests {
        address(&mut random);
        for _ in 0..ROUND {
            front.put(malformed(&mut random));
            // What is received goes over the frame, into a ring, or nowhere.
            let gref = (RING + random.next() % 4) as u32;
            let request: [u32; RECEIVES] = [random.next() as u32, gref];
            front.ask(request);
        }
        sent += ROUND;
        rounds += 1;
        let jumps = [jump(&mut random), jump(&mut random)];
        if random.one_in(64) {
            grant(RING, 0, Use::Ring);
        }
        if random.one_in(64) {
            grant(RECEIVES_RING, 0, Use::Receives);
        }
        front.show(jumps);
        if !front.wait(short, withdraw) || jumps != [0; 2] {
            again += 1;
            lost += u64::from(!front.connect());
        }
        if rounds.is_multiple_of(TOLD) {
            println!("net: {sent} requests, connected again {again} times");
        }
    }
    report.check(
        "net",
        "connect-again",
        lost == 0 && again > 0,
        format_args!("{again} times, {lost} of them in vain, {sent} requests"),
    );
    let connected = front.connect();
    let [a, b, c, d, e, f] = MAC;
    page::write(
        Use::Data,
        0,
        u64::from_le_bytes([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, a, b]),
    );
    page::write_half(Use::Data, 8, u32::from_le_bytes([c, d, e, f]));
    front.put([DATA as u32, 0, 1 | FRAME << 16]);
    front.show([0; 2]);
    let answered = front.wait(PATIENCE * cpu::frequency(), || ());
    let status = front.status();
    report.check(
        "net",
        "served-afterwards",
        connected && answered && status == 0,
        format_args!("connected {connected}, answered {answered}, status {status}"),
    );
}
