//! xen_version (public/version.h, public/features.h).

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// `XENVER_version`: major and minor in one word.
pub const VERSION: u64 = 0;
/// `XENVER_extraversion`: 16 characters.
pub const EXTRAVERSION: u64 = 1;
/// `XENVER_compile_info`: [`CompileInfo`].
pub const COMPILE_INFO: u64 = 2;
/// `XENVER_capabilities`: 1024 characters.
pub const CAPABILITIES: u64 = 3;
/// `XENVER_changeset`: 64 characters.
pub const CHANGESET: u64 = 4;
/// `XENVER_platform_parameters`: [`PlatformParameters`].
pub const PLATFORM_PARAMETERS: u64 = 5;
/// `XENVER_get_features`: [`FeatureInfo`].
pub const GET_FEATURES: u64 = 6;
/// `XENVER_pagesize`: bytes.
pub const PAGESIZE: u64 = 7;
/// `XENVER_guest_handle`: the domain's 16-byte UUID.
pub const GUEST_HANDLE: u64 = 8;
/// `XENVER_commandline`: 1024 characters.
pub const COMMANDLINE: u64 = 9;
/// `XENVER_build_id`: [`VarBuf`].
pub const BUILD_ID: u64 = 10;
/// `XENVER_extraversion2`: [`VarBuf`].
pub const EXTRAVERSION2: u64 = 11;
/// `XENVER_capabilities2`: [`VarBuf`].
pub const CAPABILITIES2: u64 = 12;
/// `XENVER_changeset2`: [`VarBuf`].
pub const CHANGESET2: u64 = 13;
/// `XENVER_commandline2`: [`VarBuf`].
pub const COMMANDLINE2: u64 = 14;

/// Bytes of `xen_extraversion_t`.
pub const EXTRAVERSION_LEN: usize = 16;
/// Bytes of `xen_capabilities_info_t`.
pub const CAPABILITIES_LEN: usize = 1024;
/// Bytes of `xen_changeset_info_t`.
pub const CHANGESET_LEN: usize = 64;
/// Bytes of `xen_commandline_t`.
pub const COMMANDLINE_LEN: usize = 1024;
/// Bytes of `xen_domain_handle_t`.
pub const DOMAIN_HANDLE_LEN: usize = 16;

/// How the hypervisor was built (`xen_compile_info`); each field NUL-padded.
#[derive(Clone, PartialEq, Eq, Debug, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct CompileInfo {
    /// Compiler and its version.
    pub compiler: [u8; 64],
    /// Who.
    pub compile_by: [u8; 16],
    /// Where.
    pub compile_domain: [u8; 32],
    /// When.
    pub compile_date: [u8; 32],
}
layout!(CompileInfo, 144; compiler @ 0, compile_by @ 64, compile_domain @ 80, compile_date @ 112);

/// `xen_platform_parameters`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct PlatformParameters {
    /// Start of the hypervisor in every guest's address space; 0 on Arm, where it is in none.
    pub virt_start: u64,
}
layout!(PlatformParameters, 8; virt_start @ 0);

/// `xen_feature_info`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct FeatureInfo {
    /// In: which 32 features are asked for.
    pub submap_idx: u32,
    /// Out: a bit for each, see [`feature`].
    pub submap: u32,
}
layout!(FeatureInfo, 8; submap_idx @ 0, submap @ 4);

/// Head of a reply of variable length (`xen_varbuf`, `xen_build_id`); the bytes follow.
#[derive(Clone, Copy, PartialEq, Eq, Debug, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct VarBuf {
    /// In: bytes of room after this word.
    pub len: u32,
}
layout!(VarBuf, 4; len @ 0);

/// Bits of feature word 0 (`XENFEAT_*`).
pub mod feature {
    /// Page tables may be written.
    pub const WRITABLE_PAGE_TABLES: u32 = 1 << 0;
    /// The hypervisor translates the guest's physical addresses.
    pub const AUTO_TRANSLATED_PHYSMAP: u32 = 1 << 2;
    /// The caller is the initial domain.
    pub const DOM0: u32 = 1 << 11;
    /// memory_op takes a virtual NUMA node in `mem_flags`.
    pub const MEMORY_OP_VNODE_SUPPORTED: u32 = 1 << 13;
    /// SMCCC 1.1 calls are answered.
    pub const ARM_SMCCC_SUPPORTED: u32 = 1 << 14;
    /// Guest frame numbers are not machine frame numbers.
    pub const NOT_DIRECT_MAPPED: u32 = 1 << 16;
    /// Guest frame numbers are machine frame numbers.
    pub const DIRECT_MAPPED: u32 = 1 << 17;
    /// The runstate area may be registered by guest physical address
    /// ([`crate::vcpu::REGISTER_RUNSTATE_PHYS_AREA`]).
    pub const RUNSTATE_PHYS_AREA: u32 = 1 << 18;
}
