//! vcpu_op (public/vcpu.h).

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::GuestHandle;

/// `VCPUOP_initialise`.
pub const INITIALISE: u64 = 0;
/// `VCPUOP_up`.
pub const UP: u64 = 1;
/// `VCPUOP_down`.
pub const DOWN: u64 = 2;
/// `VCPUOP_is_up`.
pub const IS_UP: u64 = 3;
/// `VCPUOP_get_runstate_info`.
pub const GET_RUNSTATE_INFO: u64 = 4;
/// `VCPUOP_register_runstate_memory_area`: [`RegisterRunstate`].
pub const REGISTER_RUNSTATE_MEMORY_AREA: u64 = 5;
/// `VCPUOP_set_periodic_timer`.
pub const SET_PERIODIC_TIMER: u64 = 6;
/// `VCPUOP_stop_periodic_timer`.
pub const STOP_PERIODIC_TIMER: u64 = 7;
/// `VCPUOP_set_singleshot_timer`.
pub const SET_SINGLESHOT_TIMER: u64 = 8;
/// `VCPUOP_stop_singleshot_timer`.
pub const STOP_SINGLESHOT_TIMER: u64 = 9;
/// `VCPUOP_register_vcpu_info`: [`RegisterVcpuInfo`].
pub const REGISTER_VCPU_INFO: u64 = 10;
/// `VCPUOP_send_nmi`.
pub const SEND_NMI: u64 = 11;
/// `VCPUOP_get_physid`.
pub const GET_PHYSID: u64 = 12;
/// `VCPUOP_register_vcpu_time_memory_area`.
pub const REGISTER_VCPU_TIME_MEMORY_AREA: u64 = 13;
/// `VCPUOP_register_runstate_phys_area`: the area by guest physical address.
pub const REGISTER_RUNSTATE_PHYS_AREA: u64 = 14;
/// `VCPUOP_register_vcpu_time_phys_area`.
pub const REGISTER_VCPU_TIME_PHYS_AREA: u64 = 15;

/// In [`RunstateInfo::state_entry_time`]: the area is being written (`XEN_RUNSTATE_UPDATE`).
pub const RUNSTATE_UPDATE: u64 = 1 << 63;

/// Values of [`RunstateInfo::state`] (`RUNSTATE_*`), indices into [`RunstateInfo::time`].
pub mod runstate {
    /// On a physical CPU.
    pub const RUNNING: i32 = 0;
    /// Could run but does not.
    pub const RUNNABLE: i32 = 1;
    /// Waits for an event.
    pub const BLOCKED: i32 = 2;
    /// Is off.
    pub const OFFLINE: i32 = 3;
}

/// `vcpu_runstate_info`.
#[derive(
    Clone, Copy, PartialEq, Eq, Debug, Default, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct RunstateInfo {
    /// [`runstate`].
    pub state: i32,
    /// Padding.
    pub pad: u32,
    /// System time in ns at which the state was entered, and [`RUNSTATE_UPDATE`].
    pub state_entry_time: u64,
    /// ns spent in each state.
    pub time: [u64; 4],
}
layout!(RunstateInfo, 48; state @ 0, pad @ 4, state_entry_time @ 8, time @ 16);

/// `vcpu_register_runstate_memory_area`.
#[derive(
    Clone, Copy, PartialEq, Eq, Debug, Default, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct RegisterRunstate {
    /// Guest virtual address of a [`RunstateInfo`]; null ends the registration.
    pub addr: GuestHandle,
}
layout!(RegisterRunstate, 8; addr @ 0);

/// `vcpu_register_vcpu_info`.
#[derive(
    Clone, Copy, PartialEq, Eq, Debug, Default, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct RegisterVcpuInfo {
    /// Guest frame number of the page ("mfn" in Xen's header).
    pub gfn: u64,
    /// First byte within the page.
    pub offset: u32,
    /// Unused.
    pub rsvd: u32,
}
layout!(RegisterVcpuInfo, 16; gfn @ 0, offset @ 8, rsvd @ 12);
