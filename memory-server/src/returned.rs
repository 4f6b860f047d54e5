//! Memory that a living domain has given back: *returned*, neither its RAM nor free.
//!
//! A balloon mostly takes back what it gave (SM-12). So the capabilities of a returned page or
//! block stay in its last holder's grant CNode. Only that domain can reach it, and its contents are
//! that domain's anyway. The same domain gets its oldest returned page or block first, without a
//! kernel operation (but for the capabilities of a page that never had any, see `split`). Anybody
//! else gets it only after it is revoked, that is, free (SM-5); so does merging, splitting, or use
//! as an extra page. The heap serves others from free memory first, then revokes returned pages,
//! and only then makes pages of a block. Static memory that was returned is part of its domain's
//! reserve. Everything that gives RAM back takes this path: a balloon, a list of extents, a parked
//! page (BL-5).

use hv_types::Gfn;
use memory_server_api::{Error, Slot};

use crate::cost;
use crate::domain::DomainIndex;
use crate::domain::Kept;
use crate::kernel::Kernel;
use crate::pages::For;
use crate::populate::{BLOCK_PAGES, record_gfn};
use crate::records::{BlockState, HEAP, NIL, PageId, PageState};
use crate::server::MemoryServer;

impl MemoryServer<'_> {
    /// Pages that `d` has returned.
    pub(crate) fn returned(&self, d: u8) -> u64 {
        let dom = self.dom(d);
        u64::from(dom.returned.len()) + u64::from(dom.returned_blocks.len()) * BLOCK_PAGES
    }

    /// Whether the capability in `slot` is of a frame that `domain` has returned; for dumps and
    /// tests.
    pub fn is_returned(&self, domain: DomainIndex, slot: Slot) -> bool {
        let d = domain.0;
        if usize::from(d) >= self.domains.len() {
            return false;
        }
        let Ok((_, b, page)) = self.named(d, slot) else {
            return false;
        };
        let block = self.records.get(b);
        match self.records.splits.get(usize::from(block.split)) {
            Some(split) if block.state == BlockState::Split => {
                let page = &split.page[page as usize];
                page.state() == PageState::Returned && page.holder() == d
            }
            _ => block.state == BlockState::Returned && block.holder == d,
        }
    }

    /// Takes a RAM page of `d` as returned, which it names by `window`.
    pub(crate) fn return_page(
        &mut self,
        kernel: &mut impl Kernel,
        d: u8,
        window: u16,
        id: PageId,
    ) -> Result<(), Error> {
        if id.page() >= self.untyped_of(id.block()).pages()
            || self.held_window(d, id.block()) != Some(window)
        {
            return Err(Error::NotYours);
        }
        // A balloon does this for each page, so the record of the split is looked up once. Where
        // nobody is lent the page, that is.
        let split = self.records.split_of(id.block()).map(|(_, split)| split);
        let split = split.ok_or(Error::NotYours)?;
        if split.page[id.page() as usize].is_unlent_ram(d) {
            split.set_returned(d, id.page());
        } else {
            self.return_lent_page(kernel, d, id)?;
        }
        let mut list = self.dom(d).returned;
        self.records.push_page(&mut list, id);
        let dom = self.dom_mut(d);
        dom.returned = list;
        dom.ram -= 1;
        dom.released = true;
        Ok(())
    }

    /// Counts a page as returned of which all that is known is that it is not RAM of `d` without
    /// lends: one that is lent is taken away from whom it is lent to.
    #[cold]
    #[inline(never)]
    fn return_lent_page(
        &mut self,
        kernel: &mut impl Kernel,
        d: u8,
        id: PageId,
    ) -> Result<(), Error> {
        let record = self.records.page(id);
        if record.state() != PageState::Ram || record.holder() != d {
            return Err(Error::NotYours);
        }
        self.end_lends(kernel, id)?;
        let s = self.records.get(id.block()).split;
        self.records.split(s).set_returned(d, id.page());
        Ok(())
    }

    /// Takes a whole heap block of `d` as returned.
    pub(crate) fn return_block(&mut self, d: u8, b: u32) {
        self.records.block(b).state = BlockState::Returned;
        self.uncount_whole(d, b);
        let mut list = self.dom(d).returned_blocks;
        self.records.push_block(&mut list, b);
        self.dom_mut(d).returned_blocks = list;
    }

    /// Gives `d` its oldest returned page again; `None` if there is none.
    ///
    /// # Errors
    /// [`Error::Kernel`]; nothing changed.
    pub(crate) fn regrant_page(
        &mut self,
        kernel: &mut impl Kernel,
        d: u8,
        gfn: Gfn,
    ) -> Result<Option<Slot>, Error> {
        let Some(word) = self.dom(d).returned.head() else {
            return Ok(None);
        };
        self.regrant(kernel, d, PageId::from_word(word), gfn)
            .map(Some)
    }

    /// Gives `d` a page again that it returned.
    ///
    /// # Errors
    /// [`Error::Kernel`]; nothing changed.
    pub(crate) fn regrant(
        &mut self,
        kernel: &mut impl Kernel,
        d: u8,
        id: PageId,
        gfn: Gfn,
    ) -> Result<Slot, Error> {
        if !self.records.is_granted(id) {
            self.grant_guest_side(kernel, d, id)?;
        }
        let mut list = self.dom(d).returned;
        self.records.unlink_page(&mut list, id);
        let dom = self.dom_mut(d);
        dom.returned = list;
        dom.ram += 1;
        // A balloon does this for each page, so the record of the split is looked up once.
        let block = *self.records.get(id.block());
        let split = self.records.split(block.split);
        let of = usize::from(d);
        split.returned[of] -= 1;
        split.held[of] += 1;
        let window = if block.home == HEAP {
            split.window[of]
        } else {
            block.window
        };
        let record = &mut split.page[id.page() as usize];
        record.set_ram(record_gfn(gfn.raw()));
        Ok(self.dom(d).layout.page(window, id.page()))
    }

    /// Gives `d` its oldest returned block again.
    pub(crate) fn regrant_block(&mut self, d: u8) -> Option<u32> {
        let mut list = self.dom(d).returned_blocks;
        let b = self.records.pop_block(&mut list)?;
        self.records.block(b).state = BlockState::Held;
        self.count_whole(d, b);
        let dom = self.dom_mut(d);
        dom.returned_blocks = list;
        dom.ram += BLOCK_PAGES;
        Some(b)
    }

    /// Takes a returned page off its domain's list; its capabilities are gone.
    pub(crate) fn unlist_returned(&mut self, id: PageId) {
        let d = self.records.page(id).holder();
        let mut list = self.dom(d).returned;
        self.records.unlink_page(&mut list, id);
        self.dom_mut(d).returned = list;
        if let Some((_, split)) = self.records.split_of(id.block()) {
            split.returned[usize::from(d)] -= 1;
        }
    }

    /// Revokes a returned page: it is free, and on no list.
    pub(crate) fn reclaim_page(
        &mut self,
        kernel: &mut impl Kernel,
        id: PageId,
    ) -> Result<(), Error> {
        self.revoke_page(kernel, id)?;
        let d = self.records.page(id).holder();
        self.unlist_returned(id);
        self.free_page(d, id);
        Ok(())
    }

    /// Revokes the oldest returned block of `d`: it is free. False if there is none.
    fn reclaim_block(&mut self, kernel: &mut impl Kernel, d: u8) -> Result<bool, Error> {
        let Some(b) = self.dom(d).returned_blocks.head() else {
            return Ok(false);
        };
        self.afford(cost::REVOKE + 2 * cost::DELETE + cost::RECORD)?;
        kernel
            .revoke(self.own.frame(b))
            .map_err(|_| Error::Kernel)?;
        let mut list = self.dom(d).returned_blocks;
        self.records.pop_block(&mut list);
        self.dom_mut(d).returned_blocks = list;
        self.free_block(d, b);
        Ok(true)
    }

    /// Revokes a block that some domain returned, if there is one.
    pub(crate) fn reclaim_any_block(&mut self, kernel: &mut impl Kernel) -> Result<(), Error> {
        for d in self.all_domains() {
            if self.reclaim_block(kernel, d)? {
                break;
            }
        }
        Ok(())
    }

    /// Revokes the oldest page that some domain returned to the heap and that is of use for
    /// `purpose`. It is free and on no list.
    pub(crate) fn reclaim_for(
        &mut self,
        kernel: &mut impl Kernel,
        purpose: For,
    ) -> Result<Option<PageId>, Error> {
        let window_left = match purpose {
            For::Ram(to) => {
                self.spend_window_looks(to);
                let kept = self.dom(to).kept_window();
                self.free_window(to, kept).is_some()
            }
            For::Extra => true,
        };
        for d in self.all_domains() {
            let Some(word) = self.dom(d).returned.head() else {
                continue;
            };
            let id = PageId::from_word(word);
            let usable = window_left
                || matches!(purpose, For::Ram(to) if self.held_window(to, id.block()).is_some());
            if usable && self.records.get(id.block()).home == HEAP {
                self.afford_revoke(d, 1)?;
                self.reclaim_page(kernel, id)?;
                return Ok(Some(id));
            }
        }
        Ok(None)
    }

    /// Makes sure that `d` has a free window, and `kept` beside it, by revoking what it returned in
    /// one.
    ///
    /// # Errors
    /// [`Error::NoMemory`] if it holds RAM in all of them, [`Error::Kernel`].
    pub(crate) fn ensure_window(
        &mut self,
        kernel: &mut impl Kernel,
        d: u8,
        kept: Kept,
    ) -> Result<(), Error> {
        self.spend_window_looks(d);
        if self.free_window(d, kept).is_some() || self.reclaim_block(kernel, d)? {
            return Ok(());
        }
        self.spend_looks(self.records.splits.len());
        let only_returned = self.records.splits.iter().find(|s| {
            let d = usize::from(d);
            s.block != NIL && s.held[d] == 0 && s.returned[d] > 0
        });
        let b = only_returned.map(|s| s.block).ok_or(Error::NoMemory)?;
        for id in self.pages_of(b) {
            let page = self.records.page(id);
            if page.state() == PageState::Returned && page.holder() == d {
                self.afford_revoke(d, 1)?;
                self.reclaim_page(kernel, id)?;
                self.put_page(id);
            }
        }
        Ok(())
    }

    /// Revokes up to `most` returned pages and blocks of `d`; returns how many there were.
    ///
    /// # Errors
    /// [`Error::Kernel`]; those before stay revoked.
    pub(crate) fn reclaim(
        &mut self,
        kernel: &mut impl Kernel,
        d: u8,
        most: u32,
    ) -> Result<u32, Error> {
        let mut done = 0;
        while done < most {
            if let Some(word) = self.dom(d).returned.head() {
                let id = PageId::from_word(word);
                self.afford_revoke(d, 1)?;
                self.reclaim_page(kernel, id)?;
                self.put_page(id);
            } else if !self.reclaim_block(kernel, d)? {
                break;
            }
            done += 1;
        }
        Ok(done)
    }

    pub(crate) fn all_domains(&self) -> core::ops::Range<u8> {
        0..u8::try_from(self.domains.len()).unwrap_or(u8::MAX)
    }
}
