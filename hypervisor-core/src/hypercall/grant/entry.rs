//! Entries of the caller's own grant table, as Xen reads them (`map_grant_ref`,
//! `acquire_grant_for_copy`).

use guest_mem::Window;
use hv_types::{Gfn, PAGE_SIZE, WindowAddr};
use memory_server_api::Extra;
use xen_abi::grant::{ENTRIES_PER_FRAME, EntryV1, gtf, status};

use crate::domain::Domain;
use crate::host::on_vcpu::VcpuHost;
use crate::memory::p2m::Alias;
use crate::memory::pages::Pages;

/// What a grant is used for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Use {
    /// The source of a copy.
    Read,
    /// The destination of a copy.
    Write,
}

/// Frames that the table has: they are created in order.
pub(super) fn nr_frames(domain: &Domain<'_>) -> u8 {
    (0..domain.record.max_grant_frames)
        .find(|n| !domain.p2m.has_extra(Extra::GrantFrame(*n)))
        .unwrap_or(domain.record.max_grant_frames)
}

/// Where the entry of a reference lies in the window.
pub(super) fn at(domain: &Domain<'_>, gref: u32) -> Option<WindowAddr> {
    let frame = u8::try_from(gref / ENTRIES_PER_FRAME)
        .ok()
        .filter(|frame| *frame < nr_frames(domain))?;
    let offset = gref % ENTRIES_PER_FRAME * u32::try_from(size_of::<EntryV1>()).ok()?;
    let page = WindowAddr::extra(Extra::GrantFrame(frame).index(), 0);
    page.checked_add(offset.into())
}

/// The page at `gfn`, in the window: RAM, or a page of the hypervisor's that the guest sees there.
pub(super) fn page<H: VcpuHost>(domain: &Domain<'_>, host: &mut H, gfn: Gfn) -> Option<WindowAddr> {
    domain.p2m.readable_by(host, gfn.gpa()?, PAGE_SIZE)
}

/// The mappings of a grant.
#[derive(Debug, Default)]
pub(super) struct Pins {
    /// One of them.
    pub(super) mapped: Option<Alias>,
    /// Whether one of them may be written.
    writable: bool,
}

impl Pins {
    /// Those of `gref`.
    pub(super) fn of(domain: &Domain<'_>, gref: u32) -> Self {
        let mut pins = Self::default();
        for (_, alias) in domain.p2m.aliases().filter(|(_, alias)| alias.gref == gref) {
            pins.writable |= alias.writable;
            pins.mapped = Some(alias);
        }
        pins
    }
}

/// Looks at the entry of a grant that is to be used anew, or for writing for the first time.
///
/// # Errors
/// `GNTST_general_error`: not granted to the domain itself, or not for writing. A grant in use is
/// granted.
fn check<H: VcpuHost>(
    domain: &Domain<'_>,
    host: &H,
    at: WindowAddr,
    type_mask: u16,
    writable: bool,
    pins: &Pins,
) -> Result<Gfn, i16> {
    let entry: EntryV1 = host.window().read_obj(at);
    let granted =
        entry.flags & type_mask == gtf::PERMIT_ACCESS && entry.domid == domain.peers.me().0;
    if pins.mapped.is_none() && !granted || writable && entry.flags & gtf::READONLY != 0 {
        return Err(status::GENERAL_ERROR);
    }
    Ok(Gfn::new(u64::from(entry.frame)))
}

/// The page that grant `gref` gives to the domain itself for a copy, in the window.
///
/// As far as the guest can see, the grant is marked as in use and no longer so before it runs
/// again: marks that no mapping needs are gone afterwards, whoever set them.
///
/// # Errors
/// A status of [`mod@status`]: no such reference; not granted to the domain, or not for this use;
/// no page there.
pub(super) fn acquire<H: VcpuHost>(
    domain: &Domain<'_>,
    host: &mut H,
    gref: u32,
    usage: Use,
) -> Result<WindowAddr, i16> {
    let entry = at(domain, gref).ok_or(status::BAD_GNTREF)?;
    let pins = Pins::of(domain, gref);
    let writable = usage == Use::Write;
    match &pins.mapped {
        Some(alias) if !writable || pins.writable => Ok(alias.window()),
        mapped => {
            let gfn = check(domain, host, entry, gtf::TYPE_MASK, writable, &pins)?;
            unpin(domain, host, gref, writable);
            let at = page(domain, host, gfn).ok_or(status::BAD_PAGE)?;
            // In use for reading, it must still be that page.
            if mapped.is_some_and(|alias| alias.window() != at) {
                return Err(status::GENERAL_ERROR);
            }
            Ok(at)
        }
    }
}

/// Marks grant `gref` as in use by a mapping that is about to be made; returns the frame that it
/// names.
///
/// The guest's entry changes in one step, and it is stopped meanwhile; what it sets itself in the
/// two bits is its own affair.
///
/// # Errors
/// As [`acquire`]; nothing is marked.
pub(super) fn pin<H: VcpuHost>(
    domain: &Domain<'_>,
    host: &mut H,
    gref: u32,
    writable: bool,
    pins: &Pins,
) -> Result<Gfn, i16> {
    let entry = at(domain, gref).ok_or(status::BAD_GNTREF)?;
    if pins.mapped.is_some() && (!writable || pins.writable) {
        let EntryV1 { frame, .. } = host.window().read_obj(entry);
        return Ok(Gfn::new(u64::from(frame)));
    }
    let mask = gtf::TYPE_MASK | gtf::SUB_PAGE;
    let gfn = check(domain, host, entry, mask, writable, pins)?;
    if pins.mapped.is_none() && page(domain, host, gfn).is_none() {
        unpin(domain, host, gref, writable);
        return Err(status::BAD_PAGE);
    }
    let marks = gtf::READING | if writable { gtf::WRITING } else { 0 };
    host.window().fetch_or_u64(entry, u64::from(marks));
    Ok(gfn)
}

/// A use of grant `gref` is over: takes the marks away that no mapping needs any more.
pub(super) fn unpin<H: VcpuHost>(domain: &Domain<'_>, host: &H, gref: u32, writable: bool) {
    let pins = Pins::of(domain, gref);
    let mut marks = 0;
    if pins.mapped.is_none() {
        marks |= gtf::READING;
    }
    if writable && !pins.writable {
        marks |= gtf::WRITING;
    }
    if let Some(entry) = at(domain, gref) {
        host.window().fetch_and_u64(entry, !u64::from(marks));
    }
}
