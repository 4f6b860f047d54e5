//! The grant table: its frames, its version, and the swapping of entries.

use core::mem::offset_of;

use guest_mem::Window;
use hv_types::{DomId, Gfn, Gva};
use memory_server_api::Extra;
use xen_abi::Errno;
use xen_abi::grant::{
    EntryV1, GetStatusFrames, GetVersion, QuerySize, SetVersion, SetupTable, SwapGrantRef, status,
};

use super::array::Failure;
use super::entry::{self, Pins, nr_frames};
use crate::domain::Domain;
use crate::host::on_vcpu::VcpuHost;
use crate::memory::guest_ptr::{self, Copier};

/// Version of every table.
const VERSION: u32 = 1;

/// The page for `XENMAPSPACE_grant_table` index `idx`; the table grows up to it.
///
/// # Errors
/// `-EINVAL` past the table's maximum (status frames of version 2 are past it) and where it cannot
/// grow. The index has 32 bits.
pub(in crate::hypercall) fn frame_for_physmap<H: VcpuHost>(
    domain: &mut Domain<'_>,
    host: &mut H,
    idx: u64,
) -> Result<Extra, Errno> {
    let frame = u8::try_from(idx & 0xffff_ffff).map_err(|_| Errno::Einval)?;
    if frame >= domain.record.max_grant_frames {
        return Err(Errno::Einval);
    }
    grow(domain, host, frame.saturating_add(1)).map_err(|_| Errno::Einval)?;
    Ok(Extra::GrantFrame(frame))
}

/// Makes the table have at least `frames` frames; all or none of the new ones.
fn grow<H: VcpuHost>(domain: &mut Domain<'_>, host: &mut H, frames: u8) -> Result<(), Errno> {
    let before = nr_frames(domain);
    for n in before..frames {
        // A frame that an earlier growth could not take away again.
        if domain.p2m.has_extra(Extra::GrantFrame(n)) {
            continue;
        }
        if domain.p2m.create_extra(host, Extra::GrantFrame(n)).is_err() {
            for n in before..n {
                let _ = domain.p2m.destroy_extra(host, Extra::GrantFrame(n));
            }
            return Err(Errno::Enomem);
        }
    }
    Ok(())
}

/// `GNTTABOP_setup_table`: the frames' addresses, those that are not mapped as all ones.
pub(super) fn setup<H: VcpuHost>(
    domain: &mut Domain<'_>,
    host: &mut H,
    at: Gva,
    count: u32,
) -> Result<i64, Errno> {
    if count != 1 {
        return Err(Errno::Einval);
    }
    let mut guest = Copier::new();
    let mut op: SetupTable = guest.copy_in(host, &domain.p2m, at)?;
    let frames = u8::try_from(op.nr_frames)
        .ok()
        .filter(|n| *n <= domain.record.max_grant_frames);
    op.status = match (own(domain, op.dom), frames) {
        (Err(status), _) => status,
        (Ok(()), Some(frames)) if grow(domain, host, frames).is_ok() => {
            match list_frames(domain, host, &mut guest, &op, frames) {
                Ok(()) => status::OKAY,
                Err(_) => status::BAD_VIRT_ADDR,
            }
        }
        _ => status::GENERAL_ERROR,
    };
    let result = field(at, offset_of!(SetupTable, status))?;
    guest.copy_out(host, &domain.p2m, result, &op.status)?;
    Ok(0)
}

/// Where the field at `offset` of the structure at `at` lies: the one that is written, so that the
/// others need not be writable.
fn field(at: Gva, offset: usize) -> Result<Gva, Errno> {
    guest_ptr::element(at, 1, offset)
}

fn list_frames<H: VcpuHost>(
    domain: &Domain<'_>,
    host: &mut H,
    guest: &mut Copier,
    op: &SetupTable,
    frames: u8,
) -> Result<(), Errno> {
    for n in 0..frames {
        let gfn = domain.p2m.extra_gfn(Extra::GrantFrame(n));
        let at = guest_ptr::element(op.frame_list.gva(), u64::from(n), size_of::<u64>())?;
        guest.copy_out(host, &domain.p2m, at, &gfn.unwrap_or(Gfn::INVALID).raw())?;
    }
    Ok(())
}

/// Accepts the caller itself.
///
/// # Errors
/// A status: no such domain, or another.
fn own(domain: &Domain<'_>, domid: u16) -> Result<(), i16> {
    match domain.peers.own(DomId(domid)) {
        Ok(()) => Ok(()),
        Err(Errno::Eperm) => Err(status::PERMISSION_DENIED),
        Err(_) => Err(status::BAD_DOMAIN),
    }
}

/// `GNTTABOP_query_size`.
pub(super) fn query_size<H: VcpuHost>(
    domain: &mut Domain<'_>,
    host: &mut H,
    at: Gva,
    count: u32,
) -> Result<i64, Errno> {
    if count != 1 {
        return Err(Errno::Einval);
    }
    let mut op: QuerySize = guest_ptr::copy_in(host, &domain.p2m, at)?;
    op.status = match own(domain, op.dom) {
        Err(status) => status,
        Ok(()) => {
            op.nr_frames = u32::from(nr_frames(domain));
            op.max_nr_frames = u32::from(domain.record.max_grant_frames);
            status::OKAY
        }
    };
    guest_ptr::copy_out(host, &domain.p2m, at, &op)?;
    Ok(0)
}

/// `GNTTABOP_get_status_frames`: a version 1 table has none.
pub(super) fn get_status_frames<H: VcpuHost>(
    domain: &mut Domain<'_>,
    host: &mut H,
    at: Gva,
    count: u32,
) -> Result<i64, Errno> {
    if count != 1 {
        return Err(Errno::Einval);
    }
    let op: GetStatusFrames = guest_ptr::copy_in(host, &domain.p2m, at)?;
    let status = match (own(domain, op.dom), op.nr_frames) {
        (Err(status), _) => status,
        (Ok(()), 0) => status::OKAY,
        (Ok(()), _) => status::GENERAL_ERROR,
    };
    let result = field(at, offset_of!(GetStatusFrames, status))?;
    guest_ptr::copy_out(host, &domain.p2m, result, &status)?;
    Ok(0)
}

/// `GNTTABOP_get_version`.
pub(super) fn get_version<H: VcpuHost>(
    domain: &mut Domain<'_>,
    host: &mut H,
    at: Gva,
) -> Result<i64, Errno> {
    let op: GetVersion = guest_ptr::copy_in(host, &domain.p2m, at)?;
    domain.require_self(op.dom)?;
    let result = field(at, offset_of!(GetVersion, version))?;
    guest_ptr::copy_out(host, &domain.p2m, result, &VERSION)?;
    Ok(0)
}

/// `GNTTABOP_set_version`: the table has version 1. Version 2 is refused in the way that makes
/// Linux stay with 1.
pub(super) fn set_version<H: VcpuHost>(
    domain: &mut Domain<'_>,
    host: &mut H,
    at: Gva,
) -> Result<i64, Errno> {
    let op: SetVersion = guest_ptr::copy_in(host, &domain.p2m, at)?;
    guest_ptr::copy_out(host, &domain.p2m, at, &SetVersion { version: VERSION })?;
    match op.version {
        VERSION => Ok(0),
        2 => Err(Errno::Enosys),
        _ => Err(Errno::Einval),
    }
}

fn is_mapped(domain: &Domain<'_>, gref: u32) -> bool {
    Pins::of(domain, gref).mapped.is_some()
}

/// `GNTTABOP_swap_grant_ref`.
pub(super) fn swap<H: VcpuHost>(
    domain: &mut Domain<'_>,
    host: &mut H,
    op: &mut SwapGrantRef,
) -> Result<(), Failure> {
    let (Some(a), Some(b)) = (entry::at(domain, op.ref_a), entry::at(domain, op.ref_b)) else {
        op.status = status::BAD_GNTREF;
        return Ok(());
    };
    if op.ref_a != op.ref_b && (is_mapped(domain, op.ref_a) || is_mapped(domain, op.ref_b)) {
        op.status = status::EAGAIN;
        return Ok(());
    }
    let window = host.window();
    let (entry_a, entry_b): (EntryV1, EntryV1) = (window.read_obj(a), window.read_obj(b));
    window.write_obj(a, &entry_b);
    window.write_obj(b, &entry_a);
    op.status = status::OKAY;
    Ok(())
}
