//! The window through which a VMM reaches its guest's memory.
//!
//! A guest changes its memory while the VMM looks at it, so nothing here ever forms a reference
//! into that memory: bytes are copied out before they are looked at, and words that both sides
//! change are reached by atomic read-modify-write operations.
//!
//! [`Window`] is the trait that the hypervisor core uses; [`RawWindow`] implements it over an
//! address range (Microkit, EL2), `VecWindow` (feature `alloc`) over the heap (tests, sim).
//!
//! # Soundness
//!
//! This crate is one of the few that may use `unsafe`. The only unsafe operations are accesses
//! through a base address that the creator of a [`RawWindow`] promised to be the guest's alone
//! (see [`RawWindow::new`]). Every access is first checked to lie within the window and to be
//! aligned. All of them are volatile or atomic, sized and aligned as the machine needs them, and
//! none creates a Rust reference, so a guest that writes at the same time can change values but
//! not break a language invariant. `VecWindow` has no unsafe code: its memory is made of atomics.
#![cfg_attr(not(test), no_std)]

#[cfg(feature = "alloc")]
extern crate alloc;

mod bulk;
mod raw;
#[cfg(feature = "alloc")]
mod vec;
mod window;

pub use raw::RawWindow;
#[cfg(feature = "alloc")]
pub use vec::VecWindow;
pub use window::Window;
