//! hvm_op (public/hvm/hvm_op.h, public/hvm/params.h).

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// `HVMOP_set_param`: [`HvmParam`].
pub const SET_PARAM: u64 = 0;
/// `HVMOP_get_param`: [`HvmParam`].
pub const GET_PARAM: u64 = 1;
/// `HVMOP_guest_request_vm_event`: no argument.
pub const GUEST_REQUEST_VM_EVENT: u64 = 24;

/// Parameters (`HVM_PARAM_*`) that exist on Arm.
pub mod param {
    /// How events are announced; 0 where the device tree tells.
    pub const CALLBACK_IRQ: u32 = 0;
    /// Guest frame number of the xenstore ring; 0 without one.
    pub const STORE_PFN: u32 = 1;
    /// Event channel of the xenstore ring; 0 without one.
    pub const STORE_EVTCHN: u32 = 2;
    /// Guest frame number of the console ring; 0 without one.
    pub const CONSOLE_PFN: u32 = 17;
    /// Event channel of the console ring; 0 without one.
    pub const CONSOLE_EVTCHN: u32 = 18;
    /// Guest frame number of the monitor ring; toolstack only.
    pub const MONITOR_RING_PFN: u32 = 28;
}

/// `xen_hvm_param`.
#[derive(
    Clone, Copy, PartialEq, Eq, Debug, Default, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct HvmParam {
    /// Whose parameter.
    pub domid: u16,
    /// Padding.
    pub pad: u16,
    /// [`param`].
    pub index: u32,
    /// In or out: its value.
    pub value: u64,
}
layout!(HvmParam, 16; domid @ 0, pad @ 2, index @ 4, value @ 8);
