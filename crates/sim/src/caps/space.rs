//! Address spaces: page tables by level, and what is mapped.
//!
//! Three levels, as seL4 uses with 40-bit addresses: the root is there from the start, one table
//! for each GiB below it, one for each 2 MiB below that.

use std::collections::BTreeMap;

use hv_types::{BLOCK_SHIFT, FrameSize, Gpa, PAGE_SHIFT, WindowAddr};
use hypervisor_core::host::{MapError, Stage2};
use memory_server::DomainIndex;
use memory_server::kernel::Object;
use memory_server_api::Slot;

use super::{Faults, Machine, Place, Shared};

/// One of the two address spaces of a domain.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Side {
    /// The guest's stage 2.
    Guest,
    /// The VMM's window.
    Window,
}

/// Where a capability is mapped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Mapping {
    domain: DomainIndex,
    side: Side,
    at: u64,
    what: Entry,
    /// The guest may not write there.
    read_only: bool,
}

/// What an entry of a table is. A table's `at` is the first address below it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Entry {
    Page,
    Block,
    /// For 2 MiB.
    Level3,
    /// For 1 GiB.
    Level2,
}

impl Entry {
    fn shift(self) -> u32 {
        match self {
            Self::Page => PAGE_SHIFT,
            Self::Block | Self::Level3 => BLOCK_SHIFT,
            Self::Level2 => 30,
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Space {
    entries: BTreeMap<(Entry, u64), Place>,
}

impl Space {
    fn has(&self, what: Entry, at: u64) -> bool {
        self.entries.contains_key(&(what, at >> what.shift()))
    }
    /// The frame at `at`, and the offset in it.
    pub(super) fn frame(&self, at: u64) -> Option<(Place, u64)> {
        [Entry::Page, Entry::Block].into_iter().find_map(|what| {
            let place = self.entries.get(&(what, at >> what.shift()))?;
            Some((*place, at & ((1 << what.shift()) - 1)))
        })
    }
}

/// End of the addresses that a space has (40 bits).
const END: u64 = 1 << 40;

impl Machine {
    fn space(&mut self, domain: DomainIndex, side: Side) -> &mut Space {
        self.spaces.entry((domain, side)).or_default()
    }

    /// The physical address that `at` is mapped to.
    pub fn translate(&self, domain: DomainIndex, side: Side, at: u64) -> Option<u64> {
        let (place, offset) = self.spaces.get(&(domain, side))?.frame(at)?;
        Some(self.cap(place).paddr + offset)
    }

    /// As [`Machine::translate`] for a VMM that is about to touch its window.
    ///
    /// # Panics
    /// If the page was given back: it can be revoked at any time, and then the VMM would be
    /// stopped.
    pub(super) fn translate_window(&self, domain: DomainIndex, at: u64) -> Option<u64> {
        let space = self.spaces.get(&(domain, Side::Window))?;
        let (place, offset) = space.frame(at)?;
        assert!(
            !self.is_returned(place),
            "the VMM of {domain:?} touched {at:#x}, a page that was given back"
        );
        Some(self.cap(place).paddr + offset)
    }

    /// Everything that is mapped: address, physical address and size.
    pub fn mapped(&self, domain: DomainIndex, side: Side) -> Vec<(u64, u64, u64)> {
        let Some(space) = self.spaces.get(&(domain, side)) else {
            return Vec::new();
        };
        let frames = space
            .entries
            .iter()
            .filter(|((what, _), _)| *what < Entry::Level3);
        let mut all: Vec<_> = frames
            .map(|((what, n), place)| {
                (n << what.shift(), self.cap(*place).paddr, 1 << what.shift())
            })
            .collect();
        all.sort_unstable();
        all
    }

    /// Reads as the guest does; `None` is a stage-2 fault.
    pub fn guest_read(&mut self, domain: DomainIndex, gpa: Gpa) -> Option<u8> {
        let paddr = self.translate(domain, Side::Guest, gpa.raw())?;
        let mut byte = [0];
        self.load(paddr, &mut byte);
        Some(byte[0])
    }

    /// Writes as the guest does; `None` is a stage-2 fault.
    pub fn guest_write(&mut self, domain: DomainIndex, gpa: Gpa, byte: u8) -> Option<()> {
        let paddr = self.translate(domain, Side::Guest, gpa.raw())?;
        let (place, _) = self.spaces.get(&(domain, Side::Guest))?.frame(gpa.raw())?;
        if self.cap(place).mapping.is_some_and(|m| m.read_only) {
            return None;
        }
        self.store(paddr, &[byte]);
        Some(())
    }

    /// Takes the mapping of the capability at `place` away, unless another has taken its place.
    pub(super) fn drop_mapping(&mut self, place: Place, mapping: &Mapping) {
        let Mapping {
            domain,
            side,
            at,
            what,
            ..
        } = *mapping;
        let first = at >> what.shift();
        let space = self.space(domain, side);
        if space.entries.get(&(what, first)) != Some(&place) {
            return;
        }
        space.entries.remove(&(what, first));
        // What is below a table is not mapped any more.
        let is_below = |e: Entry| match what {
            Entry::Page | Entry::Block => false,
            Entry::Level3 => e == Entry::Page,
            Entry::Level2 => e != Entry::Level2,
        };
        let below: Vec<_> = space
            .entries
            .iter()
            .filter(|((e, n), _)| is_below(*e) && (n << e.shift()) >> what.shift() == first)
            .map(|(key, place)| (*key, *place))
            .collect();
        for (key, place) in below {
            self.space(domain, side).entries.remove(&key);
            if let Some(cap) = self.caps.get_mut(&place) {
                cap.mapping = None;
            }
        }
    }

    fn map_frame(
        &mut self,
        place: Place,
        mut mapping: Mapping,
        size: FrameSize,
    ) -> Result<(), MapError> {
        let Some(cap) = self.caps.get(&place) else {
            return Err(MapError::NoFrame);
        };
        let Object::Frame(real) = cap.object else {
            return Err(MapError::NoFrame);
        };
        assert_eq!(real, size, "{place:?} is mapped as what it is");
        mapping.what = if size == FrameSize::Page {
            Entry::Page
        } else {
            Entry::Block
        };
        let at = mapping.at;
        if !at.is_multiple_of(size.bytes()) || at >= END || cap.read_only && !mapping.read_only {
            return Err(MapError::Refused);
        }
        match cap.mapping {
            Some(old) if old == mapping => return Ok(()),
            Some(_) => return Err(MapError::Refused),
            None => {}
        }
        let overwrites = self.overwrites;
        let space = self.space(mapping.domain, mapping.side);
        let level3 = space.has(Entry::Level3, at);
        if !space.has(Entry::Level2, at) || level3 != (size == FrameSize::Page) {
            return Err(MapError::MissingTable);
        }
        if space.has(mapping.what, at) && !overwrites {
            return Err(MapError::Occupied);
        }
        space
            .entries
            .insert((mapping.what, at >> mapping.what.shift()), place);
        self.cap_mut(place).mapping = Some(mapping);
        Ok(())
    }

    fn map_table(&mut self, place: Place, mut mapping: Mapping) -> Result<(), MapError> {
        match self.caps.get(&place) {
            Some(cap) if cap.object == Object::PageTable && cap.mapping.is_none() => {}
            Some(cap) if cap.object == Object::PageTable => return Err(MapError::Refused),
            _ => return Err(MapError::NoFrame),
        }
        let at = mapping.at;
        if at >= END {
            return Err(MapError::Refused);
        }
        let space = self.space(mapping.domain, mapping.side);
        mapping.what = if !space.has(Entry::Level2, at) {
            Entry::Level2
        } else if !space.has(Entry::Level3, at) && !space.has(Entry::Block, at) {
            Entry::Level3
        } else {
            return Err(MapError::Occupied);
        };
        space
            .entries
            .insert((mapping.what, at >> mapping.what.shift()), place);
        self.cap_mut(place).mapping = Some(mapping);
        Ok(())
    }
}

/// A VMM's power over the two address spaces of its domain, with what it was granted.
#[derive(Clone, Debug)]
pub struct Mapper {
    machine: Shared,
    domain: DomainIndex,
}

impl Mapper {
    /// The mapper of `domain`.
    pub fn new(machine: Shared, domain: DomainIndex) -> Self {
        Self { machine, domain }
    }

    fn mapping(&self, side: Side, at: u64) -> Mapping {
        Mapping {
            domain: self.domain,
            side,
            at,
            what: Entry::Page,
            read_only: false,
        }
    }
    fn place(&self, slot: Slot) -> Place {
        Place::granted(self.domain, slot)
    }
    fn step(&self) -> Result<std::cell::RefMut<'_, Machine>, MapError> {
        let mut machine = self.machine.change();
        machine.mappings += 1;
        if Faults::hit(&mut machine.faults.mapping) {
            return Err(MapError::Refused);
        }
        Ok(machine)
    }
}

impl Stage2 for Mapper {
    fn map_guest(&mut self, slot: Slot, gpa: Gpa, size: FrameSize) -> Result<(), MapError> {
        let mapping = self.mapping(Side::Guest, gpa.raw());
        self.step()?.map_frame(self.place(slot), mapping, size)
    }

    fn map_guest_read_only(&mut self, slot: Slot, gpa: Gpa) -> Result<(), MapError> {
        let mapping = Mapping {
            read_only: true,
            ..self.mapping(Side::Guest, gpa.raw())
        };
        let place = self.place(slot);
        self.step()?.map_frame(place, mapping, FrameSize::Page)
    }

    fn map_window(&mut self, slot: Slot, at: WindowAddr, size: FrameSize) -> Result<(), MapError> {
        let mapping = self.mapping(Side::Window, at.raw());
        self.step()?.map_frame(self.place(slot), mapping, size)
    }

    fn unmap(&mut self, slot: Slot) -> Result<(), MapError> {
        let place = self.place(slot);
        let mut machine = self.step()?;
        let Some(cap) = machine.caps.get_mut(&place) else {
            return Err(MapError::NoFrame);
        };
        if let Some(mapping) = cap.mapping.take() {
            machine.drop_mapping(place, &mapping);
        }
        Ok(())
    }

    fn map_guest_table(&mut self, slot: Slot, gpa: Gpa) -> Result<(), MapError> {
        let mapping = self.mapping(Side::Guest, gpa.raw());
        self.step()?.map_table(self.place(slot), mapping)
    }

    fn map_window_table(&mut self, slot: Slot, at: WindowAddr) -> Result<(), MapError> {
        let mapping = self.mapping(Side::Window, at.raw());
        self.step()?.map_table(self.place(slot), mapping)
    }
}
