//! Page tables that are kept until they are needed.

use core::cell::Cell;

use memory_server_api::Slot;

/// Page tables that are made at a time while the guest is built.
pub(super) const TABLE_BATCH: u32 = 8;
/// Page tables at hand without which nothing is split.
pub(super) const SPLIT_TABLES: usize = 2;

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
    pub(super) fn len(&self) -> usize {
        self.len.get()
    }
    /// Adds one; false if there is no room.
    pub(super) fn push(&self, table: Slot) -> bool {
        let Some(place) = self.slots.get(self.len()) else {
            return false;
        };
        place.set(table.0);
        self.len.set(self.len() + 1);
        true
    }
    pub(super) fn last(&self) -> Option<Slot> {
        let place = self.slots.get(self.len().checked_sub(1)?)?;
        Some(Slot(place.get()))
    }
    pub(super) fn drop_last(&self) {
        self.len.set(self.len().saturating_sub(1));
    }
}
