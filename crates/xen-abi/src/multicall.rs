//! multicall (public/xen.h).

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// `multicall_entry`: one hypercall of a list.
#[derive(
    Clone, Copy, PartialEq, Eq, Debug, Default, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct MulticallEntry {
    /// [`crate::number`].
    pub op: u64,
    /// Out: what the hypercall returned.
    pub result: i64,
    /// Its arguments; Arm uses the first five.
    pub args: [u64; 6],
}
layout!(MulticallEntry, 64; op @ 0, result @ 8, args @ 16);
