//! What the board has to say about a domains file.

mod regions;

use board::{Area, Board};
use dt_server::{ClaimKind, Config, Edit, Range, Survey, too_many};
use dtoolkit::fdt::{Fdt, FdtNode};
use dtoolkit::{Node, Property, ToCellInt};

use super::mistake::{Mistake, Severity};
use super::rules::HostRule;
use super::tree::{Source, subject};
use crate::{generate, limits};

/// Checks `survey` against `board`; `tree` is the compiled file, where it could be read.
pub(super) fn mistakes(
    survey: &Survey,
    tree: Option<Fdt<'_>>,
    board: &'static Board,
    source: &mut Source<'_>,
) -> Vec<Mistake> {
    let mut found = Vec::new();
    memory_nodes(tree, board, source, &mut found);
    for claim in survey.claims.iter().filter(|claim| claim.kind.is_ours()) {
        regions::claimed(claim, survey, tree, board, source, &mut found);
    }
    if let Some(tree) = tree {
        passthrough(tree, board, source, &mut found);
    }
    if let Ok(config) = &survey.result {
        heap(config, survey, tree, board, source, &mut found);
        // What has no room in memory has none in the address space of a server.
        let has_room = found
            .iter()
            .all(|mistake| mistake.rule != HostRule::HeapRoom.info());
        if has_room {
            for limit in limits::check(&generate::system(config, board)) {
                found.push(Mistake::of_file(HostRule::Microkit.info(), limit, ""));
            }
        }
    }
    found
}

fn overlaps(range: &Range, area: &Area) -> bool {
    range.start < area.end() && area.start < range.end()
}

fn within(range: &Range, areas: &[Area]) -> bool {
    areas
        .iter()
        .any(|area| area.start <= range.start && range.end() <= area.end())
}

fn shown(areas: &[Area]) -> String {
    let all: Vec<String> = areas
        .iter()
        .map(|area| format!("{:#x}..{:#x}", area.start, area.end()))
        .collect();
    all.join(", ")
}

/// The device of the board that `range` touches first.
fn device(range: &Range, board: &Board) -> Option<&'static str> {
    let named = [
        ("the UART", board.uart.registers),
        (
            "the interrupt controller's distributor",
            board.gic.distributor,
        ),
        ("the interrupt controller's CPU interface", board.gic.cpu),
        (
            "the interrupt controller's virtual interface",
            board.gic.control,
        ),
        (
            "the interrupt controller's virtual CPU interface",
            board.gic.virtual_cpu,
        ),
    ];
    let hit = named.iter().find(|(_, area)| overlaps(range, area));
    hit.map(|(name, _)| *name).or_else(|| {
        board
            .devices
            .iter()
            .any(|area| overlaps(range, area))
            .then_some("a device")
    })
}

fn mistake(
    rule: HostRule,
    severity: Severity,
    (path, property): (&str, Option<&str>),
    message: &str,
    hint: String,
    source: &mut Source<'_>,
) -> Mistake {
    let of = property.map_or_else(String::new, |property| format!("{property}: "));
    Mistake {
        severity,
        at: source.place(path, property),
        path: path.to_owned(),
        property: property.map(str::to_owned),
        label: String::from("here"),
        ..Mistake::of_file(
            rule.info(),
            format!("{}: {of}{message}", subject(path)),
            &hint,
        )
    }
}

/// What `range` of `what` touches that is no RAM of the board.
fn not_ram(
    range: &Range,
    place: (&str, Option<&str>),
    board: &'static Board,
    source: &mut Source<'_>,
) -> Option<Mistake> {
    if within(range, board.ram) {
        return None;
    }
    let mut hint = format!("the RAM of {} is {}", board.name, shown(board.ram));
    let other = ::board::BOARDS
        .iter()
        .find(|other| within(range, other.ram));
    if let Some(other) = other {
        hint = format!("{hint}; on {0} it would be RAM (--board {0})", other.name);
    }
    let (rule, message) = match device(range, board) {
        Some(device) => (
            HostRule::Device,
            format!("{range} is not RAM of {}: {device} is there", board.name),
        ),
        None => (
            HostRule::BoardRam,
            format!("{range} is not RAM of {}", board.name),
        ),
    };
    Some(mistake(
        rule,
        Severity::Error,
        place,
        &message,
        hint,
        source,
    ))
}

fn memory_nodes(
    tree: Option<Fdt<'_>>,
    board: &'static Board,
    source: &mut Source<'_>,
    found: &mut Vec<Mistake>,
) {
    let Some(tree) = tree else { return };
    let root = tree.root();
    let cells = |name, default| {
        let cell = root
            .property(name)
            .and_then(|cells| cells.value_as::<u32>().ok());
        cell.unwrap_or(default).min(2) as usize
    };
    let fields = [cells("#address-cells", 2), cells("#size-cells", 1)];
    for node in root.children() {
        let is_memory =
            node.name_without_address() == "memory" && node.property("device_type").is_some();
        let reg = node.property("reg").filter(|_| is_memory);
        let Some(Ok(entries)) = reg.map(|reg| reg.as_prop_encoded_array(fields)) else {
            continue;
        };
        let path = format!("/{}", node.name());
        for [address, size] in entries {
            let range = address.to_int::<u64>().ok().zip(size.to_int::<u64>().ok());
            let range = range.and_then(|(start, size)| Range::new(start, size));
            let place = (path.as_str(), Some("reg"));
            found.extend(range.and_then(|range| not_ram(&range, place, board, source)));
        }
    }
}

/// Devices that are passed through need an SMMU.
fn passthrough(
    tree: Fdt<'_>,
    board: &'static Board,
    source: &mut Source<'_>,
    found: &mut Vec<Mistake>,
) {
    if board.smmu {
        return;
    }
    let Some(chosen) = tree.find_node("/chosen") else {
        return;
    };
    let is = |node: &FdtNode<'_>, name: &str| {
        node.compatible()
            .is_some_and(|mut list| list.any(|entry| entry == name))
    };
    for domain in chosen.children().filter(|node| is(node, "xen,domain")) {
        let enabled = domain
            .property("passthrough")
            .and_then(|value| value.value_as::<&str>().ok())
            == Some("enabled");
        if !enabled {
            continue;
        }
        let path = format!("/chosen/{}", domain.name());
        let place = (path.as_str(), Some("passthrough"));
        let message = format!("{} has no SMMU that could confine a device", board.name);
        let hint = String::from("passthrough = \"disabled\"; the domain runs without host devices");
        let mut mistake = mistake(
            HostRule::Smmu,
            Severity::Error,
            place,
            &message,
            hint,
            source,
        );
        let edit = Edit::Set {
            property: "passthrough",
            value: String::from("\"disabled\""),
        };
        mistake.fix = source.edit(&path, &edit);
        found.push(mistake);
    }
}

/// The path of the domain `name`: its node may have a unit address.
fn path_of(name: &str, tree: Option<Fdt<'_>>) -> String {
    let chosen = tree.and_then(|tree| tree.find_node("/chosen"));
    let node = chosen.and_then(|chosen| {
        let mut nodes = chosen.children();
        nodes.find(|node| node.name_without_address() == name)
    });
    let name = node.as_ref().map_or(name, |node| node.name());
    format!("/chosen/{name}")
}

/// What must come from the kernel's RAM fits there.
fn heap(
    config: &Config,
    survey: &Survey,
    tree: Option<Fdt<'_>>,
    board: &'static Board,
    source: &mut Source<'_>,
    found: &mut Vec<Mistake>,
) {
    let owned: u64 = board.kernel_ram.iter().map(|area| area.size).sum();
    let taken: u64 = survey
        .claims
        .iter()
        .filter(|claim| {
            claim.kind == ClaimKind::StaticMemory && within(&claim.range, board.kernel_ram)
        })
        .map(|claim| claim.range.size)
        .sum();
    let room = owned.saturating_sub(taken);
    let need = config.heap_total();
    if need <= room {
        return;
    }
    let tables = config.domains.iter().max_by_key(|domain| domain.tables);
    let (domain, property, message, hint) = match tables.filter(|domain| domain.tables > room) {
        Some(domain) => (
            Some(domain),
            "xen,domain-p2m-mem-mb",
            format!(
                "{} MiB of page tables have no room in the RAM that seL4 owns, which has {} MiB to spare",
                domain.tables >> 20,
                room >> 20
            ),
            "the number is in MiB; leave it out for Xen's formula",
        ),
        None => (
            config.domains.iter().max_by_key(|domain| domain.heap),
            "memory",
            format!(
                "RAM, page tables and extra pages of all domains need {} MiB of the RAM that seL4 owns, which has {} MiB to spare",
                need.div_ceil(1 << 20),
                room >> 20
            ),
            "give the largest domain less memory, or static memory that seL4 does not own (xen,static-mem)",
        ),
    };
    let path = domain.map_or_else(
        || String::from("/chosen"),
        |domain| path_of(domain.record.name.as_ref(), tree),
    );
    let place = (path.as_str(), Some(property));
    // One domain that has more than there is has most likely another unit.
    let meant = domain.filter(|domain| property == "memory" && domain.heap > room);
    let meant = meant.and_then(|domain| too_many(domain.heap / 1024, room));
    let hint = match &meant {
        Some((_, words)) => format!("memory is in KiB, and this looks like {words}"),
        None => hint.to_owned(),
    };
    let mut mistake = mistake(
        HostRule::HeapRoom,
        Severity::Error,
        place,
        &message,
        hint,
        source,
    );
    mistake.fix = meant.and_then(|(kib, _)| {
        let value = format!("<{:#x} {:#x}>", kib >> 32, kib & 0xffff_ffff);
        let edit = Edit::Set {
            property: "memory",
            value,
        };
        source.edit(&path, &edit)
    });
    found.push(mistake);
}
