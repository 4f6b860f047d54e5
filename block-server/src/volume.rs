//! What a guest has: a part of a device.

use block_server_api::{DiskInfo, Part, Request, VolumeSpec};

use crate::devices::{Area, Command};
use crate::gpt::{Lookup, Table};

/// Where `part` is on a device of `sectors` sectors with this table: first sector and sectors.
/// `None` where there is no such part.
fn place(part: &Part, sectors: u64, table: Option<&Table>) -> Option<(u64, u64)> {
    let which = match part {
        Part::Whole => return Some((0, sectors)),
        Part::Number(number) => Lookup::Number(*number),
        Part::Label(label) => Lookup::Label(label),
    };
    let partition = table?.find(which)?;
    Some((partition.first, partition.sectors()))
}

/// A part of a device that a guest has.
#[derive(Clone, Debug)]
pub(crate) struct Volume {
    pub(crate) spec: VolumeSpec,
    /// Where it is and what the guest sees of it, once it is known to be there and free.
    pub(crate) place: Option<Place>,
}

/// Where a volume is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Place {
    /// Its first sector on the device.
    pub(crate) first: u64,
    /// The disk as the guest sees it.
    pub(crate) info: DiskInfo,
}

impl Place {
    /// The place of `spec` on the device `device`; `None` where it has no such part.
    pub(crate) fn of(spec: &VolumeSpec, device: &DiskInfo, table: Option<&Table>) -> Option<Self> {
        let (first, sectors) = place(&spec.part, device.sectors, table)?;
        // A table may be older than the disk is now.
        let end = first.checked_add(sectors)?;
        let unit = u64::from(device.sector_size / block_server_api::SECTOR).max(1);
        let aligned = first.is_multiple_of(unit) && sectors.is_multiple_of(unit);
        let info = DiskInfo {
            sectors,
            read_only: device.read_only || spec.read_only,
            discard: device.discard && !device.read_only && !spec.read_only,
            ..*device
        };
        (end <= device.sectors && aligned && info.is_sound()).then_some(Self { first, info })
    }

    /// Whether a sector of the device belongs to both.
    pub(crate) fn meets(&self, other: &Self) -> bool {
        let end = |place: &Self| place.first.saturating_add(place.info.sectors);
        self.first < end(other) && other.first < end(self)
    }

    /// `request` of guest `guest` as a command; the request has passed [`DiskInfo::check`].
    pub(crate) fn command(&self, guest: usize, request: &Request) -> Command {
        // A flush has no place.
        let sector = match request.count {
            0 => 0,
            _ => self.first.saturating_add(request.sector),
        };
        Command {
            op: request.op,
            sector,
            count: request.count,
            area: Area::Guest(guest),
            offset: request.offset,
        }
    }
}
