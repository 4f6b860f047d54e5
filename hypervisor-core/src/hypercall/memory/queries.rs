//! memory_op's questions about sizes, and the operations that only a toolstack may use.

use hv_types::{DomId, Gva};
use memory_server_api::{MemoryServer, RamCount};
use xen_abi::memory::{
    AcquireResource, DomainArg, Reservation, ReservedDeviceMemoryMap, VnumaTopologyInfo,
};
use xen_abi::{Errno, memory};

use crate::domain::Domain;
use crate::host::on_vcpu::VcpuHost;
use crate::memory::guest_ptr::{copy_in, copy_out};

/// `XENMEM_maximum_ram_page`: highest frame number of 40-bit addresses. The real one is nobody's
/// business here.
const MAXIMUM_RAM_PAGE: u64 = (1 << 28) - 1;
/// `XENMEM_RDM_ALL`, the one flag of a reserved-memory map.
const RDM_ALL: u32 = 1;

pub(super) fn maximum_ram_page() -> Result<i64, Errno> {
    signed(MAXIMUM_RAM_PAGE)
}

pub(super) fn current_reservation<H: VcpuHost>(
    domain: &Domain<'_>,
    host: &mut H,
    arg: Gva,
) -> Result<i64, Errno> {
    signed(ram_count(domain, host, arg)?.ram)
}

/// GM-11: the maximum of the domain, which can be more than it started with.
pub(super) fn maximum_reservation<H: VcpuHost>(
    domain: &Domain<'_>,
    host: &mut H,
    arg: Gva,
) -> Result<i64, Errno> {
    signed(ram_count(domain, host, arg)?.max)
}

pub(super) fn maximum_gpfn<H: VcpuHost>(
    domain: &Domain<'_>,
    host: &mut H,
    arg: Gva,
) -> Result<i64, Errno> {
    self_only(domain, host, arg)?;
    signed(domain.p2m.max_gfn().raw())
}

/// Nothing is shared between domains. The number is looked at with the progress in it, and as 32
/// bits.
pub(super) fn shared_pages([cmd, ..]: [u64; 5]) -> Result<i64, Errno> {
    if cmd & u64::from(u32::MAX) == cmd & memory::CMD_MASK {
        Ok(0)
    } else {
        Err(Errno::Enosys)
    }
}

fn signed(number: u64) -> Result<i64, Errno> {
    i64::try_from(number).map_err(|_| Errno::Eoverflow)
}

/// The lone domain id that the size queries take: the caller's own.
fn self_only<H: VcpuHost>(domain: &Domain<'_>, host: &mut H, arg: Gva) -> Result<(), Errno> {
    let arg: DomainArg = copy_in(host, &domain.p2m, arg)?;
    domain.require_self(arg.domid)
}

/// The memory server's accounting: RAM alone, extra pages are not in it (EX-4).
fn ram_count<H: VcpuHost>(domain: &Domain<'_>, host: &mut H, arg: Gva) -> Result<RamCount, Errno> {
    self_only(domain, host, arg)?;
    host.memory().ram_count().map_err(|_| Errno::Eio)
}

/// Claims are a toolstack's, for a domain by its real id.
pub(super) fn claim<H: VcpuHost>(
    domain: &Domain<'_>,
    host: &mut H,
    arg: Gva,
) -> Result<i64, Errno> {
    let arg: Reservation = copy_in(host, &domain.p2m, arg)?;
    let plain = arg.extent_start.gva().raw() == 0 && arg.extent_order == 0 && arg.mem_flags == 0;
    Err(if plain && domain.peers.has_id(DomId(arg.domid)) {
        Errno::Eperm
    } else {
        Errno::Einval
    })
}

/// No guest has a virtual NUMA topology.
pub(super) fn topology<H: VcpuHost>(
    domain: &Domain<'_>,
    host: &mut H,
    arg: Gva,
) -> Result<i64, Errno> {
    let arg: VnumaTopologyInfo = copy_in(host, &domain.p2m, arg)?;
    if arg.pad != 0 {
        return Err(Errno::Einval);
    }
    domain.require_self(arg.domid)?;
    Err(Errno::Eopnotsupp)
}

/// No device of a guest has memory reserved for it: the map has no entries.
pub(super) fn reserved_memory<H: VcpuHost>(
    domain: &Domain<'_>,
    host: &mut H,
    arg: Gva,
) -> Result<i64, Errno> {
    let mut map: ReservedDeviceMemoryMap = copy_in(host, &domain.p2m, arg)?;
    if map.flags & !RDM_ALL != 0 {
        return Err(Errno::Einval);
    }
    map.nr_entries = 0;
    copy_out(host, &domain.p2m, arg, &map)?;
    Ok(0)
}

/// For the tools of other domains: what a guest names is not there, itself, or not its to map.
pub(super) fn acquire_resource<H: VcpuHost>(
    domain: &Domain<'_>,
    host: &mut H,
    arg: Gva,
) -> Result<i64, Errno> {
    let arg: AcquireResource = copy_in(host, &domain.p2m, arg)?;
    let end = arg.frame.checked_add(u64::from(arg.nr_frames));
    if arg.pad != 0 || end.is_none_or(|end| end > u64::from(u32::MAX)) {
        return Err(Errno::Einval);
    }
    Err(domain.peers.remote(DomId(arg.domid)))
}
