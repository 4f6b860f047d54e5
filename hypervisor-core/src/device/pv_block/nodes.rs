//! Names in the store.

use core::fmt;

use block_server_api::DiskInfo;
use heapless::Vec;
use xen_abi::blkif::ring::MAX_ORDER;
use xen_abi::xenbus::state;

use super::request::MAX_SEGMENTS;
use crate::device::backend::link::Node;

/// `VDISK_READONLY` in `info`.
const READ_ONLY: u64 = 4;

/// What Linux calls the disk of that number.
#[derive(Clone, Copy, Debug)]
pub(super) struct Name(pub(super) u8);

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "xvd{}", char::from(b'a'.wrapping_add(self.0)))
    }
}

/// The number of the device: major 202 and 16 minors for each disk.
pub(super) const fn device(disk: u8) -> u32 {
    202 << 8 | (disk as u32) << 4
}

/// What a front end is offered, with `queues` queues at most.
pub(super) fn offer(queues: u8) -> [Node; 4] {
    [
        ("feature-max-indirect-segments", MAX_SEGMENTS as u64),
        ("multi-queue-max-queues", queues.into()),
        ("max-ring-page-order", MAX_ORDER.into()),
        ("state", state::INIT_WAIT.into()),
    ]
}

/// What a front end that has connected is told about the disk.
///
/// Grants are never kept mapped, so `feature-persistent` would make a front end copy everything
/// for nothing. A barrier is more than the server promises.
pub(super) fn about(info: &DiskInfo) -> Vec<Node, 12> {
    let flag = |set: bool| u64::from(set);
    let mut nodes = Vec::new();
    let discard = [
        ("feature-discard", 1),
        ("discard-granularity", info.discard_granularity.into()),
        ("discard-alignment", 0),
        ("discard-secure", 0),
    ];
    let all = [
        ("feature-flush-cache", flag(info.flush)),
        ("feature-barrier", 0),
        ("feature-persistent", 0),
    ];
    let numbers = [
        ("sectors", info.sectors),
        ("info", if info.read_only { READ_ONLY } else { 0 }),
        ("sector-size", info.sector_size.into()),
        ("physical-sector-size", info.physical_size.into()),
        ("state", state::CONNECTED.into()),
    ];
    let discard = discard.into_iter().filter(|_| info.discard);
    for node in all.into_iter().chain(discard).chain(numbers) {
        // They are as many.
        let _ = nodes.push(node);
    }
    nodes
}
