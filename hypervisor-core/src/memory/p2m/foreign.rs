//! Pages of other domains: grants that the guest has mapped.
//!
//! Whose page it is and what may be done with it is the peer server's and the memory server's
//! affair; here is where the guest sees it. The page is in no window: nothing of it is an argument
//! of a hypercall, and the guest cannot grant it on. If its owner takes it back, the guest finds an
//! empty page of its own in its place when it touches it next.

use hv_types::{FrameSize, Gfn};
use memory_server_api::{Error as MemoryError, Extra, LENDS, Reply, Request, Slot};

use super::entry::{BlockEntry, ForeignId, MAX_GFN, PageEntry};
use super::error::Error;
use super::extra::Covered;
use super::foreign_table::{USED, WRITABLE};
use super::map::{MALFORMED, Space, ask};
use super::{P2m, Patience};
use crate::host::{Host, MapError};

impl P2m<'_> {
    /// A number for a page of another domain's; `None` where there are as many as can be.
    pub fn free_foreign(&self) -> Option<ForeignId> {
        let foreign = &self.foreign;
        let room = foreign.has_room();
        let mut all = foreign.first_free..LENDS;
        all.find(|n| room && foreign.record(*n).is_none())
            .map(ForeignId)
    }

    /// The page of this number, if it is in use: where the guest sees it.
    pub fn foreign(&self, id: ForeignId) -> Option<Option<Gfn>> {
        self.foreign.record(id.0).map(|(gfn, _)| gfn)
    }

    /// The page that the guest sees at `gfn`.
    pub fn foreign_at(&self, gfn: Gfn) -> Option<ForeignId> {
        if self.foreign.used == 0
            || self
                .block_of(gfn)
                .is_some_and(|block| !self.is_covered(block, gfn))
        {
            return None;
        }
        self.foreign.find(gfn).map(|(_, n)| ForeignId(n))
    }

    fn foreign_cap(&self, id: ForeignId) -> Slot {
        Slot(self.foreign.base.unwrap_or(0).saturating_add(id.0))
    }

    /// Shows the page that was lent as number `id` at `at`. What was there is parked or hidden.
    ///
    /// # Errors
    /// [`Error::BadGfn`] if no page can be at `at`, the refusal of the memory server or the kernel;
    /// nothing changed.
    pub fn show_foreign<H: Host>(
        &mut self,
        host: &mut H,
        id: ForeignId,
        at: Gfn,
        writable: bool,
    ) -> Result<(), Error> {
        let gpa = at
            .gpa()
            .filter(|_| at.raw() <= MAX_GFN)
            .ok_or(Error::BadGfn)?;
        if self.foreign.base.is_none() {
            let Reply::Alias(first) = ask(host, Request::Lent { lend: 0 })? else {
                return Err(MALFORMED);
            };
            self.foreign.base = Some(first.0);
        }
        let covered = self.uncover(host, at)?;
        // The mapping brings a table of the last level.
        if let Some(block) = self.block_of(at) {
            self.set_block(block, BlockEntry::Paged);
        }
        let space = Space::guest(gpa, writable);
        if let Err(error) = self.map(host, self.foreign_cap(id), space, FrameSize::Page) {
            self.cover_again(host, at, covered)?;
            return Err(error);
        }
        let flags = USED | if writable { WRITABLE } else { 0 };
        let foreign = &mut self.foreign;
        foreign.set_record(id.0, Some(at), flags);
        foreign.insert(at, id.0);
        foreign.used += 1;
        foreign.first_free = match foreign.first_free {
            n if n == id.0 => n + 1,
            n => n,
        };
        self.set_covered(at, true);
        self.note_mapped(at);
        Ok(())
    }

    /// Forgets a page of another domain's, whose capability is gone.
    pub fn forget_foreign(&mut self, id: ForeignId) {
        let Some((at, _)) = self.foreign.record(id.0) else {
            return;
        };
        if let Some(at) = at {
            self.foreign.remove(at);
            self.set_covered(at, false);
        }
        let foreign = &mut self.foreign;
        foreign.set_record(id.0, None, 0);
        foreign.used -= 1;
        foreign.first_free = foreign.first_free.min(id.0);
    }

    /// Takes it out of the guest's sight; it stays in use.
    pub(super) fn hide_foreign<H: Host>(
        &mut self,
        host: &mut H,
        id: ForeignId,
        at: Gfn,
    ) -> Result<Covered, Error> {
        match host.unmap(self.foreign_cap(id)) {
            // Its owner has taken it back.
            Ok(()) | Err(MapError::NoFrame) => {}
            Err(error) => return Err(Error::Map(error)),
        }
        let flags = self.foreign.record(id.0).map_or(0, |(_, flags)| flags);
        self.foreign.remove(at);
        self.foreign.set_record(id.0, None, flags);
        self.set_covered(at, false);
        Ok(Covered::Foreign(id))
    }

    /// Undoes [`P2m::hide_foreign`].
    pub(super) fn show_foreign_again<H: Host>(
        &mut self,
        host: &mut H,
        id: ForeignId,
        at: Gfn,
    ) -> Result<(), Error> {
        let gpa = at.gpa().ok_or(Error::BadGfn)?;
        let (_, flags) = self.foreign.record(id.0).ok_or(Error::Nothing)?;
        let space = Space::guest(gpa, flags & WRITABLE != 0);
        match self.map(host, self.foreign_cap(id), space, FrameSize::Page) {
            // It comes when it is touched.
            Ok(()) | Err(Error::Map(MapError::NoFrame)) => {}
            Err(error) => return Err(error),
        }
        self.foreign.set_record(id.0, Some(at), flags);
        self.foreign.insert(at, id.0);
        self.set_covered(at, true);
        Ok(())
    }

    /// The guest has touched `gfn`, where its address space has nothing: puts a page of its own in
    /// the place of one that its owner has taken back. Whether there was one.
    pub fn replace_foreign<H: Host>(&self, host: &mut H, gfn: Gfn) -> Result<bool, Error> {
        let Some(id) = self.foreign_at(gfn) else {
            return Ok(false);
        };
        let kind = Extra::Scratch;
        match ask(host, Request::CreateExtra { kind }) {
            Ok(_) | Err(Error::Memory(MemoryError::Exists)) => {}
            Err(error) => return Err(error),
        }
        let cap = match ask(host, Request::Replace { lend: id.0 }) {
            Ok(Reply::Alias(cap)) => cap,
            Ok(_) => return Err(MALFORMED),
            // It is there: another vCPU was quicker, or the guest is wrong about what it may do.
            Err(Error::Memory(MemoryError::WrongState)) => return Ok(false),
            Err(error) => return Err(error),
        };
        let gpa = gfn.gpa().ok_or(Error::BadGfn)?;
        let (_, flags) = self.foreign.record(id.0).ok_or(Error::Nothing)?;
        let space = Space::guest(gpa, flags & WRITABLE != 0);
        self.map(host, cap, space, FrameSize::Page)?;
        Ok(true)
    }

    /// The slot of the page that the guest has at `gfn` as RAM, for others to map: with its
    /// contents, and by itself.
    ///
    /// # Errors
    /// [`Error::Nothing`] where it has none; the refusal of the memory server or the kernel.
    pub fn lendable<H: Host>(&mut self, host: &mut H, gfn: Gfn) -> Result<Slot, Error> {
        if !self.is_ram(gfn) {
            return Err(Error::Nothing);
        }
        let block = self.paged(host, gfn, Patience::None)?;
        self.bring(host, block, gfn)?;
        match self.page(block, gfn) {
            PageEntry::Ram(slot) => Ok(slot),
            _ => Err(Error::Nothing),
        }
    }
}
