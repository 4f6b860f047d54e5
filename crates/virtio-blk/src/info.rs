//! What a device is.

use virtio_drivers::Error;
use virtio_drivers::transport::Transport;

use crate::SECTOR;

bitflags::bitflags! {
    /// Features that are used (Virtio 1.2, 5.2.3 and 6).
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub(crate) struct Feature: u64 {
        const READ_ONLY = 1 << 5;
        const BLOCK_SIZE = 1 << 6;
        const FLUSH = 1 << 9;
        const TOPOLOGY = 1 << 10;
        const DISCARD = 1 << 13;
        const VERSION_1 = 1 << 32;
    }
}

/// A device, as it says itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Info {
    /// Sectors of [`SECTOR`] bytes.
    pub sectors: u64,
    /// Bytes of its own sectors.
    pub sector_size: u32,
    /// Bytes of the smallest piece that it writes without reading.
    pub physical_size: u32,
    /// It cannot be written.
    pub read_only: bool,
    /// It has a cache that is lost with the power, and can flush it.
    pub flush: bool,
    /// How it discards, if it can.
    pub discard: Option<Discard>,
}

/// How a device discards.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Discard {
    /// Most sectors at once.
    pub most: u32,
    /// Sectors of the smallest piece that it can forget.
    pub granularity: u32,
}

// Offsets in the configuration (Virtio 1.2, 5.2.4).
const CAPACITY: usize = 0;
const BLOCK_SIZE: usize = 20;
const PHYSICAL_EXPONENT: usize = 24;
const DISCARD_MOST: usize = 36;
const DISCARD_ALIGNMENT: usize = 44;

impl Info {
    /// Reads the configuration of a device with these features.
    pub(crate) fn read(transport: &impl Transport, features: Feature) -> Result<Self, Error> {
        let word = |at| transport.read_config_space::<u32>(at);
        let sectors = transport.read_consistent(|| {
            Ok(u64::from(word(CAPACITY)?) | u64::from(word(CAPACITY + 4)?) << 32)
        })?;
        #[expect(clippy::cast_possible_truncation, reason = "512")]
        let mut sector_size = SECTOR as u32;
        if features.contains(Feature::BLOCK_SIZE) {
            sector_size = word(BLOCK_SIZE)?;
        }
        let mut physical_size = sector_size;
        if features.contains(Feature::TOPOLOGY) {
            let exponent: u8 = transport.read_config_space(PHYSICAL_EXPONENT)?;
            physical_size = sector_size
                .checked_shl(exponent.into())
                .unwrap_or(sector_size);
        }
        let mut discard = None;
        if features.contains(Feature::DISCARD) {
            let (most, granularity) = (word(DISCARD_MOST)?, word(DISCARD_ALIGNMENT)?.max(1));
            discard = (most > 0).then_some(Discard { most, granularity });
        }
        Ok(Self {
            sectors,
            sector_size,
            physical_size,
            read_only: features.contains(Feature::READ_ONLY),
            flush: features.contains(Feature::FLUSH),
            discard,
        })
    }
}
