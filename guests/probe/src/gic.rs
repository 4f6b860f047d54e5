//! GICv2 at the addresses of Xen's guest layout.

use crate::trap::Outcome;
use crate::{attempt, cpu};

/// Distributor.
pub const GICD: u64 = 0x0300_1000;
/// CPU interface.
pub const GICC: u64 = 0x0300_2000;

/// Distributor registers.
pub mod gicd {
    /// Control.
    pub const CTLR: u64 = 0;
    /// Type.
    pub const TYPER: u64 = 4;
    /// Set-enable.
    pub const ISENABLER: u64 = 0x100;
    /// Clear-enable.
    pub const ICENABLER: u64 = 0x180;
    /// Set-pending.
    pub const ISPENDR: u64 = 0x200;
    /// Targets, a byte for each interrupt.
    pub const ITARGETSR: u64 = 0x800;
    /// Priorities, a byte for each interrupt.
    pub const IPRIORITYR: u64 = 0x400;
    /// Software-generated interrupts.
    pub const SGIR: u64 = 0xf00;
}

/// CPU interface registers.
mod gicc {
    pub const CTLR: u64 = 0;
    pub const PMR: u64 = 4;
    pub const IAR: u64 = 0xc;
    pub const EOIR: u64 = 0x10;
}

/// The virtual timer's interrupt.
const TIMER: u32 = 27;

/// Reads distributor register `offset`.
pub fn read_distributor(offset: u64) -> u32 {
    // SAFETY: a register of the distributor.
    unsafe { ((GICD + offset) as *const u32).read_volatile() }
}

/// Writes distributor register `offset`.
pub fn write_distributor(offset: u64, value: u32) {
    // SAFETY: as above.
    unsafe { ((GICD + offset) as *mut u32).write_volatile(value) }
}

/// Writes to `GICD_SGIR`: 0, or the syndrome of the exception that it took.
pub fn send(word: u64) -> u64 {
    match attempt!("str {0:w}, [{1}]", in(reg) word, in(reg) GICD + gicd::SGIR) {
        Outcome::Done => 0,
        Outcome::Took(fault) => fault.esr,
    }
}

fn read_interface(offset: u64) -> u32 {
    // SAFETY: a register of the CPU interface.
    unsafe { ((GICC + offset) as *const u32).read_volatile() }
}

fn write_interface(offset: u64, value: u32) {
    // SAFETY: as above.
    unsafe { ((GICC + offset) as *mut u32).write_volatile(value) }
}

/// Turns on the distributor, the CPU interface, SGI 0 and the virtual timer's interrupt.
pub fn start() {
    write_distributor(gicd::CTLR, 1);
    write_distributor(gicd::IPRIORITYR, 0xa0a0_a0a0);
    write_distributor(gicd::IPRIORITYR + 24, 0xa0a0_a0a0);
    write_distributor(gicd::ISENABLER, 1 | 1 << TIMER);
    write_interface(gicc::PMR, 0xff);
    write_interface(gicc::CTLR, 1);
}

/// Takes and ends the interrupt; the timer is turned off.
pub fn on_interrupt() {
    take_one();
}

/// The CPU interface's control and mask, and what it gives with all priorities let through: 1023
/// for no interrupt. It is off again afterwards.
pub fn interface() -> (u32, u32, u32) {
    let (control, mask) = (read_interface(gicc::CTLR), read_interface(gicc::PMR));
    write_interface(gicc::PMR, 0xff);
    write_interface(gicc::CTLR, 1);
    let id = read_interface(gicc::IAR);
    write_interface(gicc::CTLR, 0);
    write_interface(gicc::PMR, 0);
    (control, mask, id)
}

/// Takes SGI 0 and does not end it, and leaves SGI 1 pending behind it, with every priority let
/// through.
pub fn leave_active() {
    start();
    write_distributor(gicd::ISENABLER, 3);
    write_distributor(gicd::SGIR, 2 << 24);
    while read_interface(gicc::IAR) & 0x3ff != 0 {
        core::hint::spin_loop();
    }
    write_distributor(gicd::SGIR, 2 << 24 | 1);
}

/// The SGI that [`urgent`] gives the priority 0x20.
pub const URGENT: u32 = 15;

/// Leaves SGIs 0 to `waiting` - 1 pending behind the priority mask, then sends [`URGENT`]. What the
/// interface gives then (1023 for nothing), and which of the others come when the mask lets them, a
/// bit each: in what order those of one priority come is the interface's own affair. All is as
/// after reset afterwards.
pub fn urgent(waiting: u32) -> (u32, u32) {
    let priorities = |value: u32| {
        for word in 0..4 {
            write_distributor(gicd::IPRIORITYR + 4 * word, value);
        }
    };
    priorities(0xa0a0_a0a0);
    write_distributor(gicd::IPRIORITYR + 12, 0x20a0_a0a0);
    write_distributor(gicd::CTLR, 1);
    write_interface(gicc::PMR, 0x50);
    write_interface(gicc::CTLR, 1);
    for sgi in 0..waiting {
        write_distributor(gicd::SGIR, 2 << 24 | sgi);
    }
    write_distributor(gicd::SGIR, 2 << 24 | URGENT);
    let first = take();
    write_interface(gicc::PMR, 0xf8);
    let mut then = 0;
    while let id @ 0..16 = take() {
        then |= 1 << id;
    }
    write_interface(gicc::CTLR, 0);
    write_interface(gicc::PMR, 0);
    write_distributor(gicd::CTLR, 0);
    priorities(0);
    (first, then)
}

/// Lets SGIs, the timer and the upcall come to this vCPU; they are taken by [`take_one`].
pub fn listen() {
    const UPCALL: u32 = 31;
    write_distributor(gicd::CTLR, 1);
    for word in 0..8 {
        write_distributor(gicd::IPRIORITYR + 4 * word, 0xa0a0_a0a0);
    }
    write_distributor(gicd::ISENABLER, 0xffff | 1 << TIMER | 1 << UPCALL);
    write_interface(gicc::PMR, 0xff);
    write_interface(gicc::CTLR, 1);
}

/// Takes and ends an interrupt of this vCPU's, the timer turned off; 1023 for none. SGIs have the
/// number of their sender above the tenth bit.
pub fn take_one() -> u64 {
    let id = acknowledge();
    end(id);
    id
}

/// The first half of [`take_one`].
pub fn acknowledge() -> u64 {
    let id = read_interface(gicc::IAR);
    if id & 0x3ff == TIMER {
        cpu::set_timer_control(0);
    }
    id.into()
}

/// The second half.
pub fn end(id: u64) {
    if id & 0x3ff < 1020 {
        write_interface(gicc::EOIR, id as u32);
    }
}

/// Sleeps until interrupt `wanted` has come, and takes it.
pub fn sleep_until(wanted: u32) {
    while take_one() & 0x3ff != wanted.into() {
        cpu::sleep();
    }
}

/// Takes and ends what the interface gives; 1023 for nothing.
fn take() -> u32 {
    take_one() as u32 & 0x3ff
}
