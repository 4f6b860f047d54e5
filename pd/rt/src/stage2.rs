//! Mapping of granted frames: into the guest, and into the VMM's window.

use hv_types::{FrameSize, Gpa, PAGE_SIZE, WindowAddr};
use hypervisor_core::host::{MapError, Stage2};
use memory_server_api::Slot;
use sel4::{CapRights, VmAttributes, cap};
use topology::{caps, vaddr};

use crate::invoke::unify_instruction;

/// The VMM's power over address spaces: its guest's and its own, and whatever the memory server
/// has put into its grant CNode.
#[derive(Debug)]
pub struct Mapper(());

impl Mapper {
    /// The mapper; a VMM takes it once.
    pub fn take() -> Self {
        Self(())
    }
}

impl Mapper {
    /// Has instruction caches forget `len` bytes of guest RAM from `at` on.
    pub fn sync_instructions(&self, at: Gpa, len: u64) {
        let end = at.raw().saturating_add(len);
        let mut start = at.raw();
        while start < end {
            let next = (start | (PAGE_SIZE - 1)).saturating_add(1).min(end);
            // It is RAM and mapped, which is all that the kernel wants.
            unify_instruction(caps::VMM_GUEST_VSPACE, start, next);
            // A kernel for caches that are indexed by virtual address drops everything each time.
            if sel4::sel4_cfg_bool!(ARM_ICACHE_VIPT) {
                break;
            }
            start = next;
        }
    }
}

fn frame(slot: Slot) -> cap::UnspecifiedPage {
    sel4::Cap::from_bits(caps::cptr(caps::VMM_GRANT_ROOT, slot.0))
}

fn table(slot: Slot) -> cap::PT {
    sel4::Cap::from_bits(caps::cptr(caps::VMM_GRANT_ROOT, slot.0))
}

fn guest() -> cap::VSpace {
    sel4::Cap::from_bits(caps::VMM_GUEST_VSPACE)
}

fn own() -> cap::VSpace {
    sel4::Cap::from_bits(caps::OWN_VSPACE)
}

fn map_error(error: sel4::Error) -> MapError {
    match error {
        sel4::Error::FailedLookup => MapError::MissingTable,
        sel4::Error::DeleteFirst | sel4::Error::IllegalOperation => MapError::Occupied,
        sel4::Error::InvalidCapability => MapError::NoFrame,
        _ => MapError::Refused,
    }
}

fn map(slot: Slot, vspace: cap::VSpace, at: u64, attributes: VmAttributes) -> Result<(), MapError> {
    map_with(slot, vspace, at, CapRights::read_write(), attributes)
}

fn map_with(
    slot: Slot,
    vspace: cap::VSpace,
    at: u64,
    rights: CapRights,
    attributes: VmAttributes,
) -> Result<(), MapError> {
    // The capability's own type says whether it is a page or a block; the map call is the same for
    // both.
    let at = usize::try_from(at).map_err(|_| MapError::Refused)?;
    frame(slot)
        .cast::<sel4::cap_type::SmallPage>()
        .frame_map(vspace, at, rights, attributes)
        .map_err(map_error)
}

impl Stage2 for Mapper {
    fn map_guest(&mut self, slot: Slot, gpa: Gpa, _size: FrameSize) -> Result<(), MapError> {
        map(slot, guest(), gpa.raw(), VmAttributes::PAGE_CACHEABLE)
    }

    fn map_guest_read_only(&mut self, slot: Slot, gpa: Gpa) -> Result<(), MapError> {
        let rights = CapRights::read_only();
        map_with(
            slot,
            guest(),
            gpa.raw(),
            rights,
            VmAttributes::PAGE_CACHEABLE,
        )
    }

    fn map_window(&mut self, slot: Slot, at: WindowAddr, _size: FrameSize) -> Result<(), MapError> {
        let attributes = VmAttributes::PAGE_CACHEABLE | VmAttributes::EXECUTE_NEVER;
        map(slot, own(), vaddr::WINDOW + at.raw(), attributes)
    }

    fn unmap(&mut self, slot: Slot) -> Result<(), MapError> {
        frame(slot)
            .cast::<sel4::cap_type::SmallPage>()
            .frame_unmap()
            .map_err(map_error)
    }

    fn map_guest_table(&mut self, slot: Slot, gpa: Gpa) -> Result<(), MapError> {
        map_table(slot, guest(), gpa.raw())
    }

    fn map_window_table(&mut self, slot: Slot, at: WindowAddr) -> Result<(), MapError> {
        map_table(slot, own(), vaddr::WINDOW + at.raw())
    }
}

fn map_table(slot: Slot, vspace: cap::VSpace, at: u64) -> Result<(), MapError> {
    let at = usize::try_from(at).map_err(|_| MapError::Refused)?;
    table(slot)
        .pt_map(vspace, at, VmAttributes::DEFAULT)
        .map_err(map_error)
}
