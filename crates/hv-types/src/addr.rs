//! Addresses and frame numbers as a guest and its VMM see them.

use crate::page::{BLOCK_SIZE, PAGE_SHIFT, PAGE_SIZE};

macro_rules! address {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        #[repr(transparent)]
        pub struct $name(u64);

        impl $name {
            /// Names `raw` as an address of this space; any value is allowed.
            pub const fn new(raw: u64) -> Self {
                Self(raw)
            }
            /// The number, for messages and register values.
            pub const fn raw(self) -> u64 {
                self.0
            }
            /// `self + bytes`, or `None` past the end of 64 bits.
            pub const fn checked_add(self, bytes: u64) -> Option<Self> {
                match self.0.checked_add(bytes) {
                    Some(raw) => Some(Self(raw)),
                    None => None,
                }
            }
            /// Bytes from the start of the 4 KiB page.
            pub const fn page_offset(self) -> u64 {
                self.0 & (PAGE_SIZE - 1)
            }
            /// The start of the 4 KiB page that holds the address.
            pub const fn page_base(self) -> Self {
                Self(self.0 & !(PAGE_SIZE - 1))
            }
            /// Whether the address is a multiple of `align` (a power of two).
            pub const fn is_aligned(self, align: u64) -> bool {
                self.0 & (align - 1) == 0
            }
        }

        impl core::fmt::Debug for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                write!(f, concat!(stringify!($name), "({:#x})"), self.0)
            }
        }

        impl core::fmt::LowerHex for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                core::fmt::LowerHex::fmt(&self.0, f)
            }
        }
    };
}

address! {
    /// Guest physical address in bytes (Arm's intermediate physical address, IPA).
    Gpa
}
address! {
    /// Guest virtual address in bytes, translated by the guest's own stage-1 tables.
    Gva
}
address! {
    /// A byte in the window through which a VMM reaches pages of its guest.
    ///
    /// RAM lies in the window at its guest physical address, so `WindowAddr` of a RAM byte has
    /// the number of its [`Gpa`]; pages that are not RAM (shared_info, grant frames, console)
    /// lie above every possible RAM address, see [`WindowAddr::extra`]. Only code that has
    /// checked that the page is there may make one: touching a hole is fatal for the VMM.
    WindowAddr
}

impl Gpa {
    /// The frame that holds the address.
    pub const fn gfn(self) -> Gfn {
        Gfn(self.0 >> PAGE_SHIFT)
    }
    /// The start of the 2 MiB block that holds the address.
    pub const fn block_base(self) -> Self {
        Self(self.0 & !(BLOCK_SIZE - 1))
    }
}

impl WindowAddr {
    /// First window byte of the pages that are not RAM: above Xen's RAM bank 1 and within the
    /// 40 bits of an seL4 user address space (the window itself starts at 256 GiB).
    pub const EXTRA_BASE: u64 = 0x50_0000_0000;

    /// Byte `offset` of extra page number `index`.
    pub const fn extra(index: u32, offset: u16) -> Self {
        Self(Self::EXTRA_BASE + ((index as u64) << PAGE_SHIFT) + offset as u64)
    }
}

/// Guest frame number: a [`Gpa`] in units of 4 KiB.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[repr(transparent)]
pub struct Gfn(u64);

impl Gfn {
    /// Xen's `INVALID_GFN`.
    pub const INVALID: Self = Self(u64::MAX);

    /// Names `raw` as a frame number; guests may present any value.
    pub const fn new(raw: u64) -> Self {
        Self(raw)
    }
    /// The number.
    pub const fn raw(self) -> u64 {
        self.0
    }
    /// The frame's first byte, or `None` where that has no 64-bit address.
    pub const fn gpa(self) -> Option<Gpa> {
        if self.0 >> (64 - PAGE_SHIFT) != 0 {
            return None;
        }
        Some(Gpa(self.0 << PAGE_SHIFT))
    }
    /// `self + pages`, or `None` past the end of 64 bits.
    pub const fn checked_add(self, pages: u64) -> Option<Self> {
        match self.0.checked_add(pages) {
            Some(raw) => Some(Self(raw)),
            None => None,
        }
    }
}

impl core::fmt::Debug for Gfn {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Gfn({:#x})", self.0)
    }
}

impl core::fmt::LowerHex for Gfn {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        core::fmt::LowerHex::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frame_of_address_and_back() {
        let gpa = Gpa::new(0x4000_1fff);
        assert_eq!(gpa.gfn(), Gfn::new(0x40001));
        assert_eq!(gpa.gfn().gpa(), Some(Gpa::new(0x4000_1000)));
        assert_eq!(gpa.block_base(), Gpa::new(0x4000_0000));
        assert_eq!(gpa.page_offset(), 0xfff);
    }

    #[test]
    fn frame_numbers_without_an_address_are_told() {
        assert_eq!(Gfn::INVALID.gpa(), None);
        assert_eq!(Gfn::new(1 << 52).gpa(), None);
        assert!(Gfn::new((1 << 52) - 1).gpa().is_some());
        assert_eq!(Gfn::INVALID.checked_add(1), None);
    }
}
