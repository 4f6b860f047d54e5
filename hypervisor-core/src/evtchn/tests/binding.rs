//! The operations that change the port table, and their errors in Xen's order.

use super::super::PortStatus;
use super::super::{Sent, Service};
use super::{DOMAINS, Guest, ME};
use hv_types::{DomId, Port};
use xen_abi::Errno;

const OTHER: DomId = DomId(4);

impl Guest {
    fn status(&self, port: Port) -> PortStatus {
        self.events.status(DomId::SELF, port).unwrap()
    }
    fn connect(&mut self, remote: DomId, port: u32) -> Result<(Port, bool), Errno> {
        self.events
            .bind_interdomain(&self.window, &self.pages, remote, Port(port))
            .map(|(port, raised)| (port, raised.is_some()))
    }
    fn close(&mut self, port: Port) -> Result<(), Errno> {
        self.events.close(&self.window, port)
    }
}

#[test]
fn ports_are_given_out_lowest_first_up_to_1023() {
    let mut guest = Guest::new();
    for expected in 1..=1023 {
        assert_eq!(
            guest.events.alloc_unbound(DomId::SELF, ME),
            Ok(Port(expected))
        );
    }
    assert_eq!(
        guest.events.alloc_unbound(DomId::SELF, OTHER),
        Err(Errno::Enospc)
    );
    assert_eq!(guest.events.bind_ipi(0), Err(Errno::Enospc));
    assert_eq!(guest.events.bind_virq(1, 0), Err(Errno::Enospc));
    assert_eq!(guest.connect(ME, 0), Err(Errno::Enospc));
    assert_eq!(
        guest.events.alloc_hypervisor_port(Service::Console),
        Err(Errno::Enospc)
    );
    for port in [700, 64, 1023] {
        assert_eq!(guest.close(Port(port)), Ok(()));
    }
    for expected in [64, 700, 1023] {
        assert_eq!(guest.events.bind_ipi(0), Ok(Port(expected)));
    }
}

#[test]
fn a_lower_limit_is_kept() {
    let mut guest = Guest::new();
    guest.events = super::Events::new(DOMAINS, 2, 1);
    assert_eq!(
        (guest.events.bind_ipi(0), guest.events.bind_ipi(0)),
        (Ok(Port(1)), Ok(Port(2)))
    );
    assert_eq!(guest.events.bind_ipi(0), Err(Errno::Enospc));
    assert_eq!(guest.send(3), Err(Errno::Einval));
    assert!(!super::Events::new(DOMAINS, 4095, 1).is_valid(Port(1024)));
}

#[test]
fn other_domains_are_refused() {
    let mut guest = Guest::new();
    for (dom, error, connect) in [
        (OTHER, Errno::Eperm, Errno::Einval),
        (DomId(0), Errno::Esrch, Errno::Esrch),
        (DomId::XEN, Errno::Esrch, Errno::Esrch),
        (DomId(0xffff), Errno::Esrch, Errno::Esrch),
    ] {
        assert_eq!(guest.events.alloc_unbound(dom, ME), Err(error), "{dom:?}");
        assert_eq!(guest.events.alloc_unbound(ME, dom), Err(error), "{dom:?}");
        assert_eq!(guest.events.status(dom, Port(1)), Err(error), "{dom:?}");
        assert_eq!(
            guest.events.reset(&guest.window, dom),
            Err(error),
            "{dom:?}"
        );
        assert_eq!(guest.connect(dom, 1), Err(connect), "{dom:?}");
    }
    assert_eq!(
        guest.events.status(OTHER, Port(1024)),
        Err(Errno::Einval),
        "a port that no domain has"
    );
    assert_eq!(guest.events.alloc_unbound(ME, ME), Ok(Port(1)));
}

#[test]
fn two_ports_of_the_domain_connect() {
    let mut guest = Guest::new();
    let first = guest
        .events
        .alloc_unbound(DomId::SELF, DomId::SELF)
        .unwrap();
    assert_eq!(
        guest.status(first),
        PortStatus {
            state: 1,
            vcpu: 0,
            dom_or_irq: 3,
            remote_port: 0
        }
    );
    assert_eq!(
        guest.connect(DomId::SELF, first.0),
        Ok((Port(2), true)),
        "pending at once"
    );
    assert_eq!(guest.handle(), [2]);
    assert_eq!(
        guest.status(first),
        PortStatus {
            state: 2,
            vcpu: 0,
            dom_or_irq: 3,
            remote_port: 2
        }
    );
    assert_eq!(
        guest.status(Port(2)),
        PortStatus {
            state: 2,
            vcpu: 0,
            dom_or_irq: 3,
            remote_port: 1
        }
    );
    assert_eq!(
        guest.send(1),
        Ok(Sent::Port {
            upcall: Some(super::BOOT)
        })
    );
    assert_eq!(guest.handle(), [2]);
    assert_eq!(
        guest.send(2),
        Ok(Sent::Port {
            upcall: Some(super::BOOT)
        })
    );
    assert_eq!(guest.handle(), [1]);
    // One side goes: the other waits for this domain again.
    assert_eq!(guest.close(first), Ok(()));
    assert_eq!(guest.status(first).state, 0);
    assert_eq!(
        guest.status(Port(2)),
        PortStatus {
            state: 1,
            vcpu: 0,
            dom_or_irq: 3,
            remote_port: 0
        }
    );
    assert_eq!(guest.send(2), Ok(Sent::Nobody));
    assert_eq!(guest.connect(ME, 2), Ok((Port(1), true)));
}

#[test]
fn only_an_unbound_port_open_to_the_caller_can_be_connected_to() {
    let mut guest = Guest::new();
    let reserved = guest.events.bind_virq(0, 0).unwrap();
    let ipi = guest.events.bind_ipi(0).unwrap();
    let console = guest
        .events
        .alloc_hypervisor_port(Service::Console)
        .unwrap();
    for port in [reserved.0, ipi.0, console.0, 0, 9, 1024, u32::MAX] {
        assert_eq!(guest.connect(ME, port), Err(Errno::Einval), "{port}");
    }
    assert_eq!(guest.events.bind_ipi(0), Ok(Port(4)), "no port was used up");
}

#[test]
fn virtual_interrupts() {
    let mut guest = Guest::new();
    for (virq, vcpu, result) in [
        (24, 0, Err(Errno::Einval)),
        (u32::MAX, 0, Err(Errno::Einval)),
        (256, 0, Err(Errno::Einval)),
        (2, 1, Err(Errno::Einval)),
        (11, 1, Err(Errno::Einval)),
        (0, 1, Err(Errno::Enoent)),
        (1, u32::MAX, Err(Errno::Enoent)),
        (2, 0, Err(Errno::Ebusy)),
        (5, 0, Err(Errno::Ebusy)),
        (16, 0, Err(Errno::Ebusy)),
        (0, 0, Ok(Port(1))),
        (0, 0, Err(Errno::Eexist)),
        (1, 0, Ok(Port(2))),
        (11, 0, Ok(Port(3))),
        (13, 0, Ok(Port(4))),
    ] {
        assert_eq!(
            guest.events.bind_virq(virq, vcpu),
            result,
            "VIRQ {virq} on vCPU {vcpu}"
        );
    }
    assert_eq!(
        guest.status(Port(3)),
        PortStatus {
            state: 4,
            vcpu: 0,
            dom_or_irq: 11,
            remote_port: 0
        }
    );
    assert_eq!(guest.close(Port(1)), Ok(()));
    assert_eq!(
        guest.events.raise_virq(&guest.window, &guest.pages, 0),
        None
    );
    assert_eq!(guest.events.bind_virq(0, 0), Ok(Port(1)));
}

#[test]
fn which_ports_can_notify_another_vcpu() {
    let mut guest = Guest::new();
    let unbound = guest.events.alloc_unbound(ME, ME).unwrap();
    let (ipi, own, domain) = (
        guest.events.bind_ipi(0).unwrap(),
        guest.events.bind_virq(1, 0).unwrap(),
        guest.events.bind_virq(11, 0).unwrap(),
    );
    let console = guest
        .events
        .alloc_hypervisor_port(Service::Console)
        .unwrap();
    assert_eq!(guest.events.bind_ipi(1), Err(Errno::Enoent));
    for port in [unbound, ipi, Port(0), Port(9999)] {
        assert_eq!(
            guest.events.bind_vcpu(port, 1),
            Err(Errno::Enoent),
            "the vCPU is looked at first"
        );
    }
    for (port, result) in [
        (unbound, Ok(())),
        (console, Ok(())),
        (domain, Ok(())),
        (ipi, Err(Errno::Einval)),
        (own, Err(Errno::Einval)),
        (Port(0), Err(Errno::Einval)),
        (Port(77), Err(Errno::Einval)),
        (Port(1024), Err(Errno::Einval)),
    ] {
        assert_eq!(guest.events.bind_vcpu(port, 0), result, "{port:?}");
    }
}

#[test]
fn closing_forgets_the_pending_event() {
    let mut guest = Guest::new();
    let port = guest.events.bind_ipi(0).unwrap();
    assert_eq!(
        guest.send(port.0),
        Ok(Sent::Port {
            upcall: Some(super::BOOT)
        })
    );
    assert_eq!(guest.close(port), Ok(()));
    assert_eq!(guest.pending_word(0), 0);
    for port in [port, Port(0), Port(2), Port(1024), Port(u32::MAX)] {
        assert_eq!(guest.close(port), Err(Errno::Einval), "{port:?}");
    }
}

#[test]
fn the_console_port_survives_close_and_reset() {
    let mut guest = Guest::new();
    let console = guest
        .events
        .alloc_hypervisor_port(Service::Console)
        .unwrap();
    guest.events.bind_ipi(0).unwrap();
    guest.events.bind_virq(1, 0).unwrap();
    let raised = guest
        .events
        .raise_service(&guest.window, &guest.pages, Service::Console);
    assert_eq!(raised, Some(super::BOOT));
    assert_eq!(guest.close(console), Ok(()));
    assert_eq!(guest.pending_word(0), 0);
    assert_eq!(
        guest.status(console),
        PortStatus {
            state: 2,
            vcpu: 0,
            dom_or_irq: 0,
            remote_port: 1
        }
    );
    assert_eq!(guest.events.reset(&guest.window, DomId::SELF), Ok(()));
    assert_eq!(
        (
            guest.status(console).state,
            guest.status(Port(2)).state,
            guest.status(Port(3)).state
        ),
        (2, 0, 0)
    );
    assert_eq!(
        guest.events.bind_virq(1, 0),
        Ok(Port(2)),
        "the VIRQ is free again"
    );
    assert_eq!(guest.send(console.0), Ok(Sent::Service(Service::Console)));
}

#[test]
fn status_of_ports_that_are_nothing() {
    let mut guest = Guest::new();
    assert_eq!(guest.status(Port(0)).state, 0);
    assert_eq!(guest.status(Port(63)).state, 0);
    // Ports come into being by 64.
    for port in [64, 1023, 1024, u32::MAX] {
        assert_eq!(guest.events.status(ME, Port(port)), Err(Errno::Einval));
        assert_eq!(guest.unmask(port), Err(Errno::Einval));
        assert_eq!(guest.events.set_priority(Port(port)), Err(Errno::Einval));
    }
    for port in 1..=64 {
        assert_eq!(guest.events.bind_ipi(0), Ok(Port(port)));
    }
    guest.close(Port(64)).unwrap();
    assert_eq!(guest.status(Port(127)).state, 0);
    assert_eq!(guest.unmask(127), Ok(false));
    assert_eq!(guest.events.set_priority(Port(127)), Err(Errno::Enosys));
    assert_eq!(guest.events.status(ME, Port(128)), Err(Errno::Einval));
}
