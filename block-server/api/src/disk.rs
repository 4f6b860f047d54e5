//! What the server says about a disk.

use ring::Words;
use ring::sync::AtomicU32;

use crate::request::{Op, Request, Status};
use crate::{MAX_DISKS, SECTOR};

/// Words of each disk: a cache line.
const DISK_WORDS: usize = 16;
/// First word of those of disk 0 in the header.
const FIRST: usize = 256;
/// First word behind those of all disks.
pub(crate) const END: usize = FIRST + MAX_DISKS * DISK_WORDS;

/// Whether the disk is there ([`Presence`]); written last.
const STATE: usize = 0;
/// Counts the disks that this number has named.
const GENERATION: usize = 1;
const SECTORS: [usize; 2] = [2, 3];
const SECTOR_SIZE: usize = 4;
const PHYSICAL_SIZE: usize = 5;
const FLAGS: usize = 6;
const DISCARD_GRANULARITY: usize = 7;

const READ_ONLY: u32 = 1;
const FLUSH: u32 = 2;
const DISCARD: u32 = 4;

/// Whether a disk can be used.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[repr(u8)]
pub enum Presence {
    /// There is none of this number, or not yet: the server has not looked.
    #[default]
    Absent = 0,
    /// It can be used.
    Present = 1,
    /// There was one; requests fail.
    Gone = 2,
}

/// A disk, as its users see it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DiskInfo {
    /// Length in sectors of [`SECTOR`] bytes, at least 1 and at most 2^55 - 1.
    pub sectors: u64,
    /// Bytes of the smallest piece that can be read or written: a power of two from 512 to 4096.
    pub sector_size: u32,
    /// Bytes of the smallest piece that is written without reading: a power of two from
    /// `sector_size` to 65536.
    pub physical_size: u32,
    /// It may not be written.
    pub read_only: bool,
    /// It has a volatile cache, and can flush it. A disk without says false, and what is answered
    /// is on the medium.
    pub flush: bool,
    /// It can discard.
    pub discard: bool,
    /// Bytes of the smallest piece that discarding can free, a multiple of `sector_size`; matters
    /// only with `discard`.
    pub discard_granularity: u32,
}

impl DiskInfo {
    /// A disk of `sectors` sectors of 512 bytes that can be written and has no cache.
    pub const fn plain(sectors: u64) -> Self {
        Self {
            sectors,
            sector_size: SECTOR,
            physical_size: SECTOR,
            read_only: false,
            flush: false,
            discard: false,
            discard_granularity: 0,
        }
    }

    /// What is wrong with `request` for this disk, from which it is read or to which it is written.
    ///
    /// # Errors
    /// [`Status::Invalid`] where it reaches past the end or is not made of the disk's own sectors,
    /// [`Status::ReadOnly`], [`Status::Unsupported`].
    pub fn check(&self, request: &Request) -> Result<(), Status> {
        let unit = u64::from(self.sector_size / SECTOR).max(1);
        let count = u64::from(request.count);
        let inside = request
            .sector
            .checked_add(count)
            .is_some_and(|end| end <= self.sectors);
        if !inside || !request.sector.is_multiple_of(unit) || !count.is_multiple_of(unit) {
            return Err(Status::Invalid);
        }
        if self.read_only && request.op.changes() {
            return Err(Status::ReadOnly);
        }
        let can = match request.op {
            Op::Read | Op::Write | Op::Flush => true,
            Op::Discard => self.discard,
        };
        if can {
            Ok(())
        } else {
            Err(Status::Unsupported)
        }
    }

    /// Whether the numbers are in their ranges.
    pub const fn is_sound(&self) -> bool {
        const fn size(size: u32, least: u32, most: u32) -> bool {
            size.is_power_of_two() && size >= least && size <= most
        }
        size(self.sector_size, SECTOR, 4096)
            && size(self.physical_size, self.sector_size, 1 << 16)
            && self.sectors != 0
            && self.sectors >> 55 == 0
            && self
                .sectors
                .is_multiple_of((self.sector_size / SECTOR) as u64)
            && self.discard_granularity.is_multiple_of(self.sector_size)
            && (self.discard_granularity != 0 || !self.discard)
    }
}

/// The words of one disk, for either side.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DiskWords<'a>(Words<'a>);

impl<'a> DiskWords<'a> {
    /// Those of disk `disk` in `header`; `None` where there is none of that number.
    pub(crate) fn new(header: &'a [AtomicU32], disk: usize) -> Option<Self> {
        if disk >= MAX_DISKS {
            return None;
        }
        Words::at(header, FIRST + disk * DISK_WORDS, DISK_WORDS).map(Self)
    }

    /// Whether there is one, and which.
    pub(crate) fn presence(&self) -> Presence {
        match self.0.load(STATE) {
            1 => Presence::Present,
            2 => Presence::Gone,
            _ => Presence::Absent,
        }
    }

    /// The disk that is there; `None` where there is none or its numbers make no sense.
    pub(crate) fn info(&self) -> Option<DiskInfo> {
        if self.presence() != Presence::Present {
            return None;
        }
        let flags = self.0.load(FLAGS);
        let info = DiskInfo {
            sectors: self.0.load_u64(SECTORS),
            sector_size: self.0.load(SECTOR_SIZE),
            physical_size: self.0.load(PHYSICAL_SIZE),
            read_only: flags & READ_ONLY != 0,
            flush: flags & FLUSH != 0,
            discard: flags & DISCARD != 0,
            discard_granularity: self.0.load(DISCARD_GRANULARITY),
        };
        info.is_sound().then_some(info)
    }

    /// How many disks this number has named.
    pub(crate) fn generation(&self) -> u32 {
        self.0.load(GENERATION)
    }

    /// The disk is there and is this.
    pub(crate) fn set(&self, info: &DiskInfo) {
        self.0.store(STATE, Presence::Absent as u32);
        self.0.store_u64(SECTORS, info.sectors);
        self.0.store(SECTOR_SIZE, info.sector_size);
        self.0.store(PHYSICAL_SIZE, info.physical_size);
        let flag = |set, bit| if set { bit } else { 0 };
        let flags =
            flag(info.read_only, READ_ONLY) | flag(info.flush, FLUSH) | flag(info.discard, DISCARD);
        self.0.store(FLAGS, flags);
        self.0.store(DISCARD_GRANULARITY, info.discard_granularity);
        self.0
            .store(GENERATION, self.0.load(GENERATION).wrapping_add(1));
        self.0.store(STATE, Presence::Present as u32);
    }

    /// The disk has gone.
    pub(crate) fn remove(&self) {
        self.0.store(STATE, Presence::Gone as u32);
    }
}
