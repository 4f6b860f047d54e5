//! vm_assist (public/xen.h).

/// `VMASST_CMD_enable`.
pub const CMD_ENABLE: u64 = 0;
/// `VMASST_CMD_disable`.
pub const CMD_DISABLE: u64 = 1;
/// `VMASST_TYPE_runstate_update_flag`: mark updates of the runstate area
/// ([`crate::vcpu::RUNSTATE_UPDATE`]).
pub const TYPE_RUNSTATE_UPDATE_FLAG: u64 = 5;
