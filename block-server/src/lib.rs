//! Disks for guests: who may use which part of which disk, and when.
//!
//! The server knows devices by what they can do, never how: a driver moves sectors between a device
//! and the data areas that VMMs and the server share, and RAM disks are files of the image. What a
//! guest may use is said by the domains file: a whole disk, a partition, or a file.
//!
//! # Nothing is trusted
//! Requests are checked by `block-server-api` and against the disk that they name. A partition
//! table is believed as far as its checksums and bounds hold ([`gpt`]). Answers of drivers end only
//! what is under way.
//!
//! # Fairness
//! Requests of all guests are under way together; `share` says whose is begun next. A turn does a
//! bounded part of what there is to do.
//!
//! # Modules
//! - [`Server`]: turns; `volume`: what a guest has; `flight`: commands under way; `share`.
//! - [`gpt`]: partition tables; [`ram`]: RAM disks; [`Devices`]: what is asked of all devices;
//!   [`Driven`]: those with a driver elsewhere.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

mod devices;
mod driven;
mod drives;
mod flight;
pub mod gpt;
mod notice;
pub mod ram;
mod server;
mod share;
mod volume;

pub use devices::{Area, Command, Devices, MAX_DEVICES};
pub use driven::Driven;
pub use drives::{Drives, Hardware, NoHardware, RAM_DISKS};
pub use flight::{FLIGHTS, FLIGHTS_OF_DEVICE};
pub use notice::Notice;
pub use server::{Server, Turn};

#[cfg(test)]
mod testing;
