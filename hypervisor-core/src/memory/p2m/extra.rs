//! Extra pages, and what happens to RAM that they cover.

use hv_types::{FrameSize, Gfn, WindowAddr};
use memory_server_api::{Extra, Reply, Request, Slot};

use super::entry::{ABSENT, AliasId, Block, BlockEntry, ForeignId, MAX_GFN, PageEntry};
use super::error::Error;
use super::map::{MALFORMED, Space, ask};
use super::{P2m, Patience};
use crate::host::Host;

impl P2m<'_> {
    /// Creates an extra page, zeroed, in the window at [`WindowAddr::extra`], where it stays while
    /// the guest lives, mapped for it or not (EX-2). The guest does not see it yet.
    ///
    /// # Errors
    /// The refusal of the memory server or the kernel; nothing changed (EX-5).
    pub fn create_extra<H: Host>(&mut self, host: &mut H, kind: Extra) -> Result<(), Error> {
        let Reply::Granted(page) = ask(host, Request::CreateExtra { kind })? else {
            return Err(MALFORMED);
        };
        let at = Space::Window(WindowAddr::extra(kind.index(), 0));
        if let Err(error) = self.map(host, page.first.window_cap(), at, FrameSize::Page) {
            // A page that cannot be destroyed is of no use to anybody but in nobody's way.
            let _ = ask(host, Request::DestroyExtra { kind });
            return Err(error);
        }
        self.extra_entry(kind)[0] = page.first.0.saturating_add(1);
        Ok(())
    }

    /// Destroys an extra page that the guest does not see.
    ///
    /// # Errors
    /// [`Error::Nothing`] if it does not exist, [`Error::Busy`] if the guest sees it, or the
    /// refusal of the memory server; nothing changed.
    pub fn destroy_extra<H: Host>(&mut self, host: &mut H, kind: Extra) -> Result<(), Error> {
        self.extra_slot(kind).ok_or(Error::Nothing)?;
        if self.extra_gfn(kind).is_some() {
            return Err(Error::Busy);
        }
        ask(host, Request::DestroyExtra { kind })?;
        *self.extra_entry(kind) = [0; 2];
        Ok(())
    }

    /// Whether the extra page exists.
    pub fn has_extra(&self, kind: Extra) -> bool {
        self.extra_slot(kind).is_some()
    }

    /// Where the guest sees an extra page.
    pub fn extra_gfn(&self, kind: Extra) -> Option<Gfn> {
        let [_, gfn] = *self.extras.get(kind.index() as usize)?;
        gfn.checked_sub(1).map(|gfn| Gfn::new(u64::from(gfn)))
    }

    pub(super) fn extra_slot(&self, kind: Extra) -> Option<Slot> {
        let [slot, _] = *self.extras.get(kind.index() as usize)?;
        slot.checked_sub(1).map(Slot)
    }

    fn extra_entry(&mut self, kind: Extra) -> &mut [u32; 2] {
        // Kinds are numbered 0..COUNT and the table has COUNT entries.
        &mut self.extras[kind.index() as usize]
    }

    /// The extra page that the guest sees at `gfn`.
    pub(super) fn extra_at(&self, gfn: Gfn) -> Option<Extra> {
        if self.mapped_extras == 0 || gfn.raw() > MAX_GFN {
            return None;
        }
        // Of the frames in banks most are not covered, and that has to be known fast.
        if let Some(block) = self.block_of(gfn)
            && !self.is_covered(block, gfn)
        {
            return None;
        }
        let index = self
            .extras
            .iter()
            .position(|[_, at]| u64::from(*at) == gfn.raw() + 1)?;
        Extra::from_index(index as u64)
    }

    /// Shows an extra page to the guest at `gfn`. RAM there is parked, another extra page is
    /// unmapped.
    ///
    /// # Errors
    /// [`Error::Nothing`] if the page does not exist, [`Error::Busy`] if the guest sees it
    /// somewhere already (EX-16), [`Error::BadGfn`], or the refusal of the kernel; nothing changed.
    pub fn map_extra<H: Host>(&mut self, host: &mut H, kind: Extra, gfn: Gfn) -> Result<(), Error> {
        let slot = self.extra_slot(kind).ok_or(Error::Nothing)?;
        if self.extra_gfn(kind).is_some() {
            return Err(Error::Busy);
        }
        if gfn.raw() > MAX_GFN {
            return Err(Error::BadGfn);
        }
        let gpa = gfn.gpa().ok_or(Error::BadGfn)?;
        let covered = self.uncover(host, gfn)?;
        // The mapping brings a table of the last level.
        if let Some(block) = self.block_of(gfn) {
            self.set_block(block, BlockEntry::Paged);
        }
        if let Err(error) = self.map(host, slot, Space::Guest(gpa), FrameSize::Page) {
            self.cover_again(host, gfn, covered)?;
            return Err(error);
        }
        let number = u32::try_from(gfn.raw() + 1).unwrap_or(0);
        self.extra_entry(kind)[1] = number;
        self.mapped_extras += 1;
        self.set_covered(gfn, true);
        self.note_mapped(gfn);
        Ok(())
    }

    /// Takes away what the guest sees at `gfn` (`XENMEM_remove_from_physmap`). RAM stays the
    /// domain's, parked.
    ///
    /// # Errors
    /// [`Error::Nothing`] for a hole, [`Error::Occupied`] for shared memory, which stays; the
    /// refusal of the server or the kernel; nothing changed.
    pub fn remove<H: Host>(&mut self, host: &mut H, gfn: Gfn) -> Result<(), Error> {
        match self.uncover(host, gfn)? {
            Covered::Nothing => Err(Error::Nothing),
            Covered::Ram(..) | Covered::Extra(_) | Covered::Alias(_) | Covered::Foreign(_) => {
                Ok(())
            }
        }
    }

    /// Makes `gfn` a hole for the guest, and a place where a page can be mapped.
    pub(super) fn uncover<H: Host>(&mut self, host: &mut H, gfn: Gfn) -> Result<Covered, Error> {
        if self.is_shared(gfn) {
            return Err(Error::Occupied);
        }
        if let Some((id, alias)) = self.alias_at(gfn) {
            return self.hide_alias(host, id, &alias);
        }
        if let Some(id) = self.foreign_at(gfn) {
            return self.hide_foreign(host, id, gfn);
        }
        if let Some(kind) = self.extra_at(gfn) {
            let slot = self.extra_slot(kind).ok_or(Error::Nothing)?;
            host.unmap(slot).map_err(Error::Map)?;
            self.extra_entry(kind)[1] = 0;
            self.mapped_extras -= 1;
            self.set_covered(gfn, false);
            return Ok(Covered::Extra(kind));
        }
        if self.block_of(gfn).is_none() {
            return Ok(Covered::Nothing);
        }
        let block = self.paged(host, gfn, Patience::None)?;
        let PageEntry::Ram(slot) = self.page(block, gfn) else {
            return Ok(Covered::Nothing);
        };
        if !self.is_absent(gfn) {
            host.unmap(slot).map_err(Error::Map)?;
        }
        self.set_page(block, gfn, PageEntry::Parked(slot));
        Ok(Covered::Ram(block, slot))
    }

    pub(super) fn cover_again<H: Host>(
        &mut self,
        host: &mut H,
        gfn: Gfn,
        covered: Covered,
    ) -> Result<(), Error> {
        match covered {
            Covered::Nothing => Ok(()),
            Covered::Ram(block, slot) => self.unpark(host, block, gfn, slot),
            Covered::Extra(kind) => self.map_extra_again(host, kind, gfn),
            Covered::Alias(id) => self.show_alias_again(host, id, gfn),
            Covered::Foreign(id) => self.show_foreign_again(host, id, gfn),
        }
        .map_err(|_| Error::Broken)
    }

    fn map_extra_again<H: Host>(
        &mut self,
        host: &mut H,
        kind: Extra,
        gfn: Gfn,
    ) -> Result<(), Error> {
        let slot = self.extra_slot(kind).ok_or(Error::Nothing)?;
        let gpa = gfn.gpa().ok_or(Error::BadGfn)?;
        self.map(host, slot, Space::Guest(gpa), FrameSize::Page)?;
        self.extra_entry(kind)[1] = u32::try_from(gfn.raw() + 1).unwrap_or(0);
        self.mapped_extras += 1;
        self.set_covered(gfn, true);
        Ok(())
    }

    /// Shows a parked frame to the guest again, with its contents; one that is absent comes when it
    /// is touched.
    pub(super) fn unpark<H: Host>(
        &mut self,
        host: &mut H,
        block: Block,
        gfn: Gfn,
        slot: Slot,
    ) -> Result<(), Error> {
        let gpa = gfn.gpa().ok_or(Error::BadGfn)?;
        if self.word(block, gfn) & ABSENT == 0 {
            self.map(host, slot, Space::Guest(gpa), FrameSize::Page)?;
        }
        self.set_page(block, gfn, PageEntry::Ram(slot));
        self.set_leaving(slot, false);
        self.show_kept(host, gfn, 1);
        Ok(())
    }
}

/// What was at a frame.
#[derive(Clone, Copy)]
pub(super) enum Covered {
    Nothing,
    Ram(Block, Slot),
    Extra(Extra),
    Alias(AliasId),
    Foreign(ForeignId),
}
