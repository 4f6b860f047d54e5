//! Why a guest was not started, in words.

use core::fmt;

use hv_types::{Gfn, MAX_VCPUS};
use memory_server_api::Extra;

use crate::device::bus;
use crate::life::loader::{DTB_MAX, LoadError};
use crate::memory::p2m;

/// Why a guest was not started.
#[derive(Debug)]
pub enum BootError {
    /// More vCPUs than there can be.
    Vcpus(u8),
    /// The domain has no RAM.
    NoRam,
    /// The page table given for its p2m is too small.
    P2mTable,
    /// Two devices are at one address.
    Devices(bus::Refused),
    /// RAM could not be had or mapped.
    Ram(Gfn, p2m::Error),
    /// Static shared memory could not be had or mapped.
    Shared(Gfn, p2m::Error),
    /// An extra page could not be had or mapped.
    Extra(Extra, p2m::Error),
    /// No event channel for the console.
    NoPort,
    /// Kernel, device tree or RAM disk.
    Load(LoadError<'static>),
    /// The dt-server refused.
    Dt(dt_server_api::Error),
    /// The device tree is larger than its place.
    TreeTooLarge(u32),
    /// No vCPU in its reset state for another life.
    Vcpu(memory_server_api::Error),
}

impl fmt::Display for BootError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Vcpus(n) => write!(f, "{n} vCPUs asked for; a domain has 1 to {MAX_VCPUS}"),
            Self::NoRam => f.write_str("the domain has no RAM; give it a `memory` property"),
            Self::P2mTable => f.write_str(
                "the p2m region is too small for the domain's RAM; build the image again with the matching zazen-image",
            ),
            Self::Devices(refused) => write!(f, "devices: {refused}"),
            Self::Ram(gfn, error) => write!(f, "RAM at gfn {gfn:#x}: {error}"),
            Self::Shared(gfn, error) => write!(f, "shared memory at gfn {gfn:#x}: {error}"),
            Self::Extra(kind, error) => write!(f, "page {kind:?}: {error}"),
            Self::NoPort => f.write_str("no event channel port is free for the console"),
            Self::Load(error) => error.fmt(f),
            Self::Dt(error) => write!(f, "device tree: {error}"),
            Self::Vcpu(error) => write!(f, "vCPU: {error}"),
            Self::TreeTooLarge(size) => {
                write!(f, "the guest's device tree has {size} bytes, more than the {DTB_MAX} it may have")
            }
        }
    }
}
