//! Splitting a granted block into pages.
//!
//! Memory the kernel does not own keeps its content when it is retyped, so a device block is split
//! in place. The kernel wipes its own memory, so there the domain gets a second block as pages,
//! copies, and gives the first one back.

use hv_types::{FrameSize, PAGES_PER_BLOCK};
use memory_server_api::{Error, Granted, Slot, SplitKind};

use crate::cost;
use crate::domain::Kept;
use crate::kernel::Kernel;
use crate::records::{BlockState, HEAP, NEVER, NIL, NIL16, PageId, PageState};
use crate::server::{MemoryServer, Pending, Splitting};
use crate::spare::Use;

impl MemoryServer<'_> {
    /// [`memory_server_api::Request::Split`]: the first message, or one that goes on.
    ///
    /// First the records give all pages to the domain. Then the pages get their capabilities, as
    /// many as fit into each message. Until all have them, nothing else of the domain is served, so
    /// no page is missed; if the domain ends, its pages are found in the records.
    pub(crate) fn split(
        &mut self,
        kernel: &mut impl Kernel,
        d: u8,
        slot: Slot,
    ) -> Result<(SplitKind, Granted), Error> {
        if self.dom(d).splitting.is_none() {
            self.begin_split(kernel, d, slot)?;
        }
        self.go_on_splitting(kernel, d)
    }

    fn begin_split(&mut self, kernel: &mut impl Kernel, d: u8, slot: Slot) -> Result<(), Error> {
        let (_, named, _) = self.named(d, slot)?;
        if self.records.get(named).state == BlockState::Split {
            return Err(Error::WrongState);
        }
        let b = self.held_block(d, slot)?;
        if self.records.get(b).state == BlockState::Source {
            return Err(Error::WrongState);
        }
        let (kind, pages) = if self.untyped_of(b).device {
            (SplitKind::InPlace, self.begin_in_place(kernel, d, b)?)
        } else if self.dom(d).pending.is_some() {
            return Err(Error::WrongState);
        } else {
            (SplitKind::Copy, self.begin_copy(kernel, d, b)?)
        };
        // This comes after the long steps, which would not fit into a message that has cost this
        // much.
        self.spend(cost::RECORD_SPLIT);
        self.dom_mut(d).splitting = Some(Splitting {
            slot,
            kind,
            pages,
            next: 0,
        });
        Ok(())
    }

    /// Makes the pages of a block where they are; returns the block.
    fn begin_in_place(&mut self, kernel: &mut impl Kernel, d: u8, b: u32) -> Result<u32, Error> {
        let s = self.split_record(kernel, b, Use::Copy)?;
        self.afford(cost::REVOKE + 3 * cost::DELETE + self.pages_cost(b))?;
        let (window, gfn) = (self.records.get(b).window, self.records.get(b).gfn);
        kernel
            .revoke(self.block_untyped(b))
            .map_err(|_| Error::Kernel)?;
        self.uncount_whole(d, b);
        if let Err((error, lost)) = self.make_pages(kernel, b, s) {
            if lost {
                self.lose_held(kernel, d, b, s);
            } else {
                self.rebuild_block(kernel, d, b, s);
            }
            return Err(error);
        }
        self.record_split(b, s, d);
        self.hold_all_pages(d, b, window, gfn);
        Ok(b)
    }

    /// Makes the pages that the contents of block `b` will be copied to; returns their block.
    fn begin_copy(&mut self, kernel: &mut impl Kernel, d: u8, b: u32) -> Result<u32, Error> {
        let home = self.ram_home(d);
        let gfn = self.records.get(b).gfn;
        if home == HEAP {
            self.ensure_window(kernel, d, Kept::None)?;
        }
        let new = self.take_block(kernel, home, Use::Copy)?;
        let window = self
            .clean_for(kernel, d, new)
            .and_then(|()| self.page_window(d, new, Kept::None).ok_or(Error::NoMemory))
            .and_then(|window| {
                self.split_free(kernel, new, Use::Copy)?;
                Ok(window)
            })
            .inspect_err(|_| self.put_block_first(new))?;
        self.hold_all_pages(d, new, window, gfn);
        self.uncount_whole(d, b);
        self.records.block(b).state = BlockState::Source;
        self.dom_mut(d).pending = Some(Pending {
            source: b,
            pages: new,
        });
        Ok(new)
    }

    /// Zeroes a free block of memory that the kernel does not own if its contents are not `d`'s.
    /// Other memory the kernel zeroes.
    fn clean_for(&mut self, kernel: &mut impl Kernel, d: u8, b: u32) -> Result<(), Error> {
        let last = self.records.get(b).holder;
        if !self.untyped_of(b).device || last == NEVER || last == d {
            return Ok(());
        }
        self.frame(kernel, b)?;
        self.scrub_block(kernel, d, b)
    }

    /// Gives `d` the capabilities of the pages of the split in hand that have none yet.
    fn go_on_splitting(
        &mut self,
        kernel: &mut impl Kernel,
        d: u8,
    ) -> Result<(SplitKind, Granted), Error> {
        let Splitting {
            kind, pages, next, ..
        } = self.dom(d).splitting.ok_or(Error::WrongState)?;
        let window = self.held_window(d, pages).ok_or(Error::WrongState)?;
        for page in next..PAGES_PER_BLOCK {
            if let Err(again) = self.afford(2 * cost::MINT) {
                if let Some(splitting) = &mut self.dom_mut(d).splitting {
                    splitting.next = page;
                }
                return Err(again);
            }
            let slot = self.dom(d).layout.page(window, page);
            if self
                .mint_page(kernel, d, PageId::new(pages, page), slot)
                .is_err()
            {
                self.undo_split(kernel, d);
                return Err(Error::Kernel);
            }
        }
        self.dom_mut(d).splitting = None;
        Ok((
            kind,
            Granted {
                first: self.dom(d).layout.page(window, 0),
                count: PAGES_PER_BLOCK,
                size: FrameSize::Page,
            },
        ))
    }

    /// The kernel refused in the middle of a split: the domain has its block whole again, or has
    /// lost it.
    fn undo_split(&mut self, kernel: &mut impl Kernel, d: u8) {
        let Some(Splitting { kind, pages, .. }) = self.dom_mut(d).splitting.take() else {
            return;
        };
        let s = self.records.get(pages).split;
        match (kind, self.dom(d).pending) {
            (SplitKind::InPlace, _) => {
                if kernel.revoke(self.block_untyped(pages)).is_err() {
                    self.lose_held(kernel, d, pages, s);
                } else {
                    self.rebuild_block(kernel, d, pages, s);
                }
            }
            (SplitKind::Copy, pending) => {
                self.drop_new_pages(kernel, pages);
                if let Some(Pending { source, .. }) = pending {
                    self.records.block(source).state = BlockState::Held;
                    self.count_whole(d, source);
                }
                self.dom_mut(d).pending = None;
            }
        }
    }

    /// Makes the 2 MiB frame of a block again, in the domain's hands, after a split that failed.
    /// The block's untyped has no children.
    fn rebuild_block(&mut self, kernel: &mut impl Kernel, d: u8, b: u32, s: u16) {
        let window = self.records.get(b).window;
        self.records.split(s).block = NIL;
        if self.make_frame(kernel, b).is_err() || self.mint_block(kernel, d, b, window).is_err() {
            self.lose_held(kernel, d, b, s);
            return;
        }
        let block = self.records.block(b);
        block.split = NIL16;
        block.state = BlockState::Held;
        self.count_whole(d, b);
    }

    /// Withdraws a block that `d` held, and that is not counted as whole any more.
    fn lose_held(&mut self, kernel: &mut impl Kernel, d: u8, b: u32, s: u16) {
        self.lose_split(kernel, b, s);
        self.dom_mut(d).ram -= u64::from(PAGES_PER_BLOCK);
    }

    /// Records all pages of a split block, which are on no list, as RAM of `d`.
    fn hold_all_pages(&mut self, d: u8, b: u32, window: u16, gfn: u32) {
        for id in self.pages_of(b) {
            let record = self.records.page(id);
            record.holder = d;
            record.state = PageState::Ram;
            record.gfn = gfn.saturating_add(id.page());
        }
        if let Some((_, split)) = self.records.split_of(b) {
            split.free = 0;
            split.held[usize::from(d)] = split.pages;
            split.window[usize::from(d)] = window;
        }
        self.set_window(d, window, b);
    }

    /// Takes the pages of a split block back, granted or not, and puts the block first on its list.
    fn drop_new_pages(&mut self, kernel: &mut impl Kernel, b: u32) {
        let s = self.records.get(b).split;
        if self.unsplit(kernel, b).is_ok() {
            self.put_block_first(b);
        } else {
            self.lose_split(kernel, b, s);
        }
    }

    /// [`memory_server_api::Request::SplitDone`].
    pub(crate) fn split_done(
        &mut self,
        kernel: &mut impl Kernel,
        d: u8,
        slot: Slot,
    ) -> Result<(), Error> {
        let b = self.held_block(d, slot)?;
        if self.dom(d).pending.is_none_or(|p| p.source != b) {
            return Err(Error::WrongState);
        }
        self.take_back_block(kernel, d, b)?;
        self.dom_mut(d).pending = None;
        Ok(())
    }

    /// [`memory_server_api::Request::SplitAbort`].
    pub(crate) fn split_abort(
        &mut self,
        kernel: &mut impl Kernel,
        d: u8,
        slot: Slot,
    ) -> Result<(), Error> {
        let b = self.held_block(d, slot)?;
        let pending = self
            .dom(d)
            .pending
            .filter(|p| p.source == b)
            .ok_or(Error::WrongState)?;
        let all_held = self
            .records
            .split_of(pending.pages)
            .is_some_and(|(_, s)| s.held[usize::from(d)] == s.pages);
        if !all_held {
            return Err(Error::WrongState);
        }
        let aliases = self.aliases_to_count(d);
        self.spend(self.unsplit_cost(pending.pages, 2 * PAGES_PER_BLOCK + aliases));
        self.unsplit(kernel, pending.pages)?;
        self.put_block_first(pending.pages);
        self.records.block(b).state = BlockState::Held;
        self.count_whole(d, b);
        self.dom_mut(d).pending = None;
        Ok(())
    }
}
