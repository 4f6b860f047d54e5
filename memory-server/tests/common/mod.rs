//! A kernel for the server's tests: derivation of capabilities without memory contents.
#![allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    reason = "a fixture shared by several test programs"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use hv_types::{DomId, FrameSize, Gfn};
use memory_server::cost;
use memory_server::kernel::{
    Change, Destination, Kernel, MAX_RETYPE, Object, Original, OwnSlot, Refused, Wiped,
};
use memory_server::layout::{self, GrantLayout};
use memory_server::manifest::{self, MANIFEST_WORDS};
use memory_server::{
    BlockRecord, DomainConfig, DomainIndex, Manifest, MemoryServer, Purpose, Shares, SplitRecord,
    Tables, Untyped, UntypedRecord,
};
use memory_server_api::{
    CHUNK_PAGES, Error, Granted, MAX_WORDS, MOST_MESSAGES, Reply, Request, Slot, Usage,
};

pub const MIB: u64 = 1 << 20;

/// A capability: what it names, and of which slot it was made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cap {
    pub object: Object,
    pub paddr: u64,
    pub device: bool,
    pub parent: Option<Original>,
}

#[derive(Default)]
pub struct FakeKernel {
    pub own: BTreeMap<OwnSlot, Cap>,
    pub granted: BTreeMap<(DomainIndex, Slot), Cap>,
    watermark: BTreeMap<OwnSlot, u64>,
    /// Words of frames that were changed.
    words: BTreeMap<u64, u64>,
    /// Fails the operation that makes this 0; `usize::MAX` never.
    pub fail_in: Option<usize>,
    /// Fails every operation from the failing one on.
    pub fail_for_ever: bool,
    pub operations: usize,
    /// Operations that failed.
    pub refused: usize,
    /// What the operations have cost, in the units of [`cost`]: by what was really made, deleted
    /// and zeroed.
    pub cost: u32,
    /// Capabilities deleted.
    pub deleted: u32,
    /// There is somebody who zeroes memory aside.
    pub has_wiper: bool,
    /// What he has.
    pub with_wiper: Option<Cap>,
    /// It is zeroed.
    pub is_wiped: bool,
    /// Physical addresses of what was scrubbed.
    pub scrubbed: Vec<(u64, FrameSize)>,
    pub log: Vec<String>,
}

fn size(object: Object) -> u64 {
    match object {
        Object::Untyped { size_bits } => 1 << size_bits,
        Object::Frame(size) => size.bytes(),
        Object::PageTable | Object::Vcpu => 4096,
    }
}

impl FakeKernel {
    fn new(manifest: &Manifest<'_>) -> Self {
        let mut kernel = Self::default();
        for (index, u) in (0u32..).zip(manifest.untypeds()) {
            let object = Object::Untyped {
                size_bits: u.size_bits,
            };
            let cap = Cap {
                object,
                paddr: u.paddr,
                device: u.device,
                parent: None,
            };
            kernel.own.insert(OwnSlot(index), cap);
        }
        kernel
    }
    fn step(&mut self, cost: u32) -> Result<(), Refused> {
        self.operations += 1;
        self.cost += cost;
        match &mut self.fail_in {
            None => Ok(()),
            Some(0) if self.fail_for_ever => {
                self.refused += 1;
                Err(Refused(10))
            }
            Some(0) => {
                self.refused += 1;
                self.fail_in = None;
                Err(Refused(10))
            }
            Some(n) => {
                *n -= 1;
                Ok(())
            }
        }
    }
    fn delete_caps(&mut self, gone: impl IntoIterator<Item = Object>) {
        for object in gone {
            self.deleted += 1;
            self.cost += match object {
                Object::PageTable | Object::Vcpu => cost::DELETE_TABLE,
                _ => cost::DELETE,
            };
        }
    }
    fn children(&self, slot: OwnSlot) -> Vec<OwnSlot> {
        self.own
            .iter()
            .filter(|(_, c)| c.parent == Some(Original::Own(slot)))
            .map(|(s, _)| *s)
            .collect()
    }
    fn original(&self, frame: Original) -> &Cap {
        match frame {
            Original::Own(slot) => self.own.get(&slot),
            Original::Granted(d, slot) => self.granted.get(&(d, slot)),
        }
        .unwrap_or_else(|| panic!("{frame:?} is empty"))
    }
    /// What is granted to `d`, by slot.
    pub fn of(&self, d: u8) -> BTreeMap<Slot, u64> {
        let mine = self.granted.iter().filter(|((owner, _), _)| owner.0 == d);
        mine.map(|((_, slot), cap)| (*slot, cap.paddr)).collect()
    }
}

impl Kernel for FakeKernel {
    fn retype(
        &mut self,
        from: OwnSlot,
        object: Object,
        into: Destination,
        count: u32,
    ) -> Result<(), Refused> {
        self.step(cost::RETYPE)?;
        let parent = *self.own.get(&from).expect("retype from an empty slot");
        let Object::Untyped { size_bits } = parent.object else {
            panic!("retype of {parent:?}")
        };
        assert!((1..=MAX_RETYPE).contains(&count), "fan-out {count}");
        let (Destination::Own(OwnSlot(first)) | Destination::Grant(_, Slot(first))) = into;
        assert_eq!(layout::run(first, count), count, "{into:?} in two nodes");
        assert!(
            object != Object::Frame(FrameSize::Block) || count == 1,
            "2 MiB frames one by one"
        );
        assert!(
            !parent.device || !matches!(object, Object::PageTable | Object::Vcpu),
            "tables from device memory"
        );
        let granted = self
            .granted
            .values()
            .any(|c| c.parent == Some(Original::Own(from)));
        if self.children(from).is_empty() && !granted {
            let used = self.watermark.insert(from, 0).unwrap_or(0);
            if !parent.device {
                self.cost += cost::RESET_PAGE * u32::try_from(used.div_ceil(4096)).unwrap();
            }
        }
        self.cost += count
            * match object {
                Object::Frame(FrameSize::Block) if !parent.device => cost::MAKE_BLOCK,
                Object::Untyped { .. } => cost::MAKE,
                _ if parent.device => cost::MAKE,
                _ => cost::MAKE_PAGE,
            };
        let mut at = self
            .watermark
            .get(&from)
            .copied()
            .unwrap_or(0)
            .next_multiple_of(size(object));
        assert!(
            at + u64::from(count) * size(object) <= 1 << size_bits,
            "untyped {from:?} is full"
        );
        for i in 0..count {
            let paddr = parent.paddr + at;
            let cap = Cap {
                object,
                paddr,
                device: parent.device,
                parent: Some(Original::Own(from)),
            };
            let old = match into {
                Destination::Own(slot) => self.own.insert(OwnSlot(slot.0 + i), cap),
                Destination::Grant(d, slot) => self.granted.insert((d, Slot(slot.0 + i)), cap),
            };
            assert_eq!(old, None, "retype into an occupied slot {into:?} + {i}");
            at += size(object);
        }
        self.watermark.insert(from, at);
        Ok(())
    }

    fn lend(
        &mut self,
        frame: Original,
        domain: DomainIndex,
        slot: Slot,
        _writable: bool,
    ) -> Result<(), Refused> {
        self.mint(frame, domain, slot)
    }

    fn word(
        &mut self,
        page: Original,
        _peek: u32,
        offset: u16,
        change: Change,
    ) -> Result<u64, Refused> {
        self.step(2 * cost::MINT)?;
        let paddr = self.original(page).paddr + u64::from(offset);
        let word = self.words.entry(paddr).or_default();
        let was = *word;
        *word = change.of(was);
        Ok(was)
    }

    fn forget(&mut self, _peek: u32) {}

    fn mint(&mut self, frame: Original, domain: DomainIndex, slot: Slot) -> Result<(), Refused> {
        self.step(cost::MINT)?;
        let cap = *self.original(frame);
        assert!(matches!(cap.object, Object::Frame(_)), "mint of {cap:?}");
        let old = self.granted.insert(
            (domain, slot),
            Cap {
                parent: Some(frame),
                ..cap
            },
        );
        assert_eq!(
            old, None,
            "mint into the occupied slot {slot:?} of {domain:?}"
        );
        Ok(())
    }

    fn delete(&mut self, frame: Original, domain: DomainIndex, slot: Slot) -> Result<(), Refused> {
        self.step(cost::REVOKE)?;
        // The kernel does not look whose copy it is; the table of the EL2 host does.
        if let Some(cap) = self.granted.get(&(domain, slot)) {
            assert_eq!(cap.parent, Some(frame), "{slot:?} of {domain:?}");
        }
        let gone = self.granted.remove(&(domain, slot));
        self.delete_caps(gone.iter().map(|cap| cap.object));
        Ok(())
    }

    fn revoke(&mut self, slot: OwnSlot) -> Result<(), Refused> {
        self.step(cost::REVOKE)?;
        assert!(
            self.own.contains_key(&slot),
            "revoke of an empty slot {slot:?}"
        );
        let below: BTreeSet<OwnSlot> = {
            let mut below = BTreeSet::from([slot]);
            let mut todo = vec![slot];
            while let Some(parent) = todo.pop() {
                let children = self.children(parent);
                below.extend(&children);
                todo.extend(children.iter().filter(|child| {
                    // Frames have copies alone, and those are all granted.
                    matches!(self.own[child].object, Object::Untyped { .. })
                }));
            }
            below
        };
        let mut gone = Vec::new();
        // Originals in a grant CNode go first, then their copies.
        for _ in 0..2 {
            let granted: BTreeSet<_> = self.granted.keys().copied().collect();
            self.granted.retain(|_, c| {
                let stays = match c.parent {
                    Some(Original::Own(parent)) => !below.contains(&parent),
                    Some(Original::Granted(d, slot)) => granted.contains(&(d, slot)),
                    None => true,
                };
                gone.extend((!stays).then_some(c.object));
                stays
            });
        }
        for child in below.into_iter().filter(|child| *child != slot) {
            gone.extend(self.own.remove(&child).map(|cap| cap.object));
        }
        self.delete_caps(gone);
        Ok(())
    }

    fn scrub(&mut self, frame: Original, size: FrameSize) -> Result<(), Refused> {
        self.step(match size {
            FrameSize::Page => cost::SCRUB_PAGE,
            FrameSize::Block => cost::SCRUB_BLOCK,
        })?;
        let cap = self.original(frame);
        assert_eq!(cap.object, Object::Frame(size));
        self.scrubbed.push((cap.paddr, size));
        Ok(())
    }

    fn hand_to_wiper(&mut self, from: OwnSlot) -> Result<Wiped, Refused> {
        if !self.has_wiper {
            return Ok(Wiped::ByNobody);
        }
        self.step(0)?;
        assert!(self.children(from).is_empty(), "{from:?} is in use");
        let untyped = self.own.remove(&from).expect("nothing to hand over");
        assert_eq!(self.with_wiper.replace(untyped), None);
        Ok(Wiped::Later)
    }

    fn take_from_wiper(&mut self, to: OwnSlot) -> Result<(), Refused> {
        self.step(0)?;
        let untyped = self.with_wiper.take().expect("the wiper has nothing");
        assert_eq!(self.own.insert(to, untyped), None);
        if core::mem::take(&mut self.is_wiped) {
            self.watermark.insert(to, 0);
        }
        Ok(())
    }

    fn log(&mut self, line: fmt::Arguments<'_>) {
        self.log.push(line.to_string());
    }
}

/// The server with its tables on the heap, and its kernel.
pub struct System {
    pub server: MemoryServer<'static>,
    pub kernel: FakeKernel,
    /// What the dearest message has cost so far.
    pub dearest: u32,
    words: Box<[u64; MANIFEST_WORDS]>,
}

/// What no message costs more than, searches aside: what may have been done before the last long
/// step, that, and the last page of a batch.
pub const BOUND: u32 = cost::BEFORE + cost::MESSAGE + 17_000;

pub const D0: DomainIndex = DomainIndex(0);
pub const D1: DomainIndex = DomainIndex(1);

pub fn domain(domid: u16, is_static: bool, mib: u64) -> DomainConfig {
    DomainConfig {
        domid: DomId(domid),
        name: DomainConfig::pad_name(if is_static { "fixed" } else { "loose" }),
        max_pages: mib * MIB / 4096,
        is_static,
        direct: false,
        table_quota: 8,
        grant_radix: 16,
        lenders: 0,
        shares: Shares::NONE,
    }
}

pub fn memory(paddr: u64, size_bits: u8, device: bool, purpose: Purpose) -> Untyped {
    Untyped {
        paddr,
        size_bits,
        device,
        purpose,
    }
}

impl System {
    pub fn new(domains: &[DomainConfig], untypeds: &[Untyped], splits: u16) -> Self {
        let words =
            Box::new(manifest::encode(domains, untypeds, splits).expect("a valid manifest"));
        let manifest = Manifest::decode(&words[..]).unwrap();
        let windows: usize = domains.iter().map(|d| GrantLayout::of(d).words()).sum();
        let tables = Tables {
            untypeds: vec![UntypedRecord::EMPTY; untypeds.len()].leak(),
            blocks: vec![BlockRecord::EMPTY; layout::blocks(&manifest) as usize].leak(),
            splits: vec![SplitRecord::EMPTY; usize::from(splits)].leak(),
            windows: vec![0; windows].leak(),
        };
        let kernel = FakeKernel::new(&manifest);
        let server = MemoryServer::new(&manifest, tables).unwrap();
        Self {
            server,
            kernel,
            dearest: 0,
            words,
        }
    }

    /// One static domain of 8 MiB device memory, one heap domain of 8 MiB, 16 MiB of heap that the
    /// kernel owns.
    pub fn usual() -> Self {
        Self::usual_sharing(&[], Shares::NONE)
    }

    /// The same, and the static domain has `shares` of the shared memory in `shared`.
    pub fn usual_sharing(shared: &[Untyped], shares: Shares) -> Self {
        let usual = [
            memory(0x4000_0000, 23, true, Purpose::Static(D0)),
            memory(0x8000_0000, 24, false, Purpose::Heap),
            memory(0x6000_0000, 14, false, Purpose::Tables(D0)),
            memory(0x6000_4000, 14, false, Purpose::Tables(D1)),
            memory(0x6000_8000, 4, false, Purpose::Heap),
        ];
        Self::new(
            &[
                DomainConfig {
                    lenders: 1 << D1.0,
                    shares,
                    ..domain(1, true, 8)
                },
                domain(2, false, 8),
            ],
            &[&usual, shared].concat(),
            // Six of the heap, and one for each block of static memory.
            10,
        )
    }

    /// Sends a request until it is answered, as a VMM does.
    pub fn ask(&mut self, d: DomainIndex, request: Request) -> Result<Reply, Error> {
        for _ in 0..MOST_MESSAGES {
            let answer = self.send(d, request);
            if answer != Err(Error::Again) {
                return answer;
            }
        }
        panic!("{request:?} is never answered");
    }
    /// Sends a request in one message, and checks that all memory is accounted for and that the
    /// message costs what it may.
    pub fn send(&mut self, d: DomainIndex, request: Request) -> Result<Reply, Error> {
        let (mut words, mut reply) = ([0; MAX_WORDS], [0; MAX_WORDS]);
        let message = request.encode(&mut words);
        self.kernel.cost = 0;
        let refused = self.kernel.refused;
        let message = self.server.on_ppc(&mut self.kernel, d, message, &mut reply);
        let cost = self.kernel.cost;
        // What the kernel refuses is undone in the same message.
        if self.kernel.refused == refused {
            assert!(cost <= BOUND, "{request:?}: {cost}");
            self.dearest = self.dearest.max(cost);
        }
        let totals = self.server.totals();
        assert_eq!(totals.sum(), totals.all, "{totals:?}");
        assert!(self.server.counts_hold());
        request.decode_reply(message)
    }
    pub fn granted(&mut self, d: DomainIndex, request: Request) -> Result<Granted, Error> {
        match self.ask(d, request)? {
            Reply::Granted(granted) => Ok(granted),
            other => panic!("{other:?}"),
        }
    }
    /// Blocks from guest frame 0x40000 on, see [`System::run`].
    pub fn blocks(&mut self, d: DomainIndex, blocks: u32) -> Result<Granted, Error> {
        self.run(d, 0x40000, blocks)
    }
    /// Blocks from `gfn` on, in as many messages as they take; they must lie in one run.
    pub fn run(&mut self, d: DomainIndex, gfn: u64, blocks: u32) -> Result<Granted, Error> {
        let mut all: Option<Granted> = None;
        loop {
            let have = all.map_or(0, |run| run.count);
            let request = Request::PopulateBlocks {
                gfn: Gfn::new(gfn.saturating_add(512 * u64::from(have))),
                blocks: blocks - have,
            };
            let run = match (self.granted(d, request), all) {
                (Err(_), Some(all)) => return Ok(all),
                (run, _) => run?,
            };
            let all = all.get_or_insert(Granted { count: 0, ..run });
            assert_eq!(run.first, all.slot(have), "not one run");
            all.count += run.count;
            if all.count == blocks {
                return Ok(*all);
            }
        }
    }
    pub fn page(&mut self, d: DomainIndex) -> Result<Slot, Error> {
        self.place(d, 0x40000)
    }
    /// A page for guest frame `gfn`.
    pub fn place(&mut self, d: DomainIndex, gfn: u64) -> Result<Slot, Error> {
        match self.ask(d, Request::populate_page(Gfn::new(gfn)))? {
            Reply::Pages(pages) => Ok(pages.iter().next().unwrap()),
            other => panic!("{other:?}"),
        }
    }
    pub fn release(&mut self, d: DomainIndex, slot: Slot) -> Result<(), Error> {
        self.ask(d, Request::Release { slot })
            .map(|reply| assert_eq!(reply, Reply::Done))
    }
    /// The capabilities of all pages of a split block.
    pub fn look_at(&mut self, d: DomainIndex, pages: Granted) {
        for n in (0..pages.count).step_by(CHUNK_PAGES as usize) {
            let slot = pages.slot(n);
            let reply = self.ask(d, Request::Chunk { slot });
            assert_eq!(reply, Ok(Reply::Done));
        }
    }
    pub fn usage(&mut self, d: DomainIndex) -> Usage {
        match self.ask(d, Request::Usage) {
            Ok(Reply::Usage(usage)) => usage,
            other => panic!("{other:?}"),
        }
    }
    pub fn paddr(&self, d: DomainIndex, slot: Slot) -> u64 {
        let guest = self.kernel.granted[&(d, slot)];
        if guest.object == Object::Frame(FrameSize::Block) {
            let window = self.kernel.granted[&(d, slot.window_cap())];
            assert_eq!(guest.paddr, window.paddr, "both capabilities of a frame");
        }
        guest.paddr
    }
    pub fn dump(&self) -> String {
        let mut text = String::new();
        self.server.dump(&mut text).unwrap();
        text
    }
}
