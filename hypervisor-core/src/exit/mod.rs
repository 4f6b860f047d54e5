//! From an exit of a vCPU to what it does next. [`Exit`] is what a host reports;
//! [`crate::vm::Vm::handle`] takes it.

mod abort;
mod absent;
mod disposition;
mod handle;
mod hvc;
pub mod mmio;
pub mod psci;
pub mod syndrome;
mod sysreg;
mod trap;

use hv_types::{Gpa, Gva, VcpuId};

/// An exit of a vCPU.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Exit {
    /// The vCPU.
    pub vcpu: VcpuId,
    /// Why it stopped.
    pub reason: Reason,
}

/// Why a vCPU stopped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reason {
    /// An HVC whose number and immediate the host cannot see; the PC is *at* the instruction.
    ///
    /// This is how the stock seL4 kernel reports HVC (as an unknown system call, or as a capability
    /// fault where x7 looks like one of seL4's own calls). The core reads the instruction.
    Hvc,
    /// A trap with its syndrome (`ESR_EL2`). The PC is as the architecture leaves it: past an HVC,
    /// at any other trapped instruction.
    Trap {
        /// `ESR_EL2`, 32 bits.
        esr: u32,
    },
    /// A stage-2 abort.
    Abort {
        /// Faulting guest physical address.
        gpa: Gpa,
        /// The ISS of `ESR_EL2` (bits 24:0): ISV, SAS, SRT, WnR, DFSC.
        iss: u32,
        /// An instruction fetch.
        fetch: bool,
    },
    /// The guest ended the interrupt in a list register that asked for an EOI maintenance
    /// interrupt.
    Maintenance {
        /// List register, or `None` where the host does not know which.
        lr: Option<u8>,
    },
    /// The virtual timer's interrupt (PPI 27) fired; the host keeps it masked until `ack_vtimer`.
    VirtualTimer,
    /// The host could not say what happened; `pc` for the log. The guest is stopped.
    Unknown {
        /// PC of the vCPU.
        pc: Gva,
    },
}
