//! Giving a guest its RAM before it starts.

use dt_server_api::Bank;
use hv_types::{FrameSize, Gfn, PAGE_SHIFT, PAGES_PER_BLOCK};
use memory_server_api::{Error as MemoryError, Reply, Request};

use super::balloon::run;
use super::entry::BlockEntry;
use super::error::Error;
use super::map::{MALFORMED, ask, give_back};
use super::pool::SPLIT_TABLES;
use super::{P2m, block_start};
use crate::host::Host;

impl P2m<'_> {
    /// Fills `ram`, which lies in the banks, with RAM: 2 MiB frames wherever it has whole blocks
    /// and the server has whole frames, pages at the ragged ends. What the banks have besides are
    /// holes that the guest may populate.
    ///
    /// # Errors
    /// The first frame that could not be filled, and why. What was filled before stays.
    pub fn build<H: Host>(&mut self, host: &mut H, ram: &[Bank]) -> Result<(), (Gfn, Error)> {
        let mut next = None;
        loop {
            next = self.build_some(host, ram, next, Request::MAX_BLOCKS)?;
            if next.is_none() {
                return Ok(());
            }
        }
    }

    /// The next piece of [`P2m::build`], at most `blocks` whole blocks: fills from `from` on,
    /// `None` for the first frame of all, and returns where to go on, `None` at the end.
    ///
    /// # Errors
    /// As [`P2m::build`].
    pub fn build_some<H: Host>(
        &mut self,
        host: &mut H,
        ram: &[Bank],
        from: Option<Gfn>,
        blocks: u32,
    ) -> Result<Option<Gfn>, (Gfn, Error)> {
        let from = from.map_or(0, Gfn::raw);
        // Banks ascend: the first that ends behind `from` holds it or comes next.
        let frames = ram.iter().map(|bank| {
            let first = bank.start().gfn().raw();
            (first, first.saturating_add(bank.size() >> PAGE_SHIFT))
        });
        let Some((first, end)) = frames.into_iter().find(|(_, end)| from < *end) else {
            // The first split will not wait for them, if they can be had.
            let _ = self.reserve_tables(host, SPLIT_TABLES);
            self.is_built.set(true);
            return Ok(None);
        };
        let gfn = from.max(first);
        let filled = self
            .fill(host, gfn, end, blocks)
            .map_err(|error| (Gfn::new(gfn), error))?;
        Ok(Some(Gfn::new(gfn + filled)))
    }

    /// Fills RAM from `gfn` on, as much as one request brings; returns how many pages that was.
    fn fill<H: Host>(&mut self, host: &mut H, gfn: u64, end: u64, most: u32) -> Result<u64, Error> {
        let block_pages = u64::from(PAGES_PER_BLOCK);
        let whole = (end - gfn) / block_pages;
        let block = self.block_of(Gfn::new(gfn)).ok_or(Error::BadGfn)?;
        if gfn != block_start(gfn) || whole == 0 || self.block(block) != BlockEntry::Empty {
            return self.fill_pages(host, gfn, end);
        }
        let blocks = u32::try_from(whole).unwrap_or(u32::MAX).min(most);
        match self.populate_blocks(host, gfn, blocks) {
            Ok(count) => Ok(u64::from(count) * block_pages),
            // The rest of the memory is in smaller pieces.
            Err(Error::Memory(MemoryError::NoMemory)) => {
                self.set_block(block, BlockEntry::Paged);
                self.fill_pages(host, gfn, end)
            }
            Err(error) => Err(error),
        }
    }

    /// Fills single pages from `gfn` on to the end of the 2 MiB, as many as one batch has.
    fn fill_pages<H: Host>(&mut self, host: &mut H, gfn: u64, end: u64) -> Result<u64, Error> {
        let end = end.min(block_start(gfn) + u64::from(PAGES_PER_BLOCK));
        let (list, count) = run(gfn, end - gfn);
        match self.populate_pages(host, &list[..count]) {
            (0, Some(error)) => Err(error),
            (filled, _) => Ok(filled as u64),
        }
    }

    /// Populates up to `blocks` empty blocks from `gfn` on; returns how many.
    pub(super) fn populate_blocks<H: Host>(
        &mut self,
        host: &mut H,
        gfn: u64,
        blocks: u32,
    ) -> Result<u32, Error> {
        let request = Request::PopulateBlocks {
            gfn: Gfn::new(gfn),
            blocks,
        };
        let Reply::Granted(run) = ask(host, request)? else {
            return Err(MALFORMED);
        };
        if run.size != FrameSize::Block || run.count > blocks {
            return Err(MALFORMED);
        }
        for n in 0..run.count {
            let at = Gfn::new(gfn + u64::from(n) * u64::from(PAGES_PER_BLOCK));
            let mapped = match (self.block_of(at), at.gpa()) {
                (Some(block), Some(gpa)) => self
                    .map_both(host, run.slot(n), gpa, FrameSize::Block)
                    .map(|()| block),
                _ => Err(Error::BadGfn),
            };
            match mapped {
                Ok(block) => self.set_block(block, BlockEntry::Whole(run.slot(n))),
                Err(error) => {
                    (n..run.count).for_each(|n| give_back(host, run.slot(n)));
                    return if n == 0 { Err(error) } else { Ok(n) };
                }
            }
            self.note_mapped(Gfn::new(at.raw() + u64::from(PAGES_PER_BLOCK) - 1));
        }
        Ok(run.count)
    }
}
