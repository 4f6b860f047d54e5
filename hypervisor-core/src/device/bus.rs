//! Which device is at an address.

use core::fmt;

use heapless::Vec;
use hv_types::Gpa;

use super::model::Region;

/// Most regions of devices.
const MAX_REGIONS: usize = 8;

/// Two devices are at one address, or there are more regions than fit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Refused {
    /// The device that was to be added.
    pub name: &'static str,
    /// The one that is there; none where the bus is full.
    pub there: Option<&'static str>,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.there {
            Some(there) => write!(f, "{} lies where {there} is", self.name),
            None => write!(f, "{} has no room on the bus", self.name),
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Entry<D> {
    region: Region,
    device: D,
    name: &'static str,
}

/// The regions of devices, none of which overlap. What is looked for most often is added first.
#[derive(Clone, Debug)]
pub struct Bus<D> {
    entries: Vec<Entry<D>, MAX_REGIONS>,
}

impl<D: Copy> Bus<D> {
    /// Without devices.
    pub const fn new() -> Self {
        Self {
            entries: Vec::new(),
        }
    }

    /// Puts `device`, called `name`, at `region`.
    ///
    /// # Errors
    /// [`Refused`]: another device has a part of the region; the bus is as before.
    pub fn add(&mut self, device: D, name: &'static str, region: Region) -> Result<(), Refused> {
        let last = |region: &Region| region.start.raw().saturating_add(region.size.into());
        let overlaps = |other: &&Entry<D>| {
            region.start.raw() < last(&other.region) && other.region.start.raw() < last(&region)
        };
        let there = self.entries.iter().find(overlaps).map(|other| other.name);
        let entry = Entry {
            region,
            device,
            name,
        };
        if there.is_some() || self.entries.push(entry).is_err() {
            return Err(Refused { name, there });
        }
        Ok(())
    }

    /// The device at `gpa`, and the offset in its region.
    #[inline]
    pub fn find(&self, gpa: Gpa) -> Option<(D, u32)> {
        self.entries.iter().find_map(|entry| {
            let offset = gpa.raw().wrapping_sub(entry.region.start.raw());
            #[expect(clippy::cast_possible_truncation, reason = "below a size of 32 bits")]
            (offset < u64::from(entry.region.size)).then_some((entry.device, offset as u32))
        })
    }
}

impl<D: Copy> Default for Bus<D> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    fn at(start: u64, size: u32) -> Region {
        Region {
            start: Gpa::new(start),
            size,
        }
    }

    #[test]
    fn devices_are_found_where_they_are() {
        let mut bus = Bus::new();
        assert_eq!(bus.add('a', "a", at(0x1000, 0x1000)), Ok(()));
        assert_eq!(bus.add('b', "b", at(0x2000, 0x10)), Ok(()));
        for (gpa, found) in [
            (0xfff, None),
            (0x1000, Some(('a', 0))),
            (0x1fff, Some(('a', 0xfff))),
            (0x2000, Some(('b', 0))),
            (0x200f, Some(('b', 0xf))),
            (0x2010, None),
            (u64::MAX, None),
        ] {
            assert_eq!(bus.find(Gpa::new(gpa)), found, "{gpa:#x}");
        }
    }

    #[test]
    fn overlaps_are_refused_by_name() {
        let mut bus = Bus::new();
        assert_eq!(bus.add((), "the first", at(0x1000, 0x1000)), Ok(()));
        for region in [
            at(0x1000, 0x1000),
            at(0xfff, 2),
            at(0x1fff, 1),
            at(0x1800, 4),
            at(0, u32::MAX),
        ] {
            let refused = bus.add((), "the second", region).unwrap_err();
            assert_eq!(refused.to_string(), "the second lies where the first is");
        }
        assert_eq!(bus.find(Gpa::new(0x2000)), None, "the bus is as before");
        assert_eq!(bus.add((), "the second", at(0x2000, 1)), Ok(()));
        assert_eq!(bus.add((), "the end", at(u64::MAX - 3, 8)), Ok(()));
    }

    #[test]
    fn a_bus_has_an_end() {
        let mut bus = Bus::new();
        for n in 0..MAX_REGIONS as u64 {
            assert_eq!(bus.add((), "one", at(n * 16, 16)), Ok(()));
        }
        let refused = bus.add((), "one more", at(0x1000, 16)).unwrap_err();
        assert_eq!(refused.to_string(), "one more has no room on the bus");
    }
}
