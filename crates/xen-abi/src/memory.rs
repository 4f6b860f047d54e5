//! memory_op (public/memory.h).

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::GuestHandle;

/// Bits of the command that hold the operation (`MEMOP_CMD_MASK`); those above hold the first
/// extent of a continuation.
pub const CMD_MASK: u64 = 0x3f;
/// Where the first extent of a continuation starts in the command (`MEMOP_EXTENT_SHIFT`).
pub const EXTENT_SHIFT: u32 = 6;

/// `XENMEM_increase_reservation`: [`Reservation`].
pub const INCREASE_RESERVATION: u64 = 0;
/// `XENMEM_decrease_reservation`: [`Reservation`].
pub const DECREASE_RESERVATION: u64 = 1;
/// `XENMEM_maximum_ram_page`: no argument.
pub const MAXIMUM_RAM_PAGE: u64 = 2;
/// `XENMEM_current_reservation`: [`DomainArg`].
pub const CURRENT_RESERVATION: u64 = 3;
/// `XENMEM_maximum_reservation`: [`DomainArg`].
pub const MAXIMUM_RESERVATION: u64 = 4;
/// `XENMEM_machphys_mfn_list`.
pub const MACHPHYS_MFN_LIST: u64 = 5;
/// `XENMEM_populate_physmap`: [`Reservation`].
pub const POPULATE_PHYSMAP: u64 = 6;
/// `XENMEM_add_to_physmap`: [`AddToPhysmap`].
pub const ADD_TO_PHYSMAP: u64 = 7;
/// `XENMEM_memory_map`.
pub const MEMORY_MAP: u64 = 9;
/// `XENMEM_machine_memory_map`.
pub const MACHINE_MEMORY_MAP: u64 = 10;
/// `XENMEM_exchange`.
pub const EXCHANGE: u64 = 11;
/// `XENMEM_machphys_mapping`.
pub const MACHPHYS_MAPPING: u64 = 12;
/// `XENMEM_set_memory_map`.
pub const SET_MEMORY_MAP: u64 = 13;
/// `XENMEM_maximum_gpfn`: [`DomainArg`].
pub const MAXIMUM_GPFN: u64 = 14;
/// `XENMEM_remove_from_physmap`: [`RemoveFromPhysmap`].
pub const REMOVE_FROM_PHYSMAP: u64 = 15;
/// `XENMEM_set_pod_target`.
pub const SET_POD_TARGET: u64 = 16;
/// `XENMEM_get_pod_target`.
pub const GET_POD_TARGET: u64 = 17;
/// `XENMEM_get_sharing_freed_pages`.
pub const GET_SHARING_FREED_PAGES: u64 = 18;
/// `XENMEM_get_sharing_shared_pages`.
pub const GET_SHARING_SHARED_PAGES: u64 = 19;
/// `XENMEM_paging_op`.
pub const PAGING_OP: u64 = 20;
/// `XENMEM_access_op`.
pub const ACCESS_OP: u64 = 21;
/// `XENMEM_sharing_op`.
pub const SHARING_OP: u64 = 22;
/// `XENMEM_add_to_physmap_batch`: [`AddToPhysmapBatch`].
pub const ADD_TO_PHYSMAP_BATCH: u64 = 23;
/// `XENMEM_claim_pages`: [`Reservation`].
pub const CLAIM_PAGES: u64 = 24;
/// `XENMEM_machphys_compat_mfn_list`.
pub const MACHPHYS_COMPAT_MFN_LIST: u64 = 25;
/// `XENMEM_get_vnumainfo`.
pub const GET_VNUMAINFO: u64 = 26;
/// `XENMEM_reserved_device_memory_map`.
pub const RESERVED_DEVICE_MEMORY_MAP: u64 = 27;
/// `XENMEM_acquire_resource`: [`AcquireResource`].
pub const ACQUIRE_RESOURCE: u64 = 28;

/// Address spaces of [`AddToPhysmap::space`] (`XENMAPSPACE_*`).
pub mod space {
    /// The shared_info page; index 0.
    pub const SHARED_INFO: u32 = 0;
    /// A frame of the grant table.
    pub const GRANT_TABLE: u32 = 1;
    /// A guest frame.
    pub const GMFN: u32 = 2;
    /// A run of guest frames.
    pub const GMFN_RANGE: u32 = 3;
    /// A frame of another guest.
    pub const GMFN_FOREIGN: u32 = 4;
    /// A device page.
    pub const DEV_MMIO: u32 = 5;
    /// In the index for [`GRANT_TABLE`]: a status frame (`XENMAPIDX_grant_table_status`).
    pub const GRANT_STATUS_INDEX: u64 = 1 << 31;
}

/// Bits of [`Reservation::mem_flags`] (`XENMEMF_*`).
pub mod flags {
    /// Bits 7:0: address width limit of the frames.
    pub const ADDRESS_BITS_MASK: u32 = 0xff;
    /// Bits 15:8: NUMA node plus one.
    pub const NODE_MASK: u32 = 0xff00;
    /// Populate on demand.
    pub const POPULATE_ON_DEMAND: u32 = 1 << 16;
    /// The node is meant exactly.
    pub const EXACT_NODE_REQUEST: u32 = 1 << 17;
    /// The node is a virtual one.
    pub const VNODE: u32 = 1 << 18;
}

/// `xen_memory_reservation`: a list of extents.
#[derive(
    Clone, Copy, PartialEq, Eq, Debug, Default, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct Reservation {
    /// Array of `nr_extents` guest frame numbers, 8 bytes each.
    pub extent_start: GuestHandle,
    /// Elements of the array.
    pub nr_extents: u64,
    /// log2 of the pages in each extent.
    pub extent_order: u32,
    /// [`flags`].
    pub mem_flags: u32,
    /// Whose reservation.
    pub domid: u16,
    /// Padding.
    pub pad: [u8; 6],
}
layout!(Reservation, 32; extent_start @ 0, nr_extents @ 8, extent_order @ 16, mem_flags @ 20, domid @ 24, pad @ 26);

/// A lone domain id, the argument of the reservation queries.
#[derive(
    Clone, Copy, PartialEq, Eq, Debug, Default, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct DomainArg {
    /// Which domain.
    pub domid: u16,
}
layout!(DomainArg, 2; domid @ 0);

/// `xen_add_to_physmap`.
#[derive(
    Clone, Copy, PartialEq, Eq, Debug, Default, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct AddToPhysmap {
    /// Whose map is changed.
    pub domid: u16,
    /// Pages, for [`space::GMFN_RANGE`] alone.
    pub size: u16,
    /// [`space`].
    pub space: u32,
    /// Which page of that space.
    pub idx: u64,
    /// Guest frame number where it shall appear.
    pub gpfn: u64,
}
layout!(AddToPhysmap, 24; domid @ 0, size @ 2, space @ 4, idx @ 8, gpfn @ 16);

/// `xen_add_to_physmap_batch`.
#[derive(
    Clone, Copy, PartialEq, Eq, Debug, Default, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct AddToPhysmapBatch {
    /// Whose map is changed.
    pub domid: u16,
    /// [`space`], 16 bits here.
    pub space: u16,
    /// Elements of each of the three arrays.
    pub size: u16,
    /// The other domain for [`space::GMFN_FOREIGN`], otherwise 0.
    pub foreign_domid: u16,
    /// Array of indices, 8 bytes each.
    pub idxs: GuestHandle,
    /// Array of guest frame numbers, 8 bytes each.
    pub gpfns: GuestHandle,
    /// Out: array of results, `i32` each: 0 or a negative [`crate::Errno`].
    pub errs: GuestHandle,
}
layout!(AddToPhysmapBatch, 32; domid @ 0, space @ 2, size @ 4, foreign_domid @ 6, idxs @ 8, gpfns @ 16, errs @ 24);

/// `xen_remove_from_physmap`.
#[derive(
    Clone, Copy, PartialEq, Eq, Debug, Default, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct RemoveFromPhysmap {
    /// Whose map is changed.
    pub domid: u16,
    /// Padding.
    pub pad: [u8; 6],
    /// Guest frame number to be emptied.
    pub gpfn: u64,
}
layout!(RemoveFromPhysmap, 16; domid @ 0, pad @ 2, gpfn @ 8);

/// `xen_mem_acquire_resource`.
#[derive(
    Clone, Copy, PartialEq, Eq, Debug, Default, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct AcquireResource {
    /// Whose resource.
    pub domid: u16,
    /// Kind of resource.
    pub kind: u16,
    /// Which of that kind.
    pub id: u32,
    /// In and out: frames.
    pub nr_frames: u32,
    /// Must be 0.
    pub pad: u32,
    /// First frame of the resource.
    pub frame: u64,
    /// Array of guest frame numbers.
    pub frame_list: GuestHandle,
}
layout!(AcquireResource, 32; domid @ 0, kind @ 2, id @ 4, nr_frames @ 8, pad @ 12, frame @ 16, frame_list @ 24);

/// `xen_memory_exchange`.
#[derive(
    Clone, Copy, PartialEq, Eq, Debug, Default, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct Exchange {
    /// Frames to be given.
    pub input: Reservation,
    /// Frames to be had.
    pub output: Reservation,
    /// In and out: extents of the input that are done.
    pub nr_exchanged: u64,
}
layout!(Exchange, 72; input @ 0, output @ 32, nr_exchanged @ 64);

/// `xen_vnuma_topology_info`.
#[derive(
    Clone, Copy, PartialEq, Eq, Debug, Default, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct VnumaTopologyInfo {
    /// Whose.
    pub domid: u16,
    /// Must be 0.
    pub pad: u16,
    /// In and out: virtual nodes.
    pub nr_vnodes: u32,
    /// In and out: vCPUs.
    pub nr_vcpus: u32,
    /// In and out: memory ranges.
    pub nr_vmemranges: u32,
    /// Out: three arrays.
    pub arrays: [GuestHandle; 3],
}
layout!(VnumaTopologyInfo, 40; domid @ 0, pad @ 2, nr_vnodes @ 4, nr_vcpus @ 8, nr_vmemranges @ 12, arrays @ 16);

/// `xen_reserved_device_memory_map`.
#[derive(
    Clone, Copy, PartialEq, Eq, Debug, Default, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct ReservedDeviceMemoryMap {
    /// `XENMEM_RDM_ALL` (1), or 0 for one device.
    pub flags: u32,
    /// In and out: entries.
    pub nr_entries: u32,
    /// Out: array of entries.
    pub buffer: GuestHandle,
    /// PCI segment, bus and device.
    pub device: [u8; 8],
}
layout!(ReservedDeviceMemoryMap, 24; flags @ 0, nr_entries @ 4, buffer @ 8, device @ 16);
