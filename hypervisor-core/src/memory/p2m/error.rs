//! Why an operation failed, in words.

use core::fmt;

use memory_server_api::Error as MemoryError;

use crate::host::MapError;

/// Why an operation on the guest's memory map failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Error {
    /// The frame number has no address a guest can use, or the order is above 9.
    BadGfn,
    /// Nothing of that kind is there.
    Nothing,
    /// Something is there already.
    Occupied,
    /// The extra page is mapped at a frame already (EX-16).
    Busy,
    /// The memory server refused.
    Memory(MemoryError),
    /// The kernel refused a mapping.
    Map(MapError),
    /// A mapping the guest had could not be made again: its memory is not what it was.
    Broken,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BadGfn => "no guest can address it",
            Self::Nothing => "nothing of that kind is there",
            Self::Occupied => "something is mapped there already",
            Self::Busy => "the page is mapped at another frame already",
            Self::Memory(error) => return error.fmt(f),
            Self::Map(MapError::MissingTable) => "a page table is missing and could not be had",
            Self::Map(MapError::Occupied) => {
                "the kernel says that something is mapped there already"
            }
            Self::Map(MapError::NoFrame) => "the granted capability is gone",
            Self::Map(MapError::Refused) => "the kernel refused the mapping",
            Self::Broken => "a mapping that was there could not be made again",
        })
    }
}
