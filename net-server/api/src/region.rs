//! Queues and words in shared memory.

use heapless::Vec;
use ring::sync::AtomicU32;
use ring::{Consumer, HEADER_WORDS, Header, Producer, Words};

use crate::client::Client;
use crate::frame::FRAME_WORDS;
use crate::queue::{Receiver, Sender};
use crate::server::ServerEnd;
use crate::{DATA_SIZE, MAX_NICS, NIC_DATA, QUEUE_LEN, TO_SERVER, TO_VMM};

/// Bytes of the region with queues and words: three pages for each interface, one with indices and
/// words, one with frames that the guest sends, one with those to it.
pub const HEADER_SIZE: usize = MAX_NICS * UPLINK_HEADER_SIZE;
/// The same of the region that the server shares with the driver of an uplink, which is one
/// interface.
pub const UPLINK_HEADER_SIZE: usize = PAGES * PAGE;

const PAGES: usize = 3;
const PAGE: usize = 0x1000;
const PAGE_WORDS: usize = PAGE / 4;
/// First word of the indices of the queue to the VMM; those of the queue to the server are at
/// word 0.
const TO_VMM_INDICES: usize = 64;
/// Words of interface 0's block: not 0 when there is no server any more.
const LOST: usize = 0;
/// Words of each block: not 0 while the network has the interface; the server's.
const PRESENT: usize = 1;
/// Not 0 while the guest uses the interface; the VMM's.
const OPEN: usize = 2;

const _: () = assert!(HEADER_WORDS <= TO_VMM_INDICES);
const _: () = assert!(TO_VMM_INDICES + HEADER_WORDS <= Words::FIRST);
const _: () = assert!(QUEUE_LEN * FRAME_WORDS <= PAGE_WORDS && QUEUE_LEN.is_power_of_two());
const _: () = assert!(TO_SERVER.is_multiple_of(0x1000) && TO_VMM.is_multiple_of(0x1000));
const _: () = assert!(DATA_SIZE.is_multiple_of(0x1000) && TO_SERVER > crate::MAX_FRAME);

/// The region that one VMM, or the driver of an uplink, shares with the net server.
///
/// Both make one over the same memory; the VMM then takes [`Region::client`] and the server
/// [`Region::server`]. Fresh (zeroed) memory is empty queues and no interfaces.
#[derive(Clone, Copy, Debug)]
pub struct Region<'a> {
    header: &'a [AtomicU32],
    nics: usize,
}

impl<'a> Region<'a> {
    /// The region whose [`HEADER_SIZE`] bytes are `header`; `None` where it is shorter.
    pub fn new(header: &'a [AtomicU32]) -> Option<Self> {
        Self::with_nics(header, MAX_NICS)
    }

    /// The region of an uplink, interface 0 of its driver, whose [`UPLINK_HEADER_SIZE`] bytes are
    /// `header` and whose data area has [`crate::NIC_DATA`]; `None` where it is shorter. To the
    /// server the driver is what a VMM is: it sends what came from outside.
    pub fn uplink(header: &'a [AtomicU32]) -> Option<Self> {
        Self::with_nics(header, 1)
    }

    fn with_nics(header: &'a [AtomicU32], nics: usize) -> Option<Self> {
        let header = header.get(..nics * UPLINK_HEADER_SIZE / 4)?;
        Some(Self { header, nics })
    }

    /// The VMM's end with its data area; `notify` signals the server. To be made once.
    pub fn client<D, F: FnMut()>(self, data: D, notify: F) -> Option<Client<'a, D, F>> {
        Client::new(self, data, notify)
    }

    /// The server's end with the data area. To be made once.
    pub fn server<D>(self, data: D) -> Option<ServerEnd<'a, D>> {
        ServerEnd::new(self, data)
    }

    /// There is no server any more.
    pub fn mark_lost(&self) {
        if let Some(words) = self.words(0) {
            words.store(LOST, 1);
        }
    }

    /// Whether that was said.
    pub fn is_lost(&self) -> bool {
        self.words(0).is_none_or(|words| words.load(LOST) != 0)
    }

    pub(crate) fn is_present(&self, nic: usize) -> bool {
        self.words(nic)
            .is_some_and(|words| words.load(PRESENT) != 0)
    }

    pub(crate) fn set_present(&self, nic: usize) {
        if let Some(words) = self.words(nic) {
            words.store(PRESENT, 1);
        }
    }

    pub(crate) fn is_open(&self, nic: usize) -> bool {
        self.words(nic).is_some_and(|words| words.load(OPEN) != 0)
    }

    pub(crate) fn set_open(&self, nic: usize, open: bool) {
        if let Some(words) = self.words(nic) {
            words.store(OPEN, open.into());
        }
    }

    /// The ends that send of all interfaces in one direction.
    pub(crate) fn senders(&self, way: Way) -> Option<Vec<Sender<'a>, MAX_NICS>> {
        self.ends(way, |header, words, part| {
            Some(Sender::new(Producer::new(header, words)?, part))
        })
    }

    /// The ends that receive.
    pub(crate) fn receivers(&self, way: Way) -> Option<Vec<Receiver<'a>, MAX_NICS>> {
        self.ends(way, |header, words, part| {
            Some(Receiver::new(Consumer::new(header, words)?, part))
        })
    }

    fn ends<T>(
        &self,
        way: Way,
        make: impl Fn(Header<'a>, &'a [AtomicU32], (u32, u32)) -> Option<T>,
    ) -> Option<Vec<T, MAX_NICS>> {
        let mut ends = Vec::new();
        for (nic, number) in (0..self.nics).zip(0..) {
            let ((header, words), part) = match way {
                Way::ToServer => (self.queue(nic, 0, 1)?, (number * NIC_DATA, TO_SERVER)),
                Way::ToVmm => (
                    self.queue(nic, TO_VMM_INDICES, 2)?,
                    (number * NIC_DATA + TO_SERVER, TO_VMM),
                ),
            };
            ends.push(make(header, words, part)?).ok()?;
        }
        Some(ends)
    }

    fn words(&self, nic: usize) -> Option<Words<'a>> {
        Words::new(self.pages(nic)?)
    }

    fn pages(&self, nic: usize) -> Option<&'a [AtomicU32]> {
        let first = nic.checked_mul(PAGES * PAGE_WORDS)?;
        self.header.get(first..)?.get(..PAGES * PAGE_WORDS)
    }

    fn queue(
        &self,
        nic: usize,
        indices: usize,
        page: usize,
    ) -> Option<(Header<'a>, &'a [AtomicU32])> {
        let pages = self.pages(nic)?;
        let header = Header::new(pages.get(indices..PAGE_WORDS)?)?;
        let words = pages.get(page * PAGE_WORDS..)?;
        Some((header, words.get(..QUEUE_LEN * FRAME_WORDS)?))
    }
}

/// A direction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Way {
    /// What the guest sends.
    ToServer,
    /// What it receives.
    ToVmm,
}
