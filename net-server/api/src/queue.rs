//! One direction of an interface: frames in a part of the data area, in order.

use heapless::Deque;
use ring::sync::AtomicU32;
use ring::{Consumer, Producer};

use crate::QUEUE_LEN;
use crate::frame::{FRAME_WORDS, Frame, Malformed, Offload};

/// Frames begin at multiples of so many bytes, for copies that are aligned.
const ALIGN: u32 = 64;

/// The side that writes frames.
#[derive(Debug)]
pub struct Sender<'a> {
    ring: Producer<'a, AtomicU32>,
    /// First byte of its part of the data area, and how many there are.
    part: (u32, u32),
    /// Where the next frame begins, in the part.
    next: u32,
    /// Bytes that belong to frames that are not known to be taken.
    used: u32,
    /// How long each of these is in units of [`ALIGN`], with those left out before it.
    spans: Deque<u16, QUEUE_LEN>,
    /// Where the next frame was said to lie, and its most bytes.
    reserved: Option<(Place, u32)>,
}

/// A place for a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Place {
    at: u32,
    /// Behind it.
    end: u32,
    /// Its bytes, with those left out before it.
    span: u32,
}

impl<'a> Sender<'a> {
    /// Over an empty queue.
    pub(crate) const fn new(ring: Producer<'a, AtomicU32>, part: (u32, u32)) -> Self {
        Self {
            ring,
            part,
            next: 0,
            used: 0,
            spans: Deque::new(),
            reserved: None,
        }
    }

    /// First byte in the data area for a frame of `len` bytes, which [`Sender::send`] then gives to
    /// the other side. `None` where there is no room now; the other side's
    /// [`Receiver::take_starved`] will say so.
    pub fn reserve(&mut self, len: u32) -> Option<u32> {
        self.reserved = None;
        let place = self.place(len).or_else(|| {
            self.ring.want_room();
            self.place(len)
        })?;
        self.reserved = Some((place, len));
        Some(self.part.0 + place.at)
    }

    /// Gives the frame of `len` bytes to the other side that lies where [`Sender::reserve`] said
    /// last, for at least as many bytes; whether that was done.
    pub fn send(&mut self, len: u32, offload: Offload) -> bool {
        let Some((place, _)) = self.reserved.take().filter(|(_, most)| len <= *most) else {
            return false;
        };
        let frame = Frame {
            offset: self.part.0 + place.at,
            len,
            offload,
        };
        let words = frame.to_words();
        if self.ring.write(&words) < words.len() {
            return false;
        }
        // There is room, as `place` saw.
        let units = u16::try_from(place.span / ALIGN).unwrap_or(u16::MAX);
        let _ = self.spans.push_back(units);
        self.used += place.span;
        self.next = place.end;
        true
    }

    /// Whether the other side may sleep and has to be notified now.
    pub fn take_notify(&mut self) -> bool {
        self.ring.take_notify()
    }

    /// Where a frame of `len` bytes fits in one piece.
    fn place(&mut self, len: u32) -> Option<Place> {
        self.reclaim();
        let (size, wanted) = (self.part.1, aligned(len));
        if self.spans.is_empty() {
            // Nobody has anything of it.
            (self.next, self.used) = (0, 0);
        }
        if self.spans.is_full() || self.ring.room() < FRAME_WORDS || wanted > size {
            return None;
        }
        let behind = size.saturating_sub(self.next);
        let place = if wanted <= behind {
            Place {
                at: self.next,
                end: self.next + wanted,
                span: wanted,
            }
        } else {
            Place {
                at: 0,
                end: wanted,
                span: behind + wanted,
            }
        };
        (place.span <= size - self.used).then_some(place)
    }

    /// Forgets frames that have been taken.
    fn reclaim(&mut self) {
        // An index that cannot be frees nothing.
        let Ok(words) = self.ring.check() else {
            return;
        };
        let waiting = usize::try_from(words).map_or(QUEUE_LEN, |n| n.div_ceil(FRAME_WORDS));
        while self.spans.len() > waiting
            && let Some(span) = self.spans.pop_front()
        {
            self.used = self.used.saturating_sub(u32::from(span) * ALIGN);
        }
    }
}

const fn aligned(len: u32) -> u32 {
    len.saturating_add(ALIGN - 1) / ALIGN * ALIGN
}

/// The side that takes frames.
#[derive(Debug)]
pub struct Receiver<'a> {
    ring: Consumer<'a, AtomicU32>,
    part: (u32, u32),
    /// Something was taken, and the other side's wish for room was not looked at since.
    taken: bool,
}

impl<'a> Receiver<'a> {
    pub(crate) const fn new(ring: Consumer<'a, AtomicU32>, part: (u32, u32)) -> Self {
        Self {
            ring,
            part,
            taken: false,
        }
    }

    /// The next frame, which stays until [`Receiver::advance`]; `None` where there is none. Its
    /// bytes are within the interface's part of the data area, and the other side may change them.
    ///
    /// # Errors
    /// [`Malformed`]; it is to be passed by.
    pub fn peek(&self) -> Option<Result<Frame, Malformed>> {
        let mut words = [0; FRAME_WORDS];
        let got = self.ring.peek(&mut words);
        (got == FRAME_WORDS).then(|| Frame::from_words(words, self.part))
    }

    /// Takes the frame that was looked at; its bytes are the other side's again.
    pub fn advance(&mut self) {
        self.ring.advance(FRAME_WORDS);
        self.taken = true;
    }

    /// Frames that wait.
    pub fn len(&self) -> usize {
        self.ring.len() / FRAME_WORDS
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the other side wants to be notified of room, which there is more of than when this
    /// was asked last.
    pub fn take_starved(&mut self) -> bool {
        core::mem::take(&mut self.taken) && self.ring.take_starved()
    }
}
