//! Why an operation failed, in words.

use core::fmt;

use super::Error;
use crate::host::MapError;

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
