//! Turns: from the rings of all guests to the tree and back.

use topology::MAX_DOMAINS;
use xen_abi::store::{HEADER, Header, PAYLOAD_MAX, error};
use xenstore_server_api::{Facts, Seen, ServerEnd, Wish, Wishes};
use zerocopy::FromBytes as _;

use crate::cell::Cell;
use crate::monitor::Monitor;
use crate::ops::Payload;
use crate::peer::Link;
use crate::pool::Pool;
use crate::store::Store;
use crate::toolstack::Birth;
use crate::who::{COUNT, Who};

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

/// What a VMM has to do with the server.
struct Guest<'m> {
    facts: Facts,
    wishes: Option<Wishes<'m>>,
    /// The life of the guest whose nodes there are.
    life: Option<u32>,
    /// Lives that may begin at once.
    births: u64,
    /// When there was one more of them, in ticks.
    births_at: u64,
}

/// Most lives of a guest that begin at once, and in a second. What a life costs is what a hundred
/// requests cost; no guest boots that often.
const BIRTHS: [u64; 2] = [8, 20];

impl Guest<'_> {
    /// Milliseconds until another life may begin; `None`: it may now.
    fn waits(&mut self, now: u64, frequency: u64) -> Option<u64> {
        let [most, rate] = BIRTHS;
        let each = (frequency / rate).max(1);
        let more = now.saturating_sub(self.births_at) / each;
        self.births_at += more * each;
        self.births = self.births.saturating_add(more).min(most);
        (self.births == 0).then_some(1000 / rate)
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
    pub(crate) store: Store<'m>,
    pub(crate) monitor: Monitor,
    guests: [Guest<'m>; MAX_DOMAINS],
    /// Of guests, and of their back ends.
    inputs: [Input; COUNT - 1],
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
            monitor: Monitor::new(),
            guests: [const {
                Guest {
                    facts: Facts::new(),
                    wishes: None,
                    life: None,
                    births: BIRTHS[0],
                    births_at: 0,
                }
            }; MAX_DOMAINS],
            inputs: [const {
                Input {
                    bytes: [0; HEADER + PAYLOAD_MAX],
                    used: 0,
                }
            }; COUNT - 1],
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
        let Some(who) = Who::guest(guest) else { return };
        for (who, pipe) in [(Some(who), end.guest), (Who::back_of(who), end.back)] {
            if let Some(peer) = who.and_then(|who| self.store.peer(who)) {
                peer.end = Some(pipe);
            }
        }
        if let Some(slot) = self.guests.get_mut(guest) {
            slot.facts = facts;
            slot.wishes = Some(end.wishes);
            self.ready |= 1 << guest;
        }
    }

    /// The VMM of guest `guest` has notified us.
    pub const fn on_guest(&mut self, guest: usize) {
        if guest < MAX_DOMAINS {
            self.ready |= 1 << guest;
        }
    }

    /// The VMM of guest `guest` has stopped for good: its guest is gone, and what the region says
    /// is not looked at any more.
    pub fn on_crash(&mut self, guest: usize) {
        let (Some(who), Some(of)) = (Who::guest(guest), self.guests.get_mut(guest)) else {
            return;
        };
        of.wishes = None;
        let lived = of.life.take().is_some();
        for who in [Some(who), Who::back_of(who)].into_iter().flatten() {
            self.disconnect(who, Link::Off);
            if let Some(peer) = self.store.peer(who) {
                peer.end = None;
            }
        }
        if let Some(of) = self.guests.get(guest).filter(|_| lived) {
            self.store.release(who, &of.facts.devices);
        }
        // Others may watch.
        self.ready |= 1 << guest;
    }

    /// Bytes that the server keeps for guest `guest`.
    pub fn used(&self, guest: usize) -> usize {
        let cells = Who::guest(guest).map_or(0, |who| self.store.tree.pool.used(who));
        usize::try_from(cells).unwrap_or(0) * size_of::<Cell>()
    }

    /// Bytes that the server keeps for the back ends of guest `guest`.
    pub fn used_by_back_ends(&self, guest: usize) -> usize {
        let who = Who::guest(guest).and_then(Who::back_of);
        let cells = who.map_or(0, |who| self.store.tree.pool.used(who));
        usize::try_from(cells).unwrap_or(0) * size_of::<Cell>()
    }

    /// Does a little for each guest that has something: at most one request of each, and one of
    /// its back ends.
    pub fn turn(&mut self, now: u64) -> Turn {
        self.store.credits.set_now(self.in_parts(now, 1000));
        let mut ready = core::mem::take(&mut self.ready) | core::mem::take(&mut self.paused);
        let mut wait = None;
        while ready != 0 {
            let guest = ready.trailing_zeros();
            ready &= ready - 1;
            if let Some(who) = Who::guest(guest as usize) {
                if let Some(ms) = self.see_to(guest as usize, who, now) {
                    self.paused |= 1 << guest;
                    wait = Some(wait.map_or(ms, |wait: u64| wait.min(ms)));
                    continue;
                }
                for who in [Some(who), Who::back_of(who)].into_iter().flatten() {
                    match self.serve(who) {
                        Next::More => self.ready |= 1 << guest,
                        Next::Later(ms) => {
                            self.paused |= 1 << guest;
                            wait = Some(wait.map_or(ms, |wait: u64| wait.min(ms)));
                        }
                        Next::Nothing => {}
                    }
                }
            }
        }
        let mut notify = 0;
        for (n, peer) in self.store.peers.iter_mut().enumerate() {
            let Some(end) = &mut peer.end else { continue };
            if end.answers.take_notify() | core::mem::take(&mut peer.notify) {
                // Guests first, and then their back ends.
                notify |= 1 << (n % MAX_DOMAINS);
            }
        }
        Turn {
            notify,
            more: self.ready != 0,
            wake_at: wait.map(|ms| now.saturating_add(ms.saturating_mul(self.frequency) / 1000)),
        }
    }

    /// What is known of a guest that lives.
    pub(crate) fn facts(&self, who: Who) -> Option<&Facts> {
        let guest = self.guests.get(who.index().checked_sub(1)?)?;
        guest.life.map(|_| &guest.facts)
    }

    /// `ticks` in this part of a second.
    fn in_parts(&self, ticks: u64, parts: u64) -> u64 {
        let wide = u128::from(ticks) * u128::from(parts) / u128::from(self.frequency.max(1));
        u64::try_from(wide).unwrap_or(u64::MAX)
    }

    /// Looks at what a VMM wants; milliseconds until it gets it, if that is not now.
    fn see_to(&mut self, guest: usize, who: Who, now: u64) -> Option<u64> {
        let of = self.guests.get_mut(guest)?;
        let seen = of.wishes.as_ref()?.seen()?;
        if matches!(seen.wish, Some(Wish::Connect { life, .. }) if of.life != Some(life)) {
            let wait = of.waits(now, self.frequency);
            if wait.is_some() {
                return wait;
            }
            of.births -= 1;
        }
        self.grant(guest, who, seen, now);
        None
    }

    fn serve(&mut self, who: Who) -> Next {
        self.store.flush(who);
        if self.store.is_full(who) {
            return Next::Nothing;
        }
        if let Some(ms) = self.store.credits.waits(who) {
            return Next::Later(ms);
        }
        let index = who.index().wrapping_sub(1);
        let (Some(peer), Some(input)) = (self.store.peer(who), self.inputs.get_mut(index)) else {
            return Next::Nothing;
        };
        let Some(end) = &mut peer.end else {
            return Next::Nothing;
        };
        if peer.link != Link::Up {
            end.clear();
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
            peer.notify = true;
            self.disconnect(who, Link::Ignored);
            let guest = self.guests.get(index).and_then(|of| of.wishes.as_ref());
            if let Some(wishes) = guest {
                wishes.fail(error::PROTOCOL);
            }
            return Next::More;
        };
        // What came while the last bytes were taken was not notified: `ring`, "Wake-ups".
        let next = if more { Next::More } else { Next::Nothing };
        if input.used < wanted {
            return next;
        }
        if let (Some(header), Some(payload)) = (input.header(), input.bytes.get(HEADER..wanted)) {
            self.store.handle(who, header, payload, &mut self.out);
        }
        input.used = 0;
        next
    }

    /// Does what a VMM wishes.
    fn grant(&mut self, guest: usize, who: Who, seen: Seen, now: u64) {
        let life = match seen.wish {
            Some(Wish::Connect { life, .. }) => Some(life),
            Some(Wish::Down) | None => None,
        };
        let at = self.in_parts(now, 100);
        let Some(of) = self.guests.get_mut(guest) else {
            return;
        };
        let before = core::mem::replace(&mut of.life, life);
        let link = if life.is_some() { Link::Up } else { Link::Off };
        // Watches and answers are those of the connection before, or of the life before.
        self.disconnect(who, link);
        if let Some(back) = Who::back_of(who).filter(|_| before != life) {
            self.disconnect(back, link);
        }
        let Some(of) = self.guests.get_mut(guest) else {
            return;
        };
        if before.is_some() && before != life {
            self.store.release(who, &of.facts.devices);
        }
        if let (Some(Wish::Connect { port, gfn, .. }), true) = (seen.wish, before != life) {
            let made = self
                .store
                .introduce(who, &of.facts, Birth { port, gfn, at });
            debug_assert_eq!(made, Ok(()), "a guest's share holds its first nodes");
        }
        if let Some(peer) = self.store.peer(who) {
            peer.notify = true;
        }
        if let Some(wishes) = &mut of.wishes {
            wishes.answer(seen);
        }
    }

    /// Forgets everything of a connection, of which this becomes; the nodes stay.
    fn disconnect(&mut self, who: Who, link: Link) {
        self.store.unwatch_all(who);
        self.store.abandon_all(who);
        self.store.drop_queue(who);
        if let Some(peer) = self.store.peer(who) {
            peer.link = link;
            if let Some(end) = &mut peer.end {
                end.clear();
                peer.notify |= end.requests.take_starved();
            }
        }
        if let Some(input) = self.inputs.get_mut(who.index().wrapping_sub(1)) {
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
