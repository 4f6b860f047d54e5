//! Bytes of the protection domains' stacks.
//!
//! Each is more than the deepest chain of direct calls in the machine code takes, the same on all
//! boards and configurations, by a fifth at least, for calls through pointers, which that leaves
//! out. Below a stack is a page that is not mapped: who needs more stops, and the fault server says
//! why.

/// VMMs, which carry what they keep of eight vCPUs about when they begin.
pub const VMM: u64 = 0x2_0000;
/// The xenstore server, and servers and drivers with queues.
pub const LARGE: u64 = 0xc000;
/// The memory server, the dt-server, which reads a tree, and the block driver.
pub const MEDIUM: u64 = 0x8000;
/// Everybody else.
pub const SMALL: u64 = 0x4000;
/// Gates, the pulse and the wiper, which call one function.
pub const GATE: u64 = 0x1000;
