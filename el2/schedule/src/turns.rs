//! Whose turn it is among the vCPUs of one domain.

use hv_types::{VcpuId, Vcpus};

/// How long a vCPU runs while others of its domain would like to, in microseconds: a third of a
/// domain's slice.
pub const TURN_US: u64 = 500;

/// The vCPUs of a domain that take turns, each for as long as it likes and at most for
/// [`TURN_US`] where another one would like to run.
#[derive(Clone, Copy, Debug)]
pub struct Turns {
    /// Ticks of a turn.
    length: u64,
    current: VcpuId,
    /// When the turn ends; none while nobody else would like to run.
    end: Option<u64>,
    over: bool,
}

impl Turns {
    /// The boot CPU comes first; on a counter of `frequency` ticks a second.
    #[must_use]
    pub const fn new(frequency: u64) -> Self {
        Self {
            length: frequency.saturating_mul(TURN_US) / 1_000_000,
            current: VcpuId::BOOT,
            end: None,
            over: false,
        }
    }

    /// The turn of the vCPU that runs is over: it gives it up.
    pub const fn give_up(&mut self) {
        self.over = true;
    }

    /// Whether the one that had its turn last is to make way.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        self.over
    }

    /// When the turn ends, if it does.
    #[must_use]
    pub const fn end(&self) -> Option<u64> {
        self.end
    }

    /// It is tick `now`: ends the turn if its time has come.
    pub fn look(&mut self, now: u64) {
        self.over |= self.end.is_some_and(|end| end <= now);
    }

    /// Whose turn it is of those that would like to run, at the tick that `now` tells; none where
    /// none would.
    #[inline]
    pub fn take(&mut self, running: Vcpus, now: impl FnOnce() -> u64) -> Option<VcpuId> {
        if running == Vcpus::only(self.current) {
            // There is nobody to make way for.
            (self.over, self.end) = (false, None);
            return Some(self.current);
        }
        if running.is_empty() {
            return None;
        }
        self.take_one_of(running, now())
    }

    #[inline(never)]
    fn take_one_of(&mut self, running: Vcpus, now: u64) -> Option<VcpuId> {
        self.look(now);
        if self.over || !running.contains(self.current) {
            let behind = running.without(Vcpus::first(self.current.raw() + 1));
            self.current = behind.lowest().or(running.lowest())?;
            (self.over, self.end) = (false, None);
        }
        if running.count() > 1 {
            self.end.get_or_insert(now.saturating_add(self.length));
        } else {
            self.end = None;
        }
        Some(self.current)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec::Vec;

    use super::*;

    fn id(number: u64) -> VcpuId {
        VcpuId::new(number).expect("there are eight")
    }

    /// Ticks a second: a tick is a microsecond.
    fn turns() -> Turns {
        Turns::new(1_000_000)
    }

    #[test]
    fn one_alone_goes_on_without_end() {
        let mut turns = turns();
        assert_eq!(turns.take(Vcpus::NONE, || 0), None);
        for now in [0, 1000, 1_000_000] {
            assert_eq!(turns.take(Vcpus::only(id(5)), || now), Some(id(5)));
            assert_eq!(turns.end(), None);
        }
    }

    #[test]
    fn several_take_turns() {
        let mut turns = turns();
        let all = Vcpus::from_bits(0b1000_0101);
        let mut order = Vec::new();
        for now in (0..6 * TURN_US).step_by(100) {
            order.extend(turns.take(all, || now).map(VcpuId::raw));
        }
        let each = |n| [n; (TURN_US / 100) as usize];
        let expected = [0, 2, 7, 0, 2, 7].map(each).concat();
        assert_eq!(order, expected);
    }

    #[test]
    fn who_sleeps_or_gives_up_makes_way_at_once() {
        let mut turns = turns();
        let all = Vcpus::first(3);
        assert_eq!(turns.take(all, || 0), Some(id(0)));
        turns.give_up();
        assert!(turns.is_over());
        assert_eq!(turns.take(all, || 1), Some(id(1)));
        assert_eq!(turns.end(), Some(1 + TURN_US), "a whole turn");
        assert_eq!(
            turns.take(all.without(Vcpus::only(id(1))), || 2),
            Some(id(2))
        );
        assert_eq!(turns.take(all, || 3), Some(id(2)), "who wakes waits");
        turns.give_up();
        assert_eq!(
            turns.take(Vcpus::only(id(2)), || 4),
            Some(id(2)),
            "to nobody"
        );
    }

    #[test]
    fn a_turn_is_bounded_from_when_another_wants_to_run() {
        let mut turns = turns();
        assert_eq!(turns.take(Vcpus::BOOT, || 0), Some(id(0)));
        let both = Vcpus::first(2);
        assert_eq!(turns.take(both, || 10_000), Some(id(0)));
        assert_eq!(turns.end(), Some(10_000 + TURN_US));
        assert_eq!(turns.take(both, || 10_000 + TURN_US), Some(id(1)));
    }
}
