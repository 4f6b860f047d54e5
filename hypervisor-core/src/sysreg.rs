//! System registers whose accesses the kernel traps.
//!
//! seL4 traps few of them: on boards where user level may not reach the EL1 physical timer, guests
//! trap on it too. The count itself is answered; the timer is not there (guests have the virtual
//! one, as the device tree says), so its registers are undefined. Everything else that traps is undefined as well.

use crate::esr::SysRegAccess;
use crate::host::Host;

/// `CNTPCT_EL0` as (op0, op1, CRn, CRm, op2), Arm ARM D19.12.20.
const CNTPCT_EL0: (u8, u8, u8, u8, u8) = (3, 3, 14, 0, 1);

/// Emulates the access; false where the register is undefined for a guest. The caller advances the PC.
pub(crate) fn emulate<H: Host>(host: &mut H, access: SysRegAccess) -> bool {
    match (access.encoding(), access.read) {
        (CNTPCT_EL0, true) => {
            let now = host.now();
            host.set_x(access.rt, now);
            true
        }
        _ => false,
    }
}
