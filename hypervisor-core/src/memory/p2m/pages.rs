//! Single pages in batches: what a balloon does by the thousand.
//!
//! The guest's side is unmapped when a page goes and mapped when one comes. The window side is left
//! where it is: the entry becomes [`PageEntry::Stale`], which is a hole to everybody. The memory
//! server gives a domain its own returned pages first and tells for which frame it had been
//! ([`Placed::was`]). If that is the frame it comes back for, the window is right already.
//! Otherwise the page is unmapped from where it was left, and what another returned page left at
//! the new place makes way.
//!
//! What is believed about a stale entry:
//! - if the window shows anything at that address, it is the page of the entry, which nobody holds
//!   as RAM now;
//! - it may show nothing: the server has revoked the page meanwhile, and may even have granted it
//!   anew in the same slot, mapped elsewhere. So a stale page is unmapped only where it is in the
//!   way;
//! - if the server says that the page was for this frame, the window shows it here.
//!
//! The last is what an entry that the page left behind could get wrong: where the server is about
//! to be told that the page is for the frame of that entry, without the page being mapped there,
//! the entry becomes [`PageEntry::Left`].

use hv_types::{FrameSize, Gfn, WindowAddr};
use memory_server_api::{Batch, MAX_BATCH, Placed, Reply, Request, Slot};

use super::P2m;
use super::entry::{Block, BlockEntry, PageEntry};
use super::error::Error;
use super::map::{MALFORMED, Space, ask};
use crate::host::{Host, MapError};

impl P2m<'_> {
    /// Gives single pages back, in order, until one cannot be: at most [`MAX_BATCH`] of them, and
    /// none after one whose block had to be split. All must be RAM or parked.
    ///
    /// Returns how many are gone, and why not the next one ([`Error::Nothing`] if it is neither;
    /// fewer without an error: call again with the rest).
    pub fn decrease_pages<H: Host>(
        &mut self,
        host: &mut H,
        gfns: &[u64],
    ) -> (usize, Option<Error>) {
        let splits = self.splits;
        let mut slots = Batch::EMPTY;
        let mut parked = 0u64;
        let mut stopped = None;
        for gfn in gfns.iter().take(MAX_BATCH) {
            match self.hide(host, Gfn::new(*gfn)) {
                Ok((slot, was_parked)) => {
                    parked |= u64::from(was_parked) << slots.len();
                    slots.push(slot.0);
                }
                Err(error) => {
                    stopped = Some(error);
                    break;
                }
            }
            if self.splits != splits {
                break;
            }
        }
        if slots.is_empty() {
            return (0, stopped);
        }
        let (done, error) = match ask(host, Request::ReleasePages { slots }) {
            Ok(Reply::Released(released)) => (released.done, released.error.map(Error::Memory)),
            Ok(_) => (0, Some(MALFORMED)),
            Err(error) => (0, Some(error)),
        };
        for (n, gfn) in gfns.iter().enumerate().take(slots.len()).skip(done) {
            if self
                .show_again(host, Gfn::new(*gfn), parked >> n & 1 != 0)
                .is_err()
            {
                return (done, Some(Error::Broken));
            }
        }
        (done, error.or(stopped))
    }

    /// Unmaps a frame from the guest, if it is mapped, and calls it stale; returns its slot and
    /// whether it was parked.
    fn hide<H: Host>(&mut self, host: &mut H, gfn: Gfn) -> Result<(Slot, bool), Error> {
        if !self.is_owned(gfn) {
            return Err(Error::Nothing);
        }
        let block = self.paged(host, gfn)?;
        let (slot, parked) = match self.page(block, gfn) {
            PageEntry::Ram(slot) => {
                host.unmap(slot).map_err(Error::Map)?;
                (slot, false)
            }
            PageEntry::Parked(slot) => (slot, true),
            PageEntry::Hole | PageEntry::Stale(_) | PageEntry::Left(_) => {
                return Err(Error::Nothing);
            }
        };
        self.set_page(block, gfn, PageEntry::Stale(slot));
        Ok((slot, parked))
    }

    /// Undoes [`P2m::hide`].
    fn show_again<H: Host>(&mut self, host: &mut H, gfn: Gfn, parked: bool) -> Result<(), Error> {
        let block = self.block_of(gfn).ok_or(Error::BadGfn)?;
        let PageEntry::Stale(slot) = self.page(block, gfn) else {
            return Err(Error::Nothing);
        };
        if parked {
            self.set_page(block, gfn, PageEntry::Parked(slot));
            return Ok(());
        }
        self.unpark(host, block, gfn, slot)
    }

    /// Fills single frames with RAM, in order, until one cannot be; a parked frame comes back with
    /// its contents (BL-8).
    ///
    /// Returns how many are filled, and why not the next one ([`Error::BadGfn`] outside the banks,
    /// [`Error::Occupied`] where something is (SM-27), the refusal of the server or the kernel;
    /// fewer without an error: call again with the rest).
    pub fn populate_pages<H: Host>(
        &mut self,
        host: &mut H,
        gfns: &[u64],
    ) -> (usize, Option<Error>) {
        let mut fresh = Batch::EMPTY;
        for gfn in gfns.iter().take(MAX_BATCH) {
            let at = Gfn::new(*gfn);
            let parked = match self.vacancy(at) {
                Ok(parked) => parked,
                Err(error) if fresh.is_empty() => return (0, Some(error)),
                Err(_) => break,
            };
            if parked && fresh.is_empty() {
                return match self.unpark_at(host, at) {
                    Ok(()) => (1, None),
                    Err(error) => (0, Some(error)),
                };
            }
            // In a bank, so below 2^28.
            let number = u32::try_from(*gfn);
            if parked || !number.is_ok_and(|gfn| fresh.push(gfn)) {
                break;
            }
        }
        if fresh.is_empty() {
            return (0, None);
        }
        self.populate_batch(host, &fresh)
    }

    /// Whether a frame can be filled: parked (true) or a hole.
    fn vacancy(&self, gfn: Gfn) -> Result<bool, Error> {
        let block = self.block_of(gfn).ok_or(Error::BadGfn)?;
        if matches!(self.block(block), BlockEntry::Whole(_)) || self.is_visible(gfn) {
            return Err(Error::Occupied);
        }
        Ok(self.is_owned(gfn))
    }

    fn populate_batch<H: Host>(&mut self, host: &mut H, gfns: &Batch) -> (usize, Option<Error>) {
        let pages = match ask(host, Request::PopulatePages { gfns: *gfns }) {
            Ok(Reply::Pages(pages)) => pages,
            Ok(_) => return (0, Some(MALFORMED)),
            Err(error) => return (0, Some(error)),
        };
        for (n, (page, gfn)) in pages.iter().zip(gfns.items()).enumerate() {
            let gfn = Gfn::new(u64::from(*gfn));
            let placed = if self.is_ram(gfn) {
                // It was in the list twice.
                Err(Error::Occupied)
            } else {
                self.place(host, gfn, page)
            };
            if let Err(error) = placed {
                let mut slots = Batch::EMPTY;
                for page in pages.iter().skip(n) {
                    slots.push(page.slot.0);
                }
                // From now on the server takes each for the page that was at its frame; those
                // behind never got there.
                for (page, gfn) in pages.iter().zip(gfns.items()).skip(n + 1) {
                    let gfn = Gfn::new(u64::from(*gfn));
                    if page.was != Some(gfn)
                        && let Some(block) = self.block_of(gfn)
                        && self.block(block) == BlockEntry::Paged
                    {
                        self.distrust(block, gfn, page);
                    }
                }
                let back = ask(host, Request::ReleasePages { slots });
                if !matches!(back, Ok(Reply::Released(r)) if r.done == slots.len()) {
                    host.log(format_args!(
                        "the memory server does not take {} pages back: {back:?}",
                        slots.len()
                    ));
                }
                return (n, Some(error));
            }
        }
        (pages.len(), pages.error.map(Error::Memory))
    }

    /// Maps a page that was granted for `gfn`, a hole.
    fn place<H: Host>(&mut self, host: &mut H, gfn: Gfn, page: Placed) -> Result<(), Error> {
        let block = self.block_of(gfn).ok_or(Error::BadGfn)?;
        let gpa = gfn.gpa().ok_or(Error::BadGfn)?;
        // Even a mapping that fails may leave a table of the last level behind.
        self.set_block(block, BlockEntry::Paged);
        let stale = self.page(block, gfn);
        if page.was != Some(gfn) || stale != PageEntry::Stale(page.slot) {
            self.distrust(block, gfn, page);
            self.move_window(host, block, gfn, page)?;
            self.set_page(block, gfn, PageEntry::Stale(page.slot));
        }
        self.map(host, page.slot, Space::Guest(gpa), FrameSize::Page)?;
        self.set_page(block, gfn, PageEntry::Ram(page.slot));
        self.note_mapped(gfn);
        Ok(())
    }

    /// The server is about to believe that `page` was for `gfn`, where it is not mapped: an entry
    /// that names it there, from an earlier time, must not be taken for a page that is right
    /// already.
    fn distrust(&mut self, block: Block, gfn: Gfn, page: Placed) {
        if self.page(block, gfn) == PageEntry::Stale(page.slot) {
            self.set_page(block, gfn, PageEntry::Left(page.slot));
        }
    }

    /// Maps the window side of a page at `gfn`, a frame of `block`.
    fn move_window<H: Host>(
        &mut self,
        host: &mut H,
        block: Block,
        gfn: Gfn,
        page: Placed,
    ) -> Result<(), Error> {
        let cap = page.slot.window_cap();
        if let Some(was) = page.was {
            host.unmap(cap).map_err(Error::Map)?;
            if let Some(block) = self.block_of(was)
                && self.block(block) == BlockEntry::Paged
                && self.page(block, was) == PageEntry::Stale(page.slot)
            {
                self.set_page(block, was, PageEntry::Hole);
            }
        }
        let at = Space::Window(WindowAddr::new(gfn.raw() << hv_types::PAGE_SHIFT));
        let mapped = self.map(host, cap, at, FrameSize::Page);
        let (PageEntry::Stale(left) | PageEntry::Left(left)) = self.page(block, gfn) else {
            return mapped;
        };
        if mapped != Err(Error::Map(MapError::Occupied)) {
            return mapped;
        }
        host.unmap(left.window_cap()).map_err(Error::Map)?;
        // Nothing is here, even if the next step is refused.
        self.set_page(block, gfn, PageEntry::Hole);
        self.map(host, cap, at, FrameSize::Page)
    }
}
