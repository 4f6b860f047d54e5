//! The shape of a block: making pages of it, making it whole again, and giving it up.

use hv_types::FrameSize;
use memory_server_api::{CHUNK_PAGES, Error};

use crate::cost;
use crate::kernel::{Destination, Kernel, Object};
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
    /// What making `pages` pages of block `b` costs.
    fn make_cost(&self, b: u32, pages: u32) -> u32 {
        let make = if self.untyped_of(b).device {
            cost::MAKE
        } else {
            cost::MAKE_PAGE
        };
        cost::RETYPE + make * pages
    }

    /// What [`MemoryServer::make_pages`] costs.
    pub(crate) fn pages_cost(&self, b: u32) -> u32 {
        if self.is_short(b) {
            self.make_cost(b, self.untyped_of(b).pages())
        } else {
            cost::RETYPE + cost::MAKE * CHUNKS
        }
    }

    /// The state of a free block without children, which it has just lost.
    pub(crate) fn emptied(&self, b: u32) -> BlockState {
        if self.untyped_of(b).device {
            BlockState::Bare
        } else {
            BlockState::Used
        }
    }

    /// Retypes a block's untyped, which has no children, into what pages are made of at split `s`:
    /// chunks, whose pages come when one of them is needed; of a short block the pages themselves,
    /// which are 256 at most. If that fails, it has no children still.
    ///
    /// # Errors
    /// [`Error::Kernel`].
    pub(crate) fn make_pages(
        &mut self,
        kernel: &mut impl Kernel,
        b: u32,
        s: u16,
    ) -> Result<(), Error> {
        let (object, into, count) = if self.is_short(b) {
            let pages = self.untyped_of(b).pages();
            (Object::Frame(FrameSize::Page), self.own.page(s, 0), pages)
        } else {
            let size_bits = CHUNK_BITS;
            (Object::Untyped { size_bits }, self.own.chunk(s, 0), CHUNKS)
        };
        let (untyped, into) = (self.block_untyped(b), Destination::Own(into));
        kernel
            .retype(untyped, object, into, count)
            .map_err(|_| Error::Kernel)
    }

    /// Makes sure that the frame of a page of a split block exists. Of the pages of its chunk none
    /// does or all do.
    ///
    /// # Errors
    /// [`Error::Kernel`]; nothing changed.
    pub(crate) fn ensure_frame(
        &mut self,
        kernel: &mut impl Kernel,
        id: PageId,
    ) -> Result<(), Error> {
        if self.records.is_made(id) {
            return Ok(());
        }
        let s = self.records.get(id.block()).split;
        let chunk = id.page() / CHUNK_PAGES;
        self.spend(self.make_cost(id.block(), CHUNK_PAGES));
        kernel
            .retype(
                self.own.chunk(s, chunk),
                Object::Frame(FrameSize::Page),
                Destination::Own(self.own.page(s, chunk * CHUNK_PAGES)),
                CHUNK_PAGES,
            )
            .map_err(|_| Error::Kernel)?;
        self.records.split(s).made |= 1 << chunk;
        Ok(())
    }

    /// Deletes all capabilities of a page but the server's own. There are none where the frame does
    /// not exist yet.
    ///
    /// # Errors
    /// [`Error::Kernel`]; nothing changed.
    pub(crate) fn revoke_page(
        &mut self,
        kernel: &mut impl Kernel,
        id: PageId,
    ) -> Result<(), Error> {
        if self.records.is_made(id) {
            kernel
                .revoke(self.page_slot(id))
                .map_err(|_| Error::Kernel)?;
        }
        self.records.set_granted(id, false);
        Ok(())
    }

    /// Fills split record `s` for block `b` with free pages, not on any list.
    pub(crate) fn record_split(&mut self, b: u32, s: u16, last: u8) {
        self.record_pages(b, s, PageRecord::free(last));
    }

    /// Fills split record `s` for block `b`, with pages that are all alike, count as free and are
    /// on no list.
    pub(crate) fn record_pages(&mut self, b: u32, s: u16, page: PageRecord) {
        let pages = self.untyped_of(b).pages();
        let is_short = self.is_short(b);
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
        record.made = if is_short { u32::MAX } else { 0 };
        record.forget_granted();
        record.page.fill(page);
    }

    /// Makes pages of a free block that is on no list. Its pages are on no list either.
    ///
    /// # Errors
    /// [`Error::NoMemory`] without a split record, [`Error::Kernel`]; the block is free and on no
    /// list, unless it is lost.
    pub(crate) fn split_free(
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
        self.afford(self.pages_cost(b))?;
        self.make_pages(kernel, b, s)?;
        let last = if self.untyped_of(b).device {
            self.records.get(b).holder
        } else {
            NEVER
        };
        self.record_split(b, s, last);
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
                copies += 2 * u32::from(*returned);
                holders |= u8::from(*returned > 0) << d;
            }
        }
        for d in self.all_domains().filter(|d| holders >> d & 1 != 0) {
            copies += self.aliases_to_count(d);
        }
        let at_once = self.unsplit_cost(b, copies);
        if at_once <= cost::MESSAGE {
            return self.afford(at_once);
        }
        for id in self.pages_of(b) {
            if self.records.page(id).state == PageState::Returned {
                let holder = self.records.page(id).holder;
                self.afford_revoke(holder, 2)?;
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
            match self.records.page(id).state {
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
        let mut last = NEVER;
        let mut windows = [NIL16; DOMAINS];
        if let Some((_, split)) = self.records.split_of(b) {
            let pages = usize::from(split.pages);
            let mut holders = split.page[..pages].iter().map(|p| p.holder);
            let first = holders.next().unwrap_or(NEVER);
            last = if holders.all(|h| h == first) {
                first
            } else {
                OTHERS
            };
            windows = split.window;
            split.block = NIL;
        }
        if home == HEAP {
            for (d, window) in (0u8..).zip(windows).filter(|(_, w)| *w != NIL16) {
                self.set_window(d, window, NIL);
            }
        }
        let block = self.records.block(b);
        block.state = if device {
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

    /// Withdraws a block and the split record whose page slots may still be occupied.
    pub(crate) fn lose_split(&mut self, kernel: &mut impl Kernel, b: u32, s: u16) {
        self.record_split(b, s, OTHERS);
        self.records.split(s).free = 0;
        self.lose_block(kernel, b);
    }

    /// All pages of a split block as identifiers.
    pub(crate) fn pages_of(&self, b: u32) -> impl Iterator<Item = PageId> + use<> {
        (0..self.untyped_of(b).pages()).map(move |page| PageId::new(b, page))
    }
}
