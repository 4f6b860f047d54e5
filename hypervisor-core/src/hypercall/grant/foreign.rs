//! Grants of other domains, and what others want of this one's.
//!
//! Who may map what, and how often a grant is in use, says the peer server; it and the memory
//! server also change the entry of the other domain's table and put the page where this domain's
//! VMM can map it. What is left here is the order of Xen's checks and the place in the guest.

use guest_mem::Window;
use heapless::Vec;
use hv_types::{DomId, Gfn, Gpa};
use peer_server_api::{Error, NO_SLOT, PeerPort, Request};
use xen_abi::grant::{EntryV1, MapGrantRef, gtf, map_flags, status};
use zerocopy::FromBytes;

use super::entry;
use super::maps::Refusal;
use crate::domain::Domain;
use crate::host::Host;
use crate::host::on_vcpu::VcpuHost;
use crate::memory::p2m::{self, ForeignId, Page};

/// How long the other domain's VMM may take to say where a page is: a part of a second.
const PATIENCE: u64 = 50;
/// Grants that are looked after at once; others are wanted again.
const WANTS: usize = 64;

/// The status that a refusal of the peer server is to the guest; `None` where it is worth another
/// try.
fn status_of(error: Error) -> Option<i16> {
    Some(match error {
        Error::NotReady => return None,
        Error::Denied => status::PERMISSION_DENIED,
        Error::NoEntry => status::BAD_GNTREF,
        Error::BadPage => status::BAD_PAGE,
        Error::NotGranted => status::GENERAL_ERROR,
        // The others would be a bug of this side, or are the kernel's.
        _ => status::GENERAL_ERROR,
    })
}

/// Maps a grant of another domain; the handle and the bus address, of which there is none: what the
/// machine's address is no guest is told.
pub(super) fn map<H: VcpuHost>(
    domain: &mut Domain<'_>,
    host: &mut H,
    op: &MapGrantRef,
) -> Result<(u32, u64), Refusal> {
    let other = domain.peers.met(DomId(op.dom));
    let other = other.ok_or(Refusal::Status(status::PERMISSION_DENIED))?;
    let id = domain.p2m.free_foreign();
    let id = id.ok_or(Refusal::Status(status::NO_SPACE))?;
    let writable = op.flags & map_flags::READONLY == 0;
    let asked = host.peers().ask(Request::Map {
        lend: id.lend(),
        domain: other,
        gref: op.gref,
        writable,
    });
    if let Err(error) = asked {
        let Some(status) = status_of(error) else {
            return Err(not_ready(domain, host, other, op.gref));
        };
        domain.impatient_at = None;
        return Err(Refusal::Status(status));
    }
    domain.impatient_at = None;
    let at = Gpa::new(op.host_addr).gfn();
    let plain = op.flags & !map_flags::READONLY == map_flags::HOST_MAP;
    let shown = if plain {
        domain.p2m.show_foreign(host, id, at, writable)
    } else {
        Err(p2m::Error::BadGfn)
    };
    match shown {
        Ok(()) => Ok((id.handle(), 0)),
        Err(error) => {
            let _ = host.peers().ask(Request::Unmap { lend: id.lend() });
            Err(match error {
                p2m::Error::Broken => Refusal::Broken,
                _ => Refusal::Status(status::GENERAL_ERROR),
            })
        }
    }
}

/// The other domain's VMM has to say where the page of grant `gref` is. It may not want to, or not
/// run, so there is an end to it.
fn not_ready<H: VcpuHost>(domain: &mut Domain<'_>, host: &mut H, other: u8, gref: u32) -> Refusal {
    let now = host.now();
    let until = domain
        .impatient_at
        .get_or_insert(now.saturating_add(host.frequency() / PATIENCE));
    if now >= *until {
        domain.impatient_at = None;
        return Refusal::Status(status::EAGAIN);
    }
    host.peers().want(other, gref);
    Refusal::NotReady
}

/// Ends the mapping of a page of another domain's, which the guest believes to be at `host_addr`;
/// the status.
pub(super) fn end<H: VcpuHost>(
    domain: &mut Domain<'_>,
    host: &mut H,
    id: ForeignId,
    host_addr: u64,
    new_addr: u64,
) -> i16 {
    let Some(place) = domain.p2m.foreign(id) else {
        return status::BAD_HANDLE;
    };
    if host_addr == 0 {
        return status::OKAY;
    }
    let at: Gfn = Gpa::new(host_addr).gfn();
    let there = place == Some(at) || domain.p2m.lookup(at) == Page::Hole && p2m::is_address(at);
    if new_addr != 0 || !there {
        return status::GENERAL_ERROR;
    }
    match host.peers().ask(Request::Unmap { lend: id.lend() }) {
        Ok(()) => {
            domain.p2m.forget_foreign(id);
            status::OKAY
        }
        Err(error) => {
            host.log(format_args!(
                "unmapping a grant of another domain failed: {error:?}"
            ));
            status::GENERAL_ERROR
        }
    }
}

/// Other domains want pages that the guest grants to them: says where those are. Each may need a
/// block to be split, which only a grant in the guest's own table is a reason for.
///
/// # Errors
/// [`p2m::Error::Broken`]: the guest must be stopped.
pub fn serve<H: Host>(domain: &mut Domain<'_>, host: &mut H) -> Result<(), p2m::Error> {
    let mut wants: Vec<(u8, u32), WANTS> = Vec::new();
    host.peers().wanted(|from, gref| {
        // What does not fit is wanted again.
        let _ = wants.push((from, gref));
    });
    for (from, gref) in wants {
        let Some(frame) = granted(domain, host, from, gref) else {
            continue;
        };
        let slot = match domain.p2m.lendable(host, Gfn::new(frame.into())) {
            Ok(slot) => slot.0,
            Err(p2m::Error::Nothing) => NO_SLOT,
            Err(p2m::Error::Broken) => return Err(p2m::Error::Broken),
            // It may be better the next time.
            Err(error) => {
                host.log(format_args!(
                    "a page that is granted cannot be lent: {error}"
                ));
                continue;
            }
        };
        // It refuses nobody that.
        let _ = host.peers().ask(Request::Offer { gfn: frame, slot });
        host.peers().tell(from);
    }
    Ok(())
}

/// The frame that entry `gref` grants to domain number `to`.
fn granted<H: Host>(domain: &Domain<'_>, host: &H, to: u8, gref: u32) -> Option<u32> {
    // One load: the guest may change it meanwhile.
    let word = host
        .window()
        .load_u64(entry::at(domain, gref)?)
        .to_le_bytes();
    let entry = EntryV1::read_from_bytes(&word).ok()?;
    let granted = entry.flags & (gtf::TYPE_MASK | gtf::SUB_PAGE) == gtf::PERMIT_ACCESS
        && entry.domid == u16::from(to) + 1;
    granted.then_some(entry.frame)
}
