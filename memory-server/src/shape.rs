//! The shape of a block: making pages of it, making it whole again, and giving it up.

use hv_types::FrameSize;
use memory_server_api::Error;

use crate::cost;
use crate::kernel::{Destination, Kernel, MAX_RETYPE, Object};
use crate::records::{
    BlockState, DOMAINS, HEAP, List, NEVER, NIL, NIL16, OTHERS, PAGES, PageId, PageRecord,
    PageState,
};
use crate::server::MemoryServer;
use crate::spare::Use;

impl MemoryServer<'_> {
    /// What making pages of a block costs.
    pub(crate) fn pages_cost(&self, b: u32) -> u32 {
        let pages = self.untyped_of(b).pages();
        let make = if self.untyped_of(b).device {
            cost::MAKE
        } else {
            cost::MAKE_PAGE
        };
        2 * cost::RETYPE + make * pages
    }

    /// The state of a free block without children, which it has just lost.
    pub(crate) fn emptied(&self, b: u32) -> BlockState {
        if self.untyped_of(b).device {
            BlockState::Bare
        } else {
            BlockState::Used
        }
    }

    /// Retypes a block's untyped, which has no children, into pages at split `s`; if that fails, it
    /// has none again.
    ///
    /// # Errors
    /// [`Error::Kernel`]; the second value tells whether the block must be given up as lost.
    pub(crate) fn make_pages(
        &mut self,
        kernel: &mut impl Kernel,
        b: u32,
        s: u16,
    ) -> Result<(), (Error, bool)> {
        let untyped = self.block_untyped(b);
        let pages = self.untyped_of(b).pages();
        let mut made = 0;
        while made < pages {
            let count = MAX_RETYPE.min(pages - made);
            let into = Destination::Own(self.own.page(s, made));
            if kernel
                .retype(untyped, Object::Frame(FrameSize::Page), into, count)
                .is_err()
            {
                return Err((Error::Kernel, kernel.revoke(untyped).is_err()));
            }
            made += count;
        }
        Ok(())
    }

    /// Fills split record `s` for block `b` with free pages, not on any list.
    pub(crate) fn record_split(&mut self, b: u32, s: u16, last: u8) {
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
        record.page = [PageRecord::free(last); PAGES];
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
        if let Err((error, lost)) = self.make_pages(kernel, b, s) {
            if lost {
                self.lose_split(kernel, b, s);
            } else {
                self.records.block(b).state = self.emptied(b);
            }
            return Err(error);
        }
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
        cost::REVOKE + cost::DELETE.saturating_mul(pages + copies) + 2 * cost::LOOK * pages
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
