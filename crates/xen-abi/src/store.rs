//! The xenstore ring and its messages (public/io/xs_wire.h).
//!
//! A message is a header of [`HEADER`] bytes and at most [`PAYLOAD_MAX`] bytes of payload. An
//! answer repeats type, request and transaction of its request; an error is an answer of type
//! [`kind::ERROR`] whose payload is the name of the error with a NUL, see [`crate::Errno::name`].

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The page shared with the store (`xenstore_domain_interface`): offsets in bytes.
///
/// The indices run freely modulo 2^32; the byte is found by masking with [`SIZE`](ring::SIZE) less
/// one.
pub mod ring {
    /// Bytes of either ring.
    pub const SIZE: u32 = 1024;
    /// Requests, from the guest to the store.
    pub const REQ: u16 = 0;
    /// Answers and events, from the store to the guest.
    pub const RSP: u16 = 1024;
    /// `req_cons`, `u32`, written by the store.
    pub const REQ_CONS: u16 = 2048;
    /// `req_prod`, `u32`, written by the guest.
    pub const REQ_PROD: u16 = 2052;
    /// `rsp_cons`, `u32`, written by the guest.
    pub const RSP_CONS: u16 = 2056;
    /// `rsp_prod`, `u32`, written by the store.
    pub const RSP_PROD: u16 = 2060;
    /// `server_features`, `u32`, written by the store: [`feature`](super::feature).
    pub const SERVER_FEATURES: u16 = 2064;
    /// `connection`, `u32`: [`CONNECTED`](super::CONNECTED) or [`RECONNECT`](super::RECONNECT).
    pub const CONNECTION: u16 = 2068;
    /// `error`, `u32`, written by the store: [`error`](super::error).
    pub const ERROR: u16 = 2072;
}

/// Features that a store offers, a bit each.
pub mod feature {
    /// The guest may ask for a fresh ring.
    pub const RECONNECTION: u32 = 1;
    /// The ring has an error field.
    pub const ERROR: u32 = 2;
    /// A watch may be limited in depth.
    pub const WATCH_DEPTH: u32 = 4;
    /// Permissions may name all domains at once.
    pub const DOMID_ANY: u32 = 8;
}

/// `connection`: the ring may be used.
pub const CONNECTED: u32 = 0;
/// `connection`: the guest, or whoever made the page, waits for the store to begin afresh.
pub const RECONNECT: u32 = 1;

/// Why the store does not use a ring any more.
pub mod error {
    /// It does.
    pub const NONE: u32 = 0;
    /// The event channel does not work.
    pub const COMM: u32 = 1;
    /// An index is impossible.
    pub const RING_INDEX: u32 = 2;
    /// A payload is too long.
    pub const PROTOCOL: u32 = 3;
}

/// Bytes of a header.
pub const HEADER: usize = 16;
/// Most bytes of a payload.
pub const PAYLOAD_MAX: usize = 4096;

/// Types of messages (`xsd_sockmsg_type`).
pub mod kind {
    /// Controls the store; privileged.
    pub const CONTROL: u32 = 0;
    /// Children of a node: path.
    pub const DIRECTORY: u32 = 1;
    /// Value of a node: path.
    pub const READ: u32 = 2;
    /// Permissions of a node: path.
    pub const GET_PERMS: u32 = 3;
    /// Asks to be told of changes: path, token, perhaps depth.
    pub const WATCH: u32 = 4;
    /// Ends a watch: path, token.
    pub const UNWATCH: u32 = 5;
    /// Begins a transaction: nothing.
    pub const TRANSACTION_START: u32 = 6;
    /// Ends a transaction: `T` to commit, `F` to abandon.
    pub const TRANSACTION_END: u32 = 7;
    /// Connects a domain; privileged.
    pub const INTRODUCE: u32 = 8;
    /// Disconnects a domain; privileged.
    pub const RELEASE: u32 = 9;
    /// Directory of a domain: its id.
    pub const GET_DOMAIN_PATH: u32 = 10;
    /// Writes the value of a node: path, value without a NUL.
    pub const WRITE: u32 = 11;
    /// Makes a node: path.
    pub const MKDIR: u32 = 12;
    /// Removes a node and everything below it: path.
    pub const RM: u32 = 13;
    /// Sets permissions of a node: path, permissions.
    pub const SET_PERMS: u32 = 14;
    /// From the store: something changed: path, token.
    pub const WATCH_EVENT: u32 = 15;
    /// From the store: an error.
    pub const ERROR: u32 = 16;
    /// Whether a domain is connected; privileged.
    pub const IS_DOMAIN_INTRODUCED: u32 = 17;
    /// A domain goes on; privileged.
    pub const RESUME: u32 = 18;
    /// A domain may act for another; privileged.
    pub const SET_TARGET: u32 = 19;
    /// Ends all watches and transactions: a byte that means nothing.
    pub const RESET_WATCHES: u32 = 21;
    /// Children of a node from a byte on: path, number of the byte.
    pub const DIRECTORY_PART: u32 = 22;
    /// Features of the store: nothing; those of another domain are privileged.
    pub const GET_FEATURE: u32 = 23;
    /// Sets features; privileged.
    pub const SET_FEATURE: u32 = 24;
    /// Tells a quota; privileged.
    pub const GET_QUOTA: u32 = 25;
    /// Sets a quota; privileged.
    pub const SET_QUOTA: u32 = 26;
}

/// `xsd_sockmsg`: what a message begins with.
#[derive(
    Clone, Copy, PartialEq, Eq, Debug, Default, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct Header {
    /// [`kind`].
    pub kind: u32,
    /// Number that the guest gave the request; 0 in an event.
    pub req_id: u32,
    /// Transaction, or 0.
    pub tx_id: u32,
    /// Bytes that follow.
    pub len: u32,
}
layout!(Header, 16; kind @ 0, req_id @ 4, tx_id @ 8, len @ 12);
