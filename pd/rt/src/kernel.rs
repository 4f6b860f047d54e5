//! The memory server's hands: its `Kernel` trait over seL4 invocations.

use core::fmt;

use guest_mem::{RawWindow, Window};
use hv_types::{FrameSize, WindowAddr};
use memory_server::DomainIndex;
use memory_server::kernel::{Destination, Kernel, Object, OwnSlot, Refused};
use memory_server_api::Slot;
use sel4::{CapRights, ObjectBlueprint, ObjectBlueprintArm, VmAttributes};
use topology::{MAX_DOMAINS, caps, vaddr};

use crate::cspace;
use crate::log::ServerLog;

/// The kernel as the memory server sees it.
#[derive(Debug)]
pub struct Sel4Kernel {
    own_radix: u32,
    grant_radix: [u32; MAX_DOMAINS],
    page: RawWindow,
    block: RawWindow,
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
        // SAFETY: nothing else is mapped or placed at the two scrub addresses; this struct maps a
        // frame there before each access.
        #[expect(unsafe_code, reason = "memory that no Rust object owns")]
        let (page, block) = unsafe {
            (
                RawWindow::new(vaddr::SCRUB_PAGE as *mut u8, FrameSize::Page.bytes()),
                RawWindow::new(vaddr::SCRUB_BLOCK as *mut u8, FrameSize::Block.bytes()),
            )
        };
        Self {
            own_radix,
            grant_radix,
            page,
            block,
            log,
        }
    }

    fn own(&self, slot: OwnSlot) -> sel4::AbsoluteCPtr {
        cspace::slot(cspace::own(), slot.0, self.own_radix)
    }

    fn grant(&self, domain: DomainIndex, slot: Slot) -> Result<sel4::AbsoluteCPtr, Refused> {
        let index = usize::from(domain.0);
        let radix = self.grant_radix.get(index).ok_or(Refused(u64::MAX))?;
        Ok(cspace::slot(cspace::grant(index), slot.0, *radix))
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
            Object::Vcpu => ObjectBlueprint::Arch(ObjectBlueprintArm::VCpu),
        };
        let (cnode, first) = match into {
            Destination::Own(slot) => (cspace::own(), slot.0),
            Destination::Grant(domain, slot) => (cspace::grant(usize::from(domain.0)), slot.0),
        };
        let untyped: sel4::cap::Untyped =
            sel4::Cap::from_bits(caps::cptr(caps::MEM_OWN_ROOT, from.0));
        untyped
            .untyped_retype(
                &blueprint,
                &cnode.absolute_cptr_for_self(),
                first as usize,
                count as usize,
            )
            .map_err(refused)
    }

    fn mint(&mut self, frame: OwnSlot, domain: DomainIndex, slot: Slot) -> Result<(), Refused> {
        self.grant(domain, slot)?
            .mint(&self.own(frame), CapRights::read_write(), 0)
            .map_err(refused)
    }

    fn delete(&mut self, _: OwnSlot, domain: DomainIndex, slot: Slot) -> Result<(), Refused> {
        self.grant(domain, slot)?.delete().map_err(refused)
    }

    fn revoke(&mut self, slot: OwnSlot) -> Result<(), Refused> {
        self.own(slot).revoke().map_err(refused)
    }

    fn scrub(&mut self, frame: OwnSlot, size: FrameSize) -> Result<(), Refused> {
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
        window.zero(WindowAddr::new(0), size.bytes());
        window.clean(WindowAddr::new(0), size.bytes());
        cap.frame_unmap().map_err(refused)
    }

    fn log(&mut self, line: fmt::Arguments<'_>) {
        self.log.line(line);
    }
}
