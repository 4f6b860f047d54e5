//! The host's RAM, what of it is reserved, and the static heap.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use dtoolkit::Node;
use dtoolkit::fdt::Fdt;

use crate::diag::{Diagnostics, Rule};
use crate::node::{At, Cells, MAX_RANGES};
use crate::range::{Range, merged};

/// A range and whose it is, for messages about overlaps.
#[derive(Clone, Debug)]
pub(crate) struct Claim {
    pub(crate) range: Range,
    pub(crate) kind: ClaimKind,
    /// Path of the node.
    pub(crate) path: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ClaimKind {
    StaticMemory,
    StaticHeap,
    ReservedMemory,
    MemReserve,
}

impl ClaimKind {
    const fn name(self) -> &'static str {
        match self {
            Self::StaticMemory => "xen,static-mem",
            Self::StaticHeap => "xen,static-heap",
            Self::ReservedMemory => "reserved memory",
            Self::MemReserve => "the memory reservation block",
        }
    }

    /// Whether the claim is one that this file makes, not one that the host's firmware made.
    const fn is_ours(self) -> bool {
        matches!(self, Self::StaticMemory | Self::StaticHeap)
    }
}

/// `memory` nodes: children of the root named `memory` or `memory@…` with `device_type = "memory"`.
pub(crate) fn ram(root: &At<'_>, d: &mut Diagnostics) -> Vec<Range> {
    let mut ram = Vec::new();
    for node in root.node.children() {
        let at = root.leaf(node);
        if node.name_without_address() != "memory" || at.bytes("device_type") != Some(b"memory\0") {
            continue;
        }
        if !at.is_okay() {
            at.warn(
                d,
                Rule::Status,
                Some("status"),
                "this memory is ignored",
                "",
            );
            continue;
        }
        if !at.has("reg") {
            at.error(
                d,
                Rule::HostMemory,
                "reg",
                "missing",
                "give the address and size of the RAM",
            );
        }
        extend(&mut ram, &at, root.cells, Rule::HostMemory, d);
    }
    ram
}

/// `/reserved-memory` and the memory reservation block.
pub(crate) fn reserved(fdt: Fdt<'_>, root: &At<'_>, d: &mut Diagnostics) -> Vec<Claim> {
    let mut claims: Vec<Claim> = fdt
        .memory_reservations()
        .take(MAX_RANGES)
        .filter_map(|entry| Range::new(entry.address(), entry.size()))
        .map(|range| Claim {
            range,
            kind: ClaimKind::MemReserve,
            path: String::from("/memreserve/"),
        })
        .collect();
    let Some(node) = root
        .node
        .children()
        .find(|node| node.name() == "reserved-memory")
    else {
        return claims;
    };
    let at = root.child(node, d);
    let mut ranges = Vec::new();
    for node in at.node.children() {
        let child = at.leaf(node);
        if !child.is_okay() {
            continue;
        }
        let before = ranges.len();
        extend(&mut ranges, &child, at.cells, Rule::ReservedMemory, d);
        claims.extend(ranges.iter().skip(before).map(|range| Claim {
            range: *range,
            kind: ClaimKind::ReservedMemory,
            path: child.path.clone(),
        }));
    }
    claims
}

/// `xen,static-heap` of `/chosen`, in the root's cells.
pub(crate) fn static_heap(root: &At<'_>, chosen: &At<'_>, d: &mut Diagnostics) -> Vec<Range> {
    const ALIGN: u64 = 0x1_0000;
    let heap = chosen.ranges("xen,static-heap", root.cells, Rule::StaticHeap, d);
    for range in heap.iter().filter(|range| !range.is_aligned(ALIGN)) {
        let what = format!("{range} does not start and end at a multiple of 64 KiB");
        chosen.error(
            d,
            Rule::StaticHeap,
            "xen,static-heap",
            what,
            "align address and size to 0x10000",
        );
    }
    heap
}

/// `zazen,heap` of `/chosen`: whether the heap is all memory that is left over.
pub(crate) fn heap_all(chosen: &At<'_>, static_heap: &[Range], d: &mut Diagnostics) -> bool {
    const NAME: &str = "zazen,heap";
    let all = match chosen.str(NAME, Rule::Heap, d) {
        None | Some("needed") => false,
        Some("all") => true,
        Some(_) => {
            chosen.error(
                d,
                Rule::Heap,
                NAME,
                "is neither \"needed\" nor \"all\"",
                "write \"all\" for all memory that is left over, or remove it",
            );
            false
        }
    };
    if all && !static_heap.is_empty() {
        chosen.error(
            d,
            Rule::Heap,
            NAME,
            "contradicts xen,static-heap, which bounds the heap",
            "remove one of the two",
        );
    }
    all
}

/// Adds the `reg` of `at`, which is in `cells`.
fn extend(all: &mut Vec<Range>, at: &At<'_>, cells: Cells, rule: Rule, d: &mut Diagnostics) {
    let before = d.error_count();
    let more = at.ranges("reg", cells, rule, d);
    if all.len().saturating_add(more.len()) <= MAX_RANGES {
        all.extend(more);
    } else if d.error_count() == before {
        let what = format!("more than {MAX_RANGES} banks in all nodes of this kind");
        at.error(d, Rule::TooManyRanges, "reg", what, "join banks that touch");
    }
}

/// Reports each pair of claims that overlap where at least one of them is made by the domains file, and each of those that
/// lies outside `ram` (unless that is not known).
pub(crate) fn check(claims: &[Claim], ram: &[Range], d: &mut Diagnostics) {
    for (i, claim) in claims.iter().enumerate() {
        for other in claims.iter().skip(i.saturating_add(1)) {
            if claim.range.overlaps(&other.range) && (claim.kind.is_ours() || other.kind.is_ours())
            {
                report_overlap(claim, other, d);
            }
        }
    }
    if ram.is_empty() {
        return;
    }
    let ram = merged(ram);
    for claim in claims.iter().filter(|claim| claim.kind.is_ours()) {
        let inside =
            |bank: &Range| bank.start <= claim.range.start && claim.range.end() <= bank.end();
        if !ram.iter().any(inside) {
            let what = format!(
                "{} {} is not RAM of this host",
                claim.kind.name(),
                claim.range
            );
            let banks: Vec<String> = ram.iter().map(|bank| format!("{bank}")).collect();
            report(
                claim,
                Rule::NotRam,
                what,
                format!("RAM is {}", banks.join(", ")),
                d,
            );
        }
    }
}

fn report_overlap(claim: &Claim, other: &Claim, d: &mut Diagnostics) {
    let start = claim.range.start.max(other.range.start);
    let end = claim.range.end().min(other.range.end());
    let what = format!(
        "{} {} and {} {} of {} overlap in {start:#x}..{end:#x}",
        claim.kind.name(),
        claim.range,
        other.kind.name(),
        other.range,
        other.path
    );
    let hint = if claim.range.start <= other.range.start {
        format!("start the second at {:#x} or above", claim.range.end())
    } else {
        format!("start the first at {:#x} or above", other.range.end())
    };
    report(claim, Rule::Overlap, what, hint, d);
}

fn report(claim: &Claim, rule: Rule, what: String, hint: String, d: &mut Diagnostics) {
    d.push(crate::diag::Diagnostic {
        severity: crate::diag::Severity::Error,
        rule,
        path: claim.path.clone(),
        property: None,
        value: None,
        what,
        hint,
    });
}
