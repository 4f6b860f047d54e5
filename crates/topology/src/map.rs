//! What protection domains and virtual machines reach, and where.

use crate::shape::{Counter, When};
use crate::vaddr;

/// Symbol of memory-server.elf that gets the size of the records.
pub const RECORDS_SIZE_SYMBOL: &str = "zazen_records_bytes";
/// Symbol of xenstore-server.elf that gets the size of its memory.
pub const STORE_SIZE_SYMBOL: &str = "zazen_store_bytes";
/// Symbol of vmm.elf that gets the address of the region with the queues of its disks, if it has
/// any.
pub const DISKS_SYMBOL: &str = "zazen_disks";
/// The same of its network interfaces.
pub const NETS_SYMBOL: &str = "zazen_nets";
/// Symbol of programs that need the time: the address of the page that tells it.
pub const CLOCK_PAGE_SYMBOL: &str = "zazen_clock_page";

/// Which memory region, or regions, of [`REGIONS`](crate::region::REGIONS).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Which {
    /// The one of this name.
    One(&'static str),
    /// One's own: this and the name of the domain, or of the protection domain, behind it.
    Own(&'static str),
    /// The rings of all of the console's clients, at [`vaddr::console_client`].
    AllRings,
    /// Each VMM's own: this and the name of its domain behind it, of domains whose VMMs have it;
    /// that of domain 0 at the mapping's address, each next one so many bytes further.
    OfVmms(&'static str, u64),
    /// Files that are RAM disks, at [`vaddr::ram_disk`].
    RamDisks,
    /// What a VMM shares with each VMM whom its domain meets, at [`vaddr::pair`].
    Pairs,
    /// The domain's files, at [`vaddr::module`].
    Modules,
    /// The one of this name, where the domain's guest has the GIC's CPU interface.
    AtCpuInterface(&'static str),
}

/// Where what belongs to domain `domain` is, if that of domain 0 is at `first`.
#[must_use]
pub const fn of_domain(first: u64, step: u64, domain: usize) -> u64 {
    first + step * domain as u64
}

/// A mapping.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Map {
    /// What.
    pub which: Which,
    /// Where; ignored where [`Which`] says it.
    pub vaddr: u64,
    /// Microkit's letters: `r`, `rw` or `rx`.
    pub perms: &'static str,
    /// `false` for devices.
    pub cached: bool,
    /// Symbol of the program that gets the region's size.
    pub size_symbol: Option<&'static str>,
    /// Symbol of the program that gets the address.
    pub vaddr_symbol: Option<&'static str>,
    /// In which systems.
    pub when: When,
}

const fn map(which: Which, vaddr: u64, perms: &'static str) -> Map {
    Map {
        which,
        vaddr,
        perms,
        cached: true,
        size_symbol: None,
        vaddr_symbol: None,
        when: When::Always,
    }
}

const fn device(name: &'static str, vaddr: u64, perms: &'static str) -> Map {
    Map {
        cached: false,
        ..map(Which::One(name), vaddr, perms)
    }
}

const fn told(map: Map) -> Map {
    Map {
        when: When::With(Counter::Told),
        ..map
    }
}

const fn met(map: Map) -> Map {
    Map {
        when: When::Met,
        ..map
    }
}

const fn disks(map: Map) -> Map {
    Map {
        when: When::Disks,
        ..map
    }
}

const fn nets(map: Map) -> Map {
    Map {
        when: When::Nets,
        ..map
    }
}

const fn clock_page(perms: &'static str) -> Map {
    told(Map {
        vaddr_symbol: Some(CLOCK_PAGE_SYMBOL),
        ..map(Which::One("clock_page"), vaddr::CLOCK_PAGE, perms)
    })
}

const fn clock_counter(perms: &'static str) -> Map {
    told(device("clock_counter", vaddr::CLOCK_COUNTER, perms))
}

/// A client's text rings.
pub const RINGS: Map = map(Which::Own("console_"), vaddr::CONSOLE_REGION, "rw");
/// In the console, those of all its clients.
pub const ALL_RINGS: Map = map(Which::AllRings, vaddr::CONSOLE_REGION, "rw");
/// What a VMM shares with the xenstore server.
pub const STORE: Map = map(Which::Own("store_"), vaddr::STORE_REGION, "rw");
/// In the xenstore server, what it shares with all of them.
pub const ALL_STORES: Map = map(
    Which::OfVmms("store_", vaddr::store_guest(1) - vaddr::store_guest(0)),
    vaddr::STORE_REGION,
    "rw",
);
/// All that the xenstore server remembers.
pub const STORE_MEMORY: Map = Map {
    size_symbol: Some(STORE_SIZE_SYMBOL),
    ..map(Which::One("store"), vaddr::STORE_MEMORY, "rw")
};
/// Where ports of a VMM's domain end, which the peer server writes.
pub const ENDS: Map = met(map(Which::Own("peer_"), vaddr::ENDS, "r"));
/// In the peer server, the same of all domains.
pub const ALL_ENDS: Map = met(map(
    Which::OfVmms("peer_", vaddr::ends(1) - vaddr::ends(0)),
    vaddr::ENDS,
    "rw",
));
/// Events between a VMM and those whom its domain meets.
pub const PAIRS: Map = met(map(Which::Pairs, vaddr::PAIRS, "rw"));
/// Queues between a VMM and the block server.
pub const DISKS: Map = disks(Map {
    vaddr_symbol: Some(DISKS_SYMBOL),
    ..map(Which::Own("disks_"), vaddr::DISKS_REGION, "rw")
});
/// In the block server, those of all of them.
pub const ALL_DISKS: Map = map(
    Which::OfVmms("disks_", vaddr::disks_guest(1) - vaddr::disks_guest(0)),
    vaddr::DISKS_REGION,
    "rw",
);
/// What a VMM's guest reads from its disks and writes to them.
pub const DISK_DATA: Map = disks(map(Which::Own("data_"), vaddr::DISK_DATA, "rw"));
/// In the block server, that of all of them.
pub const ALL_DISK_DATA: Map = map(
    Which::OfVmms("data_", vaddr::disk_data(1) - vaddr::disk_data(0)),
    vaddr::DISK_DATA,
    "rw",
);
/// Queues between a VMM and the net server.
pub const NETS: Map = nets(Map {
    vaddr_symbol: Some(NETS_SYMBOL),
    ..map(Which::Own("nets_"), vaddr::NETS_REGION, "rw")
});
/// In the net server, those of all of them.
pub const ALL_NETS: Map = map(
    Which::OfVmms("nets_", vaddr::nets_guest(1) - vaddr::nets_guest(0)),
    vaddr::NETS_REGION,
    "rw",
);
/// Frames that a VMM's guest sends and receives.
pub const NET_DATA: Map = nets(map(Which::Own("frames_"), vaddr::NET_DATA, "rw"));
/// In the net server, those of all of them.
pub const ALL_NET_DATA: Map = map(
    Which::OfVmms("frames_", vaddr::net_data(1) - vaddr::net_data(0)),
    vaddr::NET_DATA,
    "rw",
);
/// Queues between the net server and the driver of its uplink.
pub const UPLINK_QUEUE: Map = Map {
    when: When::Uplink,
    ..map(Which::One("net_queue"), vaddr::UPLINK_QUEUE, "rw")
};
/// Frames between the two.
pub const UPLINK_DATA: Map = Map {
    when: When::Uplink,
    ..map(Which::One("net_frames"), vaddr::UPLINK_DATA, "rw")
};
/// That driver's descriptors, rings and buffers.
pub const NET_DMA: Map = map(Which::One("net_dma"), vaddr::NET_DMA, "rw");
/// Registers of its device.
pub const NET_REGISTERS: Map = device("net_registers", vaddr::NET_REGISTERS, "rw");
/// The block server's own buffer.
pub const DISK_BUFFER: Map = map(Which::One("disk_buffer"), vaddr::DISK_BUFFER, "rw");
/// RAM disks.
pub const RAM_DISKS: Map = map(Which::RamDisks, 0, "rw");
/// Queues between the block server and its driver.
pub const DISK_QUEUE: Map = Map {
    when: When::DiskDevices,
    ..map(Which::One("disk_queue"), vaddr::DISK_QUEUE, "rw")
};
/// The driver's descriptors and rings.
pub const DISK_DMA: Map = map(Which::One("disk_dma"), vaddr::DISK_DMA, "rw");
/// Registers of the driver's device.
pub const DISK_REGISTERS: Map = device("disk_registers", vaddr::DISK_REGISTERS, "rw");
/// The table behind a VMM's p2m.
pub const P2M: Map = map(Which::Own("p2m_"), vaddr::P2M, "rw");
/// A VMM's files.
pub const MODULES: Map = map(Which::Modules, 0, "r");
/// The memory server's records.
pub const RECORDS: Map = Map {
    size_symbol: Some(RECORDS_SIZE_SYMBOL),
    ..map(Which::One("records"), vaddr::RECORDS, "rw")
};
/// The image's device tree.
pub const BOOT_DTB: Map = map(Which::One("boot_dtb"), vaddr::BOOT_DTB, "r");
/// The UART.
pub const UART: Map = device("uart", vaddr::UART, "rw");
/// Registers of a timer.
pub const TIMER: Map = told(device("timer", vaddr::TIMER_REGISTERS, "rw"));
/// In PDs that read the time: the clock page.
pub const CLOCK_PAGE: Map = clock_page("r");
/// In PDs that read the time: the counter's registers.
pub const CLOCK_COUNTER: Map = clock_counter("r");
/// The clock page in the PD that writes it.
pub const CLOCK_PAGE_WRITTEN: Map = clock_page("rw");
/// The counter's registers in the PD that starts it.
pub const CLOCK_COUNTER_WRITTEN: Map = clock_counter("rw");
/// The page with the program of the timer server's virtual machine.
pub const CLOCK_CODE: Map = told(device("clock_code", vaddr::CLOCK_CODE, "rw"));
/// In that machine: its program.
pub const CLOCK_VM_CODE: Map = map(Which::One("clock_code"), vaddr::CLOCK_VM_CODE, "rx");
/// In that machine: the counter's registers.
pub const CLOCK_VM_COUNTER: Map = device("clock_counter", vaddr::CLOCK_VM_COUNTER, "r");
/// In a guest: the GIC's virtual CPU interface.
pub const GUEST_CPU_INTERFACE: Map = Map {
    cached: false,
    ..map(Which::AtCpuInterface("gicv"), 0, "rw")
};
