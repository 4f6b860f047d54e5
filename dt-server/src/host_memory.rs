//! The host's RAM, what of it is reserved, and the static heap.

use alloc::borrow::Cow;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use dtoolkit::Node;
use dtoolkit::fdt::Fdt;

use hv_types::{BLOCK_SIZE, PAGE_SIZE};

use crate::diag::{Diagnostic, Diagnostics, Edit, Hint, MAX_DIAGNOSTICS, Place, Rule, Severity};
use crate::node::{At, Cells, MAX_RANGES};
use crate::range::{Range, merged};

/// Host memory that is in use, and its user.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Claim {
    /// The memory.
    pub range: Range,
    /// What it is for.
    pub kind: ClaimKind,
    /// Path of the node that says so.
    pub path: String,
}

/// What a [`Claim`] is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ClaimKind {
    /// `xen,static-mem` of a domain.
    StaticMemory,
    /// `xen,static-heap`.
    StaticHeap,
    /// A module that a boot loader has put there (`reg`).
    Module,
    /// Shared by domains (`xen,shared-mem`).
    SharedMemory,
    /// A child of `/reserved-memory`.
    ReservedMemory,
    /// An entry of the memory reservation block.
    MemReserve,
}

impl ClaimKind {
    /// In words.
    pub const fn name(self) -> &'static str {
        match self {
            Self::StaticMemory => "xen,static-mem",
            Self::StaticHeap => "xen,static-heap",
            Self::Module => "the module",
            Self::SharedMemory => "xen,shared-mem",
            Self::ReservedMemory => "reserved memory",
            Self::MemReserve => "the memory reservation block",
        }
    }

    /// The property that says it; `None` for the memory reservation block.
    pub const fn property(self) -> Option<&'static str> {
        match self {
            Self::StaticMemory => Some("xen,static-mem"),
            Self::StaticHeap => Some("xen,static-heap"),
            Self::SharedMemory => Some("xen,shared-mem"),
            Self::Module | Self::ReservedMemory => Some("reg"),
            Self::MemReserve => None,
        }
    }

    /// Whether the claim is one that this file makes, not one that the host's firmware made.
    pub const fn is_ours(self) -> bool {
        !matches!(self, Self::ReservedMemory | Self::MemReserve)
    }

    /// What a claim of this kind should be aligned to, where the file can move it by an edit of one
    /// property.
    const fn align(self) -> Option<u64> {
        match self {
            Self::StaticMemory => Some(BLOCK_SIZE),
            Self::StaticHeap => Some(HEAP_ALIGN),
            _ => None,
        }
    }
}

/// With more claims than this no place is proposed: the search is quadratic.
const CLAIMS_MOVED: usize = 64;
/// What a static heap starts and ends at a multiple of (Xen's documentation of `xen,static-heap`).
/// (SH-2)
const HEAP_ALIGN: u64 = 0x1_0000;

/// `memory` nodes: children of the root named `memory` or `memory@…` with `device_type = "memory"`.
pub(crate) fn ram(root: &At<'_>, d: &mut Diagnostics) -> Vec<Range> {
    let mut ram = Vec::new();
    for node in root.node.children() {
        let at = root.leaf(node);
        if node.name_without_address() != "memory" {
            if at.bytes("device_type") == Some(b"memory\0") {
                at.warn(
                    d,
                    Rule::HostMemory,
                    None,
                    "is no memory node, whatever its device_type: it is ignored",
                    "call it memory, or memory@ and its address",
                );
            }
            continue;
        }
        if at.bytes("device_type") != Some(b"memory\0") {
            at.warn(
                d,
                Rule::HostMemory,
                Some("device_type"),
                "without \"memory\" here this is no memory node",
                Hint::set("\"memory\""),
            );
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
    let heap = chosen.ranges("xen,static-heap", root.cells, Rule::StaticHeap, d);
    for range in heap.iter().filter(|range| !range.is_aligned(HEAP_ALIGN)) {
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
                Hint::set("\"needed\""),
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
            Hint::Do(String::from("remove one of the two"), Edit::Remove(NAME)),
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

/// Reports each pair of claims that overlap where at least one of them is made by the domains file,
/// and each of those that lies outside `ram` (unless that is not known). Heaps are written in the
/// cells `root`, static memory in those of `/chosen`.
pub(crate) fn check(
    claims: &[Claim],
    ram: &[Range],
    root: Cells,
    chosen: Cells,
    d: &mut Diagnostics,
) {
    let ram = merged(ram);
    let mut overlaps = Vec::new();
    let mut surplus = 0usize;
    for (i, claim) in claims.iter().enumerate() {
        for other in claims.iter().skip(i.saturating_add(1)) {
            if claim.range.overlaps(&other.range) && (claim.kind.is_ours() || other.kind.is_ours())
            {
                // A tree can have a million of them; those that are not reported are counted.
                if overlaps.len() < MAX_DIAGNOSTICS {
                    overlaps.push(who_moves(claim, other));
                } else {
                    surplus += 1;
                }
            }
        }
    }
    let inside = |claim: &Claim| {
        ram.iter()
            .any(|bank| bank.start <= claim.range.start && claim.range.end() <= bank.end())
    };
    let ours = claims.iter().filter(|claim| claim.kind.is_ours());
    let outside: Vec<&Claim> = ours
        .filter(|claim| !ram.is_empty() && !inside(claim))
        .collect();
    let mut found = Found {
        claims,
        ram: &ram,
        root,
        chosen,
        proposed: Vec::new(),
    };
    if claims.len() <= CLAIMS_MOVED {
        for (fixed, moves) in &overlaps {
            found.propose(moves, fixed.range.end());
        }
        for claim in &outside {
            found.propose(claim, 0);
        }
    }
    for (fixed, moves) in overlaps {
        found.overlap(fixed, moves, d);
    }
    d.drop_errors(surplus);
    for claim in outside {
        let banks: Vec<String> = ram.iter().map(|bank| format!("{bank}")).collect();
        let what = format!("{} is not RAM of this host", claim.range);
        let hint = found.moved(claim, format!("RAM is {}", banks.join(", ")));
        d.push(diagnostic(claim, Rule::NotRam, what, hint, None));
    }
}

/// Of two claims that overlap, the one that stays and the one that has to move: the one that starts
/// later, if it can.
fn who_moves<'a>(claim: &'a Claim, other: &'a Claim) -> (&'a Claim, &'a Claim) {
    match (claim.kind.align(), other.kind.align()) {
        (None, Some(_)) => (claim, other),
        (Some(_), None) => (other, claim),
        _ if other.kind.is_ours() && (claim.range.start <= other.range.start) => (claim, other),
        _ if claim.kind.is_ours() => (other, claim),
        _ => (claim, other),
    }
}

/// Everything that a proposal has to keep clear of, and how it is written.
struct Found<'a> {
    claims: &'a [Claim],
    ram: &'a [Range],
    root: Cells,
    chosen: Cells,
    /// Where claims are to move to: all proposals together must mend the file.
    proposed: Vec<(&'a Claim, Range)>,
}

impl<'a> Found<'a> {
    fn overlap(&self, fixed: &Claim, moves: &Claim, d: &mut Diagnostics) {
        let (claim, other) = (fixed, moves);
        let start = claim.range.start.max(other.range.start);
        let end = claim.range.end().min(other.range.end());
        let what = format!(
            "{} and {} {} of {} overlap in {start:#x}..{end:#x} ({})",
            moves.range,
            fixed.kind.name(),
            fixed.range,
            fixed.path,
            amount(end - start),
        );
        let hint = format!("start it at {:#x} or above", fixed.range.end());
        let hint = self.moved(moves, hint);
        let place = Place {
            path: fixed.path.clone(),
            property: fixed.kind.property(),
            note: format!("{} {}", fixed.kind.name(), fixed.range),
        };
        d.push(diagnostic(moves, Rule::Overlap, what, hint, Some(place)));
    }

    /// Looks for a place for `claim` where it collides with nothing: at `wanted` or above, else
    /// anywhere.
    fn propose(&mut self, claim: &'a Claim, wanted: u64) {
        let Some(align) = claim.kind.align() else {
            return;
        };
        if self.proposal(claim).is_some() {
            return;
        }
        let place = self
            .room(claim, wanted, align)
            .or_else(|| self.room(claim, 0, align));
        self.proposed.extend(place.map(|place| (claim, place)));
    }

    /// Where `claim` is to move to.
    fn proposal(&self, claim: &Claim) -> Option<Range> {
        let mut all = self.proposed.iter();
        all.find(|(moved, _)| core::ptr::eq(*moved, claim))
            .map(|(_, place)| *place)
    }

    /// `words`, and an edit that moves `claim`, with every part of its property that must move, to
    /// free memory.
    fn moved(&self, claim: &Claim, words: String) -> Hint {
        let (Some(place), Some(property)) = (self.proposal(claim), claim.kind.property()) else {
            return Hint::Say(words);
        };
        let cells = match claim.kind {
            ClaimKind::StaticHeap => self.root,
            _ => self.chosen,
        };
        let of_node = |other: &&Claim| other.path == claim.path && other.kind == claim.kind;
        let ranges = self.claims.iter().filter(of_node);
        let ranges = ranges.map(|other| self.proposal(other).unwrap_or(other.range));
        let value: Vec<String> = ranges.map(|range| range.written(cells)).collect();
        let value = value.join(", ");
        Hint::Do(
            format!("{words}: {:#x} is free", place.start),
            Edit::Set { property, value },
        )
    }

    /// The first place for `claim` from `from` on, aligned to `align`, that is RAM and nobody's,
    /// now or by a proposal.
    fn room(&self, claim: &Claim, from: u64, align: u64) -> Option<Range> {
        let others = || {
            self.claims
                .iter()
                .filter(|other| !core::ptr::eq(*other, claim))
                .map(|other| other.range)
                .chain(self.proposed.iter().map(|(_, place)| *place))
        };
        let ends = others().map(|other| other.end());
        let mut starts: Vec<u64> = ends
            .chain(self.ram.iter().map(|bank| bank.start))
            .chain([from])
            .filter(|start| *start >= from)
            .filter_map(|start| start.checked_next_multiple_of(align))
            .collect();
        starts.sort_unstable();
        let free = |range: &Range| {
            self.ram
                .iter()
                .any(|bank| bank.start <= range.start && range.end() <= bank.end())
                && !others().any(|other| other.overlaps(range))
        };
        starts
            .into_iter()
            .filter_map(|start| Range::new(start, claim.range.size))
            .find(free)
    }
}

/// Bytes in words.
fn amount(bytes: u64) -> String {
    match bytes {
        PAGE_SIZE => String::from("4 KiB, one page"),
        _ if bytes.is_multiple_of(1 << 20) => format!("{} MiB", bytes >> 20),
        _ if bytes.is_multiple_of(1024) => format!("{} KiB", bytes / 1024),
        _ => format!("{bytes} bytes"),
    }
}

fn diagnostic(
    claim: &Claim,
    rule: Rule,
    what: String,
    hint: Hint,
    related: Option<Place>,
) -> Diagnostic {
    let property = claim.kind.property();
    let (hint, edit) = hint.resolve(property);
    Diagnostic {
        severity: Severity::Error,
        rule,
        path: claim.path.clone(),
        property: property.map(Cow::Borrowed),
        value: Some(String::new()),
        what,
        hint,
        edit,
        related,
    }
}
