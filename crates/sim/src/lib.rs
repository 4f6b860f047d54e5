//! The whole system in one host process.
//!
//! * [`caps`]: a model of seL4's capabilities, address spaces and memory.
//! * [`memory`]: the memory server over it.
//! * [`system`]: all servers and VMMs on virtual time; [`domains`] says which.
//! * [`guest`]: guests that execute what a test tells them to.
#![forbid(unsafe_code)]

mod block;
mod bus;
pub mod caps;
pub mod domains;
mod gicv;
pub mod guest;
mod host;
mod invariants;
pub mod meddler;
pub mod mem_host;
pub mod memory;
mod net;
pub mod peers;
mod serial;
mod store;
pub mod system;
mod vcpu;
mod vmm;

pub use bus::FREQUENCY;
pub use domains::{Domain, SharedMemory};
pub use guest::{Guest, Ran, Way};
pub use serial::Serial;
pub use system::System;
