//! `GNTTABOP_map_grant_ref`, `unmap_grant_ref` and `unmap_and_replace`: of grants to oneself, and
//! what is the same for those of others (`foreign`).
//!
//! A mapping goes where the guest says, in an extended region for instance: nothing is ballooned or
//! hot-plugged for it (UP-4), what is unmapped leaves a hole (UP-7), and no address follows from a
//! machine frame number (DM-8).
//!
//! A mapping is an alias of the p2m ([`crate::memory::p2m::Alias`]) and its number the handle. How
//! often a grant is in use, and whether for writing, follows from the aliases with its reference.

use hv_types::{DomId, Gfn, Gpa};
use xen_abi::grant::{MapGrantRef, UnmapAndReplace, UnmapGrantRef, map_flags, status};

use super::array::Failure;
use super::entry::{self, Pins};
use super::foreign;
use crate::domain::Domain;
use crate::host::on_vcpu::VcpuHost;
use crate::memory::p2m::{self, ForeignId, Page};

/// One element of a map request.
///
/// # Errors
/// [`Failure::Broken`]; what else is wrong is in its status.
pub(super) fn map<H: VcpuHost>(
    domain: &mut Domain<'_>,
    host: &mut H,
    op: &mut MapGrantRef,
) -> Result<(), Failure> {
    match try_map(domain, host, op) {
        Ok((handle, address)) => {
            op.handle = handle;
            op.dev_bus_addr = address;
            op.status = status::OKAY;
        }
        Err(Refusal::Status(status)) => op.status = status,
        Err(Refusal::Broken) => return Err(Failure::Broken),
        Err(Refusal::NotReady) => return Err(Failure::NotReady),
    }
    Ok(())
}

/// Why an element was not done.
pub(super) enum Refusal {
    /// A status of the element.
    Status(i16),
    /// The guest's memory is no longer what it was.
    Broken,
    /// It has to be tried again.
    NotReady,
}

impl From<i16> for Refusal {
    fn from(status: i16) -> Self {
        Self::Status(status)
    }
}

/// The handle and the bus address, which is told to those whose addresses are the machine's.
fn try_map<H: VcpuHost>(
    domain: &mut Domain<'_>,
    host: &mut H,
    op: &MapGrantRef,
) -> Result<(u32, u64), Refusal> {
    let refused = map_flags::DEVICE_MAP | map_flags::APPLICATION_MAP | map_flags::CONTAINS_PTE;
    if op.flags & (map_flags::HOST_MAP | map_flags::DEVICE_MAP) == 0 {
        return Err(status::BAD_GNTREF.into());
    }
    if op.flags & refused != 0 {
        return Err(status::GENERAL_ERROR.into());
    }
    let dom = DomId(op.dom);
    if !domain.peers.has_id(dom) {
        return Err(status::BAD_DOMAIN.into());
    }
    if dom != domain.peers.me() {
        return foreign::map(domain, host, op);
    }
    if !domain.p2m.has_free_alias() {
        return Err(status::NO_SPACE.into());
    }
    let writable = op.flags & map_flags::READONLY == 0;
    let pins = Pins::of(domain, op.gref);
    let from = entry::pin(domain, host, op.gref, writable, &pins)?;
    let at = Gpa::new(op.host_addr).gfn();
    let plain = op.flags & !map_flags::READONLY == map_flags::HOST_MAP;
    let mapped = match &pins.mapped {
        _ if !plain => Err(p2m::Error::BadGfn),
        Some(other) => domain.p2m.add_alias_of(host, other, at, writable, op.gref),
        None => domain.p2m.add_alias(host, from, at, writable, op.gref),
    };
    match mapped {
        Ok(id) if domain.record.direct_map => Ok((id.raw(), from.gpa().map_or(0, Gpa::raw))),
        Ok(id) => Ok((id.raw(), 0)),
        Err(p2m::Error::Broken) => Err(Refusal::Broken),
        Err(_) => {
            entry::unpin(domain, host, op.gref, writable);
            Err(status::GENERAL_ERROR.into())
        }
    }
}

/// One element of an unmap request.
///
/// # Errors
/// [`Failure::Broken`]; what else is wrong is in its status.
pub(super) fn unmap<H: VcpuHost>(
    domain: &mut Domain<'_>,
    host: &mut H,
    op: &mut UnmapGrantRef,
) -> Result<(), Failure> {
    op.status = end(domain, host, op.handle, op.host_addr, 0)?;
    Ok(())
}

/// The same with a new address; on Arm only 0 is allowed.
///
/// # Errors
/// [`Failure::Broken`]; what else is wrong is in its status.
pub(super) fn unmap_and_replace<H: VcpuHost>(
    domain: &mut Domain<'_>,
    host: &mut H,
    op: &mut UnmapAndReplace,
) -> Result<(), Failure> {
    op.status = end(domain, host, op.handle, op.host_addr, op.new_addr)?;
    Ok(())
}

/// Ends the mapping of `handle`, which the guest believes to be at `host_addr`; an address of 0
/// ends nothing.
///
/// At an address where nothing is, as after remove_from_physmap, the mapping ends all the same,
/// wherever it is.
fn end<H: VcpuHost>(
    domain: &mut Domain<'_>,
    host: &mut H,
    handle: u32,
    host_addr: u64,
    new_addr: u64,
) -> Result<i16, Failure> {
    if let Some(id) = ForeignId::of_handle(handle) {
        return Ok(foreign::end(domain, host, id, host_addr, new_addr));
    }
    let Some((id, alias)) = domain.p2m.alias(handle) else {
        return Ok(status::BAD_HANDLE);
    };
    if host_addr == 0 {
        return Ok(status::OKAY);
    }
    let at: Gfn = Gpa::new(host_addr).gfn();
    let there = alias.at == Some(at) || domain.p2m.lookup(at) == Page::Hole && p2m::is_address(at);
    if new_addr != 0 || !there {
        return Ok(status::GENERAL_ERROR);
    }
    match domain.p2m.remove_alias(host, id) {
        Ok(()) => {
            entry::unpin(domain, host, alias.gref, alias.writable);
            Ok(status::OKAY)
        }
        Err(p2m::Error::Broken) => Err(Failure::Broken),
        Err(error) => {
            host.log(format_args!("unmapping a grant failed: {error}"));
            Ok(status::GENERAL_ERROR)
        }
    }
}
