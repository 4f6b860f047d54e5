//! The server's state and the dispatch of requests.

use memory_server_api::{
    Error, Extra, Message, PROTOCOL_VERSION, Pages, Released, Reply, Request, Slot, Usage, Words,
};

use crate::domain::DomainIndex;
use crate::domain::Ending;
use crate::domain::Kept;
use crate::domain::Spent;
use crate::kernel::{Kernel, Object};
use crate::layout::{self, COPIES, GrantLayout, OwnLayout, Place};
use crate::manifest::{DomainConfig, Purpose};
use crate::records::{Away, BlockState, DOMAINS, HEAP, List, NIL, Records};

/// Words of a bit for each copy of a page that a domain can have.
pub(crate) const COPY_WORDS: usize = COPIES.div_ceil(u64::BITS) as usize;

/// An untyped and what was made of it.
#[derive(Clone, Copy, Debug)]
pub struct UntypedRecord {
    pub(crate) paddr: u64,
    pub(crate) purpose: Purpose,
    pub(crate) size_bits: u8,
    pub(crate) device: bool,
    /// Number of its first block, or frame of shared memory.
    pub(crate) first: u32,
    /// Blocks in it.
    pub(crate) blocks: u32,
    /// Blocks whose child untyped exists, from the first; for page-table memory the tables made, of
    /// shared memory the frames.
    pub(crate) made: u32,
    /// Frames of shared memory that hold nothing of an earlier boot, from the first.
    pub(crate) clean: u32,
}

impl UntypedRecord {
    /// A record for a table that is not yet in use.
    pub const EMPTY: Self = Self {
        paddr: 0,
        purpose: Purpose::Heap,
        size_bits: 0,
        device: false,
        first: 0,
        blocks: 0,
        made: 0,
        clean: 0,
    };

    /// Pages in each of its blocks.
    pub(crate) fn pages(&self) -> u32 {
        layout::pages_in_block(self.size_bits)
    }
}

/// Where a domain is in its life (SM-15).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Life {
    /// Everything is served.
    Alive,
    /// Being destroyed: releases only.
    Dying,
    /// Everything is taken back.
    Dead,
}

/// Free memory of one home.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pool {
    /// Whole 2 MiB blocks.
    pub(crate) blocks: List,
    /// Short blocks that are not split yet.
    pub(crate) short: List,
    /// Single pages; used by reserves alone, heap pages are on the lists of their blocks.
    pub(crate) pages: List,
}

impl Pool {
    pub(crate) const EMPTY: Self = Self {
        blocks: List::EMPTY,
        short: List::EMPTY,
        pages: List::EMPTY,
    };
}

/// A split whose contents the VMM is copying.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pending {
    pub(crate) source: u32,
    pub(crate) pages: u32,
}

pub(crate) struct Domain {
    pub(crate) config: DomainConfig,
    pub(crate) layout: GrantLayout,
    pub(crate) life: Life,
    pub(crate) pool: Pool,
    /// Pages that it returned, oldest first.
    pub(crate) returned: List,
    /// Whole heap blocks that it returned, oldest first.
    pub(crate) returned_blocks: List,
    /// Where its windows begin in the table of windows.
    pub(crate) first_window: u32,
    /// Where its pages of others begin in the table of those.
    pub(crate) first_lend: u32,
    /// Frames of shared memory of which it has the capability, from the first.
    pub(crate) shared: u32,
    pub(crate) ram: u64,
    pub(crate) tables: u32,
    pub(crate) extras: u32,
    /// The page of each extra page, by index.
    pub(crate) extra: [u32; Extra::COUNT as usize],
    /// A bit for each slot of copies that may hold a capability.
    pub(crate) copies: [u64; COPY_WORDS],
    pub(crate) pending: Option<Pending>,
    /// Blocks that it holds whole, but for the source of a pending split.
    pub(crate) whole: u32,
    /// How many of them are split by copying them to a block of the heap.
    pub(crate) whole_by_copy: u32,
    /// It has given RAM back. A static domain can then no longer get whole blocks (SM-7).
    pub(crate) released: bool,
    pub(crate) refusals: u32,
    /// How far its end has come; [`Ending::START`] while it is alive.
    pub(crate) ending: Ending,
    /// How often it began to live again.
    pub(crate) restarts: u32,
    /// Its VMM has stopped: it is dying or dead, and stays so.
    pub(crate) crashed: bool,
}

/// The state machine that owns all frames.
pub struct MemoryServer<'a> {
    pub(crate) records: Records<'a>,
    pub(crate) untypeds: &'a mut [UntypedRecord],
    pub(crate) windows: &'a mut [u32],
    /// For each copy that a domain can have: of which page, where there may be one.
    pub(crate) copied: &'a mut [u32],
    /// For each page of others that a domain can have: which, or none.
    pub(crate) lent: &'a mut [u32],
    pub(crate) domains: heapless::Vec<Domain, DOMAINS>,
    pub(crate) heap: Pool,
    pub(crate) own: OwnLayout,
    /// What the message in hand has cost.
    pub(crate) spent: Spent,
    /// The block that is being zeroed aside.
    pub(crate) away: Option<Away>,
}

impl MemoryServer<'_> {
    /// Answers one message, with the words of its answer in `reply`. Whatever the message holds,
    /// the answer is a reply or a refusal that has changed nothing.
    pub fn on_ppc<'w>(
        &mut self,
        kernel: &mut impl Kernel,
        domain: DomainIndex,
        message: Message<'_>,
        reply: &'w mut Words,
    ) -> Message<'w> {
        let request = Request::decode(message);
        let request = request.as_ref().map_err(|error| *error);
        let result = self.answer(kernel, domain, message.label, request);
        Reply::encode(&result, reply)
    }

    /// Answers what was decoded from a message of `label`, and reports what it refuses.
    ///
    /// # Errors
    /// The refusal; nothing has changed.
    pub fn answer(
        &mut self,
        kernel: &mut impl Kernel,
        domain: DomainIndex,
        label: u64,
        request: Result<&Request, Error>,
    ) -> Result<Reply, Error> {
        let result = match request {
            Ok(request) => self.serve(kernel, domain, request),
            Err(error) => Err(error),
        };
        let refused = match &result {
            Ok(Reply::Pages(Pages { error, .. })) => *error,
            Ok(Reply::Released(Released { error, .. })) => *error,
            Ok(_) => None,
            Err(error) => Some(*error),
        };
        if let Some(error) = refused.filter(|error| *error != Error::Again) {
            self.log_refusal(kernel, domain, label, error);
        }
        result
    }

    /// Answers one decoded request. Requests come one at a time, so each is atomic (SM-10).
    ///
    /// # Errors
    /// The refusal; nothing has changed.
    pub fn serve(
        &mut self,
        kernel: &mut impl Kernel,
        domain: DomainIndex,
        request: &Request,
    ) -> Result<Reply, Error> {
        self.start_message();
        let d = domain.0;
        let dom = self.domains.get(usize::from(d)).ok_or(Error::NotYours)?;
        let (life, crashed) = (dom.life, dom.crashed);
        match *request {
            Request::Version => return Ok(Reply::Version(PROTOCOL_VERSION)),
            Request::Usage => return Ok(Reply::Usage(self.usage(d))),
            // A VMM reported as crashed is still calling.
            _ if crashed => return Err(Error::Dying),
            Request::Relinquish { .. } => {}
            Request::Release { .. }
            | Request::ReleasePages { .. }
            | Request::DestroyExtra { .. }
            | Request::Unalias { .. }
                if life != Life::Dead => {}
            _ if life != Life::Alive => return Err(Error::Dying),
            _ => {}
        }
        match *request {
            Request::Version | Request::Usage => Ok(Reply::Done),
            Request::PopulateBlocks { gfn, blocks } => self
                .populate_blocks(kernel, d, gfn, blocks)
                .map(Reply::Granted),
            Request::PopulatePages { ref gfns } => {
                self.populate_pages(kernel, d, gfns).map(Reply::Pages)
            }
            Request::Release { slot } => self.release(kernel, d, slot).map(|()| Reply::Done),
            Request::ReleasePages { ref slots } => {
                self.release_pages(kernel, d, slots).map(Reply::Released)
            }
            Request::Split { slot, patient } => self
                .split(kernel, d, slot, patient)
                .map(|(kind, pages)| Reply::Split { kind, pages }),
            Request::Chunk { slot } => self.grant_chunk(kernel, d, slot).map(|()| Reply::Done),
            Request::Window { slot, sight } => self.sight(kernel, d, slot, sight).map(Reply::Alias),
            Request::SplitDone { slot } => self.split_done(kernel, d, slot).map(|()| Reply::Done),
            Request::SplitAbort { slot } => self.split_abort(kernel, d, slot).map(|()| Reply::Done),
            Request::Tables { count } => self
                .make_tables(kernel, d, Object::PageTable, count)
                .map(|(first, count)| Reply::Tables { first, count }),
            Request::Vcpu { .. } => self
                .make_tables(kernel, d, Object::Vcpu, 1)
                .map(|(first, count)| Reply::Tables { first, count }),
            Request::Relinquish { again } => self
                .relinquish(kernel, d, again)
                .map(|(more, taken)| Reply::Relinquished { more, taken }),
            Request::CreateExtra { kind } => self.create_extra(kernel, d, kind).map(Reply::Granted),
            // What is in its place is known by it.
            Request::DestroyExtra {
                kind: Extra::Scratch,
            } => Err(Error::WrongState),
            Request::DestroyExtra { kind } => {
                self.destroy_extra(kernel, d, kind).map(|()| Reply::Done)
            }
            Request::Alias { slot, alias } => self.alias(kernel, d, slot, alias).map(Reply::Alias),
            Request::Shared { frame } => self
                .share(kernel, d, frame)
                .map(|(first, count, size)| Reply::Shared { first, count, size }),
            Request::Lent { lend } => self.lent_place(d, lend).map(Reply::Alias),
            Request::Replace { lend } => self.replace_lent(kernel, d, lend).map(Reply::Alias),
            Request::Unalias { slot, alias } => {
                self.unalias(kernel, d, slot, alias).map(|()| Reply::Done)
            }
        }
    }

    /// Reports a VMM that asks for what it cannot have: its 1st, 2nd, 4th, 8th … refusal, so that
    /// it cannot flood the log (SM-4, SM-22).
    fn log_refusal(
        &mut self,
        kernel: &mut impl Kernel,
        domain: DomainIndex,
        label: u64,
        error: Error,
    ) {
        let Some(dom) = self.domains.get_mut(usize::from(domain.0)) else {
            return;
        };
        dom.refusals = dom.refusals.saturating_add(1);
        if dom.refusals.is_power_of_two() {
            let (domid, n) = (dom.config.domid.0, dom.refusals);
            kernel.log(format_args!(
                "d{domid}: memory request {label} refused: {error:?} (refusal {n})"
            ));
        }
    }

    /// A domain's accounting.
    pub(crate) fn usage(&self, d: u8) -> Usage {
        let dom = self.dom(d);
        Usage {
            ram: dom.ram,
            max: dom.config.max_pages,
            extra: u64::from(dom.extras),
            reserve: self.reserve(d),
            returned: self.returned(d),
            tables: u64::from(dom.tables),
            tables_max: u64::from(dom.config.table_quota),
        }
    }

    /// Where `domain` is in its life; `None` if there is no such domain.
    pub fn life(&self, domain: DomainIndex) -> Option<Life> {
        self.domains.get(usize::from(domain.0)).map(|d| d.life)
    }

    /// Whether the VMM of `domain` has stopped; the domain is dying or dead then.
    pub fn has_crashed(&self, domain: DomainIndex) -> bool {
        let dom = self.domains.get(usize::from(domain.0));
        dom.is_some_and(|dom| dom.crashed)
    }

    // The index of a domain was checked in `serve`; the others come from the server's own records.
    pub(crate) fn dom(&self, d: u8) -> &Domain {
        &self.domains[usize::from(d)]
    }
    pub(crate) fn dom_mut(&mut self, d: u8) -> &mut Domain {
        &mut self.domains[usize::from(d)]
    }

    /// The home of RAM that domain `d` draws: its reserve or the heap, never both (SM-8, BL-4).
    pub(crate) fn ram_home(&self, d: u8) -> u8 {
        if self.dom(d).config.is_static {
            d
        } else {
            HEAP
        }
    }

    /// The block and page that `slot` of `d`'s grant CNode names, whether or not anything is
    /// granted there.
    pub(crate) fn named(&self, d: u8, slot: Slot) -> Result<(u16, u32, u32), Error> {
        let dom = self.dom(d);
        let Place::Window { window, page } = dom.layout.place(slot) else {
            return Err(Error::NotYours);
        };
        match self
            .windows
            .get(dom.first_window as usize + usize::from(window))
        {
            Some(&b) if b != NIL => Ok((window, b, page)),
            _ => Err(Error::NotYours),
        }
    }

    /// The block that `slot` names if `d` holds it whole.
    pub(crate) fn held_block(&self, d: u8, slot: Slot) -> Result<u32, Error> {
        let (window, b, page) = self.named(d, slot)?;
        let block = self.records.get(b);
        let held = matches!(block.state, BlockState::Held | BlockState::Source);
        if held && block.holder == d && block.window == window && page == 0 {
            Ok(b)
        } else {
            Err(Error::NotYours)
        }
    }

    /// The lowest free window of `d`, if `kept` others are free.
    pub(crate) fn free_window(&self, d: u8, kept: Kept) -> Option<u16> {
        let dom = self.dom(d);
        let (first, count) = (dom.first_window as usize, usize::from(dom.layout.windows()));
        let windows = self.windows.iter().skip(first).take(count);
        let mut free = (0u16..).zip(windows).filter(|(_, b)| **b == NIL);
        let (window, _) = free.next()?;
        (kept == Kept::None || free.next().is_some()).then_some(window)
    }
    /// Whether window `window` of `d` exists and is free.
    pub(crate) fn is_free_window(&self, d: u8, window: u16) -> bool {
        let dom = self.dom(d);
        window < dom.layout.windows()
            && self
                .windows
                .get(dom.first_window as usize + usize::from(window))
                == Some(&NIL)
    }
    pub(crate) fn set_window(&mut self, d: u8, window: u16, block: u32) {
        let first = self.dom(d).first_window as usize;
        if let Some(entry) = self.windows.get_mut(first + usize::from(window)) {
            *entry = block;
        }
    }
}
