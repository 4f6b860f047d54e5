//! The board that this program is built for: the default one, or what `ZAZEN_BOARD` named when it
//! was compiled.
//!
//! Constants, because the world switch reads the GIC's registers at these addresses; a board found
//! at run time would cost a load each. Ordinary guests see none of these numbers; where everything
//! is in a guest's address space its record says.

use board::{BOARDS, Board, DEFAULT};
use uart::Line;

/// The board.
pub(crate) const BOARD: &Board = match option_env!("ZAZEN_BOARD") {
    None => DEFAULT,
    Some(name) => by_name(name),
};

/// [`Board::by_name`] for the compiler.
const fn by_name(name: &str) -> &'static Board {
    let wanted = name.as_bytes();
    let mut n = 0;
    while n < BOARDS.len() {
        let found = BOARDS[n].name.as_bytes();
        let mut i = 0;
        while i < wanted.len() && i < found.len() && wanted[i] == found[i] {
            i += 1;
        }
        if i == wanted.len() && i == found.len() {
            return BOARDS[n];
        }
        n += 1;
    }
    panic!("ZAZEN_BOARD names no board of crates/board")
}

/// GIC distributor.
pub(crate) const GICD: u64 = BOARD.gic.distributor.start;
/// GIC CPU interface.
pub(crate) const GICC: u64 = BOARD.gic.cpu.start;
/// GIC virtual interface control.
pub(crate) const GICH: u64 = BOARD.gic.control.start;
/// GIC virtual CPU interface, 8 KiB, which guests see in place of a CPU interface.
pub(crate) const GICV: u64 = BOARD.gic.virtual_cpu.start;
/// The console's UART.
pub(crate) const UART: u64 = BOARD.uart.registers.start;

/// PPI of the GIC's maintenance interrupt.
pub(crate) const MAINTENANCE: u32 = BOARD.gic.maintenance;
/// PPI of the EL2 physical timer.
pub(crate) const HYP_TIMER: u32 = 26;
/// PPI of the virtual timer.
pub(crate) const VIRTUAL_TIMER: u32 = 27;
/// SPI of the UART.
pub(crate) const UART_IRQ: u32 = BOARD.uart.intid;

/// Speed of the serial line.
pub(crate) const LINE: Line = Line {
    baud: 115_200,
    clock_hz: BOARD.uart.clock_hz,
};

const BLOCK: u64 = 2 << 20;
/// 2 MiB blocks of device memory that the host maps.
pub(crate) const DEVICES: [u64; 3] = [
    GICD / BLOCK * BLOCK,
    UART / BLOCK * BLOCK,
    match BOARD.disks {
        [disk, ..] => disk.registers.start / BLOCK * BLOCK,
        // Behind the UART, whatever is there: nobody looks.
        [] => UART / BLOCK * BLOCK + BLOCK,
    },
];
/// The GiB that they lie in, which the boot tables map.
pub(crate) const DEVICE_GIB: u64 = UART >> 30;

const _: () = {
    assert!(GICD >> 30 == DEVICE_GIB);
    assert!(GICC / BLOCK == GICD / BLOCK && GICH / BLOCK == GICD / BLOCK);
    // Network devices are in the block of disks.
    let mut nic = 0;
    while nic < BOARD.nics.len() {
        assert!(BOARD.nics[nic].registers.start / BLOCK * BLOCK == DEVICES[2]);
        nic += 1;
    }
    assert!(DEVICES[0] != DEVICES[1] && DEVICES[0] != DEVICES[2] && DEVICES[1] != DEVICES[2]);
};
