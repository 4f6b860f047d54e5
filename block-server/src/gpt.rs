//! GUID partition tables (UEFI Specification 2.10, chapter 5): read in pieces and checked.
//!
//! Whoever can write to a disk may have written its table, so nothing in it is used before the
//! checksums, and then the bounds, say that it can be. Both copies are read; the first one that is
//! sound counts. A hybrid or ordinary MBR is refused, because others would then see other
//! partitions than we do.
//!
//! The maintained `no_std` crate for this, `gpt_disk_io`, checks no checksum and depends on a crate
//! under a licence that images may not have (`deny.toml`).

mod header;
mod table;

use core::fmt;

pub use table::{Lookup, NAME_MAX, Partition, Table};

use header::Header;

/// Bytes of a sector: the logical block of every disk whose table is read here.
pub const SECTOR: usize = 512;
const SECTOR_U32: u32 = 512;
/// Most sectors of one piece.
pub const PIECE: u32 = 8;
/// Most partitions that are remembered; a table may have more entries, if they are not used.
pub const PARTITIONS: usize = 32;
/// Most entries of a table: eight times what everybody makes.
const ENTRIES: u32 = 1024;

/// Which of the two copies of a table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Copy {
    /// That in front, at sector 1.
    First,
    /// That at the end of the disk.
    Last,
}

/// Why a table cannot be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// The disk is too small for a table.
    Small,
    /// The device did not give the sectors.
    Unreadable,
    /// Sector 0 is no protective MBR: there is another kind of table, or none.
    NotProtective,
    /// There is no header with the signature and version of a GPT.
    NoHeader,
    /// The header's checksum is another one.
    HeaderSum,
    /// The header's numbers contradict each other or the size of the disk.
    Header,
    /// The checksum of the entries is another one.
    EntriesSum,
    /// A partition lies outside the part of the disk that the header gives to partitions.
    Outside {
        /// Its number, from 1.
        number: u32,
    },
    /// Two partitions overlap.
    Overlap {
        /// One's number, from 1.
        number: u32,
        /// The other's.
        other: u32,
    },
    /// There are more than [`PARTITIONS`] partitions.
    Many,
    /// The disk's own sectors have not [`SECTOR`] bytes.
    SectorSize,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Small => write!(f, "the disk is too small for a partition table"),
            Self::Unreadable => write!(f, "the device cannot read its partition table"),
            Self::NotProtective => write!(f, "sector 0 is no protective MBR, so there is no GPT"),
            Self::NoHeader => write!(f, "there is no GPT header"),
            Self::HeaderSum => write!(f, "the checksum of the GPT header is wrong"),
            Self::Header => write!(f, "the GPT header contradicts itself or the disk's size"),
            Self::EntriesSum => write!(f, "the checksum of the partition entries is wrong"),
            Self::Outside { number } => {
                write!(
                    f,
                    "partition {number} lies outside the usable part of the disk"
                )
            }
            Self::Overlap { number, other } => {
                write!(f, "partitions {other} and {number} overlap")
            }
            Self::SectorSize => write!(f, "partitions need a disk with sectors of {SECTOR} bytes"),
            Self::Many => write!(f, "there are more than {PARTITIONS} partitions"),
        }
    }
}

/// Sectors that a [`Reader`] needs next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Piece {
    /// The first sector.
    pub sector: u64,
    /// How many, at most [`PIECE`].
    pub count: u32,
}

#[derive(Clone, Debug)]
enum Step {
    /// Sectors 0 and 1.
    Front,
    /// The last sector.
    Back,
    /// The entries of a copy, of which so many bytes have been seen.
    Entries {
        copy: Copy,
        header: Header,
        seen: u32,
    },
    Done,
}

/// Reads a table piece by piece: [`Reader::next`] says what it needs, [`Reader::give`] takes it.
#[derive(Clone, Debug)]
pub struct Reader {
    sectors: u64,
    step: Step,
    sum: crc32fast::Hasher,
    table: Table,
    first: Option<Fault>,
    result: Option<Result<Copy, Fault>>,
}

impl Reader {
    /// For a disk of `sectors` sectors of [`SECTOR`] bytes.
    #[must_use]
    pub fn new(sectors: u64) -> Self {
        let small = sectors < header::LEAST;
        Self {
            sectors,
            step: if small { Step::Done } else { Step::Front },
            sum: crc32fast::Hasher::new(),
            table: Table::default(),
            first: None,
            result: small.then_some(Err(Fault::Small)),
        }
    }

    /// What is needed next; `None` when all is known.
    #[must_use]
    pub fn next(&self) -> Option<Piece> {
        let piece = |sector, count| Some(Piece { sector, count });
        match &self.step {
            Step::Front => piece(0, 2),
            Step::Back => piece(self.sectors - 1, 1),
            Step::Entries { header, seen, .. } => {
                let left = header.bytes().saturating_sub(*seen);
                let sector = header
                    .entries
                    .checked_add(u64::from(*seen) / SECTOR as u64)?;
                piece(sector, left.div_ceil(SECTOR_U32).min(PIECE))
            }
            Step::Done => None,
        }
    }

    /// Takes the piece that was needed, `None` if the device could not read it. Bytes that are
    /// missing count as unreadable.
    pub fn give(&mut self, bytes: Option<&[u8]>) {
        let Some(piece) = self.next() else {
            return;
        };
        let bytes = bytes.and_then(|bytes| bytes.get(..piece.count as usize * SECTOR));
        let step = core::mem::replace(&mut self.step, Step::Done);
        match (step, bytes) {
            (Step::Front, Some(bytes)) => {
                let (mbr, sector) = bytes.split_at(SECTOR);
                if header::is_protective(mbr) {
                    self.header(Copy::First, sector);
                } else {
                    self.result = Some(Err(Fault::NotProtective));
                }
            }
            (Step::Back, Some(bytes)) => self.header(Copy::Last, bytes),
            (Step::Entries { copy, header, seen }, Some(bytes)) => {
                self.entries(copy, header, seen, bytes);
            }
            (
                Step::Back
                | Step::Entries {
                    copy: Copy::Last, ..
                },
                None,
            ) => {
                self.failed(Copy::Last, Fault::Unreadable);
            }
            (_, None) => self.failed(Copy::First, Fault::Unreadable),
            (Step::Done, _) => {}
        }
    }

    /// The table, when all is known: which copy it is of, and if that is the last one, what is
    /// wrong with the first.
    ///
    /// # Errors
    /// What is wrong with the first copy if neither can be used; [`Fault::Unreadable`] where not
    /// all was given.
    pub fn table(&self) -> Result<(&Table, Option<Fault>), Fault> {
        match self.result {
            Some(Ok(Copy::First)) => Ok((&self.table, None)),
            Some(Ok(Copy::Last)) => Ok((&self.table, self.first)),
            Some(Err(fault)) => Err(self.first.unwrap_or(fault)),
            None => Err(Fault::Unreadable),
        }
    }

    fn header(&mut self, copy: Copy, sector: &[u8]) {
        match Header::read(sector, copy, self.sectors) {
            Ok(header) => {
                self.sum = crc32fast::Hasher::new();
                self.table = Table::default();
                let seen = 0;
                self.step = Step::Entries { copy, header, seen };
            }
            Err(fault) => self.failed(copy, fault),
        }
    }

    fn entries(&mut self, copy: Copy, header: Header, seen: u32, bytes: &[u8]) {
        let left = (header.bytes() - seen) as usize;
        let bytes = bytes.get(..left).unwrap_or(bytes);
        self.sum.update(bytes);
        // A piece holds whole entries: their size divides it.
        for (index, entry) in bytes.chunks_exact(header.entry_size as usize).enumerate() {
            #[expect(
                clippy::cast_possible_truncation,
                reason = "at most 32 entries a piece"
            )]
            let number = seen / header.entry_size + index as u32 + 1;
            self.table.note(number, entry);
        }
        #[expect(clippy::cast_possible_truncation, reason = "a piece has at most 4 KiB")]
        let seen = seen + bytes.len() as u32;
        if seen < header.bytes() {
            self.step = Step::Entries { copy, header, seen };
            return;
        }
        // What an entry says counts only if the checksum is right.
        let sound = match self.sum.clone().finalize() == header.entries_sum {
            true => self.table.check(header.first, header.last),
            false => Err(Fault::EntriesSum),
        };
        match sound {
            Ok(()) => self.result = Some(Ok(copy)),
            Err(fault) => self.failed(copy, fault),
        }
    }

    fn failed(&mut self, copy: Copy, fault: Fault) {
        match copy {
            Copy::First => {
                self.first = Some(fault);
                self.step = Step::Back;
            }
            Copy::Last => {
                self.step = Step::Done;
                self.result = Some(Err(fault));
            }
        }
    }
}

#[cfg(test)]
mod tests;
