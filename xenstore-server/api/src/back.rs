//! How a VMM's back ends use the store.
//!
//! To a guest its back ends are domain 0, and so they are to the store: messages are those of a
//! guest (`xen_abi::store`), asked with the rights of domain 0, but of the nodes of this guest's
//! devices and of nothing else. The server knows which guest by the region.

use ring::{Consumer, Producer};
use xen_abi::store::{HEADER, Header};
use zerocopy::{FromBytes as _, IntoBytes as _};

use crate::region::RING_SIZE;

/// A request of a back end.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Request<'a> {
    /// [`xen_abi::store::kind`].
    pub kind: u32,
    /// A number for the answer to repeat.
    pub id: u32,
    /// The transaction, or 0.
    pub tx: u32,
    /// The payload, in parts; with the header at most [`RING_SIZE`] bytes.
    pub payload: &'a [&'a [u8]],
}

/// An answer or an event.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Heard {
    /// Its header.
    pub header: Header,
    /// Bytes of its payload that were put out, fewer than there were where there was no room.
    pub len: usize,
}

/// The store as the back ends of a guest use it; never blocks.
///
/// Paths are those of xenstore. What is not below `/local/domain/0/backend/TYPE/GUEST/ID` or
/// `/local/domain/GUEST/device/TYPE/ID` is refused with `EACCES`; so is a change of permissions.
/// Names without a slash in front are below `/local/domain/0`. Nodes that a back end makes have the
/// permissions of the directory that they are made in, which has to exist. Before the guest's store
/// is [ready](crate::StorePort::is_ready) nothing can be asked, and when a guest's life ends
/// watches, transactions, and answers that were not heard go.
pub trait BackendStore {
    /// Makes a request, whole or not at all. False: there is no room now; the server notifies the
    /// VMM once there is.
    fn ask(&mut self, request: Request<'_>) -> bool;

    /// Takes the next answer or event, whose payload goes to the front of `into`; the VMM is
    /// notified of new ones. `None`: there is none now.
    fn hear(&mut self, into: &mut [u8]) -> Option<Heard>;
}

/// The VMM's end of the back ends' rings.
#[derive(Debug)]
pub(crate) struct Back<'a> {
    pub(crate) requests: Producer<'a>,
    pub(crate) answers: Consumer<'a>,
    /// There is a guest whose connection the server has made.
    is_open: bool,
    /// Bytes to come that nobody wants.
    skip: usize,
}

impl<'a> Back<'a> {
    pub(crate) const fn new((requests, answers): (Producer<'a>, Consumer<'a>)) -> Self {
        Self {
            requests,
            answers,
            is_open: false,
            skip: 0,
        }
    }

    /// Nothing is asked or heard until the server has answered a wish.
    pub(crate) const fn close(&mut self) {
        self.is_open = false;
    }

    /// The server has answered a wish: what an earlier life left goes.
    pub(crate) fn open(&mut self) {
        if !self.is_open {
            self.answers.advance(self.answers.len());
            self.skip = 0;
            self.is_open = true;
        }
    }

    pub(crate) fn ask(&mut self, request: Request<'_>) -> bool {
        let len = request.payload.iter().map(|part| part.len()).sum::<usize>();
        if !self.is_open || len > RING_SIZE - HEADER {
            return false;
        }
        let header = Header {
            kind: request.kind,
            req_id: request.id,
            tx_id: request.tx,
            // At most a ring's size.
            len: u32::try_from(len).unwrap_or(0),
        };
        let header = [header.as_bytes()];
        let parts = header.iter().chain(request.payload);
        self.requests.write_whole(parts.copied())
    }

    pub(crate) fn hear(&mut self, into: &mut [u8]) -> Option<Heard> {
        if !self.is_open {
            return None;
        }
        let skipped = self.skip.min(self.answers.len());
        self.answers.advance(skipped);
        self.skip -= skipped;
        let mut bytes = [0; HEADER];
        if self.skip > 0 || self.answers.peek(&mut bytes) < HEADER {
            return None;
        }
        let header = Header::read_from_bytes(&bytes).ok()?;
        let whole = usize::try_from(header.len).ok()?;
        let len = whole.min(into.len()).min(RING_SIZE - HEADER);
        if self.answers.len() < HEADER + len {
            return None;
        }
        self.answers.advance(HEADER);
        self.answers.read(into.get_mut(..len)?);
        self.skip = whole - len;
        Some(Heard { header, len })
    }
}
