//! Where a guest's RAM and everything else lies in its own address space.

use dt_server_api::{Bank, GuestLayout, MAX_BANKS, MAX_EXTENDED, XEN_BANKS, XEN_LAYOUT};
use heapless::Vec;
use hv_types::{BLOCK_SIZE, Gpa, WindowAddr};

/// Most bytes of RAM one guest can have: bank 0 and what the VMM's window has room for in bank 1.
pub(crate) const RAM_MAX: u64 = XEN_BANKS[0].1 + (WindowAddr::EXTRA_BASE - XEN_BANKS[1].0.raw());

/// Extended regions smaller than this are not worth a mention (Xen's limit, UP-6).
pub(crate) const EXTENDED_MIN: u64 = 64 << 20;

pub(crate) type Banks = Vec<Bank, MAX_BANKS>;
pub(crate) type Extended = Vec<Bank, MAX_EXTENDED>;

/// A guest's address space.
#[derive(Clone, Debug)]
pub(crate) struct Map {
    /// RAM at the start.
    pub(crate) banks: Banks,
    /// RAM at its most.
    pub(crate) max_banks: Banks,
    /// Extended regions.
    pub(crate) extended: Extended,
    /// Fixed places.
    pub(crate) layout: GuestLayout,
}

/// Xen's map for a guest with `ram` bytes that may grow to `max`. `None` above [`RAM_MAX`].
pub(crate) fn ordinary(ram: u64, max: u64) -> Option<Map> {
    let max_banks = banks(max)?;
    Some(Map {
        banks: banks(ram)?,
        extended: behind(&max_banks),
        max_banks,
        layout: XEN_LAYOUT,
    })
}

/// The banks of a guest with `ram` bytes: bank 0 is filled first, the rest goes to bank 1 (SM-25);
/// ascending, disjoint (GM-2).
fn banks(ram: u64) -> Option<Banks> {
    if ram > RAM_MAX {
        return None;
    }
    let mut left = ram;
    let mut banks = Banks::new();
    for (start, most) in XEN_BANKS {
        let size = left.min(most);
        left -= size;
        if size > 0 {
            // There are fewer places than banks in a record.
            let _ = banks.push(Bank::new(start, size));
        }
    }
    Some(banks)
}

/// What the guest may use for mappings of foreign pages: of each place for a RAM bank what RAM
/// leaves over, from the next 2 MiB on (UP-6). Nothing else lies there in Xen's layout. What the
/// banks leave over behind the most RAM that the domain can ever have (UP-2), where that is enough
/// (UP-6).
fn behind(max_banks: &Banks) -> Extended {
    XEN_BANKS
        .into_iter()
        .filter_map(|(start, most)| {
            let used = max_banks.iter().find(|bank| bank.start() == start);
            let used = used.map_or(0, Bank::size);
            let from = start.checked_add(used.checked_next_multiple_of(BLOCK_SIZE)?)?;
            let size = start.raw().checked_add(most)?.checked_sub(from.raw())?;
            (size >= EXTENDED_MIN).then_some(Bank::new(from, size))
        })
        .collect()
}

/// `regions` without the 2 MiB that `taken` touches, where what is left is enough.
pub(crate) fn without(regions: &Extended, taken: &Bank) -> Extended {
    let from = taken.start().block_base();
    let end = taken.start().raw().saturating_add(taken.size());
    let end = Gpa::new(end.checked_next_multiple_of(BLOCK_SIZE).unwrap_or(u64::MAX));
    let piece = |start: Gpa, end: Gpa| {
        let size = end.raw().checked_sub(start.raw())?;
        (size >= EXTENDED_MIN).then_some(Bank::new(start, size))
    };
    let mut left = Extended::new();
    for region in regions {
        let (first, last) = (
            region.start(),
            Gpa::new(region.start().raw() + region.size()),
        );
        if end <= first || last <= from {
            let _ = left.push(*region);
            continue;
        }
        // What has no room is not offered.
        for piece in [piece(first, from), piece(end, last)].into_iter().flatten() {
            let _ = left.push(piece);
        }
    }
    left
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;

    #[test]
    fn bank_0_first() {
        let map = ordinary(256 << 20, 256 << 20).unwrap();
        assert_eq!(map.banks.len(), 1);
        assert_eq!(
            (map.banks[0].start().raw(), map.banks[0].size()),
            (0x4000_0000, 256 << 20)
        );
        let map = ordinary(4 << 30, 4 << 30).unwrap();
        assert_eq!(map.banks[0].size(), 3 << 30);
        assert_eq!(
            (map.banks[1].start().raw(), map.banks[1].size()),
            (0x2_0000_0000, 1 << 30)
        );
        assert!(ordinary(4096, RAM_MAX + 4096).is_none());
        assert!(ordinary(RAM_MAX, RAM_MAX).is_some());
    }

    #[test]
    fn shared_memory_is_no_extended_region() {
        let map = ordinary(128 << 20, 128 << 20).unwrap();
        let at = |start: u64, size| Bank::new(Gpa::new(start), size);
        let left = without(&map.extended, &at(0x6000_1000, 0x1000));
        let places: std::vec::Vec<_> = left.iter().map(|b| (b.start().raw(), b.size())).collect();
        assert_eq!(places[0], (0x4800_0000, 0x1800_0000));
        assert_eq!(places[1], (0x6020_0000, 0x1_0000_0000 - 0x6020_0000));
        assert_eq!(places[2].0, 0x2_0000_0000);
        // Too little is left before it.
        let left = without(&map.extended, &at(0x4810_0000, 0x1000));
        assert_eq!(left[0].start().raw(), 0x4820_0000);
        assert_eq!(
            without(&map.extended, &at(0x3a00_0000, 0x1000)),
            map.extended
        );
    }

    /// UP-2, UP-6, GM-8: behind the most RAM that there can be, so that no region ever becomes RAM.
    #[test]
    fn extended_regions_lie_behind_the_most_ram() {
        let map = ordinary(128 << 20, 256 << 20).unwrap();
        assert_eq!(map.banks[0].size(), 128 << 20);
        assert_eq!(map.max_banks[0].size(), 256 << 20);
        assert_eq!(map.extended[0].start().raw(), 0x5000_0000);
        // A gap of less than 64 MiB is not mentioned.
        let map = ordinary(128 << 20, (3 << 30) - (63 << 20)).unwrap();
        assert_eq!(map.extended.len(), 1);
        assert_eq!(map.extended[0].start().raw(), 0x2_0000_0000);
        let map = ordinary(128 << 20, (3 << 30) - (64 << 20)).unwrap();
        assert_eq!(map.extended[0].size(), 64 << 20);
        // One page into the last block.
        let map = ordinary(4096, 4096).unwrap();
        assert_eq!(map.extended[0].start().raw(), 0x4020_0000);
    }
}
