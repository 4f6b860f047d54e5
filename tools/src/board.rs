//! Boards: what of the system description differs from one to the next.

/// Names and numbers of one board. Addresses are physical, interrupts are GIC interrupt ids.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Board {
    /// Microkit's name.
    pub name: &'static str,
    /// The console's UART: a page of registers.
    pub uart: u64,
    /// Its interrupt.
    pub uart_irq: u32,
    /// The GIC's virtual CPU interface, which guests see as their CPU interface.
    pub gicv: u64,
    /// Bytes of that.
    pub gicv_size: u64,
    /// Interrupt of the timer that the timer server programs.
    pub timer_irq: u32,
}

/// QEMU's `virt` machine with a GICv2: PL011, and the EL1 physical timer, which the SDK exports to user level.
const QEMU_VIRT: Board = Board {
    name: "qemu_virt_aarch64",
    uart: 0x0900_0000,
    uart_irq: 33,
    gicv: 0x0804_0000,
    gicv_size: 0x2000,
    timer_irq: 30,
};

/// The boards that a system can be generated for.
pub const BOARDS: &[Board] = &[QEMU_VIRT];

impl Board {
    /// The board with Microkit's name `name`.
    pub fn by_name(name: &str) -> Option<&'static Self> {
        BOARDS.iter().find(|board| board.name == name)
    }
}
