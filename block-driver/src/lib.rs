//! The driver of a board's disks, as the block server has it.
//!
//! Whoever drives a device that reads and writes memory by itself can reach all memory where no
//! SMMU confines the device. So there is nothing else here: requests come in from the block server
//! alone, are checked again, and go to the device; answers go back. Partitions, guests and who may
//! do what are the block server's.
//!
//! # What is trusted
//! The block server may ask for anything. A request names one of the driver's devices, sectors that
//! the device has, and bytes within one of the areas whose addresses the driver was given; what
//! does not is answered with an error and never reaches a device. The device itself is believed: it
//! can do what it likes anyway.
//!
//! # Modules
//! - [`Driver`]: turns. [`Device`]: what it asks of a device. [`virtio`]: words of a virtio block
//!   device.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

mod driver;
pub mod virtio;

pub use driver::{Device, Driver, Turn};
