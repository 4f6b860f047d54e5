//! Where an address lies in a guest's physical map, in words: for log lines, and for tools that
//! explain them.
//!
//! A guest that touches what it does not have takes an exception; the reader of the log needs
//! to know what is near that address and what to change. The words are here once, for VMMs and for
//! host tools.

use core::fmt;

use dt_server_api::{Bank, GuestLayout};
use heapless::Vec;
use hv_types::Gpa;

use crate::device::model::Words;
use crate::device::table::{Set, places};
use crate::device::vgic::GICC_SIZE;

/// Bytes of the magic pages (Xen's `GUEST_MAGIC_SIZE`).
const MAGIC_SIZE: u64 = 0x0100_0000;
/// Most parts of a map.
const MAX_PARTS: usize = 24;

/// What a part of the map is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Part {
    /// Registers of an emulated device.
    Device(Words),
    /// The place of an emulated device that this guest does not have.
    NoDevice(Words),
    /// Interrupt controller's CPU interface.
    Gicc,
    /// Where grant frames are mapped.
    Grants,
    /// Console and xenstore ring.
    Magic,
    /// RAM, by number of the bank.
    Ram(u8),
    /// Free for mappings of other domains' pages, by number.
    Extended(u8),
}

/// A part with its addresses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Region {
    /// What it is.
    pub part: Part,
    /// First address.
    pub start: Gpa,
    /// Bytes, not 0.
    pub size: u64,
}

impl Region {
    const fn last(&self) -> u64 {
        self.start.raw().saturating_add(self.size - 1)
    }

    /// Bytes between the region and `gpa`; 0 inside.
    const fn distance(&self, gpa: Gpa) -> u64 {
        let (at, start, last) = (gpa.raw(), self.start.raw(), self.last());
        if at < start {
            start - at
        } else {
            at.saturating_sub(last)
        }
    }
}

/// A guest's physical map, as far as it is fixed.
#[derive(Clone, Debug)]
pub struct GuestMap {
    regions: Vec<Region, MAX_PARTS>,
}

impl GuestMap {
    /// The map of a guest with these fixed places, RAM banks, extended regions and devices. Empty
    /// regions, and what is more than a map can hold, are left out.
    pub fn new<'a>(
        layout: &GuestLayout,
        banks: impl IntoIterator<Item = &'a Bank>,
        extended: impl IntoIterator<Item = (Gpa, u64)>,
        devices: Set,
    ) -> Self {
        let devices = places(layout).map(|(id, words, region)| {
            let part = if devices.contains(id) {
                Part::Device(words)
            } else {
                Part::NoDevice(words)
            };
            (part, region.start, u64::from(region.size))
        });
        let fixed = [
            (Part::Gicc, layout.gicc, u64::from(GICC_SIZE)),
            (Part::Grants, layout.grant_region, layout.grant_region_size),
            (Part::Magic, layout.magic, MAGIC_SIZE),
        ];
        let banks = (0..)
            .zip(banks)
            .map(|(n, bank)| (Part::Ram(n), bank.start(), bank.size()));
        let extended = (0..)
            .zip(extended)
            .map(|(n, (start, size))| (Part::Extended(n), start, size));
        let all = devices.chain(fixed).chain(banks).chain(extended);
        Self {
            regions: all
                .filter(|(_, _, size)| *size != 0)
                .take(MAX_PARTS)
                .map(|(part, start, size)| Region { part, start, size })
                .collect(),
        }
    }

    /// What is at `gpa`, or else nearest to it; RAM before devices where both are as near.
    pub fn where_is(&self, gpa: Gpa) -> Option<Place> {
        let rank = |region: &&Region| {
            let is_ram = matches!(region.part, Part::Ram(_));
            (region.distance(gpa), !is_ram)
        };
        let region = *self.regions.iter().min_by_key(rank)?;
        Some(Place { region, gpa })
    }
}

/// An address and the nearest region.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    /// The region at the address or nearest to it.
    pub region: Region,
    /// The address.
    pub gpa: Gpa,
}

impl Place {
    /// Whether the address is in the region.
    pub const fn is_inside(&self) -> bool {
        self.region.distance(self.gpa) == 0
    }

    /// What to try, for an access to this place that failed.
    pub const fn advice(&self) -> &'static str {
        match (self.region.part, self.is_inside()) {
            (Part::Ram(_), true) => {
                "the guest gave this page away or never took it (balloon), or may not write to it; XENMEM_populate_physmap brings it"
            }
            (Part::Ram(_), false) => {
                "give the domain more `memory`, or look for a wrong address in the guest (mem=, reserved regions, a stale pointer)"
            }
            (Part::Extended(_), true) => {
                "nothing is here until the guest maps a grant or another domain's page to it"
            }
            (Part::Device(words), true) => words.refuses,
            (Part::NoDevice(words), true) => words.absent.1,
            (Part::Grants | Part::Magic, true) => {
                "only the pages that the guest has mapped (grant table) or been given (HVM_PARAM) are here"
            }
            _ => {
                "the guest has no such device: take its driver away, or give the guest the device tree that it is started with"
            }
        }
    }
}

/// A number of bytes in the largest unit that tells it exactly.
struct Bytes(u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(30, "GiB"), (20, "MiB"), (10, "KiB")];
        for (shift, unit) in units {
            if self.0 != 0 && self.0.trailing_zeros() >= shift {
                return write!(f, "{} {unit}", self.0 >> shift);
            }
        }
        write!(f, "{:#x} bytes", self.0)
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Device(words) => f.write_str(words.name),
            Self::NoDevice(words) => f.write_str(words.absent.0),
            Self::Gicc => f.write_str("the GIC CPU interface (GICC)"),
            Self::Grants => f.write_str("the grant region"),
            Self::Magic => f.write_str("the magic pages"),
            Self::Ram(n) => write!(f, "RAM bank {n}"),
            Self::Extended(n) => write!(f, "extended region {n}"),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Region { part, start, .. } = self.region;
        let (at, first, last) = (self.gpa.raw(), start.raw(), self.region.last());
        if at < first {
            write!(f, "{} before {part}", Bytes(first - at))?;
        } else if at > last {
            // The first byte past the end is 0 bytes past it.
            match at - last - 1 {
                0 => write!(f, "right past the end of {part}")?,
                past => write!(f, "{} past the end of {part}", Bytes(past))?,
            }
        } else {
            match at - first {
                0 => write!(f, "at the start of {part}")?,
                offset => write!(f, "{offset:#x} into {part}")?,
            }
        }
        write!(f, " ({first:#x}..{last:#x})")
    }
}

/// The guest physical address that a log line of a VMM names, as [`crate::diag::fault`] writes it
/// (`gpa 0x...`).
pub fn gpa_of_line(line: &str) -> Option<Gpa> {
    let (_, rest) = line.split_once("gpa 0x")?;
    let end = rest
        .find(|c: char| !c.is_ascii_hexdigit())
        .unwrap_or(rest.len());
    u64::from_str_radix(rest.get(..end)?, 16).ok().map(Gpa::new)
}

#[cfg(test)]
mod tests;
