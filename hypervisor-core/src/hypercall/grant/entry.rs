//! Entries of the caller's own grant table, as Xen reads them (`map_grant_ref`, `acquire_grant_for_copy`).

use guest_mem::Window;
use hv_types::{Gfn, PAGE_SIZE, WindowAddr};
use memory_server_api::Extra;
use xen_abi::grant::{ENTRIES_PER_FRAME, EntryV1, gtf, status};

use super::nr_frames;
use crate::host::Host;
use crate::pages::Pages;
use crate::vm::Vm;

/// What a grant is used for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Use {
    /// The source of a copy.
    Read,
    /// The destination of a copy.
    Write,
}

/// Where the entry of a reference lies in the window.
pub(super) fn at(vm: &Vm<'_>, gref: u32) -> Option<WindowAddr> {
    let frame = u8::try_from(gref / ENTRIES_PER_FRAME)
        .ok()
        .filter(|frame| *frame < nr_frames(vm))?;
    let offset = gref % ENTRIES_PER_FRAME * u32::try_from(size_of::<EntryV1>()).ok()?;
    let page = WindowAddr::extra(Extra::GrantFrame(frame).index(), 0);
    page.checked_add(offset.into())
}

/// The page at `gfn`, in the window: RAM, or a page of the hypervisor's that the guest sees there.
pub(super) fn page(vm: &Vm<'_>, gfn: Gfn) -> Option<WindowAddr> {
    vm.p2m.readable(gfn.gpa()?, PAGE_SIZE)
}

/// The frame that grant `gref` gives to the domain itself, and its page in the window.
///
/// # Errors
/// A status of [`mod@status`]: no such reference; not granted to the domain, or not for this use; no page there.
pub(super) fn acquire<H: Host>(
    vm: &Vm<'_>,
    host: &H,
    gref: u32,
    usage: Use,
) -> Result<(Gfn, WindowAddr), i16> {
    let entry: EntryV1 = host
        .window()
        .read_obj(at(vm, gref).ok_or(status::BAD_GNTREF)?);
    let granted = entry.flags & gtf::TYPE_MASK == gtf::PERMIT_ACCESS
        && entry.domid == vm.events.domains().me().0;
    if !granted || usage == Use::Write && entry.flags & gtf::READONLY != 0 {
        return Err(status::GENERAL_ERROR);
    }
    let gfn = Gfn::new(u64::from(entry.frame));
    let at = page(vm, gfn).ok_or(status::BAD_PAGE)?;
    Ok((gfn, at))
}
