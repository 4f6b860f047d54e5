//! System registers whose accesses trap.
//!
//! Which do is up to the host. All trap debug and performance-monitor registers, because they would
//! be the other guests' too, and give Xen's answers (xen/arch/arm/arm64/vsysreg.c): at EL1 they
//! read as zero and ignore writes. Identification registers are answered by [`crate::vcpu::idregs`]
//! where their reads trap. On boards where user level may not reach the EL1 physical timer, guests
//! trap on it: the count is answered here, the timer by [`crate::vcpu::ptimer`]. Everything else
//! that traps is undefined. docs/registers.md lists what traps and what is shared.

use crate::exit::syndrome::SysRegAccess;
use crate::host::on_vcpu::VcpuHost;
use crate::vcpu::idregs;

/// An encoding: (op0, op1, CRn, CRm, op2), Arm ARM D19.
type Encoding = (u8, u8, u8, u8, u8);

/// `CNTPCT_EL0`.
const CNTPCT_EL0: Encoding = (3, 3, 14, 0, 1);
/// `ACTLR_EL1`.
const ACTLR_EL1: Encoding = (3, 0, 1, 0, 1);
/// `OSLSR_EL1`.
const OSLSR_EL1: Encoding = (2, 0, 1, 1, 4);
/// `MDCCSR_EL0`: state of the debug communications channel.
const MDCCSR_EL0: Encoding = (2, 3, 0, 1, 0);
/// `PMUSERENR_EL0`: what user space may do with the performance monitors.
const PMUSERENR_EL0: Encoding = (3, 3, 9, 14, 0);
/// `OSLSR_EL1.OSLM` = 0b10: the OS lock is implemented; it is not locked.
const OS_LOCK_OPEN: u64 = 1 << 3;
/// `PSTATE.M` of EL0, AArch64.
const EL0T: u64 = 0;

/// Emulates the access; false where the register is undefined for a guest. The caller advances the
/// PC.
pub(crate) fn emulate<H: VcpuHost>(host: &mut H, access: SysRegAccess) -> bool {
    let value = match (access.encoding(), access.read) {
        (CNTPCT_EL0, true) => host.now(),
        (OSLSR_EL1, read) => {
            if !read || is_user(host) {
                return false;
            }
            OS_LOCK_OPEN
        }
        // User space may read these two: nothing has come, and it may do nothing.
        (MDCCSR_EL0 | PMUSERENR_EL0, true) => 0,
        (encoding, _) if is_nothing(encoding) && !is_user(host) => 0,
        (encoding, true) if !is_user(host) => match identification(host, encoding) {
            Some(value) => value,
            None => return false,
        },
        _ => return false,
    };
    if access.read {
        host.set_x(access.rt, value);
    }
    true
}

/// What a guest reads from an identification register; `None` for other registers, and where the
/// host cannot read them.
fn identification<H: VcpuHost>(host: &mut H, encoding: Encoding) -> Option<u64> {
    let name = idregs::name(encoding)?;
    // All of them can be read or none.
    host.id_register(name)?;
    Some(idregs::offered(name, |name| {
        host.id_register(name).unwrap_or(0)
    }))
}

fn is_user<H: VcpuHost>(host: &mut H) -> bool {
    host.pstate() & 0b1_1111 == EL0T
}

/// Registers that read as zero and ignore writes at EL1.
const fn is_nothing(encoding: Encoding) -> bool {
    matches!(
        encoding,
        ACTLR_EL1
            // MDCCINT_EL1, MDSCR_EL1.
            | (2, 0, 0, 2, 0 | 2)
            // DBGBVRn_EL1, DBGBCRn_EL1, DBGWVRn_EL1, DBGWCRn_EL1.
            | (2, 0, 0, _, 4..=7)
            // MDRAR_EL1, OSLAR_EL1, OSDLR_EL1, DBGPRCR_EL1.
            | (2, 0, 1, 0, 0 | 4)
            | (2, 0, 1, 3 | 4, 4)
            // DBGCLAIMSET_EL1, DBGCLAIMCLR_EL1, DBGAUTHSTATUS_EL1.
            | (2, 0, 7, 8 | 9 | 14, 6)
            // Performance monitors: control, counters, PMUSERENR_EL0, PMOVSSET_EL0, PMINTENSET_EL1,
            // PMINTENCLR_EL1.
            | (3, 3, 9, 12, _)
            | (3, 3, 9, 13, 0..=2)
            | (3, 3, 9, 14, 0 | 3)
            | (3, 0, 9, 14, 1 | 2)
            // PMEVCNTRn_EL0, PMEVTYPERn_EL0, PMCCFILTR_EL0.
            | (3, 3, 14, 8..=15, _)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::FakeHost;

    fn access(encoding: Encoding, read: bool) -> SysRegAccess {
        let (op0, op1, crn, crm, op2) = encoding;
        SysRegAccess {
            op0,
            op1,
            crn,
            crm,
            op2,
            rt: 3,
            read,
        }
    }

    fn host(pstate: u64) -> FakeHost {
        let mut host = FakeHost::new(0x20_0000);
        host.x[3] = 0x77;
        host.pstate = pstate;
        host
    }

    const EL1H: u64 = 0x3c5;

    #[test]
    fn debug_and_performance_registers_are_nothing_to_a_kernel_and_undefined_to_a_user() {
        let registers = [
            (2, 0, 0, 2, 2),
            (2, 0, 0, 5, 5),
            (2, 0, 1, 0, 4),
            (2, 0, 1, 3, 4),
            (3, 3, 9, 12, 0),
            (3, 3, 14, 15, 7),
            (3, 0, 9, 14, 1),
            ACTLR_EL1,
        ];
        for register in registers {
            let mut kernel = host(EL1H);
            assert!(
                emulate(&mut kernel, access(register, false)),
                "{register:?}"
            );
            assert_eq!(
                kernel.x[3], 0x77,
                "a write leaves the register it comes from"
            );
            assert!(emulate(&mut kernel, access(register, true)), "{register:?}");
            assert_eq!(kernel.x[3], 0);
            let mut user = host(0);
            assert!(!emulate(&mut user, access(register, true)), "{register:?}");
            assert_eq!(user.x[3], 0x77);
        }
    }

    #[test]
    fn user_space_may_read_that_it_may_nothing() {
        for register in [MDCCSR_EL0, PMUSERENR_EL0] {
            for pstate in [0, EL1H] {
                let mut guest = host(pstate);
                assert!(emulate(&mut guest, access(register, true)), "{register:?}");
                assert_eq!(guest.x[3], 0);
            }
            assert!(
                !emulate(&mut host(0), access(register, false)),
                "{register:?}"
            );
        }
        assert!(
            !emulate(&mut host(EL1H), access(MDCCSR_EL0, false)),
            "it is read-only"
        );
        assert!(emulate(&mut host(EL1H), access(PMUSERENR_EL0, false)));
    }

    #[test]
    fn identification_registers_are_read_only_and_the_kernels() {
        let pfr0 = (3, 0, 0, 4, 0);
        let mut kernel = host(EL1H);
        kernel.id_registers = Some(|name| if name == (4, 0) { 1 << 32 | 0x22 } else { 0 });
        assert!(emulate(&mut kernel, access(pfr0, true)));
        assert_eq!(kernel.x[3], 0x12, "SVE is not offered");
        assert!(emulate(&mut kernel, access((3, 0, 0, 6, 2), true)));
        assert_eq!(kernel.x[3], 0);
        assert!(!emulate(&mut kernel, access(pfr0, false)));
        kernel.pstate = 0;
        assert!(!emulate(&mut kernel, access(pfr0, true)));
        let mut cannot = host(EL1H);
        assert!(!emulate(&mut cannot, access(pfr0, true)));
    }

    #[test]
    fn the_os_lock_is_there_and_open() {
        let mut kernel = host(EL1H);
        assert!(emulate(&mut kernel, access(OSLSR_EL1, true)));
        assert_eq!(kernel.x[3], 8);
        assert!(
            !emulate(&mut kernel, access(OSLSR_EL1, false)),
            "it is read-only"
        );
    }

    #[test]
    fn the_count_is_everybodys_and_the_physical_timer_nobodys() {
        let mut user = host(0);
        user.now = 1234;
        assert!(emulate(&mut user, access(CNTPCT_EL0, true)));
        assert_eq!(user.x[3], 1234);
        for register in [
            (3, 3, 14, 2, 0),
            (3, 3, 14, 2, 1),
            (3, 3, 14, 2, 2),
            (3, 0, 15, 1, 0),
            (2, 1, 0, 0, 0),
        ] {
            for read in [true, false] {
                assert!(
                    !emulate(&mut host(EL1H), access(register, read)),
                    "{register:?}"
                );
            }
        }
    }
}
