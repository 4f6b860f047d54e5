//! Exceptions that the guest takes at its own EL1 (Arm ARM D1.3, `AArch64.TakeException`).
//!
//! What cannot be emulated is not an error of the VMM: the guest gets the exception that a
//! machine without the thing would give. Syndromes follow Xen: an unmapped address is a data
//! abort with ISS 0 (`ESR_EL1` 0x96000000 from EL1), an unknown instruction is EC 0.
//!
//! `FAR_EL1` must be a virtual address, and a host knows the physical one only. It is recovered
//! from the instruction at the PC (see `far`): the address that it names is used if it translates
//! to the page that faulted. Where that fails (an instruction that is not a known
//! load or store), the abort is reported as a synchronous external one with `FnV` set,
//! "FAR is not valid", and `FAR_EL1` 0: a guest never sees a made-up address.

use hv_types::{Gpa, Gva};

use crate::exit::syndrome::Abort;
use crate::host::SysReg;
use crate::host::on_vcpu::VcpuHost;
use crate::memory::pages::Pages;

pub(crate) mod far;

pub use far::faulting_address;

/// EC of an unknown reason.
const EC_UNKNOWN: u64 = 0x00;
/// EC of an instruction abort from a lower exception level; one more from the same.
const EC_INSTRUCTION_ABORT: u64 = 0x20;
/// EC of a data abort from a lower exception level; one more from the same.
const EC_DATA_ABORT: u64 = 0x24;
/// The trapped instruction has 32 bits.
const IL: u64 = 1 << 25;
/// ISS of an abort as Xen injects it: address size fault, level 0.
pub const ISS_UNMAPPED: u32 = 0;
/// ISS of a synchronous external abort (0x10) whose FAR is not valid (FnV, bit 10).
pub const ISS_NO_ADDRESS: u32 = 1 << 10 | 0x10;

// PSTATE as in SPSR_EL1 (Arm ARM C5.2.18).
const NZCV: u64 = 0xf << 28;
const DIT: u64 = 1 << 24;
const PAN: u64 = 1 << 22;
const SSBS: u64 = 1 << 12;
const DAIF: u64 = 0xf << 6;
const AARCH32: u64 = 1 << 4;
const EL1H: u64 = 5;
// SCTLR_EL1.
const SCTLR_SPAN: u64 = 1 << 23;
const SCTLR_DSSBS: u64 = 1 << 44;

/// The undefined-instruction exception, returning to the PC as it is: at the instruction for most,
/// past it for an HVC (the caller moves the PC first; Xen reports `hvc` with a foreign immediate
/// so).
pub fn undefined<H: VcpuHost>(host: &mut H) {
    take(host, EC_UNKNOWN, ISS_UNMAPPED);
}

/// A data abort at `far` with the low 25 bits of `iss`. Without an address these are
/// [`ISS_NO_ADDRESS`] and 0.
pub fn data_abort<H: VcpuHost>(host: &mut H, far: Option<Gva>, iss: u32) {
    let (far, iss) = match far {
        Some(far) => (far.raw(), iss),
        None => (0, ISS_NO_ADDRESS),
    };
    host.set_sysreg(SysReg::Far, far);
    let class = same_level(host, EC_DATA_ABORT);
    take(host, class, iss);
}

/// An instruction abort at the PC with the low 25 bits of `iss`.
pub fn prefetch_abort<H: VcpuHost>(host: &mut H, iss: u32) {
    let pc = host.pc();
    host.set_sysreg(SysReg::Far, pc.raw());
    let class = same_level(host, EC_INSTRUCTION_ABORT);
    take(host, class, iss);
}

/// The abort for a stage-2 fault at `gpa` that nothing can serve: no memory, no device, or an
/// access to a device that does not say what it is (`LDP`, write-back, SIMD: ISV = 0).
pub fn abort<H: VcpuHost, P: Pages>(host: &mut H, pages: &P, gpa: Gpa, abort: Abort, fetch: bool) {
    if fetch {
        prefetch_abort(host, ISS_UNMAPPED);
    } else {
        let far = faulting_address(host, pages, gpa, abort.table_walk());
        data_abort(host, far, ISS_UNMAPPED);
    }
}

/// `class`, or the next one where the exception comes from EL1 itself.
fn same_level<H: VcpuHost>(host: &mut H, class: u64) -> u64 {
    class | u64::from(is_el1(host.pstate()))
}

const fn is_el1(pstate: u64) -> bool {
    pstate & AARCH32 == 0 && pstate & 0xc != 0
}

/// Enters the vector of EL1 for a synchronous exception.
fn take<H: VcpuHost>(host: &mut H, class: u64, iss: u32) {
    let (old, pc) = (host.pstate(), host.pc());
    let (vbar, sctlr) = (host.sysreg(SysReg::Vbar), host.sysreg(SysReg::Sctlr));
    // Arm ARM D1.3.1.5: by the stack pointer in use at EL1, or by the state of EL0.
    let vector = if is_el1(old) {
        if old & 1 == 0 { 0x000 } else { 0x200 }
    } else if old & AARCH32 == 0 {
        0x400
    } else {
        0x600
    };
    // From AArch32 only the condition flags lie at the same place.
    let kept = if old & AARCH32 == 0 {
        NZCV | DIT | PAN
    } else {
        NZCV
    };
    let mut new = old & kept | DAIF | EL1H;
    if sctlr & SCTLR_SPAN == 0 {
        // SPAN is RES1 on processors without PAN.
        new |= PAN;
    }
    if sctlr & SCTLR_DSSBS != 0 {
        new |= SSBS;
    }
    host.set_sysreg(SysReg::Esr, class << 26 | IL | u64::from(iss & 0x01ff_ffff));
    host.set_sysreg(SysReg::Elr, pc.raw());
    host.set_sysreg(SysReg::Spsr, old);
    host.set_pstate(new);
    host.set_pc(Gva::new((vbar & !0x7ff).wrapping_add(vector)));
}

#[cfg(test)]
mod tests;
