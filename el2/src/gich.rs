//! The GICv2 virtual interface control registers (IHI 0048B.b chapter 5).
//!
//! # Soundness
//! All accesses are volatile, aligned and to the register block that the host maps as device
//! memory. The registers decide which interrupts a guest sees; no Rust object depends on them.
#![expect(unsafe_code, reason = "device registers")]

use crate::board::GICH;

const HCR: u64 = 0x00;
const VTR: u64 = 0x04;
const VMCR: u64 = 0x08;
const EISR0: u64 = 0x20;
const APR: u64 = 0xf0;
const LR: u64 = 0x100;

/// List registers that are used: those of a GIC-400.
pub(crate) const LIST_REGISTERS: usize = 4;
/// Bits of [`ended`] that belong to them.
const LIST_MASK: u32 = (1 << LIST_REGISTERS) - 1;

/// In a list register: its interrupt's end is a maintenance interrupt.
const MAINTENANCE_AT_END: u32 = 1 << 19;

fn read(offset: u64) -> u32 {
    // SAFETY: see the module.
    unsafe { ((GICH + offset) as *const u32).read_volatile() }
}

fn write(offset: u64, value: u32) {
    // SAFETY: see the module.
    unsafe { ((GICH + offset) as *mut u32).write_volatile(value) }
}

/// Turns the interface on.
///
/// # Panics
/// If it has fewer list registers than are used.
pub(crate) fn start() {
    assert!(
        (read(VTR) & 0x3f) as usize + 1 >= LIST_REGISTERS,
        "the GIC has fewer than {LIST_REGISTERS} list registers"
    );
    Interface::new().load();
    write(HCR, 1);
}

/// List registers whose interrupt the guest has ended, a bit each.
#[inline]
pub(crate) fn ended() -> u32 {
    read(EISR0) & LIST_MASK
}

/// Writes list register `lr`.
#[inline]
pub(crate) fn set(lr: u8, value: u32) {
    if usize::from(lr) < LIST_REGISTERS {
        write(LR + 4 * u64::from(lr), value);
    }
}

/// Whether a list register's interrupt is pending and neither active nor ended.
pub(crate) const fn is_pending(value: u32) -> bool {
    value >> 28 & 3 == 1
}

/// Empties list register `lr` if its interrupt is pending and no more; whether it was. The guest
/// does not run meanwhile.
pub(crate) fn recall(lr: u8) -> bool {
    let pending = usize::from(lr) < LIST_REGISTERS && is_pending(read(LR + 4 * u64::from(lr)));
    if pending {
        set(lr, 0);
    }
    pending
}

/// Whether a list register's interrupt is neither pending nor active, and asked for a maintenance
/// interrupt at its end.
pub(crate) const fn is_ended(value: u32) -> bool {
    value >> 28 & 3 == 0 && value & MAINTENANCE_AT_END != 0
}

/// A list register that makes `intid` pending in group 0 with a maintenance interrupt at its end.
#[inline]
pub(crate) fn pending(intid: u16, priority: u8) -> u32 {
    const PENDING: u32 = 1 << 28;
    u32::from(intid & 0x3ff) | MAINTENANCE_AT_END | u32::from(priority >> 3) << 23 | PENDING
}

/// The interface of a vCPU that does not have the processor.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Interface {
    /// List registers.
    pub(crate) lr: [u32; LIST_REGISTERS],
    vmcr: u32,
    apr: u32,
}

impl Interface {
    /// After reset.
    pub(crate) const fn new() -> Self {
        Self {
            lr: [0; LIST_REGISTERS],
            vmcr: 0,
            apr: 0,
        }
    }
    /// Takes it from the processor.
    pub(crate) fn save(&mut self) {
        self.vmcr = read(VMCR);
        self.apr = read(APR);
        for (lr, n) in self.lr.iter_mut().zip(0..) {
            *lr = read(LR + 4 * n);
        }
    }
    /// Puts it into the processor.
    pub(crate) fn load(&self) {
        write(VMCR, self.vmcr);
        write(APR, self.apr);
        for (lr, n) in self.lr.iter().zip(0..) {
            set(n, *lr);
        }
    }
}
