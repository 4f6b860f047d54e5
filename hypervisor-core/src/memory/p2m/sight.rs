//! The window side of pages: mapped when the VMM looks.
//!
//! Blocks that are whole are in the window from the start, and so are the pages with which a guest
//! is built, which the loader writes to. Of all other pages the VMM looks at few: those that hold
//! arguments of hypercalls, the guest's page tables on the way to them, and what a grant copies.

use hv_types::{FrameSize, Gfn, PAGE_SHIFT, WindowAddr};
use memory_server_api::{Request, Slot};

use super::P2m;
use super::entry::{ABSENT, Block, BlockEntry, PageEntry, SEEN};
use super::error::Error;
use super::map::{Space, ask};
use crate::host::{Host, MapError};

impl P2m<'_> {
    /// Whether `gfn` is RAM that the window shows.
    #[inline]
    pub(super) fn is_in_sight(&self, gfn: Gfn) -> bool {
        let Some(block) = self.block_of(gfn) else {
            return false;
        };
        match self.block(block) {
            BlockEntry::Whole(_) => true,
            BlockEntry::Paged => self.word(block, gfn) & (SEEN | ABSENT | 3) == SEEN | 1,
            BlockEntry::Empty => false,
        }
    }

    /// Maps RAM at `gfn` in the window, if it is not there. Where that is refused it stays out of
    /// sight.
    #[cold]
    #[inline(never)]
    pub(super) fn bring_into_sight<H: Host>(&self, host: &mut H, gfn: Gfn) {
        let Some(block) = self
            .block_of(gfn)
            .filter(|block| self.block(*block) == BlockEntry::Paged)
        else {
            return;
        };
        if let PageEntry::Ram(slot) = self.page(block, gfn)
            && !self.is_in_sight(gfn)
            && let Err(error) = self.look_at(host, block, gfn, slot)
        {
            host.log(format_args!(
                "frame {:#x} cannot be looked at: {error}",
                gfn.raw()
            ));
        }
    }

    /// Has the page in `slot` at `gfn`, with its contents, in the window; a refusal gets a second
    /// chance.
    pub(super) fn look_at<H: Host>(
        &self,
        host: &mut H,
        block: Block,
        gfn: Gfn,
        slot: Slot,
    ) -> Result<(), Error> {
        self.bring(host, block, gfn)?;
        self.show(host, block, gfn, slot)
            .or_else(|_| self.show(host, block, gfn, slot))
    }

    /// Maps the page in `slot` at `gfn` in the window, if it is not there.
    pub(super) fn show<H: Host>(
        &self,
        host: &mut H,
        block: Block,
        gfn: Gfn,
        slot: Slot,
    ) -> Result<(), Error> {
        if self.word(block, gfn) & SEEN != 0 {
            return Ok(());
        }
        let (cap, at) = (slot.window_cap(), WindowAddr::new(gfn.raw() << PAGE_SHIFT));
        match self.map(host, cap, Space::Window(at), FrameSize::Page) {
            Err(Error::Map(MapError::NoFrame)) => {
                ask(host, Request::Window { slot })?;
                self.map(host, cap, Space::Window(at), FrameSize::Page)
            }
            done => done,
        }?;
        self.set_flag(block, gfn, SEEN, true);
        Ok(())
    }

    /// Takes the page in `slot` at `gfn` out of the window, if it is there.
    #[inline]
    pub(super) fn unshow<H: Host>(
        &self,
        host: &mut H,
        block: Block,
        gfn: Gfn,
        slot: Slot,
    ) -> Result<(), Error> {
        if self.word(block, gfn) & SEEN != 0 {
            host.unmap(slot.window_cap()).map_err(Error::Map)?;
            self.set_flag(block, gfn, SEEN, false);
        }
        Ok(())
    }

    /// Keeps RAM at `gfn` in the window from now on, whatever becomes of its block: there are
    /// words in it that are looked at when nobody can map anything, one page for each vCPU.
    pub fn keep_in_sight(&mut self, gfn: Gfn) {
        if !self.kept_in_sight.contains(&gfn) {
            // One that does not fit is brought into sight when the guest names it.
            let _ = self.kept_in_sight.push(gfn);
        }
    }

    /// Brings those frames among `count` from `first` on that are kept in sight into the window
    /// again.
    #[inline]
    pub(super) fn show_kept<H: Host>(&self, host: &mut H, first: Gfn, count: u64) {
        for gfn in &self.kept_in_sight {
            if gfn.raw().wrapping_sub(first.raw()) < count {
                self.bring_into_sight(host, *gfn);
            }
        }
    }
}
