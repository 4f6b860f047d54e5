//! Aliases: further guest-side capabilities of pages that a domain has, for the grants it maps
//! itself.
//!
//! An alias is one more copy of the page's capability, so whatever revokes the page takes it away
//! too. The server remembers only which of the slots set aside for them may hold one; the VMM keeps
//! track of which alias belongs to which grant.

use memory_server_api::{Error, Slot};

use crate::cost;
use crate::domain::DomainIndex;
use crate::kernel::Kernel;
use crate::records::{NIL, PageId};
use crate::server::MemoryServer;

impl MemoryServer<'_> {
    /// [`memory_server_api::Request::Alias`]; `n` is below [`memory_server_api::ALIASES`].
    pub(crate) fn alias(
        &mut self,
        kernel: &mut impl Kernel,
        d: u8,
        slot: Slot,
        n: u32,
    ) -> Result<Slot, Error> {
        let id = self.page_of(d, slot)?;
        let into = self.dom(d).layout.alias(n);
        self.spend(cost::REVOKE + cost::DELETE + cost::MINT);
        self.ensure_frame(kernel, id)?;
        let (word, bit) = (n as usize / 64, 1u64 << (n % 64));
        // The bit may be stale, from a page that was revoked meanwhile. Deleting an empty slot is
        // no error.
        if self.dom(d).aliases[word] & bit != 0 {
            kernel
                .delete(self.page_slot(id), DomainIndex(d), into)
                .map_err(|_| Error::Kernel)?;
            self.dom_mut(d).aliases[word] &= !bit;
        }
        kernel
            .mint(self.page_slot(id), DomainIndex(d), into)
            .map_err(|_| Error::Kernel)?;
        self.dom_mut(d).aliases[word] |= bit;
        Ok(into)
    }

    /// [`memory_server_api::Request::Unalias`].
    pub(crate) fn unalias(
        &mut self,
        kernel: &mut impl Kernel,
        d: u8,
        slot: Slot,
        n: u32,
    ) -> Result<(), Error> {
        let id = self.page_of(d, slot)?;
        self.spend(cost::REVOKE + cost::DELETE);
        kernel
            .delete(
                self.page_slot(id),
                DomainIndex(d),
                self.dom(d).layout.alias(n),
            )
            .map_err(|_| Error::Kernel)?;
        self.dom_mut(d).aliases[n as usize / 64] &= !(1 << (n % 64));
        Ok(())
    }

    /// The page that `d` has in `slot`: RAM by itself, or an extra page.
    fn page_of(&mut self, d: u8, slot: Slot) -> Result<PageId, Error> {
        let extra = self.dom(d).layout.extra_at(slot);
        if let Some(kind) = extra {
            let word = self.dom(d).extra.get(kind.index() as usize).copied();
            return word
                .filter(|word| *word != NIL)
                .map(PageId::from_word)
                .ok_or(Error::NotYours);
        }
        self.ram_page(d, slot)
    }
}
