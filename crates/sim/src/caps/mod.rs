//! A model of seL4 memory capabilities: derivation, revocation, mapping, and the contents of
//! frames.
//!
//! It is as strict as the kernel and stricter than a correct server needs: retyping into an
//! occupied slot, minting something that is not a frame, or revoking an empty slot panics, because
//! only a defect of the server under test can ask for it. What the kernel refuses in correct
//! systems as well (a missing page table, an occupied place) is an error value.
//!
//! * [`Machine`]: all of it, shared through [`Shared`].
//! * [`Shared`] is the memory server's kernel ([`memory_server::kernel::Kernel`]).
//! * [`Mapper`] is a VMM's power to map ([`hypervisor_core::host::Stage2`]).
//! * [`SimWindow`] is a VMM's window on its guest ([`guest_mem::Window`]): touching what is not
//!   mapped panics, as it would stop the VMM.
//!
//! What seL4 does that the model keeps: an untyped without children starts again at its beginning
//! and ordinary memory is then zeroed; device memory never is; a frame capability holds one
//! mapping; a page table that is not mapped cannot be copied; deleting a capability removes its
//! mapping; revoking removes everything derived, wherever it lies; a page may be mapped for the
//! guest to be read only, and that of a read-only capability must be. Left out: badges, the limits
//! of CNode sizes, caches.

mod kernel;
mod space;
mod window;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::rc::Rc;

use hv_types::{FrameSize, PAGE_SIZE};
use memory_server::kernel::{Object, Original, OwnSlot};
use memory_server::{DomainIndex, Manifest};
use memory_server_api::Slot;

pub use kernel::Shared;
pub use space::{Mapper, Side};
pub use window::SimWindow;

use space::{Mapping, Space};

/// [`PAGE_SIZE`] as the size of an array.
#[expect(clippy::cast_possible_truncation, reason = "4096")]
const PAGE: usize = PAGE_SIZE as usize;

/// A CNode of the system.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum CNode {
    /// The memory server's own.
    Own,
    /// What a domain was granted.
    Grant(DomainIndex),
}

/// Where a capability lies.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Place {
    /// Which CNode.
    pub cnode: CNode,
    /// Slot in it.
    pub slot: u32,
}

impl Place {
    /// A slot of the memory server's own CNode.
    pub const fn own(slot: OwnSlot) -> Self {
        Self {
            cnode: CNode::Own,
            slot: slot.0,
        }
    }
    /// Where the original of a frame is.
    pub const fn of(original: Original) -> Self {
        match original {
            Original::Own(slot) => Self::own(slot),
            Original::Granted(domain, slot) => Self::granted(domain, slot),
        }
    }
    /// A slot of a domain's grant CNode.
    pub const fn granted(domain: DomainIndex, slot: Slot) -> Self {
        Self {
            cnode: CNode::Grant(domain),
            slot: slot.0,
        }
    }
}

/// A capability.
#[derive(Clone, Debug)]
struct Cap {
    object: Object,
    paddr: u64,
    device: bool,
    /// Bytes of an untyped that are used.
    used: u64,
    parent: Option<Place>,
    children: BTreeSet<Place>,
    mapping: Option<Mapping>,
    /// It may only be mapped for reading.
    read_only: bool,
    /// It is of a page of another domain's.
    lent: bool,
}

/// One frame capability that somebody holds, for tests that look at the whole system.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct HeldFrame {
    /// Who.
    pub domain: DomainIndex,
    /// Its slot.
    pub slot: Slot,
    /// Physical address.
    pub paddr: u64,
    /// Bytes.
    pub bytes: u64,
}

/// When an operation is to be refused although nothing is wrong with it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Faults {
    /// Refuse the server's operation after this many more.
    pub kernel: Option<u32>,
    /// Refuse every operation of the server.
    pub kernel_always: bool,
    /// Refuse a VMM's mapping operation after this many more.
    pub mapping: Option<u32>,
}

impl Faults {
    fn hit(counter: &mut Option<u32>) -> bool {
        match counter {
            None => false,
            Some(0) => {
                *counter = None;
                true
            }
            Some(n) => {
                *n -= 1;
                false
            }
        }
    }
}

/// All capabilities, address spaces and memory of a system.
#[derive(Debug, Default)]
pub struct Machine {
    caps: BTreeMap<Place, Cap>,
    spaces: BTreeMap<(DomainIndex, Side), Space>,
    memory: HashMap<u64, Box<[u8; PAGE]>>,
    device_ranges: Vec<(u64, u64)>,
    /// Guest-side capabilities of frames that their domain gave back and that were not revoked, and
    /// the frames: nobody may touch them.
    returned: HashMap<Place, u64>,
    returned_frames: HashSet<u64>,
    /// The place of the untyped that the wiper has.
    with_wiper: Option<Place>,
    /// How often it went on with that.
    wiper_turns: u32,
    /// Whether a page that is mapped over another takes its place, as on seL4 for AArch64, or is
    /// refused as occupied, as on the EL2 host.
    pub overwrites: bool,
    /// Refusals to come.
    pub faults: Faults,
    /// Operations of the server so far, refused ones included.
    pub operations: u64,
    /// Mapping operations so far, refused ones included.
    pub mappings: u64,
    /// Bytes that the server zeroed by itself.
    pub scrubbed: u64,
    /// What the server logged.
    pub log: Vec<String>,
}

/// What device memory holds at boot: the boot loader's leavings.
pub const JUNK: u8 = 0xb0;

impl Machine {
    /// A machine whose memory server has been handed the untypeds of `manifest`, in order from slot
    /// 0 on.
    pub fn new(manifest: &Manifest<'_>) -> Self {
        let mut machine = Self::default();
        for (slot, u) in (0u32..).zip(manifest.untypeds()) {
            let cap = Cap {
                object: Object::Untyped {
                    size_bits: u.size_bits,
                },
                paddr: u.paddr,
                device: u.device,
                used: 0,
                parent: None,
                children: BTreeSet::new(),
                mapping: None,
                read_only: false,
                lent: false,
            };
            if u.device {
                machine
                    .device_ranges
                    .push((u.paddr, u.paddr + (1 << u.size_bits)));
            }
            machine.caps.insert(Place::own(OwnSlot(slot)), cap);
        }
        machine
    }

    /// A machine that several owners share.
    pub fn shared(manifest: &Manifest<'_>) -> Shared {
        Shared(Rc::new(RefCell::new(Self::new(manifest))))
    }

    /// All frames in grant CNodes, by domain and slot.
    /// Pages that others lend, and shared memory, are not among them.
    pub fn held_frames(&self) -> impl Iterator<Item = HeldFrame> {
        self.caps
            .iter()
            .filter_map(|(place, cap)| match (place.cnode, cap.object) {
                (CNode::Grant(domain), Object::Frame(size)) if !cap.lent => Some(HeldFrame {
                    domain,
                    slot: Slot(place.slot),
                    paddr: cap.paddr,
                    bytes: size.bytes(),
                }),
                _ => None,
            })
    }

    /// Pages that others lend, in the grant CNodes of those who have borrowed them.
    pub fn lent_frames(&self) -> impl Iterator<Item = HeldFrame> {
        let lent = self.caps.iter().filter(|(_, cap)| cap.lent);
        lent.filter_map(|(place, cap)| match (place.cnode, cap.object) {
            (CNode::Grant(domain), Object::Frame(size)) => Some(HeldFrame {
                domain,
                slot: Slot(place.slot),
                paddr: cap.paddr,
                bytes: size.bytes(),
            }),
            _ => None,
        })
    }

    /// The frame whose capability lies in `slot` of the grant CNode of `domain`.
    pub fn held_frame(&self, domain: DomainIndex, slot: Slot) -> Option<HeldFrame> {
        let cap = self.caps.get(&Place::granted(domain, slot))?;
        match cap.object {
            Object::Frame(size) => Some(HeldFrame {
                domain,
                slot,
                paddr: cap.paddr,
                bytes: size.bytes(),
            }),
            _ => None,
        }
    }

    /// Every capability as text, for comparing two states.
    pub fn capabilities(&self) -> Vec<(Place, u64, u64)> {
        self.caps
            .iter()
            .map(|(place, cap)| (*place, cap.paddr, bytes(cap.object)))
            .collect()
    }

    /// A byte of physical memory, whoever holds it.
    pub fn peek(&mut self, paddr: u64) -> u8 {
        let mut byte = [0];
        self.load(paddr, &mut byte);
        byte[0]
    }

    /// Writes a byte of physical memory.
    pub fn poke(&mut self, paddr: u64, byte: u8) {
        self.store(paddr, &[byte]);
    }

    /// Remembers that `domain` gave the frame in `slot` back, or was given it again.
    pub(crate) fn note_returned(&mut self, domain: DomainIndex, slot: Slot, returned: bool) {
        let place = Place::granted(domain, slot);
        match self.caps.get(&place) {
            Some(cap) if returned => {
                self.returned.insert(place, cap.paddr);
                self.returned_frames.insert(cap.paddr);
            }
            _ => self.forget_returned(place),
        }
    }

    fn forget_returned(&mut self, place: Place) {
        if let Some(paddr) = self.returned.remove(&place) {
            self.returned_frames.remove(&paddr);
        }
    }

    /// Whether the frame whose capability lies at `place` was given back.
    fn is_returned(&self, place: Place) -> bool {
        self.returned_frames.contains(&self.cap(place).paddr)
    }

    fn insert(&mut self, place: Place, cap: Cap) {
        if let Some(parent) = cap.parent {
            self.cap_mut(parent).children.insert(place);
        }
        let old = self.caps.insert(place, cap);
        assert!(old.is_none(), "{place:?} is occupied by {old:?}");
    }

    /// The wiper has a turn; returns whether it has just zeroed what it has, after a few of them.
    pub fn wiper_goes_on(&mut self) -> bool {
        const TURNS: u32 = 3;
        let Some(place) = self.with_wiper else {
            return false;
        };
        self.wiper_turns += 1;
        if !self.wiper_turns.is_multiple_of(TURNS) {
            return false;
        }
        let Cap { paddr, used, .. } = *self.away(place);
        self.wipe(paddr, used);
        if let Some(untyped) = self.caps.get_mut(&place) {
            untyped.used = 0;
        }
        true
    }

    /// What the wiper has of `place`.
    fn away(&self, place: Place) -> &Cap {
        self.caps
            .get(&place)
            .unwrap_or_else(|| panic!("{place:?} is empty"))
    }

    fn cap(&self, place: Place) -> &Cap {
        assert_ne!(Some(place), self.with_wiper, "the wiper has it");
        self.caps
            .get(&place)
            .unwrap_or_else(|| panic!("{place:?} is empty"))
    }

    fn cap_mut(&mut self, place: Place) -> &mut Cap {
        self.caps
            .get_mut(&place)
            .unwrap_or_else(|| panic!("{place:?} is empty"))
    }

    /// Deletes everything derived from `place`.
    fn revoke(&mut self, place: Place) {
        let mut doomed: Vec<Place> = self.cap(place).children.iter().copied().collect();
        self.cap_mut(place).children.clear();
        while let Some(place) = doomed.pop() {
            let Some(cap) = self.caps.remove(&place) else {
                continue;
            };
            doomed.extend(cap.children);
            self.forget_returned(place);
            if let Some(mapping) = cap.mapping {
                self.drop_mapping(place, &mapping);
            }
        }
    }

    /// Deletes a capability from which nothing is derived.
    fn delete(&mut self, place: Place) {
        let Some(cap) = self.caps.remove(&place) else {
            return;
        };
        assert!(cap.children.is_empty(), "{place:?} has children");
        if let Some(parent) = cap.parent {
            self.cap_mut(parent).children.remove(&place);
        }
        if let Some(mapping) = cap.mapping {
            self.drop_mapping(place, &mapping);
        }
    }

    /// Forgets the contents of ordinary memory, which then reads as zero.
    fn wipe(&mut self, paddr: u64, bytes: u64) {
        for page in (paddr & !(PAGE_SIZE - 1)..paddr + bytes).step_by(PAGE) {
            self.memory.remove(&page);
        }
    }

    fn page(&mut self, paddr: u64) -> &mut [u8; PAGE] {
        let device = self
            .device_ranges
            .iter()
            .any(|(start, end)| (*start..*end).contains(&paddr));
        let fill = if device { JUNK } else { 0 };
        self.memory
            .entry(paddr)
            .or_insert_with(|| Box::new([fill; PAGE]))
    }

    /// Copies physical memory out, within one page.
    fn load(&mut self, paddr: u64, into: &mut [u8]) {
        let offset = offset(paddr);
        into.copy_from_slice(&self.page(paddr - paddr % PAGE_SIZE)[offset..offset + into.len()]);
    }

    /// Copies to physical memory, within one page.
    pub fn store(&mut self, paddr: u64, from: &[u8]) {
        let offset = offset(paddr);
        self.page(paddr - paddr % PAGE_SIZE)[offset..offset + from.len()].copy_from_slice(from);
    }

    fn zero(&mut self, paddr: u64, bytes: u64) {
        for page in (paddr..paddr + bytes).step_by(PAGE) {
            self.page(page).fill(0);
        }
    }
}

/// Place of `paddr` in its page.
fn offset(paddr: u64) -> usize {
    (paddr % PAGE_SIZE) as usize
}

fn bytes(object: Object) -> u64 {
    match object {
        Object::Untyped { size_bits } => 1 << size_bits,
        Object::Frame(size) => size.bytes(),
        Object::PageTable | Object::Vcpu => FrameSize::Page.bytes(),
    }
}
