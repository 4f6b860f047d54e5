//! Wakes VMMs whose guests sleep.
//!
//! One hardware timer, one deadline per client. The logic keeps the deadlines and says what the
//! hardware timer has to be set to and whom to notify; it never trusts an expiry (a guest may be
//! able to re-program the timer, see SECURITY.md) but compares with the counter on every wake.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

mod calibration;

pub use calibration::{Calibration, Sight};

use timer_server_api::{MALFORMED, NEVER, OP_ARM};

/// Most clients; a Microkit protection domain has 62 channels.
pub const MAX_CLIENTS: usize = 62;

/// Deadlines of all clients, in ticks of the system counter.
#[derive(Debug)]
pub struct Deadlines {
    at: [u64; MAX_CLIENTS],
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
        }
    }

    /// Handles a request of `client` and returns the label of the reply. A request that is not
    /// understood, or a client that does not exist, changes nothing.
    pub fn on_request(&mut self, client: usize, label: u64, words: &[u64]) -> u64 {
        match (label, words, self.at.get_mut(client)) {
            (OP_ARM, &[deadline], Some(at)) => {
                *at = deadline;
                0
            }
            _ => MALFORMED,
        }
    }

    /// The clients whose deadline has come at tick `now`, as a bit each; their deadlines are taken.
    pub fn take_expired(&mut self, now: u64) -> u64 {
        let mut expired = 0;
        for (client, at) in self.at.iter_mut().enumerate() {
            if *at <= now && *at != NEVER {
                *at = NEVER;
                expired |= 1 << client;
            }
        }
        expired
    }

    /// The next deadline, to which the hardware timer is to be set.
    pub fn next(&self) -> Option<u64> {
        self.at.iter().copied().min().filter(|&at| at != NEVER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
