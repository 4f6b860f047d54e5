//! Fairness: deficit round robin over guests, in bytes.
//!
//! A device has at most [`WINDOW`] bytes under way and one command more, so that what a guest has
//! queued waits here, where it can be overtaken. Guests that wait have turns, in each of which
//! every one gets [`QUANTUM`] bytes; what a command is too large by is taken off the next turn.
//! Devices have turns of their own.

/// Bytes of commands under way at a device before no more are begun.
pub(crate) const WINDOW: u32 = 512 << 10;
/// Bytes that a guest gets in a turn.
pub(crate) const QUANTUM: u32 = 64 << 10;
/// What a command costs whatever it moves.
const COMMAND: u32 = 8192;

/// What a command costs that moves `bytes`.
pub(crate) const fn cost(bytes: u32) -> u32 {
    bytes.saturating_add(COMMAND)
}

/// What a guest may still have of this turn.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Share {
    credit: i64,
}

impl Share {
    /// A turn begins for a guest that waits.
    pub(crate) fn refill(&mut self) {
        let quantum = i64::from(QUANTUM);
        self.credit = (self.credit + quantum).min(quantum);
    }

    /// Whoever does not wait saves nothing, and keeps what it owes.
    pub(crate) fn forfeit(&mut self) {
        self.credit = self.credit.min(0);
    }

    pub(crate) const fn is_open(&self) -> bool {
        self.credit > 0
    }

    pub(crate) fn charge(&mut self, cost: u32) {
        self.credit -= i64::from(cost);
    }
}
