//! The boards.

use crate::{Area, Board, Gic, Uart, UartKind};

/// All boards, the default one first.
pub const BOARDS: &[&Board] = &[&QEMU_VIRT];

/// QEMU's `virt` machine with `gic-version=2,virtualization=on` and 2 GiB (`hw/arm/virt.c`, `base_memmap`).
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
    timer_irq: 30,
    smmu: false,
};
