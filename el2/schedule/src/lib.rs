//! Who has the processor, and for how long.
//!
//! Domains take turns. A domain has credit, at first a slice of [`SLICE_US`] microseconds, and
//! everything that is done for it is taken from that: its own instructions, its exits, the servers
//! that it calls. Whoever has used its credit up gets a new slice and goes to the end of the queue.
//! Whoever goes to sleep keeps what is left, and comes before the others when it is awakened, but
//! only for as long as that lasts: however often a domain wakes, it gets no more than a slice
//! before everybody else has had a turn.
//!
//! # The bound
//!
//! A domain that wants to run is overtaken by each other domain for at most one slice: who
//! overtakes it uses its credit up and is behind it then. What a domain uses beyond its credit,
//! because the host does one piece of work to its end, is taken from its next slice. A domain also
//! overtakes with what it has left of a slice for each *round*, the time in which all others can
//! use a slice each: so who computes little never waits. That overtakes nobody for more than a
//! slice either, because nobody is kept waiting for longer than a round.
//!
//! What a domain has is its vCPUs' together: they take [turns](Turns) within it, so how many there
//! are is nothing to other domains.
//!
//! # Budgets
//!
//! A domain may have a budget in each period (`budget`), from which the same is taken. Who has used
//! it up is *held*: it is neither in the queue nor asleep, and wakes when enough has come back. To
//! the others that is one more that sleeps. A domain without a period may have a longer or shorter
//! slice than others; the longest in the system has [`SLICE_US`].
//!
//! # Several cores
//!
//! Each core has a schedule of its own, of the domains with vCPUs there; a vCPU stays where it is.
//! What the cores share is theirs one at a time ([`TicketLock`]).
#![no_std]
#![forbid(unsafe_code)]

mod budget;
mod lock;
mod turns;

pub use lock::TicketLock;
pub use turns::{TURN_US, Turns};

use topology::MAX_DOMAINS;
use topology::pd::time::{self, Time};
use topology::share::LEAST_BUDGET;

use crate::budget::Budget;

/// A slice, in microseconds. Two thirds of what a domain may keep each other one waiting: the
/// longest piece of work that the host does to its end for a guest takes half a millisecond.
pub const SLICE_US: u64 = 1500;

/// What is known of a domain.
#[derive(Clone, Copy, Debug)]
struct Domain {
    /// Ticks until it has to go behind the others. Below 0 it has used more than it had.
    credit: i64,
    /// Ticks of credit in each of its turns.
    slice: i64,
    /// It has vCPUs on this core.
    here: bool,
    /// It does not want to run.
    asleep: bool,
    /// What it may use in each period, if it is bounded.
    budget: Option<Budget>,
    /// It wants to run and has used its budget.
    held: bool,
    /// All that it ever used.
    total: u64,
    /// What it has used in the round that has this number, and in the one before.
    used: [i64; 2],
    round: u64,
}

impl Domain {
    /// Round `round` is the present one.
    #[inline]
    fn enter(&mut self, round: u64) {
        match round.saturating_sub(self.round) {
            0 => return,
            1 => self.used = [0, self.used[0]],
            _ => self.used = [0; 2],
        }
        self.round = round;
    }

    /// Whether it has used its budget.
    fn is_spent(&self) -> bool {
        self.budget.is_some_and(|budget| budget.left() == 0)
    }

    fn used(&self) -> i64 {
        self.used[0].saturating_add(self.used[1])
    }
}

/// The queue of those who want to run, and everybody's credit.
#[derive(Clone, Debug)]
pub struct Schedule {
    domains: [Domain; MAX_DOMAINS],
    /// How many domains there are.
    count: usize,
    /// Ticks of a round, the present one's number and its end.
    length: u64,
    round: u64,
    round_end: u64,
    /// Those who want to run and do not, the next one first.
    queue: [u8; MAX_DOMAINS],
    len: usize,
    /// How many at the head of the queue have overtaken the others.
    overtaking: usize,
    current: Option<usize>,
}

impl Schedule {
    /// A domain for each of `times`, of which the first [`MAX_DOMAINS`] count, on a counter of
    /// `frequency` ticks a second. All sleep.
    #[must_use]
    pub fn new(times: &[Time], frequency: u64) -> Self {
        let mut here = [None; MAX_DOMAINS];
        for (slot, time) in here.iter_mut().zip(times) {
            *slot = Some(*time);
        }
        Self::of_core(&here[..times.len().min(MAX_DOMAINS)], frequency)
    }

    /// As [`Schedule::new`], of a core: domains without a time have no vCPUs there. They are never
    /// woken, and keep nobody waiting.
    #[must_use]
    pub fn of_core(times: &[Option<Time>], frequency: u64) -> Self {
        let times = &times[..times.len().min(MAX_DOMAINS)];
        let here = || times.iter().flatten();
        // What a slice is to others: one that is bounded has what others have.
        let weight = |time: &Time| match time.is_bound() {
            true => time::VCPU.budget,
            false => time.budget.max(1),
        };
        let most = here().map(weight).max().unwrap_or(time::VCPU.budget);
        let ticks = |us: u64| {
            let ticks = u128::from(frequency) * u128::from(us) / 1_000_000;
            u64::try_from(ticks).unwrap_or(u64::MAX)
        };
        let slice = |time: &Time| {
            let slice = u128::from(ticks(SLICE_US)) * u128::from(weight(time)) / u128::from(most);
            let slice = i64::try_from(slice).unwrap_or(i64::MAX);
            slice.clamp(1, i64::MAX / 16)
        };
        let domain = |time: &Time| Domain {
            credit: slice(time),
            slice: slice(time),
            asleep: true,
            budget: time
                .is_bound()
                .then(|| Budget::new(ticks(time.budget), ticks(time.period), ticks(LEAST_BUDGET))),
            held: false,
            total: 0,
            used: [0; 2],
            round: 0,
            here: true,
        };
        let absent = Domain {
            here: false,
            ..domain(&time::VCPU)
        };
        let mut domains = [absent; MAX_DOMAINS];
        for (slot, time) in domains.iter_mut().zip(times) {
            *slot = time.as_ref().map_or(absent, domain);
        }
        let slices = here().map(|time| slice(time).cast_unsigned());
        let least = slices.clone().min().unwrap_or(1);
        Self {
            domains,
            count: times.len(),
            length: slices.sum::<u64>().saturating_sub(least).max(least),
            round: 0,
            round_end: 0,
            queue: [0; MAX_DOMAINS],
            len: 0,
            overtaking: 0,
            current: None,
        }
    }

    /// Who runs.
    #[must_use]
    pub const fn current(&self) -> Option<usize> {
        self.current
    }

    /// Whether another domain than the one that runs wants to run.
    #[must_use]
    pub const fn contended(&self) -> bool {
        self.len != 0
    }

    /// The number of the round at tick `now`, which is not before any other that was asked about.
    #[inline]
    fn round(&mut self, now: u64) -> u64 {
        if now >= self.round_end {
            self.round = now / self.length;
            self.round_end = (self.round + 1).saturating_mul(self.length);
        }
        self.round
    }

    /// Domain `index` wants to run from tick `now` on. Returns whether it overtakes the one that
    /// runs, which then has to be [stopped](Schedule::stop). Nothing changes where it runs or waits
    /// already, or is none of the domains here.
    pub fn wake(&mut self, index: usize, now: u64) -> bool {
        let round = self.round(now);
        let Some(domain) = self.domains[..self.count].get_mut(index) else {
            return false;
        };
        if !domain.here || !core::mem::take(&mut domain.asleep) {
            return false;
        }
        if let Some(budget) = &mut domain.budget
            && budget.ready(now).is_err()
        {
            domain.held = true;
            return false;
        }
        domain.enter(round);
        let rest = domain.slice.saturating_sub(domain.used());
        domain.credit = domain.credit.max(rest);
        let overtakes = domain.credit > 0;
        if overtakes {
            self.insert(self.overtaking, index);
            self.overtaking += 1;
        } else {
            self.put_last(index);
        }
        overtakes
    }

    /// When a domain that is held can run again, at tick `now`; the processor then has to be given
    /// up, so that it is [started](Schedule::start).
    pub fn release(&mut self, now: u64) -> Option<u64> {
        let held = self.domains[..self.count].iter_mut();
        let held = held.filter(|domain| domain.held);
        let ready =
            held.filter_map(|domain| domain.budget.as_mut()?.ready(now).err().or(Some(now)));
        ready.min()
    }

    /// Wakes who was held and is no longer.
    fn wake_held(&mut self, now: u64) {
        for index in 0..self.count {
            let domain = &mut self.domains[index];
            let ready = |budget: &mut Budget| budget.ready(now).is_ok();
            if domain.held && domain.budget.as_mut().is_none_or(ready) {
                domain.held = false;
                domain.asleep = true;
                self.wake(index, now);
            }
        }
    }

    /// The next domain, which runs from tick `now` on; none where nobody wants to, or may. The one
    /// that ran before has been stopped.
    pub fn start(&mut self, now: u64) -> Option<usize> {
        self.wake_held(now);
        // Each turn through the queue brings everybody nearer to credit.
        while self.len != 0 {
            let index = usize::from(self.queue[0]);
            self.queue.copy_within(1..self.len, 0);
            self.len -= 1;
            self.overtaking = self.overtaking.saturating_sub(1);
            if self.domains[index].is_spent() {
                self.domains[index].held = true;
                continue;
            }
            if self.domains[index].credit > 0 || self.len == 0 {
                self.current = Some(index);
                return self.current;
            }
            self.put_last(index);
        }
        self.current = None;
        None
    }

    /// The one that runs stops; `wants` says whether it would like to go on.
    pub fn stop(&mut self, wants: bool) {
        let Some(index) = self.current.take() else {
            return;
        };
        if !wants {
            self.domains[index].asleep = true;
        } else if self.domains[index].is_spent() {
            self.domains[index].held = true;
        } else if self.domains[index].credit > 0 {
            // It was overtaken, and goes on behind those who did that.
            self.insert(self.overtaking, index);
        } else {
            self.put_last(index);
        }
    }

    /// Takes `ticks` of the processor's time, which ended at tick `now`, from domain `index`, for
    /// which they were used. Where nobody else wants to run it gets a new slice at once.
    #[inline]
    pub fn charge(&mut self, index: usize, ticks: u64, now: u64) {
        let (alone, round) = (self.len == 0, self.round(now));
        if let Some(domain) = self.domains.get_mut(index) {
            domain.total = domain.total.saturating_add(ticks);
            if let Some(budget) = &mut domain.budget {
                budget.charge(ticks, now);
            }
            let ticks = i64::try_from(ticks).unwrap_or(i64::MAX);
            domain.enter(round);
            domain.used[0] = domain.used[0].saturating_add(ticks);
            domain.credit = domain.credit.saturating_sub(ticks);
            if alone && domain.credit <= 0 {
                domain.credit = domain.slice;
            }
        }
    }

    /// Ticks that the one that runs has left; none where it is not bounded and nobody else wants to
    /// run.
    #[must_use]
    pub fn left(&self) -> Option<u64> {
        let domain = &self.domains[self.current?];
        let credit = self
            .contended()
            .then(|| domain.credit.max(0).cast_unsigned());
        let budget = domain.budget.map(|budget| budget.left());
        credit.into_iter().chain(budget).min()
    }

    /// Ticks that domain `index` has used since the beginning, all that was done for it included.
    #[must_use]
    pub fn total(&self, index: usize) -> u64 {
        self.domains.get(index).map_or(0, |domain| domain.total)
    }

    /// Gives `index` a new slice, at the end of the queue.
    fn put_last(&mut self, index: usize) {
        let domain = &mut self.domains[index];
        domain.credit = domain.credit.saturating_add(domain.slice).min(domain.slice);
        self.insert(self.len, index);
    }

    fn insert(&mut self, at: usize, index: usize) {
        let at = at.min(self.len);
        // A domain is in the queue once, so there is room.
        if self.len < MAX_DOMAINS {
            self.queue.copy_within(at..self.len, at + 1);
            #[expect(clippy::cast_possible_truncation, reason = "below MAX_DOMAINS")]
            let entry = index as u8;
            self.queue[at] = entry;
            self.len += 1;
        }
    }
}
