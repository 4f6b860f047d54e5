//! A front end that asks for anything, withdraws what it has granted and breaks its ring: whoever
//! else has a disk must not notice, and in the end it is served like everybody who keeps to the
//! rules.

mod front;

use front::{DATA, Front, RING, SLOTS, WORDS};

use crate::device::{ACCESS, PATIENCE, Random, give_way, grant};
use crate::page::Use;
use crate::report::Report;
use crate::{cpu, println};

/// Requests where nobody says how many.
const REQUESTS: u64 = 20_000;
/// The part of a second that it waits for its requests, which may be on their way for longer.
const PART: u64 = 50;
/// Rounds between two lines that say how far it is.
const TOLD: u64 = 2048;

/// A request of words that mean nothing, or almost something.
fn malformed(random: &mut Random) -> [u64; WORDS] {
    let mut words = [0; WORDS];
    for word in &mut words {
        *word = random.next() >> (random.next() % 64);
    }
    if random.one_in(2) {
        // An operation that there is, with few segments, and sectors near the disk's.
        let (op, count) = (random.next() % 8, random.next() % 13);
        words[0] = op | count << 8;
        words[2] = random.next() % 4096;
    }
    for word in words.iter_mut().skip(3) {
        if random.one_in(2) {
            // A segment: a grant, and sectors that may be the wrong way round or too many.
            let (gref, sectors) = (RING + random.next() % 4, random.next() & 0x0f0f);
            *word = gref | sectors << 32;
        }
    }
    words
}

/// Takes the page back, and gives it again, while it is in use.
fn withdraw() {
    grant(DATA, 0, Use::Data);
    give_way();
    grant(DATA, ACCESS, Use::Data);
}

/// Runs the set with so many requests.
pub fn run(report: &mut Report, requests: Option<u64>) {
    let requests = requests.unwrap_or(REQUESTS);
    let Some(mut front) = Front::new() else {
        return report.check("disk", "connect", false, format_args!("there is no store"));
    };
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let connected = front.connect();
    report.check("disk", "connect", connected, format_args!("the first time"));
    println!("disk: the attack begins");
    let short = cpu::frequency() / PART;
    let (mut sent, mut rounds, mut again, mut lost) = (0, 0u64, 0u64, 0u64);
    while sent < requests {
        for _ in 0..SLOTS {
            front.put(&malformed(&mut random));
        }
        sent += u64::from(SLOTS);
        rounds += 1;
        // More requests than slots, and more than there are.
        let jump = if random.one_in(64) {
            random.next() as u32
        } else {
            0
        };
        if random.one_in(64) {
            grant(RING, 0, Use::Ring);
        }
        front.show(jump);
        if !front.wait(short, withdraw) || jump != 0 {
            again += 1;
            lost += u64::from(!front.connect());
        }
        if rounds.is_multiple_of(TOLD) {
            println!("disk: {sent} requests, connected again {again} times");
        }
    }
    report.check(
        "disk",
        "connect-again",
        lost == 0 && again > 0,
        format_args!("{again} times, {lost} of them in vain, {sent} requests"),
    );
    let connected = front.connect();
    // One sector of the disk into the page: operation 0, one segment.
    let mut read = [0; WORDS];
    read[0] = 1 << 8;
    read[3] = DATA;
    front.put(&read);
    front.show(0);
    let answered = front.wait(PATIENCE * cpu::frequency(), || ());
    let status = front.status();
    report.check(
        "disk",
        "served-afterwards",
        connected && answered && status == 0,
        format_args!("connected {connected}, answered {answered}, status {status}"),
    );
}
