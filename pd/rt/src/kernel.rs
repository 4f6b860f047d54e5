//! The memory server's hands: its `Kernel` trait over seL4 invocations.

use core::fmt;

use guest_mem::{RawWindow, Window};
use hv_types::{FrameSize, PAGE_SIZE, WindowAddr};
use memory_server::DomainIndex;
use memory_server::kernel::{
    Change, Destination, Kernel, Object, Original, OwnSlot, Refused, Wiped,
};
use memory_server::layout::{self, NODE_SLOTS, SCRUB};
use memory_server_api::Slot;
use sel4::{CapRights, ObjectBlueprint, ObjectBlueprintArm, VmAttributes};
use sel4_microkit::Channel;
use topology::{MAX_DOMAINS, caps, channel, vaddr};

use crate::cspace;
use crate::log::ServerLog;
use crate::patched;

/// Who zeroes memory aside.
const WIPER: Channel = Channel::new(channel::MEMORY_WIPER);
/// Frames of grant tables that can be in sight.
const PEEKS: usize = MAX_DOMAINS * layout::PEEKS as usize;

/// The kernel as the memory server sees it.
#[derive(Debug)]
pub struct Sel4Kernel {
    /// The kernel uses several cores: vCPU objects are not made, so that none is ever deleted. One
    /// that is loaded on another core than the one that deletes it stays known there (seL4 16.0.0,
    /// `dissociateVCPUTCB`), and the next vCPU that runs there has it saved into memory that is
    /// somebody else's by then.
    several_cores: bool,
    has_wiper: bool,
    own_radix: u32,
    grant_radix: [u32; MAX_DOMAINS],
    page: RawWindow,
    block: RawWindow,
    /// Frames of grant tables that are in sight.
    peeks: [Option<Original>; PEEKS],
    sights: RawWindow,
    /// The server's log.
    pub log: ServerLog,
}

fn refused(error: sel4::Error) -> Refused {
    Refused(error.into_sys().into())
}

impl Sel4Kernel {
    /// The kernel for a server whose own CNode has `own_radix` and whose domains' grant CNodes have
    /// `grant_radix`. Taken once.
    pub fn take(own_radix: u32, grant_radix: [u32; MAX_DOMAINS], log: ServerLog) -> Self {
        // SAFETY: nothing else is mapped or placed at the scrub addresses and at the peeks; this
        // struct maps a frame there before each access.
        #[expect(unsafe_code, reason = "memory that no Rust object owns")]
        let (page, block, sights) = unsafe {
            (
                RawWindow::new(vaddr::SCRUB_PAGE as *mut u8, FrameSize::Page.bytes()),
                RawWindow::new(vaddr::SCRUB_BLOCK as *mut u8, FrameSize::Block.bytes()),
                RawWindow::new(vaddr::PEEKS as *mut u8, PEEKS as u64 * PAGE_SIZE),
            )
        };
        Self {
            several_cores: patched::several_cores(),
            has_wiper: patched::has_wiper(),
            own_radix,
            grant_radix,
            page,
            block,
            peeks: [None; PEEKS],
            sights,
            log,
        }
    }

    fn own(&self, slot: OwnSlot) -> sel4::AbsoluteCPtr {
        cspace::slot(cspace::own(), slot.0, self.own_radix)
    }

    fn grant(&self, domain: DomainIndex, slot: Slot) -> Result<sel4::AbsoluteCPtr, Refused> {
        let cnode = cspace::grant(usize::from(domain.0));
        Ok(cspace::slot(cnode, slot.0, self.radix(domain)?))
    }

    fn original(&self, frame: Original) -> Result<sel4::AbsoluteCPtr, Refused> {
        match frame {
            Original::Own(slot) => Ok(self.own(slot)),
            Original::Granted(domain, slot) => self.grant(domain, slot),
        }
    }

    fn radix(&self, domain: DomainIndex) -> Result<u32, Refused> {
        let radix = self.grant_radix.get(usize::from(domain.0)).copied();
        radix.ok_or(Refused(u64::MAX))
    }
}

impl Kernel for Sel4Kernel {
    fn retype(
        &mut self,
        from: OwnSlot,
        object: Object,
        into: Destination,
        count: u32,
    ) -> Result<(), Refused> {
        let blueprint = match object {
            Object::Untyped { size_bits } => ObjectBlueprint::Untyped {
                size_bits: usize::from(size_bits),
            },
            Object::Frame(FrameSize::Page) => ObjectBlueprint::Arch(ObjectBlueprintArm::SmallPage),
            Object::Frame(FrameSize::Block) => ObjectBlueprint::Arch(ObjectBlueprintArm::LargePage),
            Object::PageTable => ObjectBlueprint::Arch(ObjectBlueprintArm::PT),
            Object::Vcpu if self.several_cores => return Err(Refused(u64::MAX)),
            Object::Vcpu => ObjectBlueprint::Arch(ObjectBlueprintArm::VCpu),
        };
        let (node, first) = match into {
            Destination::Own(slot) => (cspace::node(cspace::own(), slot.0, self.own_radix), slot.0),
            Destination::Grant(domain, slot) => {
                let cnode = cspace::grant(usize::from(domain.0));
                (cspace::node(cnode, slot.0, self.radix(domain)?), slot.0)
            }
        };
        let untyped: sel4::cap::Untyped =
            sel4::Cap::from_bits(caps::cptr(caps::MEM_OWN_ROOT, from.0));
        untyped
            .untyped_retype(
                &blueprint,
                &node,
                (first % NODE_SLOTS) as usize,
                count as usize,
            )
            .map_err(refused)
    }

    fn mint(&mut self, frame: Original, domain: DomainIndex, slot: Slot) -> Result<(), Refused> {
        self.grant(domain, slot)?
            .mint(&self.original(frame)?, CapRights::read_write(), 0)
            .map_err(refused)
    }

    fn lend(
        &mut self,
        frame: Original,
        domain: DomainIndex,
        slot: Slot,
        writable: bool,
    ) -> Result<(), Refused> {
        let rights = match writable {
            true => CapRights::read_write(),
            false => CapRights::read_only(),
        };
        self.grant(domain, slot)?
            .mint(&self.original(frame)?, rights, 0)
            .map_err(refused)
    }

    fn word(
        &mut self,
        page: Original,
        peek: u32,
        offset: u16,
        change: Change,
    ) -> Result<u64, Refused> {
        self.see(page, peek)?;
        let at = u64::from(peek) * PAGE_SIZE + u64::from(offset);
        Ok(change.on(&self.sights, WindowAddr::new(at)))
    }

    fn forget(&mut self, peek: u32) {
        if let Some(seen) = self.peeks.get_mut(peek as usize) {
            *seen = None;
        }
    }

    fn delete(&mut self, _: Original, domain: DomainIndex, slot: Slot) -> Result<(), Refused> {
        self.grant(domain, slot)?.delete().map_err(refused)
    }

    fn revoke(&mut self, slot: OwnSlot) -> Result<(), Refused> {
        self.own(slot).revoke().map_err(refused)
    }

    fn scrub(&mut self, frame: Original, size: FrameSize) -> Result<(), Refused> {
        let slot = match frame {
            Original::Own(slot) => slot,
            Original::Granted(..) => {
                // Only what is in the server's CSpace can be invoked by it.
                let copy = self.own(SCRUB);
                copy.delete().map_err(refused)?;
                copy.mint(&self.original(frame)?, CapRights::read_write(), 0)
                    .map_err(refused)?;
                SCRUB
            }
        };
        let done = self.scrub_own(slot, size);
        if slot == SCRUB {
            self.own(SCRUB).delete().map_err(refused)?;
        }
        done
    }

    fn hand_to_wiper(&mut self, from: OwnSlot) -> Result<Wiped, Refused> {
        if !self.has_wiper {
            return Ok(Wiped::ByNobody);
        }
        cspace::wiper_untyped()
            .move_(&self.own(from))
            .map_err(refused)?;
        WIPER.notify();
        Ok(Wiped::Later)
    }

    fn take_from_wiper(&mut self, to: OwnSlot) -> Result<(), Refused> {
        self.own(to)
            .move_(&cspace::wiper_untyped())
            .map_err(refused)
    }

    fn log(&mut self, line: fmt::Arguments<'_>) {
        self.log.line(line);
    }
}

impl Sel4Kernel {
    /// Has `page` in sight as number `peek`. What was there before goes, or went when its frame
    /// did.
    fn see(&mut self, page: Original, peek: u32) -> Result<(), Refused> {
        let seen = self.peeks.get_mut(peek as usize);
        let seen = seen.ok_or(Refused(u64::MAX))?;
        if *seen == Some(page) {
            return Ok(());
        }
        *seen = None;
        let slot = layout::peek(peek);
        let copy = self.own(slot);
        copy.delete().map_err(refused)?;
        copy.mint(&self.original(page)?, CapRights::read_write(), 0)
            .map_err(refused)?;
        let cap: sel4::cap::SmallPage =
            sel4::Cap::from_bits(caps::cptr(caps::MEM_OWN_ROOT, slot.0));
        let own: sel4::cap::VSpace = sel4::Cap::from_bits(caps::OWN_VSPACE);
        let at = vaddr::PEEKS + u64::from(peek) * PAGE_SIZE;
        let attributes = VmAttributes::PAGE_CACHEABLE | VmAttributes::EXECUTE_NEVER;
        cap.frame_map(own, at as usize, CapRights::read_write(), attributes)
            .map_err(refused)?;
        if let Some(seen) = self.peeks.get_mut(peek as usize) {
            *seen = Some(page);
        }
        Ok(())
    }

    fn scrub_own(&self, frame: OwnSlot, size: FrameSize) -> Result<(), Refused> {
        let cap: sel4::cap::SmallPage =
            sel4::Cap::from_bits(caps::cptr(caps::MEM_OWN_ROOT, frame.0));
        let own: sel4::cap::VSpace = sel4::Cap::from_bits(caps::OWN_VSPACE);
        let (at, window) = match size {
            FrameSize::Page => (vaddr::SCRUB_PAGE, &self.page),
            FrameSize::Block => (vaddr::SCRUB_BLOCK, &self.block),
        };
        let attributes = VmAttributes::PAGE_CACHEABLE | VmAttributes::EXECUTE_NEVER;
        cap.frame_map(own, at as usize, CapRights::read_write(), attributes)
            .map_err(refused)?;
        window.zero_and_clean(WindowAddr::new(0), size.bytes());
        cap.frame_unmap().map_err(refused)
    }
}
