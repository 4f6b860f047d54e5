//! vm_assist (public/xen.h): of the assists only the runstate update flag exists on Arm.

use xen_abi::Errno;
use xen_abi::assist::{CMD_DISABLE, CMD_ENABLE, TYPE_RUNSTATE_UPDATE_FLAG};

use crate::domain::assists::Assists;

/// vm_assist(cmd, type).
///
/// # Errors
/// [`Errno::Einval`] for another type; [`Errno::Enosys`] for another command.
pub(super) fn vm_assist(assists: &mut Assists, cmd: u64, kind: u64) -> Result<i64, Errno> {
    if kind != TYPE_RUNSTATE_UPDATE_FLAG {
        return Err(Errno::Einval);
    }
    match cmd {
        CMD_ENABLE => assists.mark_runstate(true),
        CMD_DISABLE => assists.mark_runstate(false),
        _ => return Err(Errno::Enosys),
    }
    Ok(0)
}
