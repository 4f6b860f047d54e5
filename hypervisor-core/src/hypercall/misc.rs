//! Hypercalls that no guest may use.

use hv_types::Gva;
use xen_abi::toolstack::{
    DOMCTL_GET_DOMAIN_STATE, DOMCTL_SIZE, DOMCTL_VERSION, Header, PLATFORM_OP_SIZE,
    PLATFORM_OP_VERSION, SYSCTL_SIZE, SYSCTL_VERSION,
};
use xen_abi::{Errno, number};
use zerocopy::FromBytes;

use crate::host::on_vcpu::VcpuHost;
use crate::memory::guest_ptr;
use crate::memory::pages::Pages;

/// `platform_op`, `sysctl` and `domctl`: the version of the interface comes before the privilege.
///
/// # Errors
/// Always: [`Errno::Efault`], [`Errno::Eacces`] for a version other than Xen 4.22's, [`Errno::Eperm`].
pub(super) fn toolstack<H: VcpuHost, P: Pages>(
    host: &mut H,
    pages: &P,
    nr: u64,
    arg: u64,
) -> Result<i64, Errno> {
    let (size, version) = match nr {
        number::PLATFORM_OP => (PLATFORM_OP_SIZE, PLATFORM_OP_VERSION),
        number::SYSCTL => (SYSCTL_SIZE, SYSCTL_VERSION),
        _ => (DOMCTL_SIZE, DOMCTL_VERSION),
    };
    let mut bytes = [0; DOMCTL_SIZE];
    let bytes = bytes.get_mut(..size).ok_or(Errno::Efault)?;
    guest_ptr::read_bytes(host, pages, Gva::new(arg), bytes)?;
    let (header, _) = Header::read_from_prefix(bytes).map_err(|_| Errno::Efault)?;
    let stable = nr == number::DOMCTL && header.cmd == DOMCTL_GET_DOMAIN_STATE;
    Err(if header.version == if stable { 0 } else { version } {
        Errno::Eperm
    } else {
        Errno::Eacces
    })
}

/// The answer to every other hypercall without a handler.
///
/// `hypfs_op` looks at the privilege first; the rest is `-ENOSYS` in a Xen built without it.
///
/// # Errors
/// Always.
pub(super) fn refused(nr: u64) -> Result<i64, Errno> {
    Err(match nr {
        number::HYPFS_OP => Errno::Eperm,
        _ => Errno::Enosys,
    })
}
