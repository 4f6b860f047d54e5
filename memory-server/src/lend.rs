//! Pages that one domain lends to another, as the peer server says.
//!
//! A page that is lent is always its lender's RAM: what gives it up ends the lends first, so no
//! page is ever free, or somebody else's, while a borrower can reach it. The borrower's slot is
//! then empty, and its VMM puts a page of its own there ([`memory_server_api::Request::Replace`]).
//!
//! Of each borrower's slot the server remembers the page of which there is a copy; of each page how
//! often it is lent.

use memory_server_api::{Error, Extra, LENDS, LendError, Lending, NO_LEND, Slot};
use xen_abi::grant::ENTRIES_PER_FRAME;

use crate::cost;
use crate::domain::DomainIndex;
use crate::kernel::{Change, Kernel};
use crate::layout::PEEKS;
use crate::records::{BlockState, NIL, PageId, PageState};
use crate::server::{Life, MemoryServer};

/// Under which number frame `frame` of the grant table of `d` is in sight.
fn peek(d: u8, frame: u8) -> u32 {
    u32::from(d) * PEEKS + u32::from(frame) % PEEKS
}

/// What the server's refusal means to a VMM.
fn refusal(_: LendError) -> Error {
    Error::Kernel
}

impl MemoryServer<'_> {
    /// Answers the peer server.
    ///
    /// # Errors
    /// [`LendError`]; nothing changed.
    pub fn on_lending(
        &mut self,
        kernel: &mut impl Kernel,
        lending: Lending,
    ) -> Result<u64, LendError> {
        self.start_message();
        match lending {
            Lending::Entry { domain, gref } => self.entry(kernel, domain, gref, Change::Look),
            Lending::Lend {
                domain,
                gref,
                was,
                now,
                gfn,
                slot,
                like,
                to,
                lend,
                writable,
            } => {
                self.may_lend(domain, to)?;
                let id = match like {
                    NO_LEND => self.lendable(domain, Slot(slot), gfn)?,
                    like => self.lent_by(domain, to, like)?,
                };
                if self.lent(to, lend).ok_or(LendError::Denied)? != NIL {
                    return Err(LendError::Taken);
                }
                let change = Change::Exchange { was, now };
                let marks = was != now;
                if marks {
                    #[expect(clippy::cast_possible_truncation, reason = "the low half")]
                    let before = self.entry(kernel, domain, gref, change)? as u32;
                    if before != was {
                        return Err(LendError::Lost);
                    }
                }
                let lent = self.lend(kernel, id, to, lend, writable);
                if lent.is_err() && marks {
                    let set = u64::from(now & !was);
                    let _ = self.entry(kernel, domain, gref, Change::Clear(set));
                }
                lent.map(|()| 0)
            }
            Lending::Unlend {
                to,
                lend,
                domain,
                gref,
                clear,
            } => {
                self.unlend(kernel, to, lend)?;
                if clear != 0 {
                    let change = Change::Clear(clear.into());
                    match self.entry(kernel, domain, gref, change) {
                        // A lender that is no more has no table.
                        Ok(_) | Err(LendError::NoEntry) => {}
                        Err(error) => return Err(error),
                    }
                }
                Ok(0)
            }
        }
    }

    /// Changes an entry of the grant table of `d`; the entry as it was.
    fn entry(
        &mut self,
        kernel: &mut impl Kernel,
        d: u8,
        gref: u32,
        change: Change,
    ) -> Result<u64, LendError> {
        let known = usize::from(d) < self.domains.len();
        let frame = u8::try_from(gref / ENTRIES_PER_FRAME).map_err(|_| LendError::NoEntry)?;
        let id = known
            .then(|| self.extra_page(d, Extra::GrantFrame(frame)))
            .flatten()
            .ok_or(LendError::NoEntry)?;
        let lends = self
            .domains
            .iter()
            .any(|dom| dom.config.lenders & 1 << d != 0);
        if !lends {
            return Err(LendError::Denied);
        }
        let offset = u16::try_from(gref % ENTRIES_PER_FRAME * 8).unwrap_or(0);
        self.spend(2 * cost::MINT);
        kernel
            .word(self.original(id), peek(d, frame), offset, change)
            .map_err(|_| LendError::Kernel)
    }

    /// The frame of a grant table is about to go.
    pub(crate) fn forget_peek(&self, kernel: &mut impl Kernel, d: u8, kind: Extra) {
        if let Extra::GrantFrame(frame) = kind {
            kernel.forget(peek(d, frame));
        }
    }

    /// Whether `d` may lend pages to `to`.
    fn may_lend(&self, d: u8, to: u8) -> Result<(), LendError> {
        let alive = |d: u8| {
            let dom = self.domains.get(usize::from(d));
            dom.filter(|dom| dom.life == Life::Alive && !dom.crashed)
        };
        match (alive(d), alive(to)) {
            (Some(_), Some(to)) if to.config.lenders & 1 << d != 0 => Ok(()),
            _ => Err(LendError::Denied),
        }
    }

    /// The page that `d` lends to `to` in its place `like`.
    fn lent_by(&mut self, d: u8, to: u8, like: u32) -> Result<PageId, LendError> {
        let word = self.lent(to, like).filter(|word| *word != NIL);
        let id = word.map(PageId::from_word).ok_or(LendError::NotThere)?;
        let page = self.records.page(id);
        let lent = page.state() == PageState::Ram && page.holder() == d;
        if lent && page.lends() < u16::MAX {
            Ok(id)
        } else {
            Err(LendError::NotThere)
        }
    }

    /// The page of `d` in `slot`, which it has for its guest frame `gfn`.
    fn lendable(&mut self, d: u8, slot: Slot, gfn: u32) -> Result<PageId, LendError> {
        let pending = self.dom(d).pending;
        let id = self.ram_page(d, slot).map_err(|_| LendError::NotThere)?;
        // Its contents are elsewhere as long as its owner has not asked for it.
        if pending.is_some_and(|pending| pending.pages == id.block())
            && !self.records.is_granted(id)
        {
            return Err(LendError::NotThere);
        }
        let page = self.records.page(id);
        if page.gfn() != gfn || page.lends() == u16::MAX {
            return Err(LendError::NotThere);
        }
        Ok(id)
    }

    fn lend(
        &mut self,
        kernel: &mut impl Kernel,
        id: PageId,
        to: u8,
        lend: u32,
        writable: bool,
    ) -> Result<(), LendError> {
        self.ensure_frame(kernel, id)
            .map_err(|_| LendError::Kernel)?;
        self.spend(cost::MINT);
        let slot = self.lent_slot(to, lend);
        kernel
            .lend(self.original(id), DomainIndex(to), slot, writable)
            .map_err(|_| LendError::Kernel)?;
        self.set_lent(to, lend, id.word());
        let page = self.records.page(id);
        page.set_lends(page.lends() + 1);
        Ok(())
    }

    /// Ends a lend, if there is one, or takes the page that is in its place away.
    fn unlend(&mut self, kernel: &mut impl Kernel, to: u8, lend: u32) -> Result<(), LendError> {
        let word = self.lent(to, lend).ok_or(LendError::Denied)?;
        if word == NIL {
            return Ok(());
        }
        let id = PageId::from_word(word);
        let slot = self.lent_slot(to, lend);
        self.spend(cost::REVOKE + cost::DELETE);
        kernel
            .delete(self.original(id), DomainIndex(to), slot)
            .map_err(|_| LendError::Kernel)?;
        self.set_lent(to, lend, NIL);
        let page = self.records.page(id);
        if page.state() == PageState::Ram {
            page.set_lends(page.lends().saturating_sub(1));
        }
        Ok(())
    }

    /// [`memory_server_api::Request::Lent`].
    pub(crate) fn lent_place(&self, d: u8, lend: u32) -> Result<Slot, Error> {
        self.lent(d, lend).ok_or(Error::NotYours)?;
        Ok(self.lent_slot(d, lend))
    }

    /// [`memory_server_api::Request::Replace`].
    pub(crate) fn replace_lent(
        &mut self,
        kernel: &mut impl Kernel,
        d: u8,
        lend: u32,
    ) -> Result<Slot, Error> {
        match self.lent(d, lend) {
            None => return Err(Error::NotYours),
            Some(NIL) => {}
            Some(_) => return Err(Error::WrongState),
        }
        let id = self.extra_page(d, Extra::Scratch).ok_or(Error::NotYours)?;
        let slot = self.lent_slot(d, lend);
        self.spend(cost::MINT);
        kernel
            .mint(self.original(id), DomainIndex(d), slot)
            .map_err(|_| Error::Kernel)?;
        self.set_lent(d, lend, id.word());
        Ok(slot)
    }

    /// Ends all lends of a page that its lender gives up, which is lent.
    ///
    /// # Errors
    /// [`Error::Again`] if that does not fit into the message; [`Error::Kernel`]: some are left.
    #[cold]
    pub(crate) fn end_lends(&mut self, kernel: &mut impl Kernel, id: PageId) -> Result<(), Error> {
        for to in self.all_domains() {
            self.afford(2 * LENDS + 2 * cost::REVOKE)?;
            for lend in 0..self.lends_of(to) {
                if self.lent(to, lend) == Some(id.word()) {
                    self.afford(cost::REVOKE + cost::DELETE)?;
                    self.unlend(kernel, to, lend).map_err(refusal)?;
                }
            }
        }
        Ok(())
    }

    /// Whether a page of block `b`, which is split, is lent.
    pub(crate) fn is_lent(&mut self, b: u32) -> bool {
        let mut pages = self.pages_of(b);
        pages.any(|id| self.records.page(id).lends() > 0)
    }

    /// Ends what `d` lends to `to`, and at its own number what others lend to it, from number
    /// `from` on, as far as it fits into the message; where to go on, or nothing.
    ///
    /// # Errors
    /// [`Error::Kernel`].
    pub(crate) fn end_lending(
        &mut self,
        kernel: &mut impl Kernel,
        d: u8,
        to: u8,
        from: u32,
    ) -> Result<Option<u32>, Error> {
        const STEP: u32 = 256;
        let last = from.saturating_add(STEP).min(self.lends_of(to));
        self.spend(4 * STEP);
        for lend in from..last {
            let Some(word) = self.lent(to, lend).filter(|word| *word != NIL) else {
                continue;
            };
            let id = PageId::from_word(word);
            let holder = match self.records.get(id.block()).state {
                BlockState::Split => self.records.page(id).holder(),
                _ => continue,
            };
            if holder == d || to == d {
                self.unlend(kernel, to, lend).map_err(refusal)?;
            }
        }
        Ok((last < self.lends_of(to)).then_some(last))
    }

    /// Slots for pages of others that `d` has.
    fn lends_of(&self, d: u8) -> u32 {
        let dom = self.domains.get(usize::from(d));
        dom.map_or(0, |dom| dom.layout.lends())
    }

    fn lent_slot(&self, d: u8, lend: u32) -> Slot {
        self.dom(d).layout.lent(lend)
    }

    fn lent_index(&self, d: u8, lend: u32) -> Option<usize> {
        let dom = self.domains.get(usize::from(d))?;
        (lend < self.lends_of(d)).then_some(dom.first_lend as usize + lend as usize)
    }

    /// The page that is in slot `lend` of `d`, or [`NIL`]; `None` where it has no such slot.
    fn lent(&self, d: u8, lend: u32) -> Option<u32> {
        self.lent.get(self.lent_index(d, lend)?).copied()
    }

    fn set_lent(&mut self, d: u8, lend: u32, word: u32) {
        if let Some(index) = self.lent_index(d, lend)
            && let Some(place) = self.lent.get_mut(index)
        {
            *place = word;
        }
    }
}
