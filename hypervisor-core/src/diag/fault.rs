//! What a guest did that nothing answers, in words.

use core::fmt;

use hv_types::{Gpa, Gva};

use crate::diag::guest_map::GuestMap;
use crate::exit::syndrome::{Abort, FaultStatus, SysRegAccess, Trap, decode};

/// A stage-2 abort that the guest gets as an exception of its own.
///
/// Two lines: what it did and where that is, and what to try.
#[derive(Debug)]
pub struct Aborted<'a> {
    /// The guest's physical map.
    pub map: &'a GuestMap,
    /// The address.
    pub gpa: Gpa,
    /// The PC, at the instruction.
    pub pc: Gva,
    /// The syndrome.
    pub abort: Abort,
    /// An instruction fetch.
    pub fetch: bool,
}

impl fmt::Display for Aborted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let abort = self.abort;
        if self.fetch {
            f.write_str("jump to")?;
        } else if abort.cache_maintenance() {
            f.write_str("cache maintenance on")?;
        } else {
            let what = match (abort.table_walk(), abort.write()) {
                (true, _) => "walk of a page table at",
                (false, true) => "store to",
                (false, false) => "load from",
            };
            f.write_str(what)?;
        }
        write!(f, " gpa {:#x}", self.gpa)?;
        if !self.fetch && !abort.table_walk() && !abort.cache_maintenance() {
            if abort.has_syndrome() {
                write!(f, " of {} bytes", abort.size())?;
            } else {
                // The processor does not tell, and where a device is, its text was not among those
                // that are decoded.
                f.write_str(
                    " by an instruction that no device here understands (pair, vector, exclusive or atomic)",
                )?;
            }
        }
        write!(f, ", pc {:#x}", self.pc)?;
        if abort.status() == FaultStatus::Permission {
            f.write_str(": it is mapped but not for that")?;
        }
        match self.map.where_is(self.gpa) {
            Some(place) => write!(f, ": {place}\n  try: {}", place.advice()),
            None => Ok(()),
        }
    }
}

/// An access to a system register that guests do not have.
#[derive(Debug)]
pub struct NoRegister {
    /// The access.
    pub access: SysRegAccess,
    /// The PC, at the instruction.
    pub pc: Gva,
}

impl fmt::Display for NoRegister {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (op0, op1, crn, crm, op2) = self.access.encoding();
        let what = if self.access.read {
            "read of"
        } else {
            "write to"
        };
        write!(
            f,
            "{what} system register S{op0}_{op1}_C{crn}_C{crm}_{op2}, pc {:#x}: guests have none of that name\n  \
             try: {}",
            self.pc,
            without(self.access.encoding())
        )
    }
}

/// What makes a kernel do without the register, which is one that cores have for a feature no guest
/// is offered: what to try, after "try: ".
#[must_use]
pub const fn without(encoding: (u8, u8, u8, u8, u8)) -> &'static str {
    match encoding {
        // APIAKeyLo_EL1 to APGAKeyHi_EL1.
        (3, 0, 2, 1..=3, _) => {
            "arm64.nopauth on the guest's command line (Linux; pointer authentication)"
        }
        // RGSR_EL1, GCR_EL1, TFSR_EL1, TFSRE0_EL1, GMID_EL1.
        (3, 0, 1, 0, 5 | 6) | (3, 0, 5, 6, 0 | 1) | (3, 1, 0, 0, 4) => {
            "arm64.nomte on the guest's command line (Linux; memory tagging)"
        }
        // ICC_PMR_EL1 and all others of the CPU interface.
        (3, 0, 4, 6, 0) | (3, 0, 12, 8..=12, _) => {
            "a kernel that takes the interrupt controller from its device tree: a GICv2, with registers in memory"
        }
        // ERRIDR_EL1 to ERXMISC3_EL1.
        (3, 0, 5, 3..=5, _) => "a kernel that looks whether there is RAS (ID_AA64PFR0_EL1)",
        _ => "switch the feature off in the guest's kernel (debugger, performance counters)",
    }
}

/// An instruction that traps because no guest is offered what it belongs to, and is undefined for
/// the guest.
#[derive(Debug)]
pub struct NotOffered {
    /// The syndrome (`ESR_EL2`).
    pub esr: u32,
    /// The PC, at the instruction.
    pub pc: Gva,
}

impl fmt::Display for NotOffered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let class = self.esr >> 26;
        let (what, try_this) = refused(class);
        match decode(self.esr) {
            Trap::Smc { imm } => write!(f, "smc #{imm:#x}")?,
            _ if what.is_empty() => write!(f, "instruction with exception class {class:#x}")?,
            _ => f.write_str(what)?,
        }
        write!(
            f,
            ", pc {:#x}: not offered to guests, undefined for this one",
            self.pc
        )?;
        if try_this.is_empty() {
            return Ok(());
        }
        write!(f, "\n  try: {try_this}")
    }
}

/// What has the exception class (Arm ARM D19.2.37), and how a guest does without; empty where there
/// are no words for it.
#[must_use]
pub const fn refused(class: u32) -> (&'static str, &'static str) {
    match class {
        0x00 => ("unknown instruction", ""),
        0x03..=0x06 | 0x08 | 0x0c => ("AArch32 access to a coprocessor", ""),
        0x07 => ("floating-point instruction", ""),
        0x09 => (
            "instruction of pointer authentication",
            "arm64.nopauth on the guest's command line (Linux), or a processor without it",
        ),
        0x0a => (
            "load or store of 64 bytes (LS64)",
            "a kernel that looks for it in ID_AA64ISAR1_EL1",
        ),
        0x0e => (
            "illegal execution state",
            "look at what the guest put into SPSR_EL1 before its ERET",
        ),
        0x11 | 0x15 => ("svc", ""),
        0x12 => ("hvc of AArch32", ""),
        0x13 => ("smc of AArch32", ""),
        0x14 => ("access to a system register of 128 bits", ""),
        0x17 => ("smc", "smc #0 is the one that is answered"),
        0x19 => (
            "SVE instruction",
            "arm64.nosve on the guest's command line (Linux), or a processor without it",
        ),
        0x1a => ("ERET", ""),
        0x1b => ("transaction (TME)", ""),
        0x1d => (
            "SME instruction",
            "arm64.nosme on the guest's command line (Linux), or a processor without it",
        ),
        0x27 => (
            "instruction that copies or sets memory (MOPS)",
            "arm64.nomops on the guest's command line (Linux), or a processor without it",
        ),
        0x2d => (
            "instruction of a guarded control stack (GCS)",
            "arm64.nogcs on the guest's command line (Linux), or a processor without it",
        ),
        _ => ("", ""),
    }
}

/// An HVC whose immediate is nobody's.
#[derive(Debug)]
pub struct OtherCall {
    /// The immediate.
    pub imm: u16,
    /// The PC, at the instruction.
    pub pc: Gva,
}

impl fmt::Display for OtherCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "hvc #{:#x}, pc {:#x}: nobody's call, undefined for the guest\n  \
             try: hvc #0xea1 for Xen's calls, hvc #0 or smc #0 for PSCI's",
            self.imm, self.pc
        )
    }
}
