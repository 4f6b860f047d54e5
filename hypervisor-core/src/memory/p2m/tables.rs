//! Page tables: some are kept at hand, because a split must not miss one.

use memory_server_api::{Error as MemoryError, Reply, Request, Slot};

use super::P2m;
use super::error::Error;
use super::map::{MALFORMED, Space, ask};
use super::pool::TABLE_BATCH;
use crate::host::Host;

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
