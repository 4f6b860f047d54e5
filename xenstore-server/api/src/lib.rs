//! Geometry of the memory that the xenstore server shares with each VMM, and its two ends.
//!
//! A VMM moves the bytes of its guest's requests from the guest's page into a ring, and those of
//! answers and events from another ring into the page; it does not look at them. What is not bytes
//! of the guest's goes through a few words beside the rings ([`Wish`]): that a guest begins to
//! live, that it wants its connection afresh, and that it has ended.
//!
//! # A fresh connection
//! Each wish has a number. The VMM makes one and moves nothing until the server has answered with
//! the same number. The server drops everything of the connection, takes what is left in the ring
//! of requests, and answers; it puts nothing into the other ring before the next request, so what
//! the VMM finds there when it sees the answer is old, and is dropped.
//!
//! # Key types
//! - [`Region`]: the shared memory.
//! - [`Client`]: the VMM's end, a [`StorePort`]; [`ServerEnd`]: the server's.
#![no_std]
#![forbid(unsafe_code)]

mod client;
mod control;
mod region;

pub use client::{Client, NoStore, StorePort};
pub use control::{Seen, Wish};
pub use region::{HEADER_SIZE, REGION_SIZE, RING_SIZE, Region, ServerEnd};

/// What a domain may have. The numbers are those of C xenstored in Xen 4.22, which refuses the
/// first that reaches one: 999 nodes, 127 watches, 9 transactions, 4 permissions, 2047 bytes.
pub mod quota {
    /// Nodes that a domain owns.
    pub const NODES: u32 = 1000;
    /// Watches.
    pub const WATCHES: u32 = 128;
    /// Open transactions.
    pub const TRANSACTIONS: u32 = 10;
    /// Nodes that a transaction has to do with.
    pub const TRANSACTION_NODES: u32 = 1024;
    /// Permissions of a node.
    pub const PERMISSIONS: usize = 5;
    /// Bytes of a path behind `/local/domain/N/`.
    pub const PATH: usize = 2048;
    /// Bytes of a node: 16, 8 for each permission, value, and the names of its children with a NUL
    /// each.
    pub const NODE_SIZE: usize = 2048;
    /// Answers that wait for room in the ring; with so many no request is read.
    pub const OUTSTANDING: u32 = 20;
    /// Bytes of everything that the server keeps for a domain.
    pub const MEMORY: u32 = 0x28_0000;
}
