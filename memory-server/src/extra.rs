//! Extra pages and page tables: what a domain has besides RAM.

use hv_types::FrameSize;
use memory_server_api::{Error, Extra, Granted, Slot};

use crate::cost;
use crate::domain::DomainIndex;
use crate::kernel::{Destination, Kernel, Object};
use crate::layout;
use crate::manifest::Purpose;
use crate::pages::For;
use crate::records::{HEAP, NIL, PageId, PageState};
use crate::server::MemoryServer;

impl MemoryServer<'_> {
    /// [`memory_server_api::Request::CreateExtra`]. The page comes from the heap, is zeroed (EX-3)
    /// and does not count as RAM (EX-4).
    pub(crate) fn create_extra(
        &mut self,
        kernel: &mut impl Kernel,
        d: u8,
        kind: Extra,
    ) -> Result<Granted, Error> {
        let index = kind.index() as usize;
        if self.dom(d).extra.get(index).is_none_or(|page| *page != NIL) {
            return Err(Error::Exists);
        }
        let slot = self.dom(d).layout.extra(kind);
        let taken = self.take_page(kernel, HEAP, For::Extra)?;
        self.grant_page(kernel, d, taken, slot, For::Extra)?;
        self.records.page(taken.id).set_apart(PageState::Extra);
        let dom = self.dom_mut(d);
        dom.extra[index] = taken.id.word();
        dom.extras += 1;
        Ok(Granted {
            first: slot,
            count: 1,
            size: FrameSize::Page,
        })
    }

    /// [`memory_server_api::Request::DestroyExtra`]. A second time changes nothing (EX-6).
    pub(crate) fn destroy_extra(
        &mut self,
        kernel: &mut impl Kernel,
        d: u8,
        kind: Extra,
    ) -> Result<(), Error> {
        let index = kind.index() as usize;
        let word = self
            .dom(d)
            .extra
            .get(index)
            .copied()
            .filter(|w| *w != NIL)
            .ok_or(Error::NotYours)?;
        let id = PageId::from_word(word);
        self.forget_peek(kernel, d, kind);
        self.spend_revoke(d, 2);
        self.revoke_page(kernel, id)?;
        self.records.page(id).set_unlisted(PageState::Free);
        self.put_page(id);
        let dom = self.dom_mut(d);
        dom.extra[index] = NIL;
        dom.extras -= 1;
        Ok(())
    }

    /// [`memory_server_api::Request::Tables`] and [`memory_server_api::Request::Vcpu`]: `count`
    /// objects of a page's size, made straight into the grant CNode.
    ///
    /// A run comes from one untyped and goes into one node, so it can be shorter than asked where
    /// two meet.
    pub(crate) fn make_tables(
        &mut self,
        kernel: &mut impl Kernel,
        d: u8,
        object: Object,
        count: u32,
    ) -> Result<(Slot, u32), Error> {
        let left = self
            .dom(d)
            .config
            .table_quota
            .saturating_sub(self.dom(d).tables);
        let purpose = Purpose::Tables(DomainIndex(d));
        let mine = self.untypeds.iter().position(|u| {
            u.purpose == purpose
                && u64::from(u.made) < (1u64 << u.size_bits) >> hv_types::PAGE_SHIFT
        });
        let Some(index) = mine.filter(|_| left > 0) else {
            return Err(Error::NoTables);
        };
        let u = &self.untypeds[index];
        let room = ((1u64 << u.size_bits) >> hv_types::PAGE_SHIFT) - u64::from(u.made);
        let count = count.min(left).min(u32::try_from(room).unwrap_or(u32::MAX));
        let first = self.dom(d).layout.table(self.dom(d).tables);
        let count = layout::run(first.0, count);
        let from = self.own.untyped(u8::try_from(index).unwrap_or(u8::MAX));
        self.spend(cost::RETYPE + cost::MAKE_PAGE * count);
        kernel
            .retype(
                from,
                object,
                Destination::Grant(DomainIndex(d), first),
                count,
            )
            .map_err(|_| Error::Kernel)?;
        self.untypeds[index].made += count;
        self.dom_mut(d).tables += count;
        Ok((first, count))
    }

    /// Page identifier of an extra page of `d`, if it exists.
    pub(crate) fn extra_page(&self, d: u8, kind: Extra) -> Option<PageId> {
        let word = *self.dom(d).extra.get(kind.index() as usize)?;
        (word != NIL).then(|| PageId::from_word(word))
    }
}
