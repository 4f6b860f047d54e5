//! Hypercalls that no guest may use.

use xen_abi::{Errno, number};

/// The answer to every hypercall without a handler.
///
/// `platform_op`, `sysctl` and `domctl` check the version of their interface before the privilege,
/// so that a guest sees `-EACCES`; the others are `-ENOSYS` in a Xen built without them.
pub(super) fn refused(nr: u64) -> Result<i64, Errno> {
    Err(match nr {
        number::PLATFORM_OP | number::SYSCTL | number::DOMCTL => Errno::Eacces,
        _ => Errno::Enosys,
    })
}
