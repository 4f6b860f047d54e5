//! What a failure of the guest's memory map means to the guest.

use xen_abi::Errno;

use crate::domain::shutdown::StopReason;
use crate::host::Host;
use crate::hypercall::outcome::Outcome;
use crate::memory::p2m;

/// Stops the guest when its memory is no longer what it was.
pub(in crate::hypercall) fn broken<H: Host>(host: &mut H, what: &str) -> Outcome {
    host.log(format_args!(
        "{what} failed half way and cannot be undone: the guest is stopped"
    ));
    Outcome::Stop(StopReason::Fatal)
}

/// The error a guest sees for a failure of its memory map.
pub(super) fn errno(error: p2m::Error) -> Errno {
    match error {
        p2m::Error::Nothing => Errno::Enoent,
        p2m::Error::Busy => Errno::Ebusy,
        p2m::Error::Memory(_) => Errno::Enomem,
        p2m::Error::BadGfn | p2m::Error::Occupied | p2m::Error::Map(_) | p2m::Error::Broken => {
            Errno::Einval
        }
    }
}
