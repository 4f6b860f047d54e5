//! Bytes of the protection domains' stacks.

/// VMMs, which carry what they keep of eight vCPUs about when they begin.
pub const VMM: u64 = 0x2_8000;
/// The memory server, whose calls go deep.
pub const LARGE: u64 = 0x1_0000;
/// Gates, the pulse and the wiper, which call one function.
pub const GATE: u64 = 0x1000;
/// Everybody else.
pub const SMALL: u64 = 0x8000;
