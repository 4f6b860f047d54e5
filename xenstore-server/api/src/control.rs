//! The words beside the rings.
//!
//! Each side has words of its own and reads the other's; neither waits. A VMM that writes nonsense
//! does no more to its connection than its guest can.

use ring::Words;
use ring::sync::AtomicU32;

/// The VMM's: the number of its wish, and what it is.
const WISH: usize = 0;
/// The VMM's: the number of the guest's life.
const LIFE: usize = 1;
/// The VMM's: the guest's event channel.
const PORT: usize = 2;
/// The VMM's: the frame of the guest's page, low and high word.
const GFN: [usize; 2] = [3, 4];
/// The server's: the wish that it answered last.
const DONE: usize = 5;
/// The server's: why it does not use the connection any more.
const ERROR: usize = 6;

/// Bits of a wish below its number.
const KIND_BITS: u32 = 8;
const KIND: u32 = (1 << KIND_BITS) - 1;
const DOWN: u32 = 1;
const CONNECT: u32 = 2;

/// What a VMM wants of the server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wish {
    /// There is no guest any more: what it owned goes.
    Down,
    /// A fresh connection for the guest.
    Connect {
        /// Number of its life; another one than before is another guest, whose nodes are made anew.
        life: u32,
        /// Its event channel, for it to read.
        port: u32,
        /// The frame of its page, likewise.
        gfn: u64,
    },
}

/// A wish as the server sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Seen {
    /// The word to answer with.
    pub(crate) word: u32,
    /// What is wanted; `None` for nonsense.
    pub wish: Option<Wish>,
}

/// The block, for either side.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Control<'a>(Words<'a>);

impl<'a> Control<'a> {
    /// The block in a region's header page; `None` where that is too short.
    pub(crate) fn new(header: &'a [AtomicU32]) -> Option<Self> {
        Words::new(header).map(Self)
    }

    /// Makes the VMM's next wish.
    pub(crate) fn wish(&self, wish: Wish) {
        let number = (self.0.load(WISH) >> KIND_BITS).wrapping_add(1);
        let kind = match wish {
            Wish::Down => DOWN,
            Wish::Connect { life, port, gfn } => {
                self.0.store(LIFE, life);
                self.0.store(PORT, port);
                self.0.store_u64(GFN, gfn);
                CONNECT
            }
        };
        self.0.store(WISH, number << KIND_BITS | kind);
    }

    /// The life that was told last.
    pub(crate) fn life(&self) -> u32 {
        self.0.load(LIFE)
    }

    /// A connection for the guest that was told last.
    pub(crate) fn again(&self) -> Wish {
        Wish::Connect {
            life: self.0.load(LIFE),
            port: self.0.load(PORT),
            gfn: self.0.load_u64(GFN),
        }
    }

    /// Whether the server has answered the last wish.
    pub(crate) fn is_answered(&self) -> bool {
        let wish = self.0.load(WISH);
        wish != 0 && self.0.load(DONE) == wish
    }

    /// Why the server does not use the connection any more; an error of an earlier one is none.
    pub(crate) fn error(&self) -> u32 {
        let word = self.0.load(ERROR);
        if word & !KIND == self.0.load(WISH) & !KIND {
            word & KIND
        } else {
            0
        }
    }

    /// The wish that is not answered yet.
    pub(crate) fn seen(&self, answered: u32) -> Option<Seen> {
        let word = self.0.load(WISH);
        if word == answered {
            return None;
        }
        let wish = match word & KIND {
            DOWN => Some(Wish::Down),
            CONNECT => Some(self.again()),
            _ => None,
        };
        Some(Seen { word, wish })
    }

    pub(crate) fn answer(&self, word: u32) {
        self.0.store(DONE, word);
    }

    /// The connection of wish `word` is not used any more for this reason.
    pub(crate) fn fail(&self, word: u32, error: u32) {
        self.0.store(ERROR, word & !KIND | error & KIND);
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::vec::Vec;

    /// Whatever number stands for what a VMM wants, two of them mean something.
    #[test]
    fn nonsense_is_answered_and_is_no_wish() {
        let words: Vec<AtomicU32> = (0..Words::FIRST + Words::COUNT)
            .map(|_| AtomicU32::new(0))
            .collect();
        let control = Control::new(&words).unwrap();
        for kind in 0..=KIND {
            let word = 1 << KIND_BITS | kind;
            control.0.store(WISH, word);
            let seen = control.seen(0).unwrap();
            let expected = match kind {
                DOWN => Some(Wish::Down),
                CONNECT => Some(control.again()),
                _ => None,
            };
            assert_eq!((seen.word, seen.wish), (word, expected));
            control.answer(seen.word);
            assert!(control.is_answered());
            assert_eq!(control.seen(seen.word), None);
        }
    }
}
