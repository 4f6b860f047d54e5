//! Return codes of event_channel_op and grant_table_op.

use crate::report::Report;
use crate::xen::{NOBODY, SELF, call_with, call2, call3, errno, nr};

/// Pointer outside any RAM.
const WILD: u64 = 0x0100_0000;
/// Beyond every port that a guest can have.
const NO_PORT: u32 = 100_000;

/// `evtchn_alloc_unbound`.
#[repr(C)]
struct AllocUnbound {
    domain: u16,
    remote: u16,
    port: u32,
}

/// `evtchn_status`.
#[repr(C)]
#[derive(Default)]
struct Status {
    domain: u16,
    port: u32,
    status: u32,
    vcpu: u32,
    more: [u32; 2],
}

/// `gnttab_query_size`.
#[repr(C)]
struct QuerySize {
    domain: u16,
    frames: u32,
    max_frames: u32,
    status: i16,
}

/// `gnttab_setup_table`.
#[repr(C)]
struct SetupTable {
    domain: u16,
    frames: u32,
    status: i16,
    list: u64,
}

/// Runs the set.
pub fn run(report: &mut Report) {
    events(report);
    grants(report);
}

/// An unbound port that the guest itself may bind; 0 where there is none.
pub fn alloc_unbound() -> u32 {
    let mut alloc = AllocUnbound {
        domain: SELF,
        remote: SELF,
        port: 0,
    };
    if call_with(nr::EVTCHN, 6, &mut alloc) == 0 {
        alloc.port
    } else {
        0
    }
}

/// Sets a port aside for domain `remote`, if the two may meet.
pub fn set_aside(remote: u16) {
    let mut alloc = AllocUnbound {
        domain: SELF,
        remote,
        port: 0,
    };
    call_with(nr::EVTCHN, 6, &mut alloc);
}

/// A port bound to port `port` of domain `remote`, which has set it aside for this guest.
pub fn bind_to(remote: u16, port: u32) -> Option<u32> {
    // remote_dom with padding, remote_port, local_port.
    let mut bind = [u32::from(remote), port, 0];
    (call_with(nr::EVTCHN, 0, &mut bind) == 0).then_some(bind[2])
}

fn events(report: &mut Report) {
    let alloc = |domain, remote| {
        call_with(
            nr::EVTCHN,
            6,
            &mut AllocUnbound {
                domain,
                remote,
                port: 0,
            },
        )
    };
    let on_port = |command: u64, port: u32| call_with(nr::EVTCHN, command, &mut [port, 0]);
    let on_port_vcpu = |port: u32, vcpu: u32| call_with(nr::EVTCHN, 8, &mut [port, vcpu]);
    let port = alloc_unbound();
    report.check(
        "abi",
        "evtchn-alloc",
        port != 0,
        format_args!("port {port}"),
    );
    report.equal(
        "abi",
        "evtchn-alloc-for-nobody",
        alloc(NOBODY, SELF),
        errno::SRCH,
    );
    let status = |domain, port| {
        let mut status = Status {
            domain,
            port,
            ..Status::default()
        };
        (call_with(nr::EVTCHN, 5, &mut status), status.status)
    };
    for (name, domain, port, want, kind) in [
        ("evtchn-status-unbound", SELF, port, 0, 1),
        ("evtchn-status-port-0", SELF, 0, 0, 0),
        ("evtchn-status-no-port", SELF, NO_PORT, errno::INVAL, 0),
        ("evtchn-status-nobody", NOBODY, port, errno::SRCH, 0),
    ] {
        let got = status(domain, port);
        report.check(
            "abi",
            name,
            got == (want, kind),
            format_args!("got {} status {} want {want} status {kind}", got.0, got.1),
        );
    }
    report.equal("abi", "evtchn-send-unbound", on_port(4, port), 0);
    report.equal("abi", "evtchn-send-port-0", on_port(4, 0), errno::INVAL);
    report.equal("abi", "evtchn-send-free", on_port(4, 1000), errno::INVAL);
    report.equal(
        "abi",
        "evtchn-send-no-port",
        on_port(4, NO_PORT),
        errno::INVAL,
    );
    report.equal(
        "abi",
        "evtchn-send-port-max",
        on_port(4, u32::MAX),
        errno::INVAL,
    );
    report.equal("abi", "evtchn-unmask", on_port(9, port), 0);
    report.equal(
        "abi",
        "evtchn-unmask-no-port",
        on_port(9, NO_PORT),
        errno::INVAL,
    );
    report.equal("abi", "evtchn-bind-vcpu", on_port_vcpu(port, 0), 0);
    report.equal(
        "abi",
        "evtchn-bind-vcpu-none",
        on_port_vcpu(port, 99),
        errno::NOENT,
    );
    report.equal(
        "abi",
        "evtchn-bind-vcpu-free",
        on_port_vcpu(1000, 0),
        errno::INVAL,
    );
    report.equal("abi", "evtchn-close", on_port(3, port), 0);
    report.equal("abi", "evtchn-close-again", on_port(3, port), errno::INVAL);
    report.equal("abi", "evtchn-close-port-0", on_port(3, 0), errno::INVAL);
    let again = alloc_unbound();
    report.check(
        "abi",
        "evtchn-port-returns",
        again == port,
        format_args!("port {again} after {port}"),
    );
    report.equal("abi", "evtchn-close-second", on_port(3, again), 0);
    let mut words = [0u64; 3];
    report.equal(
        "abi",
        "evtchn-bind-pirq",
        call_with(nr::EVTCHN, 2, &mut words),
        errno::OPNOTSUPP,
    );
    report.equal(
        "abi",
        "evtchn-init-control",
        call_with(nr::EVTCHN, 11, &mut words),
        errno::NOSYS,
    );
    report.equal(
        "abi",
        "evtchn-expand-array",
        call_with(nr::EVTCHN, 12, &mut words),
        errno::OPNOTSUPP,
    );
    report.equal(
        "abi",
        "evtchn-set-priority",
        call_with(nr::EVTCHN, 13, &mut words),
        errno::NOSYS,
    );
    report.equal(
        "abi",
        "evtchn-unknown",
        call2(nr::EVTCHN, 99, WILD),
        errno::NOSYS,
    );
}

fn grants(report: &mut Report) {
    let query = |domain| {
        let mut query = QuerySize {
            domain,
            frames: 0,
            max_frames: 0,
            status: 99,
        };
        let result = call3(nr::GRANT, 6, core::ptr::from_mut(&mut query) as u64, 1);
        (result, query)
    };
    let (result, size) = query(SELF);
    report.equal("abi", "grant-query-size", result, 0);
    let pass = size.status == 0 && size.frames >= 1 && size.max_frames >= size.frames;
    report.check(
        "abi",
        "grant-size",
        pass,
        format_args!(
            "{} of {} frames, status {}",
            size.frames, size.max_frames, size.status
        ),
    );
    report.equal(
        "abi",
        "grant-query-nobody",
        i64::from(query(NOBODY).1.status),
        -2,
    );
    let mut version = 1u32;
    let set = |version: &mut u32| call3(nr::GRANT, 8, core::ptr::from_mut(version) as u64, 1);
    report.equal("abi", "grant-set-version-1", set(&mut version), 0);
    version = 2;
    report.equal(
        "abi",
        "grant-set-version-2",
        set(&mut version),
        errno::NOSYS,
    );
    report.equal("abi", "grant-version-written-back", i64::from(version), 1);
    version = 3;
    report.equal(
        "abi",
        "grant-set-version-3",
        set(&mut version),
        errno::INVAL,
    );
    let mut got = [u32::from(SELF), 0];
    report.equal(
        "abi",
        "grant-get-version",
        call3(nr::GRANT, 10, got.as_mut_ptr() as u64, 1),
        0,
    );
    report.equal("abi", "grant-version", i64::from(got[1]), 1);
    let setup = |frames, count| {
        let mut list = [0u64; 1];
        let mut setup = SetupTable {
            domain: SELF,
            frames,
            status: 99,
            list: list.as_mut_ptr() as u64,
        };
        (
            call3(nr::GRANT, 2, core::ptr::from_mut(&mut setup) as u64, count),
            setup.status,
        )
    };
    report.equal("abi", "grant-setup", i64::from(setup(1, 1).1), 0);
    report.equal("abi", "grant-setup-two", setup(1, 2).0, errno::INVAL);
    report.equal(
        "abi",
        "grant-setup-too-many",
        i64::from(setup(size.max_frames + 1, 1).1),
        -1,
    );
    report.equal(
        "abi",
        "grant-dump",
        call3(nr::GRANT, 3, WILD, 1),
        errno::NOSYS,
    );
    report.equal(
        "abi",
        "grant-transfer",
        call3(nr::GRANT, 4, WILD, 1),
        errno::OPNOTSUPP,
    );
    report.equal(
        "abi",
        "grant-unknown",
        call3(nr::GRANT, 99, WILD, 1),
        errno::NOSYS,
    );
    report.equal(
        "abi",
        "grant-count-negative",
        call3(nr::GRANT, 6, WILD, 0x8000_0000),
        errno::INVAL,
    );
    report.equal(
        "abi",
        "grant-command-bits",
        call3(nr::GRANT, 0x1006, WILD, 1),
        errno::INVAL,
    );
}
