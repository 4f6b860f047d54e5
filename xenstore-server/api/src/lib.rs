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
//! # Back ends
//! A second pair of rings is for the back ends of the guest, which live in its VMM and are domain 0
//! to it: [`BackendStore`]. Its messages are those of a guest. Of the pairs of nodes that there are
//! a description tells the server, [`Devices`].
//!
//! # Key types
//! - [`Region`]: the shared memory.
//! - [`Client`]: the VMM's end, a [`StorePort`] and a [`BackendStore`]; [`ServerEnd`]: the
//!   server's.
#![no_std]
#![forbid(unsafe_code)]

mod back;
mod client;
mod control;
mod devices;
mod facts;
mod region;

pub use back::{BackendStore, Heard, Request};
pub use client::{Client, NoStore, StorePort};
pub use control::{Seen, Wish};
pub use devices::{DEVICES_BYTES, Device, Devices, Disk, Nic, Node, Unfit};
pub use facts::{Facts, NAME_MAX};
pub use region::{HEADER_SIZE, Pipe, REGION_SIZE, RING_SIZE, Region, ServerEnd, Wishes};

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
    /// Bytes of everything that it keeps for the domain's back ends.
    pub const BACK_MEMORY: u32 = 0x4_0000;
}
