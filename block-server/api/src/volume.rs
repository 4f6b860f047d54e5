//! What the domains file gives a guest.

use core::fmt;

use heapless::String;

/// Most bytes of a partition's label: 36 UTF-16 units, each at most three bytes of UTF-8.
pub const LABEL_MAX: usize = 108;

/// Which part of a device.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Part {
    /// All of it.
    Whole,
    /// The partition with this number, from 1.
    Number(u32),
    /// The partition with this label, of 1 to 36 characters.
    Label(String<LABEL_MAX>),
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole => write!(f, "the whole disk"),
            Self::Number(number) => write!(f, "partition {number}"),
            Self::Label(label) => write!(f, "partition \"{label}\""),
        }
    }
}

/// A disk of a guest, as the block server is told of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct VolumeSpec {
    /// The device's number: disks of the board come first, RAM disks behind them.
    pub device: usize,
    /// The part of it.
    pub part: Part,
    /// It may not be written.
    pub read_only: bool,
}
