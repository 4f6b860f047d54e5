//! Xenstore: a tree of small values that all domains share, with permissions, transactions and
//! watches, as C xenstored of Xen 4.22 has it for guests.
//!
//! The server never sees guest memory: VMMs move bytes between their guests' pages and the rings of
//! `xenstore-server-api`. It is the toolstack too: each guest's nodes come from the domains file
//! and go with the guest.
//!
//! # Bounds
//! A turn does at most one request for each guest, and a request takes at most about what it takes
//! to look at all nodes, watches and messages that guests may have. All memory is [`Cell`]s; each
//! guest has a share that the others cannot use. A guest that does not take its messages is not
//! listened to when
//! [`quota::OUTSTANDING`](xenstore_server_api::quota::OUTSTANDING) answers wait; events beyond its
//! share are lost to it alone.
//!
//! # Modules
//! - `server`: turns; `ops`: the operations; `toolstack`: nodes that guests begin with; `monitor`:
//!   what somebody at the console wants.
//! - `store`: looking and changing with somebody's eyes; `transaction`, `watch`, `queue`, `credit`.
//! - `tree`: nodes by path; `pool`: memory, of `cell`s; `perms`, `path`, `text`: what payloads are
//!   made of.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

mod cell;
mod credit;
mod monitor;
mod ops;
mod path;
mod peer;
mod perms;
mod pool;
mod queue;
mod server;
mod store;
mod text;
mod toolstack;
mod transaction;
mod tree;
mod watch;
mod who;

pub use cell::Cell;
pub use pool::cells;
pub use server::{Server, Turn};
pub use xenstore_server_api::Facts;
