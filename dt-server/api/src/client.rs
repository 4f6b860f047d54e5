//! The dt-server over any transport.

use hv_types::Gpa;

use crate::record::DomainRecord;
use crate::wire::{Error, Message, RECORD_MAX, Request};
use crate::{DtServer, reply};

/// A client that sends a request and gets the answer by calling `F`: a protected call on Microkit,
/// a function call in `sim` and `el2`.
pub struct Client<F> {
    call: F,
}

impl<F: FnMut(&Message) -> Message> Client<F> {
    /// A client that calls `call` for each request.
    pub const fn new(call: F) -> Self {
        Self { call }
    }
}

impl<F: FnMut(&Message) -> Message> DtServer for Client<F> {
    fn record(&mut self) -> Result<DomainRecord, Error> {
        reply::read_record(&(self.call)(&Request::Record.encode()))
    }

    fn write_tree(&mut self, initrd: Option<(Gpa, Gpa)>) -> Result<u32, Error> {
        reply::read_size(&(self.call)(&Request::WriteTree { initrd }.encode()))
    }

    fn read_tree(&mut self, offset: u32, into: &mut [u8]) -> Result<usize, Error> {
        let mut piece = [0; RECORD_MAX];
        let count = reply::read_bytes(
            &(self.call)(&Request::ReadTree { offset }.encode()),
            &mut piece,
        )?;
        // The server sends as much as a message holds; a smaller buffer takes the front of it.
        let count = count.min(into.len());
        for (to, from) in into.iter_mut().zip(piece.iter().take(count)) {
            *to = *from;
        }
        Ok(count)
    }
}
