//! What lies at an address of a protection domain.

use core::fmt;

use hv_types::WindowAddr;
use topology::{
    CONSOLE_REGION_SIZE, DISK_DATA_SIZE, DISKS_REGION_SIZE, MAX_DOMAINS, MAX_MODULES,
    NET_DATA_SIZE, NETS_REGION_SIZE, RAM_DISKS, pd, stack, vaddr,
};

use crate::who::Who;

const PAGE: u64 = 0x1000;

/// What lies at an address, by the layout of `topology`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// The first page: a pointer that was never set.
    Null,
    /// The program itself or what Microkit maps next to it.
    Program,
    /// The text ring shared with the console.
    ConsoleRing,
    /// Queues or contents of disks, shared with the block server or, in that, with a VMM.
    Disks,
    /// Frames and their queues, shared with the net server or, in that, with a VMM.
    Nets,
    /// A RAM disk.
    RamDisk,
    /// The table behind a VMM's p2m.
    P2m,
    /// The memory server's records.
    Records,
    /// Where the memory server zeroes frames.
    Scrub,
    /// A file of the guest, by number.
    Module(u8),
    /// RAM of the guest in a VMM's window, by guest physical address.
    GuestRam(u64),
    /// An extra page (shared_info, grant frame, ring) in a VMM's window, by number.
    Extra(u64),
    /// The device tree of the image.
    DeviceTree,
    /// Below the stack: it has overflowed.
    BelowStack,
    /// The stack.
    Stack,
    /// Nothing that we know of.
    Unmapped,
}

impl Place {
    /// What lies at `address` of `who`; `top` is the last address of a PD (seL4's
    /// `seL4_UserVSpaceTop`).
    pub fn of(who: &Who<'_>, address: u64, top: u64) -> Self {
        let within = |start: u64, size: u64| (start..start.saturating_add(size)).contains(&address);
        let size = who.pd().map_or(stack::SMALL, |pd| pd.stack);
        // The IPC buffer is the last page, with an empty one below.
        let stack_top = (top & !(PAGE - 1)).saturating_sub(PAGE);
        let stack_bottom = stack_top.saturating_sub(size);
        if address < PAGE {
            return Self::Null;
        }
        if within(vaddr::CONSOLE_REGION, CONSOLE_REGION_SIZE) {
            return Self::ConsoleRing;
        }
        if within(stack_bottom, size) {
            return Self::Stack;
        }
        if within(stack_bottom.saturating_sub(size), size) {
            return Self::BelowStack;
        }
        match who.pd().map_or("", |pd| pd.name) {
            pd::VMM_PREFIX
                if within(vaddr::DISKS_REGION, DISKS_REGION_SIZE)
                    || within(vaddr::DISK_DATA, DISK_DATA_SIZE) =>
            {
                Self::Disks
            }
            pd::VMM_PREFIX
                if within(vaddr::NETS_REGION, NETS_REGION_SIZE)
                    || within(vaddr::NET_DATA, NET_DATA_SIZE) =>
            {
                Self::Nets
            }
            pd::NET_SERVER
                if (vaddr::NETS_REGION..vaddr::nets_guest(MAX_DOMAINS)).contains(&address)
                    || (vaddr::NET_DATA..vaddr::net_data(MAX_DOMAINS)).contains(&address) =>
            {
                Self::Nets
            }
            pd::VMM_PREFIX => Self::of_vmm(address).unwrap_or(Self::rest(address)),
            pd::BLOCK_SERVER
                if (vaddr::ram_disk(0)..vaddr::ram_disk(RAM_DISKS)).contains(&address) =>
            {
                Self::RamDisk
            }
            pd::BLOCK_SERVER
                if (vaddr::DISKS_REGION..vaddr::disks_guest(MAX_DOMAINS)).contains(&address)
                    || (vaddr::DISK_DATA..vaddr::disk_data(MAX_DOMAINS)).contains(&address) =>
            {
                Self::Disks
            }
            pd::MEMORY_SERVER if within(vaddr::RECORDS, vaddr::WINDOW - vaddr::RECORDS) => {
                Self::Records
            }
            pd::MEMORY_SERVER
                if within(vaddr::SCRUB_PAGE, PAGE) || within(vaddr::SCRUB_BLOCK, 1 << 21) =>
            {
                Self::Scrub
            }
            pd::DT_SERVER if within(vaddr::BOOT_DTB, 1 << 28) => Self::DeviceTree,
            _ => Self::rest(address),
        }
    }

    fn of_vmm(address: u64) -> Option<Self> {
        if (vaddr::WINDOW..vaddr::WINDOW_END).contains(&address) {
            let offset = address - vaddr::WINDOW;
            return Some(match offset.checked_sub(WindowAddr::EXTRA_BASE) {
                Some(extra) => Self::Extra(extra / PAGE),
                None => Self::GuestRam(offset),
            });
        }
        if (vaddr::P2M..vaddr::module(0)).contains(&address) {
            return Some(Self::P2m);
        }
        let modules = u8::try_from(MAX_MODULES).unwrap_or(0);
        let module = (0..modules).find(|number| {
            (vaddr::module(*number)..vaddr::module(number + 1)).contains(&address)
        })?;
        Some(Self::Module(module))
    }

    fn rest(address: u64) -> Self {
        if address < vaddr::CONSOLE_REGION {
            Self::Program
        } else {
            Self::Unmapped
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("no address at all"),
            Self::Program => f.write_str("its program or behind it"),
            Self::ConsoleRing => f.write_str("its text ring to the console"),
            Self::Disks => f.write_str("what a VMM and the block server share"),
            Self::Nets => f.write_str("what a VMM and the net server share"),
            Self::RamDisk => f.write_str("a RAM disk"),
            Self::P2m => f.write_str("its p2m table"),
            Self::Records => f.write_str("its records of frames"),
            Self::Scrub => f.write_str("its place for zeroing frames"),
            Self::Module(0) => f.write_str("the file of the guest's kernel"),
            Self::Module(_) => f.write_str("the file of the guest's RAM disk"),
            Self::GuestRam(gpa) => {
                write!(f, "its window onto guest memory, guest address {gpa:#x}")
            }
            Self::Extra(page) => {
                write!(f, "its window onto guest memory, extra page {page}")
            }
            Self::DeviceTree => f.write_str("the image's device tree"),
            Self::BelowStack => f.write_str("below its stack, which has overflowed"),
            Self::Stack => f.write_str("its stack"),
            Self::Unmapped => f.write_str("where nothing is ever mapped"),
        }
    }
}
