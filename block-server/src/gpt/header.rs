//! The protective MBR and the header of a table (UEFI 2.10, 5.2.3 and 5.3.2).

use zerocopy::byteorder::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

use super::{Copy, ENTRIES, Fault, SECTOR, SECTOR_U32};

/// Sectors of the smallest disk with a table: MBR, two headers, two arrays of a sector, and a
/// sector for a partition.
pub(super) const LEAST: u64 = 6;

/// Type of a partition of an MBR that stands for a GPT.
const PROTECTIVE: u8 = 0xee;
const SIGNATURE: [u8; 8] = *b"EFI PART";
const VERSION: u32 = 0x1_0000;
/// Where the checksum is, which counts as zero for itself.
const SUM_AT: usize = 16;

#[derive(FromBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Raw {
    signature: [u8; 8],
    version: U32,
    size: U32,
    sum: U32,
    reserved: U32,
    here: U64,
    other: U64,
    first: U64,
    last: U64,
    guid: [u8; 16],
    entries: U64,
    count: U32,
    entry_size: U32,
    entries_sum: U32,
}

/// A header whose checksum and numbers are right.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Header {
    /// The first sector that partitions may have.
    pub(super) first: u64,
    /// The last one.
    pub(super) last: u64,
    /// The first sector of the entries.
    pub(super) entries: u64,
    /// How many there are, used or not.
    count: u32,
    /// Bytes of each: a power of two from 128 to 4096.
    pub(super) entry_size: u32,
    /// Checksum of all.
    pub(super) entries_sum: u32,
}

/// Whether sector 0 says that the disk has a GPT and nothing else: of the four partitions of the
/// MBR one is protective and the others are not used.
pub(super) fn is_protective(mbr: &[u8]) -> bool {
    let kinds = (0..4).map(|index| mbr.get(446 + 16 * index + 4).copied().unwrap_or(0));
    let used = kinds.filter(|kind| *kind != 0);
    mbr.get(510..512) == Some(&[0x55, 0xaa]) && used.eq([PROTECTIVE])
}

impl Header {
    /// The header in `sector`, which is that of `copy` on a disk of `sectors` sectors.
    pub(super) fn read(sector: &[u8], copy: Copy, sectors: u64) -> Result<Self, Fault> {
        let (raw, _) = Raw::ref_from_prefix(sector).map_err(|_| Fault::NoHeader)?;
        if raw.signature != SIGNATURE || raw.version.get() != VERSION {
            return Err(Fault::NoHeader);
        }
        let size = raw.size.get() as usize;
        if !(size_of::<Raw>()..=SECTOR).contains(&size) {
            return Err(Fault::Header);
        }
        let covered = sector.get(..size).ok_or(Fault::Header)?;
        let mut sum = crc32fast::Hasher::new();
        sum.update(&covered[..SUM_AT]);
        sum.update(&[0; 4]);
        sum.update(&covered[SUM_AT + 4..]);
        if sum.finalize() != raw.sum.get() {
            return Err(Fault::HeaderSum);
        }
        let header = Self {
            first: raw.first.get(),
            last: raw.last.get(),
            entries: raw.entries.get(),
            count: raw.count.get(),
            entry_size: raw.entry_size.get(),
            entries_sum: raw.entries_sum.get(),
        };
        let end = sectors - 1;
        let (here, other) = match copy {
            Copy::First => (1, raw.other.get()),
            Copy::Last => (end, 1),
        };
        // The other copy of a disk that has grown is not at its end; we would not find it, but what
        // the first one says holds.
        let is_here =
            raw.here.get() == here && raw.other.get() == other && (1..=end).contains(&other);
        if is_here && header.is_sound(copy, end) {
            Ok(header)
        } else {
            Err(Fault::Header)
        }
    }

    /// Bytes of all entries: at most 4 MiB.
    pub(super) fn bytes(&self) -> u32 {
        self.count * self.entry_size
    }

    /// Whether entries and partitions have places of their own before the last sector, `end`.
    fn is_sound(&self, copy: Copy, end: u64) -> bool {
        let size = self.entry_size.is_power_of_two() && (128..=4096).contains(&self.entry_size);
        if !size || !(1..=ENTRIES).contains(&self.count) {
            return false;
        }
        let sectors = u64::from(self.bytes().div_ceil(SECTOR_U32));
        let Some(after) = self.entries.checked_add(sectors) else {
            return false;
        };
        let placed = match copy {
            Copy::First => self.entries >= 2 && after <= self.first,
            Copy::Last => self.entries > self.last && after <= end,
        };
        placed && self.first >= 2 && self.first <= self.last && self.last < end
    }
}
