//! What `zazen` and the image builder do with a domains file on the host.
//!
//! [`load`] compiles and checks it and finds the files that it names; [`generate`] writes the
//! Microkit system description for it. The rules themselves are `dt-server`'s, so that the host
//! and the dt-server's protection domain can never disagree about a file.
#![forbid(unsafe_code)]

#[cfg(feature = "cli")]
pub mod check;
#[cfg(feature = "cli")]
pub mod command;
#[cfg(feature = "cli")]
pub mod docs;
mod dtc;
#[cfg(feature = "cli")]
pub mod explain;
mod files;
pub mod generate;
pub mod limits;
pub mod load;
pub mod locate;
pub mod system;
mod xml;

pub use board;
