//! Words about a guest for the person who reads its VMM's log.

pub mod fault;
pub mod guest_map;
pub mod line_rate;
