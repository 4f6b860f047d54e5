//! What the dearest messages cost, by what the kernel really makes, deletes and zeroes for them.
//!
//! [`System::send`] holds every message of every test against the bound. Here neighbours prepare
//! the dearest ones.
#![allow(missing_docs, reason = "tests")]

mod common;

use common::{BOUND, D0, D1, MIB, System, domain, memory};
use hv_types::Gfn;
use memory_server::{DomainConfig, DomainIndex, Purpose, cost};
use memory_server_api::{
    ALIASES, Batch, CHUNK_PAGES, Error, Extra, MAX_BATCH, Reply, Request, Slot, SplitKind,
};
use proptest::prelude::*;

/// `domains` domains on the heap of `mib` MiB, which the kernel owns or not, and page tables
/// of 2 MiB for each.
fn neighbours(domains: u8, mib: u64, device: bool, splits: u16) -> System {
    let configs: Vec<DomainConfig> = (0..domains)
        .map(|n| DomainConfig {
            grant_radix: 17,
            table_quota: 512,
            ..domain(u16::from(n) + 1, false, mib)
        })
        .collect();
    let bits = u8::try_from((mib * MIB).ilog2()).unwrap();
    let mut untypeds = vec![memory(0x8000_0000, bits, device, Purpose::Heap)];
    untypeds.extend((0..domains).map(|n| {
        let tables = Purpose::Tables(DomainIndex(n));
        memory(0x4000_0000 + u64::from(n) * 2 * MIB, 21, false, tables)
    }));
    System::new(&configs, &untypeds, splits)
}

fn batch(items: impl IntoIterator<Item = u32>) -> Batch {
    let mut batch = Batch::EMPTY;
    items.into_iter().for_each(|item| assert!(batch.push(item)));
    batch
}

/// Up to `most` pages for `d`.
fn take_pages(s: &mut System, d: DomainIndex, most: usize) -> Vec<Slot> {
    let mut slots: Vec<Slot> = Vec::new();
    while slots.len() < most {
        let count = MAX_BATCH.min(most - slots.len());
        let gfns = batch((0..).take(count));
        match s.ask(d, Request::PopulatePages { gfns }) {
            Ok(Reply::Pages(pages)) => slots.extend(pages.iter()),
            _ => break,
        }
    }
    slots
}

fn give_pages(s: &mut System, d: DomainIndex, slots: &[Slot]) {
    for part in slots.chunks(MAX_BATCH) {
        let slots = batch(part.iter().map(|slot| slot.0));
        s.ask(d, Request::ReleasePages { slots }).unwrap();
    }
}

/// Has all aliases of `d` on one page.
fn alias_all(s: &mut System, d: DomainIndex, slot: Slot) {
    for alias in 0..ALIASES {
        s.ask(d, Request::Alias { slot, alias }).unwrap();
    }
}

/// A neighbour had all of the heap in pages and gave it back; what others ask for then costs each
/// message no more than it may, and all of it can be had.
#[test]
fn what_one_neighbour_gave_back_split() {
    for device in [false, true] {
        let mut s = neighbours(2, 32, device, 16);
        let slots = take_pages(&mut s, D0, usize::MAX);
        assert!(slots.len() >= 15 * 512, "{}", slots.len());
        alias_all(&mut s, D0, slots[77]);
        give_pages(&mut s, D0, &slots);
        let (operations, deleted) = (s.kernel.operations, s.kernel.deleted);
        let run = s.blocks(D1, 14).unwrap();
        assert_eq!(run.count, 14);
        // Each of 512 pages with its copy.
        let deleted = s.kernel.deleted - deleted;
        assert!(deleted >= 14 * 512 * 2, "{deleted}");
        assert!(s.kernel.operations - operations < 200);
        assert!(s.dearest <= BOUND);
    }
}

/// The same by eight neighbours, each with all of its aliases in one block: more capabilities than
/// one message may delete.
#[test]
fn what_all_neighbours_gave_back_split() {
    for device in [false, true] {
        let mut s = neighbours(8, 8, device, 4);
        let all: Vec<DomainIndex> = (0..8).map(DomainIndex).collect();
        // Each block belongs to seven, some 73 pages each; the eighth asks.
        let mut held: Vec<Vec<Slot>> = vec![Vec::new(); 7];
        loop {
            let mut got = 0;
            for (d, slots) in held.iter_mut().enumerate() {
                let more = take_pages(&mut s, all[d], 73);
                got += more.len();
                slots.extend(more);
            }
            if got == 0 {
                break;
            }
        }
        for (d, slots) in held.iter().enumerate() {
            if let Some(slot) = slots.first() {
                alias_all(&mut s, all[d], *slot);
            }
        }
        for (d, slots) in held.iter().enumerate() {
            give_pages(&mut s, all[d], slots);
        }
        let deleted = s.kernel.deleted;
        assert!(s.blocks(all[7], 3).unwrap().count >= 2);
        assert!(s.kernel.deleted - deleted > 3 * 512);
    }
}

/// A single page with all aliases, for each domain that can be told to give one up, in one batch.
#[test]
fn pages_with_all_aliases_in_one_batch() {
    let mut s = neighbours(8, 2, false, 1);
    let each = 73;
    for d in 0..7 {
        let slots = take_pages(&mut s, DomainIndex(d), each);
        assert_eq!(slots.len(), if d < 7 { each } else { 1 });
        alias_all(&mut s, DomainIndex(d), slots[0]);
        give_pages(&mut s, DomainIndex(d), &slots);
    }
    let deleted = s.kernel.deleted;
    let slots = take_pages(&mut s, DomainIndex(7), 512);
    assert_eq!(slots.len(), 512);
    assert_eq!(s.kernel.deleted - deleted, 7 * (73 + ALIASES));
}

/// A split of either kind is cheap, whatever its block was before, and so is each chunk of it, in
/// any order and however often it is asked for. The end of the domain in the middle of it leaves
/// nothing behind and loses nothing.
#[test]
fn a_split_and_its_chunks_are_small() {
    for device in [false, true] {
        for chunks in [0, 1, 7, 32] {
            let mut s = neighbours(2, 8, device, 4);
            let free = s.server.totals().heap_free;
            let slot = s.blocks(D0, 1).unwrap().first;
            let answer = s.send(D0, Request::split(slot));
            assert!(s.kernel.cost + cost::RECORD_SPLIT < 20_000);
            let Ok(Reply::Split { kind, pages }) = answer else {
                panic!("{answer:?}");
            };
            assert_eq!(kind == SplitKind::InPlace, device);
            assert_eq!(s.usage(D0).ram, 512);
            let before = s.kernel.of(0).len();
            let mut frames = Vec::new();
            for n in 0..chunks {
                // 5 and 32 have no common divisor.
                let page = n * 5 % 32 * CHUNK_PAGES + n % CHUNK_PAGES;
                let request = Request::Chunk {
                    slot: pages.slot(page),
                };
                let reply = s.send(D0, request);
                assert_eq!(reply, Ok(Reply::Done));
                assert!(s.kernel.cost < 75_000, "{}", s.kernel.cost);
                let operations = s.kernel.operations;
                assert_eq!(s.send(D0, request), reply);
                assert_eq!(s.kernel.operations, operations, "it has them");
                let first = page - page % CHUNK_PAGES;
                frames
                    .extend((first..first + CHUNK_PAGES).map(|n| (n, s.paddr(D0, pages.slot(n)))));
                // Others are served as ever.
                let page = s.page(D1).unwrap();
                s.release(D1, page).unwrap();
            }
            frames.sort_unstable();
            let first = frames
                .first()
                .map_or(0, |(n, at)| at - u64::from(*n) * 4096);
            for (n, at) in &frames {
                assert_eq!(*at, first + u64::from(*n) * 4096);
            }
            let had = if device { 0 } else { before };
            assert_eq!(s.kernel.of(0).len(), had + (chunks * CHUNK_PAGES) as usize);
            if !device && chunks % 2 == 1 {
                s.ask(D0, Request::SplitAbort { slot }).unwrap();
                assert_eq!(s.kernel.of(0).len(), 2);
            }
            s.server.destroy(&mut s.kernel, D0).unwrap();
            s.server.destroy(&mut s.kernel, D1).unwrap();
            assert!(s.kernel.granted.is_empty());
            assert_eq!(s.server.totals().settled().heap_free, free);
            assert_eq!(s.server.totals().lost, 0);
            // All of it serves the next life.
            s.server.revive(D1).unwrap();
            let blocks = s.blocks(D1, 4).unwrap().count;
            assert_eq!(blocks, if device { 4 } else { 3 });
        }
    }
}

/// A page is given back and comes again whether or not it ever had capabilities, and so does one
/// that another domain gets.
#[test]
fn pages_without_capabilities_are_given_back() {
    for device in [false, true] {
        let mut s = neighbours(2, 2, device, 2);
        let mut heap = s.blocks(D0, 1);
        if heap.is_err() {
            // The last block of the kernel's memory is kept for a split.
            s = neighbours(2, 4, device, 2);
            heap = s.blocks(D0, 1);
        }
        let slot = heap.unwrap().first;
        let Ok(Reply::Split { pages, kind }) = s.ask(D0, Request::split(slot)) else {
            panic!("no split");
        };
        let operations = s.kernel.operations;
        let gone: Vec<Slot> = (100..110).map(|n| pages.slot(n)).collect();
        give_pages(&mut s, D0, &gone);
        assert_eq!(s.kernel.operations, operations);
        let wrong = Request::Chunk { slot: gone[3] };
        assert_eq!(s.ask(D0, wrong), Err(Error::NotYours));
        let wrong = Request::Window {
            slot: gone[3],
            sight: 0,
        };
        assert_eq!(s.ask(D0, wrong), Err(Error::NotYours));
        // The first is the domain's own next one, with its capability.
        assert_eq!(s.page(D0), Ok(gone[0]));
        let own = s.paddr(D0, gone[0]);
        // Neighbours in the chunk have none yet, and get theirs alone.
        s.ask(
            D0,
            Request::Chunk {
                slot: pages.slot(111),
            },
        )
        .unwrap();
        assert!(s.kernel.of(0).contains_key(&pages.slot(96)));
        assert!(!s.kernel.of(0).contains_key(&gone[1]));
        if kind == SplitKind::Copy {
            s.ask(D0, Request::SplitDone { slot }).unwrap();
        }
        // The others go to a neighbour.
        let taken = take_pages(&mut s, D1, 9);
        assert_eq!(taken.len(), 9);
        let frames: Vec<u64> = taken.iter().map(|slot| s.paddr(D1, *slot)).collect();
        let held = s.kernel.of(0);
        assert!(frames.iter().all(|at| !held.values().any(|own| own == at)));
        if device {
            assert_eq!(frames.iter().min(), Some(&(own + 4096)));
        }
    }
}

/// Page tables: all of a piece are made, deleted at the end, and zeroed by the kernel when the next
/// life makes its first.
#[test]
fn page_tables_of_a_whole_piece() {
    let mut s = neighbours(1, 4, false, 1);
    for _ in 0..2 {
        let mut made = 0;
        while let Ok(Reply::Tables { count, .. }) = s.ask(D0, Request::Tables { count: 16 }) {
            made += count;
        }
        assert_eq!(made, 512);
        let Ok(Reply::Relinquished { .. }) = s.send(D0, Request::Relinquish { again: true }) else {
            panic!("no end");
        };
        while let Ok(Reply::Relinquished { more: true, .. }) =
            s.send(D0, Request::Relinquish { again: true })
        {}
    }
    assert!(s.dearest > cost::MESSAGE / 2, "{}", s.dearest);
}

/// Static memory that the kernel does not own is zeroed at its first grant, a block for each
/// message; at the next grant to the same life not again, and then any number of blocks come in one
/// message.
#[test]
fn a_message_zeroes_one_block() {
    let mut s = System::new(
        &[DomainConfig {
            direct: true,
            grant_radix: 17,
            ..domain(1, true, 128)
        }],
        &[memory(0x4000_0000, 27, true, Purpose::Static(D0))],
        4,
    );
    let request = |n: u64| Request::PopulateBlocks {
        gfn: Gfn::new(0x40000 + 512 * n),
        blocks: 64,
    };
    let mut got = 0;
    while got < 64 {
        let run = s.granted(D0, request(got)).unwrap();
        assert_eq!(run.count, 1);
        got += 1;
    }
    assert_eq!(s.kernel.scrubbed.len(), 64);
    for n in 0..64 {
        let slot = Slot(n * memory_server_api::WINDOW_SLOTS);
        s.release(D0, slot).unwrap();
    }
    assert_eq!(s.granted(D0, request(0)).unwrap().count, 64);
    assert_eq!(s.kernel.scrubbed.len(), 64);
}

/// What a client does next.
#[derive(Clone, Copy, Debug)]
enum Op {
    Blocks(u32),
    Pages(usize),
    GivePages(usize, usize),
    GiveBlock(usize),
    Split(usize),
    Abort,
    Alias(usize),
    Extra(u64),
    DropExtra(u64),
    Tables(u32),
    Die,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        3 => (1u32..=64).prop_map(Op::Blocks),
        4 => (1usize..=600).prop_map(Op::Pages),
        4 => (any::<usize>(), 1usize..=600).prop_map(|(at, n)| Op::GivePages(at, n)),
        2 => any::<usize>().prop_map(Op::GiveBlock),
        2 => any::<usize>().prop_map(Op::Split),
        1 => Just(Op::Abort),
        1 => any::<usize>().prop_map(Op::Alias),
        1 => (0u64..67).prop_map(Op::Extra),
        1 => (0u64..67).prop_map(Op::DropExtra),
        1 => (1u32..=16).prop_map(Op::Tables),
        1 => Just(Op::Die),
    ]
}

/// What a client knows of what it holds.
#[derive(Default)]
struct Client {
    blocks: Vec<Slot>,
    pages: Vec<Slot>,
}

fn nth(slots: &[Slot], n: usize) -> Option<Slot> {
    slots.get(n % slots.len().max(1)).copied()
}

impl Client {
    fn act(&mut self, s: &mut System, d: DomainIndex, op: Op) {
        match op {
            Op::Blocks(blocks) => {
                let gfn = Gfn::new(0x40000);
                if let Ok(Reply::Granted(run)) = s.ask(d, Request::PopulateBlocks { gfn, blocks }) {
                    self.blocks.extend((0..run.count).map(|n| run.slot(n)));
                }
            }
            Op::Pages(most) => self.pages.extend(take_pages(s, d, most)),
            Op::GivePages(at, count) if !self.pages.is_empty() => {
                let at = at % self.pages.len();
                let count = count.min(self.pages.len() - at);
                let gone: Vec<Slot> = self.pages.drain(at..at + count).collect();
                give_pages(s, d, &gone);
            }
            Op::GiveBlock(n) => {
                if let Some(slot) = nth(&self.blocks, n)
                    && s.ask(d, Request::Release { slot }).is_ok()
                {
                    self.blocks.retain(|other| *other != slot);
                }
            }
            Op::Split(n) => {
                let Some(slot) = nth(&self.blocks, n) else {
                    return;
                };
                if let Ok(Reply::Split { kind, pages }) = s.ask(d, Request::split(slot)) {
                    let pages = (0..512).map(|n| pages.slot(n));
                    if kind == SplitKind::Copy {
                        s.ask(d, Request::SplitDone { slot }).unwrap();
                    }
                    self.blocks.retain(|other| *other != slot);
                    self.pages.extend(pages);
                }
            }
            Op::Abort => {
                // Where the pages are the block itself there is no way back.
                if let Some(&slot) = self.blocks.first()
                    && !s.kernel.granted[&(d, slot)].device
                    && s.ask(d, Request::split(slot)).is_ok()
                {
                    s.ask(d, Request::SplitAbort { slot }).unwrap();
                }
            }
            Op::Alias(n) => {
                if let Some(slot) = nth(&self.pages, n) {
                    for alias in 0..ALIASES {
                        let _ = s.ask(d, Request::Alias { slot, alias });
                    }
                }
            }
            Op::Extra(n) => {
                let kind = Extra::from_index(n).unwrap();
                let _ = s.ask(d, Request::CreateExtra { kind });
            }
            Op::DropExtra(n) => {
                let kind = Extra::from_index(n).unwrap();
                let _ = s.ask(d, Request::DestroyExtra { kind });
            }
            Op::Tables(count) => _ = s.ask(d, Request::Tables { count }),
            Op::Die => {
                while let Ok(Reply::Relinquished { more: true, .. }) =
                    s.ask(d, Request::Relinquish { again: true })
                {}
                *self = Self::default();
            }
            Op::GivePages(..) => {}
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    /// Whatever three neighbours do, no message costs more than it may ([`System::send`] looks),
    /// every request is answered, and at the end all memory is there.
    #[test]
    fn no_message_costs_more_than_it_may(
        ops in proptest::collection::vec((0usize..3, op()), 1..60),
        device: bool,
    ) {
        let mut s = neighbours(3, 16, device, 6);
        let all = s.server.totals().all;
        let mut clients = [Client::default(), Client::default(), Client::default()];
        for (who, op) in ops {
            clients[who].act(&mut s, DomainIndex(u8::try_from(who).unwrap()), op);
        }
        for d in 0..3 {
            s.server.destroy(&mut s.kernel, DomainIndex(d)).unwrap();
        }
        prop_assert!(s.kernel.granted.is_empty());
        let t = s.server.totals();
        prop_assert_eq!((t.heap_free + t.tables_free, t.lost), (all, 0));
    }
}
