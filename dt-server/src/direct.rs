//! The address space of a direct-mapped guest: RAM at its host addresses, the host's interrupt
//! controller and UART, and Xen's own regions where the host has nothing (DM-4).

use alloc::format;
use alloc::vec::Vec;

use board::{Area, Board};
use dt_server_api::{Bank, GuestLayout, XEN_LAYOUT};
use hv_types::{BLOCK_SIZE, Gpa, WindowAddr};

use crate::diag::{Diagnostics, Rule};
use crate::layout::{Banks, EXTENDED_MIN, Extended, Map};
use crate::node::At;
use crate::range::{Range, merged};

const NAME: &str = "direct-map";
/// First address that a guest cannot have: stage 2 has 40 bits.
const END: u64 = 1 << 40;
/// The magic pages: a block of their own.
const MAGIC: u64 = BLOCK_SIZE;

/// What the host has.
#[derive(Clone, Debug)]
pub(crate) struct Host {
    pub(crate) board: &'static Board,
    /// Cores that the kernel uses.
    pub(crate) cores: u8,
    /// RAM, as the `memory` nodes give it and as the board can have it, and what firmware reserved.
    occupied: Vec<Range>,
}

fn range(area: &Area) -> Range {
    Range {
        start: area.start,
        size: area.size,
    }
}

impl Host {
    /// A host that is `board`, with RAM or something else at `more` besides.
    pub(crate) fn new(board: &'static Board, more: impl Iterator<Item = Range>) -> Self {
        let known = board.ram.iter().chain(board.devices).map(range);
        let all: Vec<Range> = known.chain(more).collect();
        Self {
            board,
            cores: 1,
            occupied: merged(&all),
        }
    }

    /// The same with a kernel that uses so many cores.
    pub(crate) fn with_cores(self, cores: u8) -> Self {
        Self { cores, ..self }
    }

    /// Bytes of RAM that the board has at most.
    pub(crate) fn ram(&self) -> u64 {
        self.board.ram.iter().map(|area| area.size).sum()
    }

    /// Where the host has nothing, in whole blocks, ascending: extended regions hold no RAM of the
    /// machine (UP-8).
    fn holes(&self) -> impl Iterator<Item = Range> {
        let starts = core::iter::once(0).chain(self.occupied.iter().map(Range::end));
        let ends = self.occupied.iter().map(|range| range.start);
        starts
            .zip(ends.chain(core::iter::once(END)))
            .filter_map(|(start, end)| {
                let start = start.checked_next_multiple_of(BLOCK_SIZE)?;
                let end = end.min(END) & !(BLOCK_SIZE - 1);
                Range::new(start, end.checked_sub(start)?)
            })
    }
}

/// The map of a direct-mapped guest with RAM in `static_mem`, or `None` where it was reported that
/// there is none.
pub(crate) fn map(
    at: &At<'_>,
    static_mem: &[Range],
    host: &Host,
    d: &mut Diagnostics,
) -> Option<Map> {
    let banks = banks(at, static_mem, host, d)?;
    let board = host.board;
    let needed = XEN_LAYOUT.grant_region_size + MAGIC;
    let Some(first) = host.holes().find(|hole| hole.size >= needed) else {
        let what = format!(
            "the address map of {} has no hole of {} MiB for grants and the console's page",
            board.name,
            needed >> 20
        );
        at.error(d, Rule::DirectMap, NAME, what, "remove direct-map");
        return None;
    };
    let grant_region = Gpa::new(first.start);
    let layout = GuestLayout {
        gicd: Gpa::new(board.gic.distributor.start),
        gicc: Gpa::new(board.gic.cpu.start),
        vpl011: Gpa::new(board.uart.registers.start),
        vpl011_intid: u16::try_from(board.uart.intid).ok()?,
        grant_region,
        grant_region_size: XEN_LAYOUT.grant_region_size,
        magic: grant_region.checked_add(XEN_LAYOUT.grant_region_size)?,
    };
    let extended: Extended = host
        .holes()
        .map(|hole| {
            let used = if hole == first { needed } else { 0 };
            Bank::new(Gpa::new(hole.start + used), hole.size - used)
        })
        .filter(|region| region.size() >= EXTENDED_MIN)
        .take(dt_server_api::MAX_EXTENDED)
        .collect();
    Some(Map {
        max_banks: banks.clone(),
        banks,
        extended,
        layout,
    })
}

/// The ranges as banks: ascending, and those that touch are one.
fn banks(at: &At<'_>, static_mem: &[Range], host: &Host, d: &mut Diagnostics) -> Option<Banks> {
    let before = d.error_count();
    let whole = merged(static_mem);
    let devices: Vec<Range> = host.board.devices.iter().map(range).collect();
    for bank in &whole {
        if let Some(device) = devices.iter().find(|device| device.overlaps(bank)) {
            let what = format!(
                "{bank} overlaps {device}, where {} has devices",
                host.board.name
            );
            at.error(d, Rule::DirectMap, NAME, what, "choose other memory");
        }
        if bank.end() > WindowAddr::EXTRA_BASE {
            let what = format!(
                "{bank} ends above {:#x}, the highest address a VMM can reach",
                WindowAddr::EXTRA_BASE
            );
            at.error(d, Rule::DirectMap, NAME, what, "choose lower memory");
        }
    }
    for (a, b) in whole.iter().zip(whole.iter().skip(1)) {
        if a.end().div_ceil(BLOCK_SIZE) > b.start / BLOCK_SIZE {
            let what = format!("{a} and {b} lie apart in the same 2 MiB");
            let hint = "join them, or begin and end them at multiples of 0x200000";
            at.error(d, Rule::DirectMap, NAME, what, hint);
        }
    }
    if d.error_count() != before {
        return None;
    }
    let mut banks = Banks::new();
    for bank in &whole {
        if banks
            .push(Bank::new(Gpa::new(bank.start), bank.size))
            .is_err()
        {
            let what = format!(
                "{} ranges that do not touch; a direct-mapped domain has at most {}",
                whole.len(),
                dt_server_api::MAX_BANKS
            );
            at.error(d, Rule::Banks, NAME, what, "use fewer and larger ranges");
            return None;
        }
    }
    Some(banks)
}
