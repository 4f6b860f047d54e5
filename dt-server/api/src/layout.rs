//! Where things lie in a guest's physical address space.

use hv_types::Gpa;
use serde::{Deserialize, Serialize};

/// Fixed places of a guest's physical map.
///
/// Those of ordinary guests are Xen's ([`XEN_LAYOUT`]); a direct-mapped guest sees the host's
/// interrupt controller and UART where the host has them, and the regions that are the hypervisor's
/// alone where the host has nothing (DM-4).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct GuestLayout {
    /// GICv2 distributor, 4 KiB.
    #[serde(with = "gpa")]
    pub gicd: Gpa,
    /// GICv2 CPU interface, 8 KiB.
    #[serde(with = "gpa")]
    pub gicc: Gpa,
    /// SBSA UART (vpl011), 4 KiB.
    #[serde(with = "gpa")]
    pub vpl011: Gpa,
    /// Interrupt of that, an SPI.
    pub vpl011_intid: u16,
    /// Region in which the guest maps its grant frames.
    #[serde(with = "gpa")]
    pub grant_region: Gpa,
    /// Bytes of that region.
    pub grant_region_size: u64,
    /// First of the magic pages: +0 console ring, +1 xenstore ring (page index).
    #[serde(with = "gpa")]
    pub magic: Gpa,
}

/// Addresses travel as numbers.
mod gpa {
    use hv_types::Gpa;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(gpa: &Gpa, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(gpa.raw())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Gpa, D::Error> {
        u64::deserialize(from).map(Gpa::new)
    }
}

/// Xen's map for guests that are not direct-mapped (xen/include/public/arch-arm.h).
pub const XEN_LAYOUT: GuestLayout = GuestLayout {
    gicd: Gpa::new(0x0300_1000),
    gicc: Gpa::new(0x0300_2000),
    vpl011: Gpa::new(0x2200_0000),
    vpl011_intid: 32,
    grant_region: Gpa::new(0x3800_0000),
    grant_region_size: 0x0100_0000,
    magic: Gpa::new(0x3900_0000),
};

/// Where the RAM of guests that are not direct-mapped can lie: first byte and most bytes of each
/// bank, filled in this order (xen/include/public/arch-arm.h, `GUEST_RAM0_BASE` and following).
pub const XEN_BANKS: [(Gpa, u64); 2] = [
    (Gpa::new(0x4000_0000), 0xc000_0000),
    (Gpa::new(0x2_0000_0000), 0xfe_0000_0000),
];
