//! grant_table_op and the grant table itself (public/grant_table.h).

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::GuestHandle;

/// `GNTTABOP_map_grant_ref`: [`MapGrantRef`].
pub const MAP_GRANT_REF: u64 = 0;
/// `GNTTABOP_unmap_grant_ref`: [`UnmapGrantRef`].
pub const UNMAP_GRANT_REF: u64 = 1;
/// `GNTTABOP_setup_table`: [`SetupTable`].
pub const SETUP_TABLE: u64 = 2;
/// `GNTTABOP_dump_table`.
pub const DUMP_TABLE: u64 = 3;
/// `GNTTABOP_transfer`.
pub const TRANSFER: u64 = 4;
/// `GNTTABOP_copy`: [`Copy`](struct@Copy).
pub const COPY: u64 = 5;
/// `GNTTABOP_query_size`: [`QuerySize`].
pub const QUERY_SIZE: u64 = 6;
/// `GNTTABOP_unmap_and_replace`: [`UnmapAndReplace`].
pub const UNMAP_AND_REPLACE: u64 = 7;
/// `GNTTABOP_set_version`: [`SetVersion`].
pub const SET_VERSION: u64 = 8;
/// `GNTTABOP_get_status_frames`: [`GetStatusFrames`].
pub const GET_STATUS_FRAMES: u64 = 9;
/// `GNTTABOP_get_version`: [`GetVersion`].
pub const GET_VERSION: u64 = 10;
/// `GNTTABOP_swap_grant_ref`: [`SwapGrantRef`].
pub const SWAP_GRANT_REF: u64 = 11;
/// `GNTTABOP_cache_flush`: [`CacheFlush`].
pub const CACHE_FLUSH: u64 = 12;
/// Bits of the command that hold the operation (`GNTTABOP_CMD_MASK`).
pub const CMD_MASK: u64 = 0xfff;

/// Entries in one frame of a version 1 table.
pub const ENTRIES_PER_FRAME: u32 = 512;
/// Most frames that a table can have here (Xen's default of `max_grant_frames`).
pub const MAX_FRAMES: u16 = 64;
/// References below this are reserved for tools (`GNTTAB_NR_RESERVED_ENTRIES`).
pub const RESERVED_ENTRIES: u32 = 8;
/// Reference of the console ring (`GNTTAB_RESERVED_CONSOLE`).
pub const RESERVED_CONSOLE: u32 = 0;
/// Reference of the xenstore ring (`GNTTAB_RESERVED_XENSTORE`).
pub const RESERVED_XENSTORE: u32 = 1;

/// Result of one element of a request (`GNTST_*`), in its `status` field.
pub mod status {
    /// Done.
    pub const OKAY: i16 = 0;
    /// Undescribed error.
    pub const GENERAL_ERROR: i16 = -1;
    /// Unrecognised domain id.
    pub const BAD_DOMAIN: i16 = -2;
    /// Unrecognised or inappropriate reference.
    pub const BAD_GNTREF: i16 = -3;
    /// Unrecognised or inappropriate handle.
    pub const BAD_HANDLE: i16 = -4;
    /// Inappropriate virtual address.
    pub const BAD_VIRT_ADDR: i16 = -5;
    /// Inappropriate device address.
    pub const BAD_DEV_ADDR: i16 = -6;
    /// Out of space in the IOMMU.
    pub const NO_DEVICE_SPACE: i16 = -7;
    /// Not allowed.
    pub const PERMISSION_DENIED: i16 = -8;
    /// The page is not one that can be granted.
    pub const BAD_PAGE: i16 = -9;
    /// A copy crosses a page.
    pub const BAD_COPY_ARG: i16 = -10;
    /// Address too large.
    pub const ADDRESS_TOO_BIG: i16 = -11;
    /// Busy; try again.
    pub const EAGAIN: i16 = -12;
    /// Out of space.
    pub const NO_SPACE: i16 = -13;

    /// All of them with their names in C and what they say, from 0 down.
    #[rustfmt::skip]
    pub const ALL: &[(i16, &str, &str)] = &[
        (OKAY, "GNTST_okay", "Done."),
        (GENERAL_ERROR, "GNTST_general_error", "Undescribed error."),
        (BAD_DOMAIN, "GNTST_bad_domain", "Unrecognised domain id."),
        (BAD_GNTREF, "GNTST_bad_gntref", "Unrecognised or inappropriate grant reference."),
        (BAD_HANDLE, "GNTST_bad_handle", "Unrecognised or inappropriate handle of a mapping."),
        (BAD_VIRT_ADDR, "GNTST_bad_virt_addr", "Inappropriate virtual address to map at."),
        (BAD_DEV_ADDR, "GNTST_bad_dev_addr", "Inappropriate device address."),
        (NO_DEVICE_SPACE, "GNTST_no_device_space", "Out of space in the IOMMU."),
        (PERMISSION_DENIED, "GNTST_permission_denied", "Not allowed: the entry grants it to another domain, or for reading only."),
        (BAD_PAGE, "GNTST_bad_page", "The page is not one that can be granted."),
        (BAD_COPY_ARG, "GNTST_bad_copy_arg", "A copy crosses a page."),
        (ADDRESS_TOO_BIG, "GNTST_address_too_big", "The address of the page is too large."),
        (EAGAIN, "GNTST_eagain", "Busy; try again."),
        (NO_SPACE, "GNTST_no_space", "Out of space."),
    ];
}

/// Bits of [`EntryV1::flags`] (`GTF_*`).
pub mod gtf {
    /// Type field.
    pub const TYPE_MASK: u16 = 3;
    /// Type: entry grants nothing.
    pub const INVALID: u16 = 0;
    /// Type: `domid` may map or copy the frame.
    pub const PERMIT_ACCESS: u16 = 1;
    /// Type: `domid` may transfer a page here.
    pub const ACCEPT_TRANSFER: u16 = 2;
    /// Type: stands for another domain's grant (version 2).
    pub const TRANSITIVE: u16 = 3;
    /// Reading only.
    pub const READONLY: u16 = 1 << 2;
    /// Hypervisor: mapped or being read.
    pub const READING: u16 = 1 << 3;
    /// Hypervisor: mapped writable or being written.
    pub const WRITING: u16 = 1 << 4;
    /// Cache attributes; none are supported.
    pub const CACHE_MASK: u16 = 7 << 5;
    /// Part of a page (version 2).
    pub const SUB_PAGE: u16 = 1 << 8;
}

/// Bits of [`MapGrantRef::flags`] (`GNTMAP_*`).
pub mod map_flags {
    /// For the caller's device.
    pub const DEVICE_MAP: u32 = 1 << 0;
    /// For the caller's CPU.
    pub const HOST_MAP: u32 = 1 << 1;
    /// No writes.
    pub const READONLY: u32 = 1 << 2;
    /// For the guest's user space.
    pub const APPLICATION_MAP: u32 = 1 << 3;
    /// `host_addr` is the address of a page-table entry.
    pub const CONTAINS_PTE: u32 = 1 << 4;
}

/// Bits of [`Copy::flags`](struct@Copy) (`GNTCOPY_*`).
pub mod copy_flags {
    /// The source is a grant reference.
    pub const SOURCE_GREF: u16 = 1 << 0;
    /// The destination is a grant reference.
    pub const DEST_GREF: u16 = 1 << 1;
}

/// Bits of [`CacheFlush::op`] (`GNTTAB_CACHE_*`).
pub mod cache_op {
    /// Clean.
    pub const CLEAN: u32 = 1 << 0;
    /// Invalidate.
    pub const INVALIDATE: u32 = 1 << 1;
    /// `dev_bus_addr` is a grant reference of the source.
    pub const SOURCE_GREF: u32 = 1 << 31;
}

macro_rules! pod {
    ($(#[$doc:meta])* pub struct $name:ident { $($(#[$fdoc:meta])* $field:ident @ $offset:literal: $ty:ty,)* } $size:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Debug, Default, FromBytes, IntoBytes, KnownLayout, Immutable)]
        #[repr(C)]
        pub struct $name { $($(#[$fdoc])* pub $field: $ty,)* }
        layout!($name, $size; $($field @ $offset),*);
    };
}

pod! {
    /// `gnttab_map_grant_ref`.
    pub struct MapGrantRef {
        /// Guest physical address where the frame shall appear.
        host_addr @ 0: u64,
        /// [`map_flags`].
        flags @ 8: u32,
        /// Reference in the granter's table.
        gref @ 12: u32,
        /// Granter.
        dom @ 16: u16,
        /// Out: [`status`].
        status @ 18: i16,
        /// Out: handle for unmapping.
        handle @ 20: u32,
        /// Out: machine address for DMA.
        dev_bus_addr @ 24: u64,
    } 32
}
pod! {
    /// `gnttab_unmap_grant_ref`.
    pub struct UnmapGrantRef {
        /// Guest physical address of the mapping.
        host_addr @ 0: u64,
        /// 0, or the address that mapping returned.
        dev_bus_addr @ 8: u64,
        /// Handle that mapping returned.
        handle @ 16: u32,
        /// Out: [`status`].
        status @ 20: i16,
        /// Padding.
        pad @ 22: u16,
    } 24
}
pod! {
    /// `gnttab_setup_table`.
    pub struct SetupTable {
        /// Whose table.
        dom @ 0: u16,
        /// Padding.
        pad0 @ 2: u16,
        /// Frames wanted.
        nr_frames @ 4: u32,
        /// Out: [`status`].
        status @ 8: i16,
        /// Padding.
        pad1 @ 10: [u8; 6],
        /// Out: array of `nr_frames` guest frame numbers, 8 bytes each.
        frame_list @ 16: GuestHandle,
    } 24
}
pod! {
    /// One side of a [`Copy`](struct@Copy).
    pub struct CopyPtr {
        /// Grant reference (low 32 bits) or guest frame number, see [`copy_flags`].
        gref_or_gfn @ 0: u64,
        /// Whose.
        domid @ 8: u16,
        /// First byte within the page.
        offset @ 10: u16,
        /// Padding.
        pad @ 12: u32,
    } 16
}
pod! {
    /// `gnttab_copy`.
    pub struct Copy {
        /// From.
        source @ 0: CopyPtr,
        /// To.
        dest @ 16: CopyPtr,
        /// Bytes.
        len @ 32: u16,
        /// [`copy_flags`].
        flags @ 34: u16,
        /// Out: [`status`].
        status @ 36: i16,
        /// Padding.
        pad @ 38: u16,
    } 40
}
pod! {
    /// `gnttab_query_size`.
    pub struct QuerySize {
        /// Whose table.
        dom @ 0: u16,
        /// Padding.
        pad0 @ 2: u16,
        /// Out: frames in use.
        nr_frames @ 4: u32,
        /// Out: frames at most.
        max_nr_frames @ 8: u32,
        /// Out: [`status`].
        status @ 12: i16,
        /// Padding.
        pad1 @ 14: u16,
    } 16
}
pod! {
    /// `gnttab_unmap_and_replace`.
    pub struct UnmapAndReplace {
        /// Guest physical address of the mapping.
        host_addr @ 0: u64,
        /// What shall be mapped instead.
        new_addr @ 8: u64,
        /// Handle that mapping returned.
        handle @ 16: u32,
        /// Out: [`status`].
        status @ 20: i16,
        /// Padding.
        pad @ 22: u16,
    } 24
}
pod! {
    /// `gnttab_set_version`.
    pub struct SetVersion {
        /// In and out: version of the table's layout.
        version @ 0: u32,
    } 4
}
pod! {
    /// `gnttab_get_status_frames`.
    pub struct GetStatusFrames {
        /// Frames wanted.
        nr_frames @ 0: u32,
        /// Whose table.
        dom @ 4: u16,
        /// Out: [`status`].
        status @ 6: i16,
        /// Out: array of guest frame numbers.
        frame_list @ 8: GuestHandle,
    } 16
}
pod! {
    /// `gnttab_get_version`.
    pub struct GetVersion {
        /// Whose table.
        dom @ 0: u16,
        /// Padding.
        pad @ 2: u16,
        /// Out: version.
        version @ 4: u32,
    } 8
}
pod! {
    /// `gnttab_swap_grant_ref`.
    pub struct SwapGrantRef {
        /// One reference.
        ref_a @ 0: u32,
        /// The other.
        ref_b @ 4: u32,
        /// Out: [`status`].
        status @ 8: i16,
        /// Padding.
        pad @ 10: u16,
    } 12
}
pod! {
    /// `gnttab_cache_flush`.
    pub struct CacheFlush {
        /// Machine address.
        dev_bus_addr @ 0: u64,
        /// First byte within the page.
        offset @ 8: u16,
        /// Bytes.
        length @ 10: u16,
        /// [`cache_op`].
        op @ 12: u32,
    } 16
}
pod! {
    /// `grant_entry_v1`: one grant in the table shared with the guest.
    pub struct EntryV1 {
        /// [`gtf`].
        flags @ 0: u16,
        /// Who may use it.
        domid @ 2: u16,
        /// Guest frame number.
        frame @ 4: u32,
    } 8
}
