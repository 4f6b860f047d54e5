//! The guest's memory: its physical map, the pointers in its arguments, and the window through
//! which the VMM sees both.

pub mod guest_ptr;
pub mod p2m;
pub mod pages;
