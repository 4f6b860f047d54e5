//! Event channels and `vcpu_op` of each vCPU.

use super::second::{self, Ask, VCPUS};
use super::{SET, let_wait, off, on, takers};
use crate::abi_memory;
use crate::page::{self, Use};
use crate::report::Report;
use crate::xen::{self, SELF, call_with, call3, errno, nr};

/// Operations.
mod op {
    pub const BIND_INTERDOMAIN: u64 = 0;
    pub const BIND_VIRQ: u64 = 1;
    pub const CLOSE: u64 = 3;
    pub const SEND: u64 = 4;
    pub const ALLOC_UNBOUND: u64 = 6;
    pub const BIND_IPI: u64 = 7;
    pub const BIND_VCPU: u64 = 8;
    pub const UNMASK: u64 = 9;
}
const REGISTER_RUNSTATE: u64 = 5;
const REGISTER_INFO: u64 = 10;
const REGISTER_RUNSTATE_PHYS: u64 = 14;
/// The interrupt that says that there is an event.
const UPCALL: u64 = 31;
/// `VIRQ_TIMER` is each vCPU's own, `VIRQ_DOM_EXC` the domain's (and not for guests).
const VIRQ_TIMER: u32 = 0;
/// Of `shared_info`: words of pending and masked ports.
const PENDING: u64 = 48;
const MASK: u64 = 560;

/// Where `vcpu_info` of vCPU `n` is in the page for them.
const fn info(n: u64) -> u64 {
    64 * n
}

/// Runs the checks; every vCPU is on and listens.
pub fn run(report: &mut Report) {
    codes(report);
    report.equal(SET, "shared_info", abi_memory::map_shared_info(), 0);
    let mut alloc = [u32::from(SELF) | u32::from(SELF) << 16, 0];
    report.equal(
        SET,
        "alloc",
        call_with(nr::EVTCHN, op::ALLOC_UNBOUND, &mut alloc),
        0,
    );
    let mut bind = [u32::from(SELF), alloc[1], 0];
    report.equal(
        SET,
        "bind",
        call_with(nr::EVTCHN, op::BIND_INTERDOMAIN, &mut bind),
        0,
    );
    let (port, peer) = (alloc[1], bind[2]);
    loopback(report, port, peer);
    sleepers(report, port, peer);
    pollers(report, port, peer);
    while_off(report, port, peer);
    own_ports(report);
}

/// `vcpu_op(cmd)` for vCPU `n` with `vcpu_info` or a runstate area at its place.
fn vcpu_op(cmd: u64, n: u64) -> i64 {
    let mut place = match cmd {
        REGISTER_INFO => [page::frame(Use::Vcpu), info(n)],
        _ => [page::address(Use::Vcpu) + 2048 + info(n), 0],
    };
    call3(nr::VCPU, cmd, n, core::ptr::from_mut(&mut place) as u64)
}

fn codes(report: &mut Report) {
    let last = VCPUS as u64;
    for nobody in [last, 8, 0xff, u64::from(u32::MAX)] {
        report.equal(
            SET,
            "info_of_nobody",
            vcpu_op(REGISTER_INFO, nobody),
            errno::NOENT,
        );
        report.equal(
            SET,
            "runstate_of_nobody",
            vcpu_op(REGISTER_RUNSTATE, nobody),
            errno::NOENT,
        );
    }
    for n in 0..=last {
        for cmd in 0..16 {
            if ![REGISTER_INFO, REGISTER_RUNSTATE, REGISTER_RUNSTATE_PHYS].contains(&cmd) {
                let want = if n < last { errno::INVAL } else { errno::NOENT };
                report.equal(SET, "vcpu_op_refused", vcpu_op(cmd, n), want);
            }
        }
    }
    for n in 0..last {
        // Over the page's end, beyond it, and not aligned.
        for (offset, want) in [
            (4096 - 32, errno::NXIO),
            (4097, errno::INVAL),
            (2, errno::NXIO),
        ] {
            let mut place = [page::frame(Use::Vcpu), offset];
            let got = call3(
                nr::VCPU,
                REGISTER_INFO,
                n,
                core::ptr::from_mut(&mut place) as u64,
            );
            report.equal(SET, "info_at_nowhere", got, want);
        }
        // Some by the boot CPU, some by themselves.
        let got = if n % 2 == 0 {
            vcpu_op(REGISTER_INFO, n)
        } else {
            let mut place = [page::frame(Use::Vcpu), info(n)];
            second::get(
                n as usize,
                Ask::Register,
                core::ptr::from_mut(&mut place) as u64,
            ) as i64
        };
        report.equal(SET, "info", got, 0);
        report.equal(SET, "info_again", vcpu_op(REGISTER_INFO, n), errno::BUSY);
        for _ in 0..2 {
            report.equal(SET, "runstate", vcpu_op(REGISTER_RUNSTATE, n), 0);
        }
        // It is the caller's own that says running; the others have their number only.
        let state = page::read(Use::Vcpu, 2048 + info(n)) & 0xffff_ffff;
        if n == 0 {
            report.equal(SET, "runstate_running", state as i64, 0);
        }
    }
    // Registering brings an upcall to each.
    report.equal(SET, "upcalls", takers(UPCALL), (1 << last) - 1);
}

/// Nothing is pending for anybody.
fn clear() {
    for n in 0..VCPUS as u64 {
        page::write(Use::Vcpu, info(n), 0);
        page::write(Use::Vcpu, info(n) + 8, 0);
    }
    page::write(Use::SharedInfo, PENDING, 0);
    takers(UPCALL);
}

fn send(port: u32) -> i64 {
    call_with(nr::EVTCHN, op::SEND, &mut { port })
}

fn bind_vcpu(port: u32, n: u32) -> i64 {
    call_with(nr::EVTCHN, op::BIND_VCPU, &mut [port, n])
}

/// `bind_vcpu` of a loopback to each in turn, and each sends.
fn loopback(report: &mut Report, port: u32, peer: u32) {
    for n in (0..VCPUS).rev() {
        report.equal(SET, "bind_vcpu", bind_vcpu(port, n as u32), 0);
        for sender in 0..VCPUS {
            clear();
            let sent = match sender {
                0 => send(peer),
                _ => second::get(sender, Ask::Event, peer.into()) as i64,
            };
            report.equal(SET, "send", sent, 0);
            report.equal(SET, "event", takers(UPCALL), 1 << n);
            let flags = (0..VCPUS as u64).fold(0, |all, n| {
                all | i64::from(page::read_byte(Use::Vcpu, info(n))) << n
            });
            report.equal(SET, "event_flag", flags, 1 << n);
            let selector = page::read(Use::Vcpu, info(n as u64) + 8);
            report.equal(SET, "event_selector", selector as i64, 1);
        }
    }
    // Pending behind the mask; taken off it goes to whoever has the port then.
    clear();
    page::write(Use::SharedInfo, MASK, 1 << port);
    report.equal(SET, "send_masked", send(peer), 0);
    report.equal(SET, "event_masked", takers(UPCALL), 0);
    report.equal(SET, "bind_masked", bind_vcpu(port, 2), 0);
    let unmask = call_with(nr::EVTCHN, op::UNMASK, &mut { port });
    report.equal(SET, "unmask", unmask, 0);
    report.equal(SET, "event_unmasked", takers(UPCALL), 0b100);
    for nobody in [VCPUS as u32, 8, u32::MAX] {
        report.equal(SET, "bind_to_nobody", bind_vcpu(port, nobody), errno::NOENT);
    }
    report.equal(SET, "bind_no_port", bind_vcpu(1000, 1), errno::INVAL);
}

/// An event wakes the vCPU that has the port.
fn sleepers(report: &mut Report, port: u32, peer: u32) {
    for n in 1..VCPUS {
        clear();
        bind_vcpu(port, n as u32);
        second::ask(n, Ask::Sleep, 0);
        let_wait();
        report.equal(SET, "waits_for_event", second::is_done(n).into(), 0);
        send(peer);
        report.equal(
            SET,
            "woken_by_event",
            second::result(n) as i64,
            UPCALL as i64,
        );
    }
}

/// `sched_op(poll)` of another vCPU ends when the port becomes pending, whoever has it.
fn pollers(report: &mut Report, port: u32, peer: u32) {
    for n in 1..VCPUS {
        clear();
        page::write(Use::SharedInfo, MASK, 1 << port);
        bind_vcpu(port, n as u32);
        second::ask(n, Ask::Poll, port.into());
        let_wait();
        report.equal(SET, "polls", second::is_done(n).into(), 0);
        send(peer);
        report.equal(SET, "polled", second::result(n) as i64, 0);
        page::write(Use::SharedInfo, MASK, 0);
    }
}

/// An event for a vCPU that is off waits in its `vcpu_info`.
fn while_off(report: &mut Report, port: u32, peer: u32) {
    clear();
    bind_vcpu(port, 3);
    off(3);
    report.equal(SET, "send_to_off", send(peer), 0);
    report.equal(
        SET,
        "flag_of_off",
        page::read_byte(Use::Vcpu, info(3)).into(),
        1,
    );
    on(report, 3);
    // Xen forgets the interrupt, and tells with the next event.
    let want = if xen::is_zazen() { 0b1000 } else { 0 };
    report.equal(SET, "event_of_off", takers(UPCALL), want);
    clear();
}

/// Ports that belong to one vCPU: they cannot be moved.
fn own_ports(report: &mut Report) {
    for n in 0..VCPUS as u32 {
        clear();
        let mut ipi = [n, 0];
        report.equal(
            SET,
            "bind_ipi",
            call_with(nr::EVTCHN, op::BIND_IPI, &mut ipi),
            0,
        );
        report.equal(SET, "ipi", send(ipi[1]), 0);
        report.equal(SET, "ipi_event", takers(UPCALL), 1 << n);
        report.equal(SET, "ipi_moved", bind_vcpu(ipi[1], 0), errno::INVAL);
        let mut virq = [VIRQ_TIMER, n, 0];
        let mut bind = || call_with(nr::EVTCHN, op::BIND_VIRQ, &mut virq);
        report.equal(SET, "bind_virq", bind(), 0);
        report.equal(SET, "bind_virq_again", bind(), -17);
        report.equal(SET, "virq_moved", bind_vcpu(virq[2], 0), errno::INVAL);
        for port in [ipi[1], virq[2]] {
            report.equal(
                SET,
                "close",
                call_with(nr::EVTCHN, op::CLOSE, &mut { port }),
                0,
            );
        }
    }
    for n in [VCPUS as u32, u32::MAX] {
        let ipi = call_with(nr::EVTCHN, op::BIND_IPI, &mut [n, 0]);
        report.equal(SET, "ipi_of_nobody", ipi, errno::NOENT);
        let virq = call_with(nr::EVTCHN, op::BIND_VIRQ, &mut [VIRQ_TIMER, n, 0]);
        report.equal(SET, "virq_of_nobody", virq, errno::NOENT);
    }
}
