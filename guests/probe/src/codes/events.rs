//! event_channel_op: ports in every state, and who may do what to them.

use super::argument::Arg;
use super::{Codes, NOBODIES, WILD};
use crate::xen::{SELF, call2, errno, nr};

const EEXIST: i64 = -17;

fn op(cmd: u64, mut arg: Arg) -> i64 {
    call2(nr::EVTCHN, cmd, arg.at())
}

fn on(cmd: u64, port: u32) -> i64 {
    op(cmd, Arg::new().word(0, port))
}

fn on_vcpu(port: u32, vcpu: u32) -> i64 {
    op(8, Arg::new().word(0, port).word(4, vcpu))
}

/// Result and new port.
fn alloc(dom: u16, remote: u16) -> (i64, u32) {
    let mut arg = Arg::new().half(0, dom).half(2, remote);
    (call2(nr::EVTCHN, 6, arg.at()), arg.get_word(4))
}

fn bind(dom: u16, port: u32) -> (i64, u32) {
    let mut arg = Arg::new().half(0, dom).word(4, port).word(8, 0x55);
    (call2(nr::EVTCHN, 0, arg.at()), arg.get_word(8))
}

fn virq(number: u32, vcpu: u32) -> (i64, u32) {
    let mut arg = Arg::new().word(0, number).word(4, vcpu).word(8, 0x55);
    (call2(nr::EVTCHN, 1, arg.at()), arg.get_word(8))
}

/// Result and structure, whose out-fields were all ones.
fn status(dom: u16, port: u32) -> (i64, Arg) {
    let mut arg = Arg::new()
        .half(0, dom)
        .word(4, port)
        .long(8, u64::MAX)
        .long(16, u64::MAX);
    (call2(nr::EVTCHN, 5, arg.at()), arg)
}

/// Runs the checks.
pub fn run(c: &mut Codes<'_>) {
    op(10, Arg::new().half(0, SELF));
    refused(c);
    unbound(c);
    interdomain(c);
    virqs(c);
    ipis(c);
    free_ports(c);
    fifo(c);
    reset(c);
}

fn refused(c: &mut Codes<'_>) {
    for cmd in (0..14).filter(|cmd| *cmd != 2) {
        c.of(
            "event-wild",
            cmd,
            call2(nr::EVTCHN, cmd, WILD),
            errno::FAULT,
        );
    }
    c.is("event-pirq-wild", call2(nr::EVTCHN, 2, WILD), errno::FAULT);
    c.is("event-pirq", op(2, Arg::new()), errno::OPNOTSUPP);
    c.is(
        "event-reset-cont-wild",
        call2(nr::EVTCHN, 14, WILD),
        errno::FAULT,
    );
    for cmd in [15, 16, 99, 0xffff_ffff] {
        c.of(
            "event-unknown",
            cmd,
            call2(nr::EVTCHN, cmd, WILD),
            errno::NOSYS,
        );
    }
    c.is(
        "event-command-32-bits",
        call2(nr::EVTCHN, 1 << 32 | 9, WILD),
        errno::FAULT,
    );
    for dom in NOBODIES {
        c.of(
            "alloc-nobody",
            u64::from(dom),
            alloc(dom, SELF).0,
            errno::SRCH,
        );
        c.of("bind-nobody", u64::from(dom), bind(dom, 1).0, errno::SRCH);
        c.of(
            "status-nobody",
            u64::from(dom),
            status(dom, 9999).0,
            errno::SRCH,
        );
        c.of(
            "reset-nobody",
            u64::from(dom),
            op(10, Arg::new().half(0, dom)),
            errno::SRCH,
        );
        c.of(
            "alloc-for-nobody",
            u64::from(dom),
            alloc(SELF, dom).0,
            errno::SRCH,
        );
    }
    c.is("alloc-other", alloc(c.other, SELF).0, errno::PERM);
    c.is("alloc-for-other", alloc(SELF, c.other).0, errno::PERM);
    c.is("bind-other", bind(c.other, 0).0, errno::INVAL);
    c.is("bind-other-no-port", bind(c.other, 9999).0, errno::INVAL);
    c.is("status-other-port-0", status(c.other, 0).0, errno::PERM);
    c.is(
        "status-other-no-port",
        status(c.other, 9999).0,
        errno::INVAL,
    );
    c.is(
        "reset-other",
        op(10, Arg::new().half(0, c.other)),
        errno::PERM,
    );
}

fn unbound(c: &mut Codes<'_>) {
    let (got, port) = alloc(c.me, SELF);
    c.is("alloc", got, 0);
    let (got, state) = status(c.me, port);
    c.is("unbound-status", got, 0);
    c.is("unbound-state", i64::from(state.get_word(8)), 1);
    c.is("unbound-vcpu", i64::from(state.get_word(12)), 0);
    c.is(
        "unbound-remote",
        i64::from(state.get_half(16)),
        i64::from(c.me),
    );
    // Only what the state has is written.
    c.is("unbound-rest", i64::from(state.get_half(18)), 0xffff);
    c.is("unbound-send", on(4, port), 0);
    c.is("unbound-unmask", on(9, port), 0);
    c.is("unbound-vcpu-0", on_vcpu(port, 0), 0);
    c.is("unbound-vcpu-1", on_vcpu(port, 1), errno::NOENT);
    c.is("unbound-close", on(3, port), 0);
    c.is("unbound-close-again", on(3, port), errno::INVAL);
    let (got, state) = status(SELF, port);
    c.is("closed-status", got, 0);
    c.is("closed-state", state.get_long(8) as i64, 0);
    c.is("closed-rest", state.get_long(16) as i64, -1);
    for (name, got) in [
        ("closed-send", on(4, port)),
        ("closed-vcpu", on_vcpu(port, 0)),
    ] {
        c.is(name, got, errno::INVAL);
    }
    c.is("closed-unmask", on(9, port), 0);
    c.is("closed-bind", bind(SELF, port).0, errno::INVAL);
}

fn interdomain(c: &mut Codes<'_>) {
    let (_, far) = alloc(SELF, c.me);
    let (got, near) = bind(c.me, far);
    c.is("bind", got, 0);
    c.is("bind-port", i64::from(near), i64::from(far) + 1);
    let (_, state) = status(SELF, near);
    c.is("bound-state", i64::from(state.get_word(8)), 2);
    c.is(
        "bound-remote",
        i64::from(state.get_half(16)),
        i64::from(c.me),
    );
    c.is(
        "bound-remote-port",
        i64::from(state.get_word(20)),
        i64::from(far),
    );
    c.is("bound-rest", i64::from(state.get_half(18)), 0xffff);
    c.is("bind-bound", bind(SELF, far).0, errno::INVAL);
    c.is("bind-itself", bind(SELF, near).0, errno::INVAL);
    c.is("bound-send", on(4, near), 0);
    c.is("bound-send-back", on(4, far), 0);
    c.is("bound-vcpu", on_vcpu(near, 0), 0);
    c.is("bound-close", on(3, near), 0);
    let (_, state) = status(SELF, far);
    c.is("peer-closed-state", i64::from(state.get_word(8)), 1);
    c.is(
        "peer-closed-remote",
        i64::from(state.get_half(16)),
        i64::from(c.me),
    );
    c.is("peer-closed-send", on(4, far), 0);
    let (got, again) = bind(SELF, far);
    c.is("bind-again", got, 0);
    c.is("bind-again-port", i64::from(again), i64::from(near));
    c.is("bound-close-far", on(3, far), 0);
    c.is("close-rest", on(3, again), 0);
    // A structure that cannot be written back: what was bound stays bound.
    let (got, kept) = bind(SELF, 0);
    c.is("bind-port-0", got, errno::INVAL);
    c.is("bind-failed-writes-nothing", i64::from(kept), 0x55);
    c.is("bind-port-max", bind(SELF, u32::MAX).0, errno::INVAL);
    c.is("bind-port-sign", bind(SELF, 0x8000_0001).0, errno::INVAL);
}

fn virqs(c: &mut Codes<'_>) {
    for (number, vcpu, want) in [
        (24, 0, errno::INVAL),
        (24, 9, errno::INVAL),
        (0x8000_0000, 0, errno::INVAL),
        (u32::MAX, 0, errno::INVAL),
        (2, 1, errno::INVAL),
        (11, 1, errno::INVAL),
        (5, 1, errno::INVAL),
        (16, 1, errno::INVAL),
        (0, 1, errno::NOENT),
        (0, u32::MAX, errno::NOENT),
        (13, 1, errno::NOENT),
        (2, 0, errno::BUSY),
        (3, 0, errno::BUSY),
        (4, 0, errno::BUSY),
        (5, 0, errno::BUSY),
        (6, 0, errno::BUSY),
        (8, 0, errno::BUSY),
        (9, 0, errno::BUSY),
        (10, 0, errno::BUSY),
        (12, 0, errno::BUSY),
        (14, 0, errno::BUSY),
        (15, 0, errno::BUSY),
        (16, 0, errno::BUSY),
        (23, 0, errno::BUSY),
    ] {
        c.of(
            "virq-refused",
            u64::from(number) << 8 | u64::from(vcpu & 0xff),
            virq(number, vcpu).0,
            want,
        );
    }
    for number in [0, 1, 11, 13] {
        let (got, port) = virq(number, 0);
        c.of("virq", u64::from(number), got, 0);
        c.of("virq-twice", u64::from(number), virq(number, 0).0, EEXIST);
        let (_, state) = status(SELF, port);
        c.of(
            "virq-state",
            u64::from(number),
            i64::from(state.get_word(8)),
            4,
        );
        c.of(
            "virq-number",
            u64::from(number),
            i64::from(state.get_word(16)),
            i64::from(number),
        );
        c.of(
            "virq-rest",
            u64::from(number),
            i64::from(state.get_word(20)),
            0xffff_ffff,
        );
        c.of("virq-send", u64::from(number), on(4, port), errno::INVAL);
        c.of(
            "virq-bind",
            u64::from(number),
            bind(SELF, port).0,
            errno::INVAL,
        );
        let per_vcpu = if number == 11 { 0 } else { errno::INVAL };
        c.of("virq-vcpu", u64::from(number), on_vcpu(port, 0), per_vcpu);
        c.of("virq-close", u64::from(number), on(3, port), 0);
    }
}

fn ipis(c: &mut Codes<'_>) {
    let ipi = |vcpu: u32| {
        let mut arg = Arg::new().word(0, vcpu);
        (call2(nr::EVTCHN, 7, arg.at()), arg.get_word(4))
    };
    c.is("ipi-vcpu-1", ipi(1).0, errno::NOENT);
    c.is("ipi-vcpu-max", ipi(u32::MAX).0, errno::NOENT);
    let (got, port) = ipi(0);
    c.is("ipi", got, 0);
    let (_, state) = status(SELF, port);
    c.is("ipi-state", i64::from(state.get_word(8)), 5);
    c.is("ipi-rest", state.get_long(16) as i64, -1);
    c.is("ipi-send", on(4, port), 0);
    c.is("ipi-vcpu", on_vcpu(port, 0), errno::INVAL);
    c.is("ipi-close", on(3, port), 0);
    let both = ipi(0);
    c.is("ipi-no-vcpu-first", on_vcpu(0, 7), errno::NOENT);
    c.is("ipi-close-both", on(3, both.1), 0);
}

/// The table of ports grows by 64: a port beyond what was ever allocated does not exist yet.
fn free_ports(c: &mut Codes<'_>) {
    for (name, cmd, want) in [
        ("close", 3, errno::INVAL),
        ("send", 4, errno::INVAL),
        ("unmask", 9, 0),
    ] {
        for port in [0, 63] {
            c.of(name, u64::from(port) << 4 | cmd, on(cmd, port), want);
        }
        for port in [64, 127, 1000, 1023, 1024, 4096, 0x8000_0000, u32::MAX] {
            c.of(
                name,
                u64::from(port) << 4 | cmd,
                on(cmd, port),
                errno::INVAL,
            );
        }
    }
    for (port, want) in [
        (0, 0),
        (63, 0),
        (64, errno::INVAL),
        (1023, errno::INVAL),
        (u32::MAX, errno::INVAL),
    ] {
        c.of("free-status", u64::from(port), status(SELF, port).0, want);
    }
    let mut ports = 0;
    let mut highest = 0;
    let refused = loop {
        let (got, port) = alloc(SELF, SELF);
        if got != 0 || ports > 5000 {
            break got;
        }
        ports += 1;
        highest = port;
        if port == 64 {
            c.is("grown-status", status(SELF, 127).0, 0);
            c.is("grown-not-further", status(SELF, 128).0, errno::INVAL);
            c.is("grown-unmask", on(9, 127), 0);
        }
    };
    c.is("ports-run-out", refused, -28);
    c.is("highest-port", i64::from(highest), 1023);
    c.is("full-virq", virq(0, 0).0, -28);
    c.is("full-virq-busy", virq(2, 0).0, errno::BUSY);
    c.is("full-bind-nobody", bind(77, 1).0, errno::SRCH);
    c.is("full-bind", bind(SELF, 0).0, -28);
    c.is("full-alloc-for-other", alloc(SELF, c.other).0, -28);
    c.is(
        "full-ipi-vcpu-1",
        op(7, Arg::new().word(0, 1)),
        errno::NOENT,
    );
    for port in 1..=highest {
        on(3, port);
    }
    c.is("after-full-status", status(SELF, 1023).0, 0);
}

fn fifo(c: &mut Codes<'_>) {
    c.is(
        "priority-no-port",
        op(13, Arg::new().word(0, 1024)),
        errno::INVAL,
    );
    c.is(
        "priority-port-max",
        op(13, Arg::new().word(0, u32::MAX)),
        errno::INVAL,
    );
    c.is("priority-port-0", op(13, Arg::new()), errno::NOSYS);
    c.is("expand-array", op(12, Arg::new()), errno::OPNOTSUPP);
    let refused = |c: &mut Codes<'_>, name: &str, arg: Arg, xen: i64| {
        let got = op(11, arg);
        c.differs(name, got, xen, errno::NOSYS);
    };
    refused(c, "init-control-vcpu", Arg::new().word(12, 1), errno::NOENT);
    refused(
        c,
        "init-control-offset",
        Arg::new().word(8, 4028),
        errno::INVAL,
    );
    refused(
        c,
        "init-control-no-ram",
        Arg::new().long(0, WILD >> 12),
        errno::INVAL,
    );
}

fn reset(c: &mut Codes<'_>) {
    let (_, port) = alloc(SELF, SELF);
    c.is("reset-own-id", op(10, Arg::new().half(0, c.me)), 0);
    c.is(
        "reset-closes",
        i64::from(status(SELF, port).1.get_word(8)),
        0,
    );
    c.is("reset-empty", op(10, Arg::new().half(0, SELF)), 0);
    // The continuation of a reset that is not under way.
    c.is("reset-cont", op(14, Arg::new().half(0, SELF)), errno::BUSY);
}
