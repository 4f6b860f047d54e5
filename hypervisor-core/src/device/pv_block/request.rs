//! What a front end asks, from the bytes of a slot.

use core::mem::size_of;

use block_server_api::Op;
use xen_abi::blkif::{
    self, DISCARD_SECURE, Discard, INDIRECT_PAGES, Indirect, LAST_SECTOR, SEGMENTS,
    SEGMENTS_PER_PAGE, SLOT, Segment, op, status,
};
use zerocopy::FromBytes;

/// Most segments of an indirect request here: as many pages as the data area has.
pub const MAX_SEGMENTS: usize = 256;

const _: () = assert!(MAX_SEGMENTS <= SEGMENTS_PER_PAGE * INDIRECT_PAGES);

/// The bytes of a slot.
pub type Bytes = [u8; SLOT as usize];

/// A request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Asked {
    /// The front end's number for it.
    pub id: u64,
    /// Its operation, for the response.
    pub op: u8,
    /// What it is, or the status with which it is answered.
    pub work: Result<Work, i16>,
}

/// What a request is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Work {
    /// Sectors are read or written.
    Move {
        /// [`Op::Read`] or [`Op::Write`].
        op: Op,
        /// First of them.
        sector: u64,
        /// Where they go or come from.
        segments: Segments,
    },
    /// [`Op::Flush`] and [`Op::Discard`].
    Bare {
        /// Which.
        op: Op,
        /// First sector.
        sector: u64,
        /// Sectors.
        count: u32,
    },
}

/// Where the segments of a request are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Segments {
    /// They are these, of which the first so many count (1 to [`SEGMENTS`]).
    Here([Segment; SEGMENTS], usize),
    /// They are in pages with these grants, and there are so many (1 to [`MAX_SEGMENTS`]).
    There([u32; INDIRECT_PAGES], usize),
}

impl Segments {
    /// How many there are.
    pub const fn count(&self) -> usize {
        match *self {
            Self::Here(_, count) | Self::There(_, count) => count,
        }
    }
}

/// Sectors of a segment; `None` where it makes no sense.
pub fn sectors(segment: &Segment) -> Option<u32> {
    let sound = segment.first <= segment.last && segment.last <= LAST_SECTOR;
    sound.then(|| u32::from(segment.last - segment.first) + 1)
}

/// What the bytes of a slot ask for.
///
/// A request that is no good has a number all the same, with which it is answered.
pub fn decode(bytes: &Bytes) -> Asked {
    let Ok(request) = blkif::Request::read_from_bytes(bytes) else {
        // They are as many.
        return Asked {
            id: 0,
            op: 0,
            work: Err(status::ERROR),
        };
    };
    let work = match request.op {
        op::READ => direct(Op::Read, &request),
        op::WRITE => direct(Op::Write, &request),
        op::INDIRECT => indirect(bytes),
        op::FLUSH if request.nr_segments == 0 => Ok(Work::Bare {
            op: Op::Flush,
            sector: 0,
            count: 0,
        }),
        op::FLUSH => Err(status::ERROR),
        op::DISCARD => discard(bytes),
        _ => Err(status::UNSUPPORTED),
    };
    // Front ends want to hear what was done, not how it was described.
    let op = match request.op {
        op::INDIRECT => request.nr_segments,
        op => op,
    };
    Asked {
        id: request.id,
        op,
        work,
    }
}

fn direct(op: Op, request: &blkif::Request) -> Result<Work, i16> {
    let count = usize::from(request.nr_segments);
    if !(1..=SEGMENTS).contains(&count) {
        return Err(status::ERROR);
    }
    Ok(Work::Move {
        op,
        sector: request.sector,
        segments: Segments::Here(request.segments, count),
    })
}

fn indirect(bytes: &Bytes) -> Result<Work, i16> {
    let front = bytes.get(..size_of::<Indirect>()).unwrap_or(&[]);
    let request = Indirect::read_from_bytes(front).map_err(|_| status::ERROR)?;
    let op = match request.imm_op {
        op::READ => Op::Read,
        op::WRITE => Op::Write,
        _ => return Err(status::ERROR),
    };
    let count = usize::from(request.nr_segments);
    if !(1..=MAX_SEGMENTS).contains(&count) {
        return Err(status::ERROR);
    }
    Ok(Work::Move {
        op,
        sector: request.sector,
        segments: Segments::There(request.pages, count),
    })
}

fn discard(bytes: &Bytes) -> Result<Work, i16> {
    let front = bytes.get(..size_of::<Discard>()).unwrap_or(&[]);
    let request = Discard::read_from_bytes(front).map_err(|_| status::ERROR)?;
    if request.flag & DISCARD_SECURE != 0 {
        // Nobody here can promise that the contents do not come back.
        return Err(status::UNSUPPORTED);
    }
    let count = u32::try_from(request.nr_sectors).map_err(|_| status::ERROR)?;
    if count == 0 {
        return Err(status::ERROR);
    }
    Ok(Work::Bare {
        op: Op::Discard,
        sector: request.sector,
        count,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use zerocopy::{FromZeros, IntoBytes};

    fn request() -> blkif::Request {
        blkif::Request {
            id: 77,
            sector: 8,
            nr_segments: 2,
            ..blkif::Request::new_zeroed()
        }
    }

    fn bytes(request: &blkif::Request) -> Bytes {
        request.as_bytes().try_into().unwrap()
    }

    #[test]
    fn operations_that_there_are_not_are_said_to_be_unsupported() {
        for op in 0..=u8::MAX {
            let asked = decode(&bytes(&blkif::Request { op, ..request() }));
            let told = if op == op::INDIRECT { 2 } else { op };
            assert_eq!((asked.id, asked.op), (77, told));
            let known = [op::READ, op::WRITE, op::FLUSH, op::DISCARD, op::INDIRECT];
            assert_eq!(
                asked.work == Err(status::UNSUPPORTED),
                !known.contains(&op),
                "{op}"
            );
        }
    }

    #[test]
    fn counts_out_of_range_are_errors() {
        for count in 0..=u8::MAX {
            let asked = decode(&bytes(&blkif::Request {
                nr_segments: count,
                ..request()
            }));
            let count = usize::from(count);
            assert_eq!(asked.work.is_ok(), (1..=SEGMENTS).contains(&count));
        }
        for count in [0, 1, 256, 257, u16::MAX] {
            let indirect = Indirect {
                op: op::INDIRECT,
                imm_op: op::WRITE,
                nr_segments: count,
                ..Indirect::new_zeroed()
            };
            let mut slot = bytes(&request());
            slot[..64].copy_from_slice(indirect.as_bytes());
            assert_eq!(decode(&slot).work.is_ok(), (1..=256).contains(&count));
        }
    }

    #[test]
    fn a_segment_lies_in_a_page() {
        let segment = |first, last| Segment {
            first,
            last,
            ..Segment::default()
        };
        assert_eq!(sectors(&segment(0, 7)), Some(8));
        assert_eq!(sectors(&segment(3, 3)), Some(1));
        for (first, last) in [(4, 3), (0, 8), (8, 8), (255, 255), (0, 255)] {
            assert_eq!(sectors(&segment(first, last)), None);
        }
    }
}
