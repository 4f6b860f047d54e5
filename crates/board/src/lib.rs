//! What the boards that Zazen runs on have, and where.
//!
//! One place for the numbers that the host tools, the dt-server and the EL2 host must agree on. An
//! image is for one board: the image tools write its name into the device tree that goes into the
//! image (property [`PROPERTY`] of `/chosen`), and readers of the tree at run time find the
//! board by it.
//!
//! Addresses are host physical; interrupts are GIC interrupt ids (SPI n is n + 32).
#![no_std]
#![forbid(unsafe_code)]

mod boards;

pub use boards::{BOARDS, QEMU_VIRT, ZCU102};

/// Property of `/chosen` that names the board. A tree without it is for [`DEFAULT`].
pub const PROPERTY: &str = "zazen,board";

/// Property of `/chosen` with the number of cores that the kernel of the image uses; one without
/// it.
pub const CORES_PROPERTY: &str = "zazen,cores";

/// The board where nothing says which.
pub const DEFAULT: &Board = &QEMU_VIRT;

/// `size` bytes from `start`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Area {
    /// First byte.
    pub start: u64,
    /// Bytes.
    pub size: u64,
}

impl Area {
    /// `size` bytes from `start`.
    pub const fn new(start: u64, size: u64) -> Self {
        Self { start, size }
    }

    /// First byte past the area.
    pub const fn end(&self) -> u64 {
        self.start.saturating_add(self.size)
    }
}

/// What kind of UART the console has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum UartKind {
    /// Arm's PrimeCell PL011.
    Pl011 = 0,
    /// The Cadence UART of Zynq and ZynqMP.
    Cadence = 1,
}

/// The console's UART.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Uart {
    /// What it is.
    pub kind: UartKind,
    /// Its registers, a whole page.
    pub registers: Area,
    /// Its interrupt.
    pub intid: u32,
    /// Hertz of its reference clock.
    pub clock_hz: u32,
}

/// A GICv2 with virtualisation extensions (IHI 0048B).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Gic {
    /// Distributor.
    pub distributor: Area,
    /// CPU interface.
    pub cpu: Area,
    /// Virtual interface control.
    pub control: Area,
    /// Virtual CPU interface, which guests see as their CPU interface.
    pub virtual_cpu: Area,
    /// Maintenance interrupt.
    pub maintenance: u32,
}

/// What user level has to tell and wait for time with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Timer {
    /// The system counter, and the EL1 physical timer with its interrupt.
    System {
        /// Interrupt of the timer.
        intid: u32,
    },
    /// Two triple timer counters (TTC), and a small virtual machine that reads the system counter
    /// at EL1.
    Ttc {
        /// The one whose counter 0 raises interrupts.
        timer: Area,
        /// Interrupt of its counter 0.
        intid: u32,
        /// The TTC whose counter 0 runs freely; PDs that need the time can read it.
        counter: Area,
    },
}

/// What kind of timer the timer server has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TimerKind {
    /// That of [`Timer::System`].
    System,
    /// That of [`Timer::Ttc`].
    Ttc,
}

impl TimerKind {
    /// Whether guests can program it too: then it may come late, or not at all. One control bit
    /// (`CNTHCTL_EL2.EL1PCEN`) opens the EL1 physical timer to EL0 and to guests; a TTC is a device
    /// that no guest has mapped.
    #[must_use]
    pub const fn is_within_reach_of_guests(self) -> bool {
        matches!(self, Self::System)
    }
}

impl Timer {
    /// Its kind.
    #[must_use]
    pub const fn kind(&self) -> TimerKind {
        match self {
            Self::System { .. } => TimerKind::System,
            Self::Ttc { .. } => TimerKind::Ttc,
        }
    }

    /// Interrupt of the timer that the timer server programs.
    pub const fn intid(&self) -> u32 {
        match *self {
            Self::System { intid } | Self::Ttc { intid, .. } => intid,
        }
    }
}

/// A device of a board behind virtio-mmio registers (Virtio 1.2, 4.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Virtio {
    /// What domains files call it.
    pub name: &'static str,
    /// Its registers. Others may lie in the same page: whoever has one of them has them all.
    pub registers: Area,
    /// Its interrupt, which comes as an edge.
    pub intid: u32,
}

/// What an image is for: a board, and how many of its cores the kernel uses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Target {
    /// The board.
    pub board: &'static Board,
    /// Cores, from 1 to the board's [`Board::cores`].
    pub cores: u8,
}

impl From<&'static Board> for Target {
    /// One core: that of a kernel that is not for several.
    fn from(board: &'static Board) -> Self {
        Self { board, cores: 1 }
    }
}

/// One board.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Board {
    /// Microkit's name.
    pub name: &'static str,
    /// All RAM that the board can have, whatever part of it a machine or a kernel uses.
    pub ram: &'static [Area],
    /// RAM that seL4 of the stock SDK takes for itself and hands out zeroed; the rest of `ram` it
    /// treats as device memory.
    pub kernel_ram: &'static [Area],
    /// Everything else that decodes addresses, in any order. A guest that shares the host's address
    /// map must have nothing else there.
    pub devices: &'static [Area],
    /// The console's UART.
    pub uart: Uart,
    /// The interrupt controller.
    pub gic: Gic,
    /// What the timer server has.
    pub timer: Timer,
    /// Disks, all within one page of registers: one driver has them.
    pub disks: &'static [Virtio],
    /// Network devices, likewise, in another page than disks.
    pub nics: &'static [Virtio],
    /// Whether there is an SMMU that could confine devices.
    pub smmu: bool,
    /// Cores that the stock SDK's multicore kernels use.
    pub cores: u8,
}

impl Board {
    /// The board with Microkit's name `name`.
    pub fn by_name(name: &str) -> Option<&'static Self> {
        BOARDS.iter().copied().find(|board| board.name == name)
    }
}

impl Default for &'static Board {
    fn default() -> Self {
        DEFAULT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apart(a: &Area, b: &Area) -> bool {
        a.end() <= b.start || b.end() <= a.start
    }

    #[test]
    fn every_board_is_found_and_holds_together() {
        assert_eq!(Board::by_name(DEFAULT.name), Some(DEFAULT));
        assert_eq!(Board::by_name("toaster"), None);
        for board in BOARDS {
            assert_eq!(Board::by_name(board.name), Some(*board));
            let within = |all: &[Area], a: &Area| {
                all.iter().any(|d| d.start <= a.start && a.end() <= d.end())
            };
            let gic = &board.gic;
            for device in [
                &board.uart.registers,
                &gic.distributor,
                &gic.cpu,
                &gic.control,
                &gic.virtual_cpu,
            ] {
                assert!(within(board.devices, device), "{}: {device:x?}", board.name);
                assert!(
                    device.start % 0x1000 == 0 && device.size % 0x1000 == 0,
                    "{}: {device:x?} is no whole number of pages",
                    board.name
                );
            }
            let page = |device: &Virtio| device.registers.start / 0x1000;
            for devices in [board.disks, board.nics] {
                for device in devices {
                    assert!(devices.iter().all(|other| page(other) == page(device)));
                    assert!(within(board.devices, &device.registers), "{device:x?}");
                }
            }
            // Whoever has the registers of one device in a page has them all.
            for (disk, nic) in board.disks.iter().zip(board.nics) {
                assert_ne!(page(disk), page(nic), "{}", board.name);
            }
            let all = || board.disks.iter().chain(board.nics);
            for device in all() {
                let same = all().filter(|o| o.name == device.name || o.intid == device.intid);
                assert_eq!(same.count(), 1, "{device:x?}");
            }
            for kernel in board.kernel_ram {
                assert!(within(board.ram, kernel), "{}: {kernel:x?}", board.name);
            }
            for ram in board.ram {
                for device in board.devices {
                    assert!(apart(ram, device), "{}: {ram:x?} {device:x?}", board.name);
                }
            }
        }
    }
}
