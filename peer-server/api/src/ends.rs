//! Where the ports of a domain end, as the peer server writes it and the domain's VMM reads it.

use core::sync::atomic::{AtomicU32, Ordering};

use crate::MAX_PORT;

/// Words of a page of ends: one for each port, port 0 included.
pub const ENDS_WORDS: usize = MAX_PORT as usize + 1;

/// Bits of a word: what it is, an event that waits for the guest's start, the domain and its port.
const UNBOUND: u32 = 1 << 30;
const BOUND: u32 = 2 << 30;
const KIND: u32 = 3 << 30;
const WOKEN: u32 = 1 << 29;
const DOMAIN_SHIFT: u32 = 16;
const DOMAIN: u32 = 0xff;
const PORT: u32 = 0xffff;

/// The other end of a port.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// There is none: the port is no channel to another domain.
    None,
    /// It waits for a domain to bind to it.
    Unbound {
        /// Who may: number from 0.
        domain: u8,
    },
    /// It is connected.
    Bound {
        /// To whom: number from 0.
        domain: u8,
        /// To which port there.
        port: u16,
        /// The channel came into being at the start of the guest, who has an event pending on it.
        woken: bool,
    },
}

impl End {
    fn word(self) -> u32 {
        let domain = |domain: u8| u32::from(domain) << DOMAIN_SHIFT;
        match self {
            Self::None => 0,
            Self::Unbound { domain: who } => UNBOUND | domain(who),
            Self::Bound {
                domain: who,
                port,
                woken,
            } => BOUND | (u32::from(woken) * WOKEN) | domain(who) | u32::from(port),
        }
    }

    fn of(word: u32) -> Self {
        // Both are masked to their size.
        let domain = u8::try_from(word >> DOMAIN_SHIFT & DOMAIN).unwrap_or(u8::MAX);
        match word & KIND {
            UNBOUND => Self::Unbound { domain },
            BOUND => Self::Bound {
                domain,
                port: u16::try_from(word & PORT).unwrap_or(u16::MAX),
                woken: word & WOKEN != 0,
            },
            _ => Self::None,
        }
    }
}

/// The page of a domain. Fresh (zeroed) memory is a domain without channels to others.
#[derive(Clone, Copy, Debug)]
pub struct Ends<'a>(&'a [AtomicU32]);

impl<'a> Ends<'a> {
    /// The page whose words are `words`; `None` where those are fewer than [`ENDS_WORDS`].
    pub fn new(words: &'a [AtomicU32]) -> Option<Self> {
        words.get(..ENDS_WORDS).map(Self)
    }

    /// Where `port` ends.
    #[inline]
    pub fn get(&self, port: u16) -> End {
        let word = self.0.get(usize::from(port));
        word.map_or(End::None, |word| End::of(word.load(Ordering::Acquire)))
    }

    /// Says where `port` ends: for the server, who alone may write to the page. A port that cannot
    /// be is left alone.
    pub fn set(&self, port: u16, end: End) {
        if let Some(word) = self.0.get(usize::from(port)) {
            word.store(end.word(), Ordering::Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_travel() {
        let words = [const { AtomicU32::new(0) }; ENDS_WORDS];
        let ends = Ends::new(&words).expect("a page");
        assert!(Ends::new(words.get(1..).expect("a page")).is_none());
        for end in [
            End::None,
            End::Unbound { domain: 7 },
            End::Bound {
                domain: 0,
                port: 1,
                woken: true,
            },
            End::Bound {
                domain: 7,
                port: MAX_PORT,
                woken: false,
            },
        ] {
            ends.set(MAX_PORT, end);
            assert_eq!((ends.get(MAX_PORT), ends.get(1)), (end, End::None));
        }
        ends.set(MAX_PORT + 1, End::Unbound { domain: 1 });
        assert_eq!(ends.get(MAX_PORT + 1), End::None);
    }
}
