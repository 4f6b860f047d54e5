//! Children of the fault server, numbered.
//!
//! VMMs and the servers that every system has have the numbers that they have as clients of the
//! console ([`crate::console_client`]); the gates follow, and then who is not everywhere.

use crate::{MAX_DOMAINS, console_client};

/// The gate of VMM `i` is this plus `i`.
pub const GATE: usize = console_client::XENSTORE_SERVER + 1;
/// The pulse.
pub const PULSE: usize = GATE + MAX_DOMAINS;
/// The block server.
pub const BLOCK_SERVER: usize = PULSE + 1;
/// The block driver.
pub const BLOCK_DRIVER: usize = PULSE + 2;
/// The peer server.
pub const PEER_SERVER: usize = PULSE + 3;
/// The wiper.
pub const WIPER: usize = PULSE + 4;
/// The net server.
pub const NET_SERVER: usize = PULSE + 5;
/// The net driver: the number that the fault server, who is nobody's child, has at the console. Two
/// slots of the fault server's CNode go with each number, and the others are taken.
pub const NET_DRIVER: usize = console_client::FAULT_SERVER;
/// Number of children at most.
pub const COUNT: usize = PULSE + 6;
