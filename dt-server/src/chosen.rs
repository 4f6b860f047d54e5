//! `/chosen`: the domains, and what Xen finds there besides.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use board::{Board, Target};
use dtoolkit::Node;
use hv_types::BLOCK_SIZE;
use peer_server_api::StaticChannel;
use topology::MAX_DOMAINS;

use crate::config::Files;
use crate::diag::{Diagnostics, Edit, Hint, Rule};
use crate::direct::Host;
use crate::domain::{self, Draft};
use crate::node::At;
use crate::range::{Range, total};
use crate::shared_memory::{self, Region};
use crate::{binding, known, pair, static_evtchn};

/// A domain's draft and its node.
pub(crate) struct Found<'a> {
    pub(crate) at: At<'a>,
    pub(crate) draft: Draft<'a>,
}

/// Reads `/chosen`.
pub(crate) fn read<'a>(
    chosen: &At<'a>,
    host: &Host,
    files: &dyn Files,
    d: &mut Diagnostics,
) -> Vec<Found<'a>> {
    known::check(chosen, binding::CHOSEN, d);
    properties(chosen, d);
    let mut found: Vec<Found<'a>> = Vec::new();
    let mut names: Vec<&str> = Vec::new();
    let mut surplus: Vec<At<'a>> = Vec::new();
    for node in chosen.node.children() {
        let leaf = chosen.leaf(node);
        if !leaf.is_compatible(&["xen,domain"]) {
            other_child(&leaf, d);
            continue;
        }
        if !leaf.is_okay() {
            leaf.warn(
                d,
                Rule::Status,
                Some("status"),
                "the domain is skipped and gets no domain id",
                "",
            );
            continue;
        }
        let at = chosen.child(node, d);
        if found.len() == MAX_DOMAINS {
            surplus.push(at);
            continue;
        }
        let name = node.name_without_address();
        if names.contains(&name) {
            let what =
                format!("another domain is named \"{name}\" (what follows @ does not count)");
            at.node_error(d, Rule::Name, what, "give each domain a name of its own");
        }
        names.push(name);
        let domid = u16::try_from(found.len())
            .unwrap_or(u16::MAX)
            .saturating_add(1);
        let draft = domain::read(&at, chosen.cells, domid, host, files, d);
        found.push(Found { at, draft });
    }
    if let Some(first) = surplus.first() {
        let (count, domains) = match surplus.len() {
            1 => (1, "domain"),
            count => (count, "domains"),
        };
        let what = format!("{count} {domains} too many: a system has at most {MAX_DOMAINS}");
        let hint = match count {
            1 => "remove one, or set status = \"disabled\"",
            _ => "remove some, or set status = \"disabled\"",
        };
        first.node_error(d, Rule::TooManyDomains, what, hint);
        // Their other mistakes are reported as well; none of them gets a domain id.
        for at in surplus {
            let _ = domain::read(&at, chosen.cells, u16::MAX, host, files, d);
        }
    }
    if found.is_empty() {
        let hint = "add a child node with compatible = \"xen,domain\"";
        chosen.node_error(d, Rule::NoDomain, "has no domain", hint);
    }
    found
}

/// Reports a static heap that cannot hold the RAM and the extra pages that come from it (SH-1), in
/// whole blocks as the memory server takes them.
pub(crate) fn heap_fits(chosen: &At<'_>, heap: &[Range], found: &[Found<'_>], d: &mut Diagnostics) {
    let have = total(heap);
    let blocks = |bytes: u64| {
        bytes
            .checked_next_multiple_of(BLOCK_SIZE)
            .unwrap_or(u64::MAX)
    };
    let mut need = 0u64;
    let mut extra = 0u64;
    let mut users: Vec<String> = Vec::new();
    for domain in found {
        if domain.draft.heap > 0 {
            // Its RAM and one block for splits, as `heap_bytes` counts.
            need = need
                .saturating_add(blocks(domain.draft.heap))
                .saturating_add(BLOCK_SIZE);
            let name = domain.at.path.rsplit('/').next().unwrap_or_default();
            users.push(format!("RAM of {name} ({} KiB)", domain.draft.heap >> 10));
        }
        let pages = domain
            .draft
            .config
            .as_ref()
            .map_or(0, |config| config.extra);
        extra = extra.saturating_add(pages);
    }
    if heap.is_empty() || need.saturating_add(blocks(extra)) <= have {
        return;
    }
    users.push(String::from("2 MiB for each of them to split blocks with"));
    users.push(format!("extra pages of all domains ({} KiB)", extra >> 10));
    let what = format!(
        "{} come from the heap in whole 2 MiB, which has {} KiB",
        users.join(", "),
        have >> 10
    );
    let hint = "make the heap larger, or give a domain xen,static-mem";
    chosen.error(d, Rule::HeapTooSmall, "xen,static-heap", what, hint);
}

/// What the image is for: `wanted`, which the tree must not contradict, else what the tree says.
pub(crate) fn target(chosen: &At<'_>, wanted: Option<Target>, d: &mut Diagnostics) -> Target {
    let board = board(chosen, wanted.map(|target| target.board), d);
    let before = d.error_count();
    let told = if chosen.has(board::CORES_PROPERTY) {
        chosen.u32(board::CORES_PROPERTY, Rule::Board, d)
    } else {
        None
    };
    let cores = u8::try_from(told.unwrap_or(1)).unwrap_or(0);
    let is_possible = (1..=board.cores).contains(&cores);
    if !is_possible && d.error_count() == before {
        let what = format!("{} has {} cores", board.name, board.cores);
        let hint = "remove it: the image builder writes it";
        chosen.error(d, Rule::Board, board::CORES_PROPERTY, what, hint);
    }
    let found = if is_possible { cores } else { 1 };
    let cores = wanted.map_or(found, |target| target.cores.clamp(1, board.cores));
    Target { board, cores }
}

/// The board: `wanted`, which the tree must not contradict, else the one that the tree names.
fn board(chosen: &At<'_>, wanted: Option<&'static Board>, d: &mut Diagnostics) -> &'static Board {
    let name = chosen.str(board::PROPERTY, Rule::Board, d);
    let found = name.and_then(Board::by_name);
    if name.is_some() && found.is_none() {
        let known: Vec<&str> = board::BOARDS.iter().map(|board| board.name).collect();
        let hint = format!("known are: {}", known.join(", "));
        chosen.error(
            d,
            Rule::Board,
            board::PROPERTY,
            "there is no board of this name",
            hint,
        );
    }
    if let (Some(wanted), Some(found)) = (wanted, found)
        && wanted != found
    {
        let what = format!("this is for another board than {}", wanted.name);
        let hint = format!("remove it, or choose --board {}", found.name);
        chosen.error(d, Rule::Board, board::PROPERTY, what, hint);
    }
    wanted.or(found).unwrap_or(board::DEFAULT)
}

/// What domains have in common: shared memory, and event channels.
pub(crate) fn links<'a>(
    found: &[Found<'a>],
    d: &mut Diagnostics,
) -> (Vec<Region<'a>>, Vec<StaticChannel>) {
    let domains: Vec<At<'a>> = found.iter().map(|found| found.at.clone()).collect();
    let channels = static_evtchn::read(&domains, d);
    (shared_memory::read(found, d), channels)
}

fn properties(chosen: &At<'_>, d: &mut Diagnostics) {
    for property in ["xen,xen-bootargs", "bootargs"] {
        if chosen.bytes(property).is_some_and(|value| value.len() > 1) {
            let what = "Zazen has no options; they are ignored";
            chosen.warn(
                d,
                Rule::XenOptions,
                Some(property),
                what,
                "a guest's command line belongs to its kernel's node",
            );
        }
    }
    for property in [
        "xen,dom0-bootargs",
        "linux,initrd-start",
        "linux,initrd-end",
        "xen,uefi-cfg-load",
    ] {
        if chosen.has(property) {
            chosen.warn(
                d,
                Rule::Dom0,
                Some(property),
                "there is no dom0; it is ignored",
                "",
            );
        }
    }
}

fn other_child(at: &At<'_>, d: &mut Diagnostics) {
    // It is a module too, but not one of dom0's: Xen's policy is for all domains.
    if at.is_compatible(&["xen,xsm-policy"]) {
        at.warn(
            d,
            Rule::Xsm,
            None,
            "XSM is not supported: the policy has no effect",
            Hint::Do(
                String::from("remove the node; what a domain may do is in its own properties"),
                Edit::RemoveNode,
            ),
        );
    } else if at.is_compatible(&[
        "multiboot,module",
        "xen,multiboot-module",
        "multiboot,kernel",
        "xen,linux-zimage",
    ]) {
        let hint = "make it a domain: put the module into a node with compatible = \"xen,domain\"";
        at.node_error(
            d,
            Rule::Dom0,
            "is a module of dom0, and there is no dom0",
            hint,
        );
    } else if at.is_compatible(&[pair::COMPATIBLE]) {
        // Read when all domains are known.
    } else if at.is_compatible(&["xen,cpupool"]) {
        at.warn(
            d,
            Rule::CpuPool,
            None,
            "CPU pools are not supported; the node is ignored",
            "",
        );
    } else if at.is_compatible(&["xen,domain-shared-memory-v1", "xen,evtchn-v1", "xen,evtchn"]) {
        at.warn(
            d,
            Rule::Dom0,
            None,
            "is for dom0, and there is no dom0; the node is ignored",
            "",
        );
    } else {
        let hint = "a domain needs compatible = \"xen,domain\"";
        at.warn(
            d,
            Rule::Unknown,
            None,
            "this node is not known here and is ignored",
            hint,
        );
    }
}
