//! grant_table_op (public/grant_table.h): the table itself, and grants to oneself.
//!
//! A guest has a version 1 table whose frames are extra pages of the domain. It can map and copy
//! what it grants itself, and map what others grant to it whom the domains file names; else the
//! answer is `GNTST_permission_denied`, as by Xen's default policy on Arm (SILO).
//!
//! The operations that take an array store a status in each element and return 0. Long arrays are
//! done in parts: the guest executes its HVC again with the rest.

mod array;
pub mod backend;
mod copy;
mod entry;
pub mod foreign;
mod maps;
pub(super) mod table;

use core::mem::offset_of;
use core::ops::Range;

use hv_types::Gva;
use xen_abi::Errno::{self, Enosys, Eopnotsupp};
use xen_abi::grant::{self, Copy, MapGrantRef, SwapGrantRef, UnmapAndReplace, UnmapGrantRef};

use super::row::Status::{Done, Error, Partly};
use super::row::family;
use crate::domain::Domain;
use crate::host::on_vcpu::VcpuHost;

family! {
    /// grant_table_op(cmd, array, count). `cmd` and `count` are 32 bits.
    GRANT_TABLE_OP "grant_table_op"
    fn grant_table_op<H: VcpuHost>(domain: &mut Domain<'_>, host: &mut H, args: [u64; 5]);
    before {
        let [cmd, array, count, ..] = args;
        let (op, progress) = (cmd & grant::CMD_MASK, cmd & 0xffff_ffff & !grant::CMD_MASK);
        let Ok(count) = u32::try_from(count & 0xffff_ffff) else {
            return Errno::Einval.into();
        };
        if count > i32::MAX as u32 || progress != 0 && op != grant::CACHE_FLUSH {
            return Errno::Einval.into();
        }
        let at = Gva::new(array);
    }
    match op, else Enosys;
    grant::MAP_GRANT_REF { "map_grant_ref", Done, "Maps frames that other domains have granted.",
        array::run(domain, host, args, count, 0..size_of::<MapGrantRef>(), maps::map) }
    grant::UNMAP_GRANT_REF { "unmap_grant_ref", Done, "Unmaps what was mapped with map_grant_ref.",
        array::run(domain, host, args, count, status_of(offset_of!(UnmapGrantRef, status)), maps::unmap) }
    grant::SETUP_TABLE { "setup_table", Done, "Makes the grant table larger.",
        table::setup(domain, host, at, count) }
    grant::DUMP_TABLE { "dump_table", Error(Enosys), "Prints a grant table to the hypervisor's console." }
    grant::TRANSFER { "transfer", Error(Eopnotsupp), "Gives frames to another domain for good." }
    grant::COPY { "copy", Partly("frames and grants of the caller itself"), "Copies bytes between frames, granted ones among them.",
        array::run(domain, host, args, count, status_of(offset_of!(Copy, status)), copy::copy) }
    grant::QUERY_SIZE { "query_size", Done, "How many frames the grant table has and may have.",
        table::query_size(domain, host, at, count) }
    grant::UNMAP_AND_REPLACE { "unmap_and_replace", Done, "Unmaps a granted frame and maps another one in its place.",
        array::run(domain, host, args, count, status_of(offset_of!(UnmapAndReplace, status)), maps::unmap_and_replace) }
    grant::SET_VERSION { "set_version", Done, "Chooses the version of the grant table.",
        table::set_version(domain, host, at) }
    grant::GET_STATUS_FRAMES { "get_status_frames", Done, "Frames of the status words of a table of version 2.",
        table::get_status_frames(domain, host, at, count) }
    grant::GET_VERSION { "get_version", Done, "Which version the grant table has.",
        table::get_version(domain, host, at) }
    grant::SWAP_GRANT_REF { "swap_grant_ref", Done, "Exchanges two entries of the guest's grant table.",
        array::run(domain, host, args, count, status_of(offset_of!(SwapGrantRef, status)), table::swap) }
    grant::CACHE_FLUSH { "cache_flush", Partly("direct-mapped domains, own RAM"), "Cleans and invalidates caches for memory that a device uses.",
        array::run(domain, host, args, count, 0..0, |domain, host, op| array::cache_flush(domain, host, op, progress)) }
}

/// The bytes of a status at `offset`.
const fn status_of(offset: usize) -> Range<usize> {
    offset..offset + size_of::<i16>()
}
