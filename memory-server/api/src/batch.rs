//! Many pages in one message, because a call costs more than the work on a page.
//!
//! | message | words |
//! |---|---|
//! | request | number of items; two items of 32 bits in each word, the first in the low half |
//! | [`Pages`] | number of pages, and above bit 32 the [`Error`] that ended the run; their slots as in a request |
//! | [`Released`] | number of frames, and above bit 32 the error |

use ipc::{Field, Message, Reader, Writer};

use crate::message::Words;
use crate::types::{Error, Slot};

/// Most pages of one request: what bounds the server's work for a message, and that of a VMM for an
/// exit.
pub const MAX_BATCH: usize = 64;

/// Up to [`MAX_BATCH`] guest frames or slots.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Batch {
    len: usize,
    items: [u32; MAX_BATCH],
}

impl Batch {
    /// No items.
    pub const EMPTY: Self = Self {
        len: 0,
        items: [0; MAX_BATCH],
    };

    /// Appends an item; false if the batch is full.
    pub fn push(&mut self, item: u32) -> bool {
        match self.items.get_mut(self.len) {
            Some(place) => {
                *place = item;
                self.len += 1;
                true
            }
            None => false,
        }
    }
    /// The `len` items that are in `words`, all of which they need; `None` if the last one has
    /// something behind them.
    fn of(len: usize, words: &[u64]) -> Option<Self> {
        if words.last().is_some_and(|word| word >> 32 != 0) && !len.is_multiple_of(2) {
            return None;
        }
        let mut batch = Self::EMPTY;
        for (place, word) in batch.items.chunks_mut(2).zip(words) {
            place.copy_from_slice(&halves(*word));
        }
        batch.len = len;
        Some(batch)
    }

    /// The items.
    pub fn items(&self) -> &[u32] {
        self.items.get(..self.len).unwrap_or(&[])
    }
    /// Number of items.
    pub const fn len(&self) -> usize {
        self.len
    }
    /// Whether there are no items.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// The batch of a request: it has 1 to [`MAX_BATCH`] items and no more words than they need.
impl Field for Batch {
    #[inline]
    fn put(&self, writer: &mut Writer<'_>) {
        writer.word(self.len as u64);
        for pair in self.items().chunks(2) {
            writer.word(word_of(pair));
        }
    }

    #[inline]
    fn take(reader: &mut Reader<'_>) -> Option<Self> {
        let len = usize::try_from(reader.word()?).ok()?;
        if !(1..=MAX_BATCH).contains(&len) {
            return None;
        }
        Self::of(len, reader.words(len.div_ceil(2))?)
    }
}

/// One or two items in a word.
fn word_of(pair: &[u32]) -> u64 {
    let half = |n| pair.get(n).copied().map_or(0, u64::from);
    half(0) | half(1) << 32
}

/// Low and high half.
#[expect(clippy::cast_possible_truncation, reason = "halves of the word")]
const fn halves(word: u64) -> [u32; 2] {
    [word as u32, (word >> 32) as u32]
}

/// Pages of RAM that were granted, by their slots, in the order of the request's guest frames. They
/// are mapped nowhere.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pages {
    /// Why there are fewer than asked for. Fewer without an error: one message's work is done, ask
    /// again.
    pub error: Option<Error>,
    slots: Batch,
}

impl Pages {
    /// None so far.
    pub const EMPTY: Self = Self {
        error: None,
        slots: Batch::EMPTY,
    };

    /// Appends a page; what does not fit is a bug of the server and dropped.
    pub fn push(&mut self, page: Slot) {
        self.slots.push(page.0);
    }
    /// Guest-side slots of the pages.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Slot> {
        self.slots.items().iter().map(|slot| Slot(*slot))
    }
    /// Number of pages.
    pub const fn len(&self) -> usize {
        self.slots.len()
    }
    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    pub(crate) fn write<'w>(&self, into: &'w mut Words) -> Message<'w> {
        let (first, rest) = into.split_at_mut(1);
        first[0] = head(self.len(), self.error);
        for (word, pair) in rest.iter_mut().zip(self.slots.items().chunks(2)) {
            *word = word_of(pair);
        }
        Message {
            label: 0,
            words: &into[..1 + self.len().div_ceil(2)],
        }
    }

    pub(crate) fn read(message: Message<'_>, most: usize) -> Result<Self, Error> {
        let (first, words) = message.words.split_first().ok_or(Error::Malformed)?;
        let (len, error) = read_head(*first, most)?;
        if len == 0 || words.len() != len.div_ceil(2) {
            return Err(Error::Malformed);
        }
        let slots = Batch::of(len, words).ok_or(Error::Malformed)?;
        Ok(Self { error, slots })
    }
}

/// How far a [`crate::Request::ReleasePages`] came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Released {
    /// Frames that were taken back, from the first.
    pub done: usize,
    /// Why not the next one.
    pub error: Option<Error>,
}

impl Released {
    pub(crate) fn word(self) -> u64 {
        head(self.done, self.error)
    }

    pub(crate) fn read(message: Message<'_>, most: usize) -> Result<Self, Error> {
        let &[word] = message.words else {
            return Err(Error::Malformed);
        };
        let (done, error) = read_head(word, most)?;
        if done == 0 || (done < most) != error.is_some() {
            return Err(Error::Malformed);
        }
        Ok(Self { done, error })
    }
}

fn head(len: usize, error: Option<Error>) -> u64 {
    len as u64 | error.map_or(0, |error| error as u64) << 32
}

fn read_head(word: u64, most: usize) -> Result<(usize, Option<Error>), Error> {
    let [len, error] = halves(word);
    let len = usize::try_from(len).map_err(|_| Error::Malformed)?;
    if len > most {
        return Err(Error::Malformed);
    }
    Ok(match error {
        0 => (len, None),
        raw => (
            len,
            Some(Error::from_raw(u64::from(raw)).ok_or(Error::Malformed)?),
        ),
    })
}
