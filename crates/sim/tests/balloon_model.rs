//! A guest's balloon against a model: single pages in any order, extents, pages that something
//! covers, while another domain takes what the guest returned, and now and then the kernel refuses.
#![allow(missing_docs, reason = "tests")]

use std::collections::BTreeMap;

use dt_server_api::Bank;
use hv_types::{BLOCK_SIZE, Gfn, Gpa, PAGE_SIZE, PageOrder};
use hypervisor_core::memory::p2m::{Error, P2m, Page, Patience};
use hypervisor_core::memory::pages::Pages;
use memory_server::{DomainIndex, Purpose, Untyped};
use memory_server_api::{Batch, Extra, Reply, Request, Slot};
use proptest::prelude::*;
use sim::caps::{Faults, Side};
use sim::mem_host::MemHost;
use sim::memory::{Memory, domain_config};

const D0: DomainIndex = DomainIndex(0);
const D1: DomainIndex = DomainIndex(1);
const RAM: u64 = 0x4000_0000;
const GFN: u64 = RAM >> 12;
/// 8 MiB, and what is random is near the start of a block, so that much happens at the same places.
const PAGES: u64 = 2048;

#[derive(Clone, Debug)]
enum Op {
    Decrease(Vec<u64>),
    Populate(Vec<u64>),
    /// Down and up again in the same order, as a benchmark does.
    RoundTrip(u64, u64),
    DecreaseExtent(u64, u32),
    PopulateExtent(u64, u32),
    /// Maps shared_info over a frame, or takes away what is there.
    Cover(u64),
    Remove(u64),
    /// The other domain takes pages, or gives them back.
    Steal(u8),
    GiveBack,
    /// The last so many that it took.
    GiveSomeBack(usize),
}

/// A frame, mostly of the first 12 of a block, sometimes anywhere and not RAM at all.
fn frame() -> impl Strategy<Value = u64> {
    prop_oneof![
        12 => (0u64..4, 0u64..12).prop_map(|(block, page)| block * 512 + page),
        1 => 0..PAGES + 2,
    ]
}

fn op() -> impl Strategy<Value = Op> {
    let list = || prop::collection::vec(frame(), 1..20);
    prop_oneof![
        5 => list().prop_map(Op::Decrease),
        5 => list().prop_map(Op::Populate),
        2 => (0..PAGES - 70, 1u64..70).prop_map(|(first, count)| Op::RoundTrip(first, count)),
        2 => (frame(), 0u32..=9).prop_map(|(gfn, order)| Op::DecreaseExtent(gfn, order)),
        2 => (frame(), 0u32..=9).prop_map(|(gfn, order)| Op::PopulateExtent(gfn, order)),
        1 => frame().prop_map(Op::Cover),
        1 => frame().prop_map(Op::Remove),
        2 => (1u8..=64).prop_map(Op::Steal),
        1 => Just(Op::GiveBack),
    ]
}

/// Pages of six frames, a few at a time.
fn small_op() -> impl Strategy<Value = Op> {
    let list = || prop::collection::vec(0u64..6, 1..5);
    prop_oneof![
        4 => list().prop_map(Op::Decrease),
        4 => list().prop_map(Op::Populate),
        1 => (1u8..4).prop_map(Op::Steal),
        1 => (1usize..4).prop_map(Op::GiveSomeBack),
    ]
}

/// What the guest has at a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Frame {
    /// RAM, with the mark that the guest wrote last.
    Ram(u8),
    /// RAM that is hidden.
    Parked(u8),
}

struct World {
    memory: Memory,
    host: MemHost,
    p2m: P2m<'static>,
    model: BTreeMap<u64, Frame>,
    covered: Option<u64>,
    stolen: Vec<Slot>,
    /// The other domain has taken something once: what is free since may not be a block any more.
    has_lost: bool,
    next_mark: u8,
}

/// Marks of the guest are this and above; neither the other domain's nor the boot loader's leavings
/// are.
const OURS: u8 = 0xc0;
const _: () = assert!(sim::caps::JUNK < OURS);
const THEIRS: u8 = 0x11;

impl World {
    fn new(is_static: bool, device: bool, overwrites: bool) -> Self {
        let untyped = |paddr, size_bits, device, purpose| Untyped {
            paddr,
            size_bits,
            device,
            purpose,
        };
        let banks = [Bank::new(Gpa::new(RAM), PAGES * PAGE_SIZE)];
        // A block to spare for splits by copy.
        let ram = if is_static {
            Purpose::Static(D0)
        } else {
            Purpose::Heap
        };
        let memory = Memory::new(
            &[
                domain_config(1, is_static, PAGES, 64),
                domain_config(2, false, 1024, 8),
            ],
            &[
                untyped(0x5000_0000, 23, device, ram),
                untyped(0x5080_0000, 21, device, ram),
                untyped(0x7000_0000, 14, true, Purpose::Heap),
                untyped(0x8000_0000, 21, false, Purpose::Tables(D0)),
            ],
            12,
        );
        memory.machine().change().overwrites = overwrites;
        let mut host = MemHost::new(&memory, D0);
        let mut p2m = P2m::new(&banks, vec![0; P2m::table_words(&banks)].leak()).unwrap();
        p2m.build(&mut host, &banks).unwrap();
        p2m.create_extra(&mut host, Extra::SharedInfo).unwrap();
        let mut world = Self {
            memory,
            host,
            p2m,
            model: BTreeMap::new(),
            covered: None,
            stolen: Vec::new(),
            has_lost: false,
            next_mark: 0,
        };
        for gfn in 0..PAGES {
            world.appears(gfn);
        }
        world
    }

    /// RAM has come at a frame: it holds nothing of the other domain's, and gets a mark.
    fn appears(&mut self, gfn: u64) {
        let mark = OURS | self.next_mark;
        self.next_mark = (self.next_mark + 1) & 0x3f;
        let gpa = Gpa::new((GFN + gfn) << 12);
        let mut machine = self.memory.machine().change();
        let there = machine.guest_read(D0, gpa).expect("the guest sees it");
        assert_ne!(there, THEIRS, "frame {gfn}: the other domain's");
        machine.guest_write(D0, gpa, mark).unwrap();
        self.model.insert(gfn, Frame::Ram(mark));
    }

    fn is_owned(&self, gfn: u64) -> bool {
        match self.model.get(&gfn) {
            Some(Frame::Ram(_)) => true,
            Some(Frame::Parked(_)) => self.covered != Some(gfn),
            None => false,
        }
    }
    fn is_vacant(&self, gfn: u64) -> bool {
        gfn < PAGES
            && self.covered != Some(gfn)
            && !matches!(self.model.get(&gfn), Some(Frame::Ram(_)))
    }

    /// The other domain may have what was returned, or the block that a split by copy needs.
    fn is_short(&self, error: Option<Error>) -> bool {
        error == Some(Error::Memory(memory_server_api::Error::NoMemory)) && self.has_lost
    }

    /// As the hypercall: batch after batch until all is done or something is refused; returns how
    /// many were done.
    fn repeat(
        &mut self,
        gfns: &[u64],
        act: impl Fn(&mut P2m<'static>, &mut MemHost, &[u64]) -> (usize, Option<Error>),
    ) -> (usize, Option<Error>) {
        let gfns: Vec<u64> = gfns.iter().map(|gfn| GFN + gfn).collect();
        let mut done = 0;
        while done < gfns.len() {
            let (n, error) = act(&mut self.p2m, &mut self.host, &gfns[done..]);
            done += n;
            if error.is_some() {
                return (done, error);
            }
            assert!(n > 0, "no progress");
        }
        (done, None)
    }

    fn decrease(&mut self, gfns: &[u64], fault: bool) {
        let (done, error) = self.repeat(gfns, |p2m, host, gfns| {
            p2m.decrease_pages(host, gfns, Patience::None)
        });
        for gfn in &gfns[..done] {
            assert!(self.is_owned(*gfn), "frame {gfn} was nothing to give");
            self.model.remove(gfn);
        }
        if let Some(gfn) = gfns.get(done) {
            let refused = !self.is_owned(*gfn) && error == Some(Error::Nothing);
            assert!(
                fault || refused || self.is_short(error),
                "frame {gfn}: {error:?}"
            );
        }
    }

    fn populate(&mut self, gfns: &[u64], fault: bool) {
        let (done, error) = self.repeat(gfns, P2m::populate_pages);
        for gfn in &gfns[..done] {
            assert!(self.is_vacant(*gfn), "frame {gfn} was no hole");
            self.reappears(*gfn);
        }
        if let Some(gfn) = gfns.get(done) {
            // A frame that is twice in the list may be one page too many before it is seen to be
            // filled.
            let over = Error::Memory(memory_server_api::Error::OverQuota);
            let refused = matches!(error, Some(Error::Occupied | Error::BadGfn))
                || error == Some(over) && self.model.len() as u64 == PAGES;
            let refused = refused && !self.is_vacant(*gfn);
            assert!(
                fault || refused || self.is_short(error),
                "frame {gfn}: {error:?}"
            );
        }
    }

    /// RAM has come at a frame, or what was parked there with its contents.
    fn reappears(&mut self, gfn: u64) {
        if let Some(Frame::Parked(mark)) = self.model.get(&gfn).copied() {
            self.model.insert(gfn, Frame::Ram(mark));
        } else {
            self.appears(gfn);
        }
    }

    /// Steps, each with the operation that is refused, if any: of the server or of the VMM, and
    /// after how many others.
    fn run_all(&mut self, steps: &[(Op, Option<(bool, u32)>)]) {
        for (op, fault) in steps {
            if let Some((kernel, after)) = fault {
                let mut machine = self.memory.machine().change();
                if *kernel {
                    machine.faults.kernel = Some(*after);
                } else {
                    machine.faults.mapping = Some(*after);
                }
            }
            self.run(op, fault.is_some());
            self.memory.machine().change().faults = Faults::default();
            self.check();
        }
    }

    fn run(&mut self, op: &Op, fault: bool) {
        match op {
            Op::Decrease(gfns) => self.decrease(gfns, fault),
            Op::Populate(gfns) => self.populate(gfns, fault),
            Op::RoundTrip(first, count) => {
                let gfns: Vec<u64> = (*first..first + count)
                    .filter(|g| self.is_owned(*g))
                    .collect();
                self.decrease(&gfns, fault);
                let gone: Vec<u64> = gfns
                    .into_iter()
                    .filter(|g| !self.model.contains_key(g))
                    .collect();
                self.populate(&gone, fault);
            }
            Op::DecreaseExtent(gfn, order) => {
                let frames = *gfn..gfn + (1 << order);
                let all = frames.clone().all(|gfn| self.is_owned(gfn));
                let parked = |gfn| matches!(self.model.get(&gfn), Some(Frame::Parked(_)));
                if fault && frames.clone().any(parked) {
                    // After a failure half way nobody could tell which of these are gone.
                    return;
                }
                let at = Gfn::new(GFN + gfn);
                match self
                    .p2m
                    .decrease(&mut self.host, at, PageOrder(*order), Patience::None)
                {
                    Ok(()) => {
                        assert!(all);
                        frames.for_each(|gfn| _ = self.model.remove(&gfn));
                    }
                    // Some of the frames may be gone: those that the map says.
                    Err(Error::Memory(_) | Error::Map(_)) if fault => {
                        for gfn in frames {
                            let there = self.p2m.lookup(Gfn::new(GFN + gfn)) == Page::Ram;
                            if !there && matches!(self.model.get(&gfn), Some(Frame::Ram(_))) {
                                self.model.remove(&gfn);
                            }
                        }
                    }
                    Err(error) => assert!(
                        self.is_short(Some(error)) || (!all && error == Error::Nothing),
                        "{error:?}"
                    ),
                }
            }
            Op::PopulateExtent(gfn, order) => {
                let frames = *gfn..gfn + (1 << order);
                let all = frames.clone().all(|gfn| self.is_vacant(gfn));
                let at = Gfn::new(GFN + gfn);
                match self.p2m.populate(&mut self.host, at, PageOrder(*order)) {
                    Ok(()) => {
                        assert!(all);
                        frames.for_each(|gfn| self.reappears(gfn));
                    }
                    Err(Error::Memory(_) | Error::Map(_)) if fault => {}
                    Err(error) => assert!(!all || self.is_short(Some(error)), "{error:?}"),
                }
            }
            Op::Cover(gfn) => {
                let at = Gfn::new(GFN + gfn);
                let kind = Extra::SharedInfo;
                match self.p2m.map_extra(&mut self.host, kind, at) {
                    Ok(()) => {
                        assert_eq!(self.covered, None, "EX-16");
                        self.covered = Some(*gfn);
                        self.park(*gfn);
                    }
                    Err(error) => assert!(
                        fault || self.covered.is_some() || self.is_short(Some(error)),
                        "{error:?}"
                    ),
                }
            }
            Op::Remove(gfn) => {
                let at = Gfn::new(GFN + gfn);
                if self.p2m.remove(&mut self.host, at).is_ok() {
                    if self.covered == Some(*gfn) {
                        self.covered = None;
                    } else {
                        self.park(*gfn);
                    }
                }
            }
            Op::Steal(count) => self.steal(*count),
            Op::GiveBack => self.give_back(self.stolen.len(), fault),
            Op::GiveSomeBack(count) => self.give_back(*count, fault),
        }
    }

    /// The other domain returns the last `count` pages that it took.
    fn give_back(&mut self, count: usize, fault: bool) {
        let rest = self.stolen.len().saturating_sub(count);
        for slot in self.stolen.split_off(rest) {
            if self.memory.call(D1, Request::Release { slot }).is_err() {
                assert!(fault);
            }
        }
    }

    fn park(&mut self, gfn: u64) {
        if let Some(Frame::Ram(mark)) = self.model.get(&gfn).copied() {
            self.model.insert(gfn, Frame::Parked(mark));
        }
    }

    /// The other domain sees nothing of the guest's in what it is given.
    fn steal(&mut self, count: u8) {
        let mut gfns = Batch::EMPTY;
        (0..count).for_each(|n| _ = gfns.push(u32::from(n)));
        let Ok(Reply::Pages(pages)) = self.memory.call(D1, Request::PopulatePages { gfns }) else {
            return;
        };
        for page in pages.iter() {
            self.stolen.push(page);
            self.has_lost = true;
            let mut machine = self.memory.machine().change();
            let paddr = machine.held_frame(D1, page).expect("granted").paddr;
            assert!(machine.peek(paddr) < OURS, "{paddr:#x} is the guest's");
            machine.poke(paddr, THEIRS);
        }
    }

    fn check(&mut self) {
        let totals = self.memory.totals();
        assert_eq!((totals.sum(), totals.lost), (totals.all, 0), "{totals:?}");
        assert_eq!(self.memory.usage(D0).ram, self.model.len() as u64);
        for gfn in 0..PAGES {
            let gpa = Gpa::new((GFN + gfn) << 12);
            if self.p2m.is_absent(gpa.gfn()) {
                // Not all of it, so that there is something absent at any time.
                if gfn % 512 > 4 {
                    continue;
                }
                self.p2m.touch(&mut self.host, gpa.gfn()).expect("RAM");
            }
            let seen = self.memory.machine().change().guest_read(D0, gpa);
            match (self.model.get(&gfn), self.covered == Some(gfn)) {
                (Some(Frame::Ram(mark)), false) => {
                    assert_eq!(seen, Some(*mark), "frame {gfn}");
                    let window = self.p2m.writable_by(&mut self.host, gpa, 8);
                    let window = window.expect("RAM").raw();
                    let machine = self.memory.machine().look();
                    assert_eq!(
                        machine.translate(D0, Side::Window, window),
                        machine.translate(D0, Side::Guest, gpa.raw()),
                        "frame {gfn}"
                    );
                }
                (_, true) => assert_eq!(self.p2m.lookup(gpa.gfn()), Page::Extra(Extra::SharedInfo)),
                (_, false) => {
                    assert_eq!(seen, None, "frame {gfn}");
                    assert_eq!(self.p2m.readable(gpa, 1), None, "frame {gfn}");
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// SM-5, SM-6, SM-9, SM-13, SM-27, BL-1, BL-2, BL-7, BL-8, EX-16, UP-5: the guest keeps what it
    /// has with its contents, and nobody sees what is not theirs.
    #[test]
    fn a_balloon_in_any_order(
        is_static: bool,
        device: bool,
        overwrites: bool,
        steps in prop::collection::vec((op(), prop::option::weighted(0.2, (any::<bool>(), 0u32..40))), 1..50),
    ) {
        let mut world = World::new(is_static, device, overwrites);
        world.run_all(&steps);
    }

    /// SM-5, SM-9, BL-1, BL-2, BL-7: the same few pages over and over among the same few frames,
    /// with another domain that takes some of them and gives them back, and every other step
    /// refused.
    #[test]
    fn few_pages_among_few_frames(
        overwrites: bool,
        steps in prop::collection::vec((small_op(), prop::option::weighted(0.5, (prop::bool::weighted(0.1), 0u32..8))), 1..40),
    ) {
        let mut world = World::new(false, false, overwrites);
        // One block is pages, and there is no free memory but the block for the next split.
        world.decrease(&[0], false);
        world.populate(&[0], false);
        while world.memory.totals().heap_free > BLOCK_SIZE {
            let before = world.stolen.len();
            world.steal(64);
            assert!(world.stolen.len() > before, "free and not to be had");
        }
        world.run_all(&steps);
    }
}

/// SM-5, BL-7: a page that another domain had meanwhile comes back empty, into its old slot and to
/// its old place, where the window has to be mapped anew.
#[test]
fn a_page_that_was_revoked_comes_back_to_its_old_place() {
    for overwrites in [false, true] {
        let mut world = World::new(false, false, overwrites);
        let at = Gpa::new((GFN + 5) << 12);
        let place = |world: &World| {
            // It comes if it is not there yet.
            let mut host = MemHost::new(&world.memory, D0);
            let _ = world.p2m.touch(&mut host, at.gfn());
            world
                .memory
                .machine()
                .look()
                .translate(D0, Side::Guest, at.raw())
        };
        let frame = place(&world);
        // The first decrease copies the block, so the frame is another one after it.
        world.decrease(&[4], false);
        let moved = place(&world);
        assert_ne!(moved, frame);
        world.decrease(&[5], false);
        assert_eq!(world.memory.usage(D0).returned, 2);
        // The other domain gets free pages, then the two.
        while world.memory.usage(D0).returned > 0 {
            world.steal(1);
        }
        let last = world.stolen.pop().expect("both were stolen");
        let machine = world.memory.machine().clone();
        assert_eq!(machine.look().held_frame(D1, last).map(|f| f.paddr), moved);
        // The window shows the block itself until all of it is copied, and then nothing.
        let mut host = MemHost::new(&world.memory, D0);
        for _ in 0..=32 {
            world.p2m.go_on_copying(&mut host).unwrap();
        }
        assert_eq!(machine.look().translate(D0, Side::Window, at.raw()), None);
        world
            .memory
            .call(D1, Request::Release { slot: last })
            .unwrap();
        assert_eq!(world.memory.usage(D1).returned, 1);
        let scrubbed = machine.look().scrubbed;
        world.populate(&[5], false);
        assert_eq!(place(&world), moved);
        assert_eq!(machine.look().scrubbed, scrubbed + PAGE_SIZE);
        assert_eq!(world.memory.usage(D1).returned, 0);
        world.check();
    }
}
