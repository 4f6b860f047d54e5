//! Requests under way: which bytes of the data area they have, and which parts of them the server.
//!
//! The data area is cut into *slots* of a page. Each segment of a request has one, in which its
//! sectors lie where they lie in the guest's page, so that copies are aligned alike. Sectors that
//! follow each other both on the disk and in the data area go to the server as one *part*. A
//! request gets all of its slots at once, so none waits for another that holds some.

use block_server_api::{DATA_SIZE, MAX_DISKS, Op, QUEUE_LEN, SECTOR};
use heapless::Deque;

use crate::hypercall::grant::backend::Granted;

/// Bytes of a slot.
pub(super) const SLOT: u32 = 4096;
/// Slots of the data area.
const SLOTS: usize = (DATA_SIZE / SLOT) as usize;
/// Most requests under way.
pub(super) const REQUESTS: usize = 64;
/// Most sectors of a part.
const MOST_SECTORS: u32 = 1024;
const SECTORS_PER_SLOT: u32 = SLOT / SECTOR;

const _: () =
    assert!(SLOTS <= 256 && SLOTS.is_multiple_of(64) && SLOTS >= super::request::MAX_SEGMENTS);
const _: () = assert!(REQUESTS <= 256 && QUEUE_LEN <= 256 && MAX_DISKS <= 256);

/// A slot of the data area that a segment has.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Slot {
    /// The segment's page.
    pub(super) granted: Granted,
    /// First and last sector in it.
    pub(super) sectors: (u8, u8),
    /// The slot of the request's next segment.
    next: Option<u8>,
}

/// Byte of the data area at which sector `sector` of slot `slot` lies.
pub(super) const fn offset(slot: u8, sector: u8) -> u32 {
    slot as u32 * SLOT + sector as u32 * SECTOR
}

/// A request that is staged or with the server.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flying {
    /// Its queue, and the disk.
    pub(super) queue: u8,
    pub(super) disk: u8,
    /// What it is.
    pub(super) op: Op,
    /// What the front end calls it, and its number.
    pub(super) code: u8,
    pub(super) id: u64,
    /// What the front end is told.
    pub(super) status: i16,
    /// First sector that the server has not been asked for.
    pub(super) sector: u64,
    /// Sectors of a request without data.
    pub(super) bare: Option<u32>,
    /// First slot that the server has not been asked for.
    pub(super) head: Option<u8>,
    /// Parts that the server has.
    pub(super) open: u16,
}

impl Flying {
    /// One that is nothing yet.
    pub(super) const EMPTY: Self = Self {
        queue: 0,
        disk: 0,
        op: Op::Flush,
        code: 0,
        id: 0,
        status: 0,
        sector: 0,
        bare: None,
        head: None,
        open: 0,
    };

    /// Nothing of it is left to be asked for, and nothing is open.
    const fn is_over(&self) -> bool {
        self.head.is_none() && self.bare.is_none() && self.open == 0
    }
}

/// A part that the server has: whose, and its first slot and how many follow.
#[derive(Clone, Copy, Debug)]
struct Part {
    request: u8,
    first: u8,
    count: u16,
}

/// What the server is to be asked next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Ask {
    pub(super) part: u8,
    pub(super) disk: u8,
    pub(super) op: Op,
    pub(super) offset: u32,
    pub(super) sector: u64,
    pub(super) count: u32,
}

/// All that is under way.
#[derive(Debug)]
pub(super) struct Flight {
    slots: [Slot; SLOTS],
    free: [u64; SLOTS / 64],
    requests: [Option<Flying>; REQUESTS],
    parts: [Option<Part>; QUEUE_LEN],
    /// Requests that the server has not been asked for as a whole, in order.
    staged: Deque<u8, REQUESTS>,
}

impl Flight {
    pub(super) const fn new() -> Self {
        Self {
            slots: [Slot {
                granted: Granted { gref: 0, gfn: 0 },
                sectors: (0, 0),
                next: None,
            }; SLOTS],
            free: [u64::MAX; SLOTS / 64],
            requests: [None; REQUESTS],
            parts: [None; QUEUE_LEN],
            staged: Deque::new(),
        }
    }

    /// Whether a request of `slots` segments can be staged.
    pub(super) fn has_room(&self, slots: usize) -> bool {
        let free: u32 = self.free.iter().map(|word| word.count_ones()).sum();
        !self.staged.is_full()
            && self.requests.iter().any(Option::is_none)
            && usize::try_from(free).is_ok_and(|free| free >= slots)
    }

    /// Gets a slot at or behind `from`, else the lowest.
    pub(super) fn take_slot(&mut self, from: u8) -> Option<u8> {
        let (word, bit) = (usize::from(from) / 64, from % 64);
        let behind = self.free.get(word)? & (u64::MAX << bit);
        let found = if behind == 0 {
            let rest = self.free.iter().enumerate().cycle().skip(word + 1);
            let mut rest = rest.take(self.free.len()).filter(|(_, bits)| **bits != 0);
            rest.next().map(|(word, bits)| (word, *bits))?
        } else {
            (word, behind)
        };
        let (word, bit) = (found.0, found.1.trailing_zeros());
        *self.free.get_mut(word)? &= !(1 << bit);
        u8::try_from(word * 64)
            .ok()?
            .checked_add(u8::try_from(bit).ok()?)
    }

    pub(super) fn free_slot(&mut self, slot: u8) {
        if let Some(word) = self.free.get_mut(usize::from(slot) / 64) {
            *word |= 1 << (slot % 64);
        }
    }

    /// The slot with that number.
    pub(super) fn slot(&mut self, slot: u8) -> Option<&mut Slot> {
        self.slots.get_mut(usize::from(slot))
    }

    /// `next` follows `before` in its request.
    pub(super) fn link(&mut self, before: u8, next: u8) {
        if let Some(slot) = self.slot(before) {
            slot.next = Some(next);
        }
    }

    /// Gives back the slots from `head` on.
    pub(super) fn free_chain(&mut self, mut head: Option<u8>) {
        while let Some(slot) = head {
            head = self.slot(slot).and_then(|slot| slot.next.take());
            self.free_slot(slot);
        }
    }

    /// Stages a request with the slots from `head` on, for which there is [room](Self::has_room).
    pub(super) fn stage(&mut self, flying: Flying, head: Option<u8>) {
        let places = (0..).zip(&mut self.requests);
        if let Some((number, place)) = places.into_iter().find(|(_, place)| place.is_none()) {
            *place = Some(Flying { head, ..flying });
            let _ = self.staged.push_back(number);
        }
    }

    /// What to ask the server for next, which [`Flight::asked`] makes so.
    pub(super) fn next(&self) -> Option<Ask> {
        let request = *self.staged.front()?;
        let flying = self.requests.get(usize::from(request))?.as_ref()?;
        let part = (0..).zip(&self.parts).find(|(_, part)| part.is_none())?.0;
        let ask = Ask {
            part,
            disk: flying.disk,
            op: flying.op,
            offset: 0,
            sector: flying.sector,
            count: flying.bare.unwrap_or(0),
        };
        let Some(head) = flying.head else {
            return Some(ask);
        };
        let first = self.slots.get(usize::from(head))?;
        let (mut last, mut count) = (head, sectors(first));
        while let Some(next) = self.follows(last).filter(|_| count < MOST_SECTORS) {
            count += sectors(self.slots.get(usize::from(next))?);
            last = next;
        }
        Some(Ask {
            offset: offset(head, first.sectors.0),
            count,
            ..ask
        })
    }

    /// The slot behind `slot`, if it holds the next sectors and they follow in the data area.
    fn follows(&self, slot: u8) -> Option<u8> {
        let this = self.slots.get(usize::from(slot))?;
        let next = this
            .next
            .filter(|next| slot.checked_add(1) == Some(*next))?;
        let behind = self.slots.get(usize::from(next))?;
        let joined = u32::from(this.sectors.1) + 1 == SECTORS_PER_SLOT && behind.sectors.0 == 0;
        joined.then_some(next)
    }

    /// The server has been asked for what [`Flight::next`] said.
    pub(super) fn asked(&mut self, ask: &Ask) {
        let Some(&request) = self.staged.front() else {
            return;
        };
        let Some(Some(flying)) = self.requests.get_mut(usize::from(request)) else {
            return;
        };
        flying.open += 1;
        flying.sector = flying.sector.saturating_add(ask.count.into());
        let mut part = Part {
            request,
            first: 0,
            count: 0,
        };
        if flying.bare.take().is_none() {
            part.first = flying.head.unwrap_or(0);
            let (mut left, mut head) = (ask.count, flying.head);
            while let Some(slot) = head.filter(|_| left > 0) {
                let Some(slot) = self.slots.get_mut(usize::from(slot)) else {
                    break;
                };
                left = left.saturating_sub(sectors(slot));
                head = slot.next.take();
                part.count += 1;
            }
            flying.head = head;
        }
        if flying.head.is_none() {
            self.staged.pop_front();
        }
        if let Some(place) = self.parts.get_mut(usize::from(ask.part)) {
            *place = Some(part);
        }
    }

    /// The server has answered `part`: its request, and its slots. `None` where it is not under
    /// way.
    pub(super) fn answered(&mut self, part: u32) -> Option<(u8, core::ops::Range<u16>)> {
        let part = self.parts.get_mut(usize::try_from(part).ok()?)?.take()?;
        let first = u16::from(part.first);
        Some((part.request, first..first + part.count))
    }

    /// A request that is under way.
    pub(super) fn request(&mut self, request: u8) -> Option<&mut Flying> {
        self.requests.get_mut(usize::from(request))?.as_mut()
    }

    /// A part of a request has been dealt with; the request, where that was the last of it.
    pub(super) fn close(&mut self, request: u8) -> Option<Flying> {
        let place = self.requests.get_mut(usize::from(request))?;
        let flying = place.as_mut()?;
        flying.open = flying.open.saturating_sub(1);
        if flying.is_over() { place.take() } else { None }
    }

    /// Takes a request that fails, whatever of it is open; its slots are free.
    pub(super) fn fail_one(&mut self) -> Option<Flying> {
        let flying = self.requests.iter_mut().find_map(Option::take)?;
        self.free_chain(flying.head);
        Some(flying)
    }

    /// Nothing is under way any more, and what was is forgotten: the server has gone.
    pub(super) fn clear(&mut self) {
        self.free = [u64::MAX; SLOTS / 64];
        self.parts = [None; QUEUE_LEN];
        self.staged.clear();
    }

    /// Drops what is staged and unasked of `queue`: requests of which nothing is open go, of others
    /// the rest.
    pub(super) fn abandon(&mut self, queue: u8) {
        for request in 0..REQUESTS {
            let Some(Some(flying)) = self.requests.get_mut(request) else {
                continue;
            };
            if flying.queue != queue {
                continue;
            }
            let head = flying.head.take();
            flying.bare = None;
            let over = flying.is_over();
            if over && let Some(place) = self.requests.get_mut(request) {
                *place = None;
            }
            self.free_chain(head);
        }
        for _ in 0..self.staged.len() {
            let Some(request) = self.staged.pop_front() else {
                break;
            };
            let flying = self.request(request);
            if flying.is_some_and(|flying| flying.head.is_some() || flying.bare.is_some()) {
                let _ = self.staged.push_back(request);
            }
        }
    }

    /// Requests of `queue` that are under way.
    pub(super) fn of_queue(&self, queue: u8) -> usize {
        let all = self.requests.iter().flatten();
        all.filter(|flying| flying.queue == queue).count()
    }
}

/// Sectors that a slot holds.
const fn sectors(slot: &Slot) -> u32 {
    slot.sectors.1.saturating_sub(slot.sectors.0) as u32 + 1
}
