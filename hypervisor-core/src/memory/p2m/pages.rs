//! Single pages in batches: what a balloon does by the thousand.
//!
//! A page that goes is unmapped from the guest, and from the window if the VMM has looked at it; an
//! absent one is mapped nowhere and goes without. A page that comes is mapped for the guest alone.
//! The memory server gives a domain its own returned pages first, with the capabilities that they
//! had.

use hv_types::{FrameSize, Gfn};
use memory_server_api::{Batch, Error as MemoryError, MAX_BATCH, Released, Reply, Request, Slot};

use super::entry::{ABSENT, Block, BlockEntry, COVERED, PageEntry, SEEN, body};
use super::error::Error;
use super::map::{MALFORMED, Space, ask};
use super::{P2m, Patience};
use crate::host::Host;

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
        patience: Patience,
    ) -> (usize, Option<Error>) {
        let splits = self.splits;
        let mut slots = Batch::EMPTY;
        let (mut parked, mut absent) = (0u64, 0u64);
        let mut stopped = None;
        for gfn in gfns.iter().take(MAX_BATCH) {
            match self.hide(host, Gfn::new(*gfn), patience) {
                Ok((slot, was_parked, was_absent)) => {
                    parked |= u64::from(was_parked) << slots.len();
                    absent |= u64::from(was_absent) << slots.len();
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
            // One message's work is done: pages that were lent take some.
            Ok(Reply::Released(Released {
                done,
                error: Some(MemoryError::Again),
            })) => (done, None),
            Ok(Reply::Released(released)) => (released.done, released.error.map(Error::Memory)),
            Ok(_) => (0, Some(MALFORMED)),
            Err(error) => (0, Some(error)),
        };
        for (n, (gfn, slot)) in gfns.iter().zip(slots.items()).enumerate().skip(done) {
            let hidden = (Slot(*slot), parked >> n & 1 != 0, absent >> n & 1 != 0);
            if self.show_again(host, Gfn::new(*gfn), hidden).is_err() {
                return (done, Some(Error::Broken));
            }
        }
        if done > 0
            && let Some(copy) = self.copying.get()
        {
            // It may have been the last page that had to be copied.
            self.end_copy(host, copy);
        }
        (done, error.or(stopped))
    }

    /// Makes a frame a hole; returns its slot, whether it was parked and whether it was absent.
    fn hide<H: Host>(
        &mut self,
        host: &mut H,
        gfn: Gfn,
        patience: Patience,
    ) -> Result<(Slot, bool, bool), Error> {
        let block = self.block_of(gfn).ok_or(Error::Nothing)?;
        if let BlockEntry::Whole(_) = self.block(block) {
            self.paged(host, gfn, patience)?;
        }
        // A balloon does this for each page, so the word is looked up once. Of most pages it says
        // that they are RAM, in the guest's address space and out of sight.
        let pages = self.pages;
        if let Some(at) = pages.get(Self::page_index(block, gfn))
            && let word = at.get()
            && word & (SEEN | ABSENT | 3) == 1
        {
            let slot = Slot(body(word));
            host.unmap(slot).map_err(Error::Map)?;
            at.set(word & COVERED);
            return Ok((slot, false, false));
        }
        self.hide_rare(host, block, gfn)
    }

    /// [`P2m::hide`] of a page that is absent, in sight, or parked.
    #[cold]
    #[inline(never)]
    fn hide_rare<H: Host>(
        &self,
        host: &mut H,
        block: Block,
        gfn: Gfn,
    ) -> Result<(Slot, bool, bool), Error> {
        let (slot, parked) = match self.page(block, gfn) {
            PageEntry::Ram(slot) => (slot, false),
            PageEntry::Parked(slot) if self.is_owned(gfn) => (slot, true),
            PageEntry::Parked(_) | PageEntry::Hole => return Err(Error::Nothing),
        };
        self.unshow(host, block, gfn)?;
        let absent = self.word(block, gfn) & ABSENT != 0;
        if absent {
            self.set_present(block, gfn);
        } else if !parked {
            host.unmap(slot).map_err(Error::Map)?;
        }
        self.set_page(block, gfn, PageEntry::Hole);
        Ok((slot, parked, absent))
    }

    /// Undoes [`P2m::hide`].
    fn show_again<H: Host>(
        &mut self,
        host: &mut H,
        gfn: Gfn,
        (slot, parked, absent): (Slot, bool, bool),
    ) -> Result<(), Error> {
        let block = self.block_of(gfn).ok_or(Error::BadGfn)?;
        if absent {
            self.set_absent(block, gfn);
        }
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
                    slots.push(page.0);
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

    /// Maps a page that was granted for `gfn`, a hole. It is mapped nowhere.
    fn place<H: Host>(&mut self, host: &mut H, gfn: Gfn, slot: Slot) -> Result<(), Error> {
        let block = self.block_of(gfn).ok_or(Error::BadGfn)?;
        let gpa = gfn.gpa().ok_or(Error::BadGfn)?;
        // Even a mapping that fails may leave a table of the last level behind.
        self.set_block(block, BlockEntry::Paged);
        self.map(host, slot, Space::Guest(gpa), FrameSize::Page)?;
        self.set_page(block, gfn, PageEntry::Ram(slot));
        self.note_mapped(gfn);
        self.show_kept(host, gfn, 1);
        Ok(())
    }
}
