//! What protection domains and virtual machines reach, and where.

use crate::table::{Counter, When};
use crate::vaddr;

/// Symbol of memory-server.elf that gets the size of the records.
pub const RECORDS_SIZE_SYMBOL: &str = "zazen_records_bytes";
/// Symbol of xenstore-server.elf that gets the size of its memory.
pub const STORE_SIZE_SYMBOL: &str = "zazen_store_bytes";
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
    /// What the xenstore server shares with each VMM, at [`vaddr::store_guest`].
    AllStores,
    /// The domain's files, at [`vaddr::module`].
    Modules,
    /// The one of this name, where the domain's guest has the GIC's CPU interface.
    AtCpuInterface(&'static str),
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
    /// On which boards.
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
pub const ALL_STORES: Map = map(Which::AllStores, vaddr::STORE_REGION, "rw");
/// All that the xenstore server remembers.
pub const STORE_MEMORY: Map = Map {
    size_symbol: Some(STORE_SIZE_SYMBOL),
    ..map(Which::One("store"), vaddr::STORE_MEMORY, "rw")
};
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
