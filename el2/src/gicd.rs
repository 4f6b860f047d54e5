//! What this program wants of the GICv2 distributor and the `arm-gic` crate has no method for, or
//! none that needs no driver.
//!
//! # Soundness
//! Accesses are volatile, of a byte as the architecture allows here (IHI 0048B.b 4.3.12), and to
//! the distributor, which the host maps as device memory. The registers decide which processors get
//! an interrupt; no Rust object depends on them.
#![expect(unsafe_code, reason = "device registers")]

use crate::board::GICD;
use crate::cpu;

const ITARGETSR: u64 = 0x800;
const SGIR: u64 = 0xf00;

/// The software-generated interrupt by which cores ring for each other.
pub(crate) const RING: u32 = 0;

/// The bit of this core's interface.
pub(crate) fn interface() -> u8 {
    // SAFETY: see the module. Of a private interrupt the register reads as the bit of the processor
    // that reads it; a GIC for one processor reads as zero.
    unsafe { ((GICD + ITARGETSR) as *const u8).read_volatile() }
}

/// Sends [`RING`] to the cores with these interfaces, a bit each (IHI 0048B.b 4.3.15).
pub(crate) fn interrupt(interfaces: u8) {
    // What it is sent for is seen by whoever gets it.
    cpu::publish();
    // SAFETY: see the module.
    unsafe { ((GICD + SGIR) as *mut u32).write_volatile(u32::from(interfaces) << 16 | RING) };
}

/// Sends interrupt `intid` to this processor. A GIC for one processor ignores it.
pub(crate) fn route_here(intid: u32) {
    let here = interface();
    // SAFETY: see the module.
    unsafe { ((GICD + ITARGETSR + u64::from(intid)) as *mut u8).write_volatile(here) };
}
