//! The end of a domain, and its next life.
//!
//! A reserve belongs to the configuration, not to the instance (SM-16): destroying a domain makes
//! its reserve complete again, and a domain of the same configuration starts from all of it.

use hv_types::FrameSize;
use memory_server_api::{Error, Extra};

use crate::kernel::Kernel;
use crate::manifest::{DomainIndex, Purpose};
use crate::records::{BlockState, NIL, OTHERS, PageId, PageState};
use crate::server::{Life, MemoryServer, Pool};

impl MemoryServer<'_> {
    /// Takes everything back that `domain` holds: extra pages, RAM, page tables. From the first
    /// step on the domain gets nothing more (SM-15). The VMM must not run: its mappings go.
    ///
    /// # Errors
    /// [`Error::NotYours`] for a domain that does not exist; [`Error::Kernel`]: the domain is dying and
    /// part of its memory is taken back. Calling again goes on.
    pub fn destroy(&mut self, kernel: &mut impl Kernel, domain: DomainIndex) -> Result<(), Error> {
        let d = domain.0;
        let dom = self
            .domains
            .get_mut(usize::from(d))
            .ok_or(Error::NotYours)?;
        if dom.life == Life::Dead {
            return Ok(());
        }
        dom.life = Life::Dying;
        while self.reclaim(kernel, d, u32::MAX)? > 0 {}
        for kind in (0..Extra::COUNT).filter_map(|i| Extra::from_index(u64::from(i))) {
            match self.destroy_extra(kernel, d, kind) {
                Ok(()) | Err(Error::NotYours) => {}
                Err(error) => return Err(error),
            }
        }
        for b in 0..u32::try_from(self.records.blocks.len()).unwrap_or(u32::MAX) {
            self.take_back_all(kernel, d, b)?;
        }
        self.dom_mut(d).pending = None;
        self.restore_reserve(kernel, d)?;
        self.take_back_tables(kernel, d)?;
        self.forget(d);
        self.dom_mut(d).life = Life::Dead;
        Ok(())
    }

    /// Lets a dead domain live again, with all of its reserve.
    ///
    /// # Errors
    /// [`Error::WrongState`] unless it is dead.
    pub fn revive(&mut self, domain: DomainIndex) -> Result<(), Error> {
        let dom = self
            .domains
            .get_mut(usize::from(domain.0))
            .ok_or(Error::NotYours)?;
        if dom.life != Life::Dead {
            return Err(Error::WrongState);
        }
        dom.life = Life::Alive;
        dom.released = false;
        Ok(())
    }

    fn take_back_all(&mut self, kernel: &mut impl Kernel, d: u8, b: u32) -> Result<(), Error> {
        let block = *self.records.get(b);
        match block.state {
            BlockState::Held | BlockState::Source if block.holder == d => {
                self.take_back_block(kernel, d, b)?;
                // The source of a pending copy was counted, its pages were not.
                if block.state == BlockState::Held {
                    self.dom_mut(d).ram -= u64::from(FrameSize::Block.pages());
                }
            }
            BlockState::Split => {
                for id in self.pages_of(b) {
                    let page = *self.records.page(id);
                    if page.holder == d && page.state == PageState::Ram {
                        self.take_back_page(kernel, d, id)?;
                        let dom = self.dom_mut(d);
                        dom.ram = dom.ram.saturating_sub(1);
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Makes all blocks of a reserve whole again, in address order.
    fn restore_reserve(&mut self, kernel: &mut impl Kernel, d: u8) -> Result<(), Error> {
        let all = u32::try_from(self.records.blocks.len()).unwrap_or(u32::MAX);
        for b in 0..all {
            let block = *self.records.get(b);
            let lost = |this: &mut Self| {
                this.pages_of(b)
                    .any(|id| this.records.page(id).state == PageState::Lost)
            };
            if block.home == d && block.state == BlockState::Split && !lost(self) {
                self.unsplit(kernel, b)?;
                self.put_block(b);
            }
        }
        let pages = self.dom(d).pool.pages;
        self.dom_mut(d).pool = Pool {
            pages,
            ..Pool::EMPTY
        };
        for b in 0..all {
            let block = self.records.get(b);
            if block.home == d && matches!(block.state, BlockState::Bare | BlockState::Framed) {
                self.put_block(b);
            }
        }
        Ok(())
    }

    fn take_back_tables(&mut self, kernel: &mut impl Kernel, d: u8) -> Result<(), Error> {
        for index in 0..self.untypeds.len() {
            let u = &self.untypeds[index];
            if u.purpose == Purpose::Tables(DomainIndex(d)) && u.made > 0 {
                let slot = self.own.untyped(u8::try_from(index).unwrap_or(u8::MAX));
                kernel.revoke(slot).map_err(|_| Error::Kernel)?;
                self.untypeds[index].made = 0;
            }
        }
        self.dom_mut(d).tables = 0;
        Ok(())
    }

    /// Whatever the domain held last is foreign to its next life: zeroed before it is granted again (SM-14).
    fn forget(&mut self, d: u8) {
        for block in self.records.blocks.iter_mut().filter(|b| b.holder == d) {
            block.holder = OTHERS;
        }
        for split in self.records.splits.iter_mut().filter(|s| s.block != NIL) {
            for page in split.page.iter_mut().filter(|p| p.holder == d) {
                page.holder = OTHERS;
            }
        }
    }

    /// Pages of the reserve of static domain `d` that it does not hold.
    pub(crate) fn reserve(&self, d: u8) -> u64 {
        let pool = &self.dom(d).pool;
        let short: u32 = self
            .untypeds
            .iter()
            .filter(|u| {
                u.purpose == Purpose::Static(DomainIndex(d)) && u.pages() < 512 && u.blocks == 1
            })
            .filter(|u| self.records.get(u.first).state == BlockState::Bare)
            .map(|u| u.pages())
            .sum();
        u64::from(pool.blocks.len()) * u64::from(FrameSize::Block.pages())
            + u64::from(pool.pages.len())
            + u64::from(short)
            + if self.dom(d).config.is_static {
                self.returned(d)
            } else {
                0
            }
    }

    /// Page identifier of an extra page of `d`, if it exists.
    pub(crate) fn extra_page(&self, d: u8, kind: Extra) -> Option<PageId> {
        let word = *self.dom(d).extra.get(kind.index() as usize)?;
        (word != NIL).then(|| PageId::from_word(word))
    }
}
