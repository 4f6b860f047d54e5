//! Turns: from the rings of all guests to the tree and back.

use topology::MAX_DOMAINS;
use xen_abi::store::{HEADER, Header, PAYLOAD_MAX, error};
use xenstore_server_api::{Seen, ServerEnd, Wish};
use zerocopy::FromBytes as _;

use crate::cell::Cell;
use crate::ops::Payload;
use crate::peer::Link;
use crate::pool::Pool;
use crate::store::Store;
use crate::toolstack::{Birth, Facts};
use crate::who::Who;

/// A message that is coming in.
struct Input {
    bytes: [u8; HEADER + PAYLOAD_MAX],
    used: usize,
}

impl Input {
    /// How many bytes it has, as far as that is known; `None`: too many.
    fn wanted(&self) -> Option<usize> {
        match self.header() {
            Some(header) => {
                let len = usize::try_from(header.len).ok()?;
                (len <= PAYLOAD_MAX).then_some(HEADER + len)
            }
            None => Some(HEADER),
        }
    }

    fn header(&self) -> Option<Header> {
        let bytes = self.bytes.get(..HEADER).filter(|_| self.used >= HEADER)?;
        Header::read_from_bytes(bytes).ok()
    }
}

/// What a turn asks of the protection domain.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Turn {
    /// Guests, a bit each, whose VMMs are to be notified.
    pub notify: u32,
    /// There is more to do.
    pub more: bool,
    /// When there will be, in ticks; `None`: when somebody notifies.
    pub wake_at: Option<u64>,
}

/// The xenstore server. About 60 KiB: build it where it stays.
pub struct Server<'m> {
    store: Store<'m>,
    facts: [Facts; MAX_DOMAINS],
    inputs: [Input; MAX_DOMAINS],
    out: Payload,
    /// Guests that may have something, a bit each.
    ready: u32,
    /// Guests that are not listened to for a while.
    paused: u32,
    /// Ticks in a second.
    frequency: u64,
}

impl Default for Server<'_> {
    fn default() -> Self {
        Self::new()
    }
}

impl<'m> Server<'m> {
    /// A server that knows nothing yet: [`Server::begin`] follows.
    pub const fn new() -> Self {
        Self {
            store: Store::new(Pool::new()),
            facts: [const { Facts::new() }; MAX_DOMAINS],
            inputs: [const {
                Input {
                    bytes: [0; HEADER + PAYLOAD_MAX],
                    used: 0,
                }
            }; MAX_DOMAINS],
            out: Payload::new(),
            ready: 0,
            paused: 0,
            frequency: 1,
        }
    }

    /// Gives it everything that it will ever use besides itself: `memory`, [`cells`](crate::cells)
    /// of as many guests as are [added](Server::add); a clock of `frequency` ticks a second; and
    /// the number of domains, with connections or without. Once, before anything else.
    pub fn begin(&mut self, memory: &'m mut [Cell], frequency: u64, domains: usize) {
        self.store.tree.pool.give(memory);
        self.frequency = frequency;
        self.store.domains = domains;
        self.store.set_up();
    }

    /// Guest `guest`, from 0, may connect through `end`. One of a number that cannot be is left
    /// out.
    pub fn add(&mut self, guest: usize, facts: Facts, end: ServerEnd<'m>) {
        if let (Some(peer), Some(slot)) =
            (self.store.peers.get_mut(guest), self.facts.get_mut(guest))
        {
            peer.end = Some(end);
            *slot = facts;
            self.ready |= 1 << guest;
        }
    }

    /// The VMM of guest `guest` has notified us.
    pub const fn on_guest(&mut self, guest: usize) {
        if guest < MAX_DOMAINS {
            self.ready |= 1 << guest;
        }
    }

    /// Bytes that the server keeps for guest `guest`.
    pub fn used(&self, guest: usize) -> usize {
        let cells = Who::guest(guest).map_or(0, |who| self.store.tree.pool.used(who));
        usize::try_from(cells).unwrap_or(0) * size_of::<Cell>()
    }

    /// Does a little for each guest that has something: at most one request of each.
    pub fn turn(&mut self, now: u64) -> Turn {
        self.store.credits.set_now(self.in_parts(now, 1000));
        let mut ready = core::mem::take(&mut self.ready) | core::mem::take(&mut self.paused);
        let mut wait = None;
        while ready != 0 {
            let guest = ready.trailing_zeros();
            ready &= ready - 1;
            if let Some(who) = Who::guest(guest as usize) {
                match self.serve(guest as usize, who, now) {
                    Next::More => self.ready |= 1 << guest,
                    Next::Later(ms) => {
                        self.paused |= 1 << guest;
                        wait = Some(wait.map_or(ms, |wait: u64| wait.min(ms)));
                    }
                    Next::Nothing => {}
                }
            }
        }
        let mut notify = 0;
        for (guest, peer) in self.store.peers.iter_mut().enumerate() {
            let Some(end) = &mut peer.end else { continue };
            if end.answers.take_notify() | core::mem::take(&mut peer.notify) {
                notify |= 1 << guest;
            }
        }
        Turn {
            notify,
            more: self.ready != 0,
            wake_at: wait.map(|ms| now.saturating_add(ms.saturating_mul(self.frequency) / 1000)),
        }
    }

    /// `ticks` in this part of a second.
    fn in_parts(&self, ticks: u64, parts: u64) -> u64 {
        let wide = u128::from(ticks) * u128::from(parts) / u128::from(self.frequency.max(1));
        u64::try_from(wide).unwrap_or(u64::MAX)
    }

    fn serve(&mut self, guest: usize, who: Who, now: u64) -> Next {
        let seen = self
            .store
            .peer(who)
            .and_then(|peer| peer.end.as_ref()?.seen());
        if let Some(seen) = seen {
            self.grant(guest, who, seen, now);
        }
        self.store.flush(who);
        if self.store.is_full(who) {
            return Next::Nothing;
        }
        if let Some(ms) = self.store.credits.waits(who) {
            return Next::Later(ms);
        }
        let (Some(peer), Some(input)) = (self.store.peer(who), self.inputs.get_mut(guest)) else {
            return Next::Nothing;
        };
        let Some(end) = &mut peer.end else {
            return Next::Nothing;
        };
        if peer.link != Link::Up {
            end.requests.advance(end.requests.len());
            peer.notify |= end.requests.take_starved();
            return Next::Nothing;
        }
        // The header first, and then what it announces.
        for _ in 0..2 {
            let wanted = input.wanted().unwrap_or(0);
            if let Some(room) = input.bytes.get_mut(input.used..wanted) {
                input.used += end.requests.read(room);
            }
        }
        peer.notify |= end.requests.take_starved();
        let more = !end.requests.is_empty();
        let Some(wanted) = input.wanted() else {
            end.fail(error::PROTOCOL);
            peer.notify = true;
            self.disconnect(guest, who);
            if let Some(peer) = self.store.peer(who) {
                peer.link = Link::Ignored;
            }
            return Next::More;
        };
        if input.used < wanted {
            return Next::Nothing;
        }
        if let (Some(header), Some(payload)) = (input.header(), input.bytes.get(HEADER..wanted)) {
            self.store.handle(who, header, payload, &mut self.out);
        }
        input.used = 0;
        if more { Next::More } else { Next::Nothing }
    }

    /// Does what a VMM wishes.
    fn grant(&mut self, guest: usize, who: Who, seen: Seen, now: u64) {
        self.disconnect(guest, who);
        let life = match seen.wish {
            Some(Wish::Connect { life, .. }) => Some(life),
            Some(Wish::Down) | None => None,
        };
        let before = self.store.peer(who).and_then(|peer| peer.life);
        if before.is_some() && before != life {
            self.store.release(who);
        }
        if let (Some(Wish::Connect { port, gfn, .. }), true) = (seen.wish, before != life) {
            let at = self.in_parts(now, 100);
            let birth = Birth { port, gfn, at };
            let facts = self.facts.get(guest).cloned().unwrap_or_default();
            let made = self.store.introduce(who, &facts, birth);
            debug_assert_eq!(made, Ok(()), "a guest's share holds its first nodes");
        }
        if let Some(peer) = self.store.peer(who) {
            peer.life = life;
            peer.link = if life.is_some() { Link::Up } else { Link::Off };
            peer.notify = true;
            if let Some(end) = &mut peer.end {
                end.answer(seen);
            }
        }
    }

    /// Forgets everything of a connection; the nodes stay.
    fn disconnect(&mut self, guest: usize, who: Who) {
        self.store.unwatch_all(who);
        self.store.abandon_all(who);
        self.store.drop_queue(who);
        if let Some(peer) = self.store.peer(who) {
            peer.link = Link::Off;
        }
        if let Some(input) = self.inputs.get_mut(guest) {
            input.used = 0;
        }
    }
}

/// When a guest is looked at again.
enum Next {
    /// In the next turn.
    More,
    /// After so many milliseconds.
    Later(u64),
    /// When its VMM notifies.
    Nothing,
}
