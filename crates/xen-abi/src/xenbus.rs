//! How front and back ends find each other in the store (public/io/xenbus.h).

/// States of either end (`enum xenbus_state`).
pub mod state {
    /// There is none.
    pub const UNKNOWN: u8 = 0;
    /// It begins.
    pub const INITIALISING: u8 = 1;
    /// The back end has said what it can do, and waits for the front end.
    pub const INIT_WAIT: u8 = 2;
    /// The front end has said what it gives, and waits for the back end.
    pub const INITIALISED: u8 = 3;
    /// It works.
    pub const CONNECTED: u8 = 4;
    /// It stops.
    pub const CLOSING: u8 = 5;
    /// It has stopped.
    pub const CLOSED: u8 = 6;
}
