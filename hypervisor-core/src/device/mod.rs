//! The devices that a guest finds: its interrupt controller and its consoles.

pub mod pv_console;
pub mod vgic;
pub mod vpl011;
