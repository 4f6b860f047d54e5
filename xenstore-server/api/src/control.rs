//! The words beside the rings.
//!
//! Each side has words of its own and reads the other's; neither waits. A VMM that writes nonsense
//! does no more to its connection than its guest can.

use ring::sync::{AtomicU32, Ordering};

/// First word of the block in the header page; the rings' headers are before it.
pub(crate) const CONTROL: usize = 128;
/// Words of the block.
pub(crate) const CONTROL_WORDS: usize = 8;

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
pub(crate) struct Control<'a>(&'a [AtomicU32]);

impl<'a> Control<'a> {
    /// The block in a region's header page; `None` where that is too short.
    pub(crate) fn new(header: &'a [AtomicU32]) -> Option<Self> {
        Some(Self(header.get(CONTROL..CONTROL + CONTROL_WORDS)?))
    }

    fn load(&self, at: usize) -> u32 {
        self.0
            .get(at)
            .map_or(0, |word| word.load(Ordering::Acquire))
    }

    fn store(&self, at: usize, value: u32) {
        if let Some(word) = self.0.get(at) {
            word.store(value, Ordering::Release);
        }
    }

    /// Makes the VMM's next wish.
    pub(crate) fn wish(&self, wish: Wish) {
        let number = (self.load(WISH) >> KIND_BITS).wrapping_add(1);
        let kind = match wish {
            Wish::Down => DOWN,
            Wish::Connect { life, port, gfn } => {
                self.store(LIFE, life);
                self.store(PORT, port);
                let [low, high] = GFN;
                #[expect(clippy::cast_possible_truncation, reason = "the high word follows")]
                self.store(low, gfn as u32);
                self.store(high, (gfn >> 32) as u32);
                CONNECT
            }
        };
        self.store(WISH, number << KIND_BITS | kind);
    }

    /// The life that was told last.
    pub(crate) fn life(&self) -> u32 {
        self.load(LIFE)
    }

    /// A connection for the guest that was told last.
    pub(crate) fn again(&self) -> Wish {
        let [low, high] = GFN.map(|at| u64::from(self.load(at)));
        Wish::Connect {
            life: self.load(LIFE),
            port: self.load(PORT),
            gfn: high << 32 | low,
        }
    }

    /// Whether the server has answered the last wish.
    pub(crate) fn is_answered(&self) -> bool {
        let wish = self.load(WISH);
        wish != 0 && self.load(DONE) == wish
    }

    /// Why the server does not use the connection any more; an error of an earlier one is none.
    pub(crate) fn error(&self) -> u32 {
        let word = self.load(ERROR);
        let mask = (1 << KIND_BITS) - 1;
        if word & !mask == self.load(WISH) & !mask {
            word & mask
        } else {
            0
        }
    }

    /// The wish that is not answered yet.
    pub(crate) fn seen(&self, answered: u32) -> Option<Seen> {
        let word = self.load(WISH);
        if word == answered {
            return None;
        }
        let wish = match word & ((1 << KIND_BITS) - 1) {
            DOWN => Some(Wish::Down),
            CONNECT => Some(self.again()),
            _ => None,
        };
        Some(Seen { word, wish })
    }

    pub(crate) fn answer(&self, word: u32) {
        self.store(DONE, word);
    }

    /// The connection of wish `word` is not used any more for this reason.
    pub(crate) fn fail(&self, word: u32, error: u32) {
        let mask = (1 << KIND_BITS) - 1;
        self.store(ERROR, word & !mask | error & mask);
    }
}
