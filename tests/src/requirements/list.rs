//! Each requirement in a few words.

use Level::{May, Must, Should};

/// How much a requirement binds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Level {
    /// Needed.
    Must,
    /// Wanted; leaving it out needs a reason.
    Should,
    /// Allowed.
    May,
}

impl Level {
    /// As it stands in the table.
    pub const fn word(self) -> &'static str {
        match self {
            Must => "must",
            Should => "should",
            May => "may",
        }
    }
}

/// One requirement.
#[derive(Clone, Copy, Debug)]
pub struct Requirement {
    /// Its number, such as `SM-4`.
    pub id: &'static str,
    /// How much it binds.
    pub level: Level,
    /// What it asks.
    pub text: &'static str,
    /// Why there is nothing to implement, if so.
    pub not_here: Option<&'static str>,
}

const fn new(id: &'static str, level: Level, text: &'static str) -> Requirement {
    Requirement {
        id,
        level,
        text,
        not_here: None,
    }
}

const fn not(
    id: &'static str,
    level: Level,
    text: &'static str,
    reason: &'static str,
) -> Requirement {
    Requirement {
        id,
        level,
        text,
        not_here: Some(reason),
    }
}

const X86_PV: &str = "x86 PV only; arm64 guests are translated";
const NO_PV_MAP: &str = "x86 PV only; the guest's device tree is its map";

/// Every requirement, in the order of the table.
pub const REQUIREMENTS: &[Requirement] = &[
    new(
        "SM-1",
        Must,
        "Memory of a static region never reaches a general allocator",
    ),
    new(
        "SM-2",
        Must,
        "Each frame's record keeps its pool, and for static frames the home domain, for ever",
    ),
    new(
        "SM-3",
        Must,
        "A freed static frame goes back to its own domain's reserve, whatever freed it",
    ),
    new(
        "SM-4",
        Must,
        "Freeing what is not the caller's, or twice, is refused, logged and changes nothing",
    ),
    new(
        "SM-5",
        Must,
        "A frame can be had again only when nobody reaches it any more",
    ),
    new(
        "SM-6",
        Must,
        "populate of a static domain takes from its own reserve, first in first out",
    ),
    new("SM-7", Must, "order > 0 is refused for static domains"),
    new(
        "SM-8",
        Must,
        "An exhausted reserve is a partial count, not an error",
    ),
    new("SM-9", Must, "Failure at any step is rolled back"),
    new("SM-10", Must, "Operations on the lists are atomic"),
    new(
        "SM-11",
        Must,
        "A frame's state is verified before it is handed out",
    ),
    new(
        "SM-12",
        Should,
        "Giving a page back and taking it again is cheaper than the first time",
    ),
    new(
        "SM-13",
        Must,
        "Current and maximum are accounted, and the maximum holds",
    ),
    new(
        "SM-14",
        Must,
        "What is zeroed when is written down and kept",
    ),
    new(
        "SM-15",
        Must,
        "A dying domain gets nothing more and may still give back",
    ),
    new(
        "SM-16",
        Must,
        "A domain that is destroyed and created again has the same frames",
    ),
    new(
        "SM-17",
        Must,
        "Static memory is an explicit property of a domain",
    ),
    new("SM-18", Must, "direct-map without static memory is refused"),
    not(
        "SM-19",
        May,
        "The feature can be left out of a build",
        "always in: a domain without static regions costs nothing for it",
    ),
    new("SM-20", Must, "A static frame in use has an owner"),
    new(
        "SM-21",
        Must,
        "Run-time operations on static memory are single frames",
    ),
    new(
        "SM-22",
        Should,
        "Messages that a guest can cause are limited in rate and name the domain",
    ),
    new(
        "SM-23",
        Should,
        "A domain has the same memory at every start",
    ),
    new(
        "SM-24",
        Must,
        "Hypercalls are there, and safe, for guests without PV features too",
    ),
    new(
        "SM-25",
        Must,
        "Static banks are laid out in guest RAM in their order; at their own addresses with direct-map",
    ),
    new("SM-26", Must, "No domain has static and heap RAM at once"),
    new(
        "SM-27",
        Should,
        "populate over a frame that holds RAM is refused",
    ),
    new("SM-28", Must, "A static frame never changes its owner"),
    new("DM-1", Must, "Direct map for static domains alone"),
    new(
        "DM-2",
        Must,
        "populate of a direct-mapped domain gives the frame of that address back",
    ),
    new(
        "DM-3",
        Must,
        "order > 0 is allowed there, each frame checked",
    ),
    new(
        "DM-4",
        Should,
        "A direct-mapped domain sees the host's GIC and UART addresses",
    ),
    new(
        "DM-5",
        Must,
        "Exactly one of the two feature bits on direct mapping is set",
    ),
    new(
        "DM-6",
        Must,
        "Guest-physical is physical, by capabilities of known address",
    ),
    not(
        "DM-7",
        May,
        "Direct map of a part of the memory",
        "all static banks or none; a second domain can take the rest",
    ),
    new(
        "DM-8",
        Should,
        "Foreign mappings never lie at frame-number addresses",
    ),
    new(
        "DM-9",
        Must,
        "Static shared regions of a direct-mapped domain are 1:1",
    ),
    new(
        "SH-1",
        Should,
        "A declared static heap bounds what general allocation may use",
    ),
    new("SH-2", Must, "Its ranges are aligned to 64 KiB"),
    new(
        "SH-3",
        Should,
        "With a static heap, nothing else is added to the heap",
    ),
    new(
        "SH-4",
        Must,
        "Heap, static regions, reserved memory and modules do not overlap",
    ),
    new(
        "EX-1",
        Must,
        "Pages of the ABI are a kind of their own, typed and owned",
    ),
    new(
        "EX-2",
        Must,
        "The VMM keeps its mapping of them while the guest lives",
    ),
    new("EX-3", Must, "They are zero before anybody sees them"),
    new(
        "EX-4",
        Must,
        "They are not RAM: outside reservation, quota and memory map",
    ),
    new("EX-5", Must, "Creating one is undone if a later step fails"),
    new(
        "EX-6",
        Must,
        "They are released when the domain gives up its memory; twice is harmless",
    ),
    new("EX-7", Must, "Events are closed before the pages go"),
    new(
        "EX-8",
        Must,
        "Nothing is written after the end of a domain has begun",
    ),
    new(
        "EX-9",
        Must,
        "There is no page that domains or vCPUs share before registration",
    ),
    new("EX-10", Must, "Only vCPU 0 has a vcpu_info in shared_info"),
    not(
        "EX-11",
        Should,
        "\"No memory yet\" looks at RAM alone",
        "nothing asks whether a domain has memory yet; RAM and extra pages are counted apart (EX-4)",
    ),
    not(
        "EX-12",
        May,
        "Dirty logging treats them as dirty",
        "there is no dirty logging",
    ),
    not(
        "EX-13",
        May,
        "They are created anew on restore",
        "there is no save and restore",
    ),
    new("EX-14", Should, "The dump lists each of them with its kind"),
    new(
        "EX-15",
        Should,
        "The dump of a dying domain shows what remains",
    ),
    new(
        "EX-16",
        Must,
        "shared_info is mapped at one frame at a time (-EBUSY)",
    ),
    new(
        "EV-1",
        Must,
        "Pending, selector and upcall are set in order",
    ),
    new(
        "EV-2",
        Must,
        "unmask delivers what became pending meanwhile",
    ),
    new(
        "EV-3",
        Must,
        "No event bit is written once shared_info is gone",
    ),
    new(
        "EV-4",
        Must,
        "Ports outside the range are never looked up in memory",
    ),
    not(
        "EV-5",
        May,
        "FIFO set-up carries pending bits over",
        "FIFO event channels are answered -ENOSYS",
    ),
    not(
        "EV-6",
        Must,
        "Event mask byte and callbacks of x86 PV",
        "x86 PV; the upcall is the PPI of the hypervisor node",
    ),
    new(
        "EV-7",
        Should,
        "Operations on words that a guest shares are bounded",
    ),
    new(
        "UP-1",
        Must,
        "Guests are told which addresses are free for foreign mappings",
    ),
    new("UP-2", Must, "These never become RAM or devices"),
    not("UP-3", Should, "What Linux does with them", "information"),
    new(
        "UP-4",
        Should,
        "Foreign mappings need neither hotplug nor ballooning",
    ),
    new(
        "UP-5",
        Must,
        "Without such regions ballooning of any single page works",
    ),
    new(
        "UP-6",
        Should,
        "2 MiB aligned, 64 MiB at least, what the RAM banks leave over",
    ),
    new(
        "UP-7",
        Must,
        "Empty, they fault; what is mapped there goes without a trace",
    ),
    new(
        "UP-8",
        Should,
        "With direct map, no RAM of the machine is in them",
    ),
    new(
        "GM-1",
        Must,
        "The memory map comes from the hypervisor; the x86 calls are -ENOSYS",
    ),
    new(
        "GM-2",
        Must,
        "At least one bank, sorted, disjoint, page-aligned",
    ),
    new(
        "GM-3",
        Should,
        "Banks are whole pages, or the configuration is refused",
    ),
    new(
        "GM-4",
        Must,
        "Exactly the declared banks are populated, never devices or special pages",
    ),
    new("GM-5", Must, "Counts of extents are exact"),
    not(
        "GM-6",
        May,
        "Bookkeeping inside the pages being remapped",
        X86_PV,
    ),
    not("GM-7", May, "p2m and m2p updated together", X86_PV),
    new(
        "GM-8",
        Should,
        "A maximum above the initial size; its addresses are holes that populate fills",
    ),
    new(
        "GM-9",
        May,
        "The maximum is at most ten times the initial size",
    ),
    new(
        "GM-10",
        Should,
        "Memory that must not be used is not listed",
    ),
    new(
        "GM-11",
        Must,
        "maximum_reservation tells the domain's maximum",
    ),
    not("GM-12", May, "Legacy ISA window", NO_PV_MAP),
    not("GM-13", May, "Identity map of PCI BARs", NO_PV_MAP),
    not(
        "GM-14",
        May,
        "Unusable ranges treated as RAM in dom0",
        NO_PV_MAP,
    ),
    new(
        "GM-15",
        Must,
        "Kernel, device tree and RAM disk are checked against the map and each other before anything starts",
    ),
    new("GM-16", May, "Copies are done in bounded windows"),
    new(
        "GM-17",
        Must,
        "The guest takes its map as it is; no p2m is offered",
    ),
    new(
        "GM-18",
        Must,
        "A command line longer than 1024 bytes is refused",
    ),
    new("GM-19", Should, "No ACPI, no idle states: WFI is the idle"),
    not(
        "GM-20",
        May,
        "vm_assist of x86 PV",
        "type 5 alone on Arm; the others are -EINVAL",
    ),
    not("GM-21", May, "ELF notes and PV start of day", X86_PV),
    new(
        "GM-22",
        Should,
        "console_io works from the first instruction",
    ),
    new(
        "BL-1",
        Must,
        "decrease_reservation of single frames anywhere, counted",
    ),
    new(
        "BL-2",
        Must,
        "populate_physmap of single frames, counted; short counts are retried",
    ),
    new("BL-3", Must, "A guest balloons itself alone"),
    new(
        "BL-4",
        Must,
        "A static domain gets frames of its reserve, never others",
    ),
    new(
        "BL-5",
        Must,
        "Whatever gives memory back takes the same way",
    ),
    new("BL-6", Must, "The maximum holds"),
    new(
        "BL-7",
        Must,
        "A frame that changes its owner is zeroed first",
    ),
    new(
        "BL-8",
        Must,
        "RAM under another mapping is parked and comes back",
    ),
    new("BL-9", Must, "Frames that a device may reach are kept"),
    new("BL-10", Should, "Long calls do bounded work per exit"),
    new(
        "LU-1",
        Should,
        "Each allocation is ephemeral or preserved, by its kind",
    ),
    not(
        "LU-2",
        Should,
        "A region for the next instance holds nothing preserved",
        "live update is out of scope; the classes are written down (LU-1)",
    ),
    not(
        "LU-3",
        Should,
        "Preserved pages outside that region",
        "live update is out of scope",
    ),
    not(
        "LU-4",
        Should,
        "The hand-over format is an ABI of its own",
        "live update is out of scope; nothing is handed over",
    ),
    not(
        "LU-5",
        May,
        "Broken pages can be skipped",
        "live update is out of scope",
    ),
    not(
        "LU-6",
        Should,
        "One contiguous region for early boot",
        "live update is out of scope",
    ),
    new(
        "LU-7",
        Should,
        "The memory server's records alone suffice to take everything back from a VMM",
    ),
    new(
        "LU-8",
        Should,
        "No server maps guest memory that it was not given",
    ),
];
