//! Ballooning: giving RAM back and getting it again, any single page of it (UP-5).

use hv_types::{Gfn, PAGES_PER_BLOCK, PageOrder};
use memory_server_api::{MAX_BATCH, Request, Slot};

use super::entry::{Block, BlockEntry, MAX_ORDER, PageEntry};
use super::error::Error;
use super::map::ask;
use super::{P2m, Patience, block_start};
use crate::host::Host;

/// The frames of an extent, if each of them has a number.
fn frames(gfn: Gfn, order: PageOrder) -> Result<impl Iterator<Item = Gfn> + Clone, Error> {
    if order > MAX_ORDER {
        return Err(Error::BadGfn);
    }
    let pages = 1u64 << order.0;
    gfn.checked_add(pages).ok_or(Error::BadGfn)?;
    Ok((0..pages).map(move |n| Gfn::new(gfn.raw() + n)))
}

/// Consecutive frame numbers from `first` on, at most `count` and as many as a batch has, and how
/// many those are.
pub(super) fn run(first: u64, count: u64) -> ([u64; MAX_BATCH], usize) {
    let mut list = [0; MAX_BATCH];
    let count = list
        .iter_mut()
        .zip(first..first.saturating_add(count))
        .map(|(place, gfn)| *place = gfn)
        .count();
    (list, count)
}

impl P2m<'_> {
    /// Gives the frames of an extent back to the memory server (`XENMEM_decrease_reservation`,
    /// BL-1). All of them must be RAM or parked.
    ///
    /// # Errors
    /// [`Error::Nothing`] if one is not: nothing changed. Other errors: nothing changed in an
    /// extent of order 0; of a larger one the frames before the failing one are gone.
    pub fn decrease<H: Host>(
        &mut self,
        host: &mut H,
        gfn: Gfn,
        order: PageOrder,
        patience: Patience,
    ) -> Result<(), Error> {
        let frames = frames(gfn, order)?;
        if order == MAX_ORDER
            && gfn.raw() == block_start(gfn.raw())
            && let Some(block) = self.block_of(gfn)
            && let BlockEntry::Whole(slot) = self.block(block)
        {
            return self.decrease_block(host, block, slot, gfn);
        }
        if !frames.clone().all(|gfn| self.is_owned(gfn)) {
            return Err(Error::Nothing);
        }
        // An extent touches at most two blocks; splitting them is what can fail without harm.
        for gfn in [frames.clone().next(), frames.clone().last()]
            .into_iter()
            .flatten()
        {
            self.paged(host, gfn, patience)?;
        }
        let (first, pages) = (gfn.raw(), 1u64 << order.0);
        let mut done = 0;
        // Each round gives one frame at least.
        while done < pages {
            let (list, count) = run(first + done, pages - done);
            let (gone, error) = self.decrease_pages(host, &list[..count], patience);
            if let Some(error) = error {
                return Err(error);
            }
            done += gone as u64;
        }
        Ok(())
    }

    /// Gives a whole block back.
    fn decrease_block<H: Host>(
        &mut self,
        host: &mut H,
        block: Block,
        slot: Slot,
        gfn: Gfn,
    ) -> Result<(), Error> {
        let gpa = gfn.gpa().ok_or(Error::BadGfn)?;
        let released = host
            .unmap(slot)
            .and_then(|()| host.unmap(slot.window_cap()))
            .map_err(Error::Map)
            .and_then(|()| ask(host, Request::Release { slot }));
        if let Err(error) = released {
            self.map_block_again(host, slot, gpa)?;
            return Err(error);
        }
        self.set_block(block, BlockEntry::Empty);
        Ok(())
    }

    /// Whether the domain holds a frame for `gfn` that it can give back: RAM, or RAM that is parked
    /// and has nothing mapped over it.
    pub(super) fn is_owned(&self, gfn: Gfn) -> bool {
        let Some(block) = self.block_of(gfn) else {
            return false;
        };
        match self.block(block) {
            BlockEntry::Whole(_) => true,
            BlockEntry::Empty => false,
            BlockEntry::Paged => match self.page(block, gfn) {
                PageEntry::Ram(_) => true,
                PageEntry::Parked(_) => {
                    self.extra_at(gfn).is_none()
                        && self.alias_at(gfn).is_none()
                        && self.foreign_at(gfn).is_none()
                }
                PageEntry::Hole => false,
            },
        }
    }

    /// Fills an extent with RAM (`XENMEM_populate_physmap`, BL-2). All frames must be holes of a
    /// RAM bank; a parked frame comes back with its contents (BL-8).
    ///
    /// # Errors
    /// [`Error::BadGfn`] outside the banks, [`Error::Occupied`] where something is (SM-27), the
    /// refusal of the memory server or the kernel. Nothing changed.
    pub fn populate<H: Host>(
        &mut self,
        host: &mut H,
        gfn: Gfn,
        order: PageOrder,
    ) -> Result<(), Error> {
        let frames = frames(gfn, order)?;
        if order == MAX_ORDER
            && gfn.raw() == block_start(gfn.raw())
            && self.is_within(gfn.raw(), u64::from(PAGES_PER_BLOCK))
            && let Some(block) = self.block_of(gfn)
            && self.block(block) == BlockEntry::Empty
        {
            return self.populate_blocks(host, gfn.raw(), 1).map(|_| ());
        }
        for gfn in frames.clone() {
            let block = self.block_of(gfn).ok_or(Error::BadGfn)?;
            if matches!(self.block(block), BlockEntry::Whole(_)) || self.is_visible(gfn) {
                return Err(Error::Occupied);
            }
        }
        let mut parked = [0u64; 8];
        for (n, at) in frames.clone().enumerate() {
            parked[n / 64] |= u64::from(self.is_owned(at)) << (n % 64);
        }
        let (first, pages) = (gfn.raw(), 1u64 << order.0);
        let mut done = 0;
        // Each round fills one frame at least.
        while done < pages {
            let (list, count) = run(first + done, pages - done);
            let (filled, error) = self.populate_pages(host, &list[..count]);
            done += filled as u64;
            let Some(error) = error else { continue };
            for (n, at) in frames.enumerate().take_while(|(n, _)| (*n as u64) < done) {
                let undone = if parked[n / 64] >> (n % 64) & 1 != 0 {
                    self.remove(host, at)
                } else {
                    self.decrease(host, at, PageOrder(0), Patience::None)
                };
                undone.map_err(|_| Error::Broken)?;
            }
            return Err(error);
        }
        Ok(())
    }

    /// Whether the guest sees something at `gfn`, which is not in a whole block.
    pub(super) fn is_visible(&self, gfn: Gfn) -> bool {
        self.is_ram(gfn)
            || self.extra_at(gfn).is_some()
            || self.alias_at(gfn).is_some()
            || self.foreign_at(gfn).is_some()
    }

    /// Shows a parked frame again.
    pub(super) fn unpark_at<H: Host>(&mut self, host: &mut H, gfn: Gfn) -> Result<(), Error> {
        let block = self.block_of(gfn).ok_or(Error::BadGfn)?;
        match (self.block(block), self.page(block, gfn)) {
            (BlockEntry::Paged, PageEntry::Parked(slot)) => self.unpark(host, block, gfn, slot),
            _ => Err(Error::Nothing),
        }
    }

    /// Hides an extent of RAM from the guest and keeps its frames for it (DM-2): all frames must be
    /// RAM.
    ///
    /// # Errors
    /// [`Error::Nothing`] if one is not RAM, the refusal of the server or the kernel; nothing
    /// changed.
    pub fn park_extent<H: Host>(
        &mut self,
        host: &mut H,
        gfn: Gfn,
        order: PageOrder,
    ) -> Result<(), Error> {
        let frames = frames(gfn, order)?;
        if !frames.clone().all(|gfn| self.is_ram(gfn)) {
            return Err(Error::Nothing);
        }
        for (n, at) in frames.clone().enumerate() {
            if let Err(error) = self.remove(host, at) {
                for at in frames.take(n) {
                    self.unpark_at(host, at).map_err(|_| Error::Broken)?;
                }
                return Err(error);
            }
        }
        Ok(())
    }

    /// Shows an extent of parked frames again: exactly those (DM-2, DM-3).
    ///
    /// # Errors
    /// [`Error::Nothing`] if one frame is not parked, or something covers it; the refusal of the
    /// kernel; nothing changed.
    pub fn unpark_extent<H: Host>(
        &mut self,
        host: &mut H,
        gfn: Gfn,
        order: PageOrder,
    ) -> Result<(), Error> {
        let frames = frames(gfn, order)?;
        let parked = |gfn| self.is_owned(gfn) && !self.is_ram(gfn);
        if !frames.clone().all(parked) {
            return Err(Error::Nothing);
        }
        for (n, at) in frames.clone().enumerate() {
            if let Err(error) = self.unpark_at(host, at) {
                for at in frames.take(n) {
                    self.remove(host, at).map_err(|_| Error::Broken)?;
                }
                return Err(error);
            }
        }
        Ok(())
    }
}
