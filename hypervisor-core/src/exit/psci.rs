//! SMCCC and PSCI calls: `SMC #0` and `HVC #0` (SMCCC DEN0028, PSCI DEN0022).
//!
//! The function identifier is the 32 bits of w0; the upper half of x0 is ignored, as Xen does.
//! Functions with 32-bit identifiers take w registers, those with 64-bit ones x registers. Negative
//! results fill all of x0.
//!
//! The versions are Xen's: PSCI 1.1, SMCCC 1.2. An instruction with another immediate is no call:
//! the caller injects an undefined-instruction exception, past an `HVC` and at an `SMC`, as Xen
//! does. Nothing wakes a guest that called `SYSTEM_SUSPEND`, as on a Xen without a toolstack.

use crate::host::on_vcpu::VcpuHost;
use hv_types::{Gva, VcpuId, Vcpus};

use crate::domain::shutdown::StopReason;

/// What becomes of the vCPU after a call. Results are in its registers; the caller moves the PC
/// past the instruction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SmcccAction {
    /// It goes on.
    Resume,
    /// It sleeps as after WFI (`CPU_SUSPEND`), then goes on.
    Wait,
    /// It is off until another vCPU turns it on: for ever where it is the only one (`CPU_OFF`).
    Off,
    /// It goes on, and another one that is off is turned on (`CPU_ON`), as [`start`] says.
    TurnOn(VcpuId),
    /// The guest stops.
    Stop(StopReason),
}

/// The guest's vCPUs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Power {
    /// All of them.
    pub all: Vcpus,
    /// Those that are on.
    pub on: Vcpus,
}

/// The instruction by which a call was made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Conduit {
    /// `SMC #0`.
    Smc,
    /// `HVC #0`.
    Hvc,
}

const PSCI_VERSION_1_1: u64 = 0x0001_0001;
const SMCCC_VERSION_1_2: u64 = 0x0001_0002;
const SUCCESS: u64 = 0;
const NOT_SUPPORTED: i64 = -1;
const INVALID_PARAMETERS: i64 = -2;
const DENIED: i64 = -3;
const ALREADY_ON: i64 = -4;
const INVALID_ADDRESS: i64 = -9;
/// Bits of an affinity value that can differ (`MPIDR_EL1`'s affinity fields).
const AFFINITIES: u64 = 0xff_00ff_ffff;
/// The state of an affinity instance that is off (or does not exist).
const AFFINITY_OFF: u64 = 1;
/// No trusted OS that would have to migrate.
const MIGRATE_NOT_NEEDED: u64 = 2;
/// Functions of the hypervisor service call range: these three.
const HYPERVISOR_CALLS: u64 = 3;
/// Functions of the standard service call range, as Xen counts them: PSCI's fourteen and three
/// about themselves.
const STANDARD_CALLS: u64 = 17;
/// Xen's UID of its standard services, f863386f-4b39-4cbd-9220-ce1641e59f6f.
const STANDARD_UID: [u64; 4] = [0x6f38_63f8, 0xbd4c_394b, 0x16ce_2092, 0x6f9f_e541];
/// Xen's UID a71812dc-c698-4369-9acf-79d18ddee667: byte 0 lies in bits 7:0 of w0 (SMCCC 1.2 section
/// 6.2).
const UID: [u64; 4] = [0xdc12_18a7, 0x6943_98c6, 0xd179_cf9a, 0x67e6_de8d];
/// Revision 0.1 of the hypervisor service.
const REVISION: [u64; 2] = [0, 1];

/// Function identifiers; bit 30 marks the variant with 64-bit arguments.
mod function {
    pub(super) const V0_1_CPU_OFF: u32 = 1;
    pub(super) const V0_1_CPU_ON: u32 = 2;
    pub(super) const SMCCC_VERSION: u32 = 0x8000_0000;
    pub(super) const SMCCC_ARCH_FEATURES: u32 = 0x8000_0001;
    pub(super) const SMCCC_WORKAROUND_3: u32 = 0x8000_3fff;
    pub(super) const SMCCC_WORKAROUND_2: u32 = 0x8000_7fff;
    pub(super) const SMCCC_WORKAROUND_1: u32 = 0x8000_8000;
    pub(super) const PSCI_VERSION: u32 = 0x8400_0000;
    pub(super) const CPU_SUSPEND: u32 = 0x8400_0001;
    pub(super) const CPU_SUSPEND_64: u32 = 0xc400_0001;
    pub(super) const CPU_OFF: u32 = 0x8400_0002;
    pub(super) const CPU_ON: u32 = 0x8400_0003;
    pub(super) const CPU_ON_64: u32 = 0xc400_0003;
    pub(super) const AFFINITY_INFO: u32 = 0x8400_0004;
    pub(super) const AFFINITY_INFO_64: u32 = 0xc400_0004;
    pub(super) const MIGRATE_INFO_TYPE: u32 = 0x8400_0006;
    pub(super) const SYSTEM_OFF: u32 = 0x8400_0008;
    pub(super) const SYSTEM_RESET: u32 = 0x8400_0009;
    pub(super) const PSCI_FEATURES: u32 = 0x8400_000a;
    pub(super) const SYSTEM_SUSPEND: u32 = 0x8400_000e;
    pub(super) const SYSTEM_SUSPEND_64: u32 = 0xc400_000e;
    pub(super) const STD_CALL_COUNT: u32 = 0x8400_ff00;
    pub(super) const STD_CALL_UID: u32 = 0x8400_ff01;
    pub(super) const STD_CALL_REVISION: u32 = 0x8400_ff03;
    // Xen's hypervisor services have owner 5, that of standard hypervisor services.
    pub(super) const HYP_CALL_COUNT: u32 = 0x8500_ff00;
    pub(super) const HYP_CALL_UID: u32 = 0x8500_ff01;
    pub(super) const HYP_CALL_REVISION: u32 = 0x8500_ff03;
}
use function as f;

/// Carries out the call whose function is in w0.
pub fn call<H: VcpuHost>(host: &mut H, conduit: Conduit, power: Power) -> SmcccAction {
    #[expect(clippy::cast_possible_truncation, reason = "the identifier is w0")]
    let id = host.x(0) as u32;
    let wide = id & 1 << 30 != 0;
    let mut arg = |n: u8| {
        let value = host.x(n);
        if wide { value } else { value & 0xffff_ffff }
    };
    let result = match id {
        f::PSCI_VERSION => PSCI_VERSION_1_1,
        f::CPU_SUSPEND | f::CPU_SUSPEND_64 => {
            host.set_x(0, SUCCESS);
            return SmcccAction::Wait;
        }
        f::CPU_OFF | f::V0_1_CPU_OFF => return SmcccAction::Off,
        f::CPU_ON | f::CPU_ON_64 => match cpu_on(power, arg(1), arg(2)) {
            Ok(vcpu) => return SmcccAction::TurnOn(vcpu),
            Err(error) => error.cast_unsigned(),
        },
        f::V0_1_CPU_ON => match cpu_on(power, arg(1), arg(2)) {
            Ok(vcpu) => return SmcccAction::TurnOn(vcpu),
            // PSCI 0.1 has no other errors for what is wrong with a vCPU that exists.
            Err(_) => INVALID_PARAMETERS.cast_unsigned(),
        },
        f::AFFINITY_INFO | f::AFFINITY_INFO_64 => {
            affinity_info(power.on, arg(1), arg(2) & 0xffff_ffff)
        }
        f::MIGRATE_INFO_TYPE => MIGRATE_NOT_NEEDED,
        f::SYSTEM_OFF => return SmcccAction::Stop(StopReason::PowerOff),
        f::SYSTEM_RESET => return SmcccAction::Stop(StopReason::Reboot),
        f::SYSTEM_SUSPEND | f::SYSTEM_SUSPEND_64 => {
            if arg(1) & 1 != 0 {
                INVALID_ADDRESS.cast_unsigned()
            } else if power.on != Vcpus::only(host.id()) {
                DENIED.cast_unsigned()
            } else {
                return SmcccAction::Stop(StopReason::Suspend);
            }
        }
        f::PSCI_FEATURES => features(arg(1)),
        f::SMCCC_VERSION => SMCCC_VERSION_1_2,
        // No workaround is offered.
        f::SMCCC_ARCH_FEATURES => NOT_SUPPORTED.cast_unsigned(),
        // They have no result, and nothing to do on a CPU that is not said to need them. What is
        // left in the registers is Xen's.
        f::SMCCC_WORKAROUND_1 | f::SMCCC_WORKAROUND_2 | f::SMCCC_WORKAROUND_3 => {
            let zeros = match (conduit, id) {
                (Conduit::Smc, _) => 0,
                (Conduit::Hvc, f::SMCCC_WORKAROUND_2) => 4,
                (Conduit::Hvc, _) => 2,
            };
            return finish(host, [0; 4].get(..zeros).unwrap_or(&[]));
        }
        f::STD_CALL_COUNT => STANDARD_CALLS,
        f::STD_CALL_UID => return finish(host, &STANDARD_UID),
        f::STD_CALL_REVISION => return finish(host, &REVISION),
        f::HYP_CALL_COUNT => HYPERVISOR_CALLS,
        f::HYP_CALL_UID => return finish(host, &UID),
        f::HYP_CALL_REVISION => return finish(host, &REVISION),
        _ => NOT_SUPPORTED.cast_unsigned(),
    };
    finish(host, &[result])
}

/// Puts results into x0 and on.
fn finish<H: VcpuHost>(host: &mut H, results: &[u64]) -> SmcccAction {
    for (n, &value) in (0..4).zip(results) {
        host.set_x(n, value);
    }
    SmcccAction::Resume
}

/// After [`SmcccAction::TurnOn`]: where the vCPU starts, and its x0. The call's result is put into
/// the caller's.
pub fn start<H: VcpuHost>(host: &mut H) -> (Gva, u64) {
    #[expect(clippy::cast_possible_truncation, reason = "the identifier is w0")]
    let id = host.x(0) as u32;
    let (entry, context) = (host.x(2), host.x(3));
    host.set_x(0, SUCCESS);
    match id {
        f::CPU_ON_64 => (Gva::new(entry), context),
        f::CPU_ON => (Gva::new(entry & 0xffff_ffff), context & 0xffff_ffff),
        // PSCI 0.1 has no context.
        _ => (Gva::new(entry & 0xffff_ffff), 0),
    }
}

/// The vCPU with affinity `mpidr`: Aff0 and Aff1 are its number as Xen reads them, the rest is not
/// looked at.
fn vcpu_of(mpidr: u64) -> Option<VcpuId> {
    let id = mpidr & 0xff | (mpidr >> 8 & 0xff) << 4;
    VcpuId::new(id)
}

/// `CPU_ON`, checked in Xen's order: which vCPU is to be turned on.
#[cold]
#[inline(never)]
fn cpu_on(power: Power, mpidr: u64, entry: u64) -> Result<VcpuId, i64> {
    let vcpu = vcpu_of(mpidr).filter(|id| power.all.contains(*id));
    let vcpu = vcpu.ok_or(INVALID_PARAMETERS)?;
    if entry & 1 != 0 {
        // A T32 entry point.
        Err(INVALID_ADDRESS)
    } else if power.on.contains(vcpu) {
        Err(ALREADY_ON)
    } else {
        Ok(vcpu)
    }
}

/// `AFFINITY_INFO`: on if any vCPU in the affinity instance is.
#[cold]
#[inline(never)]
fn affinity_info(on: Vcpus, mpidr: u64, level: u64) -> u64 {
    let ignored = match level {
        0 => 0,
        1 => 0xff,
        2 => 0xffff,
        3 => 0xff_ffff,
        _ => return INVALID_PARAMETERS.cast_unsigned(),
    };
    // vCPU n has affinity n: there are fewer than 16.
    let is_in = |id: VcpuId| (mpidr ^ u64::from(id.raw())) & AFFINITIES & !ignored == 0;
    if on.into_iter().any(is_in) {
        SUCCESS
    } else {
        AFFINITY_OFF
    }
}

/// `PSCI_FEATURES`: 0 for what is there.
fn features(id: u64) -> u64 {
    let known = u32::try_from(id).is_ok_and(|id| {
        matches!(
            id,
            f::PSCI_VERSION
                | f::CPU_SUSPEND
                | f::CPU_SUSPEND_64
                | f::CPU_OFF
                | f::CPU_ON
                | f::CPU_ON_64
                | f::AFFINITY_INFO
                | f::AFFINITY_INFO_64
                | f::MIGRATE_INFO_TYPE
                | f::SYSTEM_OFF
                | f::SYSTEM_RESET
                | f::PSCI_FEATURES
                | f::SYSTEM_SUSPEND
                | f::SYSTEM_SUSPEND_64
                | f::SMCCC_VERSION
        )
    });
    if known {
        SUCCESS
    } else {
        NOT_SUPPORTED.cast_unsigned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::FakeHost;

    const ALL_ONES: u64 = u64::MAX;
    const ALONE: Power = Power {
        all: Vcpus::BOOT,
        on: Vcpus::BOOT,
    };

    fn run(id: u64, args: [u64; 3]) -> (SmcccAction, [u64; 4]) {
        run_by(Conduit::Smc, id, args)
    }

    fn run_by(conduit: Conduit, id: u64, args: [u64; 3]) -> (SmcccAction, [u64; 4]) {
        let mut host = FakeHost::new(0x1000);
        host.x[0] = id;
        host.x[1..4].copy_from_slice(&args);
        let before = host.x;
        let action = call(&mut host, conduit, ALONE);
        assert_eq!(host.x[4..], before[4..], "no other register changes");
        (action, [host.x[0], host.x[1], host.x[2], host.x[3]])
    }

    fn result(id: u64, args: [u64; 3]) -> i64 {
        let (action, x) = run(id, args);
        assert_eq!(action, SmcccAction::Resume);
        assert_eq!(x[1..], args, "arguments are kept");
        x[0].cast_signed()
    }

    const NONE: [u64; 3] = [7, 8, 9];

    #[test]
    fn versions_and_identity() {
        assert_eq!(result(0x8400_0000, NONE), 0x10001);
        assert_eq!(result(0x8000_0000, NONE), 0x10002);
        assert_eq!(result(0x8400_0006, NONE), 2);
        assert_eq!(result(0x8500_ff00, NONE), 3);
        assert_eq!(result(0x8400_ff00, NONE), 17);
        let standard = [0x6f38_63f8, 0xbd4c_394b, 0x16ce_2092, 0x6f9f_e541];
        assert_eq!(run(0x8400_ff01, NONE), (SmcccAction::Resume, standard));
        let uid = [0xdc12_18a7, 0x6943_98c6, 0xd179_cf9a, 0x67e6_de8d];
        assert_eq!(run(0x8500_ff01, NONE), (SmcccAction::Resume, uid));
        let revision = [0, 1, 8, 9];
        assert_eq!(run(0x8500_ff03, NONE), (SmcccAction::Resume, revision));
    }

    #[test]
    fn the_function_is_w0() {
        assert_eq!(result(0xdead_beef_8400_0000, NONE), 0x10001);
    }

    #[test]
    fn power() {
        assert_eq!(
            run(0x8400_0008, NONE).0,
            SmcccAction::Stop(StopReason::PowerOff)
        );
        assert_eq!(
            run(0x8400_0009, NONE).0,
            SmcccAction::Stop(StopReason::Reboot)
        );
        for id in [0x8400_000e, 0xc400_000e] {
            assert_eq!(
                run(id, [0x4000_0000, 0, 0]).0,
                SmcccAction::Stop(StopReason::Suspend),
                "to an even address"
            );
            assert_eq!(result(id, [7, 0x4000_0001, 0]), -9);
        }
        for id in [0x8000_8000, 0x8000_7fff, 0x8000_3fff] {
            assert_eq!(result(id, NONE), id.cast_signed(), "no result");
        }
        for (id, left) in [
            (0x8000_8000, [0, 0, 8, 9]),
            (0x8000_7fff, [0; 4]),
            (0x8000_3fff, [0, 0, 8, 9]),
        ] {
            let by_hvc = run_by(Conduit::Hvc, id, NONE);
            assert_eq!(by_hvc, (SmcccAction::Resume, left));
        }
        for id in [0x8400_0002, 1] {
            assert_eq!(run(id, NONE).0, SmcccAction::Off);
        }
        for id in [0x8400_0001, 0xc400_0001] {
            assert_eq!(run(id, NONE), (SmcccAction::Wait, [0, 7, 8, 9]));
        }
    }

    #[test]
    fn turning_on_the_only_vcpu() {
        for entry in [0x4000_0000, 0x4000_0001] {
            for mpidr in [0, 1] {
                assert_eq!(result(2, [mpidr, entry, 0]), -2, "PSCI 0.1 has one error");
            }
        }
        for id in [0x8400_0003, 0xc400_0003] {
            assert_eq!(result(id, [0, 0x4000_0000, 0]), -4);
            assert_eq!(result(id, [0, 0x4000_0001, 0]), -9);
            assert_eq!(result(id, [1, 0x4000_0001, 0]), -2);
            assert_eq!(result(id, [0x100, 0x4000_0000, 0]), -2);
        }
        // Levels 2 and 3 are not looked at.
        for mpidr in [1 << 16, 1 << 31, 1 << 32] {
            assert_eq!(result(0xc400_0003, [mpidr, 0, 0]), -4);
        }
        assert_eq!(result(0xc400_0003, [0x80, 0, 0]), -2, "Aff0 has four bits");
    }

    /// vCPUs 0 and 2 of four are on.
    const TWO_OF_FOUR: Power = Power {
        all: Vcpus::first(4),
        on: Vcpus::from_bits(0b101),
    };

    fn of_four(id: u64, args: [u64; 3]) -> (SmcccAction, i64) {
        let mut host = FakeHost::new(0x1000);
        host.x[0] = id;
        host.x[1..4].copy_from_slice(&args);
        let action = call(&mut host, Conduit::Smc, TWO_OF_FOUR);
        (action, host.x[0].cast_signed())
    }

    /// A `CPU_ON` that succeeds: where the vCPU starts and its x0.
    fn started(id: u64, args: [u64; 3]) -> (u64, u64) {
        let mut host = FakeHost::new(0x1000);
        host.x[0] = id;
        host.x[1..4].copy_from_slice(&args);
        let action = call(&mut host, Conduit::Smc, TWO_OF_FOUR);
        let vcpu = VcpuId::new(args[0]).expect("there are eight");
        assert_eq!(action, SmcccAction::TurnOn(vcpu));
        let (entry, context) = start(&mut host);
        assert_eq!(host.x[0], SUCCESS);
        (entry.raw(), context)
    }

    #[test]
    fn turning_others_on() {
        let entry = 0x1_4000_0000;
        let wide = started(0xc400_0003, [3, entry, u64::MAX]);
        assert_eq!(wide, (entry, u64::MAX));
        let narrow = started(0x8400_0003, [3, entry, u64::MAX]);
        assert_eq!(narrow, (entry & 0xffff_ffff, 0xffff_ffff), "32 bits each");
        assert_eq!(started(2, [3, 0x4000, 9]), (0x4000, 0));
        for (args, error) in [
            ([2, entry, 0], -4),
            ([2, entry | 1, 0], -9),
            ([4, entry, 0], -2),
            ([0x100, entry, 0], -2),
        ] {
            let failed = |error| (SmcccAction::Resume, error);
            assert_eq!(of_four(0xc400_0003, args), failed(error), "{args:x?}");
            assert_eq!(of_four(2, args), failed(-2), "{args:x?}");
        }
    }

    #[test]
    fn affinity_of_several() {
        for (mpidr, level, state) in [
            (0, 0, 0),
            (1, 0, 1),
            (2, 0, 0),
            (3, 0, 1),
            (1, 1, 0),
            (4, 0, 1),
        ] {
            let answer = of_four(0xc400_0004, [mpidr, level, 0]);
            assert_eq!(answer, (SmcccAction::Resume, state), "{mpidr} {level}");
        }
    }

    #[test]
    fn nobody_suspends_the_system_under_another() {
        let denied = (SmcccAction::Resume, -3);
        assert_eq!(of_four(0xc400_000e, [0x4000_0000, 0, 0]), denied);
        let odd = (SmcccAction::Resume, -9);
        assert_eq!(of_four(0xc400_000e, [0x4000_0001, 0, 0]), odd);
    }

    #[test]
    fn affinity_levels() {
        for id in [0x8400_0004, 0xc400_0004] {
            assert_eq!(result(id, [0, 0, 0]), 0);
            assert_eq!(result(id, [1, 0, 0]), 1);
            assert_eq!(result(id, [1, 1, 0]), 0);
            assert_eq!(result(id, [0x100, 1, 0]), 1);
            assert_eq!(result(id, [0x1ff, 2, 0]), 0);
            assert_eq!(result(id, [0xff_ffff, 3, 0]), 0);
            assert_eq!(result(id, [0, 4, 0]), -2);
        }
        assert_eq!(
            result(0xc400_0004, [0, 1 << 32, 0]),
            0,
            "a level is 32 bits"
        );
        assert_eq!(result(0x8400_0004, [0, 1 << 32, 0]), 0);
        assert_eq!(result(0xc400_0004, [1 << 32, 0, 0]), 1);
    }

    #[test]
    fn features_are_what_calls_answer() {
        // Every function of the standard range: claimed if and only if it is not -1 by itself.
        for number in 0..0x20u64 {
            for base in [0x8400_0000, 0xc400_0000] {
                let claimed = result(0x8400_000a, [base + number, 0, 0]);
                let (action, x) = run(base + number, [0; 3]);
                let there = action != SmcccAction::Resume || x[0] != ALL_ONES;
                // PSCI_FEATURES of function 0 (no such identifier) is itself -1.
                let there = there || base + number == 0x8400_000a;
                assert_eq!(claimed, if there { 0 } else { -1 }, "{:#x}", base + number);
            }
        }
        assert_eq!(result(0x8400_000a, [0x8000_0000, 0, 0]), 0);
        assert_eq!(result(0x8400_000a, [1, 0, 0]), -1);
    }

    #[test]
    fn what_is_not_there() {
        for id in [
            0,
            3,
            0x8000_0001,
            0x8400_0005,
            0x8400_000f,
            0xc400_000f,
            0x8500_ff02,
            0x8600_ff00,
            0xea1,
            0xffff_ffff,
        ] {
            assert_eq!(result(id, NONE), -1, "{id:#x}");
        }
    }
}
