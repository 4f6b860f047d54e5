//! The shape of a block: making pages of it, making it whole again, and giving it up.

use core::ops::Range;

use hv_types::FrameSize;
use memory_server_api::{CHUNK_PAGES, Error};

use crate::cost;
use crate::kernel::{Destination, Kernel, MAX_RETYPE, Object, Original, OwnSlot};
use crate::layout;
use crate::records::{
    BlockState, CHUNKS, DOMAINS, HEAP, List, NEVER, NIL, NIL16, OTHERS, PageId, PageRecord,
    PageState,
};
use crate::server::MemoryServer;
use crate::spare::Use;

/// log2 of the bytes of a chunk.
const CHUNK_BITS: u8 = 16;
const _: () = assert!(1 << CHUNK_BITS == CHUNK_PAGES << hv_types::PAGE_SHIFT);

impl MemoryServer<'_> {
    /// What making `pages` pages of block `b` costs, with the untypeds of its chunks.
    fn make_cost(&self, b: u32, pages: u32) -> u32 {
        let make = if self.untyped_of(b).device {
            cost::MAKE
        } else {
            cost::MAKE_PAGE
        };
        2 * cost::RETYPE + cost::MAKE * CHUNKS + make * pages
    }

    /// The state of a free block without children, which it has just lost.
    pub(crate) fn emptied(&self, b: u32) -> BlockState {
        if self.untyped_of(b).device {
            BlockState::Bare
        } else {
            BlockState::Used
        }
    }

    /// What the frame of a page of a split block is made of, and which pages are made with it: its
    /// chunk, or all of a short block.
    pub(crate) fn made_of(&self, id: PageId) -> (OwnSlot, Range<u32>) {
        let b = id.block();
        if self.is_short(b) {
            return (self.block_untyped(b), 0..self.untyped_of(b).pages());
        }
        let chunk = id.page() / CHUNK_PAGES;
        let first = chunk * CHUNK_PAGES;
        let s = self.records.get(b).split;
        (self.own.chunk(s, chunk), first..first + CHUNK_PAGES)
    }

    /// Makes sure that the frame of a page of a split block exists. Those of static memory are
    /// their domain's at once, so what they hold of others is zeroed.
    ///
    /// # Errors
    /// [`Error::Again`]; [`Error::Kernel`]. The frame does not exist.
    pub(crate) fn ensure_frame(
        &mut self,
        kernel: &mut impl Kernel,
        id: PageId,
    ) -> Result<(), Error> {
        if self.records.is_made(id) {
            return Ok(());
        }
        let b = id.block();
        let (from, pages) = self.made_of(id);
        let home = self.records.get(b).home;
        let foreign = if home == HEAP {
            0
        } else {
            let foreign = pages
                .clone()
                .filter(|page| self.is_foreign(home, PageId::new(b, *page)));
            u32::try_from(foreign.count()).unwrap_or(u32::MAX)
        };
        let scrub = foreign.saturating_mul(cost::SCRUB_PAGE);
        self.afford(
            self.make_cost(b, pages.end - pages.start)
                .saturating_add(scrub),
        )?;
        self.make_chunks(kernel, b)?;
        let s = self.records.get(b).split;
        let first = 1 << (pages.start / CHUNK_PAGES);
        if self.records.split(s).unsure & first != 0 {
            kernel.revoke(from).map_err(|_| Error::Kernel)?;
        }
        let made = self
            .make_pages(kernel, b, from, pages.clone())
            .and_then(|()| self.clean_pages(kernel, home, b, pages.clone()));
        let split = self.records.split(s);
        split.unsure &= !first;
        if let Err(error) = made {
            if kernel.revoke(from).is_err() {
                self.records.split(s).unsure |= first;
            }
            return Err(error);
        }
        split.set_made(pages, home != HEAP);
        Ok(())
    }

    /// Makes the untypeds of a split block's chunks, if they do not exist.
    fn make_chunks(&mut self, kernel: &mut impl Kernel, b: u32) -> Result<(), Error> {
        let s = self.records.get(b).split;
        if self.is_short(b) || self.records.split(s).has_chunks {
            return Ok(());
        }
        let (size_bits, into) = (CHUNK_BITS, Destination::Own(self.own.chunk(s, 0)));
        kernel
            .retype(
                self.block_untyped(b),
                Object::Untyped { size_bits },
                into,
                CHUNKS,
            )
            .map_err(|_| Error::Kernel)?;
        self.records.split(s).has_chunks = true;
        Ok(())
    }

    /// Makes frames of `from`, which has no children. If it fails, some may be there.
    fn make_pages(
        &mut self,
        kernel: &mut impl Kernel,
        b: u32,
        from: OwnSlot,
        pages: Range<u32>,
    ) -> Result<(), Error> {
        let mut next = pages.start;
        while next < pages.end {
            let most = (pages.end - next).min(MAX_RETYPE);
            let (into, count) = match self.original(PageId::new(b, next)) {
                Original::Own(slot) => (Destination::Own(slot), layout::run(slot.0, most)),
                Original::Granted(d, slot) => {
                    (Destination::Grant(d, slot), layout::run(slot.0, most))
                }
            };
            kernel
                .retype(from, Object::Frame(FrameSize::Page), into, count)
                .map_err(|_| Error::Kernel)?;
            next += count;
        }
        Ok(())
    }

    /// Whether a page of static memory holds what its domain must not see.
    fn is_foreign(&mut self, home: u8, id: PageId) -> bool {
        let last = self.records.page(id).holder();
        last != NEVER && last != home
    }

    /// Zeroes those of a reserve's pages that its domain must not see as they are.
    fn clean_pages(
        &mut self,
        kernel: &mut impl Kernel,
        home: u8,
        b: u32,
        pages: Range<u32>,
    ) -> Result<(), Error> {
        for id in pages.map(|page| PageId::new(b, page)) {
            if home != HEAP && self.is_foreign(home, id) {
                kernel
                    .scrub(self.original(id), FrameSize::Page)
                    .map_err(|_| Error::Kernel)?;
                self.records.page(id).set_holder(NEVER);
            }
        }
        Ok(())
    }

    /// Deletes all capabilities of a page but the original. There are none where the frame does not
    /// exist yet. A page of static memory stays with its domain, whose the original is.
    ///
    /// # Errors
    /// [`Error::Kernel`]; nothing changed.
    pub(crate) fn revoke_page(
        &mut self,
        kernel: &mut impl Kernel,
        id: PageId,
    ) -> Result<(), Error> {
        if let Original::Own(slot) = self.original(id) {
            if self.records.is_made(id) {
                kernel.revoke(slot).map_err(|_| Error::Kernel)?;
            }
            self.records.set_granted(id, false);
        }
        Ok(())
    }

    /// Fills split record `s` for block `b` with free pages, not on any list.
    pub(crate) fn record_split(&mut self, b: u32, s: u16, last: u8) {
        self.record_pages(b, s, PageRecord::free(last), None);
    }

    /// Fills split record `s` for block `b`, with pages that are all alike, count as free and are
    /// on no list; but for their guest frames, which follow each other from `gfn` on.
    pub(crate) fn record_pages(&mut self, b: u32, s: u16, page: PageRecord, gfn: Option<u32>) {
        let pages = self.untyped_of(b).pages();
        let block = self.records.block(b);
        block.state = BlockState::Split;
        block.split = s;
        let record = self.records.split(s);
        record.block = b;
        record.pages = u16::try_from(pages).unwrap_or(0);
        record.free = record.pages;
        record.list = List::EMPTY;
        record.window = [NIL16; DOMAINS];
        record.held = [0; DOMAINS];
        record.returned = [0; DOMAINS];
        record.forget_all();
        // One pass in large steps: a guest waits for it. No frame stays none, and the last one of
        // all that there can be is none.
        let (mut next, step) = match gfn {
            Some(gfn) if gfn != NIL => (gfn, 1),
            _ => (NIL, 0),
        };
        let (groups, _) = record.page.as_chunks_mut::<8>();
        for group in groups {
            for place in group {
                *place = page.at(next);
                next = next.wrapping_add(step);
            }
        }
    }

    /// Records a free block that is on no list as pages. Its pages are on no list either, and come
    /// when one of them is needed ([`MemoryServer::ensure_frame`]).
    ///
    /// # Errors
    /// [`Error::NoMemory`] without a split record, [`Error::Kernel`]; the block is free and on no
    /// list.
    pub(crate) fn split_free(
        &mut self,
        kernel: &mut impl Kernel,
        b: u32,
        purpose: Use,
    ) -> Result<u16, Error> {
        let s = self.ready_to_split(kernel, b, purpose)?;
        let last = if self.untyped_of(b).device {
            self.records.get(b).holder
        } else {
            NEVER
        };
        self.record_split(b, s, last);
        Ok(s)
    }

    /// Makes sure that pages can be made of a free block that is on no list, and returns a split
    /// record for it, in which nothing is written yet.
    ///
    /// # Errors
    /// As [`MemoryServer::split_free`].
    pub(crate) fn ready_to_split(
        &mut self,
        kernel: &mut impl Kernel,
        b: u32,
        purpose: Use,
    ) -> Result<u16, Error> {
        let s = self.split_record(kernel, b, purpose)?;
        if self.records.get(b).state == BlockState::Framed {
            self.spend(cost::REVOKE + cost::DELETE);
            kernel
                .revoke(self.block_untyped(b))
                .map_err(|_| Error::Kernel)?;
            self.records.block(b).state = self.emptied(b);
        }
        if self.records.get(b).state == BlockState::Used {
            self.reset(kernel, b)?;
        }
        Ok(s)
    }

    /// Makes sure that [`MemoryServer::unsplit`] of a block of which nobody holds a page fits into
    /// this message, and counts it. Where the capabilities of its returned pages are too many, they
    /// are revoked page by page first.
    ///
    /// # Errors
    /// [`Error::Again`]; [`Error::Kernel`].
    pub(crate) fn afford_unsplit(&mut self, kernel: &mut impl Kernel, b: u32) -> Result<(), Error> {
        let mut copies = 0;
        let mut holders = 0;
        if let Some((_, split)) = self.records.split_of(b) {
            for (d, returned) in split.returned.iter().enumerate() {
                copies += u32::from(*returned);
                holders |= u8::from(*returned > 0) << d;
            }
        }
        for d in self.all_domains().filter(|d| holders >> d & 1 != 0) {
            copies += self.copies_to_count(d);
        }
        let at_once = self.unsplit_cost(b, copies);
        if at_once <= cost::MESSAGE {
            return self.afford(at_once);
        }
        for id in self.pages_of(b) {
            if self.records.page(id).state() == PageState::Returned {
                let holder = self.records.page(id).holder();
                self.afford_revoke(holder, 1)?;
                self.reclaim_page(kernel, id)?;
                self.put_page(id);
            }
        }
        self.afford(self.unsplit_cost(b, 0))
    }

    /// What making a block whole costs: its pages go, with `copies` further capabilities.
    pub(crate) fn unsplit_cost(&self, b: u32, copies: u32) -> u32 {
        let pages = self.untyped_of(b).pages();
        let all = pages + CHUNKS + copies;
        cost::REVOKE + cost::DELETE.saturating_mul(all) + 2 * cost::LOOK * pages
    }

    /// Destroys the pages of a split block, with all copies, and leaves the block free and on no
    /// list.
    pub(crate) fn unsplit(&mut self, kernel: &mut impl Kernel, b: u32) -> Result<(), Error> {
        kernel
            .revoke(self.block_untyped(b))
            .map_err(|_| Error::Kernel)?;
        let home = self.records.get(b).home;
        for id in self.pages_of(b) {
            match self.records.page(id).state() {
                PageState::Returned => self.unlist_returned(id),
                PageState::Free if home != HEAP => {
                    self.with_pool(home, |records, pool| {
                        records.unlink_page(&mut pool.pages, id)
                    });
                }
                _ => {}
            }
        }
        let device = self.untyped_of(b).device;
        let mut was_used = false;
        let mut last = NEVER;
        let mut windows = [NIL16; DOMAINS];
        if let Some((_, split)) = self.records.split_of(b) {
            let pages = usize::from(split.pages);
            let mut holders = split.page[..pages].iter().map(|p| p.holder());
            let first = holders.next().unwrap_or(NEVER);
            last = if holders.all(|h| h == first) {
                first
            } else {
                OTHERS
            };
            windows = split.window;
            was_used = split.has_chunks || split.made | split.unsure != 0;
            split.block = NIL;
        }
        if home == HEAP {
            for (d, window) in (0u8..).zip(windows).filter(|(_, w)| *w != NIL16) {
                self.set_window(d, window, NIL);
            }
        }
        let block = self.records.block(b);
        block.state = if device || !was_used {
            BlockState::Bare
        } else {
            BlockState::Used
        };
        block.split = NIL16;
        block.gfn = NIL;
        // The kernel zeroes its own memory when it is retyped next.
        block.holder = if device { last } else { NEVER };
        Ok(())
    }

    /// Withdraws a block that could not be brought back to a known state.
    pub(crate) fn lose_block(&mut self, kernel: &mut impl Kernel, b: u32) {
        let (untyped, index) = (*self.untyped_of(b), b - self.untyped_of(b).first);
        let paddr = untyped.paddr + (u64::from(index) << hv_types::BLOCK_SHIFT);
        self.records.block(b).state = BlockState::Lost;
        kernel.log(format_args!(
            "the kernel refused to take the block at {paddr:#x} back; it is out of use until reboot"
        ));
    }

    /// All pages of a split block as identifiers.
    pub(crate) fn pages_of(&self, b: u32) -> impl Iterator<Item = PageId> + use<> {
        (0..self.untyped_of(b).pages()).map(move |page| PageId::new(b, page))
    }
}
