//! Clients of the console, numbered: VMM `i` is client `i`, the servers follow.

use crate::MAX_DOMAINS;

/// The memory server.
pub const MEMORY_SERVER: usize = MAX_DOMAINS;
/// The dt-server.
pub const DT_SERVER: usize = MAX_DOMAINS + 1;
/// The timer server.
pub const TIMER_SERVER: usize = MAX_DOMAINS + 2;
/// The fault server.
pub const FAULT_SERVER: usize = MAX_DOMAINS + 3;
/// The xenstore server.
pub const XENSTORE_SERVER: usize = MAX_DOMAINS + 4;
/// The block server.
pub const BLOCK_SERVER: usize = MAX_DOMAINS + 5;
/// The net server.
pub const NET_SERVER: usize = MAX_DOMAINS + 6;
/// Number of clients at most.
pub const COUNT: usize = MAX_DOMAINS + 7;
