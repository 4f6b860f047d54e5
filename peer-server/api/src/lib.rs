//! Event channels and grants between domains: what the peer server, and the VMMs at both ends,
//! share.
//!
//! The peer server alone says where a channel ends. It keeps a page of [`Ends`] for each domain
//! that meets another one: for each port of the domain the domain and port at the other end. The
//! domain's VMM has that page read-only and asks for changes by [`Request`]. A change concerns both
//! ends and is made before the answer, so nobody has to be told of it.
//!
//! An event goes from VMM to VMM. A pair of domains has a page of port bits ([`PairPage`]) and a
//! notification: the sender looks up the other end, sets the bit of that port and notifies. The
//! receiver accepts a bit only if its own page of ends says that the port is bound to that domain.
//! So a VMM that was taken over can do no more to its peer than its guest could: send events over
//! channels that it has.
//!
//! A grant that another domain gives is mapped by [`Request::Map`]. Where its page lies only the
//! VMM of its owner knows. So who finds that it is not known *wants* it ([`PairPage::want`]): the
//! owner's VMM looks into its guest's grant table, and tells the server the slot of the page
//! ([`Request::Offer`]), for which it may have to split a block. Whoever wants it tries again.
//!
//! # Key types
//! - [`PeerPort`]: what the hypervisor core uses, and [`Client`], which does it.
//! - [`Ends`], [`End`]: where ports end.
//! - [`PairPage`]: the bits of events on their way.
//! - [`Request`], [`Error`]: what a VMM asks the server.
#![no_std]
#![forbid(unsafe_code)]

mod client;
mod ends;
mod pair_page;
mod wire;

pub use client::{Client, NoPeers, PeerPort};
pub use ends::{ENDS_WORDS, End, Ends};
pub use ipc::Message;
pub use pair_page::{PAIR_WORDS, PairPage};
pub use wire::{Error, NO_SLOT, Request, crash, read_crash, read_reply, reply};

/// Highest port of a guest (Xen's `max_evtchn_port` of a domain from the device tree).
pub const MAX_PORT: u16 = 1023;
/// Most messages that an end takes ([`Request::End`], [`crash`]), however many grants were mapped.
pub const MOST_ENDS: u32 = 2048;
/// Most words of a request.
pub const MAX_WORDS: usize = 4;

/// Most channels of a system that there are from the start.
pub const CHANNELS_MAX: usize = 64;

/// A channel that there is from the start (Xen's "xen,evtchn-v1").
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct StaticChannel {
    /// The end whose node comes first in the file, and the other one, which has an event pending at
    /// its start: number of the domain from 0, and port.
    pub ends: [(u8, u16); 2],
}
