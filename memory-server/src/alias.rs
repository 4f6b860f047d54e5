//! Copies: further capabilities of pages that a domain has. *Aliases* are for the grants that it
//! maps itself, *sights* for the pages of split blocks that its VMM looks at.
//!
//! Whatever revokes the page takes its copies away too. So what the server remembers of a slot set
//! aside for copies is the page of which there may be one; the VMM keeps track of what there is.

use memory_server_api::{ALIASES, Error, Slot};

use crate::cost;
use crate::domain::DomainIndex;
use crate::kernel::Kernel;
use crate::layout::COPIES;
use crate::records::{NIL, PageId};
use crate::server::MemoryServer;

/// Where it is remembered of which page copy `n` of domain `d` is.
fn copy_index(d: u8, n: u32) -> usize {
    usize::from(d) * COPIES as usize + n as usize
}

impl MemoryServer<'_> {
    /// [`memory_server_api::Request::Alias`]; `n` is below [`ALIASES`].
    pub(crate) fn alias(
        &mut self,
        kernel: &mut impl Kernel,
        d: u8,
        slot: Slot,
        n: u32,
    ) -> Result<Slot, Error> {
        let id = self.page_of(d, slot)?;
        self.ensure_frame(kernel, id)?;
        self.copy(kernel, d, id, n)
    }

    /// [`memory_server_api::Request::Window`]; `n` is below [`memory_server_api::SIGHTS`].
    pub(crate) fn sight(
        &mut self,
        kernel: &mut impl Kernel,
        d: u8,
        slot: Slot,
        n: u32,
    ) -> Result<Slot, Error> {
        let id = self.ram_page(d, slot)?;
        self.ensure_frame(kernel, id)?;
        self.copy(kernel, d, id, ALIASES + n)
    }

    /// Makes copy `n` one of a page that `d` has, whose frame exists; what it was before goes.
    ///
    /// # Errors
    /// [`Error::Kernel`]; there may be none.
    pub(crate) fn copy(
        &mut self,
        kernel: &mut impl Kernel,
        d: u8,
        id: PageId,
        n: u32,
    ) -> Result<Slot, Error> {
        let into = self.dom(d).layout.copy(n);
        let original = self.original(id);
        self.spend(cost::MINT);
        let (word, bit) = (n as usize / 64, 1u64 << (n % 64));
        // The bit may be stale, from a page that was revoked meanwhile. Deleting an empty slot is
        // no error.
        if self.dom(d).copies[word] & bit != 0 {
            self.delete_copy(kernel, d, n)?;
        }
        kernel
            .mint(original, DomainIndex(d), into)
            .map_err(|_| Error::Kernel)?;
        self.dom_mut(d).copies[word] |= bit;
        if let Some(copied) = self.copied.get_mut(copy_index(d, n)) {
            *copied = id.word();
        }
        Ok(into)
    }

    /// The page that copy `n` was made of last, if it ever was.
    fn copied_page(&self, d: u8, n: u32) -> PageId {
        let word = self.copied.get(copy_index(d, n)).copied();
        PageId::from_word(word.unwrap_or(0))
    }

    /// Deletes copy `n`, of the page that it was made of last.
    fn delete_copy(&mut self, kernel: &mut impl Kernel, d: u8, n: u32) -> Result<(), Error> {
        self.spend(cost::REVOKE + cost::DELETE);
        let (id, slot) = (self.copied_page(d, n), self.dom(d).layout.copy(n));
        kernel
            .delete(self.original(id), DomainIndex(d), slot)
            .map_err(|_| Error::Kernel)?;
        self.dom_mut(d).copies[n as usize / 64] &= !(1 << (n % 64));
        Ok(())
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
        let is_there = self.dom(d).copies[n as usize / 64] >> (n % 64) & 1 != 0;
        if is_there && self.copied_page(d, n) == id {
            self.delete_copy(kernel, d, n)?;
        }
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
