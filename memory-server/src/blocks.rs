//! Whole blocks: carving, taking from a pool and giving back, making and unmaking pages.

use hv_types::FrameSize;
use memory_server_api::Error;

use crate::cost;
use crate::kernel::{Destination, Kernel, Object, Original, OwnSlot};
use crate::layout;
use crate::records::{BlockState, HEAP, NEVER, NIL, Records, SplitRecord};
use crate::server::{MemoryServer, Pool, UntypedRecord};
use crate::spare::Use;

/// Children carved from an untyped at a time: the first user pays 32 of about 1,000 instructions
/// each.
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

    pub(crate) fn is_short(&self, b: u32) -> bool {
        self.untyped_of(b).pages() < FrameSize::Block.pages()
    }

    /// Appends a free block to the pool it came from. There is no other way back (SM-3).
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

    /// The untyped of block `b`: its own child, or the manifest's untyped if that is no larger than
    /// a block.
    pub(crate) fn block_untyped(&self, b: u32) -> OwnSlot {
        if self.untyped_of(b).size_bits <= 21 {
            self.own.untyped(self.records.get(b).untyped)
        } else {
            self.own.block(b)
        }
    }

    /// Makes child untypeds until block `b` has one. Children come in address order.
    pub(crate) fn carve(&mut self, kernel: &mut impl Kernel, b: u32) -> Result<(), Error> {
        let index = self.records.get(b).untyped;
        let u = self.untypeds[usize::from(index)];
        if u.size_bits <= 21 {
            return Ok(());
        }
        let mut made = u.made;
        while made <= b - u.first {
            let first = self.own.block(u.first + made);
            let count = layout::run(first.0, CARVE_BATCH.min(u.blocks - made));
            let into = Destination::Own(first);
            self.spend(cost::RETYPE + cost::MAKE * count);
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

    /// The oldest whole block of a pool, off its list. If none is left beside those that are kept
    /// for splits, a split one is merged or a returned one revoked.
    ///
    /// # Errors
    /// [`Error::NoMemory`] if there is none beside those; [`Error::Kernel`].
    pub(crate) fn take_block(
        &mut self,
        kernel: &mut impl Kernel,
        home: u8,
        purpose: Use,
    ) -> Result<u32, Error> {
        self.gather_blocks(kernel, home, 1)?;
        if home == HEAP {
            let copied = self.heap.blocks.head().is_some_and(|b| self.is_copied(b));
            // What is gathered comes behind the head.
            self.gather_blocks(kernel, home, self.kept_blocks(purpose, copied) + 1)?;
        }
        let b = self
            .with_pool(home, |records, pool| records.pop_block(&mut pool.blocks))
            .ok_or(Error::NoMemory)?;
        self.carve(kernel, b)
            .inspect_err(|_| self.put_block_first(b))?;
        Ok(b)
    }

    /// The oldest block to make pages of. Short blocks come first because they have no other use.
    pub(crate) fn take_block_for_pages(
        &mut self,
        kernel: &mut impl Kernel,
        home: u8,
    ) -> Result<u32, Error> {
        match self.with_pool(home, |records, pool| records.pop_block(&mut pool.short)) {
            Some(b) => Ok(b),
            None => self.take_block(kernel, home, Use::Pages),
        }
    }

    /// Ensures that a pool has `least` whole blocks. It makes two at most: one operation takes one
    /// block, and may be the first for which another one is kept, so where nothing was lost no more
    /// can be missing.
    ///
    /// # Errors
    /// [`Error::NoMemory`]; [`Error::Kernel`].
    pub(crate) fn gather_blocks(
        &mut self,
        kernel: &mut impl Kernel,
        home: u8,
        least: u32,
    ) -> Result<(), Error> {
        for _ in 0..2 {
            if self.with_pool(home, |_, pool| pool.blocks.len()) >= least {
                return Ok(());
            }
            let is_like =
                |s: &SplitRecord, at| u32::from(s.pages) == FrameSize::Block.pages() && at == home;
            if !self.merge_one(kernel, is_like)? && home == HEAP {
                self.reclaim_any_block(kernel)?;
            }
        }
        if self.with_pool(home, |_, pool| pool.blocks.len()) >= least {
            Ok(())
        } else {
            Err(Error::NoMemory)
        }
    }

    /// An unused split record for block `b`, if enough stay free for later splits. If there are too
    /// few, a split block whose pages nobody holds is merged: one of the heap or of the same home.
    ///
    /// # Errors
    /// [`Error::NoMemory`]; [`Error::Kernel`].
    pub(crate) fn split_record(
        &mut self,
        kernel: &mut impl Kernel,
        b: u32,
        purpose: Use,
    ) -> Result<u16, Error> {
        let home = self.records.get(b).home;
        let kept = self.kept_records(home, purpose);
        self.spend_looks(self.records.splits.len());
        if let Some(s) = self.records.unused_split(home, kept) {
            return Ok(s);
        }
        self.merge_one(kernel, |_, at| at == HEAP || at == home)?;
        self.records.unused_split(home, kept).ok_or(Error::NoMemory)
    }

    /// Merges one split block whose pages nobody holds and that `is_wanted` accepts by its record
    /// and home. Blocks without returned pages are preferred. Returns whether there was one.
    fn merge_one(
        &mut self,
        kernel: &mut impl Kernel,
        is_wanted: impl Fn(&SplitRecord, u8) -> bool,
    ) -> Result<bool, Error> {
        self.spend_looks(self.records.splits.len());
        let unused = self.records.splits.iter().filter(|s| {
            s.block != NIL && s.is_unused() && is_wanted(s, self.records.get(s.block).home)
        });
        let Some(b) = unused.max_by_key(|s| s.free).map(|s| s.block) else {
            return Ok(false);
        };
        self.afford_unsplit(kernel, b)?;
        self.unsplit(kernel, b)?;
        self.put_block(b);
        Ok(true)
    }

    /// Makes sure that the 2 MiB frame of a free block exists.
    pub(crate) fn frame(&mut self, kernel: &mut impl Kernel, b: u32) -> Result<(), Error> {
        if self.records.get(b).state == BlockState::Used {
            self.reset(kernel, b)?;
        }
        if self.records.get(b).state == BlockState::Bare {
            let make = if self.untyped_of(b).device {
                cost::MAKE
            } else {
                cost::MAKE_BLOCK
            };
            self.afford(cost::RETYPE + make)?;
            self.make_frame(kernel, b)?;
            self.records.block(b).state = BlockState::Framed;
        }
        Ok(())
    }

    /// Makes the kernel zero a free block that was in use: one page is made and deleted again,
    /// after which the next retype has only that page to zero. If the kernel refuses to delete the
    /// page, the page stays in the block's frame slot. The block is then as free as before, and the
    /// next reset deletes the page.
    ///
    /// # Errors
    /// [`Error::Again`] if that does not fit into this message; [`Error::Kernel`]. The block is as
    /// free as before.
    pub(crate) fn reset(&mut self, kernel: &mut impl Kernel, b: u32) -> Result<(), Error> {
        self.take_back_wiped(kernel, b)?;
        let untyped = self.block_untyped(b);
        let pages = self.untyped_of(b).pages();
        self.afford(cost::RESET_PAGE * pages)?;
        self.spend(cost::RETYPE + cost::MAKE_PAGE + 2 * (cost::REVOKE + cost::DELETE));
        kernel.revoke(untyped).map_err(|_| Error::Kernel)?;
        // Any slot that is empty while the block is.
        let into = Destination::Own(self.own.frame(b));
        kernel
            .retype(untyped, Object::Frame(FrameSize::Page), into, 1)
            .map_err(|_| Error::Kernel)?;
        kernel.revoke(untyped).map_err(|_| Error::Kernel)?;
        self.records.block(b).state = BlockState::Bare;
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
        let ready = self
            .frame(kernel, b)
            .and_then(|()| self.scrub_block(kernel, d, b))
            .and_then(|()| self.afford(2 * cost::MINT + cost::RECORD));
        if let Err(error) = ready {
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
        self.count_whole(d, b);
        Ok(())
    }

    /// Zeroes a free block whose 2 MiB frame exists, unless `d` held it last. The record then names
    /// no last holder.
    pub(crate) fn scrub_block(
        &mut self,
        kernel: &mut impl Kernel,
        d: u8,
        b: u32,
    ) -> Result<(), Error> {
        let last = self.records.get(b).holder;
        if last == NEVER || last == d {
            return Ok(());
        }
        self.afford(cost::SCRUB_BLOCK)?;
        kernel
            .scrub(Original::Own(self.own.frame(b)), FrameSize::Block)
            .map_err(|_| Error::Kernel)?;
        self.records.block(b).holder = NEVER;
        Ok(())
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
        let domain = crate::domain::DomainIndex(d);
        let original = Original::Own(frame);
        kernel.mint(original, domain, slot).map_err(|_| false)?;
        kernel
            .mint(original, domain, slot.window_cap())
            .map_err(|_| kernel.revoke(frame).is_err())
    }
}
