//! Hypercalls without sub-operations: those that no guest may use, and multicall within itself.

use hv_types::Gva;
use xen_abi::Errno::{self, Enosys, Eperm};
use xen_abi::number;
use xen_abi::toolstack::{
    DOMCTL_GET_DOMAIN_STATE, DOMCTL_SIZE, DOMCTL_VERSION, Header, PLATFORM_OP_SIZE,
    PLATFORM_OP_VERSION, SYSCTL_SIZE, SYSCTL_VERSION,
};
use zerocopy::FromBytes;

use super::outcome::Outcome;
use super::row::Status::{Done, Error};
use super::row::{Row, family};
use crate::host::on_vcpu::VcpuHost;
use crate::memory::guest_ptr;
use crate::memory::pages::Pages;

/// `platform_op`, `sysctl` and `domctl`: the version of the interface comes before the privilege.
///
/// # Errors
/// Always: [`Errno::Efault`], [`Errno::Eacces`] for a version other than Xen 4.22's,
/// [`Errno::Eperm`].
#[cold]
#[inline(never)]
fn toolstack<H: VcpuHost, P: Pages>(
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

/// As [`family`], for hypercalls that are one operation.
macro_rules! operations {
    (
        $(#[$doc:meta])*
        fn $name:ident<$h:ident: $hb:ident, $p:ident: $pb:ident>($($arg:ident: $type:ty),*);
        match $nr:expr, else $otherwise:expr;
        $($number:ident { $op_name:literal, $status:expr, $about:literal $(, $handler:expr)? })*
    ) => {
        /// Their rows.
        pub(super) const ROWS: &[Row] = &[$(Row {
            number: number::$number,
            name: $op_name,
            cmd: None,
            cmd_name: "",
            status: $status,
            about: $about,
        }),*];

        $(#[$doc])*
        pub(super) fn $name<$h: $hb, $p: $pb>($($arg: $type),*) -> Outcome {
            match $nr {
                $(number::$number => family!(@answer $status $(, $handler)?),)*
                _ => $otherwise.into(),
            }
        }
    };
}

operations! {
    /// Does hypercall `nr`, one of these or one that does not exist.
    fn whole<H: VcpuHost, P: Pages>(host: &mut H, pages: &P, nr: u64, arg: u64);
    match nr, else Enosys;
    SCHED_OP_COMPAT { "sched_op_compat", Error(Enosys), "The old form of sched_op, which no Arm guest uses." }
    PLATFORM_OP { "platform_op", Error(Eperm), "Manages the machine, for a privileged domain: time, CPUs, firmware.",
        toolstack(host, pages, nr, arg) }
    MULTICALL { "multicall", Done, "Makes a list of hypercalls at once.",
        Errno::Einval }
    EVENT_CHANNEL_OP_COMPAT { "event_channel_op_compat", Error(Enosys), "The old form of event_channel_op, which no Arm guest uses." }
    PHYSDEV_OP_COMPAT { "physdev_op_compat", Error(Enosys), "The old form of physdev_op, which no Arm guest uses." }
    XSM_OP { "xsm_op", Error(Enosys), "Security modules, of which there is none." }
    PHYSDEV_OP { "physdev_op", Error(Enosys), "Interrupts and PCI devices of the host, for guests that have some." }
    SYSCTL { "sysctl", Error(Eperm), "Manages the host, for a privileged domain.",
        toolstack(host, pages, nr, arg) }
    DOMCTL { "domctl", Error(Eperm), "Manages domains, for a privileged domain.",
        toolstack(host, pages, nr, arg) }
    ARGO_OP { "argo_op", Error(Enosys), "Argo's messages between domains." }
    DM_OP { "dm_op", Error(Enosys), "For device models in another domain." }
    HYPFS_OP { "hypfs_op", Error(Eperm), "The hypervisor's file system of settings." }
}
