//! Splitting a granted block into pages.
//!
//! Memory the kernel does not own keeps its content when it is retyped, so a device block is split
//! in place. The kernel wipes its own memory, so there the domain gets a second block as pages,
//! copies, and gives the first one back.
//!
//! A split only takes the block away and changes records. Frames and capabilities come when the
//! domain asks for a page ([`memory_server_api::Request::Chunk`],
//! [`memory_server_api::Request::Window`]), so a page that nobody looks at, or that is given back
//! before, costs nothing. A page of the domain's without capabilities is as much its RAM as any
//! other.

use hv_types::{FrameSize, PAGES_PER_BLOCK};
use memory_server_api::{CHUNK_PAGES, Error, Granted, Slot, SplitKind};

use crate::cost;
use crate::domain::{DomainIndex, Kept};
use crate::kernel::Kernel;
use crate::records::{BlockState, HEAP, NEVER, PageId, PageRecord, PageState};
use crate::server::{MemoryServer, Pending};
use crate::spare::Use;

impl MemoryServer<'_> {
    /// [`memory_server_api::Request::Split`].
    pub(crate) fn split(
        &mut self,
        kernel: &mut impl Kernel,
        d: u8,
        slot: Slot,
        patient: bool,
    ) -> Result<(SplitKind, Granted), Error> {
        let (_, named, _) = self.named(d, slot)?;
        if self.records.get(named).state == BlockState::Split {
            return Err(Error::WrongState);
        }
        let b = self.held_block(d, slot)?;
        if self.records.get(b).state == BlockState::Source {
            return Err(Error::WrongState);
        }
        let (kind, pages) = if self.untyped_of(b).device {
            (SplitKind::InPlace, self.split_in_place(kernel, d, b)?)
        } else if self.dom(d).pending.is_some() {
            return Err(Error::WrongState);
        } else {
            (SplitKind::Copy, self.begin_copy(kernel, d, b, patient)?)
        };
        let window = self.held_window(d, pages).ok_or(Error::WrongState)?;
        let pages = Granted {
            first: self.dom(d).layout.page(window, 0),
            count: PAGES_PER_BLOCK,
            size: FrameSize::Page,
        };
        Ok((kind, pages))
    }

    /// Makes pages of a block where they are; returns the block.
    fn split_in_place(&mut self, kernel: &mut impl Kernel, d: u8, b: u32) -> Result<u32, Error> {
        let s = self.split_record(kernel, b, Use::Copy)?;
        self.afford(cost::REVOKE + 3 * cost::DELETE + cost::RECORD_SPLIT)?;
        let (window, gfn) = (self.records.get(b).window, self.records.get(b).gfn);
        kernel
            .revoke(self.block_untyped(b))
            .map_err(|_| Error::Kernel)?;
        self.uncount_whole(d, b);
        self.hold_all_pages(d, b, s, window, gfn);
        Ok(b)
    }

    /// Makes the pages that the contents of block `b` will be copied to; returns their block.
    ///
    /// # Errors
    /// Those of its parts; [`Error::Again`] while that block is being zeroed, if the caller is
    /// `patient`.
    fn begin_copy(
        &mut self,
        kernel: &mut impl Kernel,
        d: u8,
        b: u32,
        patient: bool,
    ) -> Result<u32, Error> {
        let home = self.ram_home(d);
        if patient {
            self.wait_for_wiper(kernel, home)?;
        }
        let gfn = self.records.get(b).gfn;
        if home == HEAP {
            self.ensure_window(kernel, d, Kept::None)?;
        }
        let new = self.take_block(kernel, home, Use::Copy)?;
        let (window, s) = self
            .clean_for(kernel, d, new)
            .and_then(|()| self.page_window(d, new, Kept::None).ok_or(Error::NoMemory))
            .and_then(|window| Ok((window, self.ready_to_split(kernel, new, Use::Copy)?)))
            .inspect_err(|_| self.put_block_first(new))?;
        self.spend(cost::RECORD_SPLIT);
        self.hold_all_pages(d, new, s, window, gfn);
        self.uncount_whole(d, b);
        self.records.block(b).state = BlockState::Source;
        self.dom_mut(d).pending = Some(Pending {
            source: b,
            pages: new,
        });
        self.wipe_next(kernel, home);
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

    /// Records all pages of a block at split `s`, which has just been made, as RAM of `d`.
    fn hold_all_pages(&mut self, d: u8, b: u32, s: u16, window: u16, gfn: u32) {
        self.record_pages(b, s, PageRecord::ram(d), Some(gfn));
        let split = self.records.split(s);
        split.free = 0;
        split.held[usize::from(d)] = split.pages;
        split.window[usize::from(d)] = window;
        self.set_window(d, window, b);
    }

    /// The page of `d`'s RAM that `slot` names.
    pub(crate) fn ram_page(&mut self, d: u8, slot: Slot) -> Result<PageId, Error> {
        let (window, b, page) = self.named(d, slot)?;
        if self.records.get(b).state != BlockState::Split
            || page >= self.untyped_of(b).pages()
            || self.held_window(d, b) != Some(window)
        {
            return Err(Error::NotYours);
        }
        let id = PageId::new(b, page);
        let record = self.records.page(id);
        if record.state() == PageState::Ram && record.holder() == d {
            Ok(id)
        } else {
            Err(Error::NotYours)
        }
    }

    /// [`memory_server_api::Request::Chunk`]. What others hold in the chunk is left alone.
    ///
    /// # Errors
    /// [`Error::NotYours`]; [`Error::Kernel`]: those pages that have got their capabilities keep
    /// them.
    pub(crate) fn grant_chunk(
        &mut self,
        kernel: &mut impl Kernel,
        d: u8,
        slot: Slot,
    ) -> Result<(), Error> {
        let named = self.ram_page(d, slot)?;
        let (b, page) = (named.block(), named.page());
        self.ensure_frame(kernel, named)?;
        let first = page - page % CHUNK_PAGES;
        let last = (first + CHUNK_PAGES).min(self.untyped_of(b).pages());
        let at = self.held_slot(d, PageId::new(b, first))?;
        let s = self.records.get(b).split;
        for n in first..last {
            // The guest waits for all of them, so the record is looked up once for each.
            let split = self.records.split(s);
            let record = &split.page[n as usize];
            if record.state() != PageState::Ram || record.holder() != d {
                continue;
            }
            let id = PageId::new(b, n);
            if !split.is_granted(n) {
                let own = self.original(id);
                kernel
                    .mint(own, DomainIndex(d), at.nth(n - first))
                    .map_err(|_| Error::Kernel)?;
                self.records.split(s).set_granted(n, true);
                self.spend(cost::MINT);
            }
        }
        Ok(())
    }

    /// Gives `d` the guest-side capability of a page that it holds, or is about to; one that it has
    /// stays.
    ///
    /// # Errors
    /// [`Error::Kernel`]; it has none.
    pub(crate) fn grant_guest_side(
        &mut self,
        kernel: &mut impl Kernel,
        d: u8,
        id: PageId,
    ) -> Result<(), Error> {
        if self.records.is_granted(id) {
            return Ok(());
        }
        self.ensure_frame(kernel, id)?;
        if self.records.is_granted(id) {
            return Ok(());
        }
        self.spend(cost::MINT);
        let slot = self.held_slot(d, id)?;
        kernel
            .mint(self.original(id), DomainIndex(d), slot)
            .map_err(|_| Error::Kernel)?;
        self.records.set_granted(id, true);
        Ok(())
    }

    /// Where the guest-side capability of a page that `d` has, or has returned, lies.
    fn held_slot(&self, d: u8, id: PageId) -> Result<Slot, Error> {
        let window = self.held_window(d, id.block()).ok_or(Error::WrongState)?;
        Ok(self.dom(d).layout.page(window, id.page()))
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
        self.wipe_next(kernel, self.records.get(b).home);
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
        // What was lent is known to be there.
        if !all_held || self.is_lent(pending.pages) {
            return Err(Error::WrongState);
        }
        let copies = PAGES_PER_BLOCK + self.copies_to_count(d);
        self.spend(self.unsplit_cost(pending.pages, copies));
        self.unsplit(kernel, pending.pages)?;
        self.put_block_first(pending.pages);
        self.records.block(b).state = BlockState::Held;
        self.count_whole(d, b);
        self.dom_mut(d).pending = None;
        Ok(())
    }
}
