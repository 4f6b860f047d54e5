//! Children of the fault server, numbered.
//!
//! A client of the console has the number that it has there ([`crate::console_client`]); the gates
//! follow.

use crate::{MAX_DOMAINS, console_client};

/// The gate of VMM `i` is this plus `i`.
pub const GATE: usize = console_client::COUNT;
/// The pulse.
pub const PULSE: usize = GATE + MAX_DOMAINS;
/// Number of children at most.
pub const COUNT: usize = PULSE + 1;
