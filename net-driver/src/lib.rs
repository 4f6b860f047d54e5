//! The driver of a board's network device, as the net server has it.
//!
//! Whoever drives a device that reads and writes memory by itself can reach all memory where no
//! SMMU confines the device. So there is nothing else here: frames are copied between the device's
//! buffers, which nobody else reaches, and the region that the driver shares with the net server,
//! which the device does not reach. Guests, their addresses and what may leave are the net
//! server's.
//!
//! # What is trusted
//! The net server may send anything. What is no frame, is too long for the device, or leaves
//! something to be done is passed by and counted. The device itself is believed: it can do what it
//! likes anyway.
//!
//! # Modules
//! - [`Driver`]: turns. [`Device`]: what it asks of a device. [`virtio`]: a virtio network device
//!   as one.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

mod driver;
pub mod virtio;

pub use driver::{Counters, Device, Driver, Turn};
