//! What all back ends in the guest's own VMM share: rings, and connecting by way of the store.
//!
//! To the guest a back end is domain 0. It runs in the guest's own VMM, which sees the guest's RAM,
//! so no grant leaves the domain.
//!
//! # Key types
//! - [`ring::Ring`]: a ring in pages that the guest grants.
//! - `link::Link`: how the devices of one kind are connected; `xenbus::Backend` what each kind
//!   adds.
//! - [`Inbox`]: what the store says to all of them, sorted.

mod inbox;
pub(super) mod link;
pub mod ring;
pub(super) mod xenbus;

pub use inbox::Inbox;

/// Most devices of a kind.
pub(super) const DEVICES: usize = 8;

/// A kind of devices with a back end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Kind {
    /// Disks (`vbd`).
    Disks,
    /// Network interfaces (`vif`).
    Nics,
}

impl Kind {
    /// How many there are.
    const COUNT: usize = 2;
}
