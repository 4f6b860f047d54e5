//! seL4's rules for memory capabilities in software: slots, derivation, revocation, mapping state.
//!
//! A host without seL4 keeps frames behind this table, so that the memory server's retypes, mints
//! and revokes mean the same there: what was revoked is gone from every slot and from every address
//! space, and a slot that holds nothing can be neither mapped nor copied.
//!
//! # Rules
//! - An untyped is retyped from its watermark upwards; one without children starts again at its
//!   beginning. Objects are naturally aligned.
//! - Only frames are minted; the copy is a child of the original and not mapped.
//! - Revoking deletes everything derived from a slot, wherever it lies, and leaves the slot itself.
//!   The caller hears of every deleted capability that was mapped, and takes the mapping away.
//! - A capability remembers one mapping.
//!
//! Left out, because the memory server has no use for it: rights but of pages that are only read,
//! badges, moving of single capabilities.
//!
//! # Representation
//! A capability is a node of 12 bytes. Nodes of one derivation tree form a list in depth-first
//! order (as in seL4's mapping database) in which the descendants of a node follow it with greater
//! depths, so retyping and minting link in constant time and revoking visits what it deletes.
//! CNodes are sparse: 64 slots at a time get memory from one pool when the first of them is used.
//!
//! # Key types
//! [`Caps`], [`Place`], [`Object`], [`Mapping`].
#![no_std]
#![forbid(unsafe_code)]

mod caps;
mod node;

pub use caps::{Caps, Chunk, Error, Held, Made};
pub use node::{Cap, Mapping, Object, Space};

/// Slots of a CNode that get memory together.
pub const CHUNK: usize = 64;
/// Most CNodes of one table.
pub const MAX_CNODES: usize = 16;

/// A CNode of the table, in the order of [`Caps::add_cnode`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct CNode(pub u8);

/// Where a capability lies.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Place {
    /// Which CNode.
    pub cnode: CNode,
    /// Slot in it.
    pub slot: u32,
}

/// Entries of the directory of a CNode with `slots` slots.
pub const fn directory_len(slots: usize) -> usize {
    slots.div_ceil(CHUNK)
}
