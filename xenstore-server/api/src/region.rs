//! The shared region: one page of indices and words, then the bytes of four rings.

use ring::sync::{AtomicU8, AtomicU32};
use ring::{Consumer, HEADER_WORDS, Header, Producer, Words};

use crate::client::Client;
use crate::control::{Control, Seen};

/// Bytes of the region.
pub const REGION_SIZE: usize = 0x3000;
/// Bytes at the start of the region that hold the indices of the rings, as 32-bit words.
pub const HEADER_SIZE: usize = 0x1000;
/// Bytes of each ring's data (a power of two).
pub const RING_SIZE: usize = 0x800;
/// Rings: requests and answers of the guest, and those of its back ends.
const RINGS: usize = 4;
/// First words of their headers; the [`Words`] lie between.
const HEADERS: [usize; RINGS] = [0, 64, 192, 256];

const _: () = assert!(REGION_SIZE == HEADER_SIZE + RINGS * RING_SIZE);
const _: () = assert!(RING_SIZE.is_power_of_two());
const _: () = assert!(HEADERS[0] + HEADER_WORDS <= HEADERS[1]);
const _: () = assert!(HEADERS[1] + HEADER_WORDS <= Words::FIRST);
const _: () = assert!(Words::FIRST + Words::COUNT <= HEADERS[2]);
const _: () = assert!(HEADERS[2] + HEADER_WORDS <= HEADERS[3]);
const _: () = assert!(4 * (HEADERS[3] + HEADER_WORDS) <= HEADER_SIZE);

/// A ring's indices and bytes.
type Ring<'a> = (Header<'a>, &'a [AtomicU8]);

/// The region that one VMM shares with the xenstore server.
///
/// Both make one over the same memory; the VMM then takes [`Region::client`] and the server
/// [`Region::server`]. Fresh (zeroed) memory is empty rings and no wish.
#[derive(Clone, Copy, Debug)]
pub struct Region<'a> {
    guest: [Ring<'a>; 2],
    back: [Ring<'a>; 2],
    control: Control<'a>,
}

/// The server's end of two rings.
#[derive(Debug)]
pub struct Pipe<'a> {
    /// What is asked.
    pub requests: Consumer<'a>,
    /// What is told.
    pub answers: Producer<'a>,
}

impl<'a> Pipe<'a> {
    fn new([requests, answers]: [Ring<'a>; 2]) -> Option<Self> {
        Some(Self {
            requests: Consumer::new(requests.0, requests.1)?,
            answers: Producer::new(answers.0, answers.1)?,
        })
    }

    /// Drops what was asked.
    pub fn clear(&mut self) {
        self.requests.advance(self.requests.len());
    }
}

/// The server's end of the words.
#[derive(Debug)]
pub struct Wishes<'a> {
    control: Control<'a>,
    /// The wish answered last.
    answered: u32,
}

impl Wishes<'_> {
    /// A wish that is not answered yet.
    pub fn seen(&self) -> Option<Seen> {
        self.control.seen(self.answered)
    }

    /// Answers a wish. Requests of the connection before have to be [gone](Pipe::clear).
    pub fn answer(&mut self, seen: Seen) {
        self.answered = seen.word;
        self.control.answer(seen.word);
    }

    /// Says why the connection is not used any more ([`xen_abi::store::error`]).
    pub fn fail(&self, error: u32) {
        self.control.fail(self.answered, error);
    }
}

/// The server's end.
#[derive(Debug)]
pub struct ServerEnd<'a> {
    /// The guest's connection.
    pub guest: Pipe<'a>,
    /// That of its back ends.
    pub back: Pipe<'a>,
    /// What the VMM wants.
    pub wishes: Wishes<'a>,
}

impl<'a> Region<'a> {
    /// The region whose first [`HEADER_SIZE`] bytes are `header` and whose other bytes are `data`.
    ///
    /// `None` where either is shorter than the geometry says.
    pub fn new(header: &'a [AtomicU32], data: &'a [AtomicU8]) -> Option<Self> {
        let header = header.get(..HEADER_SIZE / 4)?;
        let ring = |n: usize| -> Option<Ring<'a>> {
            let bytes = data.get(n * RING_SIZE..(n + 1) * RING_SIZE)?;
            Some((Header::new(header.get(*HEADERS.get(n)?..)?)?, bytes))
        };
        Some(Self {
            guest: [ring(0)?, ring(1)?],
            back: [ring(2)?, ring(3)?],
            control: Control::new(header)?,
        })
    }

    /// The VMM's end; `notify` signals the server. To be made once.
    pub fn client<F: FnMut()>(self, notify: F) -> Option<Client<'a, F>> {
        let [guest, back] = [self.guest, self.back].map(|[requests, answers]| {
            Some((
                Producer::new(requests.0, requests.1)?,
                Consumer::new(answers.0, answers.1)?,
            ))
        });
        Some(Client::new(guest?, back?, self.control, notify))
    }

    /// The server's end. To be made once.
    pub fn server(self) -> Option<ServerEnd<'a>> {
        Some(ServerEnd {
            guest: Pipe::new(self.guest)?,
            back: Pipe::new(self.back)?,
            wishes: Wishes {
                control: self.control,
                answered: 0,
            },
        })
    }
}
