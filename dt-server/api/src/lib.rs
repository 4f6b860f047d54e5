//! Domain records and requests of the dt-server.
//!
//! A VMM asks three things: its domain record (what it is to build), to have its guest's device
//! tree written for a given initrd placement, and to read that tree piece by piece. The caller is
//! known by its channel.
#![no_std]
#![forbid(unsafe_code)]

mod client;
pub mod kernel;
mod layout;
mod record;
pub mod reply;
mod wire;

pub use client::Client;
pub use layout::{GuestLayout, XEN_BANKS, XEN_LAYOUT};
pub use record::{
    Bank, DomainName, DomainRecord, MAX_BANKS, MAX_EXTENDED, MAX_SHARED, Module, NAME_MAX,
    PvFeatures,
};
pub use wire::{Error, MAX_WORDS, Message, RECORD_MAX, Request};

/// The dt-server as its client sees it.
pub trait DtServer {
    /// The caller's domain record.
    ///
    /// # Errors
    /// [`Error::NoDomain`] if the device tree has no valid domain for the caller.
    fn record(&mut self) -> Result<DomainRecord, Error>;
    /// Writes the guest's device tree with the initrd at `initrd` (start and end guest physical
    /// address, exact; `None` without one) and returns its size in bytes.
    ///
    /// # Errors
    /// [`Error::NoDomain`], [`Error::Malformed`], [`Error::TooLarge`].
    fn write_tree(&mut self, initrd: Option<(hv_types::Gpa, hv_types::Gpa)>) -> Result<u32, Error>;
    /// Copies the written tree from byte `offset` on into `into` and returns how many bytes that
    /// were.
    ///
    /// # Errors
    /// [`Error::Malformed`] where nothing was written or `offset` is past its end.
    fn read_tree(&mut self, offset: u32, into: &mut [u8]) -> Result<usize, Error>;
}
