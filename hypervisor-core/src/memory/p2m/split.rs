//! Making pages of a 2 MiB block, contents kept.
//!
//! A split itself moves nothing: the pages are absent, and come when somebody looks at one of their
//! chunk (`touch`). Where they are other memory than the block was, their contents come with them,
//! from the block, which stays in the window. One block is copied at a time, so another one is
//! split by copying when the one before is all copied.

use hv_types::{FrameSize, Gfn, Gpa, PAGES_PER_BLOCK, WindowAddr};
use memory_server_api::{Error as MemoryError, MemoryServer, Reply, Request, Slot, SplitKind};

use super::entry::{ABSENT, Block, BlockEntry, Copying};
use super::error::Error;
use super::map::{MALFORMED, Space, ask};
use super::pool::SPLIT_TABLES;
use super::{P2m, PER_BLOCK, block_start};
use crate::host::{Host, MapError};

/// What happens when a split takes long.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Patience {
    /// The guest stands still.
    None,
    /// It is refused with [`MemoryError::Again`], and tried again when the guest has run.
    AsksAgain,
}

impl P2m<'_> {
    /// Splits the whole block `slot` at `gfn`.
    fn split<H: Host>(
        &mut self,
        host: &mut H,
        block: Block,
        slot: Slot,
        gfn: Gfn,
        patience: Patience,
    ) -> Result<(), Error> {
        let gpa = gfn.gpa().ok_or(Error::BadGfn)?;
        // Whether this one will be a copy only the server knows.
        while self.copying.get().is_some() {
            self.go_on_copying(host)?;
        }
        // Nothing may be missing once the block is gone: one table for the guest, and one for the
        // sights if this is the first.
        self.reserve_tables(host, SPLIT_TABLES)?;
        let patient = patience == Patience::AsksAgain;
        let request = Request::Split { slot, patient };
        let answer = match patience {
            Patience::AsksAgain => host.memory().send(request).map_err(Error::Memory),
            Patience::None => ask(host, request),
        };
        let pages = match answer {
            Ok(Reply::Split { kind, pages }) if pages.count == PAGES_PER_BLOCK => {
                if kind == SplitKind::Copy {
                    self.begin_copy(host, block, slot, gfn)?;
                }
                pages
            }
            Ok(_) => return Err(MALFORMED),
            Err(Error::Memory(MemoryError::Kernel)) => {
                self.map_block_again(host, slot, gpa)?;
                return Err(Error::Memory(MemoryError::Kernel));
            }
            Err(error) => return Err(error),
        };
        self.splits = self.splits.saturating_add(1);
        self.set_block(block, BlockEntry::Paged);
        let first = block.0 * PER_BLOCK;
        let words = self.pages.get(first..first + PER_BLOCK).unwrap_or(&[]);
        // RAM, and nothing lies over it. The guest waits for all 512.
        let mut entry = ABSENT | pages.first.0 << 3 | 1;
        let step = (pages.first.nth(1).0 - pages.first.0) << 3;
        let (groups, _) = words.as_chunks::<8>();
        for group in groups {
            for word in group {
                word.set(entry);
                entry = entry.wrapping_add(step);
            }
        }
        self.absent
            .set(self.absent.get().saturating_add(PAGES_PER_BLOCK));
        // Kept for the guest's next touch; what is refused here is tried again there.
        let _ = self
            .map_table(host, Space::Guest(gpa))
            .or_else(|_| self.map_table(host, Space::Guest(gpa)));
        self.show_kept(host, gfn, u64::from(PAGES_PER_BLOCK));
        Ok(())
    }

    /// Takes the block from the guest; in the window it stays where it is. If that is refused, all
    /// is as it was.
    fn begin_copy<H: Host>(
        &mut self,
        host: &mut H,
        block: Block,
        source: Slot,
        first: Gfn,
    ) -> Result<(), Error> {
        let gpa = first.gpa().ok_or(Error::BadGfn)?;
        if let Err(error) = host.unmap(source) {
            ask(host, Request::SplitAbort { slot: source }).map_err(|_| Error::Broken)?;
            self.map_block_again(host, source, gpa)?;
            return Err(Error::Map(error));
        }
        self.copying.set(Some(Copying {
            block,
            first,
            source,
        }));
        Ok(())
    }

    /// Whether another block than that of `gfn`, which is whole, has to be copied to its end before
    /// that can be split: [`P2m::go_on_copying`] does some of it.
    pub fn has_copy_before(&self, gfn: Gfn) -> bool {
        self.copying.get().is_some()
            && self
                .block_of(gfn)
                .is_some_and(|block| matches!(self.block(block), BlockEntry::Whole(_)))
    }

    /// Copies the next chunk of the split in hand, or ends it if none is left.
    ///
    /// # Errors
    /// The refusal of the server or the kernel; what is copied stays so.
    pub fn go_on_copying<H: Host>(&self, host: &mut H) -> Result<(), Error> {
        let Some(copy) = self.copying.get() else {
            return Ok(());
        };
        match self.next_absent(copy) {
            Some(gfn) => self.bring(host, copy.block, gfn),
            None => self.give_source_back(host, copy),
        }
    }

    /// The first page that is not copied.
    fn next_absent(&self, copy: Copying) -> Option<Gfn> {
        let first = copy.first.raw();
        (first..first + u64::from(PAGES_PER_BLOCK))
            .map(Gfn::new)
            .find(|gfn| self.word(copy.block, *gfn) & ABSENT != 0)
    }

    /// Ends the copy if all of it is done; what the server refuses now is asked again before the
    /// next one.
    pub(super) fn end_copy<H: Host>(&self, host: &mut H, copy: Copying) {
        if self.next_absent(copy).is_none() {
            let _ = self.give_source_back(host, copy);
        }
    }

    fn give_source_back<H: Host>(&self, host: &mut H, copy: Copying) -> Result<(), Error> {
        ask(host, Request::SplitDone { slot: copy.source })?;
        self.copying.set(None);
        Ok(())
    }

    /// Maps a block whose mappings may be gone.
    pub(super) fn map_block_again<H: Host>(
        &mut self,
        host: &mut H,
        slot: Slot,
        gpa: Gpa,
    ) -> Result<(), Error> {
        let window = WindowAddr::new(gpa.raw());
        for (slot, space) in [
            (slot.window_cap(), Space::Window(window)),
            (slot, Space::Guest(gpa)),
        ] {
            match self.map(host, slot, space, FrameSize::Block) {
                Ok(()) | Err(Error::Map(MapError::Occupied)) => {}
                Err(_) => return Err(Error::Broken),
            }
        }
        Ok(())
    }

    /// The block that holds `gfn` as pages: splits it if it is whole.
    ///
    /// # Errors
    /// The refusal of the server or the kernel. [`MemoryError::Again`] says that the guest may run
    /// before this is tried again; only who has the patience gets it.
    pub(super) fn paged<H: Host>(
        &mut self,
        host: &mut H,
        gfn: Gfn,
        patience: Patience,
    ) -> Result<Block, Error> {
        let block = self.block_of(gfn).ok_or(Error::BadGfn)?;
        if let BlockEntry::Whole(slot) = self.block(block) {
            self.split(
                host,
                block,
                slot,
                Gfn::new(block_start(gfn.raw())),
                patience,
            )?;
        }
        Ok(block)
    }
}
