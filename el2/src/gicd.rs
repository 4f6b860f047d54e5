//! The one register of the GICv2 distributor that the `arm-gic` crate has no method for.
//!
//! # Soundness
//! Accesses are volatile, of a byte as the architecture allows here (IHI 0048B.b 4.3.12), and to
//! the distributor, which the host maps as device memory. The register decides which processors get
//! an interrupt; no Rust object depends on it.
#![expect(unsafe_code, reason = "device registers")]

use crate::board::GICD;

const ITARGETSR: u64 = 0x800;

/// Sends interrupt `intid` to this processor. A GIC for one processor ignores it.
pub(crate) fn route_here(intid: u32) {
    // SAFETY: see the module. Of a private interrupt the register reads as the bit of the processor
    // that reads it.
    unsafe {
        let here = ((GICD + ITARGETSR) as *const u8).read_volatile();
        ((GICD + ITARGETSR + u64::from(intid)) as *mut u8).write_volatile(here);
    }
}
