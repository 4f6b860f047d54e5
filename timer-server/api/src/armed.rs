//! What a client has asked for, so that it asks less often.

/// The deadline that the server has of a client, as far as that knows.
///
/// To be woken too early costs a look at what there is to do; to ask costs a call. So a client that
/// wants to be woken later than it will be, or no more, says nothing: it looks when the first
/// deadline comes, and asks again then if it has to. Somebody who sleeps often before one and the
/// same deadline asks once.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Armed {
    at: Option<u64>,
}

impl Armed {
    /// The client wants to be woken at tick `deadline`; what it has to ask for, if anything. `now`
    /// tells the tick that it is.
    ///
    /// A deadline that has passed counts for nothing: the notification of it may have been taken.
    pub fn ask(&mut self, deadline: Option<u64>, now: impl FnOnce() -> u64) -> Option<u64> {
        let deadline = deadline?;
        if self.at.is_some_and(|at| at <= deadline && at > now()) {
            return None;
        }
        self.at = Some(deadline);
        self.at
    }

    /// The server has notified: it has no deadline of this client any more.
    pub const fn woken(&mut self) {
        self.at = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn who_is_woken_early_enough_does_not_ask() {
        let mut armed = Armed::default();
        assert_eq!(armed.ask(None, || unreachable!()), None);
        assert_eq!(armed.ask(Some(100), || unreachable!()), Some(100));
        assert_eq!(armed.ask(Some(100), || 50), None);
        assert_eq!(armed.ask(Some(200), || 99), None);
        assert_eq!(armed.ask(None, || unreachable!()), None);
        assert_eq!(armed.ask(Some(90), || 60), Some(90), "sooner");
        assert_eq!(armed.ask(Some(200), || 90), Some(200), "90 has passed");
        armed.woken();
        assert_eq!(armed.ask(Some(200), || 95), Some(200));
    }

    proptest! {
        /// Whatever is asked for when, and however late notifications are taken, who waits is
        /// woken at the first of its deadline and what it was notified of.
        #[test]
        fn nobody_oversleeps(steps in proptest::collection::vec((0..20_u64, prop::option::of(0..60_u64), any::<bool>()), 1..200)) {
            let (mut armed, mut now) = (Armed::default(), 0);
            // What the server has, and a notification that was not taken.
            let (mut server, mut notified) = (None, false);
            for (later, sleep, takes) in steps {
                now += later;
                if server.is_some_and(|at| at <= now) {
                    (server, notified) = (None, true);
                }
                if takes && core::mem::take(&mut notified) {
                    armed.woken();
                }
                let deadline = sleep.map(|sleep| now + sleep);
                if let Some(at) = armed.ask(deadline, || now) {
                    server = Some(at);
                }
                if let Some(deadline) = deadline {
                    prop_assert!(notified || server.is_some_and(|at| at <= deadline));
                }
            }
        }
    }
}
