//! Rings over memory that two protection domains share.
//!
//! One side holds the [`Producer`], the other the [`Consumer`]. Both are built over words and
//! cells (bytes, or words for rings of records) that the protection domain's runtime has mapped;
//! this crate itself is safe code.
//!
//! # Key types
//! - [`Header`]: the three words that both sides share (producer index, consumer index, and the
//!   flag by which a producer asks to be woken).
//! - [`Producer::write`], [`Consumer::read`] (or [`Consumer::peek`] and [`Consumer::advance`]).
//! - [`Words`]: a few words beside the headers of two rings.
//! - [`Corrupt`]: what the other side wrote as its index cannot be.
//!
//! # The peer is not trusted
//! Indices run freely modulo 2^32. Each side remembers its own index and only publishes it, so a
//! peer can spoil no more than its own. The peer's index is read once per call and used only if
//! the distance is at most the ring's size; otherwise the ring counts as full for the producer and
//! empty for the consumer, [`Producer::check`] and [`Consumer::check`] say [`Corrupt`], and things
//! go on if the peer puts it right. Cells may change while they are copied; that is the
//! peer's loss.
//!
//! # Wake-ups
//! Two questions decide whether a side may sleep, and in both each side first tells and then looks,
//! with a full fence between, so at least one of them sees what the other told (the argument of
//! Dekker's algorithm):
//! - *Does the consumer know that there are bytes?* The producer stores `prod`, fences and loads
//!   `cons`; the consumer stores `cons`, fences and loads `prod` before it sleeps. If the producer
//!   sees that the consumer has taken everything up to the old `prod`, it must notify
//!   ([`Producer::take_notify`]); otherwise the consumer has yet to look again and will see the
//!   new `prod`.
//! - *Does the producer learn that there is room?* A producer that could not write everything
//!   stores `starved`, fences and loads `cons` again; the consumer stores `cons`, fences and takes
//!   `starved` ([`Consumer::take_starved`]). Either the producer sees the room, or the consumer the
//!   flag.
#![cfg_attr(not(loom), no_std)]
#![forbid(unsafe_code)]
#![allow(
    unexpected_cfgs,
    reason = "`loom` is set by hand for the model-checking test alone"
)]

mod cell;
mod consumer;
mod header;
mod producer;
mod words;

pub use cell::Cell;
pub use consumer::Consumer;
pub use header::{Corrupt, HEADER_WORDS, Header};
pub use producer::Producer;
pub use words::Words;

/// The atomics of the machine, or loom's when the model checker runs.
pub mod sync {
    #[cfg(not(loom))]
    pub use core::sync::atomic::{AtomicU8, AtomicU32, Ordering, fence};
    #[cfg(loom)]
    pub use loom::sync::atomic::{AtomicU8, AtomicU32, Ordering, fence};
}
