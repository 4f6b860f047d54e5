//! Static shared memory (dom0less binding, "xen,domain-shared-memory-v1").
//!
//! Zazen does not support it yet and says so, after reporting every mistake in it.

use alloc::format;
use alloc::vec::Vec;

use dtoolkit::Node;
use hv_types::PAGE_SIZE;

use crate::diag::{Diagnostics, Hint, Place, Rule, Severity};
use crate::node::At;
use crate::range::Range;

/// Most shared regions (Xen's limit); nodes that are looked at are at most a domain's share of that
/// for each domain.
const MAX_REGIONS: usize = 32;
const MAX_NODES: usize = MAX_REGIONS * topology::MAX_DOMAINS;
/// Longest `xen,shm-id`, the closing zero not counted.
const ID_MAX: usize = 15;
const MEM: &str = "xen,shared-mem";
const ID: &str = "xen,shm-id";

/// One domain's view of a shared region.
struct Share<'a> {
    at: At<'a>,
    id: &'a str,
    /// Host address, where the file gives one.
    host: Option<u64>,
    size: u64,
    owner: bool,
}

/// Checks the shared memory of `domains`; returns each region with a host address once, with the
/// path of its first node.
pub(crate) fn check<'a>(domains: &[At<'a>], d: &mut Diagnostics) -> Vec<(Range, At<'a>)> {
    let mut shares: Vec<Share<'a>> = Vec::new();
    let mut sound: Vec<At<'a>> = Vec::new();
    for domain in domains {
        let nodes = domain.node.children().map(|node| domain.leaf(node));
        for at in nodes.filter(|at| at.is_compatible(&["xen,domain-shared-memory-v1"])) {
            if sound.len() >= MAX_NODES {
                break;
            }
            let before = d.error_count();
            if let Some(share) = read(&at, domain, d) {
                against(&share, &shares, d);
                shares.push(share);
            }
            if d.error_count() == before {
                sound.push(at);
            }
        }
    }
    let mut regions: Vec<&Share<'a>> = Vec::new();
    for share in &shares {
        if !regions.iter().any(|other| other.id == share.id) {
            regions.push(share);
        }
    }
    if let Some(share) = regions.get(MAX_REGIONS) {
        let what = format!(
            "{} shared regions, at most {MAX_REGIONS} are possible",
            regions.len()
        );
        share
            .at
            .node_error(d, Rule::SharedMemoryRegion, what, "join regions");
    }
    for at in &sound {
        let what = "static shared memory is not supported yet";
        at.node_error(d, Rule::SharedMemory, what, Hint::RemoveNode);
    }
    let placed = regions.into_iter().filter_map(|share| {
        let range = Range::new(share.host?, share.size)?;
        Some((range, share.at.clone()))
    });
    placed.collect()
}

fn read<'a>(at: &At<'a>, domain: &At<'_>, d: &mut Diagnostics) -> Option<Share<'a>> {
    let owner = match at.str("role", Rule::SharedMemoryRegion, d) {
        Some("owner") => true,
        Some("borrower") | None => false,
        Some(_) => {
            let what = "must be \"owner\" or \"borrower\"";
            at.error(
                d,
                Rule::SharedMemoryRegion,
                "role",
                what,
                Hint::set("\"borrower\""),
            );
            false
        }
    };
    let id = id(at, d);
    let (host, guest, size) = place(at, d)?;
    if domain.has("direct-map") && host != Some(guest) {
        let what = match host {
            Some(host) => format!(
                "a direct-mapped domain sees host {host:#x} at the same address, not at {guest:#x}"
            ),
            None => {
                format!("a direct-mapped domain needs the host address, which must be {guest:#x}")
            }
        };
        at.error(
            d,
            Rule::SharedMemoryRegion,
            MEM,
            what,
            "write the same address for host and guest",
        );
    }
    Some(Share {
        at: at.clone(),
        id: id?,
        host,
        size,
        owner,
    })
}

fn id<'a>(at: &At<'a>, d: &mut Diagnostics) -> Option<&'a str> {
    if !at.has(ID) {
        let hint = "give the region a name: xen,shm-id = \"name\"";
        at.error(d, Rule::SharedMemoryRegion, ID, "missing", hint);
        return None;
    }
    let id = at.str(ID, Rule::SharedMemoryRegion, d)?;
    if id.is_empty() || id.len() > ID_MAX {
        let what = format!("has {} characters, 1 to {ID_MAX} are possible", id.len());
        at.error(d, Rule::SharedMemoryRegion, ID, what, "shorten it");
        return None;
    }
    Some(id)
}

/// `xen,shared-mem`: `<[host] guest size>` in the domain's cells.
fn place(at: &At<'_>, d: &mut Diagnostics) -> Option<(Option<u64>, u64, u64)> {
    let form = "write <host-address guest-address size>; the host address may be left out";
    let Some(value) = at.bytes(MEM) else {
        at.error(d, Rule::SharedMemoryRegion, MEM, "missing", form);
        return None;
    };
    let (address, size) = (at.cells.address as usize * 4, at.cells.size as usize * 4);
    let number = |bytes: &[u8]| {
        bytes
            .iter()
            .fold(0u64, |number, byte| (number << 8) | u64::from(*byte))
    };
    let (host, rest) = if value.len() == 2 * address + size {
        let (host, rest) = value.split_at_checked(address)?;
        (Some(number(host)), rest)
    } else if value.len() == address + size {
        (None, value)
    } else {
        let what = format!(
            "{} bytes are neither <guest size> nor <host guest size> with {} address and {} size cells",
            value.len(),
            at.cells.address,
            at.cells.size
        );
        at.error(d, Rule::SharedMemoryRegion, MEM, what, form);
        return None;
    };
    let (guest, bytes) = rest.split_at_checked(address)?;
    let (guest, bytes) = (number(guest), number(bytes));
    let all = [host.unwrap_or(0), guest, bytes];
    let what = if bytes == 0 {
        "has a size of 0"
    } else if all.iter().any(|number| number % PAGE_SIZE != 0) {
        "addresses and size must be multiples of 4 KiB"
    } else if [host.unwrap_or(0), guest]
        .iter()
        .any(|start| Range::new(*start, bytes).is_none())
    {
        "passes the end of 64 bits"
    } else {
        return Some((host, guest, bytes));
    };
    at.error(d, Rule::SharedMemoryRegion, MEM, what, form);
    None
}

/// `share` against those read before: what has the same id is the same region, with one owner.
fn against(share: &Share<'_>, others: &[Share<'_>], d: &mut Diagnostics) {
    for other in others {
        let same_id = other.id == share.id;
        let same_place =
            share.host.is_some() && (share.host, share.size) == (other.host, other.size);
        let (property, what, hint) =
            if same_id && (share.host, share.size) != (other.host, other.size) {
                (
                    MEM,
                    format!(
                        "\"{}\" has another address or size than in {}",
                        share.id, other.at.path
                    ),
                    "host address and size must agree, or take another xen,shm-id",
                )
            } else if same_id && share.owner && other.owner {
                (
                    "role",
                    format!("\"{}\" has an owner already, {}", share.id, other.at.path),
                    "let one be owner, the others \"borrower\"",
                )
            } else if same_place && !same_id {
                (
                    ID,
                    format!("{} calls the same memory \"{}\"", other.at.path, other.id),
                    "give the region one xen,shm-id everywhere",
                )
            } else {
                continue;
            };
        let mut found = share.at.diagnostic(
            Severity::Error,
            Rule::SharedMemoryRegion,
            Some(property),
            what,
            hint.into(),
        );
        found.related = Some(Place {
            path: other.at.path.clone(),
            property: Some(property),
            note: format!("the other one is {}", other.at.path),
        });
        d.push(found);
        return;
    }
}
