//! vcpu_op, hvm_op and shared_info.

use super::*;

#[test]
fn hvm_params() {
    in_every_way(|guest| {
        for index in [0, 1, 2] {
            assert_eq!(guest.param(index), 0, "{index}");
        }
        assert_eq!(guest.param(17), CONSOLE_PAGE >> 12);
        assert_eq!(guest.param(18), 1, "the first port");
        let mut ask = |op, domid, index| {
            guest.op_in(
                HVM_OP,
                op,
                HvmParam {
                    domid,
                    pad: 0,
                    index,
                    value: 5,
                },
            )
        };
        assert_eq!(ask(1, SELF, 28), EPERM);
        for index in [3, 4, 16, 19, 27, 29, 1000, u32::MAX] {
            assert_eq!(ask(1, SELF, index), EINVAL, "{index}");
            assert_eq!(ask(0, SELF, index), EINVAL, "{index}");
        }
        for index in [0, 1, 2, 17, 18, 28] {
            assert_eq!(ask(0, SELF, index), EPERM, "{index}");
        }
        for (domid, errno) in strangers(guest) {
            assert_eq!(
                guest.op_in(
                    HVM_OP,
                    1,
                    HvmParam {
                        domid,
                        pad: 0,
                        index: 17,
                        value: 5
                    }
                ),
                errno,
                "{domid}"
            );
        }
        let own = guest.domid();
        assert_eq!(
            guest.op_in(
                HVM_OP,
                1,
                HvmParam {
                    domid: own,
                    pad: 0,
                    index: 17,
                    value: 0
                }
            ),
            0
        );
        assert_eq!(guest.param(17), CONSOLE_PAGE >> 12, "nothing was set");
    });
}

#[test]
fn vcpu_info_can_be_registered_once() {
    in_every_way(|guest| {
        let gfn = FREE >> 12;
        let ask = |guest: &mut sim::Guest<'_>, vcpu, gfn, offset| {
            guest.put(
                ARGS,
                &RegisterVcpuInfo {
                    gfn,
                    offset,
                    rsvd: 0,
                },
            );
            guest.hvc(VCPU_OP, &[REGISTER_VCPU_INFO, vcpu, guest.ptr(ARGS)])
        };
        assert_eq!(ask(guest, 1, gfn, 0), ENOENT, "the vCPU is looked at first");
        assert_eq!(ask(guest, 0, gfn, 4096), EINVAL);
        assert_eq!(ask(guest, 0, gfn, 4), ENXIO, "alignment");
        assert_eq!(ask(guest, 0, gfn, 4096 - 40), ENXIO, "crosses the page");
        assert_eq!(ask(guest, 0, 0x3001, 0), EINVAL, "no RAM");
        assert_eq!(ask(guest, 0, u64::MAX, 0), EINVAL);
        assert_eq!(ask(guest, 0, gfn, 4096 - 48), 0);
        let info = FREE + 4096 - 48;
        assert_eq!(guest.get::<u8>(info), 1, "the expected spurious upcall");
        assert_eq!(guest.get::<u64>(info + 8), u64::MAX);
        assert_eq!(ask(guest, 0, gfn, 0), EBUSY);
        assert_eq!(
            ask(guest, 0, gfn, 4),
            EBUSY,
            "before the alignment is looked at"
        );
    });
}

#[test]
fn runstate_tells_running_and_blocked_time() {
    in_every_way(|guest| {
        let area = FREE + 8;
        guest.put(
            ARGS,
            &RegisterRunstate {
                addr: GuestHandle::new(Gva::new(guest.ptr(area))),
            },
        );
        let at = guest.ptr(ARGS);
        assert_eq!(
            guest.hvc(VCPU_OP, &[REGISTER_RUNSTATE_MEMORY_AREA, 1, at]),
            ENOENT
        );
        assert_eq!(
            guest.hvc(VCPU_OP, &[REGISTER_RUNSTATE_MEMORY_AREA, 0, at]),
            0
        );
        let before: RunstateInfo = guest.get(area);
        assert_eq!(before.state, 0, "running");
        guest.enable_gic();
        guest.enable_interrupt(27);
        let now = guest.sys.now();
        guest.set_timer(now + 62_500_000);
        assert_eq!(guest.wfi(), Ran::Waiting);
        assert_eq!(guest.get::<RunstateInfo>(area).state, 2, "blocked");
        guest.sys.advance(62_500_000);
        assert!(guest.is_running());
        let after: RunstateInfo = guest.get(area);
        assert_eq!(after.state, 0);
        assert_eq!(after.time[2], 1_000_000_000, "a second");
        assert_eq!(
            after.state_entry_time,
            before.state_entry_time + 1_000_000_000
        );
    });
}

#[test]
fn wall_clock_fields_are_left_alone() {
    let mut sys = System::two();
    let mut guest = sys.guest(0);
    guest.map_shared_info();
    assert_eq!(
        guest.get::<u32>(SHARED_INFO + u64::from(shared_info::WC_VERSION)) & 1,
        0,
        "no update under way"
    );
}
