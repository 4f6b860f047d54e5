//! A front end of Xen's block devices (public/io/blkif.h): the ring.

use crate::device::{ACCESS, INITIALISED, Link, SLOTS_AT, grant, show, wait};
use crate::page::{self, Use};

/// Slots of a page, and 64-bit words of one.
pub const SLOTS: u32 = 32;
pub const WORDS: usize = 14;
/// Grants: of the ring, and of a page with data.
pub const RING: u64 = 8;
pub const DATA: u64 = 9;

/// The front end of `xvda`.
pub struct Front {
    link: Link,
    /// Requests put into the ring.
    prod: u32,
}

impl Front {
    /// `None` where the guest has no store.
    pub fn new() -> Option<Self> {
        let link = Link::new("vbd/51712")?;
        Some(Self { link, prod: 0 })
    }

    /// Goes through the states; whether the back end came along.
    pub fn connect(&mut self) -> bool {
        if !self.link.begin() {
            return false;
        }
        for word in 0..512 {
            page::write(Use::Ring, 8 * word, 0);
        }
        self.prod = 0;
        grant(RING, ACCESS, Use::Ring);
        grant(DATA, ACCESS, Use::Data);
        self.link.number("ring-ref", RING);
        self.link.write("protocol", b"arm-abi");
        self.link.finish(INITIALISED)
    }

    /// Puts a request into the ring, which the back end sees with [`Front::show`].
    pub fn put(&mut self, request: &[u64; WORDS]) {
        let slot = SLOTS_AT + u64::from(self.prod % SLOTS) * 8 * WORDS as u64;
        for (at, word) in (slot..).step_by(8).zip(request) {
            page::write(Use::Ring, at, *word);
        }
        self.prod = self.prod.wrapping_add(1);
    }

    /// Shows the back end what is in the ring and `jump` requests more, and sends the event.
    pub fn show(&mut self, jump: u32) {
        show(Use::Ring, self.prod.wrapping_add(jump));
        self.link.send();
    }

    /// Waits until all requests have their responses, for so many ticks; whether they came.
    /// `while_waiting` is called again and again.
    pub fn wait(&mut self, ticks: u64, while_waiting: fn()) -> bool {
        wait(Use::Ring, self.prod, ticks, while_waiting)
    }

    /// The status of the last response.
    pub fn status(&self) -> i16 {
        let slot = u64::from(self.prod.wrapping_sub(1) % SLOTS) * 8 * WORDS as u64;
        // A response is number, operation and status.
        (page::read(Use::Ring, SLOTS_AT + slot + 8) >> 16) as i16
    }
}
