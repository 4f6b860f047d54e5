//! Event channels between domains, as their guests see them.

use peer_server_api::{Error, Request};
use sim::guest::{ARGS, SHARED_INFO, UPCALL};
use sim::{Domain, FREQUENCY, Guest, Ran, System};
use xen_abi::event::{
    ALLOC_UNBOUND, AllocUnbound, BIND_INTERDOMAIN, BIND_VCPU, BindInterdomain, BindVcpu, CLOSE,
    PortArg, RESET, Reset, STATUS, Status, UNMASK, state,
};
use xen_abi::number::{EVENT_CHANNEL_OP, SCHED_OP};
use xen_abi::sched::{SHUTDOWN, Shutdown};

const SELF: u16 = 0x7ff0;
const EPERM: i64 = -1;
const ESRCH: i64 = -3;
const EINVAL: i64 = -22;
const ENOSPC: i64 = -28;

/// Domains 1 and 2 meet, 3 meets nobody.
fn system() -> System {
    System::new(&[
        Domain::new("a"),
        Domain::new("b").heap().meeting("a"),
        Domain::new("c").heap(),
    ])
}

/// Guest `index`, which takes interrupts.
fn ready(sys: &mut System, index: usize) {
    let mut guest = sys.guest(index);
    guest.map_shared_info();
    guest.enable_gic();
    guest.enable_interrupt(UPCALL);
}

fn alloc(guest: &mut Guest<'_>, dom: u16, remote: u16) -> Result<u32, i64> {
    let arg = AllocUnbound {
        dom,
        remote_dom: remote,
        port: 0,
    };
    let mut arg = arg;
    let done = guest.op(EVENT_CHANNEL_OP, ALLOC_UNBOUND, &mut arg);
    (done == 0).then_some(arg.port).ok_or(done)
}

fn bind(guest: &mut Guest<'_>, remote: u16, port: u32) -> Result<u32, i64> {
    let arg = BindInterdomain {
        remote_dom: remote,
        remote_port: port,
        ..Default::default()
    };
    let mut arg = arg;
    let done = guest.op(EVENT_CHANNEL_OP, BIND_INTERDOMAIN, &mut arg);
    (done == 0).then_some(arg.local_port).ok_or(done)
}

/// Guest `index` asks for an end of this reason, and gets it.
fn shutdown(sys: &mut System, index: usize, reason: u32) -> Ran {
    let mut guest = sys.guest(index);
    guest.put(ARGS, &Shutdown { reason });
    let ran = guest.try_hvc(SCHED_OP, &[SHUTDOWN, ARGS]);
    sys.advance(2 * FREQUENCY);
    ran
}

fn restart(sys: &mut System, index: usize) {
    assert_eq!(shutdown(sys, index, 1), Ran::Restarts);
    ready(sys, index);
}

/// State, other domain, other port and vCPU.
fn status(guest: &mut Guest<'_>, port: u32) -> (u32, u32, u32, u32) {
    let arg = Status {
        dom: SELF,
        port,
        ..Default::default()
    };
    let mut arg = arg;
    let done = guest.op(EVENT_CHANNEL_OP, STATUS, &mut arg);
    assert_eq!(done, 0);
    (
        arg.status,
        arg.dom_or_irq & 0xffff,
        arg.remote_port,
        arg.vcpu,
    )
}

fn port_op(guest: &mut Guest<'_>, op: u64, port: u32) -> i64 {
    guest.op_in(EVENT_CHANNEL_OP, op, PortArg { port })
}

/// What a kernel's handler does with the upcall: the ports that were pending.
fn events(sys: &mut System, index: usize) -> Vec<u32> {
    let mut guest = sys.guest(index);
    let mut ports = Vec::new();
    while guest.irq() {
        let intid = guest.acknowledge();
        assert_eq!(intid, UPCALL);
        ports.extend(guest.take_events(SHARED_INFO));
        guest.end(intid);
    }
    ports
}

/// A channel between guests 0 and 1, quiet; the port of each.
fn channel(sys: &mut System) -> (u32, u32) {
    let a = alloc(&mut sys.guest(0), SELF, 2).unwrap();
    let b = bind(&mut sys.guest(1), 1, a).unwrap();
    assert_eq!(events(sys, 1), [b], "whoever binds looks once");
    assert_eq!(events(sys, 0), [], "the other one hears nothing of it");
    (a, b)
}

fn two() -> System {
    let mut sys = system();
    ready(&mut sys, 0);
    ready(&mut sys, 1);
    sys
}

#[test]
fn an_event_goes_to_the_other_domain_and_back() {
    let mut sys = two();
    let (a, b) = channel(&mut sys);
    assert_eq!(status(&mut sys.guest(0), a), (state::INTERDOMAIN, 2, b, 0));
    assert_eq!(status(&mut sys.guest(1), b), (state::INTERDOMAIN, 1, a, 0));
    for _ in 0..3 {
        assert_eq!(sys.guest(0).send(a), 0);
        assert_eq!(sys.guest(0).send(a), 0);
        assert_eq!(events(&mut sys, 1), [b], "once, however often it was sent");
        assert_eq!(sys.guest(1).send(b), 0);
        assert_eq!(
            (events(&mut sys, 0), events(&mut sys, 1)),
            (vec![a], vec![])
        );
    }
}

#[test]
fn a_masked_port_waits_and_unmask_delivers() {
    let mut sys = two();
    let (a, b) = channel(&mut sys);
    sys.guest(1).set_mask(b, true);
    sys.guest(0).send(a);
    assert!(sys.guest(1).is_pending(b) && !sys.guest(1).irq());
    assert_eq!(port_op(&mut sys.guest(1), UNMASK, b), 0);
    assert_eq!(events(&mut sys, 1), [b]);
}

#[test]
fn the_errors_are_xens_in_their_order() {
    let mut sys = two();
    for (dom, remote, expected) in [
        (SELF, 3, EPERM),
        (SELF, 9, ESRCH),
        (9, 2, ESRCH),
        (2, 2, EPERM),
        (3, 2, EPERM),
    ] {
        assert_eq!(
            alloc(&mut sys.guest(0), dom, remote),
            Err(expected),
            "{dom} {remote}"
        );
    }
    let a = alloc(&mut sys.guest(0), 1, 2).unwrap();
    assert_eq!(status(&mut sys.guest(0), a), (state::UNBOUND, 2, 0, 0));
    assert_eq!(sys.guest(0).send(a), 0, "to nobody");
    for (guest, remote, port, expected) in [
        (1, 9, a, ESRCH),
        (1, 1, a + 1, EINVAL),
        (1, 1, 0, EINVAL),
        (1, 1, u32::MAX, EINVAL),
        (1, 3, 1, EINVAL),
        (2, 1, a, EINVAL),
        (0, 2, a, EINVAL),
        // It is set aside for another one.
        (0, SELF, a, EINVAL),
    ] {
        let found = bind(&mut sys.guest(guest), remote, port);
        assert_eq!(found, Err(expected), "{guest} {remote} {port}");
    }
    let b = bind(&mut sys.guest(1), 1, a).unwrap();
    assert_eq!(bind(&mut sys.guest(1), 1, a), Err(EINVAL), "it has one");
    assert_eq!(port_op(&mut sys.guest(1), CLOSE, b), 0);
    assert_eq!(port_op(&mut sys.guest(1), CLOSE, b), EINVAL);
    // A domain whose ports are all in use hears of that first.
    while alloc(&mut sys.guest(1), SELF, SELF).is_ok() {}
    assert_eq!(alloc(&mut sys.guest(1), SELF, 1), Err(ENOSPC));
    assert_eq!(alloc(&mut sys.guest(1), SELF, 3), Err(ENOSPC));
    assert_eq!(bind(&mut sys.guest(1), 1, 999), Err(ENOSPC));
}

#[test]
fn whoever_closes_may_come_back() {
    let mut sys = two();
    let (a, b) = channel(&mut sys);
    assert_eq!(port_op(&mut sys.guest(1), CLOSE, b), 0);
    assert_eq!(status(&mut sys.guest(0), a), (state::UNBOUND, 2, 0, 0));
    assert_eq!(events(&mut sys, 0), [], "the peer hears nothing");
    assert_eq!(sys.guest(0).send(a), 0);
    assert_eq!(events(&mut sys, 1), []);
    let again = bind(&mut sys.guest(1), 1, a).unwrap();
    assert_eq!(again, b, "the lowest free port");
    assert_eq!(events(&mut sys, 1), [b]);
    sys.guest(1).send(b);
    assert_eq!(events(&mut sys, 0), [a]);
    // The other way round.
    assert_eq!(port_op(&mut sys.guest(0), CLOSE, a), 0);
    assert_eq!(status(&mut sys.guest(1), b), (state::UNBOUND, 1, 0, 0));
    let again = bind(&mut sys.guest(0), 2, b).unwrap();
    assert_eq!(
        status(&mut sys.guest(1), b),
        (state::INTERDOMAIN, 1, again, 0)
    );
}

#[test]
fn what_was_sent_to_a_closed_port_is_not_the_next_ones() {
    let mut sys = two();
    let (a, b) = channel(&mut sys);
    sys.guest(1).set_mask(b, true);
    sys.guest(0).send(a);
    assert_eq!(port_op(&mut sys.guest(1), CLOSE, b), 0);
    assert!(!sys.guest(1).is_pending(b));
    sys.guest(1).set_mask(b, false);
    assert_eq!(alloc(&mut sys.guest(1), SELF, 1), Ok(b));
    assert_eq!(events(&mut sys, 1), []);
}

#[test]
fn reset_leaves_the_peer_waiting() {
    let mut sys = two();
    let (a, _) = channel(&mut sys);
    let reset = |dom| Reset { dom };
    assert_eq!(sys.guest(1).op_in(EVENT_CHANNEL_OP, RESET, reset(1)), EPERM);
    assert_eq!(status(&mut sys.guest(0), a).0, state::INTERDOMAIN);
    assert_eq!(sys.guest(1).op_in(EVENT_CHANNEL_OP, RESET, reset(SELF)), 0);
    assert_eq!(status(&mut sys.guest(0), a), (state::UNBOUND, 2, 0, 0));
}

#[test]
fn an_event_goes_to_the_vcpu_that_the_port_notifies() {
    let a = Domain::new("a");
    let mut sys = System::new(&[a, Domain::new("b").heap().with_cpus(2).meeting("a")]);
    ready(&mut sys, 0);
    ready(&mut sys, 1);
    let (a, b) = channel(&mut sys);
    let bound = BindVcpu { port: b, vcpu: 1 };
    assert_eq!(sys.guest(1).op_in(EVENT_CHANNEL_OP, BIND_VCPU, bound), 0);
    assert_eq!(status(&mut sys.guest(1), b), (state::INTERDOMAIN, 1, a, 1));
    sys.guest(0).send(a);
    assert!(sys.guest(1).is_pending(b));
    assert_eq!(
        events(&mut sys, 1),
        [],
        "not vCPU 0, and vCPU 1 has no vcpu_info"
    );
}

/// Either end stops, restarts or crashes: the other one waits, and the channel can be made anew.
#[test]
fn death_in_both_orders() {
    for dead in [0, 1] {
        for crash in [false, true] {
            let mut sys = two();
            let (a, b) = channel(&mut sys);
            let (left, port, peer) = if dead == 0 { (1, b, 1) } else { (0, a, 2) };
            if crash {
                sys.crash(dead);
            } else {
                shutdown(&mut sys, dead, 0);
                assert!(!sys.is_alive(dead));
            }
            assert_eq!(
                status(&mut sys.guest(left), port),
                (state::UNBOUND, peer, 0, 0)
            );
            assert_eq!(sys.guest(left).send(port), 0);
            assert_eq!(port_op(&mut sys.guest(left), CLOSE, port), 0);
        }
    }
}

#[test]
fn either_end_restarts_and_they_meet_again() {
    let mut sys = two();
    for round in 0..20 {
        let (a, b) = channel(&mut sys);
        let (restarts, left, port, peer) = match round % 2 {
            0 => (0, 1, b, 1),
            _ => (1, 0, a, 2),
        };
        // One that is on its way when it ends is not the next life's.
        sys.guest(left).send(port);
        restart(&mut sys, restarts);
        assert_eq!(events(&mut sys, restarts), []);
        assert_eq!(
            status(&mut sys.guest(left), port),
            (state::UNBOUND, peer, 0, 0)
        );
        assert_eq!(port_op(&mut sys.guest(left), CLOSE, port), 0);
    }
}

#[test]
fn a_vmm_that_was_taken_over_rings_what_is_bound_to_it_and_nothing_else() {
    let mut sys = two();
    let (_, b) = channel(&mut sys);
    // Set aside, bound to itself, and the hypervisor's.
    let unbound = alloc(&mut sys.guest(1), SELF, 1).unwrap();
    let loopback = alloc(&mut sys.guest(1), SELF, SELF).unwrap();
    let console = sys.guest(1).console_port();
    sys.ring_all(0, 1);
    assert_eq!(events(&mut sys, 1), [b]);
    for port in [unbound, loopback, console] {
        assert!(!sys.guest(1).is_pending(port));
    }
    // Nor has it a way to bind more than its guest could.
    let bind = |remote| Request::Bind {
        port: 500,
        domain: 1,
        remote,
    };
    assert_eq!(sys.ask_peers(0, bind(b)), Err(Error::NotThere));
    assert_eq!(sys.ask_peers(0, bind(loopback)), Err(Error::NotThere));
    let alloc = Request::Alloc {
        port: 500,
        domain: 2,
    };
    assert_eq!(sys.ask_peers(0, alloc), Err(Error::Denied));
    assert_eq!(
        sys.ask_peers(2, Request::Reset),
        Err(Error::Malformed),
        "it meets nobody"
    );
}

#[test]
fn static_channels_are_there_from_the_start_and_after_a_restart() {
    let mut sys = System::new(&[
        Domain::new("a"),
        Domain::new("b").heap().with_channel(20, "a", 10),
    ]);
    for index in [0, 1] {
        ready(&mut sys, index);
    }
    assert_eq!(
        status(&mut sys.guest(0), 10),
        (state::INTERDOMAIN, 2, 20, 0)
    );
    assert_eq!(
        status(&mut sys.guest(1), 20),
        (state::INTERDOMAIN, 1, 10, 0)
    );
    assert!(sys.guest(1).is_pending(20) && !sys.guest(0).is_pending(10));
    assert_eq!(
        (events(&mut sys, 0), events(&mut sys, 1)),
        (vec![], vec![20])
    );
    sys.guest(0).send(10);
    assert_eq!(events(&mut sys, 1), [20]);
    // It restarts: the other end waits, and is connected again.
    restart(&mut sys, 1);
    assert_eq!(
        status(&mut sys.guest(0), 10),
        (state::INTERDOMAIN, 2, 20, 0)
    );
    assert_eq!(events(&mut sys, 1), [20]);
    sys.guest(1).send(20);
    assert_eq!(events(&mut sys, 0), [10]);
    // Other channels between the two nobody has allowed.
    assert_eq!(alloc(&mut sys.guest(0), SELF, 2), Err(EPERM));
}
