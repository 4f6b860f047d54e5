//! Queues and words in shared memory.

use ring::sync::AtomicU32;
use ring::{Consumer, HEADER_WORDS, Header, Producer, Words};

use crate::client::Client;
use crate::disk::{self, DiskWords};
use crate::request::{ANSWER_WORDS, REQUEST_WORDS};
use crate::server::ServerEnd;
use crate::{DATA_SIZE, QUEUE_LEN};

/// Bytes of the region with queues and words: a page of indices and words, one of requests, one of
/// answers.
pub const HEADER_SIZE: usize = 3 * PAGE;

const PAGE: usize = 0x1000;
const PAGE_WORDS: usize = PAGE / 4;
/// First word of the indices of the queue with answers; those of requests are at word 0.
const ANSWERS: usize = 64;
/// The one that is not 0 when there is no server any more.
const LOST: usize = 0;

const _: () = assert!(HEADER_WORDS <= ANSWERS && ANSWERS + HEADER_WORDS <= Words::FIRST);
const _: () = assert!(Words::FIRST + Words::COUNT <= 256 && disk::END <= PAGE_WORDS);
const _: () = assert!(QUEUE_LEN * REQUEST_WORDS <= PAGE_WORDS);
const _: () = assert!(QUEUE_LEN * ANSWER_WORDS <= PAGE_WORDS);
const _: () = assert!(QUEUE_LEN.is_power_of_two() && DATA_SIZE.is_multiple_of(0x1000));

/// The region that one VMM shares with the block server.
///
/// Both make one over the same memory; the VMM then takes [`Region::client`] and the server
/// [`Region::server`]. Fresh (zeroed) memory is two empty queues and no disks.
#[derive(Clone, Copy, Debug)]
pub struct Region<'a> {
    header: &'a [AtomicU32],
    words: Words<'a>,
}

impl<'a> Region<'a> {
    /// The region whose [`HEADER_SIZE`] bytes are `header`; `None` where it is shorter.
    pub fn new(header: &'a [AtomicU32]) -> Option<Self> {
        let header = header.get(..HEADER_SIZE / 4)?;
        Some(Self {
            header,
            words: Words::new(header)?,
        })
    }

    /// The VMM's end with its data area; `notify` signals the server. To be made once.
    pub fn client<D, F: FnMut()>(self, data: D, notify: F) -> Option<Client<'a, D, F>> {
        let requests = Producer::new(self.indices(0)?, self.queue(1, REQUEST_WORDS)?)?;
        let answers = Consumer::new(self.indices(ANSWERS)?, self.queue(2, ANSWER_WORDS)?)?;
        Some(Client::new(self, requests, answers, data, notify))
    }

    /// The server's end. To be made once.
    pub fn server(self) -> Option<ServerEnd<'a>> {
        self.end(DATA_SIZE)
    }

    /// The driver's end, if the region is the one between the block server and its driver
    /// ([`crate::driver`]). To be made once.
    pub fn driver(self) -> Option<ServerEnd<'a>> {
        self.end(crate::driver::DATA_SIZE)
    }

    /// The server's end of a region with `data` bytes of data area.
    fn end(self, data: u32) -> Option<ServerEnd<'a>> {
        let requests = Consumer::new(self.indices(0)?, self.queue(1, REQUEST_WORDS)?)?;
        let answers = Producer::new(self.indices(ANSWERS)?, self.queue(2, ANSWER_WORDS)?)?;
        Some(ServerEnd::new(self, requests, answers, data))
    }

    /// There is no server any more.
    pub fn mark_lost(&self) {
        self.words.store(LOST, 1);
    }

    /// Whether that was said.
    pub fn is_lost(&self) -> bool {
        self.words.load(LOST) != 0
    }

    pub(crate) fn disk(&self, disk: u8) -> Option<DiskWords<'a>> {
        DiskWords::new(self.header, disk.into())
    }

    fn indices(&self, first: usize) -> Option<Header<'a>> {
        Header::new(self.header.get(first..)?)
    }

    /// The queue in that page, of [`QUEUE_LEN`] records of `words` words.
    fn queue(&self, page: usize, words: usize) -> Option<&'a [AtomicU32]> {
        self.header
            .get(page * PAGE_WORDS..)?
            .get(..QUEUE_LEN * words)
    }
}
