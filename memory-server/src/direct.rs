//! Domains whose guest frames are the machine frames of the same number (`direct-map`, DM-2, DM-6).
//!
//! Such a domain names the frame that it wants by its guest frame number and gets exactly that
//! frame or none. The server looks the address up in its records of the domain's own static memory.
//! Splitting a 2 MiB frame of memory that the kernel owns would move its contents to other frames,
//! so such memory is granted in pages from the start.

use hv_types::Gfn;
use memory_server_api::{Error, Slot};

use crate::domain::DomainIndex;
use crate::kernel::Kernel;
use crate::manifest::Purpose;
use crate::pages::Taken;
use crate::records::{BlockState, PageId, PageState};
use crate::server::MemoryServer;

impl MemoryServer<'_> {
    /// Whether populate requests of `d` name machine frames.
    pub(crate) fn is_direct(&self, d: u8) -> bool {
        self.dom(d).config.direct
    }

    /// The block of `d`'s static memory, and the page in it, that is machine frame `mfn`.
    fn own_frame(&self, d: u8, mfn: u64) -> Result<(u32, u32), Error> {
        let paddr = mfn
            .checked_mul(hv_types::PAGE_SIZE)
            .ok_or(Error::NotYours)?;
        let (untyped, offset) = self
            .untypeds
            .iter()
            .filter(|u| u.purpose == Purpose::Static(DomainIndex(d)) && u.blocks > 0)
            .filter_map(|u| Some((u, paddr.checked_sub(u.paddr)?)))
            .find(|(u, offset)| offset >> u.size_bits == 0)
            .ok_or(Error::NotYours)?;
        let block = u32::try_from(offset >> hv_types::BLOCK_SHIFT).map_err(|_| Error::NotYours)?;
        #[expect(clippy::cast_possible_truncation, reason = "nine bits")]
        let page = (offset >> hv_types::PAGE_SHIFT) as u32 & (hv_types::PAGES_PER_BLOCK - 1);
        Ok((untyped.first + block, page))
    }

    /// The free block that begins at machine frame `mfn`, off its list.
    ///
    /// # Errors
    /// [`Error::NotYours`] outside the domain's memory; [`Error::NoMemory`] where there is no whole
    /// block that can be split in place later: pages can be had.
    pub(crate) fn take_block_at(
        &mut self,
        kernel: &mut impl Kernel,
        d: u8,
        mfn: u64,
    ) -> Result<u32, Error> {
        let (b, page) = self.own_frame(d, mfn)?;
        if page != 0 || !self.untyped_of(b).device || self.is_short(b) {
            return Err(Error::NoMemory);
        }
        let unused = self
            .records
            .split_of(b)
            .is_some_and(|(_, split)| split.is_unused());
        match self.records.get(b).state {
            BlockState::Split if unused => {
                self.afford_unsplit(kernel, b)?;
                self.unsplit(kernel, b)?;
            }
            BlockState::Bare | BlockState::Used | BlockState::Framed => self.unlink_block(b),
            _ => return Err(Error::NoMemory),
        }
        self.carve(kernel, b)
            .inspect_err(|_| self.put_block_first(b))?;
        Ok(b)
    }

    /// Gives `d` the page of guest frame `gfn` again, if it returned that.
    ///
    /// # Errors
    /// [`Error::Kernel`]; nothing changed.
    pub(crate) fn regrant_page_at(
        &mut self,
        kernel: &mut impl Kernel,
        d: u8,
        gfn: Gfn,
    ) -> Result<Option<Slot>, Error> {
        let Ok((b, page)) = self.own_frame(d, gfn.raw()) else {
            return Ok(None);
        };
        let id = PageId::new(b, page);
        if self.records.get(b).state != BlockState::Split
            || self.records.page(id).state() != PageState::Returned
        {
            return Ok(None);
        }
        self.regrant(kernel, d, id, gfn).map(Some)
    }

    /// The page that is machine frame `mfn`, off its list.
    ///
    /// # Errors
    /// [`Error::NotYours`] outside the domain's memory, [`Error::WrongState`] if it is granted
    /// already.
    pub(crate) fn take_page_at(
        &mut self,
        kernel: &mut impl Kernel,
        d: u8,
        mfn: u64,
    ) -> Result<Taken, Error> {
        let (b, page) = self.own_frame(d, mfn)?;
        let id = PageId::new(b, page);
        let state = self.records.get(b).state;
        let fresh = match state {
            BlockState::Split if self.records.page(id).state() == PageState::Free => false,
            BlockState::Bare | BlockState::Used | BlockState::Framed => {
                self.unlink_block(b);
                self.carve(kernel, b)
                    .inspect_err(|_| self.put_block_first(b))?;
                self.spread(kernel, b)?;
                true
            }
            _ => return Err(Error::WrongState),
        };
        self.with_pool(d, |records, pool| records.unlink_page(&mut pool.pages, id));
        if let Some((_, split)) = self.records.split_of(b) {
            split.free -= 1;
        }
        Ok(Taken { id, fresh })
    }

    /// Takes a free static block off its list. The usual order is ascending, and finds it at the
    /// head.
    fn unlink_block(&mut self, b: u32) {
        let short = self.is_short(b);
        let home = self.records.get(b).home;
        let looks = self.with_pool(home, |records, pool| {
            let list = if short {
                &mut pool.short
            } else {
                &mut pool.blocks
            };
            records.unlink_block(list, b)
        });
        self.spend_looks(looks);
    }
}
