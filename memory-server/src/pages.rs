//! Single pages of split blocks: taking one from a pool, granting it, giving it back.

use hv_types::FrameSize;
use memory_server_api::{Error, Slot};

use crate::cost;
use crate::domain::DomainIndex;
use crate::kernel::{Kernel, Original};
use crate::records::{HEAP, NEVER, NIL, NIL16, PageId, PageState};
use crate::server::MemoryServer;
use crate::spare::Use;

/// A free page off its list, and whether a block was split to get it.
#[derive(Clone, Copy)]
pub(crate) struct Taken {
    pub(crate) id: PageId,
    pub(crate) fresh: bool,
}

/// What a page is taken for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum For {
    /// RAM of this domain; it needs a window.
    Ram(u8),
    /// An extra page.
    Extra,
}

impl MemoryServer<'_> {
    /// Where the page's own capability lies, if its frame exists.
    pub(crate) fn original(&self, id: PageId) -> Original {
        let (b, page) = (id.block(), id.page());
        let block = self.records.get(b);
        if block.home != HEAP {
            let d = DomainIndex(block.home);
            return Original::Granted(d, self.dom(d.0).layout.page(block.window, page));
        }
        Original::Own(self.own.page(block.split, page))
    }

    /// Puts a free page at the end of its list (SM-3: home decides which; SM-5: only after
    /// revocation).
    pub(crate) fn put_page(&mut self, id: PageId) {
        let home = self.records.get(id.block()).home;
        let s = self.records.get(id.block()).split;
        self.records.split(s).free += 1;
        if home == HEAP {
            let mut list = self.records.split(s).list;
            self.records.push_page(&mut list, id);
            self.records.split(s).list = list;
        } else {
            self.with_pool(home, |records, pool| records.push_page(&mut pool.pages, id));
        }
    }

    /// Takes a page for `purpose` from the pool `home`.
    pub(crate) fn take_page(
        &mut self,
        kernel: &mut impl Kernel,
        home: u8,
        purpose: For,
    ) -> Result<Taken, Error> {
        if let Some(id) = self.pop_page(home, purpose) {
            return Ok(Taken { id, fresh: false });
        }
        if home == HEAP {
            if let Some(id) = self.reclaim_for(kernel, purpose)? {
                return Ok(Taken { id, fresh: false });
            }
            if let For::Ram(d) = purpose {
                let kept = self.dom(d).kept_window();
                self.ensure_window(kernel, d, kept)?;
            }
        }
        let b = self.take_block_for_pages(kernel, home)?;
        self.spread(kernel, b)?;
        self.pop_page(home, purpose)
            .map(|id| Taken { id, fresh: true })
            .ok_or(Error::NoMemory)
    }

    /// Makes pages of a free block that is on no list, and puts them on theirs.
    pub(crate) fn spread(&mut self, kernel: &mut impl Kernel, b: u32) -> Result<(), Error> {
        self.split_free(kernel, b, Use::Pages)
            .inspect_err(|_| self.put_block_first(b))?;
        // `put_page` counts; the record says that all are free already.
        if let Some((_, split)) = self.records.split_of(b) {
            split.free = 0;
        }
        for id in self.pages_of(b) {
            self.put_page(id);
        }
        Ok(())
    }

    fn pop_page(&mut self, home: u8, purpose: For) -> Option<PageId> {
        let id = if home == HEAP {
            self.spend_looks(self.records.splits.len());
            if let For::Ram(d) = purpose {
                self.spend_window_looks(d);
            }
            let s = self.heap_split_for(purpose)?;
            let mut list = self.records.split(s).list;
            let id = self.records.pop_page(&mut list);
            self.records.split(s).list = list;
            id?
        } else {
            self.with_pool(home, |records, pool| records.pop_page(&mut pool.pages))?
        };
        if let Some((_, split)) = self.records.split_of(id.block()) {
            split.free -= 1;
        }
        Some(id)
    }

    /// A split heap block with a free page. For RAM one in which the domain has a window already,
    /// else any if the domain has a free window; for an extra page one without anybody's RAM, and
    /// the fullest of them: extra pages outlive the RAM of others, and where they are no block
    /// becomes whole again. Bounded by the split pool.
    fn heap_split_for(&self, purpose: For) -> Option<u16> {
        let mut window_left = None;
        let mut any = None;
        let mut fullest = (true, u16::MAX);
        for (s, split) in (0u16..).zip(self.records.splits.iter()) {
            let usable =
                split.block != NIL && split.free > 0 && self.records.get(split.block).home == HEAP;
            if !usable {
                continue;
            }
            if let For::Ram(d) = purpose
                && split.window[usize::from(d)] != NIL16
            {
                return Some(s);
            }
            if purpose == For::Extra {
                let rank = (split.held.iter().any(|held| *held > 0), split.free);
                if any.is_none() || rank < fullest {
                    (any, fullest) = (Some(s), rank);
                }
            } else if any.is_none()
                && let For::Ram(d) = purpose
                // Looked for at most once, and not where the domain has a window in the first
                // block.
                && *window_left.get_or_insert_with(|| {
                    self.free_window(d, self.dom(d).kept_window()).is_some()
                })
            {
                any = Some(s);
            }
        }
        any
    }

    /// Undoes [`MemoryServer::take_page`]: the page is first on its list again, and the block is
    /// whole again if it was split for the page.
    pub(crate) fn untake_page(&mut self, kernel: &mut impl Kernel, taken: Taken) {
        let Taken { id, fresh } = taken;
        let b = id.block();
        let home = self.records.get(b).home;
        let s = self.records.get(b).split;
        self.records.split(s).free += 1;
        if home == HEAP {
            let mut list = self.records.split(s).list;
            self.records.push_page_front(&mut list, id);
            self.records.split(s).list = list;
        } else {
            self.with_pool(home, |records, pool| {
                records.push_page_front(&mut pool.pages, id)
            });
        }
        // A block that stays split because the kernel refuses is as good for the next request.
        if fresh && self.unsplit(kernel, b).is_ok() {
            self.put_block_first(b);
        }
    }

    /// Withdraws a page as [`MemoryServer::lose_block`] withdraws a block.
    pub(crate) fn lose_page(&mut self, kernel: &mut impl Kernel, id: PageId) {
        self.records.page(id).set_apart(PageState::Lost);
        let (b, page) = (id.block(), u64::from(id.page()));
        kernel.log(format_args!(
            "the kernel refused to take page {page} of block {b} back; it is out of use until reboot"
        ));
    }

    /// Mints the guest-side capability of a page into `slot`, of an extra page the window side's
    /// into the next, zeroing it first where the rules want it (SM-14, BL-7). From here on the
    /// record names the holder (SM-20).
    ///
    /// # Errors
    /// [`Error::Kernel`]; the page is back where it was taken from, or lost.
    pub(crate) fn grant_page(
        &mut self,
        kernel: &mut impl Kernel,
        d: u8,
        taken: Taken,
        slot: Slot,
        purpose: For,
    ) -> Result<(), Error> {
        let id = taken.id;
        if let Err(error) = self.ensure_frame(kernel, id) {
            self.untake_page(kernel, taken);
            return Err(error);
        }
        if self.records.is_granted(id) {
            // Static memory, of which the domain has the original.
            self.spend(cost::RECORD);
            self.records.page(id).set_holder(d);
            return Ok(());
        }
        let last = self.records.page(id).holder();
        let own = self.original(id);
        let scrub = match purpose {
            For::Ram(_) => last != NEVER && last != d,
            For::Extra => last != NEVER || self.untyped_of(id.block()).device,
        };
        self.spend(2 * cost::MINT + cost::RECORD + if scrub { cost::SCRUB_PAGE } else { 0 });
        if scrub && kernel.scrub(own, FrameSize::Page).is_err() {
            self.untake_page(kernel, taken);
            return Err(Error::Kernel);
        }
        match self.mint_page(kernel, d, id, slot, purpose) {
            Ok(()) => {
                self.records.page(id).set_holder(d);
                self.records.set_granted(id, true);
                Ok(())
            }
            Err(lost) => {
                if lost {
                    self.lose_page(kernel, id);
                } else {
                    self.untake_page(kernel, taken);
                }
                Err(Error::Kernel)
            }
        }
    }

    /// Mints the capabilities of a page of the heap. The error tells whether the undoing failed
    /// too.
    fn mint_page(
        &mut self,
        kernel: &mut impl Kernel,
        d: u8,
        id: PageId,
        slot: Slot,
        purpose: For,
    ) -> Result<(), bool> {
        let own = self.original(id);
        kernel.mint(own, DomainIndex(d), slot).map_err(|_| false)?;
        if purpose != For::Extra {
            return Ok(());
        }
        kernel
            .mint(own, DomainIndex(d), slot.window_cap())
            .map_err(|_| self.revoke_page(kernel, id).is_err())
    }
}
