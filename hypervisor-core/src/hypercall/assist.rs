//! vm_assist (public/xen.h): of the assists only the runstate update flag exists on Arm.

use xen_abi::Errno::{self, Einval, Enosys};
use xen_abi::assist::{self, TYPE_RUNSTATE_UPDATE_FLAG};

use super::row::Status::Done;
use super::row::family;
use crate::domain::assists::Assists;

family! {
    /// vm_assist(cmd, type): `-EINVAL` for another type.
    VM_ASSIST "vm_assist"
    fn vm_assist(assists: &mut Assists, cmd: u64, kind: u64);
    before {
        // The type is looked at first.
        if kind != TYPE_RUNSTATE_UPDATE_FLAG {
            return Einval.into();
        }
    }
    match cmd, else Enosys;
    assist::CMD_ENABLE { "enable", Done, "Switches an assist of the hypervisor's on.",
        switch(assists, true) }
    assist::CMD_DISABLE { "disable", Done, "Switches an assist of the hypervisor's off.",
        switch(assists, false) }
}

#[expect(clippy::unnecessary_wraps, reason = "as all handlers")]
const fn switch(assists: &mut Assists, on: bool) -> Result<i64, Errno> {
    assists.mark_runstate(on);
    Ok(0)
}
