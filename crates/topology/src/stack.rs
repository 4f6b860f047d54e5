//! Bytes of the protection domains' stacks.

/// VMMs and the memory server, whose calls go deep.
pub const LARGE: u64 = 0x1_0000;
/// Everybody else.
pub const SMALL: u64 = 0x8000;
