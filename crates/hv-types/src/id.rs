//! Identifiers of the Xen ABI.

/// Domain identifier (`domid_t`, xen/include/public/xen.h).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(transparent)]
pub struct DomId(pub u16);

impl DomId {
    /// The calling domain itself (`DOMID_SELF`).
    pub const SELF: Self = Self(0x7ff0);
    /// The pseudo-domain that owns MMIO (`DOMID_IO`).
    pub const IO: Self = Self(0x7ff1);
    /// The hypervisor (`DOMID_XEN`).
    pub const XEN: Self = Self(0x7ff2);
    /// No domain (`DOMID_INVALID`).
    pub const INVALID: Self = Self(0x7ff4);

    /// Whether `self` names the domain `me`, by number or as `DOMID_SELF`.
    pub fn is_self(self, me: DomId) -> bool {
        self == Self::SELF || self == me
    }
}

/// Most pages of others that a domain can have at once: grants that it has mapped.
pub const LENDS: u32 = 2048;

/// Most virtual CPUs of a domain: as many as a GICv2 knows.
pub const MAX_VCPUS: usize = 8;

/// Number of a virtual CPU within its domain, below [`MAX_VCPUS`]; 0 is the boot CPU.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(transparent)]
pub struct VcpuId(u8);

impl VcpuId {
    /// The vCPU that a domain starts with.
    pub const BOOT: Self = Self(0);

    /// Number `number`, or `None` where no domain has as many vCPUs.
    pub const fn new(number: u64) -> Option<Self> {
        if number < MAX_VCPUS as u64 {
            #[expect(clippy::cast_possible_truncation, reason = "below MAX_VCPUS")]
            Some(Self(number as u8))
        } else {
            None
        }
    }

    /// The number.
    pub const fn raw(self) -> u8 {
        self.0
    }

    /// The number as an index into what exists once for each vCPU. The mask tells the compiler that
    /// it is in range.
    #[inline(always)]
    pub const fn index(self) -> usize {
        const { assert!(MAX_VCPUS.is_power_of_two()) };
        self.0 as usize & (MAX_VCPUS - 1)
    }
}

/// Some of a domain's virtual CPUs.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[repr(transparent)]
pub struct Vcpus(u8);

impl Vcpus {
    /// None.
    pub const NONE: Self = Self(0);
    /// The boot CPU alone.
    pub const BOOT: Self = Self::only(VcpuId::BOOT);

    /// The first `count`; at most [`MAX_VCPUS`].
    pub const fn first(count: u8) -> Self {
        if count as usize >= MAX_VCPUS {
            Self(u8::MAX >> (8 - MAX_VCPUS))
        } else {
            Self((1 << count) - 1)
        }
    }

    /// One.
    #[inline]
    pub const fn only(id: VcpuId) -> Self {
        Self(1 << id.index())
    }

    /// Those that have a bit in `bits`, bit 0 for number 0.
    pub const fn from_bits(bits: u8) -> Self {
        Self(bits)
    }

    /// A bit for each.
    #[inline]
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// Whether there are none.
    #[inline]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether `id` is among them.
    #[inline]
    pub const fn contains(self, id: VcpuId) -> bool {
        self.0 & Self::only(id).0 != 0
    }

    /// Those that are in either.
    #[inline]
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Those that are not in `other`.
    #[inline]
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Those that are in both.
    #[inline]
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// How many.
    pub const fn count(self) -> u8 {
        #[expect(clippy::cast_possible_truncation, reason = "at most 8")]
        {
            self.0.count_ones() as u8
        }
    }

    /// The one with the lowest number.
    pub const fn lowest(self) -> Option<VcpuId> {
        VcpuId::new(self.0.trailing_zeros() as u64)
    }
}

/// In ascending order.
impl IntoIterator for Vcpus {
    type Item = VcpuId;
    type IntoIter = VcpusIter;

    fn into_iter(self) -> VcpusIter {
        VcpusIter(self)
    }
}

/// The iterator over [`Vcpus`].
#[derive(Clone, Debug)]
pub struct VcpusIter(Vcpus);

impl Iterator for VcpusIter {
    type Item = VcpuId;

    #[inline]
    fn next(&mut self) -> Option<VcpuId> {
        let id = self.0.lowest()?;
        self.0 = self.0.without(Vcpus::only(id));
        Some(id)
    }
}

/// Event channel port within a domain (`evtchn_port_t`); 0 is never valid.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(transparent)]
pub struct Port(pub u32);

/// Grant reference within a domain (`grant_ref_t`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(transparent)]
pub struct Gref(pub u32);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_of_vcpus() {
        let all = Vcpus::first(u8::MAX);
        assert_eq!(all.count(), 8);
        assert_eq!(Vcpus::first(0), Vcpus::NONE);
        let two = Vcpus::first(3).without(Vcpus::only(VcpuId(1)));
        assert!(two.into_iter().eq([VcpuId(0), VcpuId(2)]));
        assert_eq!(two.lowest(), Some(VcpuId::BOOT));
        assert_eq!(Vcpus::NONE.lowest(), None);
        assert!(two.contains(VcpuId(2)) && !two.contains(VcpuId(1)));
        assert_eq!(two.with(Vcpus::from_bits(0x80)).and(all).bits(), 0x85);
        assert_eq!(VcpuId::new(8), None);
    }
}
