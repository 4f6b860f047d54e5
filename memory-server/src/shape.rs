//! The shape of a block: making pages of it, making it whole again, and giving it up.

use hv_types::FrameSize;
use memory_server_api::Error;

use crate::kernel::{Destination, Kernel, MAX_RETYPE, Object};
use crate::records::{
    BlockState, DOMAINS, HEAP, List, NEVER, NIL, NIL16, OTHERS, PAGES, PageId, PageRecord,
    PageState,
};
use crate::server::MemoryServer;
use crate::spare::Use;

impl MemoryServer<'_> {
    /// Retypes a block's untyped, which has no children, into pages at split `s`; if that fails, it has none again.
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
        self.reshaped = self.reshaped.wrapping_add(1);
        if self.records.get(b).state == BlockState::Framed {
            kernel
                .revoke(self.block_untyped(b))
                .map_err(|_| Error::Kernel)?;
            self.records.block(b).state = BlockState::Bare;
        }
        if let Err((error, lost)) = self.make_pages(kernel, b, s) {
            if lost {
                self.lose_split(kernel, b, s);
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

    /// Destroys the pages of a split block, with all copies, and leaves the block free and on no list.
    pub(crate) fn unsplit(&mut self, kernel: &mut impl Kernel, b: u32) -> Result<(), Error> {
        kernel
            .revoke(self.block_untyped(b))
            .map_err(|_| Error::Kernel)?;
        self.reshaped = self.reshaped.wrapping_add(1);
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
        block.state = BlockState::Bare;
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
