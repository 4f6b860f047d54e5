//! RAM: populate and release. What becomes of released memory is told in `returned`.

use hv_types::{BLOCK_SIZE, FrameSize, Gfn};
use memory_server_api::{Batch, Error, Granted, Pages, Released, Slot};

use crate::cost;
use crate::domain::Kept;
use crate::kernel::Kernel;
use crate::pages::For;
use crate::records::{BlockState, HEAP, NIL, NIL16, PageId, PageState};
use crate::server::MemoryServer;
use crate::spare::Use;

pub(crate) const BLOCK_PAGES: u64 = BLOCK_SIZE >> hv_types::PAGE_SHIFT;

/// Guest frame as recorded.
pub(crate) fn record_gfn(gfn: u64) -> u32 {
    u32::try_from(gfn).unwrap_or(NIL)
}

impl MemoryServer<'_> {
    /// [`memory_server_api::Request::PopulateBlocks`].
    ///
    /// The run ends where the next block is too much for this message or does not lie in the next
    /// window, at the quota, at the end of the pool, and where the kernel refuses; it has at least
    /// one block.
    pub(crate) fn populate_blocks(
        &mut self,
        kernel: &mut impl Kernel,
        d: u8,
        gfn: Gfn,
        blocks: u32,
    ) -> Result<Granted, Error> {
        let dom = self.dom(d);
        if !gfn.raw().is_multiple_of(BLOCK_PAGES) {
            return Err(Error::Malformed);
        }
        // A direct-mapped domain names its frames, so they are contiguous whatever it gave back
        // (DM-3).
        if dom.config.is_static && !dom.config.direct && dom.released {
            return Err(Error::BadOrder);
        }
        let mut first = None;
        let mut count = 0;
        while count < blocks {
            let wanted = first.and_then(|w: u16| w.checked_add(u16::try_from(count).ok()?));
            let at = gfn.raw().saturating_add(u64::from(count) * BLOCK_PAGES);
            match self.populate_block(kernel, d, at, wanted) {
                Ok(Some(b)) => {
                    let block = self.records.block(b);
                    block.gfn = record_gfn(at);
                    first = first.or(Some(block.window));
                    count += 1;
                    if self.is_spent() {
                        break;
                    }
                }
                Ok(None) => break,
                Err(error) if count == 0 => return Err(error),
                Err(_) => break,
            }
        }
        let window = first.ok_or(Error::NoMemory)?;
        let slot = self.dom(d).layout.page(window, 0);
        Ok(Granted {
            first: slot,
            count,
            size: FrameSize::Block,
        })
    }

    /// Grants one block for guest frame `gfn`, in window `wanted` if that is given; `None` if the
    /// next block cannot have it.
    fn populate_block(
        &mut self,
        kernel: &mut impl Kernel,
        d: u8,
        gfn: u64,
        wanted: Option<u16>,
    ) -> Result<Option<u32>, Error> {
        let dom = self.dom(d);
        if dom.ram + BLOCK_PAGES > dom.config.max_pages {
            return Err(Error::OverQuota); // SM-13, BL-6
        }
        let home = self.ram_home(d);
        if let Some(oldest) = dom.returned_blocks.head() {
            let fits = wanted.is_none_or(|wanted| wanted == self.records.get(oldest).window);
            if !fits {
                return Ok(None);
            }
            if home == HEAP {
                let kept = self.kept_blocks(Use::Whole(d), self.is_copied(oldest));
                self.gather_blocks(kernel, home, kept)?;
                // That may have been what was gathered, and the next does not lie where this did.
                // Nothing is gathered twice.
                if self.dom(d).returned_blocks.head() != Some(oldest) {
                    return match wanted {
                        Some(_) => Ok(None),
                        None => self.populate_block(kernel, d, gfn, None),
                    };
                }
            }
            return Ok(self.regrant_block(d));
        }
        if home == HEAP {
            // Two searches for the lowest free window.
            self.spend_window_looks(d);
            self.spend_window_looks(d);
        }
        if home == HEAP && wanted.is_none() {
            self.ensure_window(kernel, d, Kept::One)?;
        }
        let b = if self.is_direct(d) {
            self.take_block_at(kernel, d, gfn)?
        } else {
            self.take_block(kernel, home, Use::Whole(d))?
        };
        let kept = Kept::One;
        let window = if home == HEAP {
            match wanted {
                Some(w) => Some(w)
                    .filter(|w| self.is_free_window(d, *w) && self.free_window(d, kept).is_some()),
                None => self.free_window(d, kept),
            }
        } else {
            let fixed = self.records.get(b).window;
            Some(fixed).filter(|w| *w != NIL16 && wanted.is_none_or(|wanted| wanted == *w))
        };
        let Some(window) = window else {
            self.put_block_first(b);
            return if wanted.is_some() {
                Ok(None)
            } else {
                Err(Error::NoMemory)
            };
        };
        self.grant_block(kernel, d, b, window)?;
        self.dom_mut(d).ram += BLOCK_PAGES;
        Ok(Some(b))
    }

    /// [`memory_server_api::Request::PopulatePages`]: page by page (SM-21), as far as it goes. It
    /// ends early if the next page is too much for this message.
    pub(crate) fn populate_pages(
        &mut self,
        kernel: &mut impl Kernel,
        d: u8,
        gfns: &Batch,
    ) -> Result<Pages, Error> {
        let mut pages = Pages::EMPTY;
        for gfn in gfns.items() {
            match self.populate_page(kernel, d, Gfn::new(u64::from(*gfn))) {
                Ok(page) => pages.push(page),
                Err(error) if pages.is_empty() => return Err(error),
                Err(error) => {
                    pages.error = Some(error).filter(|error| *error != Error::Again);
                    break;
                }
            }
            if self.is_spent() {
                break;
            }
        }
        Ok(pages)
    }

    /// One page of RAM: for a static domain the head of its own reserve (SM-6), for a direct-mapped
    /// one the frame that it names (DM-2), for another one that it returned itself, if there is
    /// any.
    pub(crate) fn populate_page(
        &mut self,
        kernel: &mut impl Kernel,
        d: u8,
        gfn: Gfn,
    ) -> Result<Slot, Error> {
        let dom = self.dom(d);
        if dom.ram >= dom.config.max_pages {
            return Err(Error::OverQuota);
        }
        let home = self.ram_home(d);
        let direct = self.is_direct(d);
        self.afford(cost::RECORD)?;
        if direct {
            if let Some(page) = self.regrant_page_at(kernel, d, gfn)? {
                return Ok(page);
            }
        } else if (home == HEAP || self.dom(d).pool.pages.is_empty())
            // The free pages of a reserve are older than the returned ones: they became pages when
            // neither was left.
            && let Some(page) = self.regrant_page(kernel, d, gfn)?
        {
            return Ok(page);
        }
        let taken = if direct {
            self.take_page_at(kernel, d, gfn.raw())?
        } else {
            self.take_page(kernel, home, For::Ram(d))?
        };
        let (b, page) = (taken.id.block(), taken.id.page());
        let kept = self.dom(d).kept_window();
        let Some(window) = self.page_window(d, b, kept) else {
            self.untake_page(kernel, taken);
            return Err(Error::NoMemory);
        };
        let slot = self.dom(d).layout.page(window, page);
        self.grant_page(kernel, d, taken, slot, For::Ram(d))?;
        let record = self.records.page(taken.id);
        record.set_ram(record_gfn(gfn.raw()));
        if let Some((_, split)) = self.records.split_of(b) {
            split.held[usize::from(d)] += 1;
            split.window[usize::from(d)] = window;
        }
        self.set_window(d, window, b);
        self.dom_mut(d).ram += 1;
        Ok(slot)
    }

    /// The window in which `d` has pages of split block `b`, or for a static block will have.
    pub(crate) fn held_window(&self, d: u8, b: u32) -> Option<u16> {
        let block = self.records.get(b);
        let window = if block.home == HEAP {
            let split = self.records.splits.get(usize::from(block.split))?;
            split.window[usize::from(d)]
        } else {
            block.window
        };
        Some(window).filter(|w| *w != NIL16)
    }

    /// The window in which `d` has, or will have, its pages of split block `b`; a new one leaves
    /// `kept` beside it.
    pub(crate) fn page_window(&self, d: u8, b: u32, kept: Kept) -> Option<u16> {
        let held = self.held_window(d, b);
        if held.is_some() || self.records.get(b).home != HEAP {
            return held;
        }
        self.free_window(d, kept)
    }

    /// [`memory_server_api::Request::Release`], the only way RAM comes back while a domain lives
    /// (SM-3).
    ///
    /// A slot that holds nothing of the caller's is refused: never granted, released already,
    /// another's (SM-4).
    pub(crate) fn release(
        &mut self,
        kernel: &mut impl Kernel,
        d: u8,
        slot: Slot,
    ) -> Result<(), Error> {
        let (window, b, page) = self.named(d, slot)?;
        if self.records.get(b).state == BlockState::Split {
            self.spend(cost::RECORD);
            return self.return_page(kernel, d, window, PageId::new(b, page));
        }
        let b = self.held_block(d, slot)?;
        if self.records.get(b).state == BlockState::Source {
            return Err(Error::WrongState);
        }
        if self.records.get(b).home == HEAP {
            self.return_block(d, b);
            self.spend(cost::RECORD);
        } else {
            // It comes back as pages if ever (SM-7), and those are other capabilities.
            self.take_back_block(kernel, d, b)?;
        }
        let dom = self.dom_mut(d);
        dom.ram -= BLOCK_PAGES;
        dom.released = true;
        Ok(())
    }

    /// [`memory_server_api::Request::ReleasePages`].
    pub(crate) fn release_pages(
        &mut self,
        kernel: &mut impl Kernel,
        d: u8,
        slots: &Batch,
    ) -> Result<Released, Error> {
        for (done, slot) in slots.items().iter().enumerate() {
            match self.release(kernel, d, Slot(*slot)) {
                Ok(()) => {}
                Err(error) if done == 0 => return Err(error),
                Err(error) => {
                    let error = Some(error);
                    return Ok(Released { done, error });
                }
            }
        }
        Ok(Released {
            done: slots.len(),
            error: None,
        })
    }

    /// Revokes a whole block and puts it at the end of its home's list.
    pub(crate) fn take_back_block(
        &mut self,
        kernel: &mut impl Kernel,
        d: u8,
        b: u32,
    ) -> Result<(), Error> {
        self.spend(cost::REVOKE + 2 * cost::DELETE + cost::RECORD);
        kernel
            .revoke(self.own.frame(b))
            .map_err(|_| Error::Kernel)?;
        if self.records.get(b).state == BlockState::Held {
            self.uncount_whole(d, b);
        }
        self.free_block(d, b);
        Ok(())
    }

    /// Records a whole block that `d` had as free, at the end of its home's list.
    pub(crate) fn free_block(&mut self, d: u8, b: u32) {
        let home = self.records.get(b).home;
        let block = self.records.block(b);
        block.state = BlockState::Framed;
        block.gfn = NIL;
        if home == HEAP {
            let window = core::mem::replace(&mut block.window, NIL16);
            self.set_window(d, window, NIL);
        }
        self.put_block(b);
    }

    /// Revokes a RAM page and puts it at the end of its home's list.
    pub(crate) fn take_back_page(
        &mut self,
        kernel: &mut impl Kernel,
        d: u8,
        id: PageId,
    ) -> Result<(), Error> {
        if self.records.is_made(id) {
            self.spend_revoke(d, 1);
        }
        self.revoke_page(kernel, id)?;
        if let Some((_, split)) = self.records.split_of(id.block()) {
            split.held[usize::from(d)] -= 1;
        }
        self.free_page(d, id);
        self.put_page(id);
        Ok(())
    }

    /// Records a page that `d` had as free, on no list, and its window as free if it was the last
    /// page there.
    pub(crate) fn free_page(&mut self, d: u8, id: PageId) {
        let record = self.records.page(id);
        record.set_unlisted(PageState::Free);
        if self.records.get(id.block()).home != HEAP {
            return;
        }
        let mut unused = None;
        if let Some((_, split)) = self.records.split_of(id.block()) {
            let d = usize::from(d);
            if split.held[d] == 0 && split.returned[d] == 0 {
                unused = Some(core::mem::replace(&mut split.window[d], NIL16));
            }
        }
        if let Some(window) = unused {
            self.set_window(d, window, NIL);
        }
    }
}
