//! The end of a domain, and its next life.
//!
//! A reserve belongs to the configuration, not to the instance (SM-16): the end of a domain makes
//! its reserve complete again, and its next life starts from all of it, the same frames in the same
//! order.
//!
//! The end is a sequence of small steps. Each message takes a bounded number of them, because the
//! caller waits for the answer and everybody else waits for the caller. Between two messages the
//! domain is dying (SM-15): others go on with what was taken back from it, and if its VMM never
//! asks again, that is all that happens. If its VMM has stopped, the fault server asks in its place
//! (LU-7).
//!
//! | stage | what it takes back |
//! |---|---|
//! | 0 | pages that are lent, by it and to it; its capabilities of shared memory |
//! | 1 | extra pages: the VMM has closed what writes to them (EX-6, EX-7) |
//! | 2 | RAM, whole blocks and pages; what the domain held last is foreign to its next life (SM-14) |
//! | 3 | the shape of its reserve and of what it had of the heap: blocks that were split and are free are whole again |
//! | 4 | the order of its reserve: by address, as at boot |
//! | 5 | page tables and vCPUs |

use hv_types::FrameSize;
use memory_server_api::{Crash, Error, Extra, Relinquished, Reply};

use crate::cost;
use crate::domain::DomainIndex;
use crate::domain::{Ending, Stage};
use crate::kernel::Kernel;
use crate::manifest::Purpose;
use crate::records::{BlockState, HEAP, OTHERS, PageId, PageRecord, PageState};
use crate::server::{COPY_WORDS, Life, MemoryServer, Pool};

impl MemoryServer<'_> {
    /// [`memory_server_api::Request::Relinquish`]. Returns whether something is left, and what was
    /// taken back so far.
    ///
    /// # Errors
    /// [`Error::Kernel`]; the domain is dying and the next message goes on at the same place.
    pub(crate) fn relinquish(
        &mut self,
        kernel: &mut impl Kernel,
        d: u8,
        again: bool,
    ) -> Result<(bool, Relinquished), Error> {
        self.start_message();
        let dom = self.dom_mut(d);
        if dom.life == Life::Alive {
            dom.life = Life::Dying;
            dom.ending = Ending::START;
        }
        // What a step costs is counted where it is done, all aliases with the first page; the last
        // step can be a long one.
        let most = cost::END + cost::DELETE * self.copies_to_count(d);
        while self.spent() < most && self.dom(d).ending.stage != Stage::Nothing {
            self.spend(cost::END_LOOK);
            self.end_step(kernel, d)?;
        }
        let Ending { stage, taken } = self.dom(d).ending;
        if stage != Stage::Nothing {
            return Ok((true, taken));
        }
        let was = core::mem::replace(&mut self.dom_mut(d).life, Life::Dead);
        if again {
            self.revive(DomainIndex(d))?;
        }
        if was == Life::Dying {
            self.log_end(kernel, d, again);
        }
        Ok((false, taken))
    }

    /// Answers the fault server.
    ///
    /// # Errors
    /// As [`MemoryServer::crashed`].
    pub fn on_crash(&mut self, kernel: &mut impl Kernel, crash: Crash) -> Result<Reply, Error> {
        let Crash { domain } = crash;
        self.crashed(kernel, DomainIndex(domain))
            .map(|(more, taken)| Reply::Relinquished { more, taken })
    }

    /// The VMM of `domain` has stopped: takes a bounded part of what it holds back, and gives it
    /// nothing more. Whether something is left, and what was taken back so far.
    ///
    /// Nobody has to stop the guest. Without memory its next instruction faults, and nobody answers
    /// that fault.
    ///
    /// # Errors
    /// [`Error::NotYours`] for a domain that does not exist; [`Error::Kernel`]: calling again goes
    /// on at the same place.
    pub fn crashed(
        &mut self,
        kernel: &mut impl Kernel,
        domain: DomainIndex,
    ) -> Result<(bool, Relinquished), Error> {
        let dom = self
            .domains
            .get_mut(usize::from(domain.0))
            .ok_or(Error::NotYours)?;
        if !dom.crashed {
            dom.crashed = true;
            if dom.life == Life::Dead {
                // A guest that was down already: what it had was told then.
                dom.ending.taken = Relinquished::default();
            }
        }
        self.relinquish(kernel, domain.0, false)
    }

    /// Takes everything back that `domain` holds; it is dead then. The VMM must not run: its
    /// mappings go.
    ///
    /// # Errors
    /// [`Error::NotYours`] for a domain that does not exist; [`Error::Kernel`]: the domain is dying
    /// and part of its memory is taken back. Calling again goes on.
    pub fn destroy(&mut self, kernel: &mut impl Kernel, domain: DomainIndex) -> Result<(), Error> {
        self.life(domain).ok_or(Error::NotYours)?;
        // Each round gets further, and the stages have an end.
        while self.relinquish(kernel, domain.0, false)?.0 {}
        Ok(())
    }

    /// Lets a dead domain live again, with all of its reserve.
    ///
    /// # Errors
    /// [`Error::WrongState`] unless it is dead and its VMM runs.
    pub fn revive(&mut self, domain: DomainIndex) -> Result<(), Error> {
        let dom = self
            .domains
            .get_mut(usize::from(domain.0))
            .ok_or(Error::NotYours)?;
        if dom.life != Life::Dead || dom.crashed {
            return Err(Error::WrongState);
        }
        dom.life = Life::Alive;
        dom.released = false;
        dom.restarts = dom.restarts.saturating_add(1);
        Ok(())
    }

    /// One small step of an end.
    fn end_step(&mut self, kernel: &mut impl Kernel, d: u8) -> Result<(), Error> {
        // What it returned, while it lived or since, still has its capabilities.
        if self.reclaim(kernel, d, 1)? > 0 {
            return Ok(());
        }
        let blocks = u32::try_from(self.records.blocks.len()).unwrap_or(u32::MAX);
        let next = match self.dom(d).ending.stage {
            Stage::Lends(to, from) if usize::from(to) < self.domains.len() => {
                match self.end_lending(kernel, d, to, from)? {
                    Some(next) => Stage::Lends(to, next),
                    None => Stage::Lends(to + 1, 0),
                }
            }
            Stage::Lends(..) => Stage::Shared,
            Stage::Shared => match self.end_share(kernel, d)? {
                true => Stage::Shared,
                false => Stage::Extra(0),
            },
            Stage::Extra(index) => match Extra::from_index(u64::from(index)) {
                Some(kind) => {
                    self.end_extra(kernel, d, kind)?;
                    Stage::Extra(index + 1)
                }
                None => Stage::Ram(0, 0),
            },
            Stage::Ram(b, page) if b < blocks => self.end_ram(kernel, d, b, page)?,
            Stage::Ram(..) => {
                self.dom_mut(d).pending = None;
                Stage::Whole(0)
            }
            Stage::Whole(b) if b < blocks => {
                self.end_split(kernel, d, b)?;
                Stage::Whole(b + 1)
            }
            Stage::Whole(_) => {
                let pages = self.dom(d).pool.pages;
                self.dom_mut(d).pool = Pool {
                    pages,
                    ..Pool::EMPTY
                };
                Stage::Order(0)
            }
            Stage::Order(b) if b < blocks => {
                let block = self.records.get(b);
                if block.home == d
                    && matches!(
                        block.state,
                        BlockState::Bare | BlockState::Used | BlockState::Framed
                    )
                {
                    self.put_block(b);
                }
                Stage::Order(b + 1)
            }
            Stage::Order(_) => Stage::Tables(0),
            Stage::Tables(index) if index < self.untypeds.len() => {
                self.end_tables(kernel, d, index)?;
                Stage::Tables(index + 1)
            }
            Stage::Tables(_) => {
                let dom = self.dom_mut(d);
                dom.tables = 0;
                // They went with their pages.
                dom.copies = [0; COPY_WORDS];
                Stage::Nothing
            }
            Stage::Nothing => Stage::Nothing,
        };
        self.dom_mut(d).ending.stage = next;
        Ok(())
    }

    fn end_extra(&mut self, kernel: &mut impl Kernel, d: u8, kind: Extra) -> Result<(), Error> {
        let Some(id) = self.extra_page(d, kind) else {
            return Ok(());
        };
        self.destroy_extra(kernel, d, kind)?;
        self.records.page(id).set_holder(OTHERS);
        self.dom_mut(d).ending.taken.extra += 1;
        Ok(())
    }

    /// Takes RAM of block `b` back: one page, `page`, if the block is split, else all of it.
    /// Returns where to continue.
    fn end_ram(
        &mut self,
        kernel: &mut impl Kernel,
        d: u8,
        b: u32,
        page: u32,
    ) -> Result<Stage, Error> {
        let block = *self.records.get(b);
        if block.state == BlockState::Split && page < self.untyped_of(b).pages() {
            if block.home == d {
                self.end_chunk(kernel, d, PageId::new(b, page))?;
            }
            self.end_page(kernel, d, PageId::new(b, page))?;
            return Ok(Stage::Ram(b, page + 1));
        }
        if block.holder == d {
            match block.state {
                BlockState::Held => {
                    self.take_back_block(kernel, d, b)?;
                    self.count_ram(d, u64::from(FrameSize::Block.pages()));
                }
                // The source of a pending copy is not counted: the pages are.
                BlockState::Source => self.take_back_block(kernel, d, b)?,
                _ => {}
            }
            self.records.block(b).holder = OTHERS;
        }
        Ok(Stage::Ram(b + 1, 0))
    }

    /// Takes the capabilities of a reserve's chunk away when its first page comes.
    fn end_chunk(&mut self, kernel: &mut impl Kernel, d: u8, id: PageId) -> Result<(), Error> {
        let (from, pages) = self.made_of(id);
        if pages.start != id.page() || !self.records.is_made(id) {
            return Ok(());
        }
        self.spend_revoke(d, pages.end - pages.start);
        kernel.revoke(from).map_err(|_| Error::Kernel)?;
        if let Some((_, split)) = self.records.split_of(id.block()) {
            split.forget(pages);
        }
        Ok(())
    }

    fn end_page(&mut self, kernel: &mut impl Kernel, d: u8, id: PageId) -> Result<(), Error> {
        let page = *self.records.page(id);
        if page.holder() != d {
            return Ok(());
        }
        if page.state() == PageState::Ram {
            self.take_back_page(kernel, d, id)?;
            self.count_ram(d, 1);
        }
        self.records.page(id).set_holder(OTHERS);
        Ok(())
    }

    fn count_ram(&mut self, d: u8, pages: u64) {
        let dom = self.dom_mut(d);
        dom.ram = dom.ram.saturating_sub(pages);
        dom.ending.taken.ram += pages;
    }

    /// Makes block `b` whole if it is of `d`'s reserve and no page of it is lost, or of the heap
    /// and free: split records are few, and the domain's next life splits other blocks.
    fn end_split(&mut self, kernel: &mut impl Kernel, d: u8, b: u32) -> Result<(), Error> {
        let block = *self.records.get(b);
        if block.state != BlockState::Split || (block.home != d && block.home != HEAP) {
            return Ok(());
        }
        self.spend(cost::LOOK * self.untyped_of(b).pages());
        let mut pages = self.pages_of(b);
        let stays = |page: &PageRecord| match page.state() {
            PageState::Free => false,
            PageState::Lost => true,
            PageState::Ram | PageState::Returned | PageState::Extra => block.home == HEAP,
        };
        if !pages.any(|id| stays(self.records.page(id))) {
            self.spend(self.unsplit_cost(b, 0));
            self.unsplit(kernel, b)?;
            self.put_block(b);
        }
        Ok(())
    }

    /// Takes back what was made of an untyped for page tables, at most 512: the manifest has no
    /// larger ones, because the kernel zeroes all of it when the first of the next life is made.
    fn end_tables(&mut self, kernel: &mut impl Kernel, d: u8, index: usize) -> Result<(), Error> {
        let u = &self.untypeds[index];
        if u.purpose != Purpose::Tables(DomainIndex(d)) || u.made == 0 {
            return Ok(());
        }
        let made = u.made;
        self.spend(cost::REVOKE + cost::DELETE_TABLE * made);
        let slot = self.own.untyped(u8::try_from(index).unwrap_or(u8::MAX));
        kernel.revoke(slot).map_err(|_| Error::Kernel)?;
        let made = core::mem::take(&mut self.untypeds[index].made);
        self.dom_mut(d).ending.taken.tables += u64::from(made);
        Ok(())
    }

    /// Reports an end, less and less often because a guest can restart as often as it likes and its
    /// VMM could have it live and die (SM-22): those before any restart, and those of the 1st, 2nd,
    /// 4th, 8th …
    fn log_end(&self, kernel: &mut impl Kernel, d: u8, again: bool) {
        let dom = self.dom(d);
        if dom.restarts != 0 && !dom.restarts.is_power_of_two() && !dom.crashed {
            return;
        }
        let (domid, Relinquished { ram, extra, tables }) = (dom.config.domid.0, dom.ending.taken);
        let t = self.totals();
        let (of_static, of_heap) = (t.static_free >> 10, t.heap_free >> 10);
        let n = dom.restarts;
        let what = match (again, dom.crashed) {
            (true, _) => "restarts",
            (false, false) => "is down after restart",
            (false, true) => "crashed with its VMM after restart",
        };
        kernel.log(format_args!(
            "d{domid} {what} {n}: {ram} pages of RAM, {extra} extra pages and {tables} page tables taken back; \
             free now: reserve {} pages, static {of_static} KiB, heap {of_heap} KiB",
            self.reserve(d)
        ));
    }
}
