//! A front end of Xen's network interfaces (public/io/netif.h): the two rings.

use crate::device::{ACCESS, CONNECTED, Link, SLOTS_AT, grant, show, wait};
use crate::page::{self, Use};

/// Slots of a ring.
pub const SLOTS: u32 = 256;
/// Halves of words of a slot that sends, and of one that receives.
pub const SENDS: usize = 3;
pub const RECEIVES: usize = 2;
/// Grants: of the ring that sends, of a page with a frame, and of the ring that receives.
pub const RING: u64 = 8;
pub const DATA: u64 = 9;
pub const RECEIVES_RING: u64 = 10;

/// The front end of the guest's interface 0.
pub struct Front {
    link: Link,
    /// Requests put into either ring.
    sent: u32,
    asked: u32,
}

impl Front {
    /// `None` where the guest has no store.
    pub fn new() -> Option<Self> {
        let link = Link::new("vif/0")?;
        Some(Self {
            link,
            sent: 0,
            asked: 0,
        })
    }

    /// Goes through the states; whether the back end came along.
    pub fn connect(&mut self) -> bool {
        if !self.link.begin() {
            return false;
        }
        for word in 0..512 {
            page::write(Use::Ring, 8 * word, 0);
            page::write(Use::Receives, 8 * word, 0);
        }
        (self.sent, self.asked) = (0, 0);
        grant(RING, ACCESS, Use::Ring);
        grant(DATA, ACCESS, Use::Data);
        grant(RECEIVES_RING, ACCESS, Use::Receives);
        self.link.number("tx-ring-ref", RING);
        self.link.number("rx-ring-ref", RECEIVES_RING);
        for name in ["request-rx-copy", "feature-sg", "feature-ipv6-csum-offload"] {
            self.link.number(name, 1);
        }
        self.link.finish(CONNECTED)
    }

    /// Puts a request into the ring that sends, which the back end sees with [`Front::show`].
    pub fn put(&mut self, request: [u32; SENDS]) {
        put(Use::Ring, self.sent, request);
        self.sent = self.sent.wrapping_add(1);
    }

    /// Puts one into the ring that receives.
    pub fn ask(&mut self, request: [u32; RECEIVES]) {
        put(Use::Receives, self.asked, request);
        self.asked = self.asked.wrapping_add(1);
    }

    /// Shows the back end what is in the rings, with requests more that are not there, and sends
    /// the event.
    pub fn show(&mut self, jumps: [u32; 2]) {
        let [sent, asked] = jumps;
        show(Use::Ring, self.sent.wrapping_add(sent));
        show(Use::Receives, self.asked.wrapping_add(asked));
        self.link.send();
    }

    /// Waits until all that was sent has its responses, for so many ticks; whether they came.
    /// `while_waiting` is called again and again.
    pub fn wait(&mut self, ticks: u64, while_waiting: fn()) -> bool {
        wait(Use::Ring, self.sent, ticks, while_waiting)
    }

    /// The status of the last response to what was sent.
    pub fn status(&self) -> i16 {
        let slot = u64::from(self.sent.wrapping_sub(1) % SLOTS) * 4 * SENDS as u64;
        // A response is number and status. It may lie in either half of a word.
        let at = SLOTS_AT + slot;
        let word = page::read(Use::Ring, at & !7) >> (8 * (at & 4));
        (word >> 16) as i16
    }
}

fn put<const N: usize>(ring: Use, number: u32, request: [u32; N]) {
    let slot = SLOTS_AT + u64::from(number % SLOTS) * 4 * N as u64;
    for (at, half) in (slot..).step_by(4).zip(request) {
        page::write_half(ring, at, half);
    }
}
