//! What a person should know.

use core::fmt;

use crate::gpt::Fault;

/// Something that happened to a disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Notice {
    /// Guest `guest` has its disk `disk` now, of so many sectors.
    Ready {
        /// The guest's number, from 0.
        guest: usize,
        /// The disk's number for it.
        disk: u8,
        /// Sectors of 512 bytes.
        sectors: u64,
        /// It may not be written.
        read_only: bool,
    },
    /// There is no such part of the device, or its label is no single one's.
    NoPart {
        /// The guest's number, from 0.
        guest: usize,
        /// The disk's number for it.
        disk: u8,
    },
    /// The part is another guest's disk too, and one of them would write to it.
    Shared {
        /// The guest that does not get it.
        guest: usize,
        /// The disk's number for it.
        disk: u8,
        /// The guest that has it.
        other: usize,
    },
    /// The device has no partition table that could be used.
    NoTable {
        /// The device's number.
        device: usize,
        /// Why.
        fault: Fault,
    },
    /// The first copy of the table is damaged; the last one is used.
    Damaged {
        /// The device's number.
        device: usize,
        /// What is wrong with it.
        fault: Fault,
    },
    /// The device, or its driver, has gone.
    Gone {
        /// Its number.
        device: usize,
    },
}

impl Notice {
    /// The guest that it is about.
    #[must_use]
    pub const fn guest(&self) -> Option<usize> {
        match *self {
            Self::Ready { guest, .. } | Self::NoPart { guest, .. } | Self::Shared { guest, .. } => {
                Some(guest)
            }
            Self::NoTable { .. } | Self::Damaged { .. } | Self::Gone { .. } => None,
        }
    }

    /// The notice in words, with `names` of guests.
    pub fn with<'a>(self, names: &'a dyn Fn(usize) -> &'a str) -> impl fmt::Display + 'a {
        InWords(self, names)
    }
}

struct InWords<'a>(Notice, &'a dyn Fn(usize) -> &'a str);

impl fmt::Display for InWords<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.1;
        match self.0 {
            Notice::Ready {
                guest,
                disk,
                sectors,
                read_only,
            } => {
                let kind = if read_only { "read-only" } else { "writable" };
                let name = names(guest);
                write!(f, "disk {disk} of {name}: {} KiB, {kind}", sectors / 2)
            }
            Notice::NoPart { guest, disk } => {
                let name = names(guest);
                write!(
                    f,
                    "disk {disk} of {name}: the device has no such partition; the guest goes without"
                )
            }
            Notice::Shared { guest, disk, other } => {
                let (name, other) = (names(guest), names(other));
                write!(
                    f,
                    "disk {disk} of {name}: {other} has the same sectors, and one of them would write; {name} goes without"
                )
            }
            Notice::NoTable { device, fault } => write!(f, "device {device}: {fault}"),
            Notice::Damaged { device, fault } => {
                write!(f, "device {device}: {fault}; the copy at its end is used")
            }
            Notice::Gone { device } => {
                write!(f, "device {device} has gone; its users get errors")
            }
        }
    }
}
