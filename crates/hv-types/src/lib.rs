//! Address spaces, identifiers and page geometry as types.
//!
//! Each address space has its own newtype and no conversion is implicit: a [`Gpa`] cannot be
//! handed to something that wants a [`Gva`], and the only way from a number to an address is a
//! named constructor. Machine frame numbers are missing on purpose: they exist in the memory
//! server alone.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

mod addr;
mod id;
mod mac;
mod page;

pub use addr::{Gfn, Gpa, Gva, WindowAddr};
pub use id::{DomId, Gref, LENDS, MAX_VCPUS, Port, VcpuId, Vcpus, VcpusIter};
pub use mac::Mac;
pub use page::{
    BLOCK_SHIFT, BLOCK_SIZE, FrameSize, PAGE_SHIFT, PAGE_SIZE, PAGES_PER_BLOCK, PageOrder,
};
