//! What goes through the queues.

use crate::{MAX_DISKS, SECTOR};

/// Words of a request in its queue.
pub(crate) const REQUEST_WORDS: usize = 8;
/// Words of an answer.
pub(crate) const ANSWER_WORDS: usize = 4;

/// What to do with a disk. The numbers are those of sDDF's `blk_req_code`, with discard behind
/// them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Op {
    /// From the disk to the data area.
    Read = 0,
    /// From the data area to the disk.
    Write = 1,
    /// What was answered before this is asked is on the medium when this is answered.
    Flush = 2,
    /// The contents of the sectors may be forgotten.
    Discard = 4,
}

impl Op {
    /// The operation of that number.
    pub const fn new(code: u32) -> Option<Self> {
        match code {
            0 => Some(Self::Read),
            1 => Some(Self::Write),
            2 => Some(Self::Flush),
            4 => Some(Self::Discard),
            _ => None,
        }
    }

    /// Whether bytes of the data area belong to it.
    pub const fn moves_data(self) -> bool {
        matches!(self, Self::Read | Self::Write)
    }

    /// Whether it changes the disk.
    pub const fn changes(self) -> bool {
        matches!(self, Self::Write | Self::Discard)
    }
}

/// A request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Request {
    /// The VMM's number for it, which comes back.
    pub id: u32,
    /// Number of the disk, below [`MAX_DISKS`].
    pub disk: u8,
    /// What to do.
    pub op: Op,
    /// First byte of the data area, a multiple of [`SECTOR`]; 0 for what moves no data.
    pub offset: u32,
    /// First sector on the disk; 0 for a flush.
    pub sector: u64,
    /// Sectors; 0 for a flush.
    pub count: u32,
}

/// A request that makes no sense in itself, whatever the disks are; to be answered with
/// [`Status::Invalid`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Refused {
    /// Its number.
    pub id: u32,
}

impl Request {
    /// Bytes of the data area that belong to it.
    pub const fn bytes(&self) -> u32 {
        if self.op.moves_data() {
            self.count.saturating_mul(SECTOR)
        } else {
            0
        }
    }

    /// Whether the operation has what it needs and the bytes lie in a data area of `data` bytes.
    const fn is_sound(&self, data: u32) -> bool {
        let aligned = self.offset.is_multiple_of(SECTOR);
        let fits = match self.offset.checked_add(self.bytes()) {
            Some(end) => end <= data,
            None => false,
        };
        let counted = (self.count == 0) == matches!(self.op, Op::Flush);
        aligned && fits && counted && self.sector.checked_add(self.count as u64).is_some()
    }

    pub(crate) fn to_words(self) -> [u32; REQUEST_WORDS] {
        let [low, high] = halves(self.sector);
        let code = u32::from(self.op as u8) | u32::from(self.disk) << 8;
        [code, self.id, self.offset, self.count, low, high, 0, 0]
    }

    /// What a VMM wrote, if it makes sense with a data area of `data` bytes.
    pub(crate) fn from_words(words: [u32; REQUEST_WORDS], data: u32) -> Result<Self, Refused> {
        let [code, id, offset, count, low, high, ..] = words;
        let disk = u8::try_from(code >> 8).ok();
        let disk = disk.filter(|&disk| usize::from(disk) < MAX_DISKS);
        let request = disk.zip(Op::new(code & 0xff)).map(|(disk, op)| Self {
            id,
            disk,
            op,
            offset,
            sector: u64::from(high) << 32 | u64::from(low),
            count,
        });
        request
            .filter(|request| request.is_sound(data))
            .ok_or(Refused { id })
    }
}

/// Low and high word.
pub(crate) const fn halves(value: u64) -> [u32; 2] {
    #[expect(clippy::cast_possible_truncation, reason = "the high half follows")]
    [value as u32, (value >> 32) as u32]
}

/// What became of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Status {
    /// It is done.
    Done = 0,
    /// The device says that it failed, and nobody knows how much was done.
    Failed = 1,
    /// It makes no sense, or reaches past the disk's end.
    Invalid = 2,
    /// The disk may not be written.
    ReadOnly = 3,
    /// The disk cannot do this.
    Unsupported = 4,
    /// There is no such disk, or none any more.
    Gone = 5,
}

impl Status {
    /// The status of that number; one that nobody knows is a failure.
    const fn new(code: u32) -> Self {
        match code {
            0 => Self::Done,
            2 => Self::Invalid,
            3 => Self::ReadOnly,
            4 => Self::Unsupported,
            5 => Self::Gone,
            _ => Self::Failed,
        }
    }
}

/// An answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Answer {
    /// The request's number.
    pub id: u32,
    /// What became of it.
    pub status: Status,
}

impl Answer {
    pub(crate) const fn to_words(self) -> [u32; ANSWER_WORDS] {
        [self.status as u32, self.id, 0, 0]
    }

    pub(crate) const fn from_words([status, id, ..]: [u32; ANSWER_WORDS]) -> Self {
        Self {
            id,
            status: Status::new(status),
        }
    }
}
