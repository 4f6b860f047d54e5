//! Wakes VMMs whose guests sleep.
//!
//! One hardware timer, one deadline per client. The logic keeps the deadlines and says what the
//! hardware timer has to be set to and whom to notify; it never trusts an expiry (a guest may be
//! able to re-program the timer, see SECURITY.md) but compares with the counter on every wake.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

mod calibration;

pub use calibration::{Calibration, Sight};

use timer_server_api::{MALFORMED, Message, NEVER, Request};

/// Most clients; a Microkit protection domain has 62 channels.
pub const MAX_CLIENTS: usize = 62;

/// Deadlines of all clients, in ticks of the system counter.
///
/// Who waits for none costs nothing: hosts ask with every sleep of a guest.
#[derive(Debug)]
pub struct Deadlines {
    at: [u64; MAX_CLIENTS],
    /// Those that are not [`NEVER`], a bit each.
    waits: u64,
    /// The least of them.
    next: u64,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self::new()
    }
}

impl Deadlines {
    /// Nobody waits.
    pub const fn new() -> Self {
        Self {
            at: [NEVER; MAX_CLIENTS],
            waits: 0,
            next: NEVER,
        }
    }

    /// Handles a request of `client` and returns the label of the reply. A request that is not
    /// understood, or a client that does not exist, changes nothing.
    pub fn on_request(&mut self, client: usize, label: u64, words: &[u64]) -> u64 {
        let request = Request::read(Message { label, words });
        match (request, self.at.get_mut(client)) {
            (Some(Request::Arm { deadline }), Some(at)) => {
                let old = core::mem::replace(at, deadline);
                if deadline == NEVER {
                    self.waits &= !(1 << client);
                } else {
                    self.waits |= 1 << client;
                }
                if deadline <= self.next {
                    self.next = deadline;
                } else if old == self.next {
                    self.next = self.least();
                }
                0
            }
            _ => MALFORMED,
        }
    }

    /// The clients whose deadline has come at tick `now`, as a bit each; their deadlines are taken.
    pub fn take_expired(&mut self, now: u64) -> u64 {
        if now < self.next || self.waits == 0 {
            return 0;
        }
        let mut expired = 0;
        for (client, at) in self.waiting() {
            if at <= now {
                expired |= 1 << client;
            }
        }
        self.waits &= !expired;
        self.next = self.least();
        expired
    }

    /// The next deadline, to which the hardware timer is to be set.
    pub const fn next(&self) -> Option<u64> {
        if self.next == NEVER {
            None
        } else {
            Some(self.next)
        }
    }

    /// The clients that wait, and until when.
    fn waiting(&self) -> impl Iterator<Item = (usize, u64)> + '_ {
        let mut rest = self.waits;
        core::iter::from_fn(move || {
            let client = rest.trailing_zeros() as usize;
            let at = self.at.get(client)?;
            rest &= rest - 1;
            Some((client, *at))
        })
    }

    fn least(&self) -> u64 {
        self.waiting().map(|(_, at)| at).min().unwrap_or(NEVER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use timer_server_api::OP_ARM;

    #[test]
    fn wakes_each_client_once_at_its_own_time() {
        let mut timers = Deadlines::new();
        assert_eq!(timers.on_request(0, OP_ARM, &[100]), 0);
        assert_eq!(timers.on_request(3, OP_ARM, &[50]), 0);
        assert_eq!(timers.next(), Some(50));
        assert_eq!(timers.take_expired(49), 0);
        assert_eq!(timers.take_expired(50), 1 << 3);
        assert_eq!(timers.take_expired(50), 0);
        assert_eq!(timers.next(), Some(100));
        assert_eq!(timers.take_expired(1000), 1);
        assert_eq!(timers.next(), None);
    }

    #[test]
    fn a_new_deadline_replaces_the_old_and_never_cancels() {
        let mut timers = Deadlines::new();
        timers.on_request(1, OP_ARM, &[10]);
        timers.on_request(1, OP_ARM, &[30]);
        assert_eq!(timers.take_expired(20), 0);
        timers.on_request(1, OP_ARM, &[NEVER]);
        assert_eq!(timers.next(), None);
        assert_eq!(timers.take_expired(u64::MAX), 0);
    }

    #[test]
    fn the_next_deadline_is_the_least_of_all() {
        let mut timers = Deadlines::new();
        let mut model = [NEVER; MAX_CLIENTS];
        let mut seed = 1_u64;
        for now in 0..20_000 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let client = (seed >> 33) as usize % MAX_CLIENTS;
            let deadline = match seed >> 60 {
                0..4 => NEVER,
                // Also one that has passed.
                _ => now + (seed >> 40) % 500 - (now % 3),
            };
            assert_eq!(timers.on_request(client, OP_ARM, &[deadline]), 0);
            model[client] = deadline;
            assert_eq!(
                timers.next(),
                model.iter().copied().min().filter(|at| *at != NEVER)
            );
            if seed >> 20 & 7 == 0 {
                let mut expired = 0;
                for (client, at) in model.iter_mut().enumerate().filter(|(_, at)| **at <= now) {
                    expired |= 1 << client;
                    *at = NEVER;
                }
                assert_eq!(timers.take_expired(now), expired);
                assert_eq!(
                    timers.next(),
                    model.iter().copied().min().filter(|at| *at != NEVER)
                );
            }
        }
    }

    #[test]
    fn what_is_not_understood_changes_nothing() {
        let mut timers = Deadlines::new();
        timers.on_request(1, OP_ARM, &[10]);
        assert_eq!(timers.on_request(1, 7, &[20]), MALFORMED);
        assert_eq!(timers.on_request(1, OP_ARM, &[]), MALFORMED);
        assert_eq!(timers.on_request(1, OP_ARM, &[1, 2]), MALFORMED);
        assert_eq!(timers.on_request(MAX_CLIENTS, OP_ARM, &[5]), MALFORMED);
        assert_eq!(timers.next(), Some(10));
    }
}
