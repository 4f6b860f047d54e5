//! Boots images in QEMU and looks at what a person at the serial line would see.
//!
//! A [`machine::Machine`] is one QEMU with its serial line; a [`suite::Suite`] runs named tests,
//! prints a line for each and counts. What is tested is in [`scenes`]; the `boot-tests` binary
//! puts them together. `cargo test` runs none of it: images need an SDK, see `./build.sh test`.
#![forbid(unsafe_code)]

pub mod debugger;
pub mod machine;
pub mod requirements;
pub mod scenes;
pub mod suite;
pub mod write_log;
