//! Operations on arrays: one element after the other, a bounded number a call.

use guest_mem::Window;
use hv_types::{DomId, Gpa, Gva};
use xen_abi::Errno;
use xen_abi::grant::{
    CacheFlush, MapGrantRef, UnmapAndReplace, UnmapGrantRef, cache_op, map_flags, status,
};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::guest_ptr::{self, Copier};
use crate::host::Host;
use crate::hypercall::Outcome;
use crate::pages::Pages;
use crate::vm::Vm;

/// Elements that one call does.
const BUDGET: u32 = 32;

/// Does `each` on the elements of an array and writes them back, then returns 0, continues, or fails.
pub(super) fn run<H, T>(
    vm: &mut Vm<'_>,
    host: &mut H,
    args: [u64; 5],
    count: u32,
    each: impl Fn(&mut Vm<'_>, &mut H, &mut T) -> Result<(), Errno>,
) -> Outcome
where
    H: Host,
    T: FromBytes + IntoBytes + Immutable,
{
    let [cmd, array, _, a3, a4] = args;
    let mut guest = Copier::new();
    let now = count.min(BUDGET);
    let mut one = |n: u32| -> Result<(), Errno> {
        let at = guest_ptr::element(Gva::new(array), u64::from(n), size_of::<T>())?;
        let mut element: T = guest.copy_in(host, &vm.p2m, at)?;
        guest.check_writable(host, &vm.p2m, at, size_of::<T>() as u64)?;
        each(vm, host, &mut element)?;
        guest.copy_out(host, &vm.p2m, at, &element)
    };
    for n in 0..now {
        if let Err(errno) = one(n) {
            return errno.into();
        }
    }
    if now == count {
        return Outcome::Return(0);
    }
    match guest_ptr::element(Gva::new(array), u64::from(now), size_of::<T>()) {
        Ok(rest) => Outcome::Continue {
            args: [cmd, rest.raw(), u64::from(count - now), a3, a4],
        },
        Err(errno) => errno.into(),
    }
}

/// `GNTTABOP_map_grant_ref`.
pub(super) fn map<H: Host>(vm: &mut Vm<'_>, _: &mut H, op: &mut MapGrantRef) -> Result<(), Errno> {
    let unsupported = map_flags::DEVICE_MAP | map_flags::APPLICATION_MAP | map_flags::CONTAINS_PTE;
    op.status = if op.flags & (map_flags::HOST_MAP | map_flags::DEVICE_MAP) == 0 {
        status::BAD_GNTREF
    } else if op.flags & unsupported != 0 || DomId(op.dom) == DomId(vm.record.domid) {
        status::GENERAL_ERROR
    } else {
        status::BAD_DOMAIN
    };
    Ok(())
}

/// `GNTTABOP_unmap_grant_ref`: nothing is mapped, so no handle is good.
pub(super) fn unmap<H: Host>(
    _: &mut Vm<'_>,
    _: &mut H,
    op: &mut UnmapGrantRef,
) -> Result<(), Errno> {
    op.status = status::BAD_HANDLE;
    Ok(())
}

/// `GNTTABOP_unmap_and_replace`: as [`unmap`].
pub(super) fn unmap_and_replace<H: Host>(
    _: &mut Vm<'_>,
    _: &mut H,
    op: &mut UnmapAndReplace,
) -> Result<(), Errno> {
    op.status = status::BAD_HANDLE;
    Ok(())
}

/// `GNTTABOP_cache_flush`, for drivers of a domain that knows machine addresses: a direct-mapped one, on its own RAM.
/// An empty request is how Linux asks whether the operation exists.
pub(super) fn cache_flush<H: Host>(
    vm: &mut Vm<'_>,
    host: &mut H,
    op: &mut CacheFlush,
    progress: u64,
) -> Result<(), Errno> {
    let known = cache_op::CLEAN | cache_op::INVALIDATE;
    let (offset, length) = (u64::from(op.offset), u64::from(op.length));
    if offset >= hv_types::PAGE_SIZE || offset + length > hv_types::PAGE_SIZE || op.op & !known != 0
    {
        return Err(Errno::Einval);
    }
    if length == 0 || op.op == 0 {
        // Progress within nothing is a request that Xen has not made.
        return if progress == 0 {
            Ok(())
        } else {
            Err(Errno::Eilseq)
        };
    }
    let page = Gpa::new(op.dev_bus_addr).page_base();
    let at = Some(page)
        .filter(|_| vm.record.direct_map)
        .and_then(|page| vm.p2m.writable(page.checked_add(offset)?, length))
        .ok_or(Errno::Eperm)?;
    host.window().clean(at, length);
    Ok(())
}
