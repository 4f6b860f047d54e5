//! A budget in each period: what is used comes back a period later.
//!
//! Time that is used in one piece comes back together, a period after the piece began. So in no
//! time as long as a period more than the budget is used, but for what the host does to its end.
//! Pieces are remembered one by one, as far as there is room; further ones come back with the last,
//! later than they might.

/// Pieces that are remembered.
const PIECES: usize = 8;

/// Time that was used.
#[derive(Clone, Copy, Debug, Default)]
struct Piece {
    ticks: i64,
    /// Where it ended.
    end: u64,
    /// When it comes back.
    back: u64,
}

/// A budget and what is left of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budget {
    /// Below 0 more was used than there was.
    left: i64,
    /// Who has used its budget waits for as much to come back.
    least: i64,
    spent: bool,
    period: u64,
    /// The oldest first.
    pieces: [Piece; PIECES],
    len: usize,
}

impl Budget {
    /// `budget` ticks in each `period`, of which nothing is used. Whoever has used all waits until
    /// `least` ticks are back, or the budget if that is less.
    pub(crate) fn new(budget: u64, period: u64, least: u64) -> Self {
        let ticks = |ticks: u64| i64::try_from(ticks).unwrap_or(i64::MAX / 2).max(1);
        let budget = ticks(budget).min(i64::MAX / 2);
        Self {
            left: budget,
            least: ticks(least).min(budget),
            spent: false,
            period,
            pieces: [Piece::default(); PIECES],
            len: 0,
        }
    }

    /// Ticks that may be used now.
    pub(crate) fn left(&self) -> u64 {
        if self.spent {
            0
        } else {
            self.left.max(0).cast_unsigned()
        }
    }

    /// Takes `ticks`, which ended at tick `now`.
    pub(crate) fn charge(&mut self, ticks: u64, now: u64) {
        if ticks == 0 {
            return;
        }
        self.catch_up(now);
        let start = now.saturating_sub(ticks);
        let ticks = i64::try_from(ticks)
            .unwrap_or(i64::MAX / 4)
            .min(i64::MAX / 4);
        self.left = self.left.saturating_sub(ticks);
        self.spent |= self.left <= 0;
        let back = start.saturating_add(self.period);
        match self.pieces[..self.len].last_mut() {
            Some(last) if last.end == start => {
                last.ticks = last.ticks.saturating_add(ticks);
                last.end = now;
            }
            Some(last) if self.len == PIECES => {
                last.ticks = last.ticks.saturating_add(ticks);
                last.end = now;
                last.back = back;
            }
            _ => {
                let end = now;
                self.pieces[self.len] = Piece { ticks, end, back };
                self.len += 1;
            }
        }
    }

    /// When the budget can be used again: at once, or at this tick.
    pub(crate) fn ready(&mut self, now: u64) -> Result<(), u64> {
        self.catch_up(now);
        if !self.spent {
            return Ok(());
        }
        let mut left = self.left;
        for piece in &self.pieces[..self.len] {
            left = left.saturating_add(piece.ticks);
            if left >= self.least {
                return Err(piece.back);
            }
        }
        // All that was used comes back, so this is never reached; and were it, nothing would wait.
        Ok(())
    }

    /// Gives back what is due at tick `now`.
    fn catch_up(&mut self, now: u64) {
        while self.len != 0 && self.pieces[0].back <= now {
            self.left = self.left.saturating_add(self.pieces[0].ticks);
            self.pieces.copy_within(1..self.len, 0);
            self.len -= 1;
        }
        if self.left >= self.least {
            self.spent = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_comes_back_a_period_after_it_began() {
        let mut budget = Budget::new(100, 500, 50);
        budget.charge(60, 1060);
        budget.charge(40, 1100);
        assert_eq!((budget.left(), budget.ready(1100)), (0, Err(1500)));
        assert_eq!(
            (budget.ready(1499), budget.ready(1500)),
            (Err(1500), Ok(()))
        );
        assert_eq!(budget.left(), 100);
    }

    #[test]
    fn parts_come_back_one_by_one_and_a_small_one_waits_for_the_next() {
        let mut budget = Budget::new(100, 500, 50);
        budget.charge(20, 20);
        budget.charge(80, 280);
        assert_eq!(budget.ready(280), Err(700));
        assert_eq!((budget.ready(600), budget.left()), (Err(700), 0));
        assert_eq!((budget.ready(700), budget.left()), (Ok(()), 100));
    }

    #[test]
    fn what_was_used_beyond_it_is_waited_for() {
        let mut budget = Budget::new(100, 500, 50);
        budget.charge(90, 90);
        budget.charge(200, 390);
        assert_eq!(budget.ready(390), Err(690));
        assert_eq!((budget.ready(690), budget.left()), (Ok(()), 100));
    }

    #[test]
    fn more_pieces_than_there_is_room_for_come_back_later() {
        let mut budget = Budget::new(100, 1000, 1);
        for n in 1..=10 {
            budget.charge(10, n * 50);
        }
        assert_eq!(budget.ready(500), Err(1040));
        assert_eq!((budget.ready(1040), budget.left()), (Ok(()), 10));
        // The last three together, when the last of them is due.
        assert_eq!((budget.ready(1489), budget.left()), (Ok(()), 70));
        assert_eq!((budget.ready(1490), budget.left()), (Ok(()), 100));
    }
}
