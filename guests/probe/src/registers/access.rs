//! `MRS` and `MSR` of any encoding: the instruction is written where it is executed.

use core::arch::{asm, global_asm};
use core::fmt;

use crate::attempt;
use crate::trap::Outcome;

global_asm!(
    // The first word is written by `prepare`. A cache line of its own.
    ".balign 64",
    ".globl register_access",
    "register_access:",
    "nop",
    "ret",
    ".balign 64",
);

unsafe extern "C" {
    /// Takes a value in x0 and returns one there.
    static register_access: u32;
}

/// A system register's encoding, as it lies in an instruction: bits 20 to 5.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Encoding(u32);

impl Encoding {
    /// From op0 (2 or 3), op1, CRn, CRm, op2.
    pub const fn new(op0: u32, op1: u32, crn: u32, crm: u32, op2: u32) -> Self {
        Self((op0 & 1) << 19 | op1 << 16 | crn << 12 | crm << 8 | op2 << 5)
    }

    /// All that there are for EL1 and EL0: op1 below 4, and the rest of the space, which must be
    /// undefined.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..1 << 15).map(|n| Self(n << 5))
    }

    /// op0, op1, CRn, CRm, op2.
    const fn fields(self) -> [u32; 5] {
        let Self(bits) = self;
        [
            2 + (bits >> 19 & 1),
            bits >> 16 & 7,
            bits >> 12 & 15,
            bits >> 8 & 15,
            bits >> 5 & 7,
        ]
    }

    /// `CNTP_TVAL_EL0`, `CNTV_TVAL_EL0`.
    pub const fn is_timer_value(self) -> bool {
        matches!(self.fields(), [3, 3, 14, 2 | 3, 0])
    }
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [op0, op1, crn, crm, op2] = self.fields();
        write!(f, "S{op0}_{op1}_C{crn}_C{crm}_{op2}")
    }
}

/// Makes `instruction` the one that `register_access` executes.
fn prepare(instruction: u32) {
    let at = (&raw const register_access).cast_mut();
    // SAFETY: the word is this image's own, mapped writable because the MMU is off; only `read` and
    // `write` execute it, after caches of instructions have forgotten it. They write no other
    // instruction than MRS and MSR with x0.
    unsafe {
        at.write_volatile(instruction);
        asm!(
            "dc cvau, {at}",
            "dsb ish",
            "ic ivau, {at}",
            "dsb ish",
            "isb",
            at = in(reg) at,
            options(nostack, preserves_flags)
        );
    }
}

/// What the register holds; an error where it cannot be read.
pub fn read(register: Encoding) -> Result<u64, ()> {
    /// `mrs x0, ...`.
    const MRS: u32 = 0xd530_0000;
    prepare(MRS | register.0);
    let value: u64;
    let outcome =
        attempt!("blr x9", in("x9") &raw const register_access, inlateout("x0") 0_u64 => value);
    match outcome {
        Outcome::Done => Ok(value),
        Outcome::Took(_) => Err(()),
    }
}

/// Writes `value`.
pub fn write(register: Encoding, value: u64) -> Outcome {
    /// `msr ..., x0`.
    const MSR: u32 = 0xd510_0000;
    prepare(MSR | register.0);
    attempt!("blr x9", in("x9") &raw const register_access, in("x0") value)
}
