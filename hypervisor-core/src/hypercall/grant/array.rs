//! Operations on arrays: one element after the other, a bounded number a call.

use core::ops::Range;

use guest_mem::Window;
use hv_types::{Gpa, Gva};
use xen_abi::Errno;
use xen_abi::grant::{CacheFlush, cache_op};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::domain::Domain;
use crate::host::on_vcpu::VcpuHost;
use crate::hypercall::memory::failure::broken;
use crate::hypercall::outcome::{Outcome, Until};
use crate::memory::guest_ptr::{self, Copier};
use crate::memory::pages::Pages;

/// Elements that one call does.
const BUDGET: u32 = 32;

/// Why an array was not worked off.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Failure {
    /// The call's result.
    Errno(Errno),
    /// The guest's memory is no longer what it was: it is stopped.
    Broken,
    /// The element cannot be done before another domain's VMM has done something.
    NotReady,
}

impl From<Errno> for Failure {
    fn from(errno: Errno) -> Self {
        Self::Errno(errno)
    }
}

/// Does `each` on the elements of an array and writes the bytes of each that are `out` back, then
/// returns 0, continues, or fails.
pub(super) fn run<H, T>(
    domain: &mut Domain<'_>,
    host: &mut H,
    args: [u64; 5],
    count: u32,
    out: Range<usize>,
    each: impl Fn(&mut Domain<'_>, &mut H, &mut T) -> Result<(), Failure>,
) -> Outcome
where
    H: VcpuHost,
    T: FromBytes + IntoBytes + Immutable,
{
    let [cmd, array, _, a3, a4] = args;
    let mut guest = Copier::new();
    let now = count.min(BUDGET);
    let mut one = |n: u32| -> Result<(), Failure> {
        let at = guest_ptr::element(Gva::new(array), u64::from(n), size_of::<T>())?;
        let mut element: T = guest.copy_in(host, &domain.p2m, at)?;
        let result = at.checked_add(out.start as u64).ok_or(Errno::Efault)?;
        guest.check_writable(host, &domain.p2m, result, out.len() as u64)?;
        each(domain, host, &mut element)?;
        // It may have been mapped over.
        guest.forget_pages();
        let bytes = element.as_bytes().get(out.clone()).unwrap_or(&[]);
        Ok(guest.write_bytes(host, &domain.p2m, result, bytes)?)
    };
    for n in 0..now {
        match one(n) {
            Ok(()) => {}
            Err(Failure::Errno(errno)) => return errno.into(),
            Err(Failure::Broken) => return broken(host, "mapping a grant"),
            Err(Failure::NotReady) => {
                let rest = guest_ptr::element(Gva::new(array), u64::from(n), size_of::<T>());
                return match rest {
                    Ok(rest) => Outcome::ContinueLater {
                        args: [cmd, rest.raw(), u64::from(count - n), a3, a4],
                        until: Until::PeerAnswers,
                    },
                    Err(errno) => errno.into(),
                };
            }
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

/// `GNTTABOP_cache_flush`, for drivers of a domain that knows machine addresses: a direct-mapped
/// one, on its own RAM. An empty request is how Linux asks whether the operation exists.
pub(super) fn cache_flush<H: VcpuHost>(
    domain: &mut Domain<'_>,
    host: &mut H,
    op: &mut CacheFlush,
    progress: u64,
) -> Result<(), Failure> {
    let known = cache_op::CLEAN | cache_op::INVALIDATE;
    let (offset, length) = (u64::from(op.offset), u64::from(op.length));
    if offset >= hv_types::PAGE_SIZE || offset + length > hv_types::PAGE_SIZE || op.op & !known != 0
    {
        return Err(Errno::Einval.into());
    }
    if length == 0 || op.op == 0 {
        // Progress within nothing is a request that Xen has not made.
        return if progress == 0 {
            Ok(())
        } else {
            Err(Errno::Eilseq.into())
        };
    }
    let page = Gpa::new(op.dev_bus_addr).page_base();
    let at = Some(page)
        .filter(|_| domain.record.direct_map)
        .and_then(|page| {
            let at = page.checked_add(offset)?;
            domain.p2m.writable_by(host, at, length)
        })
        .ok_or(Errno::Eperm)?;
    host.window().clean(at, length);
    Ok(())
}
