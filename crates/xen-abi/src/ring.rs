//! Rings of requests and responses that a front end shares with its back end (public/io/ring.h).
//!
//! A ring is one or more pages: indices at the front, then slots that both requests and responses
//! use.

/// Requests that the front end has put there: offset in bytes, as of the others.
pub const REQ_PROD: u16 = 0;
/// The request at which the back end wants to be told.
pub const REQ_EVENT: u16 = 4;
/// Responses that the back end has put there.
pub const RSP_PROD: u16 = 8;
/// The response at which the front end wants to be told.
pub const RSP_EVENT: u16 = 12;
/// Bytes in front of the first slot.
pub const HEADER: u32 = 64;

/// Slots of `size` bytes of a ring of `pages` pages: as many as fit, rounded down to a power of
/// two.
pub const fn slots(pages: u32, size: u32) -> u32 {
    let room = pages.saturating_mul(4096).saturating_sub(HEADER);
    let fit = match room.checked_div(size) {
        Some(fit) => fit,
        None => 0,
    };
    match fit.checked_ilog2() {
        Some(log) => 1 << log,
        None => 0,
    }
}
