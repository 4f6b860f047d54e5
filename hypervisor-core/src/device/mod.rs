//! The devices that a guest finds: its interrupt controller and its consoles.
//!
//! [`model`] says what a device is, [`table`] which there are, [`bus`] where they are. A new device
//! is a file here and a line in the table.

pub mod backend;
pub mod bus;
pub mod console_io;
pub mod model;
mod page_ring;
pub mod pv_block;
pub mod pv_console;
pub mod pv_net;
pub mod table;
pub mod vgic;
pub mod vpl011;
pub mod xenstore;
