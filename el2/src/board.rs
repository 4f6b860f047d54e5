//! The machine: QEMU's `virt` board with a GICv2 that has virtualisation extensions.
//!
//! Ordinary guests see none of these numbers; where everything is in a guest's address space its record says.

use uart::Line;

/// GIC distributor.
pub(crate) const GICD: u64 = 0x0800_0000;
/// GIC CPU interface.
pub(crate) const GICC: u64 = 0x0801_0000;
/// GIC virtual interface control.
pub(crate) const GICH: u64 = 0x0803_0000;
/// GIC virtual CPU interface, 8 KiB, which guests see in place of a CPU interface.
pub(crate) const GICV: u64 = 0x0804_0000;
/// PL011.
pub(crate) const UART: u64 = 0x0900_0000;

/// PPI of the GIC's maintenance interrupt.
pub(crate) const MAINTENANCE: u32 = 25;
/// PPI of the EL2 physical timer.
pub(crate) const HYP_TIMER: u32 = 26;
/// PPI of the virtual timer.
pub(crate) const VIRTUAL_TIMER: u32 = 27;
/// SPI 1: the PL011.
pub(crate) const UART_IRQ: u32 = 33;

/// Speed of the serial line.
pub(crate) const LINE: Line = Line {
    baud: 115_200,
    clock_hz: 24_000_000,
};

/// 2 MiB blocks of device memory that the host maps.
pub(crate) const DEVICES: [u64; 2] = [0x0800_0000, 0x0900_0000];
