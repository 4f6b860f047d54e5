//! Page tables: some are kept at hand, because a split must not miss one.

use core::cell::Cell;

use memory_server_api::{Error as MemoryError, Reply, Request, Slot};

use super::error::Error;
use super::map::{MALFORMED, Space, ask};
use super::{P2m, TABLE_BATCH};
use crate::host::Host;

const ROOM: usize = 2 * TABLE_BATCH as usize;

/// Slots of page tables that are installed nowhere.
#[derive(Debug)]
pub(super) struct Tables {
    slots: [Cell<u32>; ROOM],
    len: Cell<usize>,
}

impl Tables {
    pub(super) const fn new() -> Self {
        Self {
            slots: [const { Cell::new(0) }; ROOM],
            len: Cell::new(0),
        }
    }
    fn len(&self) -> usize {
        self.len.get()
    }
    /// Adds one; false if there is no room.
    fn push(&self, table: Slot) -> bool {
        let Some(place) = self.slots.get(self.len()) else {
            return false;
        };
        place.set(table.0);
        self.len.set(self.len() + 1);
        true
    }
    fn last(&self) -> Option<Slot> {
        let place = self.slots.get(self.len().checked_sub(1)?)?;
        Some(Slot(place.get()))
    }
    fn drop_last(&self) {
        self.len.set(self.len().saturating_sub(1));
    }
}

impl P2m<'_> {
    /// Has at least `count` page tables at hand.
    pub(super) fn reserve_tables<H: Host>(&self, host: &mut H, count: usize) -> Result<(), Error> {
        // Many while the guest is built, what is needed later on, when it waits for them.
        let batch = if self.is_built.get() {
            u32::try_from(count.saturating_sub(self.tables.len()))
                .map_or(TABLE_BATCH, |n| n.clamp(1, TABLE_BATCH))
        } else {
            TABLE_BATCH
        };
        // Each round brings one at least.
        for _ in 0..count {
            if self.tables.len() >= count {
                break;
            }
            let Reply::Tables { first, count: got } = ask(host, Request::Tables { count: batch })?
            else {
                return Err(MALFORMED);
            };
            for n in 0..got.min(batch) {
                // Fits: fewer than a batch were left.
                self.tables.push(Slot(first.0.saturating_add(n)));
            }
        }
        if self.tables.len() >= count {
            Ok(())
        } else {
            Err(MemoryError::NoTables.into())
        }
    }

    /// Installs a page table. One that cannot be installed is kept for later.
    pub(super) fn map_table<H: Host>(&self, host: &mut H, space: Space) -> Result<(), Error> {
        self.reserve_tables(host, 1)?;
        let table = self
            .tables
            .last()
            .ok_or(Error::Memory(MemoryError::NoTables))?;
        match space {
            Space::Guest(gpa) | Space::GuestReadOnly(gpa) => host.map_guest_table(table, gpa),
            Space::Window(at) => host.map_window_table(table, at),
        }
        .map_err(Error::Map)?;
        self.tables.drop_last();
        Ok(())
    }
}
