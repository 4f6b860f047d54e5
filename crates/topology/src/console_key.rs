//! Keys of the console's monitor that it passes on to a server.

/// To the memory server: asks for the dump of its state.
pub const MEMORY: u8 = b'm';
/// To the net server: asks what each interface sent, received and lost.
pub const NETS: u8 = b'n';
/// The xenstore server does what the words behind it say.
pub const STORE: u8 = b't';
