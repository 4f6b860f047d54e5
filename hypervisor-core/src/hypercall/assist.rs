//! vm_assist (public/xen.h): of the assists only the runstate update flag exists on Arm.

use xen_abi::Errno;
use xen_abi::assist::{CMD_DISABLE, CMD_ENABLE, TYPE_RUNSTATE_UPDATE_FLAG};

use super::state::State;
use crate::vm::Vm;

/// vm_assist(cmd, type).
///
/// # Errors
/// [`Errno::Einval`] for another type; [`Errno::Enosys`] for another command.
pub(super) fn vm_assist(vm: &mut Vm<'_>, cmd: u64, kind: u64) -> Result<i64, Errno> {
    if kind != TYPE_RUNSTATE_UPDATE_FLAG {
        return Err(Errno::Einval);
    }
    match cmd {
        CMD_ENABLE => vm.hc.assists |= RUNSTATE_UPDATE_FLAG,
        CMD_DISABLE => vm.hc.assists &= !RUNSTATE_UPDATE_FLAG,
        _ => return Err(Errno::Enosys),
    }
    Ok(0)
}

const RUNSTATE_UPDATE_FLAG: u32 = 1 << TYPE_RUNSTATE_UPDATE_FLAG;

impl State {
    /// Whether updates of the runstate area are to be marked.
    pub(super) fn marks_runstate(&self) -> bool {
        self.assists & RUNSTATE_UPDATE_FLAG != 0
    }
}
