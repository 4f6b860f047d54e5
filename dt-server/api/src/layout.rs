//! Where things lie in a guest's physical address space.

use hv_types::Gpa;

/// Fixed places of a guest's physical map.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct GuestLayout {
    /// GICv2 distributor, 4 KiB.
    pub gicd: Gpa,
    /// GICv2 CPU interface, 8 KiB.
    pub gicc: Gpa,
    /// SBSA UART (vpl011), 4 KiB.
    pub vpl011: Gpa,
    /// Region in which the guest maps its grant frames, 16 MiB.
    pub grant_region: Gpa,
    /// Bytes of that region.
    pub grant_region_size: u64,
    /// First of the magic pages: +0 console ring, +1 xenstore ring (page index).
    pub magic: Gpa,
    /// First RAM bank and its most bytes.
    pub bank0: (Gpa, u64),
    /// Second RAM bank and its most bytes.
    pub bank1: (Gpa, u64),
}

/// Xen's map for guests that are not direct-mapped (xen/include/public/arch-arm.h).
pub const XEN_LAYOUT: GuestLayout = GuestLayout {
    gicd: Gpa::new(0x0300_1000),
    gicc: Gpa::new(0x0300_2000),
    vpl011: Gpa::new(0x2200_0000),
    grant_region: Gpa::new(0x3800_0000),
    grant_region_size: 0x0100_0000,
    magic: Gpa::new(0x3900_0000),
    bank0: (Gpa::new(0x4000_0000), 0xc000_0000),
    bank1: (Gpa::new(0x2_0000_0000), 0xfe_0000_0000),
};

/// vpl011's interrupt: SPI 0.
pub const VPL011_INTID: u16 = 32;
