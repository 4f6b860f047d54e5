//! xen_version (public/version.h): what a guest is told about the hypervisor.

use hv_types::Gva;
use xen_abi::Errno::{self, Einval, Enosys, Eperm};
use xen_abi::version::{
    self as abi, CompileInfo, FeatureInfo, PlatformParameters, VarBuf, feature,
};
use zerocopy::IntoBytes as _;

use super::outcome::Outcome;
use super::row::Status::{Done, Error};
use super::row::family;
use crate::host::on_vcpu::VcpuHost;
use crate::memory::guest_ptr::{self, Copier};
use crate::memory::pages::Pages;

/// Version of Xen whose ABI this is, as `XENVER_version` encodes it: 4.22.
pub(super) const VERSION: i64 = (4 << 16) | 22;

/// What follows the version; the leading ".0" makes it read like a release of Xen.
const EXTRAVERSION: &str = ".0-zazen";
/// Interfaces offered; the blank at the end separates further ones.
const CAPABILITIES: &str = "xen-3.0-aarch64 ";
/// Revision of the sources, where the build tells it.
const CHANGESET: &str = or(option_env!("ZAZEN_CHANGESET"), "unavailable");
/// What an unprivileged guest reads instead of the hypervisor's command line.
const DENIED: &str = "<denied>";

/// Builds are reproducible, so nothing here depends on who built it, where or when, unless told.
static COMPILE_INFO: CompileInfo = CompileInfo {
    compiler: padded(or(option_env!("ZAZEN_COMPILER"), "rustc")),
    compile_by: padded(or(option_env!("ZAZEN_COMPILE_BY"), "zazen")),
    compile_domain: padded(or(option_env!("ZAZEN_COMPILE_DOMAIN"), "")),
    compile_date: padded(or(option_env!("ZAZEN_COMPILE_DATE"), "")),
};
static EXTRAVERSION_FIELD: [u8; abi::EXTRAVERSION_LEN] = padded(EXTRAVERSION);
static CAPABILITIES_FIELD: [u8; abi::CAPABILITIES_LEN] = padded(CAPABILITIES);
static CHANGESET_FIELD: [u8; abi::CHANGESET_LEN] = padded(CHANGESET);
/// As much of the field as Xen writes for a guest that may not know: the text and its NUL.
static COMMANDLINE_FIELD: [u8; DENIED.len() + 1] = padded(DENIED);
/// Domains of a device tree have the nil UUID, as in Xen.
static DOMAIN_HANDLE: [u8; abi::DOMAIN_HANDLE_LEN] = [0; abi::DOMAIN_HANDLE_LEN];

/// Features of every guest; one of the two bits on direct mapping joins them (DM-5).
const FEATURES: u32 = feature::WRITABLE_PAGE_TABLES
    | feature::AUTO_TRANSLATED_PHYSMAP
    | feature::MEMORY_OP_VNODE_SUPPORTED
    | feature::ARM_SMCCC_SUPPORTED
    | feature::RUNSTATE_PHYS_AREA;

// The words that Xen 4.22 gives to a domain without privilege.
const _: () = assert!(FEATURES | feature::NOT_DIRECT_MAPPED == 0x0005_6005);
const _: () = assert!(FEATURES | feature::DIRECT_MAPPED == 0x0006_6005);

family! {
    /// xen_version(cmd, arg). `-EFAULT`; `-EINVAL` for a feature word other than the first and for
    /// a page size with an argument; `-ENOBUFS`.
    XEN_VERSION "xen_version"
    fn xen_version<H: VcpuHost, P: Pages>(host: &mut H, pages: &P, direct_map: bool, cmd: u64, arg: u64);
    before { let at = Gva::new(arg); }
    match cmd, else Enosys;
    abi::VERSION { "version", Done, "The version, as major << 16 | minor.",
        Outcome::Return(VERSION) }
    abi::EXTRAVERSION { "extraversion", Done, "The text behind the version.",
        put(host, pages, at, &EXTRAVERSION_FIELD) }
    abi::COMPILE_INFO { "compile_info", Done, "Who built it, where, when and with what.",
        put(host, pages, at, COMPILE_INFO.as_bytes()) }
    abi::CAPABILITIES { "capabilities", Done, "Which guests it runs, as text: xen-3.0-aarch64.",
        put(host, pages, at, &CAPABILITIES_FIELD) }
    abi::CHANGESET { "changeset", Done, "The source revision, as text.",
        put(host, pages, at, &CHANGESET_FIELD) }
    abi::PLATFORM_PARAMETERS { "platform_parameters", Done, "Where the hypervisor begins in a PV guest's address space.",
        put(host, pages, at, PlatformParameters { virt_start: 0 }.as_bytes()) }
    abi::GET_FEATURES { "get_features", Done, "One word of feature bits.",
        features(host, pages, direct_map, at) }
    abi::PAGESIZE { "pagesize", Done, "Bytes of a page: 4096.",
        page_size(at) }
    abi::GUEST_HANDLE { "guest_handle", Done, "The calling domain's UUID.",
        put(host, pages, at, &DOMAIN_HANDLE) }
    abi::COMMANDLINE { "commandline", Done, "The hypervisor's command line; empty for guests.",
        put(host, pages, at, &COMMANDLINE_FIELD) }
    abi::BUILD_ID { "build_id", Error(Eperm), "The build id of the hypervisor's ELF." }
    abi::EXTRAVERSION2 { "extraversion2", Done, "extraversion of any length.",
        variable(host, pages, at, EXTRAVERSION) }
    abi::CAPABILITIES2 { "capabilities2", Done, "capabilities of any length.",
        variable(host, pages, at, CAPABILITIES) }
    abi::CHANGESET2 { "changeset2", Done, "changeset of any length.",
        variable(host, pages, at, CHANGESET) }
    abi::COMMANDLINE2 { "commandline2", Error(Eperm), "The hypervisor's command line, of any length." }
}

fn features<H: VcpuHost, P: Pages>(
    host: &mut H,
    pages: &P,
    direct_map: bool,
    gva: Gva,
) -> Result<i64, Errno> {
    let mut guest = Copier::new();
    let mut info: FeatureInfo = guest.copy_in(host, pages, gva)?;
    if info.submap_idx != 0 {
        return Err(Einval);
    }
    info.submap = FEATURES
        | if direct_map {
            feature::DIRECT_MAPPED
        } else {
            feature::NOT_DIRECT_MAPPED
        };
    guest.copy_out(host, pages, gva, &info)?;
    Ok(0)
}

fn page_size(arg: Gva) -> Result<i64, Errno> {
    if arg.raw() == 0 {
        Ok(4096)
    } else {
        Err(Einval)
    }
}

fn put<H: VcpuHost, P: Pages>(
    host: &mut H,
    pages: &P,
    gva: Gva,
    field: &[u8],
) -> Result<i64, Errno> {
    guest_ptr::write_bytes(host, pages, gva, field)?;
    Ok(0)
}

/// Answers a request of variable length: the length alone for a null pointer, otherwise the bytes
/// behind the caller's [`VarBuf`], without a NUL.
fn variable<H: VcpuHost, P: Pages>(
    host: &mut H,
    pages: &P,
    gva: Gva,
    text: &str,
) -> Result<i64, Errno> {
    let length = i64::try_from(text.len()).map_err(|_| Errno::E2big)?;
    if gva.raw() == 0 {
        return Ok(length);
    }
    let mut guest = Copier::new();
    let head: VarBuf = guest.copy_in(host, pages, gva)?;
    if i64::from(head.len) < length {
        return Err(Errno::Enobufs);
    }
    let bytes = gva
        .checked_add(size_of::<VarBuf>() as u64)
        .ok_or(Errno::Efault)?;
    guest.write_bytes(host, pages, bytes, text.as_bytes())?;
    Ok(length)
}

const fn or(told: Option<&'static str>, otherwise: &'static str) -> &'static str {
    match told {
        Some(text) => text,
        None => otherwise,
    }
}

/// `text` cut to `N - 1` bytes and padded with NULs.
const fn padded<const N: usize>(text: &str) -> [u8; N] {
    let mut field = [0; N];
    let bytes = text.as_bytes();
    let mut i = 0;
    while i < bytes.len() && i + 1 < N {
        field[i] = bytes[i];
        i += 1;
    }
    field
}
