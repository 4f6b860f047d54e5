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

/// Most virtual CPUs of a domain.
pub const MAX_VCPUS: usize = 1;

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

    /// The number as an index into what exists once for each vCPU. The comparison tells the
    /// compiler that it is in range.
    pub const fn index(self) -> usize {
        let index = self.0 as usize;
        if index < MAX_VCPUS { index } else { 0 }
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
