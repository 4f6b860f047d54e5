//! How long the line that the cursor is in stays its guest's.
//!
//! Guests write a line in pieces: Linux's hvc driver, 16 bytes at a time. Three times decide what
//! happens to the others' lines meanwhile, all in ticks of the system counter:
//!
//! - They wait until the line ends or has been quiet for 20 ms,
//! - but 100 ms at most: a guest that never pauses does not silence the others. Then what waits is
//!   printed first for 20 ms.
//! - A line that they interrupted comes back when its guest writes more, or once they have been
//!   quiet for 20 ms, so that a burst of lines brings it back once.

/// A line that got nothing for 1/50 s (20 ms) is quiet.
const QUIETS_PER_SECOND: u64 = 50;
/// Others wait 1/10 s (100 ms) at most for a line that is never quiet.
const WAITS_PER_SECOND: u64 = 10;

/// The clock, and what it has seen. Without a frequency nobody waits.
#[derive(Debug)]
pub(crate) struct Pace {
    /// Ticks of a second.
    second: u64,
    quiet: u64,
    most: u64,
    now: u64,
    /// When the guest with the focus wrote last.
    written: u64,
    /// Since when others wait for the line on the screen.
    waiting: Option<u64>,
    /// Until when the others come first.
    others_until: Option<u64>,
    /// When an interrupted line may come back by itself.
    again_at: u64,
    /// When time alone changes what is to be done.
    wake_at: Option<u64>,
}

impl Pace {
    pub(crate) const fn new() -> Self {
        Self {
            second: 0,
            quiet: 0,
            most: 0,
            now: 0,
            written: 0,
            waiting: None,
            others_until: None,
            again_at: 0,
            wake_at: None,
        }
    }

    pub(crate) const fn set_frequency(&mut self, hz: u64) {
        self.second = hz;
        self.quiet = hz / QUIETS_PER_SECOND;
        self.most = hz / WAITS_PER_SECOND;
    }

    /// It is tick `now`; what [`Pace::wake_at`] said no longer holds.
    pub(crate) const fn set_now(&mut self, now: u64) {
        self.now = now;
        self.wake_at = None;
    }

    /// Whole seconds since tick `since`; 0 where that is to come, or without a frequency.
    pub(crate) const fn seconds_since(&self, since: u64) -> u64 {
        match self.now.saturating_sub(since).checked_div(self.second) {
            Some(seconds) => seconds,
            None => 0,
        }
    }

    pub(crate) const fn wake_at(&self) -> Option<u64> {
        self.wake_at
    }

    /// The guest with the focus wrote.
    pub(crate) const fn wrote(&mut self) {
        self.written = self.now;
    }

    /// A line of another client was printed.
    pub(crate) const fn others_printed(&mut self) {
        self.again_at = self.now.saturating_add(self.quiet);
    }

    /// The focus has moved: the line there was not interrupted, it was never shown.
    pub(crate) const fn switched(&mut self) {
        self.again_at = 0;
        self.others_until = None;
    }

    /// Nobody waits for the line on the screen, or there is none.
    pub(crate) const fn nobody_waits(&mut self) {
        self.waiting = None;
    }

    /// A client waits for the line on the screen; returns whether it has waited too long.
    pub(crate) fn is_overdue(&mut self) -> bool {
        let since = *self.waiting.get_or_insert(self.now);
        let overdue = self.now > since.saturating_add(self.most);
        if overdue {
            self.others_until = Some(self.now.saturating_add(self.quiet));
        }
        overdue
    }

    /// Whether the line on the screen, which is not overdue, was written too recently to be
    /// interrupted.
    pub(crate) fn is_busy(&mut self) -> bool {
        let quiet_at = self.written.saturating_add(self.quiet);
        let busy = self.now < quiet_at;
        if busy {
            let since = self.waiting.unwrap_or(self.now);
            let overdue_at = since.saturating_add(self.most).saturating_add(1);
            self.wake_at = Some(quiet_at.min(overdue_at));
        }
        busy
    }

    /// Whether the others come first.
    pub(crate) fn others_first(&self) -> bool {
        self.others_until.is_some_and(|until| self.now < until)
    }

    /// Whether an interrupted line may come back by itself.
    pub(crate) const fn may_come_back(&mut self) -> bool {
        if self.now < self.again_at {
            self.wake_at = Some(self.again_at);
            return false;
        }
        true
    }
}
