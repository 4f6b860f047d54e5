//! Making pages of a 2 MiB block, contents kept.

use guest_mem::Window;
use hv_types::{BLOCK_SIZE, FrameSize, Gfn, Gpa, PAGES_PER_BLOCK, WindowAddr};
use memory_server_api::{Error as MemoryError, Granted, Reply, Request, Slot, SplitKind};

use super::entry::{Block, BlockEntry, PageEntry};
use super::error::Error;
use super::map::{MALFORMED, Space, ask};
use super::{P2m, SCRATCH};
use crate::host::{Host, MapError};

impl P2m<'_> {
    /// Splits the whole block `slot` at `gfn`.
    pub(super) fn split<H: Host>(
        &mut self,
        host: &mut H,
        block: Block,
        slot: Slot,
        gfn: Gfn,
    ) -> Result<(), Error> {
        let gpa = gfn.gpa().ok_or(Error::BadGfn)?;
        // Nothing may be missing once the block is gone: one table for the guest, one for the
        // window, one for the scratch place.
        self.reserve_tables(host, 3)?;
        let pages = match ask(host, Request::Split { slot }) {
            Ok(Reply::Split { kind, pages }) if pages.count == PAGES_PER_BLOCK => match kind {
                SplitKind::InPlace => {
                    // There is no way back to the block, so a refusal gets a second chance; what is
                    // mapped already is mapped again at its place.
                    self.map_pages(host, pages, gpa)
                        .or_else(|_| self.map_pages(host, pages, gpa))
                        .map_err(|_| Error::Broken)?;
                    pages
                }
                SplitKind::Copy => {
                    self.copy_block(host, slot, pages, gpa)?;
                    pages
                }
            },
            Ok(_) => return Err(MALFORMED),
            Err(Error::Memory(MemoryError::Kernel)) => {
                self.map_block_again(host, slot, gpa)?;
                return Err(Error::Memory(MemoryError::Kernel));
            }
            Err(error) => return Err(error),
        };
        self.splits = self.splits.wrapping_add(1);
        self.set_block(block, BlockEntry::Paged);
        for n in 0..PAGES_PER_BLOCK {
            let page = Gfn::new(gfn.raw() + u64::from(n));
            self.set_page(block, page, PageEntry::Ram(pages.slot(n)));
        }
        Ok(())
    }

    /// Maps both sides of the pages of a block, whose own mappings are gone.
    fn map_pages<H: Host>(&mut self, host: &mut H, pages: Granted, gpa: Gpa) -> Result<(), Error> {
        self.map_run(host, pages, gpa, Side::Window)?;
        self.map_run(host, pages, gpa, Side::Guest)
    }

    fn map_run<H: Host>(
        &mut self,
        host: &mut H,
        pages: Granted,
        gpa: Gpa,
        side: Side,
    ) -> Result<(), Error> {
        for (n, at) in (0..pages.count).zip(page_addresses(gpa)) {
            let (slot, space) = side.of(pages.slot(n), at);
            self.map(host, slot, space, FrameSize::Page)?;
        }
        Ok(())
    }

    /// The server could not split in place: the block is still ours, its mappings perhaps not.
    pub(super) fn map_block_again<H: Host>(
        &mut self,
        host: &mut H,
        slot: Slot,
        gpa: Gpa,
    ) -> Result<(), Error> {
        for side in [Side::Window, Side::Guest] {
            let (slot, space) = side.of(slot, gpa);
            match self.map(host, slot, space, FrameSize::Block) {
                Ok(()) | Err(Error::Map(MapError::Occupied)) => {}
                Err(_) => return Err(Error::Broken),
            }
        }
        Ok(())
    }

    /// Moves the contents of block `slot` to `pages`, which take its place.
    fn copy_block<H: Host>(
        &mut self,
        host: &mut H,
        slot: Slot,
        pages: Granted,
        gpa: Gpa,
    ) -> Result<(), Error> {
        let mut undo = Undo::default();
        if let Err(error) = self.try_copy_block(host, slot, pages, gpa, &mut undo) {
            self.undo_copy(host, slot, gpa, &undo)?;
            return Err(error);
        }
        Ok(())
    }

    fn try_copy_block<H: Host>(
        &mut self,
        host: &mut H,
        slot: Slot,
        pages: Granted,
        gpa: Gpa,
        undo: &mut Undo,
    ) -> Result<(), Error> {
        let window = WindowAddr::new(gpa.raw());
        host.unmap(slot.window_cap()).map_err(Error::Map)?;
        undo.window = true;
        self.map(
            host,
            slot.window_cap(),
            Space::Window(SCRATCH),
            FrameSize::Block,
        )?;
        undo.window_table = Some(self.map_table(host, Space::Window(window))?);
        self.map_run(host, pages, gpa, Side::Window)?;
        let memory = host.window();
        // A guest with its caches off wrote past ours.
        memory.clean(SCRATCH, BLOCK_SIZE);
        memory.copy(SCRATCH, window, BLOCK_SIZE);
        memory.clean(window, BLOCK_SIZE);
        host.unmap(slot).map_err(Error::Map)?;
        undo.guest_table = Some(self.map_table(host, Space::Guest(gpa))?);
        self.map_run(host, pages, gpa, Side::Guest)?;
        ask(host, Request::SplitDone { slot }).map(|_| ())
    }

    /// Gives the pages back and maps the block again as it was.
    fn undo_copy<H: Host>(
        &mut self,
        host: &mut H,
        slot: Slot,
        gpa: Gpa,
        undo: &Undo,
    ) -> Result<(), Error> {
        // Revoking the pages unmaps them; their tables are then in the block's way.
        ask(host, Request::SplitAbort { slot }).map_err(|_| Error::Broken)?;
        for table in [undo.guest_table, undo.window_table].into_iter().flatten() {
            host.unmap_table(table).map_err(|_| Error::Broken)?;
            // Fits: it came from there.
            let _ = self.tables.push(table);
        }
        if undo.window {
            // Still at the scratch place, or nowhere.
            let _ = host.unmap(slot.window_cap());
        }
        self.map_block_again(host, slot, gpa)
    }
}

/// How far a copy came.
#[derive(Default)]
struct Undo {
    window: bool,
    window_table: Option<Slot>,
    guest_table: Option<Slot>,
}

#[derive(Clone, Copy)]
enum Side {
    Guest,
    Window,
}

impl Side {
    /// The capability and the place of this side for a frame at `gpa`.
    fn of(self, slot: Slot, gpa: Gpa) -> (Slot, Space) {
        match self {
            Self::Guest => (slot, Space::Guest(gpa)),
            Self::Window => (slot.window_cap(), Space::Window(WindowAddr::new(gpa.raw()))),
        }
    }
}

/// The addresses of the pages of the block at `gpa`.
fn page_addresses(gpa: Gpa) -> impl Iterator<Item = Gpa> {
    (0..u64::from(PAGES_PER_BLOCK)).filter_map(move |n| gpa.checked_add(n << hv_types::PAGE_SHIFT))
}
