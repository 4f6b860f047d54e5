//! What guests without privilege meet of `platform_op`, `sysctl` and `domctl` (public/platform.h,
//! sysctl.h, domctl.h of Xen 4.22).

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Bytes of `xen_platform_op`.
pub const PLATFORM_OP_SIZE: usize = 136;
/// `XENPF_INTERFACE_VERSION`.
pub const PLATFORM_OP_VERSION: u32 = 0x0300_0001;
/// Bytes of `xen_sysctl`.
pub const SYSCTL_SIZE: usize = 136;
/// `XEN_SYSCTL_INTERFACE_VERSION`.
pub const SYSCTL_VERSION: u32 = 0x16;
/// Bytes of `xen_domctl`.
pub const DOMCTL_SIZE: usize = 144;
/// `XEN_DOMCTL_INTERFACE_VERSION`.
pub const DOMCTL_VERSION: u32 = 0x18;
/// `XEN_DOMCTL_get_domain_state`, whose interface is stable: its version is 0.
pub const DOMCTL_GET_DOMAIN_STATE: u32 = 90;

/// How each of the three structures begins.
#[derive(
    Clone, Copy, PartialEq, Eq, Debug, Default, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct Header {
    /// Operation.
    pub cmd: u32,
    /// Version of the interface that the caller knows.
    pub version: u32,
}
layout!(Header, 8; cmd @ 0, version @ 4);
