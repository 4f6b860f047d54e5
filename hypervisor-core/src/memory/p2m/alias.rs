//! Aliases: pages that the guest sees a second time, because it has mapped a grant of its own.
//!
//! An alias has a capability of its own for the page and shows it anywhere in the guest's address
//! space, to be written or only to be read. The page itself stays what it was: RAM at its home,
//! parked, or a page of the hypervisor's. If its owner gives it up meanwhile it is parked and
//! *leaving*, and goes when its last alias does, as a page of Xen's that something still refers to.
//!
//! What the grant table needs to know of a mapping is kept here too: its reference and whether it
//! may be written.

use hv_types::{FrameSize, Gfn, PAGE_SHIFT, WindowAddr};
use memory_server_api::{ALIASES, Reply, Request, Slot};

use super::entry::{Alias, AliasId, BlockEntry, MAX_GFN, PageEntry};
use super::error::Error;
use super::extra::Covered;
use super::map::{MALFORMED, Space, ask};
use super::{P2m, Patience};
use crate::host::Host;

/// Flag of the third word: mapped for writing.
const WRITABLE: u32 = 1 << 31;
/// Flag of the third word: the owner gave the page up.
const LEAVING: u32 = 1 << 30;

impl P2m<'_> {
    /// The alias of this number, if it is in use.
    pub fn alias(&self, n: u32) -> Option<(AliasId, Alias)> {
        let [slot, at, home, gref] = *self.aliases.get(n as usize)?;
        let alias = Alias {
            slot: Slot(slot.checked_sub(1)?),
            at: at.checked_sub(1).map(|at| Gfn::new(u64::from(at))),
            home: home & !(WRITABLE | LEAVING),
            writable: home & WRITABLE != 0,
            leaving: home & LEAVING != 0,
            gref,
        };
        Some((AliasId(n), alias))
    }

    fn set_alias(&mut self, id: AliasId, alias: Option<Alias>) {
        if let Some(words) = self.aliases.get_mut(id.0 as usize) {
            *words = alias.map_or([0; 4], |alias| {
                // Places and homes are below 2^30 pages.
                let at = alias.at.and_then(|at| u32::try_from(at.raw() + 1).ok());
                let flags = if alias.writable { WRITABLE } else { 0 }
                    | if alias.leaving { LEAVING } else { 0 };
                [
                    alias.slot.0.saturating_add(1),
                    at.unwrap_or(0),
                    alias.home | flags,
                    alias.gref,
                ]
            });
        }
    }

    /// All aliases in use. The lowest free one is always taken first, so few are looked at where
    /// there are few.
    pub fn aliases(&self) -> impl Iterator<Item = (AliasId, Alias)> + '_ {
        (0..self.alias_end).filter_map(|n| self.alias(n))
    }

    /// The alias that the guest sees at `gfn`.
    pub(super) fn alias_at(&self, gfn: Gfn) -> Option<(AliasId, Alias)> {
        if self.used_aliases == 0
            || self
                .block_of(gfn)
                .is_some_and(|block| !self.is_covered(block, gfn))
        {
            return None;
        }
        self.aliases().find(|(_, alias)| alias.at == Some(gfn))
    }

    /// The alias's own capability.
    fn alias_cap(&self, id: AliasId) -> Slot {
        Slot(self.alias_base.saturating_add(id.0))
    }

    /// Whether an alias is free.
    pub fn has_free_alias(&self) -> bool {
        self.used_aliases < ALIASES
    }

    /// The page that the guest sees at `gfn`: its guest-side slot and where it lies in the window.
    /// RAM of a whole block becomes pages.
    fn seen_at<H: Host>(&mut self, host: &mut H, gfn: Gfn) -> Result<(Slot, WindowAddr), Error> {
        if let Some((_, alias)) = self.alias_at(gfn) {
            return Ok((alias.slot, alias.window()));
        }
        if let Some(kind) = self.extra_at(gfn) {
            let slot = self.extra_slot(kind).ok_or(Error::Nothing)?;
            return Ok((slot, WindowAddr::extra(kind.index(), 0)));
        }
        if !self.is_ram(gfn) {
            return Err(Error::Nothing);
        }
        let block = self.paged(host, gfn, Patience::None)?;
        match self.page(block, gfn) {
            PageEntry::Ram(slot) => {
                // It stays there as long as the alias does.
                self.look_at(host, block, gfn, slot)?;
                let there = self.in_sight(gfn).ok_or(Error::Broken)?;
                Ok((slot, there))
            }
            _ => Err(Error::Nothing),
        }
    }

    /// Shows the page that the guest sees at `from` at `at` too. What was at `at` is parked or
    /// hidden.
    ///
    /// # Errors
    /// [`Error::Nothing`] if nothing is at `from`, [`Error::BadGfn`] if no page can be at `at`,
    /// [`Error::Occupied`] if no alias is free, the refusal of the memory server or the kernel;
    /// nothing changed.
    pub fn add_alias<H: Host>(
        &mut self,
        host: &mut H,
        from: Gfn,
        at: Gfn,
        writable: bool,
        gref: u32,
    ) -> Result<AliasId, Error> {
        let (slot, window) = self.seen_at(host, from)?;
        self.show_alias(host, slot, window, at, writable, gref)
    }

    /// The same for the page of another alias.
    ///
    /// # Errors
    /// As [`P2m::add_alias`].
    pub fn add_alias_of<H: Host>(
        &mut self,
        host: &mut H,
        other: &Alias,
        at: Gfn,
        writable: bool,
        gref: u32,
    ) -> Result<AliasId, Error> {
        self.show_alias(host, other.slot, other.window(), at, writable, gref)
    }

    fn show_alias<H: Host>(
        &mut self,
        host: &mut H,
        slot: Slot,
        window: WindowAddr,
        at: Gfn,
        writable: bool,
        gref: u32,
    ) -> Result<AliasId, Error> {
        let gpa = at
            .gpa()
            .filter(|_| at.raw() <= MAX_GFN)
            .ok_or(Error::BadGfn)?;
        let home = u32::try_from(window.raw() >> PAGE_SHIFT).map_err(|_| Error::BadGfn)?;
        let free = self.aliases.iter().position(|words| words[0] == 0);
        let n = free
            .and_then(|n| u32::try_from(n).ok())
            .ok_or(Error::Occupied)?;
        let Reply::Alias(cap) = ask(host, Request::Alias { slot, alias: n })? else {
            return Err(MALFORMED);
        };
        self.alias_base = cap.0.saturating_sub(n);
        let covered = match self.uncover(host, at) {
            Ok(covered) => covered,
            Err(error) => {
                let _ = ask(host, Request::Unalias { slot, alias: n });
                return Err(error);
            }
        };
        // The mapping brings a table of the last level.
        if let Some(block) = self.block_of(at) {
            self.set_block(block, BlockEntry::Paged);
        }
        let space = Space::guest(gpa, writable);
        if let Err(error) = self.map(host, cap, space, FrameSize::Page) {
            let _ = ask(host, Request::Unalias { slot, alias: n });
            self.cover_again(host, at, covered)?;
            return Err(error);
        }
        let leaving = self.is_leaving(slot);
        let alias = Alias {
            slot,
            at: Some(at),
            home,
            writable,
            leaving,
            gref,
        };
        self.set_alias(AliasId(n), Some(alias));
        self.need_sight(home, true);
        self.used_aliases += 1;
        self.alias_end = self.alias_end.max(n + 1);
        self.set_covered(at, true);
        self.note_mapped(at);
        Ok(AliasId(n))
    }

    /// Ends an alias, wherever it is seen. A page that is leaving goes with its last one.
    ///
    /// # Errors
    /// The refusal of the memory server; nothing changed.
    pub fn remove_alias<H: Host>(&mut self, host: &mut H, id: AliasId) -> Result<(), Error> {
        let (_, alias) = self.alias(id.0).ok_or(Error::Nothing)?;
        ask(
            host,
            Request::Unalias {
                slot: alias.slot,
                alias: id.0,
            },
        )?;
        if let Some(at) = alias.at {
            self.set_covered(at, false);
        }
        self.set_alias(id, None);
        self.used_aliases = self.used_aliases.saturating_sub(1);
        while let Some(last) = self.alias_end.checked_sub(1)
            && self.alias(last).is_none()
        {
            self.alias_end = last;
        }
        self.need_sight(alias.home, false);
        if alias.leaving && !self.is_aliased(alias.slot) {
            // Only a page of RAM leaves. One that something covers stays parked.
            if let Some(gfn) = self.seen_at_page(alias.home)
                && let (_, Some(error)) = self.decrease_pages(host, &[gfn.raw()], Patience::None)
                && error == Error::Broken
            {
                return Err(error);
            }
        }
        Ok(())
    }

    /// Takes an alias out of the guest's sight; it stays in use.
    pub(super) fn hide_alias<H: Host>(
        &mut self,
        host: &mut H,
        id: AliasId,
        alias: &Alias,
    ) -> Result<Covered, Error> {
        host.unmap(self.alias_cap(id)).map_err(Error::Map)?;
        if let Some(at) = alias.at {
            self.set_covered(at, false);
        }
        self.set_alias(id, Some(Alias { at: None, ..*alias }));
        Ok(Covered::Alias(id))
    }

    /// Undoes [`P2m::hide_alias`].
    pub(super) fn show_alias_again<H: Host>(
        &mut self,
        host: &mut H,
        id: AliasId,
        gfn: Gfn,
    ) -> Result<(), Error> {
        let (_, alias) = self.alias(id.0).ok_or(Error::Nothing)?;
        let gpa = gfn.gpa().ok_or(Error::BadGfn)?;
        let space = Space::guest(gpa, alias.writable);
        self.map(host, self.alias_cap(id), space, FrameSize::Page)?;
        let at = Some(gfn);
        self.set_alias(id, Some(Alias { at, ..alias }));
        self.set_covered(gfn, true);
        Ok(())
    }

    fn is_aliased(&self, slot: Slot) -> bool {
        self.aliases().any(|(_, alias)| alias.slot == slot)
    }

    fn is_leaving(&self, slot: Slot) -> bool {
        self.aliases()
            .any(|(_, alias)| alias.slot == slot && alias.leaving)
    }

    /// The page that the domain holds for `gfn`, if it has an alias, and whether it is leaving.
    fn aliased_ram(&self, gfn: Gfn) -> Option<(Slot, bool)> {
        if self.used_aliases == 0 {
            return None;
        }
        let block = self
            .block_of(gfn)
            .filter(|block| self.block(*block) == BlockEntry::Paged)?;
        let (PageEntry::Ram(slot) | PageEntry::Parked(slot)) = self.page(block, gfn) else {
            return None;
        };
        self.is_aliased(slot).then(|| (slot, self.is_leaving(slot)))
    }

    /// Whether RAM at `gfn` has an alias, so that it cannot be given back like other RAM.
    pub fn is_aliased_ram(&self, gfn: Gfn) -> bool {
        self.aliased_ram(gfn).is_some()
    }

    /// Gives RAM up that has an alias: the guest does not see it at home any more, and it goes with
    /// its last alias.
    ///
    /// # Errors
    /// [`Error::Nothing`] if it was given up already or something covers it; the refusal of the
    /// kernel; nothing changed.
    pub fn give_up_aliased<H: Host>(&mut self, host: &mut H, gfn: Gfn) -> Result<(), Error> {
        let (slot, leaving) = self.aliased_ram(gfn).ok_or(Error::Nothing)?;
        if leaving || !self.is_owned(gfn) {
            return Err(Error::Nothing);
        }
        if self.is_ram(gfn) {
            self.remove(host, gfn)?;
        }
        self.set_leaving(slot, true);
        Ok(())
    }

    /// Whether the page in `slot` is given up.
    pub(super) fn set_leaving(&mut self, slot: Slot, leaving: bool) {
        if self.used_aliases == 0 {
            return;
        }
        for n in 0..self.alias_end {
            if let Some((id, alias)) = self.alias(n)
                && alias.slot == slot
            {
                self.set_alias(id, Some(Alias { leaving, ..alias }));
            }
        }
    }
}
