//! Splitting a granted block into pages.
//!
//! Memory the kernel does not own keeps its content when it is retyped, so a device block is split
//! in place. The kernel wipes its own memory, so there the domain gets a second block as pages,
//! copies, and gives the first one back.

use hv_types::{FrameSize, PAGES_PER_BLOCK};
use memory_server_api::{Error, Granted, Slot, SplitKind};

use crate::kernel::Kernel;
use crate::records::{BlockState, HEAP, NEVER, NIL, NIL16, PageState};
use crate::server::{MemoryServer, Pending};
use crate::spare::{Kept, Use};

impl MemoryServer<'_> {
    /// [`memory_server_api::Request::Split`].
    pub(crate) fn split(
        &mut self,
        kernel: &mut impl Kernel,
        d: u8,
        slot: Slot,
    ) -> Result<(SplitKind, Granted), Error> {
        let (_, named, _) = self.named(d, slot)?;
        if self.records.get(named).state == BlockState::Split {
            return Err(Error::WrongState);
        }
        let b = self.held_block(d, slot)?;
        if self.records.get(b).state == BlockState::Source {
            return Err(Error::WrongState);
        }
        if self.untyped_of(b).device {
            self.split_in_place(kernel, d, b)
                .map(|pages| (SplitKind::InPlace, pages))
        } else if self.dom(d).pending.is_some() {
            Err(Error::WrongState)
        } else {
            self.split_by_copy(kernel, d, b)
                .map(|pages| (SplitKind::Copy, pages))
        }
    }

    fn split_in_place(
        &mut self,
        kernel: &mut impl Kernel,
        d: u8,
        b: u32,
    ) -> Result<Granted, Error> {
        let s = self.split_record(kernel, b, Use::Copy)?;
        let window = self.records.get(b).window;
        let gfn = self.records.get(b).gfn;
        kernel
            .revoke(self.block_untyped(b))
            .map_err(|_| Error::Kernel)?;
        let made = self.make_pages(kernel, b, s).and_then(|()| {
            self.record_split(b, s, d);
            self.grant_all_pages(kernel, d, b, window, gfn)
                .map_err(|error| (error, kernel.revoke(self.block_untyped(b)).is_err()))
        });
        if let Err((error, lost)) = made {
            if lost {
                self.lose_held(kernel, d, b, s);
            } else {
                self.rebuild_block(kernel, d, b, s);
            }
            return Err(error);
        }
        self.uncount_whole(d, b);
        Ok(Granted {
            first: self.dom(d).layout.page(window, 0),
            count: PAGES_PER_BLOCK,
            size: FrameSize::Page,
        })
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
    }

    /// Withdraws a block that `d` held.
    fn lose_held(&mut self, kernel: &mut impl Kernel, d: u8, b: u32, s: u16) {
        self.uncount_whole(d, b);
        self.lose_split(kernel, b, s);
        self.dom_mut(d).ram -= u64::from(PAGES_PER_BLOCK);
    }

    /// Mints every page of a split block to `d`; records them only if all of it worked. Pages whose
    /// content is not `d`'s are zeroed first.
    fn grant_all_pages(
        &mut self,
        kernel: &mut impl Kernel,
        d: u8,
        b: u32,
        window: u16,
        gfn: u32,
    ) -> Result<(), Error> {
        for id in self.pages_of(b) {
            let last = self.records.page(id).holder;
            if last != NEVER && last != d {
                kernel
                    .scrub(self.page_slot(id), FrameSize::Page)
                    .map_err(|_| Error::Kernel)?;
            }
            let slot = self.dom(d).layout.page(window, id.page());
            self.mint_page(kernel, d, id, slot)
                .map_err(|_| Error::Kernel)?;
        }
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
        Ok(())
    }

    fn split_by_copy(&mut self, kernel: &mut impl Kernel, d: u8, b: u32) -> Result<Granted, Error> {
        let home = self.ram_home(d);
        let gfn = self.records.get(b).gfn;
        if home == HEAP {
            self.ensure_window(kernel, d, Kept::None)?;
        }
        let new = self.take_block(kernel, home, Use::Copy)?;
        if let Err(error) = self.split_free(kernel, new, Use::Copy) {
            self.put_block_first(new);
            return Err(error);
        }
        let granted = match self.page_window(d, new, Kept::None) {
            Some(window) => self
                .grant_all_pages(kernel, d, new, window, gfn)
                .map(|()| window),
            None => Err(Error::NoMemory),
        };
        let window = match granted {
            Ok(window) => window,
            Err(error) => {
                self.drop_new_pages(kernel, new);
                return Err(error);
            }
        };
        self.uncount_whole(d, b);
        self.records.block(b).state = BlockState::Source;
        self.dom_mut(d).pending = Some(Pending {
            source: b,
            pages: new,
        });
        Ok(Granted {
            first: self.dom(d).layout.page(window, 0),
            count: PAGES_PER_BLOCK,
            size: FrameSize::Page,
        })
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
        self.unsplit(kernel, pending.pages)?;
        self.put_block_first(pending.pages);
        self.records.block(b).state = BlockState::Held;
        self.count_whole(d, b);
        self.dom_mut(d).pending = None;
        Ok(())
    }
}
