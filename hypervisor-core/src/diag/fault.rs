//! What a guest did that nothing answers, in words.

use core::fmt;

use hv_types::{Gpa, Gva};

use crate::diag::guest_map::GuestMap;
use crate::exit::syndrome::{Abort, FaultStatus, SysRegAccess};

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
                // The processor does not tell, and where a device is, its text was not among those that are decoded.
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

/// An access to a system register that a guest has not got.
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
             try: switch the feature off in the guest's kernel (debugger, performance counters)",
            self.pc
        )
    }
}
