//! Words of a virtio block device as those of the block server.

use block_server_api::{DiskInfo, Op, SECTOR, Status};
use virtio_blk::{Info, Outcome};

/// What the device is.
#[must_use]
pub fn info(info: &Info) -> DiskInfo {
    let granularity = info
        .discard
        .map_or(0, |discard| discard.granularity.saturating_mul(SECTOR));
    DiskInfo {
        sectors: info.sectors,
        sector_size: info.sector_size,
        physical_size: info.physical_size,
        read_only: info.read_only,
        flush: info.flush,
        discard: info.discard.is_some(),
        discard_granularity: granularity,
    }
}

/// The device's word for an operation.
#[must_use]
pub const fn op(op: Op) -> virtio_blk::Op {
    match op {
        Op::Read => virtio_blk::Op::Read,
        Op::Write => virtio_blk::Op::Write,
        Op::Flush => virtio_blk::Op::Flush,
        Op::Discard => virtio_blk::Op::Discard,
    }
}

/// What became of a request.
#[must_use]
pub const fn status(outcome: Outcome) -> Status {
    match outcome {
        Outcome::Done => Status::Done,
        Outcome::Failed => Status::Failed,
        Outcome::Unsupported => Status::Unsupported,
    }
}
