//! The record of a domain that its VMM gets.

use hv_types::{BLOCK_SIZE, Gpa};
use serde::{Deserialize, Serialize};

use crate::layout::GuestLayout;

/// Most RAM banks of one guest (Xen's `GUEST_RAM_BANKS` is 2; direct-mapped guests may have more).
pub const MAX_BANKS: usize = 8;
/// Most extended regions of one guest.
pub const MAX_EXTENDED: usize = 8;
/// Most regions of static shared memory in a system, and so of one guest (Xen's `NR_SHMEM_BANKS`).
pub const MAX_SHARED: usize = 32;
/// Longest domain name in bytes.
pub const NAME_MAX: usize = 16;

/// A domain's name.
pub type DomainName = heapless::String<NAME_MAX>;

/// One contiguous range of guest physical memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Bank {
    start: u64,
    size: u64,
}

impl Bank {
    /// `size` bytes from `start`; both multiples of 4 KiB.
    pub const fn new(start: Gpa, size: u64) -> Self {
        Self {
            start: start.raw(),
            size,
        }
    }
    /// First byte.
    pub const fn start(&self) -> Gpa {
        Gpa::new(self.start)
    }
    /// Bytes.
    pub const fn size(&self) -> u64 {
        self.size
    }
    /// Page tables that it needs if it is mapped in pages and shares none with what lies beside it:
    /// one for each 2 MiB that it touches, and one for each GiB.
    pub const fn tables(&self) -> u64 {
        const GIB: u64 = 1 << 30;
        let end = self.start.saturating_add(self.size);
        let blocks = end
            .div_ceil(BLOCK_SIZE)
            .saturating_sub(self.start / BLOCK_SIZE);
        blocks.saturating_add(end.div_ceil(GIB).saturating_sub(self.start / GIB))
    }
}

/// A file of the image that the VMM can read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Module {
    /// Which of the module regions mapped into the VMM, counted from 0.
    pub region: u8,
    /// Exact bytes.
    pub size: u64,
}

/// What `xen,enhanced` gives (dom0less-dt.md section 3).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum PvFeatures {
    /// Property absent or "disabled": no `hypervisor` node, hypercalls work nevertheless (SM-24).
    None,
    /// Everything but xenstore.
    NoXenstore,
    /// Everything.
    Enabled,
    /// Everything; where the xenstore ring is the guest hears when the store has connected.
    Legacy,
}

impl PvFeatures {
    /// Whether the domain has a xenstore ring.
    pub const fn has_store(self) -> bool {
        matches!(self, Self::Enabled | Self::Legacy)
    }
}

/// Everything a VMM needs to build and run its domain.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DomainRecord {
    /// Domain id, from 1 in device-tree order.
    pub domid: u16,
    /// Number of domains in the system: the ids 1 to this one exist.
    pub domains: u8,
    /// Node name without the unit address; shown in front of console lines.
    pub name: DomainName,
    /// Number of vCPUs.
    pub vcpus: u8,
    /// RAM at the start, ascending, disjoint, multiples of 4 KiB.
    pub banks: heapless::Vec<Bank, MAX_BANKS>,
    /// Where the guest can have RAM: `banks`, and behind them what it may populate up to its
    /// maximum (GM-8).
    pub max_banks: heapless::Vec<Bank, MAX_BANKS>,
    /// Extended regions (UP-1): where the guest may map what is not its RAM, ascending, disjoint,
    /// multiples of 2 MiB.
    pub extended: heapless::Vec<Bank, MAX_EXTENDED>,
    /// Static shared memory that it has, in the order of the regions: read and write, and not RAM.
    pub shared: heapless::Vec<Bank, MAX_SHARED>,
    /// Fixed places of its physical map.
    pub layout: GuestLayout,
    /// RAM comes from `xen,static-mem`.
    pub is_static: bool,
    /// Guest physical equals machine address.
    pub direct_map: bool,
    /// PV features.
    pub pv: PvFeatures,
    /// A vpl011 UART is present.
    pub vpl011: bool,
    /// Shared peripheral interrupts of the virtual GIC, a multiple of 32, at most 960.
    pub nr_spis: u16,
    /// Grant frames the table may grow to, 1..=64.
    pub max_grant_frames: u8,
    /// Accesses to nothing: `true` aborts the guest, `false` reads all ones and ignores writes.
    pub trap_unmapped: bool,
    /// Kernel image.
    pub kernel: Module,
    /// Initial RAM disk.
    pub ramdisk: Option<Module>,
    /// Other domains that this one meets, with whom its VMM shares a page: bit `n` is that of the
    /// domain with id `n + 1`.
    pub meets: u8,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_those_of_what_is_touched() {
        let tables = |start, size| Bank::new(Gpa::new(start), size).tables();
        assert_eq!(tables(0x3a00_0000, 0x1000), 2);
        assert_eq!(tables(0x3a00_0000, 0x40_0000), 3);
        assert_eq!(tables(0x3fff_f000, 0x2000), 4);
        assert_eq!(tables(u64::MAX - 0xfff, 0x2000), 2);
    }
}
