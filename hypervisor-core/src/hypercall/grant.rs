//! grant_table_op (public/grant_table.h): the table itself, and grants to oneself.
//!
//! A guest has a version 1 table whose frames are extra pages of the domain. It can map and copy what it
//! grants itself; mapping and copying other domains' grants needs a broker between VMMs, which does not
//! exist yet, and is answered with `GNTST_permission_denied`, as by Xen's default policy on Arm (SILO).
//!
//! The operations that take an array store a status in each element and return 0. Long arrays are
//! done in parts: the guest executes its HVC again with the rest.

mod array;
mod copy;
mod entry;
mod maps;
mod table;

use core::mem::offset_of;
use core::ops::Range;

use hv_types::Gva;
use memory_server_api::Extra;
use xen_abi::Errno;
use xen_abi::grant::{self, Copy, MapGrantRef, SwapGrantRef, UnmapAndReplace, UnmapGrantRef};

use super::outcome::Outcome;
use crate::domain::Domain;
use crate::host::on_vcpu::VcpuHost;

pub(super) use table::frame_for_physmap;

/// grant_table_op(cmd, array, count). `cmd` and `count` are 32 bits.
pub fn grant_table_op<H: VcpuHost>(
    domain: &mut Domain<'_>,
    host: &mut H,
    args: [u64; 5],
) -> Outcome {
    let [cmd, array, count, ..] = args;
    let (op, progress) = (cmd & grant::CMD_MASK, cmd & 0xffff_ffff & !grant::CMD_MASK);
    let Ok(count) = u32::try_from(count & 0xffff_ffff) else {
        return Errno::Einval.into();
    };
    if count > i32::MAX as u32 || progress != 0 && op != grant::CACHE_FLUSH {
        return Errno::Einval.into();
    }
    let at = Gva::new(array);
    match op {
        grant::SETUP_TABLE => table::setup(domain, host, at, count).into(),
        grant::QUERY_SIZE => table::query_size(domain, host, at, count).into(),
        grant::GET_STATUS_FRAMES => table::get_status_frames(domain, host, at, count).into(),
        grant::GET_VERSION => table::get_version(domain, host, at).into(),
        grant::SET_VERSION => table::set_version(domain, host, at).into(),
        grant::MAP_GRANT_REF => {
            let all = 0..size_of::<MapGrantRef>();
            array::run(domain, host, args, count, all, maps::map)
        }
        grant::UNMAP_GRANT_REF => {
            let out = status_of(offset_of!(UnmapGrantRef, status));
            array::run(domain, host, args, count, out, maps::unmap)
        }
        grant::UNMAP_AND_REPLACE => {
            let out = status_of(offset_of!(UnmapAndReplace, status));
            array::run(domain, host, args, count, out, maps::unmap_and_replace)
        }
        grant::COPY => {
            let out = status_of(offset_of!(Copy, status));
            array::run(domain, host, args, count, out, copy::copy)
        }
        grant::SWAP_GRANT_REF => {
            let out = status_of(offset_of!(SwapGrantRef, status));
            array::run(domain, host, args, count, out, table::swap)
        }
        grant::CACHE_FLUSH => array::run(domain, host, args, count, 0..0, |domain, host, op| {
            array::cache_flush(domain, host, op, progress)
        }),
        grant::TRANSFER => Errno::Eopnotsupp.into(),
        _ => Errno::Enosys.into(),
    }
}

/// The bytes of a status at `offset`.
const fn status_of(offset: usize) -> Range<usize> {
    offset..offset + size_of::<i16>()
}

/// Frames that the table has: they are created in order.
fn nr_frames(domain: &Domain<'_>) -> u8 {
    (0..domain.record.max_grant_frames)
        .find(|n| !domain.p2m.has_extra(Extra::GrantFrame(*n)))
        .unwrap_or(domain.record.max_grant_frames)
}
