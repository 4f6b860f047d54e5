//! Channel ids, addresses and names of the Microkit system.
//!
//! [`table`] and [`links`] say which protection domains there are and who may call whom.
//! `zazen generate` writes all this into system.xml and the protection domains are compiled with
//! them, so neither side repeats a number of the other. Addresses are virtual addresses in the
//! address space of the protection domain (PD) named; all lie below 2^40, the top of an seL4
//! user address space on AArch64 with a 40-bit stage 1, and no two regions of one PD overlap
//! (tested here).
#![no_std]
#![forbid(unsafe_code)]

pub mod caps;
pub mod channel;
pub mod child;
pub mod console_client;
pub mod console_key;
pub mod cores;
pub mod links;
pub mod map;
pub mod meets;
pub mod pd;
pub mod region;
pub mod shape;
pub mod share;
pub mod stack;
pub mod table;
pub mod vaddr;

/// Most domains of one system; VMM `i` (from 0, in device-tree order) runs domain id `i + 1`.
pub const MAX_DOMAINS: usize = 8;

/// Module regions a VMM can have mapped: kernel and RAM disk.
pub const MAX_MODULES: usize = 2;

/// Bytes of a `console_<client>` region (console-api's `REGION_SIZE`).
pub const CONSOLE_REGION_SIZE: u64 = 0x4000;

/// Bytes of a `store_<domain>` region (xenstore-server-api's `REGION_SIZE`).
pub const STORE_REGION_SIZE: u64 = 0x3000;

/// Bytes of a `disks_<domain>` region and of `disk_queue` (block-server-api's `HEADER_SIZE`).
pub const DISKS_REGION_SIZE: u64 = 0x3000;
/// Bytes of a `data_<domain>` region: one large page, of which block-server-api's `DATA_SIZE` is
/// used.
pub const DISK_DATA_SIZE: u64 = 0x20_0000;
/// Bytes of the block server's own buffer.
pub const DISK_BUFFER_SIZE: u64 = PAGE;
/// Bytes of the driver's memory for descriptors, rings and headers.
pub const DISK_DMA_SIZE: u64 = 16 * PAGE;
/// Most RAM disks of a system.
pub const RAM_DISKS: usize = 8;

/// Bytes of a `nets_<domain>` region (net-server-api's `HEADER_SIZE`).
pub const NETS_REGION_SIZE: u64 = 0xc000;
/// Bytes of a `frames_<domain>` region (net-server-api's `DATA_SIZE`): one large page.
pub const NET_DATA_SIZE: u64 = 0x20_0000;

/// Bytes of the `net_queue` region (net-server-api's `UPLINK_HEADER_SIZE`).
pub const UPLINK_REGION_SIZE: u64 = 0x3000;
/// Bytes of the `net_frames` region (net-server-api's `NIC_DATA`).
pub const UPLINK_DATA_SIZE: u64 = 0x8_0000;
/// Bytes of the net driver's memory for descriptors, rings and buffers.
pub const NET_DMA_SIZE: u64 = 80 * PAGE;

/// Bytes of the UART's registers that the console maps.
pub const UART_SIZE: u64 = 0x1000;

const PAGE: u64 = 0x1000;

// Channel ids of one PD are distinct and within Microkit's limit; VMMs come first everywhere.
const _: () = {
    assert!(MAX_DOMAINS <= console_client::MEMORY_SERVER);
    assert!(console_client::COUNT <= channel::SERVER_CONSOLE);
    assert!(child::COUNT <= channel::FAULTS_MEMORY);
    assert!(channel::DT < channel::GATE_MEMORY && channel::GATE_MEMORY < channel::GATE_DT);
    // Each child's two capabilities fit behind the Microkit's own.
    assert!(caps::child_notification(child::COUNT - 1) < caps::MICROKIT_SLOTS);
    assert!(channel::SERVER_CONSOLE < channel::IRQ);
    assert!(console_client::COUNT <= channel::CONSOLE_TIMER);
    assert!(channel::CONSOLE_TIMER < channel::IRQ);
    assert!(MAX_DOMAINS <= channel::TIMER_PULSE);
    assert!(channel::TIMER_CLIENT_STORE < channel::TIMER_PULSE);
    assert!(channel::STORE_TIMER < channel::STORE_FAULTS);
    assert!(channel::STORE_FAULTS + MAX_DOMAINS <= channel::SERVER_CONSOLE);
    assert!(channel::FAULTS_STORE + MAX_DOMAINS <= channel::FAULTS_MEMORY);
    assert!(channel::FAULTS_STORE + MAX_DOMAINS <= channel::FAULTS_DISKS);
    assert!(channel::FAULTS_DISKS + MAX_DOMAINS <= channel::FAULTS_BLOCK);
    assert!(channel::FAULTS_BLOCK < channel::FAULTS_NETS);
    assert!(channel::FAULTS_NETS + MAX_DOMAINS <= channel::FAULTS_PEER);
    assert!(channel::FAULTS_NETS + MAX_DOMAINS <= channel::FAULTS_NET);
    assert!(channel::FAULTS_NET < channel::FAULTS_PEER);
    assert!(MAX_DOMAINS <= channel::BLOCK_DRIVER && MAX_DOMAINS <= channel::NET_DRIVER);
    assert!(MAX_DOMAINS <= channel::PEER_MEMORY);
    assert!(MAX_DOMAINS <= channel::MEMORY_PEER && channel::MEMORY_PEER < channel::MEMORY_FAULTS);
    assert!(MAX_DOMAINS <= channel::STORE_TIMER && channel::STORE_TIMER < channel::SERVER_CONSOLE);
    assert!(MAX_DOMAINS <= channel::TIMER_CLIENT_STORE);
    assert!(channel::TIMER_PULSE < channel::TIMER_CLIENT_CONSOLE);
    assert!(channel::TIMER_CLIENT_CONSOLE < channel::SERVER_CONSOLE);
    assert!(channel::IRQ <= channel::MICROKIT_MAX);
};

/// Bytes of a VMM's `p2m_<vm>` region for `ram` bytes of guest RAM: 4 per page of 4 KiB, and
/// 64 KiB for everything that is not RAM. A whole number of pages; saturates.
pub const fn p2m_bytes(ram: u64) -> u64 {
    page_up((ram / PAGE).saturating_mul(4).saturating_add(0x1_0000))
}

/// Bytes of the memory server's `records` region for `handed` bytes of memory in its hands: 8.5
/// per page of 4 KiB, so that every block can be split at once. A split block's record has 4,240
/// bytes; the rest of the 4,352 for each block is its own record and windows, of which a guest that
/// may grow tenfold has up to 24. A whole number of pages; saturates.
pub const fn records_bytes(handed: u64) -> u64 {
    page_up((handed / PAGE).saturating_mul(17) / 2).saturating_add(16 * PAGE) & !(PAGE - 1)
}

const fn page_up(bytes: u64) -> u64 {
    bytes.saturating_add(PAGE - 1) & !(PAGE - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOP: u64 = 1 << 40;

    fn assert_disjoint<const N: usize>(pd: &str, mut regions: [(u64, u64); N]) {
        regions.sort_unstable();
        for pair in regions.windows(2) {
            assert!(
                pair[0].0 + pair[0].1 <= pair[1].0,
                "{pd}: {:#x} runs into {:#x}",
                pair[0].0,
                pair[1].0
            );
        }
        assert!(
            regions.iter().all(|(start, size)| start + size <= TOP),
            "{pd}: past 2^40"
        );
    }

    #[test]
    fn regions_of_a_vmm_are_disjoint() {
        // The largest guest: as much RAM as the window holds.
        let p2m = p2m_bytes(vaddr::WINDOW_END - vaddr::WINDOW);
        let module = vaddr::module(1) - vaddr::module(0);
        assert_disjoint(
            "vmm",
            [
                (vaddr::CONSOLE_REGION, CONSOLE_REGION_SIZE),
                (vaddr::STORE_REGION, STORE_REGION_SIZE),
                (vaddr::ENDS, PAGE),
                (vaddr::PAIRS, PAGE * MAX_DOMAINS as u64),
                (vaddr::DISKS_REGION, DISKS_REGION_SIZE),
                (vaddr::DISK_DATA, DISK_DATA_SIZE),
                (vaddr::NETS_REGION, NETS_REGION_SIZE),
                (vaddr::NET_DATA, NET_DATA_SIZE),
                (vaddr::P2M, p2m),
                (vaddr::module(0), module * MAX_MODULES as u64),
                (vaddr::WINDOW, vaddr::WINDOW_END - vaddr::WINDOW),
            ],
        );
    }

    #[test]
    fn regions_of_the_console_are_disjoint() {
        let last = vaddr::console_client(console_client::COUNT - 1);
        let step = vaddr::console_client(1) - vaddr::console_client(0);
        assert!(step >= CONSOLE_REGION_SIZE);
        assert!(last + CONSOLE_REGION_SIZE <= vaddr::CLOCK_PAGE);
        const { assert!(vaddr::CLOCK_CODE + PAGE <= vaddr::UART) };
    }

    #[test]
    fn regions_of_the_xenstore_server_are_disjoint() {
        let last = vaddr::store_guest(MAX_DOMAINS - 1);
        assert!(vaddr::store_guest(1) - vaddr::store_guest(0) >= STORE_REGION_SIZE);
        const { assert!(vaddr::STORE_REGION >= vaddr::CONSOLE_REGION + CONSOLE_REGION_SIZE) };
        assert!(last + STORE_REGION_SIZE <= vaddr::CLOCK_PAGE);
        const { assert!(vaddr::CLOCK_CODE + PAGE <= vaddr::STORE_MEMORY) };
    }

    #[test]
    fn regions_of_the_block_server_and_its_driver_are_disjoint() {
        const DOMAINS: u64 = MAX_DOMAINS as u64;
        let step = |at: fn(usize) -> u64| at(1) - at(0);
        assert!(step(vaddr::disks_guest) >= DISKS_REGION_SIZE);
        assert!(step(vaddr::disk_data) >= DISK_DATA_SIZE);
        let ram = step(vaddr::ram_disk) * RAM_DISKS as u64;
        assert_disjoint(
            "block_server",
            [
                (vaddr::CONSOLE_REGION, CONSOLE_REGION_SIZE),
                (vaddr::DISKS_REGION, step(vaddr::disks_guest) * DOMAINS),
                (vaddr::DISK_QUEUE, DISKS_REGION_SIZE),
                (vaddr::DISK_BUFFER, DISK_BUFFER_SIZE),
                (vaddr::DISK_DATA, step(vaddr::disk_data) * DOMAINS),
                (vaddr::ram_disk(0), ram),
            ],
        );
        assert_disjoint(
            "block_driver",
            [
                (vaddr::DISK_QUEUE, DISKS_REGION_SIZE),
                (vaddr::DISK_REGISTERS, PAGE),
                (vaddr::DISK_DMA, DISK_DMA_SIZE),
            ],
        );
    }

    #[test]
    fn regions_of_the_net_server_and_its_driver_are_disjoint() {
        const DOMAINS: u64 = MAX_DOMAINS as u64;
        let step = |at: fn(usize) -> u64| at(1) - at(0);
        assert!(step(vaddr::nets_guest) >= NETS_REGION_SIZE);
        assert!(step(vaddr::net_data) >= NET_DATA_SIZE);
        assert_disjoint(
            "net_server",
            [
                (vaddr::CONSOLE_REGION, CONSOLE_REGION_SIZE),
                (vaddr::CLOCK_PAGE, 2 * PAGE),
                (vaddr::NETS_REGION, step(vaddr::nets_guest) * DOMAINS),
                (vaddr::NET_DATA, step(vaddr::net_data) * DOMAINS),
                (vaddr::UPLINK_QUEUE, UPLINK_REGION_SIZE),
                (vaddr::UPLINK_DATA, UPLINK_DATA_SIZE),
            ],
        );
        assert_disjoint(
            "net_driver",
            [
                (vaddr::UPLINK_QUEUE, UPLINK_REGION_SIZE),
                (vaddr::UPLINK_DATA, UPLINK_DATA_SIZE),
                (vaddr::NET_REGISTERS, PAGE),
                (vaddr::NET_DMA, NET_DMA_SIZE),
            ],
        );
    }

    #[test]
    fn channels_of_a_vmm_are_distinct() {
        let mut vmm = [
            channel::MEMORY,
            channel::DT,
            channel::TIMER,
            channel::CONSOLE,
            channel::STORE,
            channel::PEER,
            channel::DISKS,
            channel::DISKS_LOST,
            channel::NETS,
            channel::NETS_LOST,
        ];
        assert!(vmm.iter().all(|channel| *channel < channel::PAIR));
        const { assert!(channel::PAIR + MAX_DOMAINS <= channel::MICROKIT_MAX) };
        vmm.sort_unstable();
        assert!(vmm.windows(2).all(|pair| pair[0] != pair[1]), "{vmm:?}");
    }

    #[test]
    fn sizes() {
        assert_eq!(p2m_bytes(256 << 20), 0x4_0000 + 0x1_0000);
        assert_eq!(p2m_bytes(0), 0x1_0000);
        assert_eq!(records_bytes(1 << 30), 512 * 4352 + 0x1_0000);
        assert_eq!(records_bytes(0), 0x1_0000);
        assert_eq!(p2m_bytes(u64::MAX) % PAGE, 0);
        assert_eq!(records_bytes(u64::MAX) % PAGE, 0);
    }
}
