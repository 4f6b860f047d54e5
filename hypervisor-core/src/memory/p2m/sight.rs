//! The window side of pages: mapped when the VMM looks.
//!
//! Blocks that are whole are in the window from the start. Of the pages of other blocks the VMM
//! looks at few: those that hold arguments of hypercalls, the guest's page tables on the way to
//! them, and what a grant copies. They are shown at a number of places, *sights*, wherever the
//! guest has them. A new one takes the place of that which was shown first, but for those that must
//! stay: pages that have an alias, and those that are looked at when nobody can map anything.

use core::cell::Cell;

use hv_types::{BLOCK_SIZE, FrameSize, Gfn, PAGE_SHIFT, PAGE_SIZE, WindowAddr};
use memory_server_api::{Reply, Request, SIGHTS, Slot};

use super::P2m;
use super::entry::{Block, BlockEntry, PageEntry, SEEN, Sight, body};
use super::error::Error;
use super::map::{MALFORMED, Space, ask};
use crate::host::Host;

/// Where the first sight lies in the window: the first 2 MiB after the extra pages.
const FIRST: WindowAddr = WindowAddr::new(WindowAddr::EXTRA_BASE + BLOCK_SIZE);
const _: () = assert!(SIGHTS as u64 * PAGE_SIZE <= BLOCK_SIZE);

/// Where sight `n` lies.
fn place(n: u32) -> WindowAddr {
    WindowAddr::new(FIRST.raw() + u64::from(n % SIGHTS) * PAGE_SIZE)
}

/// The sight that lies at page `page` of the window, if one does.
fn number(page: u32) -> Option<u32> {
    let n = u64::from(page).checked_sub(FIRST.raw() >> PAGE_SHIFT)?;
    u32::try_from(n).ok().filter(|n| *n < SIGHTS)
}

impl P2m<'_> {
    #[inline]
    pub(super) fn sight(&self, n: u32) -> Sight {
        match self
            .sights
            .get(n as usize)
            .map(|words| words.each_ref().map(Cell::get))
        {
            Some([gfn, slot, aliases]) => Sight {
                gfn: gfn.checked_sub(1).map(|gfn| Gfn::new(u64::from(gfn))),
                slot: Slot(slot),
                aliases,
            },
            None => Sight::NONE,
        }
    }
    fn set_sight(&self, n: u32, sight: Sight) {
        if let Some([gfn, slot, aliases]) = self.sights.get(n as usize) {
            // Frames of banks are below 2^28.
            let frame = sight.gfn.and_then(|gfn| u32::try_from(gfn.raw() + 1).ok());
            gfn.set(frame.unwrap_or(0));
            slot.set(sight.slot.0);
            aliases.set(sight.aliases);
        }
    }

    /// Whether `gfn` is RAM that the window shows.
    #[inline]
    pub fn is_in_sight(&self, gfn: Gfn) -> bool {
        self.in_sight(gfn).is_some()
    }

    /// Where the window shows `gfn`, which is RAM.
    #[inline]
    pub fn in_sight(&self, gfn: Gfn) -> Option<WindowAddr> {
        let block = self.block_of(gfn)?;
        match self.block(block) {
            BlockEntry::Whole(_) => Some(WindowAddr::new(gfn.raw() << PAGE_SHIFT)),
            BlockEntry::Paged => {
                let word = self.word(block, gfn);
                (word & (SEEN | 3) == SEEN | 1).then(|| place(body(word)))
            }
            BlockEntry::Empty => None,
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
        let n = self.free_sight()?;
        let Reply::Alias(cap) = ask(host, Request::Window { slot, sight: n })? else {
            return Err(MALFORMED);
        };
        self.sight_base.set(cap.0.saturating_sub(n));
        self.map(host, cap, Space::Window(place(n)), FrameSize::Page)?;
        let gfn_there = Some(gfn);
        self.set_sight(
            n,
            Sight {
                gfn: gfn_there,
                slot,
                aliases: 0,
            },
        );
        self.set_body(block, gfn, n);
        self.set_flag(block, gfn, SEEN, true);
        Ok(())
    }

    /// A sight that nothing needs, with nothing there: the oldest.
    ///
    /// # Errors
    /// [`Error::Occupied`] cannot be: there are fewer aliases and kept frames than sights.
    fn free_sight(&self) -> Result<u32, Error> {
        for _ in 0..SIGHTS {
            let n = self.next_sight.get() % SIGHTS;
            self.next_sight.set(n + 1);
            let sight = self.sight(n);
            let Some(gfn) = sight.gfn else {
                return Ok(n);
            };
            if sight.aliases > 0 || self.kept_in_sight.contains(&gfn) {
                continue;
            }
            // Its mapping goes when another page is granted there.
            if let Some(block) = self.block_of(gfn) {
                self.lose_sight(block, gfn, n);
            }
            return Ok(n);
        }
        Err(Error::Occupied)
    }

    /// Records that the page at `gfn` is not at sight `n` any more.
    fn lose_sight(&self, block: Block, gfn: Gfn, n: u32) {
        let slot = self.sight(n).slot;
        self.set_body(block, gfn, slot.0);
        self.set_flag(block, gfn, SEEN, false);
        self.set_sight(n, Sight::NONE);
    }

    /// Takes the page at `gfn` out of the window, if it is there.
    #[inline]
    pub(super) fn unshow<H: Host>(
        &self,
        host: &mut H,
        block: Block,
        gfn: Gfn,
    ) -> Result<(), Error> {
        let word = self.word(block, gfn);
        if word & SEEN != 0 {
            let n = body(word);
            let cap = Slot(self.sight_base.get().saturating_add(n));
            host.unmap(cap).map_err(Error::Map)?;
            self.lose_sight(block, gfn, n);
        }
        Ok(())
    }

    /// One alias more, or one less, needs the page that lies at page `page` of the window; a page
    /// that is no sight's stays there anyway.
    pub(super) fn need_sight(&self, page: u32, more: bool) {
        if let Some(n) = number(page) {
            let sight = self.sight(n);
            let aliases = if more {
                sight.aliases.saturating_add(1)
            } else {
                sight.aliases.saturating_sub(1)
            };
            self.set_sight(n, Sight { aliases, ..sight });
        }
    }

    /// The frame that the window shows at page `page`, of those that are in sight one by one.
    pub(super) fn seen_at_page(&self, page: u32) -> Option<Gfn> {
        self.sight(number(page)?).gfn
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
