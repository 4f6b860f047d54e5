use xen_abi::number::{VCPU_OP, VM_ASSIST};
use xen_abi::shared::VcpuInfo;
use xen_abi::vcpu::{
    REGISTER_RUNSTATE_MEMORY_AREA, REGISTER_RUNSTATE_PHYS_AREA, REGISTER_VCPU_INFO,
    RegisterVcpuInfo, RunstateInfo,
};

use super::{BUF, EBUSY, EFAULT, EINVAL, ENOENT, ENOSYS, ENXIO, Guest, HOLE, LAST_PAGE, RAM};
use crate::device::vgic::EVENT_UPCALL;
use crate::vcpu::runstate::RunState;

const AREA: u64 = RAM + 0x3000;
const SECOND: u64 = 1_000_000_000;

fn info(gfn: u64, offset: u32) -> RegisterVcpuInfo {
    RegisterVcpuInfo {
        gfn,
        offset,
        rsvd: 0,
    }
}

#[test]
fn vcpu_info_moves_once_and_starts_with_the_upcall_raised() {
    let mut guest = Guest::new();
    let gfn = AREA >> 12;
    guest.fill(AREA, 0x100, 0);
    guest.put(BUF, &info(gfn, 0x40));
    assert!(
        !guest
            .vm
            .devices
            .gic
            .level(hv_types::VcpuId::BOOT, EVENT_UPCALL)
    );
    assert_eq!(guest.result(VCPU_OP, &[REGISTER_VCPU_INFO, 0, BUF]), 0);
    let there: VcpuInfo = guest.get(AREA + 0x40);
    assert_eq!(
        (there.evtchn_upcall_pending, there.evtchn_pending_sel),
        (1, u64::MAX)
    );
    assert!(
        guest
            .vm
            .devices
            .gic
            .level(hv_types::VcpuId::BOOT, EVENT_UPCALL)
    );
    assert_eq!(guest.result(VCPU_OP, &[REGISTER_VCPU_INFO, 0, BUF]), EBUSY);
}

#[test]
fn vcpu_info_has_to_fit_into_a_page_of_ram() {
    let mut guest = Guest::new();
    let gfn = AREA >> 12;
    for (place, expected) in [
        (info(gfn, 4096 - 40), ENXIO),
        (info(gfn, 4096), EINVAL),
        (info(gfn, u32::MAX), EINVAL),
        (info(gfn, 4), ENXIO),
        (info(HOLE >> 12, 0), EINVAL),
        (info(u64::MAX, 0), EINVAL),
        (info(1 << 52, 0), EINVAL),
    ] {
        guest.put(BUF, &place);
        assert_eq!(
            guest.result(VCPU_OP, &[REGISTER_VCPU_INFO, 0, BUF]),
            expected,
            "{place:?}"
        );
    }
    assert_eq!(
        guest.result(VCPU_OP, &[REGISTER_VCPU_INFO, 0, HOLE]),
        EFAULT
    );
    assert!(
        !guest
            .vm
            .devices
            .gic
            .level(hv_types::VcpuId::BOOT, EVENT_UPCALL)
    );
    guest.put(BUF, &info(gfn, 4096 - 48));
    assert_eq!(
        guest.result(VCPU_OP, &[REGISTER_VCPU_INFO, 0, BUF]),
        0,
        "still possible"
    );
}

#[test]
fn a_vcpu_that_is_not_there_is_told_first() {
    let mut guest = Guest::new();
    for cmd in [REGISTER_VCPU_INFO, REGISTER_RUNSTATE_MEMORY_AREA, 0, 99] {
        for vcpu in [1, 0xffff_ffff] {
            assert_eq!(guest.result(VCPU_OP, &[cmd, vcpu, HOLE]), ENOENT);
        }
    }
    for cmd in [0, 1, 2, 3, 4, 6, 7, 8, 9, 11, 12, 13, 15, 16, 99] {
        assert_eq!(guest.result(VCPU_OP, &[cmd, 0, BUF]), EINVAL, "{cmd}");
    }
    guest.put(BUF, &0u64);
    let upper = 0xffff_ffff_0000_0000;
    assert_eq!(
        guest.result(
            VCPU_OP,
            &[upper | REGISTER_RUNSTATE_MEMORY_AREA, upper, BUF]
        ),
        0,
        "command and vCPU are ints"
    );
}

#[test]
fn runstate_counts_running_and_blocked_time() {
    let mut guest = Guest::new();
    let hertz = guest.host.frequency;
    guest.host.now = hertz * 10;
    guest.set_runstate(RunState::Running);
    guest.put(BUF, &AREA);
    assert_eq!(
        guest.result(VCPU_OP, &[REGISTER_RUNSTATE_MEMORY_AREA, 0, BUF]),
        0
    );
    let at_first = RunstateInfo {
        state_entry_time: 10 * SECOND,
        ..Default::default()
    };
    assert_eq!(guest.get::<RunstateInfo>(AREA), at_first, "told at once");

    guest.host.now = hertz * 13;
    guest.set_runstate(RunState::Running);
    assert_eq!(guest.get::<RunstateInfo>(AREA), at_first, "no transition");
    guest.set_runstate(RunState::Blocked);
    let blocked = RunstateInfo {
        state: 2,
        pad: 0,
        state_entry_time: 13 * SECOND,
        time: [3 * SECOND, 0, 0, 0],
    };
    assert_eq!(guest.get::<RunstateInfo>(AREA), blocked);
    guest.host.now = hertz * 20;
    guest.set_runstate(RunState::Running);
    let running = RunstateInfo {
        state: 0,
        pad: 0,
        state_entry_time: 20 * SECOND,
        time: [3 * SECOND, 0, 7 * SECOND, 0],
    };
    assert_eq!(guest.get::<RunstateInfo>(AREA), running);

    guest.put(BUF, &0u64);
    assert_eq!(
        guest.result(VCPU_OP, &[REGISTER_RUNSTATE_MEMORY_AREA, 0, BUF]),
        0
    );
    guest.set_runstate(RunState::Blocked);
    assert_eq!(
        guest.get::<RunstateInfo>(AREA),
        running,
        "ended by a null pointer"
    );
}

#[test]
fn a_runstate_area_across_pages_and_one_that_is_odd() {
    let mut guest = Guest::new();
    for (assist, area) in [
        (0, AREA - 8),
        (1, AREA - 8),
        (0, AREA - 21),
        (1, AREA - 21),
        (1, AREA - 40),
    ] {
        // Command 0 enables, 1 disables.
        assert_eq!(guest.result(VM_ASSIST, &[assist, 5]), 0);
        guest.host.now += guest.host.frequency;
        guest.set_runstate(RunState::Blocked);
        guest.fill(area - 8, 64, 0xaa);
        guest.put(BUF, &area);
        assert_eq!(
            guest.result(VCPU_OP, &[REGISTER_RUNSTATE_MEMORY_AREA, 0, BUF]),
            0
        );
        let told: RunstateInfo = guest.get(area);
        assert_eq!(told.state, 2, "{area:#x}");
        assert_eq!(told.state_entry_time % SECOND, 0, "the mark is gone");
        assert_ne!(told.state_entry_time, 0);
        assert_eq!(guest.bytes(area - 8, 8), [0xaa; 8], "nothing in front");
        assert_eq!(guest.bytes(area + 48, 8), [0xaa; 8], "nothing behind");
        guest.set_runstate(RunState::Running);
    }
}

#[test]
fn a_runstate_area_that_is_nowhere_is_no_error() {
    let mut guest = Guest::new();
    guest.fill(LAST_PAGE + 4096 - 16, 16, 0xaa);
    for area in [HOLE, u64::MAX, u64::MAX - 20, LAST_PAGE + 4096 - 16] {
        guest.put(BUF, &area);
        assert_eq!(
            guest.result(VCPU_OP, &[REGISTER_RUNSTATE_MEMORY_AREA, 0, BUF]),
            0
        );
        guest.set_runstate(RunState::Blocked);
        guest.set_runstate(RunState::Running);
    }
    assert_eq!(
        guest.result(VCPU_OP, &[REGISTER_RUNSTATE_MEMORY_AREA, 0, HOLE]),
        EFAULT
    );
}

#[test]
fn runstate_by_physical_address() {
    let mut guest = Guest::new();
    for (area, expected) in [
        (AREA + 4, ENXIO),
        (AREA + 4096 - 40, ENXIO),
        (HOLE, EINVAL),
        (u64::MAX - 63, EINVAL),
    ] {
        guest.put(BUF, &area);
        assert_eq!(
            guest.result(VCPU_OP, &[REGISTER_RUNSTATE_PHYS_AREA, 0, BUF]),
            expected,
            "{area:#x}"
        );
    }
    guest.host.now = guest.host.frequency;
    guest.put(BUF, &AREA);
    assert_eq!(
        guest.result(VCPU_OP, &[REGISTER_RUNSTATE_PHYS_AREA, 0, BUF]),
        0
    );
    assert_eq!(guest.get::<RunstateInfo>(AREA).state_entry_time, SECOND);
    guest.put(BUF, &u64::MAX);
    assert_eq!(
        guest.result(VCPU_OP, &[REGISTER_RUNSTATE_PHYS_AREA, 0, BUF]),
        0
    );
    guest.host.now *= 2;
    guest.set_runstate(RunState::Blocked);
    assert_eq!(
        guest.get::<RunstateInfo>(AREA).state,
        0,
        "ended by all ones"
    );
}

#[test]
fn vm_assist_knows_one_type() {
    let mut guest = Guest::new();
    assert_eq!(guest.result(VM_ASSIST, &[0, 5]), 0);
    assert_eq!(guest.result(VM_ASSIST, &[1, 5]), 0);
    for kind in [0, 1, 2, 3, 4, 6, 31, 32, 63, 64, 0xffff_ffff] {
        assert_eq!(guest.result(VM_ASSIST, &[0, kind]), EINVAL, "{kind}");
        assert_eq!(guest.result(VM_ASSIST, &[1, kind]), EINVAL, "{kind}");
    }
    for cmd in [2, 5, 0xffff_ffff] {
        assert_eq!(guest.result(VM_ASSIST, &[cmd, 5]), ENOSYS);
    }
}
