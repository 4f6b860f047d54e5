//! Event channels and their interrupt, end to end.

mod common;

use common::in_every_way;
use hv_types::Gva;
use sim::guest::{ARGS, FREE, SHARED_INFO, UPCALL, VTIMER};
use sim::{FREQUENCY, Guest, Ran, System};
use xen_abi::GuestHandle;
use xen_abi::event::{BIND_VIRQ, BindVirq, CLOSE, PortArg, UNMASK};
use xen_abi::number::{EVENT_CHANNEL_OP, SCHED_OP, VCPU_OP};
use xen_abi::sched::{BLOCK, POLL, Poll, WATCHDOG, Watchdog};
use xen_abi::vcpu::{REGISTER_VCPU_INFO, RegisterVcpuInfo};

/// `vcpu_info` within shared_info.
const INFO: u64 = SHARED_INFO;

fn ready(guest: &mut Guest<'_>) -> (u32, u32) {
    guest.map_shared_info();
    guest.enable_gic();
    guest.enable_interrupt(UPCALL);
    guest.enable_interrupt(VTIMER);
    let ports = guest.loopback();
    // A new interdomain port is pending once.
    assert_eq!(guest.take_interrupts_with_events(), [ports.1]);
    ports
}

/// What a kernel's interrupt handler does with the upcall.
trait Upcalls {
    fn take_interrupts_with_events(&mut self) -> Vec<u32>;
}

impl Upcalls for Guest<'_> {
    fn take_interrupts_with_events(&mut self) -> Vec<u32> {
        let mut ports = Vec::new();
        for _ in 0..100 {
            if !self.irq() {
                return ports;
            }
            let intid = self.acknowledge();
            if intid == UPCALL {
                ports.extend(self.take_events(INFO));
            } else {
                self.stop_timer();
            }
            self.end(intid);
        }
        panic!("interrupts without end; events {ports:?}");
    }
}

/// EV-1: an event becomes interrupt 31 in the guest.
#[test]
fn a_sent_event_arrives_as_interrupt_31() {
    in_every_way(|guest| {
        let (a, b) = ready(guest);
        assert!(!guest.irq());
        assert_eq!(guest.send(a), 0);
        assert!(guest.is_pending(b) && !guest.is_pending(a));
        assert_eq!(guest.get::<u8>(INFO), 1, "the upcall flag");
        assert_eq!(guest.get::<u64>(INFO + 8), 1, "the selector");
        assert!(guest.irq());
        assert_eq!(guest.acknowledge(), UPCALL);
        assert_eq!(guest.take_events(INFO), [b]);
        guest.end(UPCALL);
        assert!(!guest.irq(), "once");
    });
}

#[test]
fn an_event_during_the_handler_brings_the_interrupt_again() {
    in_every_way(|guest| {
        let (a, b) = ready(guest);
        guest.send(a);
        assert_eq!(guest.acknowledge(), UPCALL);
        assert_eq!(guest.take_events(INFO), [b]);
        guest.send(a);
        guest.end(UPCALL);
        assert_eq!(guest.take_interrupts_with_events(), [b]);
    });
}

#[test]
fn an_upcall_flag_that_is_not_cleared_keeps_the_interrupt_up() {
    let mut sys = System::two();
    let mut guest = sys.guest(0);
    let (a, b) = ready(&mut guest);
    guest.send(a);
    for _ in 0..3 {
        assert_eq!(guest.acknowledge(), UPCALL);
        guest.end(UPCALL);
        assert!(guest.irq(), "level-sensitive");
    }
    assert_eq!(guest.take_interrupts_with_events(), [b]);
    assert!(!guest.irq());
}

/// EV-2: unmask delivers.
#[test]
fn a_masked_port_is_pending_but_quiet_until_it_is_unmasked() {
    in_every_way(|guest| {
        let (a, b) = ready(guest);
        guest.set_mask(b, true);
        guest.send(a);
        assert!(guest.is_pending(b));
        assert!(!guest.irq());
        assert_eq!(
            guest.op_in(EVENT_CHANNEL_OP, UNMASK, PortArg { port: b }),
            0
        );
        assert_eq!(guest.take_interrupts_with_events(), [b]);
    });
}

#[test]
fn an_event_that_came_while_the_interrupt_was_disabled_is_not_lost() {
    in_every_way(|guest| {
        let (a, b) = ready(guest);
        guest.disable_interrupt(UPCALL);
        guest.send(a);
        assert!(!guest.irq());
        guest.enable_interrupt(UPCALL);
        assert_eq!(guest.take_interrupts_with_events(), [b]);
    });
}

#[test]
fn the_registered_vcpu_info_is_the_one_that_is_used() {
    in_every_way(|guest| {
        let (a, b) = ready(guest);
        let info = FREE + 0x40;
        guest.put(
            ARGS,
            &RegisterVcpuInfo {
                gfn: FREE >> 12,
                offset: 0x40,
                rsvd: 0,
            },
        );
        assert_eq!(
            guest.hvc(VCPU_OP, &[REGISTER_VCPU_INFO, 0, guest.ptr(ARGS)]),
            0
        );
        assert_eq!(guest.acknowledge(), UPCALL, "the expected spurious one");
        assert_eq!(guest.take_events(info), []);
        guest.end(UPCALL);
        assert!(!guest.irq());
        guest.send(a);
        assert_eq!(guest.get::<u8>(INFO), 0, "the old place is left alone");
        assert_eq!(guest.acknowledge(), UPCALL);
        assert_eq!(guest.take_events(info), [b]);
        guest.end(UPCALL);
        assert!(!guest.irq());
    });
}

#[test]
fn an_event_pending_at_registration_arrives_at_the_new_place() {
    let mut sys = System::two();
    let mut guest = sys.guest(0);
    let (a, b) = ready(&mut guest);
    guest.disable_interrupt(UPCALL);
    guest.send(a);
    guest.put(
        ARGS,
        &RegisterVcpuInfo {
            gfn: FREE >> 12,
            offset: 0,
            rsvd: 0,
        },
    );
    assert_eq!(guest.hvc(VCPU_OP, &[REGISTER_VCPU_INFO, 0, ARGS]), 0);
    guest.enable_interrupt(UPCALL);
    assert_eq!(guest.acknowledge(), UPCALL);
    assert_eq!(guest.take_events(FREE), [b]);
    guest.end(UPCALL);
}

#[test]
fn a_guest_that_waits_is_woken_by_an_event() {
    let mut sys = System::two();
    let mut guest = sys.guest(0);
    ready(&mut guest);
    let console = guest.console_port();
    // SCHEDOP_block and WFI alike.
    for block in [true, false] {
        let ran = if block {
            guest.try_hvc(SCHED_OP, &[BLOCK, 0])
        } else {
            guest.wfi()
        };
        assert_eq!(ran, Ran::Waiting);
        guest.sys.type_in(b"x");
        assert!(guest.is_running(), "typed input is an event");
        assert_eq!(guest.take_interrupts_with_events(), [console]);
        assert_eq!(guest.ring_take(), b"x");
    }
}

#[test]
fn blocking_with_an_event_pending_does_not_wait() {
    let mut sys = System::two();
    let mut guest = sys.guest(0);
    let (a, _) = ready(&mut guest);
    guest.send(a);
    assert_eq!(guest.try_hvc(SCHED_OP, &[BLOCK, 0]), Ran::Done);
    assert_eq!(guest.wfi(), Ran::Done);
}

/// Polls `port` with a timeout (ns, absolute).
fn poll(guest: &mut Guest<'_>, port: u32, timeout: u64) -> Ran {
    guest.put(ARGS + 64, &port);
    let ports = GuestHandle::new(Gva::new(guest.ptr(ARGS + 64)));
    guest.put(
        ARGS,
        &Poll {
            ports,
            nr_ports: 1,
            pad: 0,
            timeout,
        },
    );
    guest.try_hvc(SCHED_OP, &[POLL, guest.ptr(ARGS)])
}

#[test]
fn poll_ends_with_the_event_or_in_time() {
    let mut sys = System::two();
    let mut guest = sys.guest(0);
    let (a, b) = ready(&mut guest);
    let console = guest.console_port();
    guest.disable_interrupt(UPCALL);
    guest.set_mask(b, true);
    guest.send(a);
    assert_eq!(
        poll(&mut guest, b, 0),
        Ran::Done,
        "pending already, masked or not"
    );
    // Time: a millisecond from now.
    guest.set_mask(console, true);
    let now = guest.sys.now() as u128 * 1_000_000_000 / u128::from(FREQUENCY);
    let timeout = u64::try_from(now).unwrap() + 1_000_000;
    assert_eq!(poll(&mut guest, console, timeout), Ran::Waiting);
    guest.sys.advance(FREQUENCY / 1000 - 10);
    assert!(!guest.is_running());
    guest.sys.advance(20);
    assert!(guest.is_running());
    assert_eq!(guest.x(0), 0);
    // An event on a masked port.
    assert_eq!(poll(&mut guest, console, 0), Ran::Waiting);
    guest.sys.type_in(b"k");
    assert!(guest.is_running());
    assert!(guest.is_pending(console));
    guest.put(ARGS + 64, &1024_u32);
    let ports = GuestHandle::new(Gva::new(ARGS + 64));
    assert_eq!(
        guest.op_in(
            SCHED_OP,
            POLL,
            Poll {
                ports,
                nr_ports: 1,
                pad: 0,
                timeout: 0
            }
        ),
        common::EINVAL
    );
    assert_eq!(
        guest.op_in(
            SCHED_OP,
            POLL,
            Poll {
                ports,
                nr_ports: 129,
                pad: 0,
                timeout: 0
            }
        ),
        common::EINVAL
    );
}

#[test]
fn closing_a_port_ends_its_events() {
    let mut sys = System::two();
    let mut guest = sys.guest(0);
    let (a, b) = ready(&mut guest);
    assert_eq!(guest.op_in(EVENT_CHANNEL_OP, CLOSE, PortArg { port: b }), 0);
    assert_eq!(guest.send(a), 0, "the peer is unbound now");
    assert!(!guest.is_pending(b) && !guest.irq());
}

#[test]
fn a_timer_virq_can_be_bound_and_is_silent() {
    let mut sys = System::two();
    let mut guest = sys.guest(0);
    ready(&mut guest);
    let mut bind = BindVirq {
        virq: 0,
        vcpu: 0,
        port: 0,
    };
    assert_eq!(guest.op(EVENT_CHANNEL_OP, BIND_VIRQ, &mut bind), 0);
    assert_eq!(
        guest.send(bind.port),
        common::EINVAL,
        "the hypervisor's to send"
    );
    assert_eq!(
        guest.op_in(EVENT_CHANNEL_OP, BIND_VIRQ, bind),
        common::refused(xen_abi::Errno::Eexist)
    );
}

#[test]
fn events_of_every_word_arrive() {
    let mut sys = System::two();
    let mut guest = sys.guest(0);
    ready(&mut guest);
    let pairs: Vec<(u32, u32)> = (0..400).map(|_| guest.loopback()).collect();
    guest.take_interrupts_with_events();
    for (a, _) in &pairs {
        guest.send(*a);
    }
    let mut got = guest.take_interrupts_with_events();
    got.sort_unstable();
    let mut expected: Vec<u32> = pairs.iter().map(|(_, b)| *b).collect();
    expected.sort_unstable();
    assert_eq!(got, expected);
}

/// EX-9: nothing is shared before registration either.
#[test]
fn events_of_one_guest_are_not_seen_by_the_other() {
    let mut sys = System::two();
    ready(&mut sys.guest(1));
    let before = sys.guest(1).bytes(SHARED_INFO, 4096);
    let mut guest = sys.guest(0);
    let (a, _) = ready(&mut guest);
    for _ in 0..10 {
        guest.send(a);
        guest.take_interrupts_with_events();
    }
    assert_eq!(sys.guest(1).bytes(SHARED_INFO, 4096), before);
    assert!(!sys.guest(1).irq());
}

#[test]
fn a_watchdog_that_is_not_fed_stops_a_guest_that_sleeps() {
    let mut sys = System::two();
    let mut guest = sys.guest(0);
    assert_eq!(
        guest.op_in(SCHED_OP, WATCHDOG, Watchdog { id: 0, timeout: 2 }),
        1
    );
    assert_eq!(guest.wfi(), Ran::Waiting);
    sys.advance(2 * FREQUENCY - 1);
    assert!(sys.is_alive(0));
    sys.advance(1);
    assert_eq!(
        sys.stopped(0),
        Some(hypervisor_core::domain::shutdown::StopReason::Watchdog)
    );
}

#[test]
fn a_watchdog_that_is_not_fed_stops_a_guest_that_runs() {
    let mut sys = System::two();
    let mut guest = sys.guest(0);
    assert_eq!(
        guest.op_in(SCHED_OP, WATCHDOG, Watchdog { id: 0, timeout: 2 }),
        1
    );
    // It spins: no exit comes from it.
    sys.advance(2 * FREQUENCY - 1);
    assert!(sys.is_alive(0));
    sys.advance(1);
    assert_eq!(
        sys.stopped(0),
        Some(hypervisor_core::domain::shutdown::StopReason::Watchdog)
    );
    assert!(sys.is_alive(1));
}

#[test]
fn a_watchdog_that_is_fed_or_cancelled_stops_nobody() {
    let mut sys = System::two();
    let mut guest = sys.guest(0);
    assert_eq!(
        guest.op_in(SCHED_OP, WATCHDOG, Watchdog { id: 0, timeout: 2 }),
        1
    );
    for _ in 0..5 {
        guest.sys.advance(FREQUENCY);
        assert_eq!(
            guest.op_in(SCHED_OP, WATCHDOG, Watchdog { id: 1, timeout: 2 }),
            0
        );
    }
    assert_eq!(
        guest.op_in(SCHED_OP, WATCHDOG, Watchdog { id: 1, timeout: 0 }),
        0
    );
    sys.advance(100 * FREQUENCY);
    assert!(sys.is_alive(0));
}
