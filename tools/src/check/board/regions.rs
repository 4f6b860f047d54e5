//! Memory that a domains file assigns, and what the board uses it for.

use board::{Area, Board};
use dt_server::{Claim, ClaimKind, Edit, Survey};
use dtoolkit::fdt::Fdt;
use dtoolkit::{Node, Property};

use super::{mistake, not_ram, overlaps, shown, within};
use crate::check::mistake::{Fix, Mistake, Severity};
use crate::check::rules::HostRule;
use crate::check::tree::Source;

/// Checks one claim on host memory.
pub(super) fn claimed(
    claim: &Claim,
    survey: &Survey,
    tree: Option<Fdt<'_>>,
    board: &'static Board,
    source: &mut Source<'_>,
    found: &mut Vec<Mistake>,
) {
    let range = &claim.range;
    let place = (claim.path.as_str(), claim.kind.property());
    if let Some(mistake) = not_ram(range, place, board, source) {
        // Where the memory nodes show that already, only a device is news.
        if survey.memory.is_empty() || mistake.rule == HostRule::Device.info() {
            found.push(mistake);
        }
        return;
    }
    if claim.kind != ClaimKind::StaticMemory {
        return;
    }
    let Some(kernel) = board.kernel_ram.iter().find(|area| overlaps(range, area)) else {
        return;
    };
    let owned = shown(&[*kernel]);
    if !within(range, &[*kernel]) {
        let message = format!(
            "{range} is partly in {owned}, which seL4 owns, and partly outside: its two halves would behave differently"
        );
        let hint =
            String::from("write it as two ranges that meet at the border, or keep to one side");
        let mut split = mistake(
            HostRule::KernelRamBorder,
            Severity::Error,
            place,
            &message,
            hint,
            source,
        );
        split.fix = divided(claim, survey, kernel, tree, source);
        found.push(split);
        return;
    }
    let free: Vec<Area> = outside(board);
    if free.is_empty() {
        // All RAM of the board is like that.
        return;
    }
    let hint = format!("RAM that seL4 does not own: {}", shown(&free));
    let direct = tree
        .and_then(|tree| tree.find_node(&claim.path))
        .is_some_and(|node| node.property("direct-map").is_some());
    let message = if direct {
        format!(
            "{range} is in {owned}, which seL4 owns: it is zeroed at boot, and this direct-mapped domain gets it in 4 KiB pages"
        )
    } else {
        format!(
            "{range} is in {owned}, which seL4 owns: it is zeroed at boot, and blocks of 2 MiB are split by copying"
        )
    };
    found.push(mistake(
        HostRule::KernelRam,
        Severity::Note,
        place,
        &message,
        hint,
        source,
    ));
}

/// The parts of the board's RAM that seL4 does not own.
fn outside(board: &Board) -> Vec<Area> {
    let mut free: Vec<Area> = board.ram.to_vec();
    for kernel in board.kernel_ram {
        let cut = |area: Area| {
            let below = Area::new(
                area.start,
                kernel.start.clamp(area.start, area.end()) - area.start,
            );
            let from = kernel.end().clamp(area.start, area.end());
            [below, Area::new(from, area.end() - from)]
        };
        free = free
            .into_iter()
            .flat_map(cut)
            .filter(|area| area.size > 0)
            .collect();
    }
    free
}

/// The property with `claim` cut where the kernel's memory begins or ends; cells are those of
/// `/chosen`.
fn divided(
    claim: &Claim,
    survey: &Survey,
    kernel: &Area,
    tree: Option<Fdt<'_>>,
    source: &mut Source<'_>,
) -> Option<Fix> {
    let tree = tree?;
    let cells = |name: &str, default| {
        let of = |path: &str| tree.find_node(path)?.property(name)?.value_as::<u32>().ok();
        of("/chosen").or_else(|| of("/")).unwrap_or(default)
    };
    let (address, size) = (cells("#address-cells", 2), cells("#size-cells", 1));
    let number = |number: u64, cells: u32| match cells {
        1 => format!("{number:#x}"),
        _ => format!("{:#x} {:#x}", number >> 32, number & 0xffff_ffff),
    };
    let mut parts = Vec::new();
    let own = |other: &&Claim| other.path == claim.path && other.kind == claim.kind;
    for other in survey.claims.iter().filter(own) {
        let range = other.range;
        let mut cuts = vec![range.start];
        if other == claim {
            let borders = [kernel.start, kernel.end()];
            cuts.extend(
                borders
                    .into_iter()
                    .filter(|at| range.start < *at && *at < range.end()),
            );
        }
        cuts.push(range.end());
        for pair in cuts.windows(2) {
            parts.push(format!(
                "<{} {}>",
                number(pair[0], address),
                number(pair[1] - pair[0], size)
            ));
        }
    }
    let edit = Edit::Set {
        property: "xen,static-mem",
        value: parts.join(", "),
    };
    source.edit(&claim.path, &edit)
}
