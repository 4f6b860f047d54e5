//! How much memory a domain has, which, and what for page tables.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use hv_types::{BLOCK_SIZE, PAGE_SIZE};

use crate::diag::{Diagnostics, Edit, Hint, Rule};
use crate::node::{At, Cells};
use crate::range::{Range, total};
use crate::{budget, layout};

/// `memory`: bytes of RAM.
pub(super) fn ram(at: &At<'_>, d: &mut Diagnostics) -> Option<u64> {
    const UNIT: &str = "memory is in KiB as two cells: <0x0 0x40000> is 256 MiB";
    let Some(value) = at.bytes("memory") else {
        at.error(d, Rule::Memory, "memory", "missing", UNIT);
        return None;
    };
    let Ok(bytes) = <[u8; 8]>::try_from(value) else {
        let what = format!("must be one number of 64 bits, not {} bytes", value.len());
        // The classic slip: the number without the cell of its high half.
        let hint = match <[u8; 4]>::try_from(value) {
            Ok(low) => {
                let value = cells(u64::from(u32::from_be_bytes(low)));
                Hint::Do(
                    format!("{UNIT}; write memory = {value}"),
                    Edit::Set {
                        property: "memory",
                        value,
                    },
                )
            }
            Err(_) => Hint::from(UNIT),
        };
        at.error(d, Rule::Memory, "memory", what, hint);
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
            Hint::set(cells((ram / PAGE_SIZE).max(1) * (PAGE_SIZE / 1024))),
        ),
        Some(ram) => {
            if ram % BLOCK_SIZE != 0 {
                let what = "is no multiple of 2 MiB; the last part is mapped in 4 KiB pages";
                at.warn(
                    d,
                    Rule::BigPages,
                    Some("memory"),
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
                Hint::from(UNIT),
            )
        }
    };
    at.error(d, rule, "memory", what, hint);
    None
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
                format!("write memory = {}, or change the ranges", cells(sum / 1024)),
                Edit::Set {
                    property: "memory",
                    value: cells(sum / 1024),
                },
            ),
        );
    }
    ranges
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
