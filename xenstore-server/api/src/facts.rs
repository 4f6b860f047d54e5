//! What the domains file says of a domain, as far as the store has to know.

use heapless::String;

use crate::devices::Devices;

/// Longest name of a domain in bytes.
pub const NAME_MAX: usize = 16;

/// What the domains file says of a domain.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Facts {
    /// Its name.
    pub name: String<NAME_MAX>,
    /// Its vCPUs.
    pub vcpus: u8,
    /// KiB of RAM that it starts with.
    pub memory_kib: u64,
    /// KiB of RAM that it may have.
    pub most_kib: u64,
    /// The devices whose back ends are in its VMM.
    pub devices: Devices,
}

impl Facts {
    /// A domain of which nothing is said.
    pub const fn new() -> Self {
        Self {
            name: String::new(),
            vcpus: 0,
            memory_kib: 0,
            most_kib: 0,
            devices: Devices::new(),
        }
    }
}
