//! Addresses that were written with other cells than the node above says: the classic slip of this
//! binding.
//!
//! With the wrong cells such a property decodes to ranges that nobody wrote, and several rules
//! complain. If other cells make sense of it, that alone is reported.

use board::Board;
use dt_server::Rule;
use dtoolkit::fdt::{Fdt, FdtNode};
use dtoolkit::{Node, Property};

use super::mistake::{Fix, Mistake, Related, Severity, TextEdit};
use super::tree::{Source, subject};

/// `#address-cells` and `#size-cells`.
type Cells = [u32; 2];

/// All there are, the likeliest first.
const CELLS: [Cells; 4] = [[2, 2], [1, 1], [2, 1], [1, 2]];

/// What has the cells of the node `above` it: the node, its path, the property.
struct Found<'a> {
    node: FdtNode<'a>,
    path: String,
    property: &'static str,
    above: &'static str,
}

/// Puts one mistake in place of all those that come from wrong cells.
pub(super) fn tell(
    tree: Fdt<'_>,
    board: &'static Board,
    source: &mut Source<'_>,
    mistakes: &mut Vec<Mistake>,
) {
    for found in properties(tree) {
        let Some(value) = found.node.property(found.property) else {
            continue;
        };
        let value = value.value();
        let path = found.path.as_str();
        let is_same = |mistake: &Mistake| {
            mistake.property.as_deref() == Some(found.property) && mistake.path == path
        };
        let Some((cells, own)) = in_force(tree, found.above) else {
            // That has been reported, and the property may be right.
            if CELLS.iter().any(|cells| is_sound(value, *cells, board)) {
                mistakes.retain(|mistake| !is_same(mistake));
            }
            continue;
        };
        let Some(written) = written_with(value, cells, board) else {
            continue;
        };
        let place = source.place(path, Some(found.property));
        let collides = |mistake: &Mistake| {
            place.is_some()
                && mistake.rule == Rule::Overlap.info()
                && mistake
                    .related
                    .as_ref()
                    .is_some_and(|other| other.at == place)
        };
        // A memory node that cannot be read is why nothing is known to be RAM.
        let is_about_ram = |mistake: &Mistake| {
            found.above == "/"
                && (mistake.rule == Rule::HostMemory.info() || mistake.rule == Rule::NotRam.info())
        };
        mistakes
            .retain(|mistake| !(is_same(mistake) || collides(mistake) || is_about_ram(mistake)));
        let message = format!(
            "{}: {}: is written with {} address and {} size cells, but {} has {} and {}{}",
            subject(path),
            found.property,
            written[0],
            written[1],
            name(found.above),
            cells[0],
            cells[1],
            if own { "" } else { " without saying so" },
        );
        let (hint, fix) = if own {
            let text = format!(
                "{} = {};",
                found.property,
                rewritten(value, written, cells).join(", ")
            );
            let hint = format!(
                "write the ranges in these cells, or change those of {}",
                name(found.above)
            );
            let fix = fits(value, written, cells)
                .then(|| source.replacement(path, found.property, text))
                .flatten();
            (hint, fix)
        } else {
            let wanted = ["#address-cells", "#size-cells"];
            let text: Vec<String> = wanted
                .iter()
                .zip(written)
                .filter(|(name, _)| source.locations.property("/", name).is_none())
                .map(|(name, cells)| format!("{name} = <{cells}>;"))
                .collect();
            let text = text.join(" ");
            let hint = format!("say how many cells there are: {text} in the root node");
            let edit = source.first_in("/", &text);
            let summary = format!("add `{text}` to the root node");
            (
                hint,
                edit.map(|edit: TextEdit| Fix {
                    summary,
                    edit: Some(edit),
                }),
            )
        };
        let of_cells = |path: &str| {
            let of = |name: &str| source.locations.property(path, name).cloned();
            of("#address-cells").or_else(|| of("#size-cells"))
        };
        let cells_at = of_cells(found.above).or_else(|| of_cells("/"));
        mistakes.push(Mistake {
            severity: Severity::Error,
            at: place,
            path: found.path.clone(),
            property: Some(found.property.to_owned()),
            label: String::from("this one"),
            related: cells_at.filter(|_| own).map(|at| Related {
                message: String::from("the cells that count"),
                at: Some(at),
            }),
            fix,
            ..Mistake::of_file(Rule::Cells.info(), message, &hint)
        });
    }
}

/// The properties that are lists of ranges of RAM.
fn properties(tree: Fdt<'_>) -> Vec<Found<'_>> {
    let root = tree.root();
    let memory = root.children().filter(|node| {
        node.name_without_address() == "memory" && node.property("device_type").is_some()
    });
    let mut all: Vec<Found<'_>> = memory
        .map(|node| Found {
            path: format!("/{}", node.name()),
            node,
            property: "reg",
            above: "/",
        })
        .collect();
    let Some(chosen) = root.children().find(|node| node.name() == "chosen") else {
        return all;
    };
    all.push(Found {
        node: chosen,
        path: String::from("/chosen"),
        property: "xen,static-heap",
        above: "/",
    });
    all.extend(chosen.children().map(|node| Found {
        path: format!("/chosen/{}", node.name()),
        node,
        property: "xen,static-mem",
        above: "/chosen",
    }));
    all
}

/// The cells that `above` has for its children, and whether the source says so there or above;
/// `None` where they are wrong.
fn in_force(tree: Fdt<'_>, above: &str) -> Option<(Cells, bool)> {
    let of = |name: &str, default: u32| {
        let nodes = [above, "/"];
        let found = nodes.into_iter().find_map(|path| {
            let node = tree.find_node(path)?;
            node.property(name)
                .map(|cells| cells.value_as::<u32>().ok())
        });
        match found {
            Some(cells) => Some((cells.filter(|cells| (1..=2).contains(cells))?, true)),
            None => Some((default, false)),
        }
    };
    let (address, says_address) = of("#address-cells", 2)?;
    let (size, says_size) = of("#size-cells", 1)?;
    Some(([address, size], says_address && says_size))
}

/// The cells that `value` was written with, if those are not `cells` and it says nothing sound with
/// these.
fn written_with(value: &[u8], cells: Cells, board: &Board) -> Option<Cells> {
    if value.is_empty() || is_sound(value, cells, board) {
        return None;
    }
    CELLS
        .into_iter()
        .find(|other| *other != cells && is_sound(value, *other, board))
}

/// Whether `value`, read with `cells`, is RAM in whole pages.
fn is_sound(value: &[u8], cells: Cells, board: &Board) -> bool {
    let ranges = ranges(value, cells);
    ranges.is_some_and(|ranges| {
        ranges.iter().all(|(start, size)| {
            let end = start.checked_add(*size);
            let inside = end.is_some_and(|end| {
                let mut ram = board.ram.iter();
                ram.any(|area| area.start <= *start && end <= area.end())
            });
            // An empty bank is passed over, wherever it is.
            let empty = *size == 0;
            (empty || inside) && (start | size) & 0xfff == 0
        }) && ranges.iter().any(|(_, size)| *size > 0)
    })
}

/// `value` as (address, size), if it is a list of these.
fn ranges(value: &[u8], [address, size]: Cells) -> Option<Vec<(u64, u64)>> {
    let (words, rest) = value.as_chunks::<4>();
    let entry = (address + size) as usize;
    if !rest.is_empty() || words.len() % entry != 0 {
        return None;
    }
    let number = |words: &[[u8; 4]]| {
        let push =
            |number: u64, word: &[u8; 4]| number << 32 | u64::from(u32::from_be_bytes(*word));
        words.iter().fold(0, push)
    };
    let split = |entry: &[[u8; 4]]| {
        let (start, size) = entry.split_at(address as usize);
        (number(start), number(size))
    };
    Some(words.chunks(entry).map(split).collect())
}

/// Whether each number of `value` has room in the cells `to`.
fn fits(value: &[u8], from: Cells, to: Cells) -> bool {
    let fits = |number: u64, cells: u32| cells > 1 || u32::try_from(number).is_ok();
    let ranges = ranges(value, from).unwrap_or_default();
    ranges
        .iter()
        .all(|(start, size)| fits(*start, to[0]) && fits(*size, to[1]))
}

/// The ranges in other cells.
fn rewritten(value: &[u8], from: Cells, to: Cells) -> Vec<String> {
    let number = |number: u64, cells: u32| match cells {
        1 => format!("{number:#x}"),
        _ => format!("{:#x} {:#x}", number >> 32, number & 0xffff_ffff),
    };
    let ranges = ranges(value, from).unwrap_or_default();
    let ranges = ranges.iter();
    ranges
        .map(|(start, size)| format!("<{} {}>", number(*start, to[0]), number(*size, to[1])))
        .collect()
}

/// A node that has cells, in words.
fn name(path: &str) -> &str {
    match path {
        "/" => "the root",
        _ => path,
    }
}
