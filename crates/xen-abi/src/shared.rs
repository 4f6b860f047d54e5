//! The shared_info page and vcpu_info (public/xen.h, public/arch-arm.h).
//!
//! Both sides change single words of these while the other looks, so they are described by the
//! offsets of their words rather than as one structure.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Words in `evtchn_pending`, in `evtchn_mask`, and bits in a vCPU's selector.
pub const EVENT_WORDS: u16 = 64;
/// Ports of the two-level ABI: one bit each.
pub const EVENT_PORTS: u32 = 4096;

/// `vcpu_info`: what a vCPU and the hypervisor tell each other.
#[derive(
    Clone, Copy, PartialEq, Eq, Debug, Default, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct VcpuInfo {
    /// Not 0 while events wait for this vCPU.
    pub evtchn_upcall_pending: u8,
    /// Padding; Arm has no mask byte.
    pub pad: [u8; 7],
    /// Words of `evtchn_pending` in which to look.
    pub evtchn_pending_sel: u64,
    /// All zero on Arm: guests use the virtual counter.
    pub time: VcpuTimeInfo,
}
layout!(VcpuInfo, 48; evtchn_upcall_pending @ 0, pad @ 1, evtchn_pending_sel @ 8, time @ 16);

/// `vcpu_time_info`.
#[derive(
    Clone, Copy, PartialEq, Eq, Debug, Default, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct VcpuTimeInfo {
    /// Odd while it is being written.
    pub version: u32,
    /// Padding.
    pub pad0: u32,
    /// Time stamp counter at the last update.
    pub tsc_timestamp: u64,
    /// ns since boot at that time.
    pub system_time: u64,
    /// Multiplier from the counter to ns.
    pub tsc_to_system_mul: u32,
    /// Shift from the counter to ns.
    pub tsc_shift: i8,
    /// Flags.
    pub flags: u8,
    /// Padding.
    pub pad1: [u8; 2],
}
layout!(VcpuTimeInfo, 32; version @ 0, pad0 @ 4, tsc_timestamp @ 8, system_time @ 16, tsc_to_system_mul @ 24, tsc_shift @ 28, flags @ 29, pad1 @ 30);

/// Offsets in bytes of the words of a `vcpu_info`.
pub mod vcpu_info {
    /// `evtchn_upcall_pending`, `u8`.
    pub const UPCALL_PENDING: u16 = 0;
    /// `evtchn_pending_sel`, `u64`.
    pub const PENDING_SEL: u16 = 8;
    /// Bytes of the structure.
    pub const SIZE: u16 = 48;
}

/// Offsets in bytes of the words of a `shared_info`.
pub mod shared_info {
    /// `vcpu_info[0]`, the only one on Arm.
    pub const VCPU_INFO: u16 = 0;
    /// `evtchn_pending`, [`super::EVENT_WORDS`] of `u64`.
    pub const EVTCHN_PENDING: u16 = 48;
    /// `evtchn_mask`, [`super::EVENT_WORDS`] of `u64`.
    pub const EVTCHN_MASK: u16 = 560;
    /// `wc_version`, `u32`: odd while the wall clock is being written.
    pub const WC_VERSION: u16 = 1072;
    /// `wc_sec`, `u32`: seconds of UTC at system time 0, low word.
    pub const WC_SEC: u16 = 1076;
    /// `wc_nsec`, `u32`: nanoseconds.
    pub const WC_NSEC: u16 = 1080;
    /// `wc_sec_hi`, `u32`: high word of the seconds.
    pub const WC_SEC_HI: u16 = 1084;
    /// Bytes of the structure; the rest of the page is zero.
    pub const SIZE: u16 = 1088;
}

/// The layout of `shared_info` as one structure, to check the offsets above against each other.
#[repr(C)]
struct SharedInfo {
    vcpu_info: [VcpuInfo; 1],
    evtchn_pending: [u64; EVENT_WORDS as usize],
    evtchn_mask: [u64; EVENT_WORDS as usize],
    wc_version: u32,
    wc_sec: u32,
    wc_nsec: u32,
    wc_sec_hi: u32,
}
layout!(SharedInfo, shared_info::SIZE as usize;
    vcpu_info @ shared_info::VCPU_INFO as usize,
    evtchn_pending @ shared_info::EVTCHN_PENDING as usize,
    evtchn_mask @ shared_info::EVTCHN_MASK as usize,
    wc_version @ shared_info::WC_VERSION as usize,
    wc_sec @ shared_info::WC_SEC as usize,
    wc_nsec @ shared_info::WC_NSEC as usize,
    wc_sec_hi @ shared_info::WC_SEC_HI as usize,
);
const _: () = assert!(vcpu_info::SIZE as usize == size_of::<VcpuInfo>());
const _: () =
    assert!(vcpu_info::PENDING_SEL as usize == core::mem::offset_of!(VcpuInfo, evtchn_pending_sel));
