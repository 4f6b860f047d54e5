//! memory_op (public/memory.h): ballooning, the physmap, and questions about sizes.
//!
//! x0 holds the operation in bits 5:0 and, while a long one is being continued, the number of
//! extents done in bits 63:6; x1 points to the argument. Operations on extents answer with a count and
//! never with an error: whatever goes wrong, the extents before it are done and stay so.
//!
//! One call does a bounded amount of work (`reservation`), then the guest executes its HVC again
//! with the progress in x0, and takes its interrupts between (BL-10).

mod exchange;
mod physmap;
mod questions;
mod reservation;

use hv_types::Gva;
use xen_abi::memory::{CMD_MASK, EXTENT_SHIFT};
use xen_abi::{Errno, memory};

use super::outcome::Outcome;
use crate::domain::Domain;
use crate::domain::shutdown::StopReason;
use crate::host::on_vcpu::VcpuHost;
use crate::memory::p2m;

/// memory_op(cmd, arg).
pub fn memory_op<H: VcpuHost>(domain: &mut Domain<'_>, host: &mut H, args: [u64; 5]) -> Outcome {
    let [cmd, arg, ..] = args;
    let (op, start) = (cmd & CMD_MASK, cmd >> EXTENT_SHIFT);
    let arg = Gva::new(arg);
    match op {
        // Adds frames without an address, which a guest with a physmap could not reach: none is done.
        memory::INCREASE_RESERVATION => Outcome::Return(start.cast_signed()),
        memory::DECREASE_RESERVATION | memory::POPULATE_PHYSMAP => {
            reservation::adjust(domain, host, args, op, start)
        }
        memory::ADD_TO_PHYSMAP => physmap::add(domain, host, start, arg),
        memory::ADD_TO_PHYSMAP_BATCH => physmap::add_batch(domain, host, args, start),
        memory::ACQUIRE_RESOURCE => questions::acquire_resource(domain, host, arg).into(),
        // Nothing is shared between domains. The number is looked at with the progress in it, and as 32 bits.
        memory::GET_SHARING_FREED_PAGES | memory::GET_SHARING_SHARED_PAGES
            if cmd & u64::from(u32::MAX) == op =>
        {
            Outcome::Return(0)
        }
        _ if !memory_op_exists(op) => Errno::Enosys.into(),
        // None of the others goes on where it stopped.
        _ if start != 0 => Errno::Einval.into(),
        memory::REMOVE_FROM_PHYSMAP => physmap::remove(domain, host, arg),
        memory::EXCHANGE => exchange::exchange(domain, host, arg).into(),
        _ => questions::answer(domain, host, op, arg).into(),
    }
}

/// Whether an operation that takes no progress exists for a guest on Arm.
const fn memory_op_exists(op: u64) -> bool {
    matches!(
        op,
        memory::REMOVE_FROM_PHYSMAP
            | memory::EXCHANGE
            | memory::MAXIMUM_RAM_PAGE
            | memory::CURRENT_RESERVATION
            | memory::MAXIMUM_RESERVATION
            | memory::MAXIMUM_GPFN
            | memory::CLAIM_PAGES
            | memory::GET_VNUMAINFO
            | memory::RESERVED_DEVICE_MEMORY_MAP
    )
}

/// Stops the guest when its memory is no longer what it was.
pub(super) fn broken<H: VcpuHost>(host: &mut H, what: &str) -> Outcome {
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
