//! Mapping with page tables on demand.

use hv_types::{FrameSize, Gpa, WindowAddr};
use memory_server_api::{Error as MemoryError, MemoryServer, Reply, Request, Slot};

use super::P2m;
use super::error::Error;
use crate::host::{Host, MapError};

/// Most page tables that one mapping can lack: all levels below the root.
const LEVELS: usize = 3;

/// Which of the two address spaces.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Space {
    Guest(Gpa),
    /// The guest's, for a page that it may only read.
    GuestReadOnly(Gpa),
    Window(WindowAddr),
}

impl Space {
    /// The guest's, for a page that it may write, or only read.
    pub(super) const fn guest(gpa: Gpa, writable: bool) -> Self {
        if writable {
            Self::Guest(gpa)
        } else {
            Self::GuestReadOnly(gpa)
        }
    }
}

impl From<MemoryError> for Error {
    fn from(error: MemoryError) -> Self {
        Self::Memory(error)
    }
}

/// Sends a request.
pub(super) fn ask<H: Host>(host: &mut H, request: Request) -> Result<Reply, Error> {
    host.memory().call(request).map_err(Error::Memory)
}

/// The reply was not one to the request: the server and this VMM do not speak one language.
pub(super) const MALFORMED: Error = Error::Memory(MemoryError::Malformed);

/// Gives a block back whose mapping failed; what the server refuses stays with the domain.
pub(super) fn give_back<H: Host>(host: &mut H, slot: Slot) {
    if let Err(error) = host.memory().call(Request::Release { slot }) {
        host.log(format_args!(
            "the memory server does not take slot {} back: {error:?}",
            slot.0
        ));
    }
}

impl P2m<'_> {
    /// Maps a frame, with the page tables that are missing.
    pub(super) fn map<H: Host>(
        &self,
        host: &mut H,
        slot: Slot,
        space: Space,
        size: FrameSize,
    ) -> Result<(), Error> {
        for _ in 0..=LEVELS {
            let result = match space {
                Space::Guest(gpa) => host.map_guest(slot, gpa, size),
                Space::GuestReadOnly(gpa) => host.map_guest_read_only(slot, gpa),
                Space::Window(at) => host.map_window(slot, at, size),
            };
            match result {
                Ok(()) => return Ok(()),
                Err(MapError::MissingTable) => self.map_table(host, space)?,
                Err(error) => return Err(Error::Map(error)),
            }
        }
        Err(Error::Map(MapError::MissingTable))
    }

    /// Maps a frame of RAM in the window and for the guest; both or none.
    pub(super) fn map_both<H: Host>(
        &self,
        host: &mut H,
        slot: Slot,
        gpa: Gpa,
        size: FrameSize,
    ) -> Result<(), Error> {
        self.map(
            host,
            slot.window_cap(),
            Space::Window(WindowAddr::new(gpa.raw())),
            size,
        )?;
        self.map(host, slot, Space::Guest(gpa), size)
            .inspect_err(|_| {
                // If even this is refused, the window keeps a block that is about to be given back
                // and not looked at.
                let _ = host.unmap(slot.window_cap());
            })
    }
}
