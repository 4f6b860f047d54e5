//! The boards.

use crate::{Area, Board, Gic, Timer, Uart, UartKind, Virtio};

/// All boards, the default one first.
pub const BOARDS: &[&Board] = &[&QEMU_VIRT, &ZCU102];

/// QEMU's `virt` machine with `gic-version=2,virtualization=on` and 2 GiB (`hw/arm/virt.c`,
/// `base_memmap`).
///
/// The timer is the EL1 physical one, which Microkit's kernel exports to user level.
pub const QEMU_VIRT: Board = Board {
    name: "qemu_virt_aarch64",
    ram: &[Area::new(0x4000_0000, 0x8000_0000)],
    kernel_ram: &[Area::new(0x6000_0000, 0x6000_0000)],
    devices: &[
        // Flash; GIC to platform bus; secure memory; PCIe windows and configuration space.
        Area::new(0, 0x0800_0000),
        Area::new(0x0800_0000, 0x0800_0000),
        Area::new(0x1000_0000, 0x3000_0000),
        // GICv3 redistributors, PCIe configuration space and the large window above 256 GiB.
        Area::new(0x40_0000_0000, 0x2000_0000),
        Area::new(0x80_0000_0000, 0x80_0000_0000),
    ],
    uart: Uart {
        kind: UartKind::Pl011,
        registers: Area::new(0x0900_0000, 0x1000),
        intid: 33,
        clock_hz: 24_000_000,
    },
    gic: Gic {
        distributor: Area::new(0x0800_0000, 0x1000),
        cpu: Area::new(0x0801_0000, 0x2000),
        control: Area::new(0x0803_0000, 0x1000),
        virtual_cpu: Area::new(0x0804_0000, 0x2000),
        maintenance: 25,
    },
    timer: Timer::System { intid: 30 },
    // Slot 0 of 32. Slots 0 to 7 share a page, so these are disks or nothing.
    disks: &[Virtio {
        name: "virtio0",
        registers: Area::new(0x0a00_0000, 0x200),
        intid: 48,
    }],
    // Slot 8, in the next page.
    nics: &[Virtio {
        name: "virtio1",
        registers: Area::new(0x0a00_1000, 0x200),
        intid: 56,
    }],
    smmu: false,
    cores: 4,
};

/// Xilinx' ZCU102 with a Zynq UltraScale+ MPSoC: four Cortex-A53, a GIC-400 and 4 GiB of RAM in two
/// pieces (UG1085 chapter 10, "System Addresses"; UG1182 for the board). QEMU has it as
/// `xlnx-zcu102`.
///
/// All its RAM belongs to the kernel of the stock SDK. The GIC's register blocks are decoded at
/// every 4 KiB of 64 KiB each (UG1085 table 10-1, as on other GIC-400 systems with 64 KiB pages),
/// so that both pages of a CPU interface lie together around the end of the first 64 KiB.
pub const ZCU102: Board = Board {
    name: "zcu102",
    ram: &[
        Area::new(0, 0x8000_0000),
        Area::new(0x8_0000_0000, 0x8000_0000),
    ],
    kernel_ram: &[
        Area::new(0, 0x8000_0000),
        Area::new(0x8_0000_0000, 0x8000_0000),
    ],
    devices: &[
        // Programmable logic, QSPI, PCIe, CoreSight, GIC, peripherals, OCM.
        Area::new(0x8000_0000, 0x8000_0000),
        // Programmable logic and PCIe above 4 GiB, and again above 64 GiB.
        Area::new(0x4_0000_0000, 0x4_0000_0000),
        Area::new(0x10_0000_0000, 0xf0_0000_0000),
    ],
    uart: Uart {
        kind: UartKind::Cadence,
        registers: Area::new(0xff00_0000, 0x1000),
        intid: 53,
        clock_hz: 100_000_000,
    },
    gic: Gic {
        distributor: Area::new(0xf901_0000, 0x1000),
        cpu: Area::new(0xf902_f000, 0x2000),
        control: Area::new(0xf904_0000, 0x1000),
        virtual_cpu: Area::new(0xf906_f000, 0x2000),
        maintenance: 25,
    },
    timer: Timer::Ttc {
        timer: Area::new(0xff11_0000, 0x1000),
        intid: 68,
        counter: Area::new(0xff12_0000, 0x1000),
    },
    disks: &[],
    nics: &[],
    smmu: true,
    cores: 4,
};
