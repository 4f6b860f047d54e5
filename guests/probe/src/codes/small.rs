//! xen_version, hvm_op, vcpu_op, sched_op, console_io, vm_assist, and hypercalls that are not for
//! guests.

use super::argument::Arg;
use super::{Codes, NOBODIES, WILD, scratch};
use crate::xen::{SELF, call_x7, call2, call3, errno, nr};

const ENOBUFS: i64 = -105;
const E2BIG: i64 = -7;
/// `-ENOSPC` in 32 bits: what Xen really answers when both watchdogs are in use.
const NO_WATCHDOG: i64 = 0xffff_ffe4;

/// Runs the checks.
pub fn run(c: &mut Codes<'_>) {
    version(c);
    hvm(c);
    vcpu(c);
    sched(c);
    console(c);
    assist(c);
    privileged(c);
    numbers(c);
}

fn version(c: &mut Codes<'_>) {
    let op = |cmd: u64, arg: u64| call2(nr::VERSION, cmd, arg);
    c.is("version", op(0, WILD), 4 << 16 | 22);
    c.is("version-command-32-bits", op(1 << 32, WILD), 4 << 16 | 22);
    for cmd in [1, 2, 3, 4, 5, 6, 8] {
        c.of("version-wild", cmd, op(cmd, WILD), errno::FAULT);
        c.of("version-null", cmd, op(cmd, 0), errno::FAULT);
    }
    c.is("features", op(6, Arg::new().word(0, 0).at()), 0);
    c.is(
        "features-1",
        op(6, Arg::new().word(0, 1).at()),
        errno::INVAL,
    );
    c.is("pagesize", op(7, 0), 4096);
    c.is("pagesize-argument", op(7, 8), errno::INVAL);
    c.is("handle", op(8, Arg::new().at()), 0);
    c.is("commandline-wild", op(9, WILD), errno::FAULT);
    // Denied in nine bytes; what follows is left alone.
    let end = scratch::address(1) - 16;
    scratch::write(end + 8, 0x5555_5555_5555_5555);
    c.is("commandline", op(9, end), 0);
    c.is(
        "commandline-end",
        scratch::read(end + 8) as i64,
        0x5555_5555_5555_5500,
    );
    for cmd in [10, 14] {
        for arg in [0, WILD] {
            c.of("version-denied", cmd, op(cmd, arg), errno::PERM);
        }
    }
    for cmd in [11, 12, 13] {
        let length = op(cmd, 0);
        c.of("variable-length", cmd, i64::from(length >= 0), 1);
        c.of("variable-wild", cmd, op(cmd, WILD), errno::FAULT);
        let short = op(
            cmd,
            Arg::new().word(0, (length as u32).saturating_sub(1)).at(),
        );
        c.of(
            "variable-short",
            cmd,
            short,
            if length > 0 { ENOBUFS } else { 0 },
        );
        let mut exact = Arg::new()
            .word(0, length as u32)
            .long(4 + length as usize, u64::MAX);
        c.of("variable-exact", cmd, op(cmd, exact.at()), length);
        c.of(
            "variable-end",
            cmd,
            exact.get_long(4 + length as usize) as i64,
            -1,
        );
    }
    for cmd in [15, 16, 99, 0xffff_ffff] {
        c.of("version-unknown", cmd, op(cmd, 0), errno::NOSYS);
    }
}

fn hvm(c: &mut Codes<'_>) {
    let param = |op: u64, dom: u16, index: u32| {
        call2(
            nr::HVM,
            op,
            Arg::new().half(0, dom).word(4, index).long(8, 9).at(),
        )
    };
    for op in [0, 1] {
        c.of("param-wild", op, call2(nr::HVM, op, WILD), errno::FAULT);
        for dom in NOBODIES {
            c.of(
                "param-nobody",
                u64::from(dom) << 8 | op,
                param(op, dom, 999),
                errno::SRCH,
            );
        }
        c.of("param-other", op, param(op, c.other, 999), errno::PERM);
    }
    for index in (0..40).chain([999, 0x8000_0000, u32::MAX]) {
        let toolstack = matches!(index, 0 | 1 | 2 | 17 | 18 | 28);
        let set = if toolstack { errno::PERM } else { errno::INVAL };
        c.of("param-set", u64::from(index), param(0, SELF, index), set);
        let get = match index {
            28 => errno::PERM,
            _ if toolstack => 0,
            _ => errno::INVAL,
        };
        c.of("param-get", u64::from(index), param(1, c.me, index), get);
    }
    let mut value = Arg::new().half(0, SELF).word(4, 0).long(8, 9);
    call2(nr::HVM, 1, value.at());
    c.is("param-value", value.get_long(8) as i64, 0);
    let mut refused = Arg::new().half(0, SELF).word(4, 5).long(8, 9);
    call2(nr::HVM, 1, refused.at());
    c.is("param-refused-keeps", refused.get_long(8) as i64, 9);
    c.is("vm-event", call2(nr::HVM, 24, 0), 0);
    c.is("vm-event-argument", call2(nr::HVM, 24, 8), errno::INVAL);
    for op in [
        2,
        3,
        5,
        9,
        11,
        13,
        15,
        16,
        23,
        25,
        1 << 32,
        1 << 32 | 1,
        u64::MAX,
    ] {
        c.of("hvm-unknown", op, call2(nr::HVM, op, WILD), errno::NOSYS);
    }
}

fn vcpu(c: &mut Codes<'_>) {
    for vcpu in [1, 7, 128, 0xffff_ffff] {
        for cmd in [0, 5, 10, 99] {
            c.of(
                "no-vcpu",
                vcpu << 8 | cmd,
                call3(nr::VCPU, cmd, vcpu, WILD),
                errno::NOENT,
            );
        }
    }
    for cmd in (0..20)
        .filter(|cmd| !matches!(cmd, 5 | 10 | 14))
        .chain([99, 0xffff_ffff])
    {
        c.of(
            "vcpu-unknown",
            cmd,
            call3(nr::VCPU, cmd, 0, WILD),
            errno::INVAL,
        );
    }
    c.is(
        "vcpu-64-bits",
        call3(nr::VCPU, 1 << 32 | 5, 1 << 32, WILD),
        errno::FAULT,
    );
    let phys = call3(nr::VCPU, 14, 0, WILD);
    c.differs("runstate-phys-wild", phys, errno::INVAL, errno::FAULT);
    c.is("vcpu-info-wild", call3(nr::VCPU, 10, 0, WILD), errno::FAULT);
    c.is(
        "runstate-area-wild",
        call3(nr::VCPU, 5, 0, WILD),
        errno::FAULT,
    );
    let info = |gfn: u64, offset: u32| {
        call3(
            nr::VCPU,
            10,
            0,
            Arg::new().long(0, gfn).word(8, offset).at(),
        )
    };
    let (ram, hole) = (scratch::frame(4), WILD >> 12);
    for (name, gfn, offset, want) in [
        ("info-offset-page", ram, 4096, errno::INVAL),
        ("info-offset-max", ram, u32::MAX, errno::INVAL),
        ("info-frame-max", u64::MAX, 0, errno::INVAL),
        ("info-frame-max-odd", u64::MAX, 4095, errno::INVAL),
        ("info-frame-wraps", 1 << 52, 0, errno::INVAL),
        ("info-across", ram, 4056, errno::NXIO),
        ("info-across-odd", ram, 4049, errno::NXIO),
        ("info-odd", ram, 4, errno::NXIO),
        ("info-odd-hole", hole, 4, errno::NXIO),
        ("info-hole", hole, 0, errno::INVAL),
        ("info-beyond", 1 << 28, 0, errno::INVAL),
        ("info", ram, 4048, 0),
        ("info-twice", ram, 4048, errno::BUSY),
        ("info-twice-odd", ram, 4, errno::BUSY),
        ("info-twice-hole", hole, 0, errno::BUSY),
        ("info-twice-offset", ram, 4096, errno::INVAL),
    ] {
        let got = info(gfn, offset);
        c.is(name, got, want);
    }
    c.is(
        "info-selector",
        scratch::read(scratch::address(4) + 4048 + 8) as i64,
        -1,
    );
    for area in [
        0,
        WILD,
        1 << 48,
        scratch::address(4) + 128,
        scratch::address(4) + 130,
    ] {
        c.of(
            "runstate-area",
            area,
            call3(nr::VCPU, 5, 0, Arg::new().long(0, area).at()),
            0,
        );
    }
}

fn sched(c: &mut Codes<'_>) {
    let op = |cmd: u64, arg: u64| call2(nr::SCHED, cmd, arg);
    c.is("yield", op(0, WILD), 0);
    c.is("yield-32-bits", op(1 << 32, WILD), 0);
    for cmd in [2, 3, 4, 5, 6] {
        c.of("sched-wild", cmd, op(cmd, WILD), errno::FAULT);
    }
    c.is("pin", op(7, WILD), errno::PERM);
    for cmd in [8, 9, 99, 0xffff_ffff] {
        c.of("sched-unknown", cmd, op(cmd, WILD), errno::NOSYS);
    }
    let remote = |dom: u16| op(4, Arg::new().half(0, dom).word(4, 1).at());
    for dom in NOBODIES {
        c.of("remote-nobody", u64::from(dom), remote(dom), errno::SRCH);
    }
    c.is("remote-self", remote(SELF), errno::SRCH);
    c.is("remote-own-id", remote(c.me), errno::PERM);
    c.is("remote-other", remote(c.other), errno::PERM);
    watchdogs(c);
}

fn watchdogs(c: &mut Codes<'_>) {
    let set =
        |id: u32, timeout: u32| call2(nr::SCHED, 6, Arg::new().word(0, id).word(4, timeout).at());
    c.is("dog-1-unused", set(1, 100), errno::INVAL);
    c.is("dog-1-stop-unused", set(1, 0), errno::INVAL);
    c.is("dog-2-unused", set(2, 100), errno::INVAL);
    c.is("dog-3", set(3, 100), errno::INVAL);
    c.is("dog-max", set(u32::MAX, 0), errno::INVAL);
    c.is("dog-first", set(0, 1000), 1);
    c.is("dog-second", set(0, u32::MAX), 2);
    c.is("dog-third", set(0, 1000), NO_WATCHDOG);
    c.is("dog-third-none", set(0, 0), NO_WATCHDOG);
    c.is("dog-again", set(1, 2000), 0);
    c.is("dog-stop", set(1, 0), 0);
    c.is("dog-stopped", set(1, 2000), errno::INVAL);
    c.is("dog-first-again", set(0, 1000), 1);
    c.is("dog-stop-1", set(1, 0), 0);
    c.is("dog-stop-2", set(2, 0), 0);
}

fn console(c: &mut Codes<'_>) {
    let op = |cmd: u64, count: u64, buffer: u64| call3(nr::CONSOLE, cmd, count, buffer);
    c.is("write-nothing", op(0, 0, WILD), 0);
    c.is("write-wild", op(0, 1, WILD), errno::FAULT);
    c.is("write-nothing-64", op(0, 1 << 32, WILD), 0);
    c.is("read-many", op(1, 0x8000_0000, WILD), E2BIG);
    c.is("read-many-64", op(1, 0xffff_ffff, 0), E2BIG);
    c.is("read-none", op(1, 0, WILD), 0);
    // Nobody types: there is nothing to put there.
    c.is("read-wild", op(1, 10, WILD), 0);
    c.is("read-most", op(1, 0x7fff_ffff, WILD), 0);
    for cmd in [2, 3, 99, 0xffff_ffff] {
        c.of("console-unknown", cmd, op(cmd, 1, WILD), errno::NOSYS);
    }
}

fn assist(c: &mut Codes<'_>) {
    for kind in (0..8).chain([31, 32, 63, 64, 0xffff_ffff]) {
        for cmd in [0, 1, 2] {
            let want = match (kind, cmd) {
                (5, 0 | 1) => 0,
                (5, _) => errno::NOSYS,
                _ => errno::INVAL,
            };
            c.of(
                "assist",
                kind << 8 | cmd,
                call2(nr::VM_ASSIST, cmd, kind),
                want,
            );
        }
    }
    c.is(
        "assist-32-bits",
        call2(nr::VM_ASSIST, 1 << 32 | 1, 1 << 32 | 5),
        0,
    );
}

fn privileged(c: &mut Codes<'_>) {
    for (number, version) in [(7, 0x0300_0001), (35, 0x16), (36, 0x18)] {
        let op = |mut arg: Arg| call2(number, arg.at(), 0);
        c.of(
            "toolstack-wild",
            number,
            call2(number, WILD, 0),
            errno::FAULT,
        );
        c.of("toolstack-zero", number, op(Arg::new()), errno::ACCES);
        for cmd in [0u32, 1, 2, 9, 99] {
            // The version is the second word; domctl's domain follows it.
            let arg = Arg::new().word(0, cmd).word(4, version).half(8, c.me);
            c.of(
                "toolstack",
                number << 8 | u64::from(cmd),
                op(arg),
                errno::PERM,
            );
        }
    }
}

fn numbers(c: &mut Codes<'_>) {
    for number in (0..64).filter(|n| {
        !matches!(
            n,
            7 | 12 | 13 | 17 | 18 | 20 | 21 | 24 | 29 | 32 | 34 | 35 | 36 | 42
        )
    }) {
        for arg in [0, WILD] {
            c.of(
                "no-hypercall",
                number,
                call2(number, arg, arg),
                errno::NOSYS,
            );
        }
    }
    for number in [64, 1000, 0xffff_ffff, 1 << 32 | 17, 1 << 63 | 17, u64::MAX] {
        c.of("no-number", number, call2(number, 0, 0), errno::NOSYS);
    }
    for cmd in [0, 1, 2, 99] {
        c.of(
            "hypfs",
            cmd,
            call_x7(42, [cmd, WILD, 9, WILD, 9], 0),
            errno::PERM,
        );
    }
}
