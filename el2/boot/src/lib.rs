//! What the EL2 image and the tool that packs it have in common.
//!
//! * [`payload`]: the files behind the program in an image file.
//! * [`ram`]: which RAM nobody has claimed.
//! * [`plan`]: what the memory server is handed, and how much the host keeps for itself.
//!
//! The packer decides where the image is loaded, so that it collides with nothing that the domains
//! file names; the rest is decided at boot, by the same rules.
#![no_std]
#![forbid(unsafe_code)]

pub mod payload;
pub mod plan;
pub mod ram;

pub use payload::{Payload, PayloadError};
pub use plan::{Plan, PlanError};
pub use ram::Ram;
