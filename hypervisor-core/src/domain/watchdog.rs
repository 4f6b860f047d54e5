//! Watchdogs of SCHEDOP_watchdog (public/sched.h).

use xen_abi::Errno;
use xen_abi::sched::Watchdog;

/// Watchdogs of a domain (`NR_DOMAIN_WATCHDOG_TIMERS`).
const COUNT: usize = 2;

/// `-ENOSPC` in 32 bits, zero-extended: so Xen 4.22 answers (seen), and callers that look at an
/// `int` cannot tell.
pub const NONE_FREE: i64 = 0xffff_ffe4;

/// Deadlines in ticks of the system counter; `None` is free.
#[derive(Debug, Default)]
pub struct Watchdogs([Option<u64>; COUNT]);

impl Watchdogs {
    /// Arms, rearms or disarms at tick `now` with `frequency` ticks a second.
    ///
    /// Returns the number of a watchdog just armed (1 or 2), else 0.
    ///
    /// With both in use it is [`NONE_FREE`].
    ///
    /// # Errors
    /// [`Errno::Einval`]: no such watchdog, or not in use.
    pub fn set(&mut self, arg: Watchdog, now: u64, frequency: u64) -> Result<i64, Errno> {
        let deadline = now.saturating_add(u64::from(arg.timeout).saturating_mul(frequency));
        if arg.id == 0 {
            let free = (1..).zip(&mut self.0).find(|(_, slot)| slot.is_none());
            return Ok(free.map_or(NONE_FREE, |(number, free)| {
                *free = Some(deadline);
                number
            }));
        }
        let index = usize::try_from(arg.id - 1).map_err(|_| Errno::Einval)?;
        let armed = self
            .0
            .get_mut(index)
            .filter(|slot| slot.is_some())
            .ok_or(Errno::Einval)?;
        *armed = (arg.timeout != 0).then_some(deadline);
        Ok(0)
    }

    /// The earliest deadline.
    pub fn next(&self) -> Option<u64> {
        self.0.iter().flatten().copied().min()
    }

    /// Whether a deadline is at or before `now`.
    pub fn expired(&self, now: u64) -> bool {
        self.next().is_some_and(|deadline| deadline <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_watchdogs_and_no_third() {
        let mut dogs = Watchdogs::default();
        let arm = |id, timeout| Watchdog { id, timeout };
        assert_eq!(
            dogs.set(arm(1, 5), 0, 100),
            Err(Errno::Einval),
            "not in use yet"
        );
        assert_eq!(dogs.set(arm(0, 5), 0, 100), Ok(1));
        assert_eq!(dogs.set(arm(0, 3), 0, 100), Ok(2));
        assert_eq!(dogs.set(arm(0, 9), 0, 100), Ok(NONE_FREE));
        assert_eq!(dogs.set(arm(3, 9), 0, 100), Err(Errno::Einval));
        assert_eq!(dogs.set(arm(u32::MAX, 9), 0, 100), Err(Errno::Einval));
        assert_eq!(dogs.next(), Some(300));
        assert!(!dogs.expired(299));
        assert!(dogs.expired(300));
        assert_eq!(dogs.set(arm(2, 0), 10, 100), Ok(0), "disarmed");
        assert_eq!(dogs.next(), Some(500));
        assert_eq!(dogs.set(arm(1, 7), 10, 100), Ok(0), "rearmed");
        assert_eq!(dogs.next(), Some(710));
        assert_eq!(
            dogs.set(arm(0, u32::MAX), 10, u64::MAX),
            Ok(2),
            "far away, not wrapped"
        );
        assert_eq!(dogs.next(), Some(710));
    }
}
