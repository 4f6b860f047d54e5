//! memory_op (public/memory.h): ballooning, the physmap, and questions about sizes.
//!
//! x0 holds the operation in bits 5:0 and, while a long one is being continued, the number of
//! extents done in bits 63:6; x1 points to the argument. Operations on extents answer with a count and
//! never with an error: whatever goes wrong, the extents before it are done and stay so.
//!
//! One call does a bounded amount of work (`reservation`), then the guest executes its HVC again
//! with the progress in x0, and takes its interrupts between (BL-10).

mod physmap;
mod reservation;

use hv_types::Gva;
use memory_server_api::{MemoryServer, Reply, Request, Usage};
use xen_abi::memory::{AcquireResource, CMD_MASK, DomainArg, EXTENT_SHIFT};
use xen_abi::{Errno, memory};

use super::{Outcome, caller};
use crate::guest_ptr::copy_in;
use crate::host::Host;
use crate::p2m;
use crate::vm::{StopReason, Vm};

/// `XENMEM_maximum_ram_page`: highest frame number of 40-bit addresses. The real one is nobody's business here.
const MAXIMUM_RAM_PAGE: i64 = (1 << 28) - 1;

/// memory_op(cmd, arg).
pub fn memory_op<H: Host>(vm: &mut Vm<'_>, host: &mut H, args: [u64; 5]) -> Outcome {
    let [cmd, arg, ..] = args;
    let (op, start) = (cmd & CMD_MASK, cmd >> EXTENT_SHIFT);
    let arg = Gva::new(arg);
    match op {
        // Adds frames without an address, which a guest with a physmap could not reach.
        memory::INCREASE_RESERVATION => Outcome::Return(0),
        memory::DECREASE_RESERVATION | memory::POPULATE_PHYSMAP => {
            reservation::adjust(vm, host, args, op, start)
        }
        memory::ADD_TO_PHYSMAP => physmap::add(vm, host, start, arg),
        memory::ADD_TO_PHYSMAP_BATCH => physmap::add_batch(vm, host, args, start),
        memory::REMOVE_FROM_PHYSMAP => physmap::remove(vm, host, arg),
        memory::MAXIMUM_RAM_PAGE => Outcome::Return(MAXIMUM_RAM_PAGE),
        memory::CURRENT_RESERVATION => count(usage(vm, host, arg).map(|u| u.ram)),
        memory::MAXIMUM_RESERVATION => count(usage(vm, host, arg).map(|u| u.max)),
        memory::MAXIMUM_GPFN => count(self_only(vm, host, arg).map(|()| vm.p2m.max_gfn().raw())),
        memory::ACQUIRE_RESOURCE => acquire_resource(vm, host, arg).into(),
        memory::EXCHANGE | memory::GET_VNUMAINFO => Errno::Eopnotsupp.into(),
        memory::CLAIM_PAGES => Errno::Eperm.into(),
        _ => Errno::Enosys.into(),
    }
}

fn count(result: Result<u64, Errno>) -> Outcome {
    result
        .and_then(|n| i64::try_from(n).map_err(|_| Errno::Eoverflow))
        .into()
}

/// The lone domain id that the size queries take: the caller's own.
fn self_only<H: Host>(vm: &Vm<'_>, host: &mut H, arg: Gva) -> Result<(), Errno> {
    let arg: DomainArg = copy_in(host, &vm.p2m, arg)?;
    caller(vm, arg.domid)
}

/// The memory server's accounting: RAM alone, extra pages are not in it (EX-4).
fn usage<H: Host>(vm: &Vm<'_>, host: &mut H, arg: Gva) -> Result<Usage, Errno> {
    self_only(vm, host, arg)?;
    match host.memory().call(Request::Usage) {
        Ok(Reply::Usage(usage)) => Ok(usage),
        _ => Err(Errno::Eio),
    }
}

/// For the tools of other domains: `-EPERM` on oneself, and no other domain is known here.
fn acquire_resource<H: Host>(vm: &Vm<'_>, host: &mut H, arg: Gva) -> Result<i64, Errno> {
    let arg: AcquireResource = copy_in(host, &vm.p2m, arg)?;
    if arg.pad != 0 {
        return Err(Errno::Einval);
    }
    caller(vm, arg.domid)?;
    Err(Errno::Eperm)
}

/// Stops the guest when its memory is no longer what it was.
fn broken<H: Host>(host: &mut H, what: &str) -> Outcome {
    host.log(format_args!(
        "{what} failed half way and cannot be undone: the guest is stopped"
    ));
    Outcome::Stop(StopReason::Fatal)
}

/// The error a guest sees for a failure of its memory map.
fn errno(error: p2m::Error) -> Errno {
    match error {
        p2m::Error::Nothing => Errno::Enoent,
        p2m::Error::Busy => Errno::Ebusy,
        p2m::Error::Memory(_) => Errno::Enomem,
        p2m::Error::BadGfn | p2m::Error::Occupied | p2m::Error::Map(_) | p2m::Error::Broken => {
            Errno::Einval
        }
    }
}
