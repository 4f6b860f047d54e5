//! Keys of the console's monitor that it passes on to a server.

/// To the memory server: asks for the dump of its state.
pub const MEMORY: u8 = b'm';
/// The xenstore server does what the words behind it say.
pub const STORE: u8 = b't';
