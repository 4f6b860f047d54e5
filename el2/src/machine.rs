//! Capabilities and address spaces: what seL4's kernel is to the servers and VMMs on Microkit.
//!
//! The memory server and the guests' hosts name frames by slot. The capability table knows what
//! lies there; what it does not know cannot be mapped, and what is revoked is unmapped here.
//!
//! # Soundness
//! Page tables are written by physical address: those of the capability table are made from
//! untypeds that the boot plan set aside for tables and that are mapped one to one. Frames of
//! guests are never mapped one to one; the host sees them in windows, through
//! [`guest_mem::RawWindow`], and here for the time of zeroing them or changing a word, at addresses
//! of which no Rust object knows.
#![expect(unsafe_code, reason = "installs page tables and zeroes frames")]

use core::fmt;

use guest_mem::RawWindow;
use hv_types::{FrameSize, Gpa, PAGE_SIZE, WindowAddr};
use hypervisor_core::host::MapError;
use memory_server::DomainIndex;
use memory_server::kernel::{
    Change, Destination, Kernel, Object, Original, OwnSlot, Refused, Wiped,
};
use memory_server::manifest::MAX_DOMAINS;
use memory_server_api::Slot;
use soft_caps::{CNode, Cap, Caps, Error, Held, Mapping, Place};

use crate::cpu;
use crate::log::ServerLog;
use crate::own::Own;
use crate::paging::{Kind, Level, Regime, Space};

/// Bytes of the host's address space under one entry of level 0: a guest's window, or the place for
/// zeroing.
const SLOT: u64 = 1 << 39;
/// Bytes of a window that can be mapped ([`WindowAddr`] and what the core copies through above it).
const WINDOW: u64 = topology::vaddr::WINDOW_END - topology::vaddr::WINDOW;
/// Where frames are mapped to be zeroed: a block, and behind it a page.
const SCRUB: u64 = (1 + MAX_DOMAINS as u64) * SLOT;
const SCRUB_PAGE: u64 = SCRUB + Level::Block.bytes();

/// What lies at an address of the host, for the line about a fault of its own.
pub(crate) struct HostPlace(pub(crate) u64);

impl fmt::Display for HostPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let offset = self.0 % SLOT;
        match self.0 / SLOT {
            _ if self.0 < Level::Page.bytes() => f.write_str("no address at all"),
            0 => f.write_str("the host's own memory or a device"),
            slot if slot <= MAX_DOMAINS as u64 => {
                match offset.checked_sub(WindowAddr::EXTRA_BASE) {
                    Some(extra) => write!(
                        f,
                        "the window onto domain {slot}'s memory, extra page {}",
                        extra / Level::Page.bytes()
                    ),
                    None => write!(
                        f,
                        "the window onto domain {slot}'s memory, guest address {offset:#x}"
                    ),
                }
            }
            _ if (SCRUB..SCRUB + SLOT).contains(&self.0) => {
                f.write_str("the place for zeroing frames")
            }
            _ => f.write_str("where nothing is ever mapped"),
        }
    }
}

/// The CNode of the memory server.
const OWN: CNode = CNode(0);

/// The host's own address space, which holds all windows, and the guests'.
#[derive(Clone, Copy, Debug)]
struct Spaces {
    host: Space,
    guests: [Option<Space>; MAX_DOMAINS],
}

impl Spaces {
    /// The space and the address in it of address `at` of a domain's space.
    fn find(
        &self,
        domain: DomainIndex,
        space: soft_caps::Space,
        at: u64,
    ) -> Result<(Space, u64), MapError> {
        let guest = self
            .guests
            .get(usize::from(domain.0))
            .copied()
            .flatten()
            .ok_or(MapError::Refused)?;
        match space {
            soft_caps::Space::Guest if at < 1 << 40 => Ok((guest, at)),
            soft_caps::Space::Window if at < WINDOW => Ok((self.host, window(domain) + at)),
            _ => Err(MapError::Refused),
        }
    }

    fn drop_mapping(&self, domain: DomainIndex, cap: Cap, mapping: Mapping) {
        let Ok((space, at)) = self.find(domain, mapping.space, mapping.at) else {
            return;
        };
        match cap.object {
            soft_caps::Object::Page => space.unmap(at, cap.paddr, Level::Page),
            soft_caps::Object::Block => space.unmap(at, cap.paddr, Level::Block),
            _ => space.remove(at, cap.paddr),
        }
    }

    /// Zeroes `bytes` of memory that is not mapped one to one, by blocks or by pages.
    fn zero(&self, paddr: u64, bytes: u64) {
        let (size, at) = if bytes >= Level::Block.bytes() {
            (Level::Block, SCRUB)
        } else {
            (Level::Page, SCRUB_PAGE)
        };
        let mut next = paddr;
        while next < paddr + bytes {
            if self.host.map(at, next, Kind::Memory, size).is_ok() {
                // SAFETY: just mapped, and no object lies there.
                unsafe { cpu::zero_and_clean(at, size.bytes()) };
                self.host.unmap(at, next, size);
            }
            next += size.bytes();
        }
    }
}

/// All capabilities and address spaces.
#[derive(Debug)]
pub(crate) struct Machine {
    caps: Caps<'static>,
    spaces: Spaces,
}

fn original(frame: Original) -> Place {
    match frame {
        Original::Own(slot) => own(slot),
        Original::Granted(domain, slot) => grant(domain, slot),
    }
}

fn own(slot: OwnSlot) -> Place {
    Place {
        cnode: OWN,
        slot: slot.0,
    }
}
fn grant(domain: DomainIndex, slot: Slot) -> Place {
    Place {
        cnode: CNode(domain.0 + 1),
        slot: slot.0,
    }
}
fn window(domain: DomainIndex) -> u64 {
    (1 + u64::from(domain.0)) * SLOT
}

/// The capability in a grant slot.
fn granted<'c>(
    caps: &'c mut Caps<'static>,
    domain: DomainIndex,
    slot: Slot,
) -> Result<Held<'c>, MapError> {
    caps.held(grant(domain, slot))
        .map_err(|_| MapError::NoFrame)
}

const fn level(size: FrameSize) -> Level {
    match size {
        FrameSize::Page => Level::Page,
        FrameSize::Block => Level::Block,
    }
}

/// What stands for an object of the memory server's in the capability table; `None` for a vCPU, of
/// which there are no objects here.
fn object(object: Object) -> Option<soft_caps::Object> {
    Some(match object {
        Object::Untyped { size_bits } => soft_caps::Object::Untyped { size_bits },
        Object::Frame(FrameSize::Page) => soft_caps::Object::Page,
        Object::Frame(FrameSize::Block) => soft_caps::Object::Block,
        Object::PageTable => soft_caps::Object::Table,
        Object::Vcpu => return None,
    })
}

/// The number of the error as seL4 would give it (`seL4_Error`), for the server's log.
fn refused(error: Error) -> Refused {
    Refused(match error {
        Error::WrongKind => 2,
        Error::Range => 4,
        Error::Empty | Error::NoSlot => 6,
        Error::Occupied => 8,
        Error::NoRoom | Error::NoNodes => 10,
    })
}

impl Machine {
    /// The machine with these capabilities, whose first CNode is the memory server's and whose
    /// others are the grant CNodes of the domains, and the host's own space.
    pub(crate) fn new(caps: Caps<'static>, host: Space, tables: &mut Own) -> Self {
        host.add_table(tables, SCRUB);
        host.add_table(tables, SCRUB);
        host.add_table(tables, SCRUB_PAGE);
        Self {
            caps,
            spaces: Spaces {
                host,
                guests: [None; MAX_DOMAINS],
            },
        }
    }

    /// Chunks of capabilities in use.
    pub(crate) const fn chunks_used(&self) -> usize {
        self.caps.chunks_used()
    }

    /// Makes the spaces of a domain, with `gicv` (8 KiB) mapped at `gicc` for the guest; returns
    /// its `VTTBR_EL2`.
    pub(crate) fn add_domain(
        &mut self,
        domain: DomainIndex,
        tables: &mut Own,
        gicc: Gpa,
        gicv: u64,
    ) -> u64 {
        // SAFETY: fresh pages of the host's own memory, for this alone.
        let guest = unsafe { Space::new(tables.pages(2), Regime::Guest { vmid: domain.0 + 1 }) };
        guest.add_table(tables, gicc.raw());
        guest.add_table(tables, gicc.raw());
        for offset in [0, 0x1000] {
            let mapped = guest.map(
                gicc.raw() + offset,
                gicv + offset,
                Kind::Device,
                Level::Page,
            );
            assert!(mapped.is_ok(), "the space is empty");
        }
        self.spaces.host.add_table(tables, window(domain));
        if let Some(place) = self.spaces.guests.get_mut(usize::from(domain.0)) {
            *place = Some(guest);
        }
        guest.base()
    }

    /// The window of `domain`. To be taken once.
    pub(crate) fn window(&self, domain: DomainIndex) -> RawWindow {
        // SAFETY: nothing but frames that were granted to the domain is mapped in the range, no
        // Rust object lies in it, and a fault there ends the program.
        unsafe { RawWindow::new(window(domain) as *mut u8, WINDOW) }
    }

    /// Maps a granted frame, for reading and writing.
    pub(crate) fn map(
        &mut self,
        domain: DomainIndex,
        slot: Slot,
        to: Mapping,
        size: FrameSize,
    ) -> Result<(), MapError> {
        self.map_as(domain, slot, to, size, Kind::Memory)
    }

    /// Maps a granted frame as `kind`.
    pub(crate) fn map_as(
        &mut self,
        domain: DomainIndex,
        slot: Slot,
        to: Mapping,
        size: FrameSize,
        kind: Kind,
    ) -> Result<(), MapError> {
        let held = granted(&mut self.caps, domain, slot)?;
        let cap = held.cap;
        if Some(cap.object) != object(Object::Frame(size)) {
            return Err(MapError::NoFrame);
        }
        match cap.mapping {
            Some(old) if old == to => return Ok(()),
            Some(_) => return Err(MapError::Occupied),
            None => {}
        }
        let (space, at) = self.spaces.find(domain, to.space, to.at)?;
        if !at.is_multiple_of(size.bytes()) || cap.read_only && kind != Kind::Constant {
            return Err(MapError::Refused);
        }
        space.map(at, cap.paddr, kind, level(size))?;
        held.set_mapping(Some(to)).map_err(|_| MapError::Refused)
    }

    /// Takes the mapping of a granted frame away.
    pub(crate) fn unmap(&mut self, domain: DomainIndex, slot: Slot) -> Result<(), MapError> {
        let held = granted(&mut self.caps, domain, slot)?;
        let cap = held.cap;
        if let Some(mapping) = cap.mapping.filter(|_| cap.object.is_frame()) {
            self.spaces.drop_mapping(domain, cap, mapping);
            held.set_mapping(None).map_err(|_| MapError::Refused)?;
        }
        Ok(())
    }

    /// Installs a granted page table on the path to `to`.
    pub(crate) fn map_table(
        &mut self,
        domain: DomainIndex,
        slot: Slot,
        to: Mapping,
    ) -> Result<(), MapError> {
        let held = granted(&mut self.caps, domain, slot)?;
        let cap = held.cap;
        if cap.object != soft_caps::Object::Table {
            return Err(MapError::NoFrame);
        }
        if cap.mapping.is_some() {
            return Err(MapError::Refused);
        }
        let (space, at) = self.spaces.find(domain, to.space, to.at)?;
        // SAFETY: a page of memory set aside for tables, zeroed by the retype; the capability says
        // that it is in use.
        unsafe { space.install(at, cap.paddr)? };
        held.set_mapping(Some(to)).map_err(|_| MapError::Refused)
    }
}

/// The memory server's kernel: the machine, and the server's log.
pub(crate) struct ServerKernel<'a> {
    /// Capabilities and spaces.
    pub(crate) machine: &'a mut Machine,
    /// Where the server's lines go.
    pub(crate) log: &'a mut ServerLog,
}

impl Kernel for ServerKernel<'_> {
    fn retype(
        &mut self,
        from: OwnSlot,
        what: Object,
        into: Destination,
        count: u32,
    ) -> Result<(), Refused> {
        let into = match into {
            Destination::Own(slot) => own(slot),
            Destination::Grant(domain, slot) => grant(domain, slot),
        };
        let object = object(what).ok_or_else(|| refused(Error::WrongKind))?;
        let made = self
            .machine
            .caps
            .retype(own(from), object, into, count)
            .map_err(refused)?;
        match what {
            Object::Untyped { .. } | Object::Vcpu => {}
            // Memory set aside for tables is mapped.
            // SAFETY: it is the new tables', which nobody uses yet.
            Object::PageTable => unsafe { cpu::zero_and_clean(made.paddr, made.bytes) },
            Object::Frame(_) if made.device => {}
            Object::Frame(_) => self.machine.spaces.zero(made.paddr, made.bytes),
        }
        Ok(())
    }

    fn lend(
        &mut self,
        frame: Original,
        domain: DomainIndex,
        slot: Slot,
        writable: bool,
    ) -> Result<(), Refused> {
        self.machine
            .caps
            .mint_as(original(frame), grant(domain, slot), writable)
            .map_err(refused)
    }

    fn word(
        &mut self,
        page: Original,
        _peek: u32,
        offset: u16,
        change: Change,
    ) -> Result<u64, Refused> {
        let cap = self.machine.caps.get(original(page)).map_err(refused)?;
        if Some(cap.object) != object(Object::Frame(FrameSize::Page)) {
            return Err(refused(Error::WrongKind));
        }
        let (at, offset) = (SCRUB_PAGE, u64::from(offset));
        let space = self.machine.spaces.host;
        space
            .map(at, cap.paddr, Kind::Memory, Level::Page)
            .map_err(|_| refused(Error::Occupied))?;
        // SAFETY: just mapped, no Rust object lies there, and the offset is within the page.
        let sight = unsafe { RawWindow::new(at as *mut u8, PAGE_SIZE) };
        let was = change.on(&sight, WindowAddr::new(offset));
        space.unmap(at, cap.paddr, Level::Page);
        Ok(was)
    }

    fn forget(&mut self, _peek: u32) {}

    fn mint(&mut self, frame: Original, domain: DomainIndex, slot: Slot) -> Result<(), Refused> {
        self.machine
            .caps
            .mint(original(frame), grant(domain, slot))
            .map_err(refused)
    }

    fn delete(&mut self, frame: Original, domain: DomainIndex, slot: Slot) -> Result<(), Refused> {
        let place = grant(domain, slot);
        let Ok(cap) = self.machine.caps.get(place) else {
            return Ok(());
        };
        let caps = &mut self.machine.caps;
        caps.delete(original(frame), place).map_err(refused)?;
        if let Some(mapping) = cap.mapping {
            self.machine.spaces.drop_mapping(domain, cap, mapping);
        }
        Ok(())
    }

    fn revoke(&mut self, slot: OwnSlot) -> Result<(), Refused> {
        let spaces = self.machine.spaces;
        let gone = |cnode: CNode, cap, mapping| {
            // Only grant CNodes hold what is mapped.
            if let Some(domain) = cnode.0.checked_sub(1) {
                spaces.drop_mapping(DomainIndex(domain), cap, mapping);
            }
        };
        self.machine.caps.revoke(own(slot), gone).map_err(refused)
    }

    fn scrub(&mut self, frame: Original, size: FrameSize) -> Result<(), Refused> {
        let cap = self.machine.caps.get(original(frame)).map_err(refused)?;
        if Some(cap.object) != object(Object::Frame(size)) {
            return Err(refused(Error::WrongKind));
        }
        self.machine.spaces.zero(cap.paddr, size.bytes());
        Ok(())
    }

    fn hand_to_wiper(&mut self, _: OwnSlot) -> Result<Wiped, Refused> {
        // A frame is zeroed when it is made.
        Ok(Wiped::Never)
    }

    fn take_from_wiper(&mut self, _: OwnSlot) -> Result<(), Refused> {
        Err(refused(Error::WrongKind))
    }

    fn log(&mut self, line: fmt::Arguments<'_>) {
        self.log.line(line);
    }
}

/// A place in a guest.
pub(crate) fn in_guest(gpa: Gpa) -> Mapping {
    Mapping {
        space: soft_caps::Space::Guest,
        at: gpa.raw(),
    }
}
/// A place in a window.
pub(crate) fn in_window(at: WindowAddr) -> Mapping {
    Mapping {
        space: soft_caps::Space::Window,
        at: at.raw(),
    }
}
