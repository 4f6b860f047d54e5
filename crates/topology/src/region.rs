//! The memory regions that protection domains and virtual machines map.

use crate::map::Which;
use crate::shape::{Counter, When};

/// What a region holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Holds {
    /// Registers of the console's UART.
    Uart,
    /// The GIC's virtual CPU interface.
    CpuInterface,
    /// Registers of the timer server's timer.
    Timer,
    /// Registers of the counter that serves as the clock.
    Counter,
    /// The domains file as a device tree, with the sizes of the modules.
    BootTree,
    /// The memory server's records: [`crate::records_bytes`].
    Records,
    /// One page of RAM.
    Page,
    /// The table behind a p2m: [`crate::p2m_bytes`].
    P2m,
    /// The text rings of one client: [`crate::CONSOLE_REGION_SIZE`].
    Rings,
    /// Requests and answers between a VMM and the xenstore server: [`crate::STORE_REGION_SIZE`].
    StoreRings,
    /// The xenstore server's memory.
    Store,
    /// Queues of disks: [`crate::DISKS_REGION_SIZE`].
    DiskQueues,
    /// Contents of sectors on their way: [`crate::DISK_DATA_SIZE`]. If the domain has a disk that
    /// is a device, which reads and writes here, it has a fixed physical address.
    DiskData,
    /// Queues of network interfaces: [`crate::NETS_REGION_SIZE`].
    NetQueues,
    /// Frames on their way: [`crate::NET_DATA_SIZE`].
    NetData,
    /// Queues of an uplink: [`crate::UPLINK_REGION_SIZE`].
    UplinkQueues,
    /// Frames on their way to and from an uplink: [`crate::UPLINK_DATA_SIZE`].
    UplinkData,
    /// What the driver of an uplink shares with its device: [`crate::NET_DMA_SIZE`].
    NetDma,
    /// Registers of the board's network device.
    NetRegisters,
    /// The block server's own buffer, likewise.
    DiskBuffer,
    /// The driver's memory, likewise.
    DiskDma,
    /// Registers of the board's disk.
    DiskRegisters,
    /// A file that is a RAM disk.
    RamDisk,
    /// A guest's file. Guests that name the same file share it.
    Module,
}

/// A region, or one for each of those who map it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Region {
    /// Its name, as mappings have it.
    pub which: Which,
    /// What it is, for readers of system.xml. `{name}` is whose it is.
    pub about: &'static str,
    /// What it holds.
    pub holds: Holds,
    /// In which systems.
    pub when: When,
}

const fn region(name: &'static str, about: &'static str, holds: Holds) -> Region {
    Region {
        which: Which::One(name),
        about,
        holds,
        when: When::Always,
    }
}

const fn when(when: When, region: Region) -> Region {
    Region { when, ..region }
}

const fn told(region: Region) -> Region {
    when(When::With(Counter::Told), region)
}

const fn own(prefix: &'static str, about: &'static str, holds: Holds) -> Region {
    Region {
        which: Which::Own(prefix),
        ..region("", about, holds)
    }
}

/// All regions, in the order of system.xml.
pub const REGIONS: &[Region] = &[
    region(
        "uart",
        "Registers of the UART: the console alone.",
        Holds::Uart,
    ),
    region(
        "gicv",
        "The GIC's virtual CPU interface: every guest's CPU interface.",
        Holds::CpuInterface,
    ),
    region(
        "boot_dtb",
        "The domains file as a device tree, with the sizes of the modules.",
        Holds::BootTree,
    ),
    region(
        "records",
        "What the memory server knows about each frame.",
        Holds::Records,
    ),
    region(
        "store",
        "What the xenstore server remembers: a share for each domain that has a store.",
        Holds::Store,
    ),
    told(region(
        "timer",
        "Registers of the timer: the timer server alone.",
        Holds::Timer,
    )),
    told(region(
        "clock_counter",
        "Registers of the counter that time is told by: written by the timer server alone.",
        Holds::Counter,
    )),
    told(region(
        "clock_page",
        "How the counter and the system counter go together: written by the timer server alone.",
        Holds::Page,
    )),
    told(region(
        "clock_code",
        "Program of the timer server's virtual machine, which reads the system counter.",
        Holds::Page,
    )),
    when(
        When::DiskDevices,
        region(
            "disk_registers",
            "Registers of the disk and of its neighbours in the page: the block driver alone.",
            Holds::DiskRegisters,
        ),
    ),
    when(
        When::DiskDevices,
        region(
            "disk_dma",
            "What the block driver and its device share: at a physical address that it knows.",
            Holds::DiskDma,
        ),
    ),
    when(
        When::DiskDevices,
        region(
            "disk_queue",
            "Requests and answers between the block server and its driver.",
            Holds::DiskQueues,
        ),
    ),
    when(
        When::Disks,
        region(
            "disk_buffer",
            "Where the block server has partition tables put.",
            Holds::DiskBuffer,
        ),
    ),
    when(
        When::Uplink,
        region(
            "net_registers",
            "Registers of the network device and of its neighbours in the page: the net driver alone.",
            Holds::NetRegisters,
        ),
    ),
    when(
        When::Uplink,
        region(
            "net_dma",
            "What the net driver and its device share: at a physical address that it knows.",
            Holds::NetDma,
        ),
    ),
    when(
        When::Uplink,
        region(
            "net_queue",
            "Which frames there are between the net server and its driver.",
            Holds::UplinkQueues,
        ),
    ),
    when(
        When::Uplink,
        region(
            "net_frames",
            "Frames on their way between the net server and its driver; the device does not reach them.",
            Holds::UplinkData,
        ),
    ),
    own(
        "p2m_",
        "Where the RAM of {name} is: its VMM alone.",
        Holds::P2m,
    ),
    own(
        "console_",
        "Text between {name} and the console.",
        Holds::Rings,
    ),
    own(
        "store_",
        "Requests and answers between the VMM of {name} and the xenstore server.",
        Holds::StoreRings,
    ),
    own(
        "disks_",
        "Requests and answers between the VMM of {name} and the block server.",
        Holds::DiskQueues,
    ),
    own(
        "data_",
        "Contents of sectors on their way between the VMM of {name} and the block server.",
        Holds::DiskData,
    ),
    own(
        "nets_",
        "Which frames there are between the VMM of {name} and the net server.",
        Holds::NetQueues,
    ),
    own(
        "frames_",
        "Frames on their way between the VMM of {name} and the net server.",
        Holds::NetData,
    ),
    Region {
        which: Which::RamDisks,
        ..region("", "RAM disk of {name}.", Holds::RamDisk)
    },
    Region {
        when: When::Met,
        ..own(
            "peer_",
            "Where the event channels of {name} to other domains end: written by the peer server alone.",
            Holds::Page,
        )
    },
    Region {
        which: Which::Pairs,
        when: When::Met,
        ..region("", "Events between {name}.", Holds::Page)
    },
    Region {
        which: Which::Modules,
        ..region("", "File of {name}.", Holds::Module)
    },
];
