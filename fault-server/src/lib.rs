//! Says in words which protection domain stopped, and why, and has a VMM's memory taken back.
//!
//! A protection domain (PD) that faults has a defect, or what it looked at was taken from it. seL4
//! then sends a message to its fault handler, here the fault server, and stops it. The fault server
//! writes what happened to its log and never replies, so the PD stays stopped; everybody else goes
//! on. It holds no capability to what has faulted. Where a VMM stopped, it tells the memory server,
//! which takes back what the domain had: that ends the guest too, and others can have its memory
//! (LU-7).
//!
//! # Key types
//! - [`Server`]: from fault messages to lines, and to the memory server.
//! - [`Fault`]: a message, decoded.
//! - [`Who`]: a PD, by its child number.
//! - [`Place`]: what lies at an address of a PD.
//! - [`Spent`]: processor time of vCPUs, for the console.
#![no_std]
#![forbid(unsafe_code)]

mod fault;
mod place;
mod server;
mod spent;
mod who;

pub use fault::{Access, Fault};
pub use place::Place;
pub use server::Server;
pub use spent::Spent;
pub use who::{NAME_BYTES, Names, Users, Who, passive_children, waiting};
