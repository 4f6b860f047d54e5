//! Boot untypeds: what the kernel gives the initial task.

use crate::{Chunk, Paddr, Span};

/// One untyped capability of the initial task.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BootUntyped {
    /// Where and how large.
    pub chunk: Chunk,
    /// Outside the kernel's memory: frames and untypeds only, never zeroed.
    pub device: bool,
}

impl BootUntyped {
    /// A boot untyped of `2^bits` bytes at `paddr`.
    pub fn new(paddr: Paddr, bits: u8, device: bool) -> Self {
        Self {
            chunk: Chunk { paddr, bits },
            device,
        }
    }
    /// Its bytes.
    pub fn span(self) -> Span {
        self.chunk.span()
    }
}
