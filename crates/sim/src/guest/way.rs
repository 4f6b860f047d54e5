//! How a guest makes hypercalls.

/// How a hypercall is made and how the kernel reports it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Way {
    /// `movz x16; hvc`, reported without syndrome: Linux on the stock kernel.
    #[default]
    Stub,
    /// x16 comes from somewhere else, reported without syndrome.
    Register,
    /// Reported with syndrome, the PC past the HVC: a kernel that knows HVC.
    Trap,
}

impl Way {
    /// All.
    pub const ALL: [Self; 3] = [Self::Stub, Self::Register, Self::Trap];
}
