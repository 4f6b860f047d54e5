//! A Microkit system description as data: what `generate` builds, `limits` checks and `xml` writes.

use topology::pd::time::Time;

/// A system.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct System {
    /// Memory regions.
    pub regions: Vec<Region>,
    /// Protection domains.
    pub pds: Vec<Pd>,
    /// Channels.
    pub channels: Vec<Channel>,
}

/// A memory region.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Region {
    /// Unique name.
    pub name: String,
    /// What it is, for readers of the file.
    pub comment: String,
    /// Bytes; `None` where Microkit takes the size of the file.
    pub size: Option<u64>,
    /// Page size, where Microkit's choice is not the right one.
    pub page_size: Option<u64>,
    /// Physical address of devices.
    pub phys_addr: Option<u64>,
    /// File that it is filled with.
    pub prefill: Option<String>,
}

/// A protection domain.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pd {
    /// Unique name.
    pub name: String,
    /// What it is, for readers of the file.
    pub comment: String,
    /// Priority, 0..=254.
    pub priority: u8,
    /// Its core, where the kernel uses several.
    pub core: Option<u8>,
    /// Its own processor time.
    pub time: Time,
    /// Bytes of stack.
    pub stack: u64,
    /// ELF file.
    pub image: String,
    /// What it can reach.
    pub maps: Vec<Map>,
    /// Interrupts that it gets: (interrupt id, channel id).
    pub irqs: Vec<(u32, usize)>,
    /// Its virtual machine.
    pub vm: Option<Vm>,
    /// Whose child it is and its number there: the parent gets its faults.
    pub parent: Option<(String, usize)>,
}

/// A virtual machine.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Vm {
    /// Unique name.
    pub name: String,
    /// Priority, 0..=254.
    pub priority: u8,
    /// Processor time of each of its vCPUs.
    pub time: Time,
    /// Its vCPUs: number, and core where the kernel uses several.
    pub vcpus: Vec<(u64, Option<u8>)>,
    /// What the guest can reach from the start.
    pub maps: Vec<Map>,
}

/// A mapping.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Map {
    /// Name of the region.
    pub region: String,
    /// Where; a guest physical address for a virtual machine.
    pub vaddr: u64,
    /// Microkit's letters.
    pub perms: &'static str,
    /// `false` for devices.
    pub cached: bool,
    /// Symbol of the ELF that gets the region's size.
    pub size_symbol: Option<&'static str>,
    /// Symbol of the ELF that gets `vaddr`.
    pub vaddr_symbol: Option<&'static str>,
}

/// A channel between two protection domains.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Channel {
    /// One end.
    pub a: End,
    /// The other.
    pub b: End,
}

/// An end of a channel.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct End {
    /// Name of the protection domain.
    pub pd: String,
    /// Its number for the channel.
    pub id: usize,
    /// Whether it can call the other end.
    pub pp: bool,
    /// Whether it can notify the other end.
    pub notify: bool,
}

impl Map {
    /// A cached mapping.
    pub fn new(region: impl Into<String>, vaddr: u64, perms: &'static str) -> Self {
        Self {
            region: region.into(),
            vaddr,
            perms,
            cached: true,
            size_symbol: None,
            vaddr_symbol: None,
        }
    }
    /// A mapping of a device.
    pub fn device(region: impl Into<String>, vaddr: u64) -> Self {
        Self::uncached(region, vaddr, "rw")
    }
    /// An uncached mapping.
    pub fn uncached(region: impl Into<String>, vaddr: u64, perms: &'static str) -> Self {
        Self {
            cached: false,
            ..Self::new(region, vaddr, perms)
        }
    }
}
