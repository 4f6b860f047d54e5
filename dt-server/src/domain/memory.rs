//! How much memory a domain has, which, and what for page tables: whole pages or a refusal (GM-3),
//! static memory or none where it is to be direct-mapped (SM-18).

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use hv_types::{BLOCK_SIZE, PAGE_SIZE};

use crate::diag::{Diagnostics, Edit, Hint, Rule};
use crate::direct::{self, Host};
use crate::layout::Map;
use crate::node::{At, Cells};
use crate::range::{Range, total};
use crate::text::one_string;
use crate::{budget, layout, units};

const UNIT: &str = "memory is in KiB as two cells: <0x0 0x40000> is 256 MiB";

/// `memory`: bytes of RAM.
pub(super) fn ram(at: &At<'_>, d: &mut Diagnostics) -> Option<u64> {
    if !at.has("memory") {
        at.error(d, Rule::Memory, "memory", "missing", UNIT);
        return None;
    }
    kib(at, "memory", d)
}

/// A property of a number of KiB that is there, as bytes that can be RAM.
fn kib(at: &At<'_>, name: &'static str, d: &mut Diagnostics) -> Option<u64> {
    let value = at.bytes(name)?;
    // "1024MiB" has as many bytes as a number.
    if let Some(bytes) = one_string(value).and_then(units::amount) {
        let what = "is text, but must be one number of 64 bits";
        at.error(d, Rule::Memory, name, what, in_kib(name, bytes / 1024));
        return None;
    }
    let Ok(bytes) = <[u8; 8]>::try_from(value) else {
        let what = format!("must be one number of 64 bits, not {} bytes", value.len());
        // The classic slip: the number without the cell of its high half.
        let hint = match <[u8; 4]>::try_from(value) {
            Ok(low) if plausible(low) => {
                let value = cells(u64::from(u32::from_be_bytes(low)));
                Hint::Do(
                    format!("{UNIT}; write {name} = {value}"),
                    Edit::Set {
                        property: name,
                        value,
                    },
                )
            }
            _ => Hint::from(UNIT),
        };
        at.error(d, Rule::Memory, name, what, hint);
        return None;
    };
    let kib = u64::from_be_bytes(bytes);
    let ram = kib.checked_mul(1024).filter(|ram| *ram <= layout::RAM_MAX);
    let (rule, what, hint) = match ram {
        Some(0) => (
            Rule::Memory,
            String::from("a domain without RAM cannot start"),
            Hint::from(UNIT),
        ),
        Some(ram) if ram % PAGE_SIZE != 0 => (
            Rule::Memory,
            String::from("must be a multiple of 4 (whole pages of 4 KiB)"),
            match units::too_few_for_anybody(kib) {
                Some(meant) => in_kib(name, meant),
                None => Hint::set(cells((ram / PAGE_SIZE).max(1) * (PAGE_SIZE / 1024))),
            },
        ),
        Some(ram) => {
            if ram % BLOCK_SIZE != 0 {
                let what = "is no multiple of 2 MiB; the last part is mapped in 4 KiB pages";
                at.warn(
                    d,
                    Rule::BigPages,
                    Some(name),
                    what,
                    "round it to a multiple of 0x800",
                );
            }
            return Some(ram);
        }
        None => {
            let most = layout::RAM_MAX / 1024;
            (
                Rule::Banks,
                format!("{kib:#x} KiB exceed all RAM banks of a guest ({most:#x} KiB)"),
                match units::too_many(kib, layout::RAM_MAX) {
                    Some((meant, _)) => in_kib(name, meant),
                    None => Hint::from(UNIT),
                },
            )
        }
    };
    at.error(d, rule, name, what, hint);
    None
}

/// To write the property `name` as `kib` KiB.
fn in_kib(name: &'static str, kib: u64) -> Hint {
    let value = cells(kib);
    Hint::Do(
        format!(
            "memory is in KiB: did you mean {}, {name} = {value}?",
            words(kib)
        ),
        Edit::Set {
            property: name,
            value,
        },
    )
}

/// KiB in words.
fn words(kib: u64) -> String {
    match kib.is_multiple_of(1024) {
        true => format!("{} MiB", kib / 1024),
        false => format!("{kib} KiB"),
    }
}

/// Whether one cell can be the KiB that were meant; those of a string cannot ("64M" is 800 GiB).
fn plausible(cell: [u8; 4]) -> bool {
    let kib = u64::from(u32::from_be_bytes(cell));
    kib != 0 && kib.is_multiple_of(4) && kib * 1024 <= layout::RAM_MAX
}

/// Most that RAM may grow, as a multiple of what the guest starts with (GM-9): it makes records of
/// all its RAM at boot.
const MOST_GROWTH: u64 = 10;

/// `zazen,memory-max`: the most bytes of RAM that the guest may hold, `ram` where it is absent
/// (GM-8).
pub(super) fn max(at: &At<'_>, ram: Option<u64>, d: &mut Diagnostics) -> Option<u64> {
    const NAME: &str = "zazen,memory-max";
    if !at.has(NAME) {
        return ram;
    }
    if at.has("xen,static-mem") {
        let what = "a domain with static memory has that and no more";
        at.error(
            d,
            Rule::MemoryMax,
            NAME,
            what,
            Hint::Do(
                String::from("remove it, or remove xen,static-mem"),
                Edit::Remove(NAME),
            ),
        );
        return ram;
    }
    let max = kib(at, NAME, d)?;
    let ram = ram?;
    let (least, most) = (ram, ram.saturating_mul(MOST_GROWTH));
    if !(least..=most).contains(&max) {
        let what = format!(
            "must be from memory ({:#x} KiB) to {MOST_GROWTH} times that ({:#x} KiB)",
            least / 1024,
            most / 1024
        );
        let meant = units::too_few(max / 1024, least, most)
            .or_else(|| units::too_many(max / 1024, most).filter(|(kib, _)| kib * 1024 >= least));
        let hint = meant.map_or_else(|| Hint::from(UNIT), |(kib, _)| in_kib(NAME, kib));
        at.error(d, Rule::MemoryMax, NAME, what, hint);
        return None;
    }
    if max > ram && ram % BLOCK_SIZE != 0 {
        let what = "needs a memory that is a multiple of 2 MiB";
        at.error(
            d,
            Rule::MemoryMax,
            NAME,
            what,
            "round memory to a multiple of 0x800",
        );
        return None;
    }
    Some(max)
}

/// Where everything of the guest lies: at Xen's places, or with `direct-map` at the host's.
pub(super) fn map(
    at: &At<'_>,
    ram: Option<u64>,
    max: Option<u64>,
    static_mem: &[Range],
    host: &Host,
    d: &mut Diagnostics,
) -> Option<Map> {
    if !at.flag("direct-map", Rule::DirectMap, d) {
        return layout::ordinary(ram?, max?);
    }
    if !at.has("xen,static-mem") {
        let hint = "give xen,static-mem, or remove direct-map";
        let what = "is not valid without static memory";
        at.error(d, Rule::DirectMap, "direct-map", what, hint);
        return None;
    }
    if static_mem.iter().any(|range| !range.is_aligned(PAGE_SIZE)) {
        // Reported above.
        return None;
    }
    direct::map(at, static_mem, host, d).filter(|map| !map.banks.is_empty())
}

/// A 64-bit number as a DTS has it.
fn cells(number: u64) -> String {
    format!("<{:#x} {:#x}>", number >> 32, number & 0xffff_ffff)
}

/// `xen,static-mem`, in `outer` cells; its sum must be `ram`.
pub(super) fn static_mem(
    at: &At<'_>,
    outer: Cells,
    ram: Option<u64>,
    d: &mut Diagnostics,
) -> Vec<Range> {
    const NAME: &str = "xen,static-mem";
    let before = d.error_count();
    let ranges = at.ranges(NAME, outer, Rule::StaticMem, d);
    if let Some((unit, larger)) = ram.and_then(|ram| in_larger_unit(&ranges, ram, outer)) {
        let what = format!("its sizes are in bytes, and those here are memory in {unit}");
        let value: Vec<String> = larger.iter().map(|range| range.written(outer)).collect();
        let value = value.join(", ");
        let hint = Hint::Do(
            format!("write {NAME} = {value}"),
            Edit::Set {
                property: NAME,
                value,
            },
        );
        at.error(d, Rule::StaticSum, NAME, what, hint);
        // Otherwise they would be reported again, for other reasons.
        return Vec::new();
    }
    for range in ranges.iter().filter(|range| !range.is_aligned(PAGE_SIZE)) {
        let what = format!("{range} does not start and end at a page (4 KiB)");
        at.error(
            d,
            Rule::StaticMem,
            NAME,
            what,
            "align address and size to 0x1000",
        );
    }
    if ranges.is_empty() || d.error_count() != before {
        return ranges;
    }
    for range in ranges.iter().filter(|range| !range.is_aligned(BLOCK_SIZE)) {
        let what = format!("{range} is not aligned to 2 MiB; RAM there is mapped in 4 KiB pages");
        at.warn(
            d,
            Rule::BigPages,
            Some(NAME),
            what,
            "align address and size to 0x200000",
        );
    }
    if let Some(ram) = ram.filter(|ram| *ram != total(&ranges)) {
        let sum = total(&ranges);
        let what = format!(
            "the ranges have {:#x} KiB but memory says {:#x} KiB",
            sum / 1024,
            ram / 1024
        );
        at.error(
            d,
            Rule::StaticSum,
            NAME,
            what,
            Hint::Do(
                match ram / 1024 == sum || ram.checked_mul(1024) == Some(sum) {
                    true => format!("memory is in KiB: write memory = {}", cells(sum / 1024)),
                    false => format!("write memory = {}, or change the ranges", cells(sum / 1024)),
                },
                Edit::Set {
                    property: "memory",
                    value: cells(sum / 1024),
                },
            ),
        );
    }
    ranges
}

/// Ranges whose sizes are `ram` if they are in KiB or MiB, with their sizes in bytes.
fn in_larger_unit(ranges: &[Range], ram: u64, outer: Cells) -> Option<(&'static str, Vec<Range>)> {
    /// Where the sum is more than this it is memory that is in bytes.
    const MOST: u64 = 16 << 20;
    let sum = total(ranges);
    if sum == 0 || sum >= MOST {
        return None;
    }
    let units = [("KiB", 1 << 10), ("MiB", 1 << 20)];
    let (unit, factor) = units
        .into_iter()
        .find(|(_, factor)| sum.checked_mul(*factor) == Some(ram))?;
    let larger = ranges
        .iter()
        .map(|range| Range::new(range.start, range.size.checked_mul(factor)?))
        .map(|range| range.filter(|range| range.fits(outer)));
    larger
        .collect::<Option<Vec<Range>>>()
        .map(|all| (unit, all))
}

/// `xen,domain-p2m-mem-mb`: bytes for page tables.
pub(super) fn tables(at: &At<'_>, vcpus: u8, ram: u64, d: &mut Diagnostics) -> Option<u64> {
    const NAME: &str = "xen,domain-p2m-mem-mb";
    let formula = budget::tables(vcpus, ram);
    if !at.has(NAME) {
        return Some(formula);
    }
    let mib = at.u32(NAME, Rule::P2mMemory, d)?;
    let bytes = u64::from(mib) << 20;
    if mib == 0 {
        at.error(
            d,
            Rule::P2mMemory,
            NAME,
            "a domain without page tables cannot start",
            Hint::Remove,
        );
        return None;
    }
    if bytes < formula {
        let what = format!(
            "is less than the {} MiB of Xen's formula; mappings may fail",
            formula >> 20
        );
        at.warn(d, Rule::P2mMemory, Some(NAME), what, Hint::Remove);
    }
    Some(bytes)
}
