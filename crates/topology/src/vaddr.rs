//! Virtual addresses at which the system description maps memory regions.

/// In a VMM or a server: the region it shares with the console.
pub const CONSOLE_REGION: u64 = 0x1000_0000;

/// In the console: the region it shares with client `client` (see [`crate::console_client`]).
pub const fn console_client(client: usize) -> u64 {
    CONSOLE_REGION + client as u64 * 0x1_0000
}

/// In a VMM: the region it shares with the xenstore server.
pub const STORE_REGION: u64 = CONSOLE_REGION + 0x10_0000;

/// In the xenstore server: the region it shares with the VMM of domain `domain`, from 0.
pub const fn store_guest(domain: usize) -> u64 {
    STORE_REGION + domain as u64 * 0x4000
}

/// In a VMM: the region with queues that it shares with the block server.
pub const DISKS_REGION: u64 = CONSOLE_REGION + 0x14_0000;

/// In the block server: the region with queues that it shares with the VMM of domain `domain`, from
/// 0.
pub const fn disks_guest(domain: usize) -> u64 {
    DISKS_REGION + domain as u64 * 0x4000
}

/// In a VMM: the data area that it shares with the block server, within the same GiB as the others
/// so that no table has to be there for it alone.
pub const DISK_DATA: u64 = CONSOLE_REGION + 0x400_0000;

/// In the block server: the data area of domain `domain`, from 0.
pub const fn disk_data(domain: usize) -> u64 {
    DISK_DATA + domain as u64 * 0x20_0000
}

/// In the block server and in its driver: the region with queues that the two share.
pub const DISK_QUEUE: u64 = CONSOLE_REGION + 0x16_0000;
/// In the block server: its own buffer, which a device fills.
pub const DISK_BUFFER: u64 = CONSOLE_REGION + 0x17_0000;
/// In the block driver: the page with the registers of its device, uncached.
pub const DISK_REGISTERS: u64 = CONSOLE_REGION + 0x1c_0000;
/// In the block driver: what it shares with its device.
pub const DISK_DMA: u64 = CONSOLE_REGION + 0x1d_0000;

/// In a VMM: the region with queues that it shares with the net server.
pub const NETS_REGION: u64 = CONSOLE_REGION + 0x100_0000;

/// In the net server: the region with queues that it shares with the VMM of domain `domain`, from
/// 0.
pub const fn nets_guest(domain: usize) -> u64 {
    NETS_REGION + domain as u64 * 0x1_0000
}

/// In a VMM: the frames that it shares with the net server, behind the block server's areas.
pub const NET_DATA: u64 = CONSOLE_REGION + 0x600_0000;

/// In the net server: the frames of domain `domain`, from 0.
pub const fn net_data(domain: usize) -> u64 {
    NET_DATA + domain as u64 * 0x20_0000
}

/// In the net server and in the driver of the uplink: the region with queues that the two share.
pub const UPLINK_QUEUE: u64 = CONSOLE_REGION + 0x110_0000;
/// In both: the frames that they share.
pub const UPLINK_DATA: u64 = CONSOLE_REGION + 0x112_0000;
/// In the net driver: the page with the registers of its device, uncached.
pub const NET_REGISTERS: u64 = CONSOLE_REGION + 0x11c_0000;
/// In the net driver: what it shares with its device.
pub const NET_DMA: u64 = CONSOLE_REGION + 0x120_0000;

/// In the block server: RAM disk `disk`.
pub const fn ram_disk(disk: usize) -> u64 {
    0x20_0000_0000 + disk as u64 * 0x1_0000_0000
}

/// On boards whose system counter is not readable from user level, in PDs that read the time: the
/// clock page, and the registers of the board's counter. They share the last-level page table of
/// [`CONSOLE_REGION`].
pub const CLOCK_PAGE: u64 = CONSOLE_REGION + 0x18_0000;
/// The counter's registers; see [`CLOCK_PAGE`].
pub const CLOCK_COUNTER: u64 = CONSOLE_REGION + 0x18_1000;
/// In the timer server: registers of a board's timer, uncached.
pub const TIMER_REGISTERS: u64 = CONSOLE_REGION + 0x18_2000;
/// In the timer server: the page with the program of its virtual machine, uncached.
pub const CLOCK_CODE: u64 = CONSOLE_REGION + 0x18_3000;
/// In the timer server's virtual machine, as guest physical addresses: its program.
pub const CLOCK_VM_CODE: u64 = 0x1000;
/// And the counter's registers.
pub const CLOCK_VM_COUNTER: u64 = 0x2000;

/// In a VMM whose domain meets others, read-only: where its ports end.
pub const ENDS: u64 = CONSOLE_REGION + 0x19_0000;
/// In the peer server: the same of domain `domain`, from 0.
pub const fn ends(domain: usize) -> u64 {
    ENDS + domain as u64 * 0x1000
}
/// In a VMM: the first page that it shares with another VMM.
pub const PAIRS: u64 = CONSOLE_REGION + 0x1a_0000;
/// In a VMM: the page that it shares with the VMM of domain `other`, from 0.
pub const fn pair(other: usize) -> u64 {
    PAIRS + other as u64 * 0x1000
}

/// In the console: the UART's registers, uncached.
pub const UART: u64 = 0x2000_0000;

/// In the dt-server: the boot device tree, read-only, padded with zeros to whole pages.
pub const BOOT_DTB: u64 = 0x3000_0000;

/// In a VMM: the table behind its p2m ([`crate::p2m_bytes`] long, zeroed at boot).
pub const P2M: u64 = 0x10_0000_0000;

/// In the memory server: its records ([`crate::records_bytes`] long, zeroed at boot).
pub const RECORDS: u64 = 0x10_0000_0000;

/// In the xenstore server: all that it remembers.
pub const STORE_MEMORY: u64 = 0x10_0000_0000;

/// In a VMM: module region `region` (0 the kernel, 1 the RAM disk), read-only.
pub const fn module(region: u8) -> u64 {
    0x20_0000_0000 + region as u64 * 0x1_0000_0000
}

/// In a VMM: first byte of the window onto guest memory. Nothing is mapped there at boot.
pub const WINDOW: u64 = 0x40_0000_0000;
/// In a VMM: first byte past the window.
pub const WINDOW_END: u64 = 0xa0_0000_0000;

/// In the memory server: where it maps a 4 KiB page to zero it. Shares its last-level page table
/// with [`CONSOLE_REGION`], so that no table has to be made at run time.
pub const SCRUB_PAGE: u64 = CONSOLE_REGION + 0x10_0000;
/// In the memory server: where it maps frames of grant tables to look at them, one behind the
/// other; they share the same table.
pub const PEEKS: u64 = SCRUB_PAGE + 0x1_0000;
/// In the memory server: where it maps a 2 MiB block to zero it, within the same GiB for the same
/// reason.
pub const SCRUB_BLOCK: u64 = CONSOLE_REGION + 0x200_0000;
