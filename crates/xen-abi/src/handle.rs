//! Guest handles: pointers inside structures.

use hv_types::Gva;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// A guest virtual address that the guest claims to hold something (`XEN_GUEST_HANDLE`,
/// public/arch-arm.h).
///
/// 64 bits in memory on Arm, whatever the guest's register width. Having one says nothing about
/// what lies there: only a copy through the guest's own translation does.
#[derive(
    Clone, Copy, PartialEq, Eq, Debug, Default, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(transparent)]
pub struct GuestHandle(u64);

impl GuestHandle {
    /// The null handle.
    pub const NULL: Self = Self(0);

    /// Names `gva` as a handle.
    pub const fn new(gva: Gva) -> Self {
        Self(gva.raw())
    }
    /// The claimed address.
    pub const fn gva(self) -> Gva {
        Gva::new(self.0)
    }
    /// Whether it is null.
    pub const fn is_null(self) -> bool {
        self.0 == 0
    }
}
