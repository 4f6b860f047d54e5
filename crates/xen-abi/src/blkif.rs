//! Block devices: the ring that a front end shares with its back end (public/io/blkif.h, ring.h).
//!
//! A ring is one or more pages: indices at the front, then slots of [`SLOT`] bytes, which both
//! requests and responses use. Sectors are of 512 bytes, whatever the disk's own are.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The ring's shape.
pub mod ring {
    pub use crate::ring::{HEADER, REQ_EVENT, REQ_PROD, RSP_EVENT, RSP_PROD};

    /// Largest ring: 2^order pages.
    pub const MAX_ORDER: u32 = 4;
    /// Pages of the largest ring.
    pub const MAX_PAGES: usize = 1 << MAX_ORDER;
}

/// Bytes of a slot: as many as a request has.
pub const SLOT: u32 = 112;

const _: () = {
    use crate::ring::slots;
    assert!(slots(1, SLOT) == 32 && slots(2, SLOT) == 64 && slots(16, SLOT) == 512);
    assert!(slots(0, SLOT) == 0);
};

/// What a request asks for (`BLKIF_OP_*`).
pub mod op {
    /// Reads.
    pub const READ: u8 = 0;
    /// Writes.
    pub const WRITE: u8 = 1;
    /// Writes, and what came before is on the medium first.
    pub const WRITE_BARRIER: u8 = 2;
    /// What was written is on the medium.
    pub const FLUSH: u8 = 3;
    /// The contents of sectors may be forgotten: [`Discard`](super::Discard).
    pub const DISCARD: u8 = 5;
    /// A request whose segments are in pages of their own: [`Indirect`](super::Indirect).
    pub const INDIRECT: u8 = 6;
}

/// What became of a request (`BLKIF_RSP_*`).
pub mod status {
    /// It is done.
    pub const OKAY: i16 = 0;
    /// It failed.
    pub const ERROR: i16 = -1;
    /// There is no such operation here.
    pub const UNSUPPORTED: i16 = -2;
}

/// `BLKIF_DISCARD_SECURE`: the contents must not come back.
pub const DISCARD_SECURE: u8 = 1;

/// Most segments of a request that has them in its slot (`BLKIF_MAX_SEGMENTS_PER_REQUEST`).
pub const SEGMENTS: usize = 11;
/// Most pages with segments of an indirect request.
pub const INDIRECT_PAGES: usize = 8;
/// Segments in such a page.
pub const SEGMENTS_PER_PAGE: usize = 512;
/// Last sector of a page.
pub const LAST_SECTOR: u8 = 7;

/// `blkif_request_segment`: a part of a granted page.
#[derive(
    Clone, Copy, PartialEq, Eq, Debug, Default, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct Segment {
    /// Grant of the page.
    pub gref: u32,
    /// First sector in it.
    pub first: u8,
    /// Last sector, at most [`LAST_SECTOR`].
    pub last: u8,
    /// Unused.
    pub pad: u16,
}
layout!(Segment, 8; gref @ 0, first @ 4, last @ 5);

/// `blkif_request`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct Request {
    /// [`op`].
    pub op: u8,
    /// Segments that count.
    pub nr_segments: u8,
    /// Which device, for the front end.
    pub handle: u16,
    /// Unused.
    pub pad: u32,
    /// Its number, for the response.
    pub id: u64,
    /// First sector.
    pub sector: u64,
    /// What is read or written, in order.
    pub segments: [Segment; SEGMENTS],
}
layout!(Request, SLOT as usize; op @ 0, nr_segments @ 1, handle @ 2, id @ 8, sector @ 16, segments @ 24);

/// `blkif_request_indirect`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct Indirect {
    /// [`op::INDIRECT`].
    pub op: u8,
    /// What it is: [`op::READ`] or [`op::WRITE`].
    pub imm_op: u8,
    /// Segments.
    pub nr_segments: u16,
    /// Unused.
    pub pad: u32,
    /// Its number, for the response.
    pub id: u64,
    /// First sector.
    pub sector: u64,
    /// Which device, for the front end.
    pub handle: u16,
    /// Unused.
    pub pad2: u16,
    /// Grants of the pages with segments.
    pub pages: [u32; INDIRECT_PAGES],
    /// Unused.
    pub pad3: u32,
}
layout!(Indirect, 64; op @ 0, imm_op @ 1, nr_segments @ 2, id @ 8, sector @ 16, handle @ 24, pages @ 28);

/// `blkif_request_discard`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct Discard {
    /// [`op::DISCARD`].
    pub op: u8,
    /// [`DISCARD_SECURE`].
    pub flag: u8,
    /// Which device, for the front end.
    pub handle: u16,
    /// Unused.
    pub pad: u32,
    /// Its number, for the response.
    pub id: u64,
    /// First sector.
    pub sector: u64,
    /// Sectors.
    pub nr_sectors: u64,
}
layout!(Discard, 32; op @ 0, flag @ 1, id @ 8, sector @ 16, nr_sectors @ 24);

/// `blkif_response`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct Response {
    /// Number of the request.
    pub id: u64,
    /// Its operation.
    pub op: u8,
    /// Unused.
    pub pad: u8,
    /// [`status`].
    pub status: i16,
    /// Unused.
    pub pad2: u32,
}
layout!(Response, 16; id @ 0, op @ 8, status @ 10);
