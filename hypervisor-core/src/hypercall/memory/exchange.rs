//! `XENMEM_exchange`: frames of a guest on Arm cannot be taken, but its request is looked at first.

use hv_types::{Gfn, Gva};
use xen_abi::Errno;
use xen_abi::memory::{Exchange, flags};

use crate::domain::Domain;
use crate::host::on_vcpu::VcpuHost;
use crate::memory::guest_ptr::{Copier, copy_in, element};
use crate::memory::p2m::{MAX_ORDER, Page};

/// Xen's checks in their order, up to the first frame that would have to be taken: there it gives
/// up. How far the exchange came is written back with every error but that of the argument itself.
///
/// # Errors
/// `Efault`, `Eperm`, `Einval`, `Esrch`, and `Eopnotsupp` where nothing else is wrong.
pub(super) fn exchange<H: VcpuHost>(
    domain: &Domain<'_>,
    host: &mut H,
    arg: Gva,
) -> Result<i64, Errno> {
    let mut request: Exchange = copy_in(host, &domain.p2m, arg)?;
    let result = match check(domain, &request) {
        Ok(()) if request.nr_exchanged == request.input.nr_extents => return Ok(0),
        Ok(()) => first_frame(domain, host, &mut request),
        Err(errno) => errno,
    };
    Copier::new().copy_out(host, &domain.p2m, arg, &request)?;
    Err(result)
}

fn check(domain: &Domain<'_>, request: &Exchange) -> Result<(), Errno> {
    let (input, output) = (&request.input, &request.output);
    if input.extent_order.max(output.extent_order) > MAX_ORDER.0 {
        return Err(Errno::Eperm);
    }
    // Orders are at most 9 here.
    let fits = |nr: u64, order: u32| nr <= u64::MAX >> order;
    if request.nr_exchanged > input.nr_extents
        || input.domid != output.domid
        || !fits(input.nr_extents, input.extent_order)
        || !fits(output.nr_extents, output.extent_order)
        || input.nr_extents << input.extent_order != output.nr_extents << output.extent_order
    {
        return Err(Errno::Einval);
    }
    if request.nr_exchanged == input.nr_extents {
        return Ok(());
    }
    let node = output.mem_flags & flags::NODE_MASK != 0;
    if node && output.mem_flags & flags::EXACT_NODE_REQUEST != 0 {
        return Err(Errno::Einval);
    }
    domain.require_self(input.domid)
}

/// The error at the first frame of the first chunk that is not done. A chunk is as many extents as
/// one of the other side has pages for.
fn first_frame<H: VcpuHost>(domain: &Domain<'_>, host: &mut H, request: &mut Exchange) -> Errno {
    let input = &request.input;
    let chunk = request
        .output
        .extent_order
        .saturating_sub(input.extent_order);
    request.nr_exchanged = request.nr_exchanged >> chunk << chunk;
    let gfn = element(
        input.extent_start.gva(),
        request.nr_exchanged,
        size_of::<u64>(),
    )
    .and_then(|at| copy_in(host, &domain.p2m, at));
    match gfn {
        Err(errno) => errno,
        Ok(gfn) if domain.p2m.lookup(Gfn::new(gfn)) == Page::Hole => Errno::Einval,
        Ok(_) => Errno::Eopnotsupp,
    }
}
