//! Requests, replies and errors of the memory server.
//!
//! A VMM proposes, the server decides from its own records. The caller is known by the channel a
//! request arrives on, so no request names a domain; frames are named by the slot of the grant
//! CNode in which the server put their guest-side capability ([`Slot`]).
//!
//! An seL4 frame capability holds one mapping, so a frame that is in the VMM's window has two: a
//! 2 MiB frame or an extra page `slot` for the guest's stage 2 and `slot + 1` for the window
//! ([`Slot::window_cap`]); a page of RAM `slot`, and for the window, while the VMM looks at it, one
//! of [`SIGHTS`] slots.
//!
//! Messages are fixed words: a label and up to [`MAX_WORDS`] words, all 64 bits, wherever the
//! transport has them. Encoding and decoding are here so that both ends share them; a message that
//! does not decode is answered with [`Error::Malformed`] and changes nothing.
#![no_std]
#![forbid(unsafe_code)]

mod batch;
mod crash;
mod lend;
mod message;
mod remember;
mod types;

pub use batch::{Batch, MAX_BATCH, Pages, Released};
pub use crash::Crash;
pub use hv_types::LENDS;
pub use ipc::{Message, Operation, Repeat};
pub use lend::{LendError, Lending, NO_LEND};
pub use message::{MAX_WORDS, Reply, Request, Words};
pub use remember::{RamCount, Remembering};
pub use types::{
    ALIASES, CHUNK_PAGES, Error, Extra, Granted, PROTOCOL_VERSION, Relinquished, SIGHTS, Slot,
    SplitKind, Usage, WINDOW_SLOTS,
};

/// Most messages that a client sends for one request. Alone it needs some dozens at most.
pub const MOST_MESSAGES: u32 = 1024;

/// The memory server as its client sees it: one request, one reply.
///
/// On Microkit a protected procedure call; in `sim` and `el2` a call in place.
pub trait MemoryServer {
    /// Sends `request` in one message and waits for the answer.
    ///
    /// # Errors
    /// The server's refusal, or [`Error::Malformed`] if its reply does not decode; [`Error::Again`]
    /// if the request needs more messages.
    fn send(&mut self, request: Request) -> Result<Reply, Error>;

    /// Sends `request` until it is answered: the server does a bounded part of it for each message.
    ///
    /// Each message gets further, unless others take what it has made ready; then the caller gives
    /// up after [`MOST_MESSAGES`].
    ///
    /// # Errors
    /// As [`MemoryServer::send`]. [`Error::Again`] is left only where others were quicker for
    /// [`MOST_MESSAGES`] messages.
    #[inline]
    fn call(&mut self, request: Request) -> Result<Reply, Error> {
        let answer = self.send(request);
        if matches!(answer, Err(Error::Again)) {
            return self.call_on(request);
        }
        answer
    }

    /// The rest of [`MemoryServer::call`], out of the way of what is answered at once.
    ///
    /// # Errors
    /// As [`MemoryServer::call`].
    #[cold]
    #[inline(never)]
    fn call_on(&mut self, request: Request) -> Result<Reply, Error> {
        for _ in 1..MOST_MESSAGES {
            let answer = self.send(request);
            if !matches!(answer, Err(Error::Again)) {
                return answer;
            }
        }
        Err(Error::Again)
    }

    /// RAM that the domain holds now and may hold at most.
    ///
    /// # Errors
    /// As [`MemoryServer::call`].
    fn ram_count(&mut self) -> Result<RamCount, Error> {
        match self.call(Request::Usage)? {
            Reply::Usage(usage) => Ok(usage.into()),
            _ => Err(Error::Malformed),
        }
    }
}
