//! What Zazen's protection domains share: the only crate that names seL4.
//!
//! It turns the core's host traits into seL4 invocations ([`vcpu`], [`stage2`]), the memory
//! server's `Kernel` trait likewise ([`kernel`]), and the servers' APIs into protected procedure
//! calls ([`clients`]). Every capability is named by its CPtr from the `topology` crate, which the
//! image builder uses too.
//!
//! # Soundness
//!
//! This crate is one of the few that may use `unsafe`, for four things only:
//!
//! * [`region`] turns a memory region that system.xml maps at a fixed address into a `'static`
//!   slice of atomics or, for regions that nothing else can write, of bytes. The addresses come
//!   from `topology`, from which the image builder makes the mapping; an image in which they
//!   disagree does not pass the builder's simulation. Each region is taken once.
//! * [`clock`] reads and writes the generic timer's registers, which have no memory effects;
//!   [`counter`] a board's timer, and the page with the program of a virtual machine that can reach
//!   nothing but that page and a counter.
//! * [`vectors`] shows the text of a program for a guest's thread as bytes.
//! * [`invoke`] performs raw seL4 calls that the `sel4` crate wraps with more copying than a fault
//!   path can afford; they only read and write the IPC buffer.
#![no_std]
#![allow(
    clippy::cast_possible_truncation,
    reason = "addresses and sizes have 64 bits on AArch64, the only target"
)]

pub mod clients;
pub mod clock;
pub mod counter;
pub mod cspace;
pub mod event;
pub mod fault;
pub mod gate;
pub mod interface;
pub mod invoke;
pub mod kernel;
pub mod lent;
pub mod log;
pub mod passive;
pub mod patched;
pub mod program;
pub mod pulse;
pub mod region;
pub mod spent;
pub mod stage2;
pub mod unload;
pub mod vcpu;
pub mod vectors;
pub mod wiper;

pub use region::boot_dtb;
#[doc(hidden)]
pub use sel4_microkit;
pub use sel4_microkit::{
    Channel, ChannelSet, Child, Handler, Infallible, MessageInfo, get_mr, set_mr, with_msg_regs,
    with_msg_regs_mut,
};

/// Declares the protection domain's init function: `protection_domain!(init)`, and with a heap of
/// so many bytes, `protection_domain!(init, heap = 0x10000)`.
#[macro_export]
macro_rules! protection_domain {
    ($init:expr) => {
        $crate::sel4_microkit::declare_protection_domain!(init = $crate::log::with_panics($init));
    };
    ($init:expr, heap = $heap:expr) => {
        $crate::sel4_microkit::declare_protection_domain!(
            init = $crate::log::with_panics($init),
            heap_size = $heap
        );
    };
}
