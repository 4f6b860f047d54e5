//! Whole blocks: carving, taking from a pool and giving back, making and unmaking pages.

use hv_types::FrameSize;
use memory_server_api::Error;

use crate::kernel::{Destination, Kernel, MAX_RETYPE, Object, OwnSlot};
use crate::records::{
    BlockState, HEAP, List, NEVER, NIL, NIL16, OTHERS, PageId, PageState, Records,
};
use crate::server::{MemoryServer, Pool, UntypedRecord};

/// Children carved from an untyped at a time: the first user pays 32 of about 1,000 instructions each.
const CARVE_BATCH: u32 = 32;

impl MemoryServer<'_> {
    pub(crate) fn untyped_of(&self, b: u32) -> &UntypedRecord {
        &self.untypeds[usize::from(self.records.get(b).untyped)]
    }

    pub(crate) fn with_pool<R>(
        &mut self,
        home: u8,
        f: impl FnOnce(&mut Records<'_>, &mut Pool) -> R,
    ) -> R {
        match home {
            HEAP => f(&mut self.records, &mut self.heap),
            d => f(&mut self.records, &mut self.domains[usize::from(d)].pool),
        }
    }

    fn is_short(&self, b: u32) -> bool {
        self.untyped_of(b).pages() < FrameSize::Block.pages()
    }

    /// Appends a free block to its pool: the only way back, and it goes home (SM-3).
    pub(crate) fn put_block(&mut self, b: u32) {
        let short = self.is_short(b);
        self.with_pool(self.records.get(b).home, |records, pool| {
            records.push_block(
                if short {
                    &mut pool.short
                } else {
                    &mut pool.blocks
                },
                b,
            );
        });
    }

    /// Puts a block back where it was taken from, unless it was lost meanwhile.
    pub(crate) fn put_block_first(&mut self, b: u32) {
        if self.records.get(b).state == BlockState::Lost {
            return;
        }
        let short = self.is_short(b);
        self.with_pool(self.records.get(b).home, |records, pool| {
            records.push_block_front(
                if short {
                    &mut pool.short
                } else {
                    &mut pool.blocks
                },
                b,
            );
        });
    }

    /// The untyped of block `b`: its own child, or the manifest's untyped if that is no larger than a block.
    pub(crate) fn block_untyped(&self, b: u32) -> OwnSlot {
        if self.untyped_of(b).size_bits <= 21 {
            self.own.untyped(self.records.get(b).untyped)
        } else {
            self.own.block(b)
        }
    }

    /// Makes child untypeds until block `b` has one. Children come in address order.
    fn carve(&mut self, kernel: &mut impl Kernel, b: u32) -> Result<(), Error> {
        let index = self.records.get(b).untyped;
        let u = self.untypeds[usize::from(index)];
        if u.size_bits <= 21 {
            return Ok(());
        }
        let mut made = u.made;
        while made <= b - u.first {
            let count = CARVE_BATCH.min(u.blocks - made);
            let into = Destination::Own(self.own.block(u.first + made));
            kernel
                .retype(
                    self.own.untyped(index),
                    Object::Untyped { size_bits: 21 },
                    into,
                    count,
                )
                .map_err(|_| Error::Kernel)?;
            made += count;
            self.untypeds[usize::from(index)].made = made;
        }
        Ok(())
    }

    /// The oldest whole block of a pool, off its list. Merges a split one if none is left.
    pub(crate) fn take_block(&mut self, kernel: &mut impl Kernel, home: u8) -> Result<u32, Error> {
        if self.with_pool(home, |_, pool| pool.blocks.is_empty()) {
            self.merge_one(kernel, home)?;
        }
        let b = self
            .with_pool(home, |records, pool| records.pop_block(&mut pool.blocks))
            .ok_or(Error::NoMemory)?;
        self.carve(kernel, b)
            .inspect_err(|_| self.put_block_first(b))?;
        Ok(b)
    }

    /// The oldest block to make pages of: short ones first, they serve nothing else.
    pub(crate) fn take_block_for_pages(
        &mut self,
        kernel: &mut impl Kernel,
        home: u8,
    ) -> Result<u32, Error> {
        match self.with_pool(home, |records, pool| records.pop_block(&mut pool.short)) {
            Some(b) => Ok(b),
            None => self.take_block(kernel, home),
        }
    }

    /// Makes one split block whose pages are all free whole again; none is not an error.
    fn merge_one(&mut self, kernel: &mut impl Kernel, home: u8) -> Result<(), Error> {
        let found = self.records.splits.iter().find(|s| {
            s.block != NIL
                && s.free == s.pages
                && u32::from(s.pages) == FrameSize::Block.pages()
                && self.records.get(s.block).home == home
        });
        let Some(b) = found.map(|s| s.block) else {
            return Ok(());
        };
        self.unsplit(kernel, b)?;
        self.put_block(b);
        Ok(())
    }

    /// Makes sure that the 2 MiB frame of a free block exists.
    pub(crate) fn frame(&mut self, kernel: &mut impl Kernel, b: u32) -> Result<(), Error> {
        if self.records.get(b).state == BlockState::Bare {
            self.make_frame(kernel, b)?;
            self.records.block(b).state = BlockState::Framed;
        }
        Ok(())
    }

    /// Retypes a block's untyped into its 2 MiB frame.
    pub(crate) fn make_frame(&mut self, kernel: &mut impl Kernel, b: u32) -> Result<(), Error> {
        let into = Destination::Own(self.own.frame(b));
        kernel
            .retype(
                self.block_untyped(b),
                Object::Frame(FrameSize::Block),
                into,
                1,
            )
            .map_err(|_| Error::Kernel)
    }

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
        record.window = [NIL16; crate::records::DOMAINS];
        record.held = [0; crate::records::DOMAINS];
        for page in &mut record.page {
            page.state = PageState::Free;
            page.holder = last;
            page.gfn = NIL;
        }
    }

    /// Makes pages of a free block that is on no list. Its pages are on no list either.
    ///
    /// # Errors
    /// [`Error::NoMemory`] without a split record, [`Error::Kernel`]; the block is free and on no
    /// list, unless it is lost.
    pub(crate) fn split_free(&mut self, kernel: &mut impl Kernel, b: u32) -> Result<u16, Error> {
        let s = self.records.unused_split().ok_or(Error::NoMemory)?;
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
        let home = self.records.get(b).home;
        if home != HEAP {
            self.with_pool(home, |records, pool| {
                records.drop_pages_of(&mut pool.pages, b)
            });
        }
        let device = self.untyped_of(b).device;
        let mut last = NEVER;
        let mut windows = [NIL16; crate::records::DOMAINS];
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

    /// Grants a free block, on no list, to `d` in window `window`.
    ///
    /// # Errors
    /// [`Error::Kernel`]; the block is back at the head of its list, or lost.
    pub(crate) fn grant_block(
        &mut self,
        kernel: &mut impl Kernel,
        d: u8,
        b: u32,
        window: u16,
    ) -> Result<(), Error> {
        if let Err(error) = self
            .frame(kernel, b)
            .and_then(|()| self.scrub_block(kernel, d, b))
        {
            self.put_block_first(b);
            return Err(error);
        }
        if let Err(lost) = self.mint_block(kernel, d, b, window) {
            if lost {
                self.lose_block(kernel, b);
            } else {
                self.put_block_first(b);
            }
            return Err(Error::Kernel);
        }
        let block = self.records.block(b);
        block.state = BlockState::Held;
        block.holder = d;
        block.window = window;
        self.set_window(d, window, b);
        Ok(())
    }

    fn scrub_block(&mut self, kernel: &mut impl Kernel, d: u8, b: u32) -> Result<(), Error> {
        let last = self.records.get(b).holder;
        if last == NEVER || last == d {
            return Ok(());
        }
        kernel
            .scrub(self.own.frame(b), FrameSize::Block)
            .map_err(|_| Error::Kernel)
    }

    /// Mints both capabilities of a whole block. The error tells whether the undoing failed too.
    pub(crate) fn mint_block(
        &mut self,
        kernel: &mut impl Kernel,
        d: u8,
        b: u32,
        window: u16,
    ) -> Result<(), bool> {
        let frame = self.own.frame(b);
        let slot = self.dom(d).layout.page(window, 0);
        let domain = crate::manifest::DomainIndex(d);
        kernel.mint(frame, domain, slot).map_err(|_| false)?;
        kernel
            .mint(frame, domain, slot.window_cap())
            .map_err(|_| kernel.revoke(frame).is_err())
    }

    /// All pages of a split block as identifiers.
    pub(crate) fn pages_of(&self, b: u32) -> impl Iterator<Item = PageId> + use<> {
        (0..self.untyped_of(b).pages()).map(move |page| PageId::new(b, page))
    }
}
