//! The calls that map grants (public/grant_table.h), as both sets of checks make them.

use super::argument::Arg;
use crate::xen::{call3, nr};

/// `gnttab_map_grant_ref`: host_addr @0, flags @8, ref @12, dom @16, status @18, handle @20,
/// dev_bus_addr @24.
pub fn map_arg(at: u64, gref: u32, flags: u32, dom: u16) -> Arg {
    Arg::new()
        .long(0, at)
        .word(8, flags)
        .word(12, gref)
        .half(16, dom)
        .half(18, 99)
        .word(20, 0x5555)
}

/// Result, status and handle.
pub fn map(at: u64, gref: u32, flags: u32, dom: u16) -> (i64, i64, u32) {
    let mut arg = map_arg(at, gref, flags, dom);
    let got = call3(nr::GRANT, 0, arg.at(), 1);
    (got, arg.get_status(18), arg.get_word(20))
}

/// `gnttab_unmap_grant_ref`: host_addr @0, dev_bus_addr @8, handle @16, status @20. The status.
pub fn unmap(at: u64, handle: u32) -> i64 {
    let mut arg = Arg::new().long(0, at).word(16, handle).half(20, 99);
    call3(nr::GRANT, 1, arg.at(), 1);
    arg.get_status(20)
}

/// `gnttab_unmap_and_replace`: host_addr @0, new_addr @8, handle @16, status @20. The status.
pub fn replace(at: u64, new: u64, handle: u32) -> i64 {
    let mut arg = Arg::new()
        .long(0, at)
        .long(8, new)
        .word(16, handle)
        .half(20, 99);
    call3(nr::GRANT, 7, arg.at(), 1);
    arg.get_status(20)
}
