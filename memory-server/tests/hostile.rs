//! Clients that send anything, and clients that fall silent: the others go on.
#![allow(missing_docs, reason = "tests")]

mod common;

use common::{BOUND, D0, D1, MIB, System, domain, memory};
use memory_server::{DomainConfig, DomainIndex, Life, Purpose};
use memory_server_api::{
    Batch, Error, Extra, MAX_BATCH, MAX_WORDS, Message, Reply, Request, Slot, SplitKind,
};

const D2: DomainIndex = DomainIndex(2);
/// Messages of each of two clients.
const MESSAGES: u32 = 500_000;

/// Xorshift (Marsaglia 2003): the same messages in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
    fn below(&mut self, n: u64) -> u64 {
        (self.next() >> 16) % n
    }
    fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.below(len as u64)).expect("below a length")
    }
}

/// A static domain, two heap domains, and a heap that has room for what both can have, whole or in
/// pieces.
fn three() -> System {
    let third = DomainConfig {
        name: DomainConfig::pad_name("third"),
        ..domain(3, false, 4)
    };
    let tables = |d: DomainIndex, paddr| memory(paddr, 14, false, Purpose::Tables(d));
    System::new(
        &[domain(1, true, 4), domain(2, false, 4), third],
        &[
            memory(0x4000_0000, 22, true, Purpose::Static(D0)),
            memory(0x8000_0000, 24, false, Purpose::Heap),
            tables(D0, 0x6000_0000),
            tables(D1, 0x6000_4000),
            tables(D2, 0x6000_8000),
        ],
        10,
    )
}

fn batch(items: impl IntoIterator<Item = u32>) -> Batch {
    let mut batch = Batch::EMPTY;
    items.into_iter().for_each(|item| assert!(batch.push(item)));
    batch
}

/// A domain whose balloon goes on whatever the others do.
struct Victim {
    d: DomainIndex,
    slots: Vec<Slot>,
    rounds: u32,
}

impl Victim {
    /// Has 1024 pages, all of them single ones.
    fn new(s: &mut System, d: DomainIndex) -> Self {
        let run = s.blocks(d, 64).unwrap();
        assert_eq!(run.count, 2);
        let mut slots = Vec::new();
        for n in 0..2 {
            let slot = run.slot(n);
            let Ok(Reply::Split { kind, pages }) = s.ask(d, Request::split(slot)) else {
                panic!("the block is not split")
            };
            if kind == SplitKind::Copy {
                s.ask(d, Request::SplitDone { slot }).unwrap();
            }
            slots.extend((0..512).map(|n| pages.slot(n)));
        }
        let rounds = 0;
        Self { d, slots, rounds }
    }

    fn give(&mut self, s: &mut System, count: usize) {
        for part in self
            .slots
            .split_off(self.slots.len() - count)
            .chunks(MAX_BATCH)
        {
            let slots = batch(part.iter().map(|slot| slot.0));
            let done = match s.ask(self.d, Request::ReleasePages { slots }) {
                Ok(Reply::Released(released)) => released.done,
                other => panic!("{other:?}"),
            };
            assert_eq!(done, part.len());
        }
    }

    fn take(&mut self, s: &mut System) {
        while self.slots.len() < 1024 {
            let count = (1024 - self.slots.len()).min(MAX_BATCH);
            let gfns = batch((0..).take(count));
            match s.ask(self.d, Request::PopulatePages { gfns }) {
                Ok(Reply::Pages(pages)) => self.slots.extend(pages.iter()),
                other => panic!("{:?} does not get its memory back: {other:?}", self.d),
            }
        }
        self.rounds += 1;
        assert_eq!(s.usage(self.d).ram, 1024);
    }
}

/// A message of any label and words, often one that is nearly right.
fn garbage(random: &mut Random, slots: &[Slot], words: &mut [u64; 120]) -> (u64, usize) {
    let label = match random.below(8) {
        0 => random.next(),
        _ => random.below(16),
    };
    let len = match random.below(8) {
        0 => random.index(121),
        1..4 => random.index(4),
        _ => {
            let right = [0, 0, 0, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 2, 3, 0];
            right[usize::try_from(label & 15).expect("4 bits")]
        }
    };
    for word in &mut words[..len] {
        *word = match random.below(8) {
            0 => random.next(),
            1 => 1 << random.below(64),
            2..5 => random.below(70),
            _ => {
                let nth = random.index(slots.len().max(1));
                slots.get(nth).map_or(0, |slot| u64::from(slot.0))
            }
        };
    }
    // A count that fits its items makes a batch.
    if (label == 4 || label == 13) && (2..=33).contains(&len) && random.below(2) == 0 {
        words[0] = 2 * (len as u64 - 1);
    }
    (label, len)
}

/// SM-4, SM-13, SM-22, SM-24, BL-3: a million messages of garbage from two domains, a static one
/// and one of the heap, do not disturb the balloon of a third, are answered with bounded work each,
/// and leave few lines in the log.
#[test]
fn a_million_messages_of_garbage_harm_nobody_else() {
    for (sender, seed) in [(D0, 0x5eed_0001_u64), (D1, 0x5eed_0002)] {
        let mut s = three();
        let mut victim = Victim::new(&mut s, D2);
        let mut random = Random(seed);
        let (mut words, mut reply) = ([0; 120], [0; MAX_WORDS]);
        let mut slots: Vec<Slot> = Vec::new();
        let (mut served, mut refused) = (0u32, 0u32);
        for n in 0..MESSAGES {
            let (label, len) = garbage(&mut random, &slots, &mut words);
            let message = Message {
                label,
                words: &words[..len],
            };
            s.kernel.cost = 0;
            let answer = s.server.on_ppc(&mut s.kernel, sender, message, &mut reply);
            assert!(s.kernel.cost <= BOUND, "{message:?}: {}", s.kernel.cost);
            if answer.label == 0 {
                served += 1;
            } else {
                refused += 1;
            }
            match n % 2048 {
                500 => victim.give(&mut s, 64),
                1000 => victim.take(&mut s),
                1500 => {
                    let held = s.kernel.granted.keys().filter(|(d, _)| *d == sender);
                    slots = held.map(|(_, slot)| *slot).collect();
                }
                _ => {}
            }
        }
        assert!(
            served > MESSAGES / 20 && refused > MESSAGES / 4,
            "{served} {refused}"
        );
        assert_eq!((victim.rounds, victim.slots.len()), (MESSAGES / 2048, 1024));
        // Its pages are its own: no other domain has a capability of one.
        let others: Vec<u64> = s.kernel.of(sender.0).into_values().collect();
        assert!(s.kernel.of(2).values().all(|paddr| !others.contains(paddr)));
        assert!(s.kernel.operations > 10_000, "{}", s.kernel.operations);
        assert!(s.kernel.log.len() < 40, "{} lines", s.kernel.log.len());
        let totals = s.server.totals();
        assert_eq!((totals.sum(), totals.lost), (totals.all, 0));
        // And the sender leaves nothing behind.
        s.server.destroy(&mut s.kernel, sender).unwrap();
        assert_eq!(s.kernel.of(sender.0).len(), 0);
        victim.give(&mut s, 1024);
        victim.take(&mut s);
    }
}

/// SM-3, SM-15, SM-16, EX-6: a client that falls silent in the middle of something holds up nobody,
/// and the end of its domain takes everything back.
#[test]
fn a_client_that_never_answers_holds_up_nobody() {
    type Start = fn(&mut System);
    let starts: [(&str, Start); 5] = [
        ("a copy that is never finished", |s| {
            let slot = s.blocks(D1, 2).unwrap().first;
            s.ask(D1, Request::split(slot)).unwrap();
        }),
        ("a copy with a page given back", |s| {
            let slot = s.blocks(D1, 1).unwrap().first;
            let Ok(Reply::Split { pages, .. }) = s.ask(D1, Request::split(slot)) else {
                panic!("not split")
            };
            s.release(D1, pages.slot(17)).unwrap();
        }),
        ("returned blocks and pages", |s| {
            let run = s.blocks(D1, 1).unwrap();
            s.release(D1, run.first).unwrap();
            let page = s.page(D1).unwrap();
            s.release(D1, page).unwrap();
        }),
        ("extra pages and page tables", |s| {
            let kind = Extra::GrantFrame(7);
            s.ask(D1, Request::CreateExtra { kind }).unwrap();
            s.ask(D1, Request::Tables { count: 3 }).unwrap();
        }),
        ("dying, half taken back", |s| {
            let page = s.page(D1).unwrap();
            s.page(D1).unwrap();
            s.release(D1, page).unwrap();
            s.kernel.fail_in = Some(1);
            assert_eq!(s.server.destroy(&mut s.kernel, D1), Err(Error::Kernel));
            assert_eq!(s.server.life(D1), Some(Life::Dying));
        }),
    ];
    for (what, start) in starts {
        let mut s = three();
        start(&mut s);
        let mut victim = Victim::new(&mut s, D2);
        for _ in 0..20 {
            victim.give(&mut s, 1024);
            victim.take(&mut s);
        }
        // The static domain too.
        let run = s.blocks(D0, 64).unwrap();
        s.ask(D0, Request::split(run.first)).unwrap();
        let totals = s.server.totals();
        assert_eq!((totals.sum(), totals.lost), (totals.all, 0), "{what}");
        s.server.destroy(&mut s.kernel, D1).unwrap();
        assert_eq!(s.kernel.of(1).len(), 0, "{what}");
        let usage = s.usage(D1);
        assert_eq!(
            (usage.ram, usage.extra, usage.returned, usage.tables),
            (0, 0, 0, 0),
            "{what}"
        );
        // All of the heap that the third domain does not hold is free, and serves the next life.
        let t = s.server.totals().settled();
        assert_eq!(
            (t.copying, t.extra, t.heap_free),
            (0, 0, 12 * MIB),
            "{what}"
        );
        s.server.revive(D1).unwrap();
        assert_eq!(s.blocks(D1, 64).unwrap().count, 2, "{what}");
    }
}

/// BL-1, BL-2, SM-8: a batch says how far it came and why not further, and what was done stays
/// done.
#[test]
fn a_batch_does_as_much_as_it_can() {
    let mut s = three();
    let run = s.blocks(D0, 2).unwrap();
    let Ok(Reply::Split { pages, .. }) = s.ask(D0, Request::split(run.first)) else {
        panic!("not split")
    };
    // The third of four is not the domain's.
    let slots = batch([
        pages.slot(0).0,
        pages.slot(1).0,
        pages.slot(1).0,
        pages.slot(2).0,
    ]);
    match s.ask(D0, Request::ReleasePages { slots }) {
        Ok(Reply::Released(released)) => {
            assert_eq!((released.done, released.error), (2, Some(Error::NotYours)));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!((s.usage(D0).ram, s.usage(D0).reserve), (1022, 2));
    let line = "d1: memory request 13 refused: NotYours (refusal 1)";
    assert_eq!(s.kernel.log, [line]);
    // Five are asked for where two are left.
    let gfns = batch(100..105);
    match s.ask(D0, Request::PopulatePages { gfns }) {
        Ok(Reply::Pages(got)) => {
            assert_eq!((got.len(), got.error), (2, Some(Error::OverQuota)));
            let seen: Vec<_> = got.iter().collect();
            assert_eq!(seen, [pages.slot(0), pages.slot(1)]);
        }
        other => panic!("{other:?}"),
    }
    let none = s.ask(D0, Request::PopulatePages { gfns });
    assert_eq!(none, Err(Error::OverQuota));
}
