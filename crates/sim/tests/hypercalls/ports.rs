//! event_channel_op.

use super::*;

#[test]
fn event_channel_operations() {
    in_every_way(|guest| {
        guest.map_shared_info();
        let mut alloc = AllocUnbound {
            dom: SELF,
            remote_dom: SELF,
            port: 0,
        };
        assert_eq!(
            guest.op(EVENT_CHANNEL_OP, event::ALLOC_UNBOUND, &mut alloc),
            0
        );
        assert_eq!(alloc.port, 2, "the console has port 1");
        let mut stat = Status {
            dom: SELF,
            port: alloc.port,
            ..Status::default()
        };
        assert_eq!(guest.op(EVENT_CHANNEL_OP, event::STATUS, &mut stat), 0);
        assert_eq!(
            (stat.status, stat.dom_or_irq, stat.vcpu),
            (event::state::UNBOUND, u32::from(guest.domid()), 0)
        );
        assert_eq!(guest.send(alloc.port), 0, "to nobody, and dropped");
        let port = alloc.port;
        let mut simple = |cmd, port| guest.op_in(EVENT_CHANNEL_OP, cmd, PortArg { port });
        assert_eq!(simple(event::UNMASK, port), 0);
        for bad in [0, 1024, 4096, u32::MAX] {
            assert_eq!(simple(event::SEND, bad), EINVAL, "{bad}");
            assert_eq!(simple(event::CLOSE, bad), EINVAL, "{bad}");
            let unmasked = if bad == 0 { 0 } else { EINVAL };
            assert_eq!(simple(event::UNMASK, bad), unmasked, "{bad}");
        }
        assert_eq!(simple(event::SEND, 77), EINVAL, "free");
        assert_eq!(simple(event::CLOSE, 77), EINVAL, "free");
        assert_eq!(simple(event::CLOSE, port), 0);
        assert_eq!(simple(event::CLOSE, port), EINVAL);
        assert_eq!(guest.op(EVENT_CHANNEL_OP, event::STATUS, &mut stat), 0);
        assert_eq!(stat.status, event::state::CLOSED);
        for (dom, errno) in strangers(guest) {
            stat.dom = dom;
            assert_eq!(
                guest.op(EVENT_CHANNEL_OP, event::STATUS, &mut stat),
                errno,
                "{dom}"
            );
            let foreign = AllocUnbound {
                dom,
                remote_dom: SELF,
                port: 0,
            };
            assert_eq!(
                guest.op_in(EVENT_CHANNEL_OP, event::ALLOC_UNBOUND, foreign),
                errno,
                "{dom}"
            );
            assert_eq!(
                guest.op_in(EVENT_CHANNEL_OP, event::RESET, Reset { dom }),
                errno,
                "{dom}"
            );
        }

        // bind_vcpu looks at the vCPU first.
        let mut bind =
            |port, vcpu| guest.op_in(EVENT_CHANNEL_OP, event::BIND_VCPU, BindVcpu { port, vcpu });
        assert_eq!(bind(1, 0), 0);
        assert_eq!(bind(1, 1), ENOENT);
        assert_eq!(bind(9999, 1), ENOENT);
        assert_eq!(bind(9999, 0), EINVAL);
        assert_eq!(bind(50, 0), EINVAL, "free");

        for (remote_dom, errno) in strangers(guest) {
            // A neighbour exists, but has no port for us.
            let errno = if errno == EPERM { EINVAL } else { errno };
            let elsewhere = BindInterdomain {
                remote_dom,
                remote_port: 1,
                ..BindInterdomain::default()
            };
            assert_eq!(
                guest.op_in(EVENT_CHANNEL_OP, event::BIND_INTERDOMAIN, elsewhere),
                errno,
                "{remote_dom}"
            );
        }
        assert_eq!(
            guest.op_in(
                EVENT_CHANNEL_OP,
                event::BIND_VIRQ,
                BindVirq {
                    virq: 24,
                    vcpu: 0,
                    port: 0
                }
            ),
            EINVAL
        );
        assert_eq!(
            guest.op_in(
                EVENT_CHANNEL_OP,
                event::BIND_VIRQ,
                BindVirq {
                    virq: 2,
                    vcpu: 0,
                    port: 0
                }
            ),
            EBUSY
        );
        assert_eq!(
            guest.op_in(
                EVENT_CHANNEL_OP,
                event::BIND_VIRQ,
                BindVirq {
                    virq: 0,
                    vcpu: 1,
                    port: 0
                }
            ),
            ENOENT
        );
        assert_eq!(
            guest.op_in(
                EVENT_CHANNEL_OP,
                event::BIND_IPI,
                BindIpi { vcpu: 1, port: 0 }
            ),
            ENOENT
        );
        let at = guest.ptr(ARGS);
        assert_eq!(
            guest.hvc(EVENT_CHANNEL_OP, &[event::INIT_CONTROL, at]),
            ENOSYS,
            "Linux takes 2-level then"
        );
        assert_eq!(
            guest.hvc(EVENT_CHANNEL_OP, &[event::EXPAND_ARRAY, at]),
            EOPNOTSUPP
        );
        assert_eq!(
            guest.hvc(EVENT_CHANNEL_OP, &[event::SET_PRIORITY, at]),
            ENOSYS
        );
        assert_eq!(
            guest.hvc(EVENT_CHANNEL_OP, &[event::BIND_PIRQ, at]),
            EOPNOTSUPP
        );
        assert_eq!(
            guest.op_in(EVENT_CHANNEL_OP, event::RESET, Reset { dom: SELF }),
            0
        );
        assert_eq!(guest.param(18), 1, "the console keeps its port");
        assert_eq!(guest.send(1), 0);
    });
}

#[test]
fn ports_run_out_at_1023() {
    let mut sys = System::two();
    let mut guest = sys.guest(0);
    let ask = AllocUnbound {
        dom: SELF,
        remote_dom: SELF,
        port: 0,
    };
    for expected in 2..=1023 {
        let mut alloc = ask;
        assert_eq!(
            guest.op(EVENT_CHANNEL_OP, event::ALLOC_UNBOUND, &mut alloc),
            0
        );
        assert_eq!(alloc.port, expected);
    }
    assert_eq!(
        guest.op_in(EVENT_CHANNEL_OP, event::ALLOC_UNBOUND, ask),
        ENOSPC
    );
    let mut other = ask;
    assert_eq!(
        sys.guest(1)
            .op(EVENT_CHANNEL_OP, event::ALLOC_UNBOUND, &mut other),
        0,
        "another guest has its own"
    );
}
