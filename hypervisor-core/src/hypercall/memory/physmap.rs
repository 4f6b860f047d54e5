//! add_to_physmap, its batch form, and remove_from_physmap.

use hv_types::{DomId, Gfn, Gva};
use memory_server_api::Extra;
use xen_abi::Errno;
use xen_abi::memory::{AddToPhysmap, AddToPhysmapBatch, EXTENT_SHIFT, RemoveFromPhysmap, space};

use super::failure::{broken, errno};
use crate::domain::Domain;
use crate::host::on_vcpu::VcpuHost;
use crate::hypercall::grant::table::frame_for_physmap;
use crate::hypercall::outcome::Outcome;
use crate::memory::guest_ptr::{self, Copier, copy_in};
use crate::memory::p2m;

/// Entries of a batch that one call does.
const BUDGET: u16 = 32;
const WHAT: &str = "mapping a page into the guest";

/// Why an entry failed.
enum Failure {
    Errno(Errno),
    Broken,
}

impl From<Errno> for Failure {
    fn from(errno: Errno) -> Self {
        Self::Errno(errno)
    }
}

impl From<p2m::Error> for Failure {
    fn from(error: p2m::Error) -> Self {
        if error == p2m::Error::Broken {
            Self::Broken
        } else {
            Self::Errno(errno(error))
        }
    }
}

/// `XENMEM_add_to_physmap`.
pub(super) fn add<H: VcpuHost>(
    domain: &mut Domain<'_>,
    host: &mut H,
    start: u64,
    arg: Gva,
) -> Outcome {
    match try_add(domain, host, start, arg) {
        Ok(()) => Outcome::Return(0),
        Err(Failure::Errno(errno)) => errno.into(),
        Err(Failure::Broken) => broken(host, WHAT),
    }
}

fn try_add<H: VcpuHost>(
    domain: &mut Domain<'_>,
    host: &mut H,
    start: u64,
    arg: Gva,
) -> Result<(), Failure> {
    let start = u16::try_from(start).map_err(|_| Errno::Edom)?;
    let arg: AddToPhysmap = copy_in(host, &domain.p2m, arg)?;
    if arg.space == space::GMFN_FOREIGN {
        return Err(Errno::Enosys.into());
    }
    may_map(domain, arg.domid, arg.space)?;
    if Gfn::new(arg.gpfn) == Gfn::INVALID {
        return Err(Errno::Einval.into());
    }
    if arg.space == space::GMFN_RANGE {
        let size = u64::from(arg.size);
        let wraps = arg.gpfn.checked_add(size).is_none() || arg.idx.checked_add(size).is_none();
        // A range of nothing is done; each element of another is refused on Arm.
        return Err(match arg.size.checked_sub(start) {
            None => Errno::Eilseq,
            Some(_) if wraps => Errno::Eoverflow,
            Some(0) => return Ok(()),
            Some(_) => Errno::Enosys,
        }
        .into());
    }
    add_one(domain, host, arg.space, arg.idx, Gfn::new(arg.gpfn))
}

/// Whether the caller may change the map of `domid`; device pages are the hardware domain's,
/// whoever is named.
fn may_map(domain: &Domain<'_>, domid: u16, from: u32) -> Result<(), Errno> {
    match domain.require_self(domid) {
        Ok(()) | Err(Errno::Eperm) if from == space::DEV_MMIO => Err(Errno::Eacces),
        other => other,
    }
}

/// Maps one page.
fn add_one<H: VcpuHost>(
    domain: &mut Domain<'_>,
    host: &mut H,
    from: u32,
    idx: u64,
    gfn: Gfn,
) -> Result<(), Failure> {
    let kind = match from {
        space::SHARED_INFO if idx == 0 => Extra::SharedInfo,
        space::SHARED_INFO => return Err(Errno::Einval.into()),
        space::GRANT_TABLE => frame_for_physmap(domain, host, idx)?,
        _ => return Err(Errno::Enosys.into()),
    };
    Ok(domain.p2m.map_extra(host, kind, gfn)?)
}

/// `XENMEM_add_to_physmap_batch`: the result of each entry goes to the guest's list of errors.
pub(super) fn add_batch<H: VcpuHost>(
    domain: &mut Domain<'_>,
    host: &mut H,
    args: [u64; 5],
    start: u64,
) -> Outcome {
    match try_add_batch(domain, host, start, Gva::new(args[1])) {
        Ok(None) => Outcome::Return(0),
        Ok(Some(next)) => {
            let [cmd, a1, a2, a3, a4] = args;
            let op = cmd & xen_abi::memory::CMD_MASK;
            Outcome::Continue {
                args: [op | u64::from(next) << EXTENT_SHIFT, a1, a2, a3, a4],
            }
        }
        Err(Failure::Errno(errno)) => errno.into(),
        Err(Failure::Broken) => broken(host, WHAT),
    }
}

/// Does entries from `start` on; the number of the next one if some are left.
fn try_add_batch<H: VcpuHost>(
    domain: &mut Domain<'_>,
    host: &mut H,
    start: u64,
    arg: Gva,
) -> Result<Option<u16>, Failure> {
    let start = u16::try_from(start).map_err(|_| Errno::Edom)?;
    let arg: AddToPhysmapBatch = copy_in(host, &domain.p2m, arg)?;
    if u32::from(arg.space) == space::GMFN_RANGE {
        return Err(Errno::Eopnotsupp.into());
    }
    may_map(domain, arg.domid, u32::from(arg.space))?;
    if arg.size < start || arg.size == start && start != 0 {
        return Err(Errno::Eilseq.into());
    }
    let end = arg.size.min(start.saturating_add(BUDGET));
    for n in start..end {
        let element = |list: Gva, size| guest_ptr::element(list, u64::from(n), size);
        // A new one for each entry: mapping changes where pages lie.
        let mut guest = Copier::new();
        let idx: u64 = guest.copy_in(host, &domain.p2m, element(arg.idxs.gva(), 8)?)?;
        let gfn = Gfn::new(guest.copy_in(host, &domain.p2m, element(arg.gpfns.gva(), 8)?)?);
        let err = element(arg.errs.gva(), 4)?;
        if gfn == Gfn::INVALID {
            return Err(Errno::Einval.into());
        }
        guest.check_writable(host, &domain.p2m, err, 4)?;
        let result: i32 = match entry(domain, host, &arg, idx, gfn) {
            Ok(()) => 0,
            Err(Failure::Errno(errno)) => -(errno as i32),
            Err(Failure::Broken) => return Err(Failure::Broken),
        };
        guest.forget_pages();
        guest.copy_out(host, &domain.p2m, err, &result)?;
    }
    Ok((end < arg.size).then_some(end))
}

fn entry<H: VcpuHost>(
    domain: &mut Domain<'_>,
    host: &mut H,
    arg: &AddToPhysmapBatch,
    idx: u64,
    gfn: Gfn,
) -> Result<(), Failure> {
    if u32::from(arg.space) == space::GMFN_FOREIGN {
        // Oneself is not foreign, others may be mapped by a toolstack only, and so may Xen's own
        // pages.
        let dom = DomId(arg.foreign_domid);
        return Err(match dom {
            DomId::XEN => Errno::Eperm,
            _ => domain.peers.remote(dom),
        }
        .into());
    }
    add_one(domain, host, u32::from(arg.space), idx, gfn)
}

/// `XENMEM_remove_from_physmap`: RAM that is removed stays the domain's (BL-8).
pub(super) fn remove<H: VcpuHost>(domain: &mut Domain<'_>, host: &mut H, arg: Gva) -> Outcome {
    let arg = copy_in(host, &domain.p2m, arg)
        .and_then(|arg: RemoveFromPhysmap| domain.require_self(arg.domid).map(|()| arg));
    match arg {
        Err(errno) => errno.into(),
        Ok(arg) => match domain.p2m.remove(host, Gfn::new(arg.gpfn)) {
            Ok(()) => Outcome::Return(0),
            Err(p2m::Error::Broken) => broken(host, "removing a page from the guest"),
            Err(error) => errno(error).into(),
        },
    }
}
