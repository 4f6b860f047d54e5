use hv_types::Gva;
use xen_abi::GuestHandle;
use xen_abi::number::SCHED_OP;
use xen_abi::sched::{
    BLOCK, PIN_OVERRIDE, POLL, Poll, REMOTE_SHUTDOWN, RemoteShutdown, SHUTDOWN, SHUTDOWN_CODE,
    WATCHDOG, Watchdog, YIELD,
};
use xen_abi::shared::shared_info::EVTCHN_PENDING;

use super::{BUF, DOMID, EFAULT, EINVAL, ENOSYS, EPERM, ESRCH, Guest, HOLE, RAM, SELF};
use crate::domain::shutdown::StopReason;
use crate::hypercall::outcome::Outcome;

const PORTS: u64 = RAM + 0x5000;

#[test]
fn yield_and_block() {
    let mut guest = Guest::new();
    assert_eq!(guest.call(SCHED_OP, &[YIELD, HOLE]), Outcome::Yield);
    guest.host.pstate = 0x3c5;
    assert_eq!(guest.call(SCHED_OP, &[BLOCK, HOLE]), Outcome::Block);
    assert_eq!(
        guest.host.pstate, 0x345,
        "interrupts are on, nothing else changed"
    );
    assert!(!guest.poll_is_over());
}

#[test]
fn shutdown_by_reason() {
    for (reason, expected) in [
        (0, StopReason::PowerOff),
        (1, StopReason::Reboot),
        (2, StopReason::Suspend),
        (3, StopReason::Crash),
        (4, StopReason::Watchdog),
        (5, StopReason::SoftReset),
        (6, StopReason::Crash),
        (0x1_00, StopReason::PowerOff),
    ] {
        let mut guest = Guest::new();
        guest.put::<u32>(BUF, &reason);
        assert_eq!(
            guest.call(SCHED_OP, &[SHUTDOWN, BUF]),
            Outcome::Stop(expected),
            "{reason}"
        );
    }
    let mut guest = Guest::new();
    assert_eq!(guest.result(SCHED_OP, &[SHUTDOWN, HOLE]), EFAULT);
}

#[test]
fn the_first_shutdown_code_stays() {
    let mut guest = Guest::new();
    assert_eq!(guest.result(SCHED_OP, &[SHUTDOWN_CODE, HOLE]), EFAULT);
    guest.put::<u32>(BUF, &3);
    assert_eq!(guest.result(SCHED_OP, &[SHUTDOWN_CODE, BUF]), 0);
    guest.put::<u32>(BUF, &1);
    assert_eq!(guest.result(SCHED_OP, &[SHUTDOWN_CODE, BUF]), 0);
    assert_eq!(
        guest.call(SCHED_OP, &[SHUTDOWN, BUF]),
        Outcome::Stop(StopReason::Crash)
    );
    assert_eq!(
        guest.vm.domain.shutdown.shutdown(0),
        StopReason::Crash,
        "PSCI's way too"
    );
}

fn watchdog(guest: &mut Guest, id: u32, timeout: u32) -> Outcome {
    guest.put(BUF, &Watchdog { id, timeout });
    guest.call(SCHED_OP, &[WATCHDOG, BUF])
}

#[test]
fn an_expired_watchdog_stops_the_guest() {
    let mut guest = Guest::new();
    let hertz = guest.host.frequency;
    assert_eq!(guest.result(SCHED_OP, &[WATCHDOG, HOLE]), EFAULT);
    assert_eq!(watchdog(&mut guest, 1, 5), Outcome::Return(EINVAL));
    assert_eq!(watchdog(&mut guest, 0, 5), Outcome::Return(1));
    assert_eq!(watchdog(&mut guest, 0, 9), Outcome::Return(2));
    assert_eq!(watchdog(&mut guest, 0, 1), Outcome::Return(0xffff_ffe4));
    assert_eq!(watchdog(&mut guest, 3, 1), Outcome::Return(EINVAL));
    assert_eq!(guest.next_deadline(), Some(5 * hertz));
    assert_eq!(guest.host.wake, Some(5 * hertz), "although the guest runs");
    guest.host.now = 4 * hertz;
    assert_eq!(guest.vm.domain.on_time(guest.host.now), None);
    assert_eq!(watchdog(&mut guest, 1, 5), Outcome::Return(0), "kicked");
    assert_eq!(watchdog(&mut guest, 2, 0), Outcome::Return(0), "disarmed");
    assert_eq!(watchdog(&mut guest, 2, 5), Outcome::Return(EINVAL));
    assert_eq!(guest.next_deadline(), Some(9 * hertz));
    assert_eq!(guest.vm.domain.on_time(9 * hertz - 1), None);
    assert_eq!(
        guest.vm.domain.on_time(9 * hertz),
        Some(StopReason::Watchdog)
    );
}

#[test]
fn a_watchdog_of_no_time_bites_at_once() {
    let mut guest = Guest::new();
    assert_eq!(
        watchdog(&mut guest, 0, 0),
        Outcome::Stop(StopReason::Watchdog)
    );
}

fn poll(guest: &mut Guest, ports: &[u32], timeout: u64) -> Outcome {
    for (at, port) in (PORTS..).step_by(4).zip(ports) {
        guest.put(at, port);
    }
    let arg = Poll {
        ports: GuestHandle::new(Gva::new(PORTS)),
        nr_ports: u32::try_from(ports.len()).unwrap(),
        pad: 0,
        timeout,
    };
    guest.put(BUF, &arg);
    guest.call(SCHED_OP, &[POLL, BUF])
}

#[test]
fn poll_waits_for_a_port_even_if_it_is_masked() {
    let mut guest = Guest::new();
    let port = guest.console_port();
    assert_eq!(poll(&mut guest, &[port], 0), Outcome::Block);
    assert!(!guest.poll_is_over());
    assert_eq!(guest.next_deadline(), None);
    guest.set_shared_bit(EVTCHN_PENDING, port);
    assert!(guest.poll_is_over());
    guest.vm.vcpus[0].poll = None;
    assert!(!guest.poll_is_over(), "only while it waits");
    assert_eq!(
        poll(&mut guest, &[port], 0),
        Outcome::Return(0),
        "pending already"
    );
}

#[test]
fn poll_ends_with_its_timeout() {
    let mut guest = Guest::new();
    let port = guest.console_port();
    let hertz = guest.host.frequency;
    guest.host.now = 2 * hertz;
    assert_eq!(
        poll(&mut guest, &[port], 2_000_000_000),
        Outcome::Return(0),
        "now"
    );
    assert_eq!(poll(&mut guest, &[port], 1), Outcome::Return(0), "past");
    assert_eq!(
        poll(&mut guest, &[], 3_000_000_000),
        Outcome::Block,
        "a sleep"
    );
    assert_eq!(guest.next_deadline(), Some(3 * hertz));
    guest.host.now = 3 * hertz - 1;
    assert!(!guest.poll_is_over());
    assert_eq!(
        guest.vm.domain.on_time(3 * hertz),
        None,
        "a poll is no watchdog"
    );
    guest.host.now = 3 * hertz;
    assert!(guest.poll_is_over());
    guest.vm.vcpus[0].poll = None;
    assert_eq!(guest.next_deadline(), None);
    assert_eq!(
        poll(&mut guest, &[port], u64::MAX),
        Outcome::Block,
        "far away"
    );
}

#[test]
fn poll_refuses_bad_lists() {
    let mut guest = Guest::new();
    let port = guest.console_port();
    assert_eq!(
        poll(&mut guest, &vec![port; 129], 0),
        Outcome::Return(EINVAL)
    );
    assert_eq!(poll(&mut guest, &vec![port; 128], 0), Outcome::Block);
    for bad in [0, 1024, 4095, 4096, u32::MAX] {
        assert_eq!(
            poll(&mut guest, &[port, bad], 0),
            Outcome::Return(EINVAL),
            "{bad}"
        );
    }
    assert_eq!(guest.result(SCHED_OP, &[POLL, HOLE]), EFAULT);
    for ports in [HOLE, u64::MAX - 1] {
        let ports = GuestHandle::new(Gva::new(ports));
        guest.put(
            BUF,
            &Poll {
                ports,
                nr_ports: 1,
                pad: 0,
                timeout: 0,
            },
        );
        assert_eq!(guest.result(SCHED_OP, &[POLL, BUF]), EFAULT);
    }
}

#[test]
fn no_guest_shuts_down_by_domain_id() {
    let mut guest = Guest::new();
    for (domain_id, expected) in [
        (DOMID, EPERM),
        (DOMID - 1, EPERM),
        (DOMID + 1, ESRCH),
        (0, ESRCH),
        (SELF, ESRCH),
    ] {
        guest.put(
            BUF,
            &RemoteShutdown {
                domain_id,
                pad: 0,
                reason: 0,
            },
        );
        assert_eq!(
            guest.result(SCHED_OP, &[REMOTE_SHUTDOWN, BUF]),
            expected,
            "{domain_id:#x}"
        );
    }
    assert_eq!(guest.result(SCHED_OP, &[REMOTE_SHUTDOWN, HOLE]), EFAULT);
    assert_eq!(guest.result(SCHED_OP, &[PIN_OVERRIDE, BUF]), EPERM);
    for cmd in [8, 100, 0xffff_ffff] {
        assert_eq!(guest.result(SCHED_OP, &[cmd, BUF]), ENOSYS);
    }
}
