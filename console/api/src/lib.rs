//! Geometry of the memory that the console server shares with each client, and its two ends.
//!
//! Each client (a VMM or a server) shares one region with the console server: a transmit ring
//! (client to console) and a receive ring (console to client), see the `ring` crate. After writing,
//! a client notifies the console; the console notifies a client when it has put input into the
//! receive ring, or when it has made room in a transmit ring that the client reported full.
//!
//! # Key types
//! - [`Region`]: the shared memory, split into the two rings.
//! - [`Shown`], [`Order`]: what a VMM says of its guest, and what is wanted of it, see `control`;
//!   what its vCPUs have had of the processor, see `times`.
//! - [`Client`]: the client's end, a [`ConsolePort`]; [`ServerEnd`]: the console server's.
//! - [`Logger`]: `core::fmt::Write` by whole lines, for servers that log.
//! - [`GuestPort`]: a VMM's own lines between its guest's.
#![no_std]
#![forbid(unsafe_code)]

mod client;
mod control;
mod guest_port;
mod logger;
mod region;
mod times;

pub use client::Client;
pub use control::{End, Order, Shown, State, VcpuShown, VcpuState};
pub use guest_port::{GuestPort, OWN_MAX};
pub use logger::{LOG_LINE_MAX, Logger};
pub use region::{HEADER_SIZE, Region, ServerEnd};

/// Bytes of the region: header page, transmit data, receive data.
pub const REGION_SIZE: usize = 0x4000;
/// Bytes of the transmit ring's data (a power of two).
pub const TX_SIZE: usize = 0x2000;
/// Bytes of the receive ring's data (a power of two).
pub const RX_SIZE: usize = 0x1000;
/// Longest client name that is shown in front of a line, in bytes.
pub const NAME_MAX: usize = 16;

/// vCPUs of a guest at most.
pub const VCPUS_MAX: usize = 8;
/// Guests at most.
pub const DOMAINS_MAX: usize = 8;

/// A client's two directions as the hypervisor core uses them; never blocks.
pub trait ConsolePort {
    /// Queues as much of `bytes` as fits now and returns how much that was. Where that is less than
    /// all, the console server will notify the client once there is room.
    fn write(&mut self, bytes: &[u8]) -> usize;
    /// Takes input typed for this client, at most `into.len()` bytes; returns how many.
    fn read(&mut self, into: &mut [u8]) -> usize;
    /// Bytes that [`ConsolePort::write`] would take now.
    fn room(&self) -> usize;
}
