//! Where the objects of an seL4 system image lie.
//!
//! The kernel hands all memory it leaves over to the initial task as *boot untypeds*: naturally
//! aligned powers of two, some of them *device* (memory outside the kernel's regions, never
//! zeroed). Microkit's initialiser makes every object of a capDL specification from them. The
//! image tool wants to know, before it writes an image, where each object will be, whether all
//! fit, and what it costs: the first object made from a normal boot untyped makes the kernel
//! zero *all* of that untyped.
//!
//! Key types: [`Span`] (a range of physical memory), [`Chunk`] (a naturally aligned power of
//! two: what an untyped can be), [`BootUntyped`], [`Arena`] (chooses places so that little is
//! zeroed) and [`simulate()`] (the initialiser's algorithm, step by step).
//!
//! Host code for the image tool; nothing here runs on the target.
#![forbid(unsafe_code)]

mod arena;
mod boot;
mod chunk;
mod simulate;
mod size;
mod span;

pub use arena::Arena;
pub use boot::BootUntyped;
pub use chunk::{Chunk, Uncovered, cut, cut_within};
pub use simulate::{AllocError, Object, Placement, Simulation, simulate};
pub use size::human;
pub use span::{Paddr, Span, overlap, subtract};
