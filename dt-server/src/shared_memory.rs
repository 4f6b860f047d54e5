//! Static shared memory (dom0less binding, "xen,domain-shared-memory-v1"): regions that domains
//! have together, whose names are the leave that they need for it.
//!
//! Where no node of a region has a role it is nobody's, as with Xen's default owner; else one is
//! the owner and all others are borrowers. Here the difference is on paper alone: the region is RAM
//! of none of them.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use dt_server_api::{DomainRecord, MAX_SHARED};
use dtoolkit::Node;
use hv_types::PAGE_SIZE;

use crate::chosen::Found;
use crate::config::{SharedRegion, View};
use crate::diag::{Diagnostics, Hint, Place, Rule, Severity};
use crate::node::At;
use crate::range::Range;

/// Nodes that are looked at: at most a domain's share of the regions for each domain.
const MAX_NODES: usize = MAX_SHARED * topology::MAX_DOMAINS;
/// Longest `xen,shm-id`, the closing zero not counted.
const ID_MAX: usize = 15;
const MEM: &str = "xen,shared-mem";
const ID: &str = "xen,shm-id";
const ROLE: &str = "role";
/// First address that no guest has.
const GUEST_END: u64 = 1 << 40;

/// What a node says of whose the region is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Owner,
    Borrower,
    /// Nothing.
    Default,
    /// Something that is reported.
    Unknown,
}

/// One domain's view of a shared region.
struct Share<'a> {
    at: At<'a>,
    /// Number of the domain.
    domain: usize,
    id: &'a str,
    /// Host address, where the file gives one.
    host: Option<u64>,
    guest: u64,
    size: u64,
    role: Role,
}

impl Share<'_> {
    fn seen(&self) -> Option<Range> {
        Range::new(self.guest, self.size)
    }
}

/// A region, and its first node.
pub(crate) struct Region<'a> {
    pub(crate) at: At<'a>,
    pub(crate) config: SharedRegion,
}

/// The shared memory of domains: each region once.
pub(crate) fn read<'a>(found: &[Found<'a>], d: &mut Diagnostics) -> Vec<Region<'a>> {
    let mut shares: Vec<Share<'a>> = Vec::new();
    for (number, domain) in found.iter().enumerate() {
        for at in nodes(&domain.at) {
            if shares.len() >= MAX_NODES {
                break;
            }
            let before = d.error_count();
            if let Some(share) = view(&at, number, found, d) {
                against(&share, &shares, d);
                if let Some(config) = domain
                    .draft
                    .config
                    .as_ref()
                    .filter(|_| before == d.error_count())
                {
                    place(&share, &config.record, d);
                }
                shares.push(share);
            }
        }
    }
    let mut regions: Vec<Region<'a>> = Vec::new();
    for share in &shares {
        let view = View {
            domain: share.domain,
            guest: share.guest,
        };
        let owner = (share.role == Role::Owner).then_some(share.domain);
        let mut known = regions.iter_mut();
        match known.find(|region| region.config.id == share.id) {
            Some(Region { config, .. }) => {
                config.owner = config.owner.or(owner);
                config.views.push(view);
            }
            None => regions.push(Region {
                at: share.at.clone(),
                config: SharedRegion {
                    id: String::from(share.id),
                    host: share.host,
                    size: share.size,
                    owner,
                    views: Vec::from([view]),
                },
            }),
        }
    }
    if let Some(region) = regions.get(MAX_SHARED) {
        let what = format!(
            "{} shared regions, at most {MAX_SHARED} are possible",
            regions.len()
        );
        region
            .at
            .node_error(d, Rule::SharedMemoryRegion, what, "join regions");
    }
    for region in &regions {
        roles(region, &shares, d);
    }
    regions
}

/// One owner and borrowers, or neither; and somebody to share with.
fn roles(region: &Region<'_>, shares: &[Share<'_>], d: &mut Diagnostics) {
    let id = &region.config.id;
    let of_region = || shares.iter().filter(|share| share.id == id);
    if of_region().any(|share| share.role == Role::Unknown) {
        return;
    }
    let owner = of_region().find(|share| share.role == Role::Owner);
    let borrower = of_region().find(|share| share.role == Role::Borrower);
    if let (None, Some(borrower)) = (owner, borrower) {
        let what = format!("no domain is the owner of \"{id}\"");
        let hint = "let one domain be \"owner\", or leave role out everywhere: then it is nobody's";
        borrower
            .at
            .error(d, Rule::SharedMemoryOwner, ROLE, what, hint);
        return;
    }
    if let Some(owner) = owner {
        for share in of_region().filter(|share| share.role == Role::Default) {
            let what = format!("\"{id}\" has an owner, and this node no role");
            let hint = "write role = \"borrower\"";
            related(share, owner, ROLE, Rule::SharedMemoryOwner, (what, hint), d);
        }
    }
    if let [view] = region.config.views.as_slice() {
        let what = format!("no other domain has \"{id}\"");
        let hint = "give another domain a node with the same xen,shm-id";
        let share = of_region().find(|share| share.domain == view.domain);
        let at = share.map_or(&region.at, |share| &share.at);
        at.warn(d, Rule::SharedMemoryOwner, Some(ID), &what, hint);
    }
}

/// Where the guest sees it there is nothing else.
fn place(share: &Share<'_>, record: &DomainRecord, d: &mut Diagnostics) {
    let Some(seen) = share.seen() else {
        return;
    };
    let layout = &record.layout;
    let fixed = [
        (
            "the interrupt controller's distributor",
            layout.gicd,
            0x1000,
        ),
        (
            "the interrupt controller's CPU interface",
            layout.gicc,
            0x2000,
        ),
        ("the UART", layout.vpl011, 0x1000),
        (
            "the region for grant tables",
            layout.grant_region,
            layout.grant_region_size,
        ),
        ("the pages of console and store", layout.magic, 0x2000),
    ];
    let banks = record.max_banks.iter();
    let ram = banks.map(|bank| ("RAM", bank.start(), bank.size()));
    let mut others = fixed
        .into_iter()
        .chain(ram)
        .filter_map(|(name, start, size)| Some((name, Range::new(start.raw(), size)?)));
    let what = if seen.end() > GUEST_END {
        format!("{seen} ends above 2^40, which no guest can address")
    } else if let Some((name, other)) = others.find(|(_, other)| other.overlaps(&seen)) {
        format!("{seen} of the guest overlaps {name} at {other}")
    } else {
        return;
    };
    let hint = "move the guest address to where the guest has nothing, as 0x3a000000";
    share.at.error(d, Rule::SharedMemoryPlace, MEM, what, hint);
}

/// Nodes of shared memory of `domain`.
fn nodes<'a>(domain: &At<'a>) -> impl Iterator<Item = At<'a>> {
    let nodes = domain.node.children().map(|node| domain.leaf(node));
    nodes.filter(|at| at.is_compatible(&["xen,domain-shared-memory-v1"]))
}

/// What mends the role of `wrong`, so that it goes together with the roles that others have.
fn proper_role(wrong: &At<'_>, found: &[Found<'_>]) -> Hint {
    let others = || {
        let nodes = found.iter().flat_map(|domain| nodes(&domain.at));
        nodes.filter(|at| at.path != wrong.path && at.bytes(ID) == wrong.bytes(ID))
    };
    let is_one = |role: &[u8]| others().any(|at| at.bytes(ROLE) == Some(role));
    if is_one(b"owner\0") {
        Hint::set("\"borrower\"")
    } else if is_one(b"borrower\0") {
        Hint::set("\"owner\"")
    } else {
        Hint::Remove
    }
}

fn view<'a>(
    at: &At<'a>,
    number: usize,
    found: &[Found<'_>],
    d: &mut Diagnostics,
) -> Option<Share<'a>> {
    let role = match at.str(ROLE, Rule::SharedMemoryRegion, d) {
        Some("owner") => Role::Owner,
        Some("borrower") => Role::Borrower,
        None => Role::Default,
        Some(_) => {
            let what = "must be \"owner\" or \"borrower\"";
            let hint = proper_role(at, found);
            at.error(d, Rule::SharedMemoryRegion, ROLE, what, hint);
            Role::Unknown
        }
    };
    let id = id(at, d);
    let (host, guest, size) = numbers(at, d)?;
    // DM-9
    let is_direct = found
        .get(number)
        .is_some_and(|domain| domain.at.has("direct-map"));
    if is_direct && host != Some(guest) {
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
        domain: number,
        id: id?,
        host,
        guest,
        size,
        role,
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
fn numbers(at: &At<'_>, d: &mut Diagnostics) -> Option<(Option<u64>, u64, u64)> {
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

/// `share` against those read before: what has the same id is the same region, once in each domain
/// and with one owner, and in one domain no two are at one place.
fn against(share: &Share<'_>, others: &[Share<'_>], d: &mut Diagnostics) {
    for other in others {
        let same_id = other.id == share.id;
        let same_domain = other.domain == share.domain;
        let same_place =
            share.host.is_some() && (share.host, share.size) == (other.host, other.size);
        let overlap = || Some(share.seen()?.overlaps(&other.seen()?));
        let region = Rule::SharedMemoryRegion;
        let (rule, property, what, hint) =
            if same_id && (share.host, share.size) != (other.host, other.size) {
                (
                    region,
                    MEM,
                    format!(
                        "\"{}\" has another address or size than in {}",
                        share.id, other.at.path
                    ),
                    "host address and size must agree, or take another xen,shm-id",
                )
            } else if same_id && same_domain {
                (
                    region,
                    ID,
                    format!("this domain has \"{}\" already", share.id),
                    "remove one of the two nodes",
                )
            } else if same_id && share.role == Role::Owner && other.role == Role::Owner {
                (
                    Rule::SharedMemoryOwner,
                    ROLE,
                    format!("\"{}\" has an owner already, {}", share.id, other.at.path),
                    "let one be owner, the others \"borrower\"",
                )
            } else if same_place && !same_id {
                (
                    region,
                    ID,
                    format!("{} calls the same memory \"{}\"", other.at.path, other.id),
                    "give the region one xen,shm-id everywhere",
                )
            } else if same_domain && overlap() == Some(true) {
                (
                    Rule::SharedMemoryPlace,
                    MEM,
                    format!("the guest has \"{}\" there", other.id),
                    "move one of the two guest addresses",
                )
            } else {
                continue;
            };
        related(share, other, property, rule, (what, hint), d);
        return;
    }
}

/// Reports `share`, and shows `other` beside it.
fn related(
    share: &Share<'_>,
    other: &Share<'_>,
    property: &'static str,
    rule: Rule,
    (what, hint): (String, &str),
    d: &mut Diagnostics,
) {
    let property = Some(property);
    let mut found = share
        .at
        .diagnostic(Severity::Error, rule, property, what, hint.into());
    found.related = Some(Place {
        path: other.at.path.clone(),
        property,
        note: format!("the other one is {}", other.at.path),
    });
    d.push(found);
}
