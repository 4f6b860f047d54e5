//! What the block server shares with each VMM, and its two ends.
//!
//! There are two regions for each pair of them, which nobody else has: one with queues and words
//! ([`Region`]), and a *data area*, from which the server writes to a disk and to which it reads.
//! The VMM alone decides which bytes of the data area are used for what; a request says offset and
//! length there. A request names one of up to [`MAX_DISKS`] disks by its number for this VMM.
//!
//! # Key types
//! - [`Region`]: queues and words. [`Client`] is the VMM's end, a [`DiskPort`]; [`ServerEnd`] the
//!   server's.
//! - [`Request`], [`Answer`]: what goes through the queues (the fields of sDDF's block queue).
//! - [`DiskInfo`]: what the server says about a disk.
//! - [`VolumeSpec`]: what the domains file says of one; the image builder has it in bytes,
//!   [`wire`].
//!
//! # Neither side trusts the other
//! Queues are [`ring`]s of words with their rule about indices. The server takes no request for
//! whose answer there might be no room, so it never waits for a VMM. It checks each field; a
//! request that makes no sense is answered with [`Status::Invalid`]. The VMM believes an answer
//! only if a request with its number is under way; what it has no number for is its own business
//! (`hypervisor-core`).
//!
//! # Drivers
//! A driver that is a protection domain of its own speaks the same way with the block server, whose
//! server it is: [`driver`].
//!
//! # Wake-ups
//! Each side notifies the other only if that has taken all that was there before (`ring`). After
//! [`DiskPort::submit`] comes [`DiskPort::kick`], once for as many requests as there are; after
//! [`ServerEnd::answer`] the server asks [`ServerEnd::take_notify`]. Who sleeps looks at its queue
//! once more before.
//!
//! # The end of a server
//! A server that stops for good says [`ServerEnd::leave`]. For one that crashed somebody else who
//! learns of it says [`Region::mark_lost`] or tells the VMM, which calls [`Client::lose`]. From
//! then on [`DiskPort::is_lost`] is true, nothing is submitted and nothing answered; what was under
//! way has failed.
#![no_std]
#![forbid(unsafe_code)]

mod client;
mod disk;
pub mod driver;
mod region;
mod request;
mod server;
mod volume;
pub mod wire;

pub use client::{Client, DiskPort};
pub use disk::{DiskInfo, Presence};
pub use region::{HEADER_SIZE, Region};
pub use request::{Answer, Op, Refused, Request, Status};
pub use server::ServerEnd;
pub use volume::{LABEL_MAX, Part, VolumeSpec};

/// Most disks of one VMM.
pub const MAX_DISKS: usize = 8;
/// Bytes of a sector, in which offsets and lengths count, whatever a disk's own sectors are.
pub const SECTOR: u32 = 512;
/// Bytes of the data area of one VMM.
pub const DATA_SIZE: u32 = 1 << 20;
/// Most requests of one VMM that are under way.
pub const QUEUE_LEN: usize = 128;
