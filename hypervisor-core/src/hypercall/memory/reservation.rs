//! decrease_reservation and populate_physmap: ballooning by lists of extents, of which the exact
//! number done is told (GM-5).

use hv_types::{DomId, Gfn, Gva, PageOrder};
use memory_server_api::Error::Again;
use memory_server_api::MAX_BATCH;
use xen_abi::memory::{self, EXTENT_SHIFT, Reservation, flags};

use super::failure::broken;
use crate::domain::Domain;
use crate::host::on_vcpu::VcpuHost;
use crate::hypercall::outcome::{Outcome, Until};
use crate::memory::guest_ptr::{self, Copier};
use crate::memory::p2m::Patience::{self, AsksAgain};
use crate::memory::p2m::{self, MAX_ORDER};

/// Pages (not extents) that one call handles; at least one extent, and no more after one that split
/// a block.
const BUDGET: usize = MAX_BATCH;
/// Most extents of a list: as many as a continuation can number in 32 bits (Xen).
const MAX_EXTENTS: u64 = u32::MAX as u64 >> EXTENT_SHIFT;

/// Does extents from number `start` on. The result is the number of extents done, those before
/// `start` included.
pub(super) fn adjust<H: VcpuHost>(
    domain: &mut Domain<'_>,
    host: &mut H,
    args: [u64; 5],
    op: u64,
    start: u64,
) -> Outcome {
    let done = |n: u64| Outcome::Return(i64::try_from(n).unwrap_or(i64::MAX));
    let mut guest = Copier::new();
    let Ok(request) = guest.copy_in::<H, _, Reservation>(host, &domain.p2m, Gva::new(args[1]))
    else {
        return done(start);
    };
    if request.nr_extents > MAX_EXTENTS
        || start >= request.nr_extents
        || !is_allowed(domain, &request, op)
    {
        return done(start);
    }
    let order = PageOrder(request.extent_order);
    // The list is read before memory changes, up to the first extent that takes a page of it away:
    // what comes after that is read when its turn comes, and not found.
    let mut list = guest;
    list.forget_pages();
    let batch = (BUDGET >> order.0).max(1);
    let mut gfns = [0u64; BUDGET];
    let mut count = 0;
    for (gfn, n) in gfns.iter_mut().take(batch).zip(start..request.nr_extents) {
        let Ok(at) = guest_ptr::element(request.extent_start.gva(), n, size_of::<u64>()) else {
            break;
        };
        let Ok(raw) = list.copy_in(host, &domain.p2m, at) else {
            break;
        };
        *gfn = raw;
        count += 1;
    }
    if op == memory::DECREASE_RESERVATION {
        let takes = |gfn: &u64| list.remembers(Gfn::new(*gfn), 1 << order.0);
        count = gfns[..count]
            .iter()
            .position(takes)
            .map_or(count, |last| last + 1);
    }
    // A split by copying waits until the one before is all copied, in parts between which the guest
    // runs.
    if gfns[..count]
        .iter()
        .any(|gfn| domain.p2m.has_copy_before(Gfn::new(*gfn)))
        && op == memory::DECREASE_RESERVATION
    {
        return match domain.p2m.go_on_copying(host) {
            Ok(()) => {
                let [_, a1, a2, a3, a4] = args;
                Outcome::Continue {
                    args: [op | start << EXTENT_SHIFT, a1, a2, a3, a4],
                }
            }
            Err(_) => done(start),
        };
    }
    // RAM that is mapped as a grant stays until it is not, so it does not go with a batch. That of
    // a direct-mapped domain stays for good: a device may reach it (BL-9).
    let decreases = op == memory::DECREASE_RESERVATION && !domain.record.direct_map;
    let aliased = |domain: &Domain<'_>, gfn: &u64| domain.p2m.is_aliased_ram(Gfn::new(*gfn));
    if decreases && order.0 == 0 {
        let plain = gfns[..count].iter().position(|gfn| aliased(domain, gfn));
        count = plain.map_or(count, |plain| plain.max(1));
    }
    let (handled, error) = match (order.0, domain.record.direct_map) {
        (0, false) if decreases && count == 1 && aliased(domain, &gfns[0]) => {
            match domain.p2m.give_up_aliased(host, Gfn::new(gfns[0])) {
                Ok(()) => (1, None),
                Err(error) => (0, Some(error)),
            }
        }
        (0, false) if op == memory::POPULATE_PHYSMAP => {
            domain.p2m.populate_pages(host, &gfns[..count])
        }
        (0, false) => domain.p2m.decrease_pages(host, &gfns[..count], AsksAgain),
        _ => one_by_one(domain, host, op, &gfns[..count], order),
    };
    let at = start.saturating_add(handled as u64);
    match error {
        None => {}
        Some(p2m::Error::Broken) => return broken(host, "changing a memory reservation"),
        // Memory is being zeroed for a copy, and the guest need not stand still for it.
        Some(p2m::Error::Memory(Again)) if op == memory::DECREASE_RESERVATION => {
            let [_, a1, a2, a3, a4] = args;
            return Outcome::ContinueLater {
                args: [op | at << EXTENT_SHIFT, a1, a2, a3, a4],
                until: Until::OthersRan,
            };
        }
        Some(_) => return done(at),
    }
    // Nothing done means that the list cannot be read.
    if at == request.nr_extents || at == start {
        return done(at);
    }
    let [_, a1, a2, a3, a4] = args;
    Outcome::Continue {
        args: [op | at << EXTENT_SHIFT, a1, a2, a3, a4],
    }
}

/// What Xen checks before the first extent; any failure is "no extent done", another domain than
/// the caller too (BL-3).
fn is_allowed(domain: &Domain<'_>, request: &Reservation, op: u64) -> bool {
    let own = DomId(request.domid).is_self(DomId(domain.record.domid));
    let node = request.mem_flags & flags::NODE_MASK != 0;
    // A virtual node means nothing to a guest without a virtual NUMA topology.
    let exact_node = node
        && request.mem_flags & (flags::EXACT_NODE_REQUEST | flags::VNODE)
            == flags::EXACT_NODE_REQUEST;
    // An address limit of a page or less is no limit anything could meet.
    let bits = request.mem_flags & flags::ADDRESS_BITS_MASK;
    let on_demand =
        op == memory::POPULATE_PHYSMAP && request.mem_flags & flags::POPULATE_ON_DEMAND != 0;
    own && request.extent_order <= MAX_ORDER.0
        && !exact_node
        && !(1..=12).contains(&bits)
        && !on_demand
}

/// Extents that are not single pages of memory that comes and goes. Ends early after one that split
/// a block.
fn one_by_one<H: VcpuHost>(
    domain: &mut Domain<'_>,
    host: &mut H,
    op: u64,
    gfns: &[u64],
    order: PageOrder,
) -> (usize, Option<p2m::Error>) {
    let splits = domain.p2m.splits();
    for (n, gfn) in gfns.iter().enumerate() {
        if let Err(error) = one(domain, host, op, Gfn::new(*gfn), order) {
            return (n, Some(error));
        }
        if domain.p2m.splits() != splits {
            return (n + 1, None);
        }
    }
    (gfns.len(), None)
}

fn one<H: VcpuHost>(
    domain: &mut Domain<'_>,
    host: &mut H,
    op: u64,
    gfn: Gfn,
    order: PageOrder,
) -> Result<(), p2m::Error> {
    match (op == memory::POPULATE_PHYSMAP, domain.record.direct_map) {
        // A direct-mapped domain gets the same frame back, so it keeps it meanwhile (DM-2, DM-3).
        (true, true) => domain.p2m.unpark_extent(host, gfn, order),
        (false, true) => domain.p2m.park_extent(host, gfn, order),
        // Recycled frames of a static domain are not contiguous (SM-7).
        (true, false) if domain.record.is_static && order.0 > 0 => Err(p2m::Error::BadGfn),
        (true, false) => domain.p2m.populate(host, gfn, order),
        (false, false) if order.0 > 0 && has_aliased(domain, gfn, order) => {
            decrease_each(domain, host, gfn, order)
        }
        (false, false) => domain.p2m.decrease(host, gfn, order, AsksAgain),
    }
}

/// The frames of an extent of at most 512.
fn frames(gfn: Gfn, order: PageOrder) -> impl Iterator<Item = Gfn> {
    (0..1u64 << order.0).filter_map(move |n| gfn.checked_add(n))
}

/// Whether RAM of the extent is mapped as a grant.
fn has_aliased(domain: &Domain<'_>, gfn: Gfn, order: PageOrder) -> bool {
    domain.p2m.aliases().next().is_some()
        && frames(gfn, order).any(|gfn| domain.p2m.is_aliased_ram(gfn))
}

/// Gives an extent up frame by frame, because some of them stay until they are no longer mapped as
/// grants.
fn decrease_each<H: VcpuHost>(
    domain: &mut Domain<'_>,
    host: &mut H,
    gfn: Gfn,
    order: PageOrder,
) -> Result<(), p2m::Error> {
    for gfn in frames(gfn, order) {
        if domain.p2m.is_aliased_ram(gfn) {
            domain.p2m.give_up_aliased(host, gfn)?;
        } else {
            domain
                .p2m
                .decrease(host, gfn, PageOrder(0), Patience::None)?;
        }
    }
    Ok(())
}
