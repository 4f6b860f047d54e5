//! A lock that is got in the order in which it was asked for.
//!
//! It guards nothing by itself: whoever shares something says what is touched only by who has it.

use core::sync::atomic::{
    AtomicU32,
    Ordering::{Acquire, Relaxed, Release},
};

/// A ticket lock. Who waits for it waits for those who came before, once each: with `n` cores it is
/// got after at most `n - 1` others have had it.
#[derive(Debug, Default)]
pub struct TicketLock {
    /// The next ticket.
    next: AtomicU32,
    /// Whose turn it is.
    serving: AtomicU32,
}

impl TicketLock {
    /// A lock that nobody has.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            next: AtomicU32::new(0),
            serving: AtomicU32::new(0),
        }
    }

    /// Returns when it is the caller's, who has not got it already. `wait` is called again and
    /// again until then.
    pub fn lock(&self, mut wait: impl FnMut()) {
        let ticket = self.next.fetch_add(1, Relaxed);
        while self.serving.load(Acquire) != ticket {
            wait();
        }
    }

    /// The caller, who has it, gives it to the next one.
    pub fn unlock(&self) {
        // Nobody else writes it meanwhile.
        let served = self.serving.load(Relaxed);
        self.serving.store(served.wrapping_add(1), Release);
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use core::sync::atomic::{AtomicBool, AtomicU64};
    use std::thread;
    use std::vec::Vec;

    use super::*;

    /// A counter that loses additions when two add at a time.
    fn add(counter: &AtomicU64) {
        let was = counter.load(Relaxed);
        thread::yield_now();
        counter.store(was + 1, Relaxed);
    }

    #[test]
    fn one_at_a_time_has_it() {
        let (lock, counter) = (TicketLock::new(), AtomicU64::new(0));
        let inside = AtomicBool::new(false);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        lock.lock(thread::yield_now);
                        assert!(!inside.swap(true, Relaxed), "two have it");
                        add(&counter);
                        inside.store(false, Relaxed);
                        lock.unlock();
                    }
                });
            }
        });
        assert_eq!(counter.load(Relaxed), 200);
    }

    #[test]
    fn it_is_got_in_the_order_of_asking() {
        let lock = TicketLock::new();
        let order = std::sync::Mutex::new(Vec::new());
        lock.lock(|| panic!("nobody has it"));
        thread::scope(|scope| {
            for n in 0..4 {
                let asked = AtomicBool::new(false);
                let (lock, order) = (&lock, &order);
                let asked = std::sync::Arc::new(asked);
                let told = std::sync::Arc::clone(&asked);
                scope.spawn(move || {
                    // The first call says that the ticket is drawn.
                    lock.lock(|| {
                        told.store(true, Release);
                        thread::yield_now();
                    });
                    order.lock().expect("no thread panics").push(n);
                    lock.unlock();
                });
                while !asked.load(Acquire) {
                    thread::yield_now();
                }
            }
            lock.unlock();
        });
        assert_eq!(*order.lock().expect("no thread panics"), [0, 1, 2, 3]);
    }

    #[test]
    fn tickets_may_wrap() {
        let lock = TicketLock {
            next: AtomicU32::new(u32::MAX),
            serving: AtomicU32::new(u32::MAX),
        };
        for _ in 0..3 {
            lock.lock(|| panic!("nobody has it"));
            lock.unlock();
        }
        assert_eq!(lock.next.load(Relaxed), 2);
    }
}
