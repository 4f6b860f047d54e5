//! What a VMM and the net server share: a region of queues, and frames.
//!
//! A *region* belongs to one VMM and the server. It has a header (the indices and queues of
//! [`Region`]) and a *data area*, in which frames lie. A guest has up to [`MAX_NICS`] interfaces;
//! each has a queue and a part of the data area of its own for either direction, so what one
//! interface does not fetch takes no room from another.
//!
//! # Key types
//! - [`Region`]: queues and words. [`Client`] is the VMM's end, a [`NetPort`]; [`ServerEnd`] the
//!   server's.
//! - [`Frame`]: where a frame lies and how long it is, as in sDDF's network queues, and what is
//!   left to do with it ([`Offload`]).
//! - [`Sender`], [`Receiver`]: the ends of one direction of an interface.
//!
//! # Uplinks
//! The driver of a network device that leads outside stands where a VMM does, with one interface
//! ([`Region::uplink`]). What it sends came from outside; what it receives is to go there, and has
//! at most [`UPLINK_FRAME`] bytes and nothing left to others to do.
//!
//! # Neither side trusts the other
//! Queues are [`ring`]s of words with their rule about indices. Frames are given and taken in
//! order, so the sender alone decides where they lie and knows from the receiver's index which
//! bytes are free again. A receiver checks each [`Frame`] against the part of the data area that it
//! may lie in, and copies bytes before it looks at them.
//!
//! # Wake-ups
//! Each side notifies the other only if that has taken all that was there before (`ring`), or waits
//! for room ([`Receiver::take_starved`]).
//!
//! # The end of a server
//! A server that stops for good says [`ServerEnd::leave`]. For one that crashed somebody else who
//! learns of it says [`Region::mark_lost`] or tells the VMM, which calls [`Client::lose`]. From
//! then on [`NetPort::is_lost`] is true, and nothing comes or goes.
#![no_std]
#![forbid(unsafe_code)]

mod client;
mod frame;
mod queue;
mod region;
mod server;

pub use client::{Client, NetPort};
pub use frame::{Checksum, Frame, Gso, GsoKind, Malformed, Offload};
pub use queue::{Receiver, Sender};
pub use region::{HEADER_SIZE, Region, UPLINK_HEADER_SIZE};
pub use server::ServerEnd;

/// Most interfaces of one VMM.
pub const MAX_NICS: usize = 4;
/// Bytes of the data area of one VMM.
#[expect(clippy::cast_possible_truncation, reason = "four")]
pub const DATA_SIZE: u32 = MAX_NICS as u32 * NIC_DATA;
/// Bytes of it that an interface has.
pub const NIC_DATA: u32 = TO_SERVER + TO_VMM;
/// Bytes for frames that the guest sends.
pub const TO_SERVER: u32 = 192 << 10;
/// Bytes for frames to the guest: more, because who sends does not wait for who receives.
pub const TO_VMM: u32 = 320 << 10;
/// Most frames that wait in one direction of an interface.
pub const QUEUE_LEN: usize = 256;
/// Bytes of the longest frame, without its check sequence.
pub const MAX_FRAME: u32 = 65_535;
/// Bytes of the longest frame that an uplink carries: 1500 of data, two addresses, a type, and a
/// tag of a virtual LAN (IEEE 802.3, 3.2.7).
pub const UPLINK_FRAME: u32 = 1518;
/// Bytes of the shortest: two addresses and a type.
pub const MIN_FRAME: u32 = 14;
