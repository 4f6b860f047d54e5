//! Pages that domains lend to each other, and how often each grant is in use.
//!
//! The order of checks is that of Xen's `map_grant_ref`: the policy, the borrower's place, the
//! reference, what is known of a grant in use, the entry of the grant table, the page. A grant in
//! use is in use by one domain, at most [`PINS_MAX`] times for reading and as often for writing;
//! its page is that of its first use, whatever the entry says meanwhile.
//!
//! The server reads no memory. What an entry says, its marks, and the capabilities are the memory
//! server's doing; which slot has the page of a guest frame says the lender's VMM
//! ([`Request::Offer`]), and the memory server looks whether that is so.
//!
//! [`Request::Offer`]: peer_server_api::Request::Offer

use memory_server_api::{LENDS, LendError, Lending, NO_LEND};
use peer_server_api::{Error, NO_SLOT};
use topology::MAX_DOMAINS;
use topology::meets::Lends;
use xen_abi::grant::{ENTRIES_PER_FRAME, MAX_FRAMES, gtf};
use zerocopy::FromZeros;

/// Most times that a grant is in use for reading, and for writing (Xen's counters have 8 bits, of
/// which the highest is never set).
const PINS_MAX: u32 = 128;
/// How often an entry is looked at again that its owner changed meanwhile, as on Xen.
const TRIES: u32 = 5;
/// Lends that one message ends.
const BATCH: u32 = 64;
/// Lends that one message looks at for that, but for those of its last one: whoever has many grants
/// in one list gets fewer back for each message.
const LOOKS: u32 = 8192;

const HANDLES: usize = MAX_DOMAINS * LENDS as usize;
/// Lists of lends by their reference.
const BUCKETS: usize = 2048;
/// Offers that are remembered of each domain.
const OFFERS: usize = 2048;
const _: () = assert!(HANDLES < u16::MAX as usize && BUCKETS.is_power_of_two());

/// A page that is lent.
#[derive(Clone, Copy, FromZeros, Debug)]
struct Lend {
    /// The next one in its list, plus one.
    next: u16,
    gref: u16,
    /// Whose it is, plus one; 0 where nothing is lent.
    domain: u8,
    writable: bool,
    /// Its owner is no more: nothing has to be marked.
    orphan: bool,
}

/// Which slot has the page of a guest frame.
#[derive(Clone, Copy, FromZeros, Debug)]
struct Offer {
    /// The frame plus one; 0 where there is no offer.
    gfn: u32,
    slot: u32,
}

/// What is remembered of lends; all zeroes at first.
#[derive(FromZeros, Debug)]
pub struct Table {
    lends: [Lend; HANDLES],
    lists: [[u16; BUCKETS]; MAX_DOMAINS],
    offers: [[Offer; OFFERS]; MAX_DOMAINS],
}

impl Table {
    /// Nothing is lent.
    pub const EMPTY: Self = Self {
        lends: [Lend {
            next: 0,
            gref: 0,
            domain: 0,
            writable: false,
            orphan: false,
        }; HANDLES],
        lists: [[0; BUCKETS]; MAX_DOMAINS],
        offers: [[Offer { gfn: 0, slot: 0 }; OFFERS]; MAX_DOMAINS],
    };
}

/// How a grant is in use.
#[derive(Clone, Copy, Default)]
struct Pins {
    by: Option<usize>,
    reads: u32,
    writes: u32,
    /// One of its borrower's places for it.
    lend: u32,
    /// How many lends were looked at to know this.
    looks: u32,
}

/// A grant that a domain asks for.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    /// Its place for it, below [`LENDS`].
    pub lend: u32,
    /// Who grants it, from 0.
    pub domain: u8,
    /// Its reference.
    pub gref: u32,
    /// Whether it is to be written.
    pub writable: bool,
}

/// Lends between domains.
#[derive(Debug)]
pub struct Grants<'a> {
    may: Lends,
    table: &'a mut Table,
}

impl<'a> Grants<'a> {
    /// Nothing is lent; `may` says who may map whose grants.
    pub const fn new(may: Lends, table: &'a mut Table) -> Self {
        Self { may, table }
    }

    /// Maps a grant for `me`: it is in use, and its page in the place that `me` named.
    ///
    /// # Errors
    /// [`Error`]; nothing changed.
    pub fn map<M>(&mut self, me: usize, wanted: Wanted, mut memory: M) -> Result<(), Error>
    where
        M: FnMut(Lending) -> Result<u64, LendError>,
    {
        let Wanted {
            lend,
            domain,
            gref,
            writable,
        } = wanted;
        let owner = usize::from(domain);
        if !self.may.contains(owner, me) {
            return Err(Error::Denied);
        }
        let handle = handle(me, lend).ok_or(Error::Malformed)?;
        if self.get(handle).domain != 0 {
            return Err(Error::Taken);
        }
        let known = gref < u32::from(MAX_FRAMES) * ENTRIES_PER_FRAME;
        let short = u16::try_from(gref).ok().filter(|_| known);
        let short = short.ok_or(Error::NoEntry)?;
        let pins = self.pins(owner, short);
        if let Some(by) = pins.by {
            let count = if writable { pins.writes } else { pins.reads };
            if by != me || count >= PINS_MAX {
                return Err(Error::NotGranted);
            }
        }
        let to = u8::try_from(me).map_err(|_| Error::Malformed)?;
        if pins.by.is_some() && (!writable || pins.writes > 0) {
            // Its marks are there, and whoever uses it may go on whatever the entry says.
            memory(Lending::Lend {
                domain,
                gref,
                was: 0,
                now: 0,
                gfn: 0,
                slot: 0,
                like: pins.lend,
                to,
                lend,
                writable,
            })
            .map_err(|error| self.refused(owner, None, error))?;
        } else {
            self.mark(wanted, pins, to, &mut memory)?;
        }
        self.insert(handle, owner, short, writable);
        Ok(())
    }

    /// Uses a grant for the first time, or for writing for the first time.
    fn mark<M>(&mut self, wanted: Wanted, pins: Pins, to: u8, memory: &mut M) -> Result<(), Error>
    where
        M: FnMut(Lending) -> Result<u64, LendError>,
    {
        let Wanted {
            lend,
            domain,
            gref,
            writable,
        } = wanted;
        let owner = usize::from(domain);
        let first = pins.by.is_none();
        for _ in 0..TRIES {
            let word = memory(Lending::Entry { domain, gref })
                .map_err(|error| self.refused(owner, None, error))?;
            let [low, frame] = halves(word);
            let flags = low & 0xffff;
            let bit = |flag: u16| u32::from(flag);
            let granted = flags & bit(gtf::TYPE_MASK | gtf::SUB_PAGE) == bit(gtf::PERMIT_ACCESS)
                && low >> 16 == u32::from(to) + 1;
            if first && !granted || writable && flags & bit(gtf::READONLY) != 0 {
                return Err(Error::NotGranted);
            }
            let marks = bit(gtf::READING) | if writable { bit(gtf::WRITING) } else { 0 };
            let (slot, like) = match first {
                true => (self.take_offer(owner, frame)?, NO_LEND),
                false => (0, pins.lend),
            };
            let lent = memory(Lending::Lend {
                domain,
                gref,
                was: low,
                now: low | marks,
                gfn: frame,
                slot,
                like,
                to,
                lend,
                writable,
            });
            match lent {
                Ok(_) => return Ok(()),
                Err(LendError::Lost) => {}
                Err(error) => return Err(self.refused(owner, first.then_some(frame), error)),
            }
        }
        Err(Error::NotGranted)
    }

    /// What a refusal of the memory server means to the borrower. An offer that is not true any
    /// more is forgotten.
    fn refused(&mut self, owner: usize, frame: Option<u32>, error: LendError) -> Error {
        match error {
            LendError::NoEntry => Error::NoEntry,
            LendError::NotThere => match frame {
                Some(frame) => {
                    self.offer(owner, frame, None);
                    Error::NotReady
                }
                // In use, and its owner has given the page up.
                None => Error::NotGranted,
            },
            LendError::Taken => Error::Taken,
            // A domain that is dying, whose table is about to go.
            LendError::Denied => Error::NotGranted,
            LendError::Lost | LendError::Malformed | LendError::Kernel => Error::Kernel,
        }
    }

    /// Ends a lend to `me`: the page is gone from its place, and the grant not in use by it.
    ///
    /// # Errors
    /// [`Error::NotThere`] where nothing is lent; [`Error::Kernel`]: it still is.
    pub fn unmap<M>(&mut self, me: usize, lend: u32, mut memory: M) -> Result<(), Error>
    where
        M: FnMut(Lending) -> Result<u64, LendError>,
    {
        self.take_back(me, lend, &mut memory).map(drop)
    }

    /// [`Grants::unmap`]; how many lends were looked at for it.
    fn take_back<M>(&mut self, me: usize, lend: u32, memory: &mut M) -> Result<u32, Error>
    where
        M: FnMut(Lending) -> Result<u64, LendError>,
    {
        let handle = handle(me, lend).ok_or(Error::Malformed)?;
        let record = *self.get(handle);
        let owner = record.domain.checked_sub(1).ok_or(Error::NotThere)?;
        let to = u8::try_from(me).map_err(|_| Error::Malformed)?;
        let (mut clear, mut looks) = (0, 0);
        if !record.orphan {
            let pins = self.pins(owner.into(), record.gref);
            if record.writable && pins.writes == 1 {
                clear |= gtf::WRITING;
            }
            if pins.writes + pins.reads == 1 {
                clear |= gtf::READING;
            }
            looks = pins.looks;
        }
        memory(Lending::Unlend {
            to,
            lend,
            domain: owner,
            gref: record.gref.into(),
            clear,
        })
        .map_err(|_| Error::Kernel)?;
        self.remove(handle);
        Ok(looks)
    }

    /// The VMM of `me` says which slot has the page of a guest frame of its guest, or that none has
    /// ([`NO_SLOT`]).
    pub fn on_offer(&mut self, me: usize, gfn: u32, slot: u32) {
        self.offer(me, gfn, Some(slot));
    }

    /// A life of `me` ends, or begins: what it has borrowed goes back, a bounded part for each
    /// call, and what others have of it is theirs no more: nothing of it is marked or counted.
    /// Whether something is left to do.
    pub fn end<M>(&mut self, me: usize, mut memory: M) -> bool
    where
        M: FnMut(Lending) -> Result<u64, LendError>,
    {
        let (mut done, mut looks) = (0, 0);
        for lend in 0..LENDS {
            let used = handle(me, lend).is_some_and(|handle| self.get(handle).domain != 0);
            if !used {
                continue;
            }
            if done == BATCH || looks >= LOOKS {
                return true;
            }
            done += 1;
            match self.take_back(me, lend, &mut memory) {
                Ok(more) => looks += more,
                // One that the kernel refuses to end is tried again.
                Err(_) => return true,
            }
        }
        self.orphan(me);
        false
    }

    /// Forgets what `owner` has lent and offered.
    fn orphan(&mut self, owner: usize) {
        let Some(lists) = self.table.lists.get_mut(owner) else {
            return;
        };
        for list in lists {
            let mut next = core::mem::take(list);
            while let Some(lend) = next
                .checked_sub(1)
                .and_then(|n| self.table.lends.get_mut(usize::from(n)))
            {
                next = core::mem::take(&mut lend.next);
                lend.orphan = true;
            }
        }
        if let Some(offers) = self.table.offers.get_mut(owner) {
            offers.fill(Offer { gfn: 0, slot: 0 });
        }
    }

    fn offer(&mut self, owner: usize, gfn: u32, slot: Option<u32>) {
        let offers = self.table.offers.get_mut(owner);
        let Some(place) = offers.and_then(|offers| offers.get_mut(gfn as usize % OFFERS)) else {
            return;
        };
        match (slot, gfn.checked_add(1)) {
            (Some(slot), Some(gfn)) => *place = Offer { gfn, slot },
            _ => place.gfn = 0,
        }
    }

    /// The slot that was offered for a frame. That there is none is told once.
    fn take_offer(&mut self, owner: usize, gfn: u32) -> Result<u32, Error> {
        let offers = self.table.offers.get(owner);
        let offer = offers.and_then(|offers| offers.get(gfn as usize % OFFERS));
        match offer {
            Some(offer) if offer.gfn.checked_sub(1) == Some(gfn) => {
                let slot = offer.slot;
                if slot == NO_SLOT {
                    self.offer(owner, gfn, None);
                    return Err(Error::BadPage);
                }
                Ok(slot)
            }
            // No frame has this number, which an offer could not name.
            _ if gfn == u32::MAX => Err(Error::BadPage),
            _ => Err(Error::NotReady),
        }
    }

    fn get(&self, handle: u16) -> &Lend {
        &self.table.lends[usize::from(handle)]
    }

    fn pins(&self, owner: usize, gref: u16) -> Pins {
        let mut pins = Pins::default();
        let mut next = self.head(owner, gref);
        while let Some(handle) = next.checked_sub(1) {
            pins.looks += 1;
            let lend = self.get(handle);
            if lend.gref == gref {
                pins.by = Some(usize::from(handle) / LENDS as usize);
                pins.lend = u32::from(handle) % LENDS;
                if lend.writable {
                    pins.writes += 1;
                } else {
                    pins.reads += 1;
                }
            }
            next = lend.next;
        }
        pins
    }

    fn head(&self, owner: usize, gref: u16) -> u16 {
        let lists = self.table.lists.get(owner);
        lists.map_or(0, |lists| lists[usize::from(gref) % BUCKETS])
    }

    fn insert(&mut self, handle: u16, owner: usize, gref: u16, writable: bool) {
        let next = self.head(owner, gref);
        let Some(lists) = self.table.lists.get_mut(owner) else {
            return;
        };
        lists[usize::from(gref) % BUCKETS] = handle + 1;
        self.table.lends[usize::from(handle)] = Lend {
            next,
            gref,
            // Below MAX_DOMAINS.
            domain: u8::try_from(owner + 1).unwrap_or(0),
            writable,
            orphan: false,
        };
    }

    fn remove(&mut self, handle: u16) {
        let lend = *self.get(handle);
        let owner = usize::from(lend.domain.saturating_sub(1));
        let mut at = self.head(owner, lend.gref);
        if at == handle + 1 {
            if let Some(lists) = self.table.lists.get_mut(owner) {
                lists[usize::from(lend.gref) % BUCKETS] = lend.next;
            }
        } else {
            while let Some(before) = at.checked_sub(1) {
                at = self.get(before).next;
                if at == handle + 1 {
                    self.table.lends[usize::from(before)].next = lend.next;
                    break;
                }
            }
        }
        let place = &mut self.table.lends[usize::from(handle)];
        (place.domain, place.next) = (0, 0);
    }

    /// How many pages `me` has borrowed.
    pub fn borrowed(&self, me: usize) -> usize {
        let all = (0..LENDS).filter_map(|lend| handle(me, lend));
        all.filter(|handle| self.get(*handle).domain != 0).count()
    }
}

/// The number of place `lend` of `me` among all.
fn handle(me: usize, lend: u32) -> Option<u16> {
    let here = me < MAX_DOMAINS && lend < LENDS;
    let number = me * LENDS as usize + lend as usize;
    u16::try_from(number).ok().filter(|_| here)
}

/// Low and high half.
#[expect(clippy::cast_possible_truncation, reason = "halves of the word")]
const fn halves(word: u64) -> [u32; 2] {
    [word as u32, (word >> 32) as u32]
}
