//! What a stage-1 walk wants, and why it fails.

/// What the access wants.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    /// Read, or instruction fetch.
    Read,
    /// Write.
    Write,
}

/// Why there is no translation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FaultKind {
    /// An invalid or reserved entry, an address outside of both halves, a disabled half, a
    /// configuration that is not supported.
    Translation,
    /// An output or table address above the size that `TCR_EL1.IPS` gives.
    AddressSize,
    /// The access flag is clear and the guest manages it in software.
    AccessFlag,
    /// A write to a read-only mapping.
    Permission,
    /// A table lies where the guest has no memory.
    NoTable,
}

/// A failed walk and the level of table (0..=3) where it ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fault {
    /// Why.
    pub kind: FaultKind,
    /// Level of the entry at fault; 0 for faults of the address or of a register.
    pub level: u8,
}

pub(super) const fn fault<T>(kind: FaultKind, level: u8) -> Result<T, Fault> {
    Err(Fault { kind, level })
}
