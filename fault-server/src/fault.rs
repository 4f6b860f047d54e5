//! Fault messages of protection domains.

/// What a PD did to an address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    /// Read data.
    Read,
    /// Wrote data.
    Write,
    /// Executed.
    Fetch,
}

impl Access {
    /// The access that failed with instruction-specific syndrome `iss` (Arm ARM D24.2.40: WnR is
    /// bit 6).
    pub const fn new(iss: u32, fetch: bool) -> Self {
        match (fetch, iss >> 6 & 1) {
            (true, _) => Self::Fetch,
            (false, 0) => Self::Read,
            (false, _) => Self::Write,
        }
    }

    /// The access and a preposition, to stand before an address.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Read => "read of",
            Self::Write => "write to",
            Self::Fetch => "jump to",
        }
    }
}

/// Why a PD stopped, as the kernel's message says (libsel4, `seL4_Fault`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// It touched memory that it may not touch so.
    Memory {
        /// What it did.
        access: Access,
        /// Virtual address.
        address: u64,
        /// The memory is there, but not for this access.
        forbidden: bool,
        /// PC, at the instruction.
        pc: u64,
    },
    /// A breakpoint instruction: how a panic ends.
    GaveUp,
    /// An instruction that it may not execute.
    Instruction {
        /// PC, where the message has it.
        pc: Option<u64>,
    },
    /// A call on a capability that is not there.
    Capability {
        /// PC.
        pc: u64,
    },
    /// A system call that does not exist.
    SystemCall,
    /// Anything else; the message's label.
    Other {
        /// The label.
        label: u64,
    },
}

impl Fault {
    /// A fault on memory from its syndrome (Arm ARM, ISS of a data or instruction abort: permission
    /// faults have DFSC `0b0011xx`).
    pub const fn memory(pc: u64, address: u64, iss: u32, fetch: bool) -> Self {
        Self::Memory {
            access: Access::new(iss, fetch),
            address,
            forbidden: iss & 0x3c == 0x0c,
            pc,
        }
    }

    /// An instruction that trapped to EL2 with syndrome `esr` (exception class 0x3c is BRK).
    pub const fn trap(esr: u32) -> Self {
        match esr >> 26 {
            0x3c => Self::GaveUp,
            _ => Self::Instruction { pc: None },
        }
    }

    pub(crate) const fn pc(&self) -> Option<u64> {
        match self {
            Self::Memory { pc, .. } | Self::Capability { pc } => Some(*pc),
            Self::Instruction { pc } => *pc,
            Self::GaveUp | Self::SystemCall | Self::Other { .. } => None,
        }
    }
}
