//! The shared region: one page of indices and words, then the bytes of both rings.

use ring::sync::{AtomicU8, AtomicU32};
use ring::{Consumer, HEADER_WORDS, Header, Producer, Words};

use crate::client::Client;
use crate::control::{Control, Seen};

/// Bytes of the region.
pub const REGION_SIZE: usize = 0x2000;
/// Bytes at the start of the region that hold the indices of both rings, as 32-bit words.
pub const HEADER_SIZE: usize = 0x1000;
/// Bytes of either ring's data (a power of two).
pub const RING_SIZE: usize = 0x800;
/// First word of the header of the ring with answers; that of requests is at word 0.
const ANSWERS: usize = 64;

const _: () = assert!(REGION_SIZE == HEADER_SIZE + 2 * RING_SIZE);
const _: () = assert!(RING_SIZE.is_power_of_two());
const _: () = assert!(HEADER_WORDS <= ANSWERS && ANSWERS + HEADER_WORDS <= Words::FIRST);
const _: () = assert!(4 * (Words::FIRST + Words::COUNT) <= HEADER_SIZE);

/// The region that one VMM shares with the xenstore server.
///
/// Both make one over the same memory; the VMM then takes [`Region::client`] and the server
/// [`Region::server`]. Fresh (zeroed) memory is two empty rings and no wish.
#[derive(Clone, Copy, Debug)]
pub struct Region<'a> {
    requests: (Header<'a>, &'a [AtomicU8]),
    answers: (Header<'a>, &'a [AtomicU8]),
    control: Control<'a>,
}

/// The server's end.
#[derive(Debug)]
pub struct ServerEnd<'a> {
    /// What the guest asks.
    pub requests: Consumer<'a>,
    /// What it is told.
    pub answers: Producer<'a>,
    control: Control<'a>,
    /// The wish answered last.
    answered: u32,
}

impl ServerEnd<'_> {
    /// A wish that is not answered yet.
    pub fn seen(&self) -> Option<Seen> {
        self.control.seen(self.answered)
    }

    /// Answers a wish. Requests of the connection before are gone.
    pub fn answer(&mut self, seen: Seen) {
        self.requests.advance(self.requests.len());
        self.answered = seen.word;
        self.control.answer(seen.word);
    }

    /// Says why the connection is not used any more ([`xen_abi::store::error`]).
    pub fn fail(&self, error: u32) {
        self.control.fail(self.answered, error);
    }
}

impl<'a> Region<'a> {
    /// The region whose first [`HEADER_SIZE`] bytes are `header` and whose other bytes are `data`.
    ///
    /// `None` where either is shorter than the geometry says.
    pub fn new(header: &'a [AtomicU32], data: &'a [AtomicU8]) -> Option<Self> {
        let header = header.get(..HEADER_SIZE / 4)?;
        let data = data.get(..2 * RING_SIZE)?;
        let (requests, answers) = data.split_at_checked(RING_SIZE)?;
        Some(Self {
            requests: (Header::new(header)?, requests),
            answers: (Header::new(header.get(ANSWERS..)?)?, answers),
            control: Control::new(header)?,
        })
    }

    /// The VMM's end; `notify` signals the server. To be made once.
    pub fn client<F: FnMut()>(self, notify: F) -> Option<Client<'a, F>> {
        Some(Client::new(
            Producer::new(self.requests.0, self.requests.1)?,
            Consumer::new(self.answers.0, self.answers.1)?,
            self.control,
            notify,
        ))
    }

    /// The server's end. To be made once.
    pub fn server(self) -> Option<ServerEnd<'a>> {
        Some(ServerEnd {
            requests: Consumer::new(self.requests.0, self.requests.1)?,
            answers: Producer::new(self.answers.0, self.answers.1)?,
            control: self.control,
            answered: 0,
        })
    }
}
