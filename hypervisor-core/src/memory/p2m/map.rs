//! Mapping with page tables on demand.

use hv_types::{FrameSize, Gpa, WindowAddr};
use memory_server_api::{Error as MemoryError, MemoryServer, Reply, Request, Slot};

use super::error::Error;
use super::{P2m, TABLE_BATCH};
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
    /// Has at least `count` page tables at hand.
    pub(super) fn reserve_tables<H: Host>(
        &mut self,
        host: &mut H,
        count: usize,
    ) -> Result<(), Error> {
        // Each round brings one at least.
        for _ in 0..count {
            if self.tables.len() >= count {
                break;
            }
            let Reply::Tables { first, count: got } =
                ask(host, Request::Tables { count: TABLE_BATCH })?
            else {
                return Err(MALFORMED);
            };
            for n in 0..got.min(TABLE_BATCH) {
                // Fits: fewer than a batch were left.
                let _ = self.tables.push(Slot(first.0.saturating_add(n)));
            }
        }
        if self.tables.len() >= count {
            Ok(())
        } else {
            Err(MemoryError::NoTables.into())
        }
    }

    /// Maps a frame, with the page tables that are missing.
    pub(super) fn map<H: Host>(
        &mut self,
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
                Err(MapError::MissingTable) => self.map_table(host, space).map(|_| ())?,
                Err(error) => return Err(Error::Map(error)),
            }
        }
        Err(Error::Map(MapError::MissingTable))
    }

    /// Installs a page table and returns its slot. One that cannot be installed is kept for later.
    pub(super) fn map_table<H: Host>(&mut self, host: &mut H, space: Space) -> Result<Slot, Error> {
        self.reserve_tables(host, 1)?;
        let table = *self
            .tables
            .last()
            .ok_or(Error::Memory(MemoryError::NoTables))?;
        match space {
            Space::Guest(gpa) | Space::GuestReadOnly(gpa) => host.map_guest_table(table, gpa),
            Space::Window(at) => host.map_window_table(table, at),
        }
        .map_err(Error::Map)?;
        self.tables.pop();
        Ok(table)
    }

    /// Maps a frame of RAM in the window and for the guest; both or none.
    pub(super) fn map_both<H: Host>(
        &mut self,
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
