//! event_channel_op as a guest calls it.

use guest_mem::Window;
use hv_types::WindowAddr;
use xen_abi::event::{
    ALLOC_UNBOUND, AllocUnbound, BIND_INTERDOMAIN, BIND_IPI, BIND_PIRQ, BIND_VCPU, BIND_VIRQ,
    BindInterdomain, BindIpi, BindVcpu, BindVirq, CLOSE, EXPAND_ARRAY, INIT_CONTROL, PortArg,
    RESET, RESET_CONT, Reset, SEND, SET_PRIORITY, STATUS, Status, UNMASK,
};
use xen_abi::shared::shared_info::{EVTCHN_MASK, EVTCHN_PENDING};
use xen_abi::{Errno, number::EVENT_CHANNEL_OP};
use zerocopy::{Immutable, IntoBytes};

use super::{BUF, DOMID, EFAULT, EINVAL, ENOENT, ENOSYS, EPERM, ESRCH, Guest, HOLE, SELF};
use crate::device::vgic::EVENT_UPCALL;
use crate::evtchn::Service;

const EBUSY: i64 = Errno::Ebusy.as_i64();
const EOPNOTSUPP: i64 = Errno::Eopnotsupp.as_i64();

impl Guest {
    fn event_op<T: IntoBytes + Immutable>(&mut self, cmd: u64, arg: T) -> i64 {
        self.put(BUF, &arg);
        self.result(EVENT_CHANNEL_OP, &[cmd, BUF])
    }
    fn new_ipi(&mut self) -> u32 {
        assert_eq!(self.event_op(BIND_IPI, BindIpi { vcpu: 0, port: 0 }), 0);
        self.get::<BindIpi>(BUF).port
    }
    fn upcall(&self) -> u8 {
        self.host.window.load_u8(WindowAddr::extra(0, 0))
    }
}

#[test]
fn results_are_written_back() {
    let mut guest = Guest::new();
    let alloc = AllocUnbound {
        dom: SELF,
        remote_dom: SELF,
        port: 99,
    };
    assert_eq!(guest.event_op(ALLOC_UNBOUND, alloc), 0);
    assert_eq!(
        guest.get::<AllocUnbound>(BUF),
        AllocUnbound { port: 1, ..alloc }
    );
    let bind = BindInterdomain {
        remote_dom: DOMID,
        pad: 0,
        remote_port: 1,
        local_port: 0,
    };
    assert_eq!(guest.event_op(BIND_INTERDOMAIN, bind), 0);
    assert_eq!(guest.get::<BindInterdomain>(BUF).local_port, 2);
    assert!(
        guest
            .vm
            .devices
            .gic
            .level(hv_types::VcpuId::BOOT, EVENT_UPCALL),
        "the new port is pending at once"
    );
    assert_eq!(
        guest.event_op(
            BIND_VIRQ,
            BindVirq {
                virq: 1,
                vcpu: 0,
                port: 0
            }
        ),
        0
    );
    assert_eq!(guest.get::<BindVirq>(BUF).port, 3);
    assert_eq!(guest.new_ipi(), 4);
    let ask = Status {
        dom: SELF,
        port: 2,
        ..Status::default()
    };
    assert_eq!(guest.event_op(STATUS, ask), 0);
    let found = Status {
        status: 2,
        vcpu: 0,
        dom_or_irq: DOMID.into(),
        remote_port: 1,
        ..ask
    };
    assert_eq!(guest.get::<Status>(BUF), found);
}

#[test]
fn a_send_asserts_the_upcall() {
    let mut guest = Guest::new();
    let port = guest.new_ipi();
    assert_eq!(guest.event_op(SEND, PortArg { port }), 0);
    assert_eq!(guest.upcall(), 1);
    assert!(
        guest
            .vm
            .devices
            .gic
            .level(hv_types::VcpuId::BOOT, EVENT_UPCALL)
    );
    assert!(
        guest
            .vm
            .domain
            .events
            .is_pending(&guest.host.window, hv_types::Port(port))
    );
    assert!(!guest.vm.devices.have_work());
}

#[test]
fn a_masked_send_waits_for_unmask() {
    let mut guest = Guest::new();
    let port = guest.new_ipi();
    guest.set_shared_bit(EVTCHN_MASK, port);
    assert_eq!(guest.event_op(SEND, PortArg { port }), 0);
    assert_eq!(
        (
            guest.upcall(),
            guest
                .vm
                .devices
                .gic
                .level(hv_types::VcpuId::BOOT, EVENT_UPCALL)
        ),
        (0, false)
    );
    assert_eq!(guest.event_op(UNMASK, PortArg { port }), 0);
    assert_eq!(
        (
            guest.upcall(),
            guest
                .vm
                .devices
                .gic
                .level(hv_types::VcpuId::BOOT, EVENT_UPCALL)
        ),
        (1, true)
    );
}

#[test]
fn an_unmask_with_nothing_pending_is_quiet() {
    let mut guest = Guest::new();
    let port = guest.new_ipi();
    guest.set_shared_bit(EVTCHN_MASK, port);
    assert_eq!(guest.event_op(UNMASK, PortArg { port }), 0);
    assert_eq!(
        (
            guest.upcall(),
            guest
                .vm
                .devices
                .gic
                .level(hv_types::VcpuId::BOOT, EVENT_UPCALL)
        ),
        (0, false)
    );
    assert!(
        !guest
            .vm
            .domain
            .events
            .is_masked(&guest.host.window, hv_types::Port(port))
    );
}

#[test]
fn a_send_to_the_console_kicks_it() {
    let mut guest = Guest::new();
    let port = guest
        .vm
        .domain
        .events
        .alloc_hypervisor_port(Service::Console)
        .unwrap()
        .0;
    assert_eq!(guest.event_op(SEND, PortArg { port }), 0);
    assert!(guest.vm.devices.have_work());
    assert_eq!(guest.upcall(), 0, "the guest itself is not told");
}

#[test]
fn closing_and_resetting_free_ports() {
    let mut guest = Guest::new();
    let port = guest.new_ipi();
    guest.set_shared_bit(EVTCHN_PENDING, port);
    assert_eq!(guest.event_op(CLOSE, PortArg { port }), 0);
    assert_eq!(guest.event_op(CLOSE, PortArg { port }), EINVAL);
    assert_eq!(guest.new_ipi(), port);
    assert!(
        !guest
            .vm
            .domain
            .events
            .is_pending(&guest.host.window, hv_types::Port(port))
    );
    assert_eq!(guest.event_op(RESET, Reset { dom: SELF }), 0);
    assert_eq!(guest.event_op(SEND, PortArg { port }), EINVAL);
}

#[test]
fn errors() {
    let mut guest = Guest::new();
    let port = guest.new_ipi();
    assert_eq!(guest.event_op(SEND, PortArg { port: 1024 }), EINVAL);
    assert_eq!(guest.event_op(UNMASK, PortArg { port: u32::MAX }), EINVAL);
    assert_eq!(guest.event_op(CLOSE, PortArg { port: 0 }), EINVAL);
    for (dom, expected) in [(9, ESRCH), (DOMID - 1, EPERM)] {
        let alloc = AllocUnbound {
            dom,
            remote_dom: DOMID,
            port: 0,
        };
        assert_eq!(guest.event_op(ALLOC_UNBOUND, alloc), expected);
    }
    let bind = BindInterdomain {
        remote_dom: 9,
        remote_port: port,
        ..BindInterdomain::default()
    };
    assert_eq!(guest.event_op(BIND_INTERDOMAIN, bind), ESRCH);
    assert_eq!(
        guest.event_op(BIND_IPI, BindIpi { vcpu: 1, port: 0 }),
        ENOENT
    );
    assert_eq!(
        guest.event_op(BIND_VCPU, BindVcpu { port, vcpu: 1 }),
        ENOENT
    );
    assert_eq!(
        guest.event_op(BIND_VCPU, BindVcpu { port, vcpu: 0 }),
        EINVAL
    );
    assert_eq!(
        guest.event_op(
            STATUS,
            Status {
                dom: DOMID - 1,
                ..Status::default()
            }
        ),
        EPERM
    );
    assert_eq!(guest.event_op(RESET, Reset { dom: DOMID - 1 }), EPERM);
    for (cmd, result) in [
        (BIND_PIRQ, EOPNOTSUPP),
        (INIT_CONTROL, ENOSYS),
        (EXPAND_ARRAY, EOPNOTSUPP),
        (SET_PRIORITY, ENOSYS),
        (RESET_CONT, EBUSY),
        (15, ENOSYS),
        (u64::from(u32::MAX), ENOSYS),
    ] {
        guest.fill(BUF, 32, 0);
        guest.put(BUF, &if cmd == RESET_CONT { DOMID } else { 0 });
        assert_eq!(guest.result(EVENT_CHANNEL_OP, &[cmd, BUF]), result, "{cmd}");
    }
}

#[test]
fn a_wild_pointer_is_refused_before_anything_happens() {
    let mut guest = Guest::new();
    for cmd in [
        BIND_INTERDOMAIN,
        BIND_VIRQ,
        CLOSE,
        SEND,
        STATUS,
        ALLOC_UNBOUND,
        BIND_IPI,
        BIND_VCPU,
        UNMASK,
        RESET,
        BIND_PIRQ,
        INIT_CONTROL,
        EXPAND_ARRAY,
        SET_PRIORITY,
        RESET_CONT,
    ] {
        for gva in [HOLE, u64::MAX, u64::MAX - 3, 0] {
            assert_eq!(
                guest.result(EVENT_CHANNEL_OP, &[cmd, gva]),
                EFAULT,
                "command {cmd} at {gva:#x}"
            );
        }
    }
    assert_eq!(guest.new_ipi(), 1, "no port was used up");
}
