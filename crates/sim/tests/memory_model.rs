//! Random requests of three domains with kernel failures among them, over the capability model.
//!
//! After every step: no frame has two owners, grant CNodes hold exactly what the records say, all
//! memory is accounted for, a refused request has changed nothing (but that memory which domains
//! had returned may be revoked by now), nobody sees what another domain wrote, and returned pages
//! come back first, oldest first, as they were.
#![allow(missing_docs, reason = "tests")]

mod common;

use std::cell::Cell;
use std::collections::{BTreeMap, VecDeque};

use hv_types::{FrameSize, Gfn, PAGE_SIZE};
use memory_server::{DomainIndex, Purpose, Totals, Untyped};
use memory_server_api::{
    Batch, CHUNK_PAGES, Error, Extra, Granted, Reply, Request, Slot, SplitKind, Usage,
};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use sim::caps::{CNode, Faults, HeldFrame, JUNK, Place};
use sim::memory::{Memory, domain_config};

const MIB: u64 = 1 << 20;
/// What the kernel owns of the heap, in 2 MiB blocks.
const HEAP: std::ops::Range<u64> = 0x8000_0000..0x8080_0000;
const STATIC: std::ops::Range<u64> = 0x4000_0000..0x4040_4000;
const DOMAINS: u8 = 3;

#[derive(Clone, Debug)]
enum Op {
    Blocks(u32),
    /// A batch of so many pages.
    Pages(u8),
    /// Releases the n-th frame the domain knows of.
    Release(usize),
    /// Releases a batch of frames from the n-th on.
    ReleaseMany(usize, u8),
    ReleaseWild(u32),
    /// Splits the n-th frame, whatever it is.
    Split(usize),
    SplitDone,
    SplitAbort,
    Tables(u32),
    CreateExtra(u8),
    DestroyExtra(u8),
    DestroyAndRevive,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        3 => (1u32..4).prop_map(Op::Blocks),
        6 => (1u8..=64).prop_map(Op::Pages),
        4 => any::<usize>().prop_map(Op::Release),
        5 => (any::<usize>(), 1u8..=64).prop_map(|(n, count)| Op::ReleaseMany(n, count)),
        1 => prop_oneof![0u32..8192, any::<u32>()].prop_map(Op::ReleaseWild),
        3 => any::<usize>().prop_map(Op::Split),
        2 => Just(Op::SplitDone),
        2 => Just(Op::SplitAbort),
        1 => (1u32..16).prop_map(Op::Tables),
        2 => (0u8..6).prop_map(Op::CreateExtra),
        2 => (0u8..6).prop_map(Op::DestroyExtra),
        1 => Just(Op::DestroyAndRevive),
    ]
}

/// Who, what, and after how many operations of the server the kernel refuses one, if any.
fn step() -> impl Strategy<Value = (u8, Op, Option<u32>)> {
    let fault = prop_oneof![3 => Just(None), 2 => (0u32..6).prop_map(Some), 1 => (0u32..1100).prop_map(Some)];
    (0..DOMAINS, op(), fault)
}

struct World {
    memory: Memory,
    /// What each domain was told it has: slot to size.
    known: Vec<BTreeMap<Slot, FrameSize>>,
    /// The block a domain is copying, and the pages for it.
    copying: Vec<Option<(Slot, Granted)>>,
    /// The pages that each domain returned, oldest first: slot and guest frame. Some may be
    /// revoked.
    returned: Vec<VecDeque<(Slot, Option<u32>)>>,
    /// The guest frame for which each page was granted, as far as it is known.
    gfns: Vec<BTreeMap<Slot, u32>>,
    /// A guest frame that was not used before.
    next_gfn: u32,
}

#[derive(PartialEq, Debug)]
struct Seen {
    totals: Totals,
    usage: Vec<Usage>,
    granted: Vec<(Place, u64, u64)>,
}

impl World {
    /// With this many blocks that can be split at once, of ten.
    fn new(splits: u16) -> Self {
        let untyped = |paddr, size_bits, device, purpose| Untyped {
            paddr,
            size_bits,
            device,
            purpose,
        };
        let tables = |d: u8, paddr| untyped(paddr, 15, false, Purpose::Tables(DomainIndex(d)));
        let memory = Memory::new(
            &[
                domain_config(1, true, 2 * MIB * 2 / PAGE_SIZE + 4, 12),
                domain_config(2, false, 6 * MIB / PAGE_SIZE, 12),
                domain_config(3, false, 6 * MIB / PAGE_SIZE, 12),
            ],
            &[
                untyped(0x4000_0000, 22, true, Purpose::Static(DomainIndex(0))),
                untyped(0x4040_0000, 14, true, Purpose::Static(DomainIndex(0))),
                untyped(0x8000_0000, 23, false, Purpose::Heap),
                untyped(0x9000_0000, 22, true, Purpose::Heap),
                untyped(0xa000_0000, 15, false, Purpose::Heap),
                tables(0, 0xb000_0000),
                tables(1, 0xb000_8000),
                tables(2, 0xb001_0000),
            ],
            splits,
        );
        Self {
            memory,
            known: vec![BTreeMap::new(); 3],
            copying: vec![None; 3],
            returned: vec![VecDeque::new(); 3],
            gfns: vec![BTreeMap::new(); 3],
            next_gfn: 0x1000,
        }
    }

    /// What can be seen. Capabilities are left out where the kernel was not asked for anything,
    /// because it takes long.
    fn look(&self, capabilities: bool) -> Seen {
        let granted = if capabilities {
            self.memory.machine().look().capabilities()
        } else {
            Vec::new()
        };
        Seen {
            totals: self.memory.totals().settled(),
            usage: (0..DOMAINS)
                .map(|d| Usage {
                    returned: 0,
                    ..self.memory.usage(DomainIndex(d))
                })
                .collect(),
            granted: granted
                .into_iter()
                .filter(|(place, ..)| match place.cnode {
                    CNode::Own => false,
                    CNode::Grant(domain) => !self.memory.is_returned(domain, Slot(place.slot)),
                })
                .collect(),
        }
    }

    /// A request with a possible failure; a refusal must have changed nothing.
    fn ask(&mut self, d: u8, request: Request, fault: Option<u32>) -> Option<Reply> {
        let before = self.look(fault.is_some());
        self.memory.machine().change().faults.kernel = fault;
        let result = self.memory.call(DomainIndex(d), request);
        self.memory.machine().change().faults = Faults::default();
        match result {
            Ok(reply) => Some(reply),
            Err(error) => {
                assert!(error != Error::Malformed, "{request:?}");
                assert!(
                    error != Error::Kernel || fault.is_some(),
                    "{request:?}: the kernel refused by itself"
                );
                assert_eq!(
                    self.look(fault.is_some()),
                    before,
                    "d{d} {request:?} refused with {error:?} changed something"
                );
                None
            }
        }
    }

    /// Each domain that holds a block of the kernel's heap memory whole can split it: all at the
    /// same time.
    fn everybody_can_split(&mut self) {
        let mut split = Vec::new();
        for d in 1..DOMAINS {
            let domain = DomainIndex(d);
            let machine = self.memory.machine().clone();
            let is_copied = |slot: &Slot| {
                let frame = machine.look().held_frame(domain, *slot);
                frame.is_some_and(|f| HEAP.contains(&f.paddr) && f.bytes == 2 * MIB)
            };
            let free = self.copying[usize::from(d)].is_none();
            let mut known = self.known[usize::from(d)].keys().copied();
            if let Some(slot) = known.find(is_copied).filter(|_| free) {
                let reply = self.memory.call(domain, Request::split(slot));
                let kind = SplitKind::Copy;
                assert!(
                    matches!(reply, Ok(Reply::Split { kind: k, .. }) if k == kind),
                    "d{d}: {reply:?}"
                );
                split.push((domain, slot));
            }
        }
        for (domain, slot) in split {
            let request = Request::SplitAbort { slot };
            assert_eq!(self.memory.call(domain, request), Ok(Reply::Done));
        }
    }

    fn nth_known(&self, d: u8, n: usize) -> Option<Slot> {
        let known = &self.known[usize::from(d)];
        known.keys().nth(n % known.len().max(1)).copied()
    }

    fn run(&mut self, d: u8, op: &Op, fault: Option<u32>) {
        let i = usize::from(d);
        match *op {
            Op::Blocks(blocks) => {
                let request = Request::PopulateBlocks {
                    gfn: Gfn::new(0x40000),
                    blocks,
                };
                if let Some(Reply::Granted(run)) = self.ask(d, request, fault) {
                    assert!(run.count >= 1 && run.count <= blocks && run.size == FrameSize::Block);
                    self.got(d, run, false);
                }
            }
            Op::Pages(count) => self.populate(d, count, fault),
            Op::Release(n) => {
                let Some(slot) = self.nth_known(d, n) else {
                    return;
                };
                let is_source = self.copying[i].is_some_and(|(source, _)| source == slot);
                let done = self.ask(d, Request::Release { slot }, fault).is_some();
                assert!(!(done && is_source), "the source of a copy was released");
                assert!(
                    done || is_source || fault.is_some(),
                    "a granted frame was not taken back"
                );
                if done {
                    self.gave_back(d, slot);
                    assert!(
                        self.ask(d, Request::Release { slot }, None).is_none(),
                        "released twice (SM-4)"
                    );
                }
            }
            Op::ReleaseMany(n, count) => self.release_many(d, n, count, fault),
            Op::ReleaseWild(slot) => {
                let slot = Slot(slot);
                if !self.known[i].contains_key(&slot) {
                    assert!(
                        self.ask(d, Request::Release { slot }, fault).is_none(),
                        "{slot:?} of nobody"
                    );
                }
            }
            Op::Split(n) => {
                let Some(slot) = self.nth_known(d, n) else {
                    return;
                };
                let before = self.contents(d, slot);
                let Some(Reply::Split { kind, pages }) = self.ask(d, Request::split(slot), fault)
                else {
                    return;
                };
                for n in (0..512).step_by(CHUNK_PAGES as usize) {
                    let slot = pages.slot(n);
                    let request = Request::Chunk { slot };
                    let reply = self.memory.call(DomainIndex(d), request);
                    assert_eq!(reply, Ok(Reply::Done));
                }
                assert_eq!(
                    self.known[i].get(&slot),
                    Some(&FrameSize::Block),
                    "only blocks are split"
                );
                if kind == SplitKind::InPlace {
                    self.known[i].remove(&slot);
                    self.gfns[i].remove(&slot);
                    let after: Vec<_> = (0..512)
                        .map(|n| self.contents(d, pages.slot(n))[0])
                        .collect();
                    assert_eq!(after, before, "split in place changed the contents");
                    let pages = (0..512).map(|n| (pages.slot(n), FrameSize::Page));
                    self.known[i].extend(pages);
                } else {
                    self.copying[i] = Some((slot, pages));
                    self.got(d, pages, false);
                }
            }
            Op::SplitDone => {
                let Some((slot, _)) = self.copying[i] else {
                    return;
                };
                if self.ask(d, Request::SplitDone { slot }, fault).is_some() {
                    self.copying[i] = None;
                    self.known[i].remove(&slot);
                }
            }
            Op::SplitAbort => {
                let Some((slot, pages)) = self.copying[i] else {
                    return;
                };
                if self.ask(d, Request::SplitAbort { slot }, fault).is_some() {
                    self.copying[i] = None;
                    let gone: Vec<Slot> = (0..512).map(|n| pages.slot(n)).collect();
                    self.known[i].retain(|slot, _| !gone.contains(slot));
                    self.gfns[i].retain(|slot, _| !gone.contains(slot));
                }
            }
            Op::Tables(count) => {
                let before = self.memory.usage(DomainIndex(d)).tables;
                if let Some(Reply::Tables { count: got, .. }) =
                    self.ask(d, Request::Tables { count }, fault)
                {
                    assert!(got >= 1 && got <= count);
                    assert_eq!(
                        self.memory.usage(DomainIndex(d)).tables,
                        before + u64::from(got)
                    );
                }
            }
            Op::CreateExtra(n) => {
                let kind = Extra::from_index(u64::from(n)).unwrap();
                if let Some(Reply::Granted(page)) =
                    self.ask(d, Request::CreateExtra { kind }, fault)
                {
                    self.got(d, page, true);
                    // Not RAM, so not known as such.
                    self.known[i].remove(&page.first);
                }
            }
            Op::DestroyExtra(n) => {
                let kind = Extra::from_index(u64::from(n)).unwrap();
                self.ask(d, Request::DestroyExtra { kind }, fault);
            }
            Op::DestroyAndRevive => {
                self.memory.machine().change().faults.kernel = fault;
                let first = self.memory.destroy(DomainIndex(d));
                self.memory.machine().change().faults = Faults::default();
                if first.is_err() {
                    let refused = self
                        .memory
                        .call(DomainIndex(d), Request::populate_page(Gfn::new(0)));
                    assert_eq!(refused, Err(Error::Dying), "SM-15");
                    self.memory.destroy(DomainIndex(d)).unwrap();
                }
                self.known[i].clear();
                self.gfns[i].clear();
                self.returned[i].clear();
                self.copying[i] = None;
                let u = self.memory.usage(DomainIndex(d));
                assert_eq!((u.ram, u.extra, u.tables), (0, 0, 0));
                if d == 0 {
                    assert_eq!(u.reserve, (STATIC.end - STATIC.start) / PAGE_SIZE, "SM-16");
                }
                // Whatever the old one wrote is foreign to the next one.
                self.foreign(d);
                self.memory.revive(DomainIndex(d)).unwrap();
            }
        }
    }

    /// A batch of pages for guest frames that were not used before.
    fn populate(&mut self, d: u8, count: u8, fault: Option<u32>) {
        let i = usize::from(d);
        let mut gfns = Batch::EMPTY;
        for _ in 0..count {
            gfns.push(self.next_gfn);
            self.next_gfn += 1;
        }
        let Some(Reply::Pages(pages)) = self.ask(d, Request::PopulatePages { gfns }, fault) else {
            return;
        };
        assert!(pages.len() <= usize::from(count));
        let mut own = std::mem::take(&mut self.returned[i]);
        for (slot, gfn) in pages.iter().zip(gfns.items()) {
            // SM-6: first in, first out, and as it was.
            if own.front().is_some_and(|(oldest, _)| *oldest == slot) {
                own.pop_front();
                assert_eq!(self.contents(d, slot), [d + 1]);
            } else {
                assert!(
                    own.is_empty() || d == 0,
                    "a heap domain got another page while it had returned ones"
                );
            }
            self.gfns[i].insert(slot, *gfn);
            let run = Granted {
                first: slot,
                count: 1,
                size: FrameSize::Page,
            };
            self.got(d, run, false);
        }
        self.returned[i] = own;
    }

    /// A batch of frames from the n-th on, which ends at the source of a copy.
    fn release_many(&mut self, d: u8, n: usize, count: u8, fault: Option<u32>) {
        let i = usize::from(d);
        let known = &self.known[i];
        let first = n % known.len().max(1);
        let mut slots = Batch::EMPTY;
        for slot in known.keys().skip(first).take(usize::from(count)) {
            slots.push(slot.0);
        }
        if slots.is_empty() {
            return;
        }
        let Some(Reply::Released(released)) = self.ask(d, Request::ReleasePages { slots }, fault)
        else {
            return;
        };
        for slot in slots.items().iter().take(released.done) {
            self.gave_back(d, Slot(*slot));
        }
        if let Some(slot) = slots.items().get(released.done) {
            let is_source = self.copying[i].is_some_and(|(source, _)| source == Slot(*slot));
            let expected = match released.error {
                Some(Error::WrongState) => is_source,
                Some(Error::Kernel) => fault.is_some(),
                _ => false,
            };
            assert!(expected, "{released:?}");
        }
    }

    /// Whatever was released is not the domain's any more, and its last ones to get.
    fn gave_back(&mut self, d: u8, slot: Slot) {
        let i = usize::from(d);
        let size = self.known[i].remove(&slot);
        let gfn = self.gfns[i].remove(&slot);
        if size == Some(FrameSize::Page) {
            // Pages of a split have a guest frame that this model does not follow.
            self.returned[i].push_back((slot, gfn));
        }
    }

    fn frame(&self, d: u8, slot: Slot) -> HeldFrame {
        let machine = self.memory.machine().look();
        machine
            .held_frame(DomainIndex(d), slot)
            .unwrap_or_else(|| panic!("{slot:?} of d{d} is empty"))
    }

    /// First bytes of the pages of a frame.
    fn contents(&self, d: u8, slot: Slot) -> Vec<u8> {
        let frame = self.frame(d, slot);
        let mut machine = self.memory.machine().change();
        (frame.paddr..frame.paddr + frame.bytes)
            .step_by(4096)
            .map(|p| machine.peek(p))
            .collect()
    }

    /// Looks at what a domain was given, and leaves its mark.
    fn got(&mut self, d: u8, run: Granted, extra: bool) {
        for n in 0..run.count {
            let slot = run.slot(n);
            let old = self.known[usize::from(d)].insert(slot, run.size);
            assert_eq!(old, None, "{slot:?} was granted while it was granted");
            let mark = d + 1;
            for byte in self.contents(d, slot) {
                let clean = byte == 0 || byte == JUNK || byte == mark;
                assert!(
                    clean && (byte == 0 || !extra),
                    "d{d} was given a page with {byte:#x}"
                );
            }
            self.fill(d, slot, mark);
        }
    }

    fn fill(&self, d: u8, slot: Slot, mark: u8) {
        let frame = self.frame(d, slot);
        let mut machine = self.memory.machine().change();
        for page in (frame.paddr..frame.paddr + frame.bytes).step_by(4096) {
            machine.poke(page, mark);
        }
    }

    /// Marks of `d` in all of memory become those of a domain that is no more.
    fn foreign(&self, d: u8) {
        let mut machine = self.memory.machine().change();
        for range in [
            STATIC,
            0x8000_0000..0x8080_0000,
            0x9000_0000..0x9040_0000,
            0xa000_0000..0xa000_8000,
        ] {
            for page in range.step_by(4096) {
                if machine.peek(page) == d + 1 {
                    machine.poke(page, 0xee);
                }
            }
        }
    }

    /// Returned pages that were revoked are the domain's no more, whatever comes to lie in their
    /// slots.
    fn forget_revoked(&mut self) {
        for (d, list) in (0..).zip(&mut self.returned) {
            list.retain(|(slot, _)| self.memory.is_returned(DomainIndex(d), *slot));
        }
    }

    fn check(&self) {
        let totals = self.memory.totals();
        assert_eq!(totals.sum(), totals.all);
        assert_eq!(totals.lost, 0);
        let machine = self.memory.machine().look();
        let mut frames: Vec<HeldFrame> = machine.held_frames().collect();
        for d in 0..DOMAINS {
            let usage = self.memory.usage(DomainIndex(d));
            let mine = frames.iter().filter(|f| f.domain.0 == d);
            // A frame of 2 MiB or an extra page has two capabilities, next to each other.
            let firsts = mine.filter(|f| !is_second(&machine, f));
            let pages: u64 = firsts.map(|f| f.bytes / PAGE_SIZE).sum();
            let copying = self.copying[usize::from(d)].map_or(0, |_| 512);
            let held = usage.ram + usage.extra + copying;
            // Of a page of static memory that shares its chunk with one that is granted it has the
            // capability at all times; of other pages until they are revoked.
            assert!(
                (held..=held + usage.returned.max(usage.reserve)).contains(&pages)
                    && (d == 0 || pages == held + usage.returned),
                "d{d}: {pages} pages, {usage:?}"
            );
            assert!(usage.ram <= usage.max, "SM-13");
            for (slot, size) in &self.known[usize::from(d)] {
                let frame = machine.held_frame(DomainIndex(d), *slot);
                assert!(
                    frame.is_some_and(|f| f.bytes == size.bytes())
                        && !self.memory.is_returned(DomainIndex(d), *slot),
                    "d{d} lost {slot:?}"
                );
            }
        }
        // Sorted by address, each frame appears once or twice in a row, with one owner, and ends
        // before the next.
        frames.sort_unstable_by_key(|f| (f.paddr, f.slot));
        let mut end = 0;
        for a in &frames {
            if is_second(&machine, a) {
                continue;
            }
            assert!(a.paddr >= end, "frames overlap at {:#x}", a.paddr);
            end = a.paddr + a.bytes;
            let is_extra = !self.known[usize::from(a.domain.0)].contains_key(&a.slot)
                && !self.memory.is_returned(a.domain, a.slot);
            if STATIC.contains(&a.paddr) {
                assert_eq!(a.domain.0, 0, "static memory left home (SM-1, SM-28)");
            } else {
                assert!(
                    a.domain.0 != 0 || is_extra,
                    "a static domain has heap RAM (SM-26)"
                );
            }
        }
    }
}

/// Whether `frame` is the window side of what lies in the slot before it.
fn is_second(machine: &sim::caps::Machine, frame: &HeldFrame) -> bool {
    let before = frame.slot.0.checked_sub(1).map(Slot);
    let before = before.and_then(|slot| machine.held_frame(frame.domain, slot));
    before.is_some_and(|before| before.paddr == frame.paddr)
}

/// Worlds, and the steps of each.
const WORLDS: u32 = 1300;
const STEPS: std::ops::Range<usize> = 60..100;

/// Takes random steps in so many worlds; how many steps there were.
fn run_worlds(runner: &mut TestRunner) -> usize {
    let taken = Cell::new(0);
    let run = |steps: Vec<(u8, Op, Option<u32>)>| {
        let mut world = World::new(5);
        for (d, op, fault) in &steps {
            world.run(*d, op, *fault);
            world.forget_revoked();
            assert!(world.memory.counts_hold());
            world.check();
            taken.set(taken.get() + 1);
        }
        Ok(())
    };
    let steps = prop::collection::vec(step(), STEPS);
    if let Err(error) = runner.run(&steps, run) {
        panic!("{error}");
    }
    taken.get()
}

fn worlds(cases: u32) -> TestRunner {
    TestRunner::new(ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    })
}

/// SM-1, SM-9, SM-10, SM-13, SM-20, SM-1, SM-2, SM-3, SM-4, SM-5, SM-6, SM-9, SM-13, SM-14, SM-15,
/// SM-16, SM-26, SM-28, EX-5, BL-7: in 100,000 random steps no frame has two owners, nothing is
/// lost or counted twice, and what the kernel refuses has not happened.
#[test]
fn memory_has_one_owner_and_failures_change_nothing() {
    let taken = run_worlds(&mut worlds(WORLDS));
    assert!(taken >= 100_000, "{taken} steps");
}

/// The same for as many steps as are asked for: CONTRIBUTING.md has the command.
#[test]
#[ignore = "takes hours"]
fn memory_has_one_owner_for_long() {
    common::for_long(|| run_worlds(&mut worlds(WORLDS)));
}

/// BL-1, SM-9: whatever everybody did, whoever has a whole block of memory that is split by copying
/// it can split it, and so can all at the same time.
#[test]
fn a_split_is_possible_at_any_time() {
    let config = ProptestConfig {
        cases: 40,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let run = |steps: Vec<(u8, Op, Option<u32>)>| {
        let mut world = World::new(10);
        for (d, op, _) in &steps {
            world.run(*d, op, None);
            world.everybody_can_split();
            world.forget_revoked();
            world.check();
        }
        Ok(())
    };
    let steps = prop::collection::vec(step(), 20..60);
    if let Err(error) = TestRunner::new(config).run(&steps, run) {
        panic!("{error}");
    }
}
