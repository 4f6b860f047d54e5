//! Turns a domains file and a Microkit system description into a bootable image.
//!
//! Microkit's own tool gives a protection domain frames, channels and interrupts, but no
//! untyped memory and no CNodes. This one uses its library to do the same and adds, between
//! building the capDL specification and packing it, what the memory server and the VMMs need:
//! the memory server's untypeds and CNodes, each VMM's grant CNode, and the
//! capability to its guest's address space. The SDK stays as it is.
//!
//! Key types: [`Sdk`], [`Needs`] (what the domains file asks for), [`Request`] and [`build`]. The
//! image is written only after the initialiser's allocation was simulated to its end.
#![forbid(unsafe_code)]

mod a64;
mod build;
mod cnodes;
mod common;
mod el2_traps;
mod elf;
mod error;
mod explain;
mod extend;
mod inputs;
mod layout;
mod loader;
mod modules;
mod narrow;
mod needs;
mod order;
mod pack;
mod patch;
mod report;
mod sdk;
mod time;
mod usage;

pub use build::{Request, build, write_file};
pub use error::Error;
pub use needs::{DomainNeeds, Heap, Needs};
pub use report::Report;
pub use sdk::Sdk;
pub use untyped_plan::human;

#[cfg(test)]
mod test_config;
