//! How often guests may write while there are transactions (the write rate limit of C xenstored).
//!
//! Each write may make somebody's transaction fail, and each commit somebody else's. So while there
//! are such transactions a write costs a credit, of which guests together get [`RATE`] a second;
//! whoever is below zero is not listened to until it is not. Nothing happens here while there are
//! no transactions.

use topology::MAX_DOMAINS;

use crate::who::Who;

/// A credit.
const ONE: i64 = 1000;
/// Credits of all guests together in a second, divided evenly.
const RATE: i64 = 200 * ONE;
/// Most credits of a guest.
const MOST: i64 = 10 * ONE;
/// Most credits in reserve: what guests did not need, for those that do.
const RESERVE_MOST: i64 = 1000 * ONE;
/// How far below zero new guests may bring the reserve.
const RESERVE_LEAST: i64 = -(MOST * 5);

/// A guest's credit.
#[derive(Clone, Copy, Debug)]
struct Credit {
    left: i64,
    /// When it was brought up to date, in milliseconds; `None` where there is no guest.
    at: Option<u64>,
}

/// Everybody's.
#[derive(Clone, Debug)]
pub(crate) struct Credits {
    reserve: i64,
    guests: [Credit; MAX_DOMAINS],
    /// Milliseconds now.
    now: u64,
}

/// As much as keeps both within their bounds.
fn move_credit(from: &mut i64, least: i64, to: &mut i64, most: i64) {
    let amount = (*from - least).min(most - *to).max(0);
    *from -= amount;
    *to += amount;
}

impl Credits {
    pub(crate) const fn new() -> Self {
        Self {
            reserve: 0,
            guests: [Credit { left: 0, at: None }; MAX_DOMAINS],
            now: 0,
        }
    }

    /// Time goes on.
    pub(crate) const fn set_now(&mut self, ms: u64) {
        self.now = ms;
    }

    fn count(&self) -> i64 {
        let there = self.guests.iter().filter(|guest| guest.at.is_some());
        i64::try_from(there.count().max(1)).unwrap_or(1)
    }

    /// There is a guest `who` now.
    pub(crate) fn begin(&mut self, who: Who) {
        let mut left = 0;
        move_credit(&mut self.reserve, RESERVE_LEAST, &mut left, MOST);
        let at = Some(self.now);
        if let Some(guest) = self.guests.get_mut(who.index().wrapping_sub(1)) {
            *guest = Credit { left, at };
        }
    }

    /// There is none any more.
    pub(crate) fn end(&mut self, who: Who) {
        if let Some(guest) = self.guests.get_mut(who.index().wrapping_sub(1)) {
            move_credit(&mut guest.left, 0, &mut self.reserve, MOST);
            guest.at = None;
        }
    }

    fn update(&mut self, who: Who) -> Option<&mut Credit> {
        let (now, count) = (self.now, self.count());
        let guest = self.guests.get_mut(who.index().checked_sub(1)?)?;
        let passed = now.saturating_sub(guest.at?).min(1_000_000_000);
        let passed = i64::try_from(passed).unwrap_or(0);
        guest.left = guest.left.saturating_add(passed * RATE / (count * 1000));
        guest.at = Some(now);
        move_credit(&mut self.reserve, 0, &mut guest.left, 0);
        let mut surplus = (guest.left - MOST).max(0);
        guest.left -= surplus;
        move_credit(&mut surplus, 0, &mut self.reserve, RESERVE_MOST);
        Some(guest)
    }

    /// A write or commit of `who` may make a transaction fail.
    pub(crate) fn debit(&mut self, who: Who) {
        if let Some(guest) = self.update(who) {
            guest.left -= ONE;
        }
    }

    /// Milliseconds for which `who` is not listened to; `None`: it is.
    pub(crate) fn waits(&mut self, who: Who) -> Option<u64> {
        // Whoever is not below zero stays so while time passes.
        let index = who.index().checked_sub(1)?;
        self.guests.get(index).filter(|guest| guest.left < 0)?;
        let left = self.update(who)?.left;
        let ms = (-left * 1000 * self.count()).div_ceil_to(RATE);
        (left < 0).then_some(ms.max(1))
    }
}

/// Division that rounds up.
trait DivCeil {
    fn div_ceil_to(self, by: i64) -> u64;
}

impl DivCeil for i64 {
    fn div_ceil_to(self, by: i64) -> u64 {
        u64::try_from((self + by - 1) / by).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bursts_are_free_and_then_guests_share_the_rate() {
        let mut credits = Credits::new();
        let [a, b] = [0, 1].map(|n| Who::guest(n).unwrap());
        credits.begin(a);
        credits.begin(b);
        for _ in 0..10 {
            credits.debit(a);
            assert_eq!(credits.waits(a), None);
        }
        credits.debit(a);
        // Two guests: a hundred a second each.
        assert_eq!(credits.waits(a), Some(10));
        assert_eq!(credits.waits(b), None);
        credits.set_now(9);
        assert_eq!(credits.waits(a), Some(1));
        credits.set_now(10);
        assert_eq!(credits.waits(a), None);
        // A long rest fills the guest's ten and then the reserve.
        credits.set_now(1_000_000);
        for _ in 0..900 {
            credits.debit(a);
            assert_eq!(credits.waits(a), None);
        }
        for _ in 0..200 {
            credits.debit(a);
        }
        assert!(credits.waits(a).is_some());
        credits.end(a);
        assert_eq!(credits.waits(a), None);
    }
}
