//! How requests between protection domains lie in message registers.
//!
//! A message is a label and some words of 64 bits. [`requests!`] declares the requests of a server:
//! each with its label, whether it may be repeated ([`Repeat`]), and its fields; a field is one or
//! more words ([`Field`]). What anybody may have sent is read with [`Reader`], which refuses words
//! that are missing, too many or out of range.
//!
//! Fields are fixed words, written where they are sent from: nothing is serialised into bytes, and
//! nothing is allocated.
#![no_std]
#![forbid(unsafe_code)]

mod field;
mod requests;

pub use field::{Field, Reader, Writer};

/// A message as it travels: a label and the words in use, wherever they lie.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Message<'w> {
    /// Operation of a request; in a reply 0 for success or the number of an error.
    pub label: u64,
    /// The words in use.
    pub words: &'w [u64],
}

impl<'w> Message<'w> {
    /// A message of `label` and `words`, written to `into`; words that `into` has no room for are a
    /// bug of the caller and cut.
    #[inline]
    pub fn put(into: &'w mut [u64], label: u64, words: &[u64]) -> Self {
        for (to, from) in into.iter_mut().zip(words) {
            *to = *from;
        }
        Self {
            label,
            words: into.get(..words.len()).unwrap_or(&[]),
        }
    }

    /// Its words, if there are as many as that.
    #[inline]
    pub fn exactly<const N: usize>(&self) -> Option<[u64; N]> {
        self.words.try_into().ok()
    }
}

/// Whether a client that has no answer may send a request again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Repeat {
    /// Whenever it likes: a second one finds everything as the first left it, and has the same
    /// effect and answer.
    Idempotent,
    /// Until the answer says that it is done: each does a bounded part and goes on where the one
    /// before stopped.
    Continues,
    /// Only where the server says that it has not been done, or not to its end: each one does
    /// something.
    Once,
}

/// A row of a server's requests.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Operation {
    /// Label of its messages.
    pub label: u64,
    /// Name of the variant.
    pub name: &'static str,
    /// Whether it may be repeated.
    pub repeat: Repeat,
}
