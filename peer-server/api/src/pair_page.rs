//! Events on their way between two VMMs: a page of port bits.

use core::sync::atomic::{AtomicU32, Ordering};

use crate::MAX_PORT;

/// Ports of a word.
const BITS: u16 = 32;
/// Words with the bits of one direction.
const WORDS: u16 = (MAX_PORT + 1) / BITS;
/// First word of the second direction; each begins with the word that says which others to look at.
const SECOND: usize = 64;
/// First of the words with references that are wanted, of each direction: behind the bits.
const WANTS: usize = 40;
/// References that can be wanted at once.
const WANTS_MAX: usize = 16;
const _: () = assert!(WANTS > WORDS as usize && WANTS + WANTS_MAX < SECOND);

/// Words of a page.
pub const PAIR_WORDS: usize = 2 * SECOND;

// One bit of the summary for each word.
const _: () = assert!(WORDS == BITS && (WORDS as usize) < SECOND);

/// The page of two domains, as the VMM of one sees it. Fresh (zeroed) memory has no event.
///
/// Both VMMs may write anything anywhere in it. What one reads as sent to it are ports, nothing
/// else, of which there are a bounded number; what it writes nobody but its peer looks at.
#[derive(Clone, Copy, Debug)]
pub struct PairPage<'a> {
    sent: &'a [AtomicU32],
    received: &'a [AtomicU32],
}

impl<'a> PairPage<'a> {
    /// The page whose words are `words`, for the VMM with the lower number or for the other one;
    /// `None` where those are fewer than [`PAIR_WORDS`].
    pub fn new(words: &'a [AtomicU32], lower: bool) -> Option<Self> {
        let (first, second) = words.get(..PAIR_WORDS)?.split_at_checked(SECOND)?;
        let (sent, received) = if lower {
            (first, second)
        } else {
            (second, first)
        };
        Some(Self { sent, received })
    }

    /// Sends an event to `port` of the peer's; whether the peer has to be notified. Where it has
    /// not, a notification is on its way to it, and it has yet to look.
    #[inline]
    pub fn send(&self, port: u16) -> bool {
        if port > MAX_PORT {
            return false;
        }
        let (word, bit) = (port / BITS, 1 << (port % BITS));
        let Some((summary, bits)) = self.sent.split_first() else {
            return false;
        };
        let Some(bits) = bits.get(usize::from(word)) else {
            return false;
        };
        // The bit is there before the summary says so, and whoever takes the summary looks at it
        // after that: whichever comes first, it is seen. Where the bit was there already, the
        // summary says so, or its owner is about to take it.
        bits.fetch_or(bit, Ordering::SeqCst);
        summary.fetch_or(1 << word, Ordering::SeqCst) == 0
    }

    /// Tells the peer that a grant of its guest's is wanted; where as many are wanted as there can
    /// be, it has to be told again.
    pub fn want(&self, gref: u32) {
        let Some(word) = gref.checked_add(1) else {
            return;
        };
        let words = self.sent.get(WANTS..).unwrap_or(&[]);
        for place in words.iter().take(WANTS_MAX) {
            match place.compare_exchange(0, word, Ordering::SeqCst, Ordering::SeqCst) {
                Ok(_) => return,
                Err(there) if there == word => return,
                Err(_) => {}
            }
        }
    }

    /// Takes what the peer wants, a bounded number of references, whatever the peer does meanwhile.
    pub fn wanted(&self, mut each: impl FnMut(u32)) {
        let words = self.received.get(WANTS..).unwrap_or(&[]);
        for place in words.iter().take(WANTS_MAX) {
            if place.load(Ordering::Relaxed) != 0
                && let Some(gref) = place.swap(0, Ordering::SeqCst).checked_sub(1)
            {
                each(gref);
            }
        }
    }

    /// Takes the ports to which events were sent. At most each port once, whatever the peer does
    /// meanwhile.
    pub fn take(&self, mut each: impl FnMut(u16)) {
        let Some((summary, words)) = self.received.split_first() else {
            return;
        };
        if summary.load(Ordering::Relaxed) == 0 {
            return;
        }
        let seen = summary.swap(0, Ordering::SeqCst);
        for (word, bits) in (0..WORDS).zip(words) {
            if seen & 1 << word == 0 {
                continue;
            }
            let mut bits = bits.swap(0, Ordering::SeqCst);
            while bits != 0 {
                // Below 32.
                let bit = u16::try_from(bits.trailing_zeros()).unwrap_or(0);
                bits &= bits - 1;
                each(word * BITS + bit);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::vec::Vec;

    fn page() -> Vec<AtomicU32> {
        (0..PAIR_WORDS).map(|_| AtomicU32::new(0)).collect()
    }

    fn taken(page: &PairPage<'_>) -> Vec<u16> {
        let mut ports = Vec::new();
        page.take(|port| ports.push(port));
        ports
    }

    #[test]
    fn events_go_one_way_and_come_once() {
        let words = page();
        let low = PairPage::new(&words, true).expect("a page");
        let high = PairPage::new(&words, false).expect("a page");
        assert!(low.send(1023), "the first one has to be told");
        assert!(!low.send(1) && !low.send(1), "it has been");
        assert_eq!(taken(&low), [], "they are the other's");
        assert_eq!(taken(&high), [1, 1023]);
        assert_eq!(taken(&high), []);
        assert!(high.send(0) && low.send(31) && !low.send(MAX_PORT + 1));
        assert_eq!((taken(&low), taken(&high)), ([0].into(), [31].into()));
        assert!(PairPage::new(&words[1..], true).is_none());
    }

    #[test]
    fn wants_go_one_way_and_come_once() {
        let words = page();
        let low = PairPage::new(&words, true).expect("a page");
        let high = PairPage::new(&words, false).expect("a page");
        let wanted = |page: &PairPage<'_>| {
            let mut all = Vec::new();
            page.wanted(|gref| all.push(gref));
            all
        };
        for gref in [9, 8, 9, u32::MAX, 0] {
            low.want(gref);
        }
        assert_eq!(wanted(&low), []);
        assert_eq!(wanted(&high), [9, 8, 0]);
        assert_eq!(wanted(&high), []);
        (0..20).for_each(|gref| low.want(gref));
        assert!((0..16).eq(wanted(&high)));
        assert_eq!((taken(&low), taken(&high)), ([].into(), [].into()));
    }

    #[test]
    fn whatever_is_written_there_are_ports() {
        let words = page();
        for word in &words {
            word.store(u32::MAX, Ordering::SeqCst);
        }
        let page = PairPage::new(&words, false).expect("a page");
        assert!((0..=MAX_PORT).eq(taken(&page)));
        assert_eq!(taken(&page), []);
    }
}
