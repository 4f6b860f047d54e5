//! The VMM's end of the region.

use ring::{Consumer, Producer};

use crate::back::{Back, BackendStore, Heard, Request};
use crate::control::{Control, Wish};

/// A guest's connection as the hypervisor core uses it; never blocks.
///
/// After [`StorePort::begin`] and [`StorePort::again`] nothing may be sent before
/// [`StorePort::is_ready`] says so.
pub trait StorePort {
    /// A guest begins to live, whose event channel and page are these: gives it nodes and a
    /// connection.
    fn begin(&mut self, port: u32, gfn: u64);
    /// The guest wants its connection afresh.
    fn again(&mut self);
    /// The guest's life has ended.
    fn end(&mut self);
    /// Whether the server has done what was wanted last. What older connections left is dropped
    /// then.
    fn is_ready(&mut self) -> bool;
    /// Queues as much of `bytes` as fits now and returns how much that was. Where that is less than
    /// all, the server will notify the VMM once there is room.
    fn send(&mut self, bytes: &[u8]) -> usize;
    /// Takes answers and events, at most `into.len()` bytes; returns how many.
    fn receive(&mut self, into: &mut [u8]) -> usize;
    /// Why the server does not use the connection any more ([`xen_abi::store::error`]).
    fn error(&self) -> u32;
}

/// A VMM's end: a [`StorePort`] and a [`BackendStore`] over a [`Region`](crate::Region).
#[derive(Debug)]
pub struct Client<'a, F: FnMut()> {
    requests: Producer<'a>,
    answers: Consumer<'a>,
    control: Control<'a>,
    /// A wish was made whose answer has not been seen.
    waits: bool,
    back: Back<'a>,
    notify: F,
}

impl<'a, F: FnMut()> Client<'a, F> {
    pub(crate) fn new(
        (requests, answers): (Producer<'a>, Consumer<'a>),
        back: (Producer<'a>, Consumer<'a>),
        control: Control<'a>,
        notify: F,
    ) -> Self {
        Self {
            requests,
            answers,
            control,
            waits: true,
            back: Back::new(back),
            notify,
        }
    }

    /// Makes a wish, for tests of the other end; otherwise see [`StorePort`].
    pub fn wish(&mut self, wish: Wish) {
        self.control.wish(wish);
        self.waits = true;
        (self.notify)();
    }
}

impl<F: FnMut()> StorePort for Client<'_, F> {
    fn begin(&mut self, port: u32, gfn: u64) {
        self.back.close();
        self.wish(Wish::Connect {
            life: self.control.life().wrapping_add(1),
            port,
            gfn,
        });
    }

    fn again(&mut self) {
        let wish = self.control.again();
        self.wish(wish);
    }

    fn end(&mut self) {
        self.back.close();
        self.wish(Wish::Down);
    }

    fn is_ready(&mut self) -> bool {
        if self.waits && self.control.is_answered() {
            self.waits = false;
            self.answers.advance(self.answers.len());
            self.back.open();
        }
        !self.waits
    }

    fn send(&mut self, bytes: &[u8]) -> usize {
        let taken = self.requests.write(bytes);
        // While the server has yet to fetch earlier bytes it will see these too: no notification.
        if self.requests.take_notify() {
            (self.notify)();
        }
        taken
    }

    fn receive(&mut self, into: &mut [u8]) -> usize {
        let got = self.answers.read(into);
        // The server holds back what did not fit; tell it that some does now.
        if self.answers.take_starved() {
            (self.notify)();
        }
        got
    }

    fn error(&self) -> u32 {
        self.control.error()
    }
}

impl<F: FnMut()> BackendStore for Client<'_, F> {
    fn ask(&mut self, request: Request<'_>) -> bool {
        let asked = self.back.ask(request);
        if self.back.requests.take_notify() {
            (self.notify)();
        }
        asked
    }

    fn hear(&mut self, into: &mut [u8]) -> Option<Heard> {
        let heard = self.back.hear(into);
        if self.back.answers.take_starved() {
            (self.notify)();
        }
        heard
    }
}

/// The connection of a guest that has no store.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoStore;

impl StorePort for NoStore {
    fn begin(&mut self, _: u32, _: u64) {}
    fn again(&mut self) {}
    fn end(&mut self) {}
    fn is_ready(&mut self) -> bool {
        false
    }
    fn send(&mut self, _: &[u8]) -> usize {
        0
    }
    fn receive(&mut self, _: &mut [u8]) -> usize {
        0
    }
    fn error(&self) -> u32 {
        0
    }
}

impl BackendStore for NoStore {
    fn ask(&mut self, _: Request<'_>) -> bool {
        false
    }
    fn hear(&mut self, _: &mut [u8]) -> Option<Heard> {
        None
    }
}
