//! grant_table_op without mapping: sizes, versions, copies, arguments.

use super::argument::Arg;
use super::{Codes, NOBODIES, WILD, physmap, scratch};
use crate::xen::{SELF, call_x7, call3, errno, nr};

/// Where this set has the first frame of its table.
pub const TABLE: u64 = 0x3_5000_0000;

fn op(cmd: u64, mut arg: Arg, count: u64) -> i64 {
    call3(nr::GRANT, cmd, arg.at(), count)
}

/// Result and status of an operation on one element whose status is at `offset`.
fn status(cmd: u64, mut arg: Arg, offset: usize) -> (i64, i64) {
    arg = arg.half(offset, 99);
    let got = call3(nr::GRANT, cmd, arg.at(), 1);
    (got, arg.get_status(offset))
}

/// Publishes grant `gref`: version 1 entry.
pub fn publish(gref: u64, flags: u16, dom: u16, frame: u64) {
    let entry = u64::from(flags) | u64::from(dom) << 16 | frame << 32;
    scratch::write(TABLE + 8 * gref, entry);
}

/// The flags of grant `gref`.
pub fn flags(gref: u64) -> i64 {
    (scratch::read(TABLE + 8 * gref) & 0xffff) as i64
}

/// Runs the checks.
pub fn run(c: &mut Codes<'_>) {
    refused(c);
    sizes(c);
    versions(c);
    c.is("table", physmap::add(SELF, 1, 0, TABLE >> 12), 0);
    copies(c);
    granted_copies(c);
    swaps(c);
    flushes(c);
}

fn refused(c: &mut Codes<'_>) {
    for (cmd, count) in [
        (0, 1),
        (1, 1),
        (2, 1),
        (5, 1),
        (6, 1),
        (7, 1),
        (8, 1),
        (9, 1),
        (10, 1),
        (11, 1),
        (12, 1),
        (8, 0),
        (10, 0),
        (8, 77),
    ] {
        c.of(
            "grant-wild",
            cmd << 8 | count,
            call3(nr::GRANT, cmd, WILD, count),
            errno::FAULT,
        );
    }
    for cmd in [0, 1, 5, 7, 11, 12] {
        c.of("grant-nothing", cmd, call3(nr::GRANT, cmd, WILD, 0), 0);
    }
    for cmd in [2, 6, 9] {
        for count in [0, 2, 0x7fff_ffff] {
            c.of(
                "grant-count",
                cmd << 8 | count & 0xff,
                call3(nr::GRANT, cmd, WILD, count),
                errno::INVAL,
            );
        }
    }
    for cmd in [0, 3, 6, 12, 99] {
        c.of(
            "grant-count-sign",
            cmd,
            call3(nr::GRANT, cmd, WILD, 0x8000_0000),
            errno::INVAL,
        );
    }
    for cmd in [0x1000, 0x1006, 0x8000_0006, 0x1063] {
        c.of(
            "grant-bits",
            cmd,
            call3(nr::GRANT, cmd, WILD, 1),
            errno::INVAL,
        );
    }
    c.is(
        "grant-count-64",
        call_x7(nr::GRANT, [1 << 32 | 6, WILD, 1 << 32 | 1, 0, 0], 0),
        errno::FAULT,
    );
    c.is("grant-dump", call3(nr::GRANT, 3, WILD, 1), errno::NOSYS);
    c.is(
        "grant-transfer",
        call3(nr::GRANT, 4, WILD, 1),
        errno::OPNOTSUPP,
    );
    for cmd in [13, 14, 99, 0xfff] {
        c.of(
            "grant-unknown",
            cmd,
            call3(nr::GRANT, cmd, WILD, 1),
            errno::NOSYS,
        );
    }
}

fn sizes(c: &mut Codes<'_>) {
    let query = |dom: u16| {
        let mut arg = Arg::new().half(0, dom).long(4, u64::MAX).half(12, 99);
        let got = call3(nr::GRANT, 6, arg.at(), 1);
        (got, arg)
    };
    for dom in NOBODIES {
        let (got, arg) = query(dom);
        c.of("query-nobody", u64::from(dom), got, 0);
        c.of(
            "query-nobody-status",
            u64::from(dom),
            arg.get_status(12),
            -2,
        );
        c.of(
            "query-nobody-keeps",
            u64::from(dom),
            arg.get_long(4) as i64,
            -1,
        );
        c.of(
            "setup-nobody",
            u64::from(dom),
            status(2, Arg::new().half(0, dom).word(4, 999), 8).1,
            -2,
        );
        c.of(
            "status-frames-nobody",
            u64::from(dom),
            status(9, Arg::new().half(4, dom).word(0, 9), 6).1,
            -2,
        );
        c.of(
            "get-version-nobody",
            u64::from(dom),
            op(10, Arg::new().half(0, dom), 1),
            errno::SRCH,
        );
    }
    c.is("query-other", query(c.other).1.get_status(12), -8);
    c.is(
        "setup-other",
        status(2, Arg::new().half(0, c.other), 8).1,
        -8,
    );
    c.is(
        "status-frames-other",
        status(9, Arg::new().half(4, c.other), 6).1,
        -8,
    );
    c.is(
        "get-version-other",
        op(10, Arg::new().half(0, c.other), 1),
        errno::PERM,
    );
    c.is("query-own-id", i64::from(query(c.me).1.get_word(8)), 64);
    c.is(
        "setup-none",
        status(2, Arg::new().half(0, SELF).long(16, WILD), 8).1,
        0,
    );
    c.is(
        "setup-65",
        status(2, Arg::new().half(0, SELF).word(4, 65).long(16, WILD), 8).1,
        -1,
    );
    c.is(
        "setup-max",
        status(2, Arg::new().half(0, SELF).word(4, u32::MAX), 8).1,
        -1,
    );
    c.is(
        "setup-list",
        status(2, Arg::new().half(0, SELF).word(4, 1).long(16, WILD), 8).1,
        -5,
    );
    let mut list = [0u64; 3];
    c.is(
        "setup-two",
        status(
            2,
            Arg::new()
                .half(0, c.me)
                .word(4, 2)
                .long(16, list.as_mut_ptr() as u64),
            8,
        )
        .1,
        0,
    );
    let list = core::hint::black_box(&mut list);
    for (n, want) in [-1, -1, 0].into_iter().enumerate() {
        c.of(
            "setup-frame",
            n as u64,
            list.get(n).map_or(1, |f| *f as i64),
            want,
        );
    }
    c.is(
        "status-frames-none",
        status(9, Arg::new().half(4, SELF).long(8, WILD), 6).1,
        0,
    );
    c.is(
        "status-frames",
        status(9, Arg::new().half(4, SELF).word(0, 1).long(8, WILD), 6).1,
        -1,
    );
}

fn versions(c: &mut Codes<'_>) {
    for (version, want) in [
        (0, errno::INVAL),
        (1, 0),
        (2, errno::NOSYS),
        (3, errno::INVAL),
        (u32::MAX, errno::INVAL),
    ] {
        let mut arg = Arg::new().word(0, version);
        c.of(
            "set-version",
            u64::from(version),
            call3(nr::GRANT, 8, arg.at(), 1),
            want,
        );
        c.of(
            "version-back",
            u64::from(version),
            i64::from(arg.get_word(0)),
            1,
        );
    }
    let mut arg = Arg::new().half(0, c.me).word(4, 9);
    c.is("get-version", call3(nr::GRANT, 10, arg.at(), 0), 0);
    c.is("version", i64::from(arg.get_word(4)), 1);
}

/// `gnttab_copy`: source @0 (frame or ref @0, domid @8, offset @10), dest @16, len @32, flags @34,
/// status @36.
fn copy(from: (u64, u16, u16), to: (u64, u16, u16), len: u16, flags: u16) -> Arg {
    Arg::new()
        .long(0, from.0)
        .half(8, from.1)
        .half(10, from.2)
        .long(16, to.0)
        .half(24, to.1)
        .half(26, to.2)
        .half(32, len)
        .half(34, flags)
}

fn copies(c: &mut Codes<'_>) {
    let (a, b, hole) = (scratch::frame(10), scratch::frame(11), WILD >> 12);
    let run = |from, to, len, flags| status(5, copy(from, to, len, flags), 36).1;
    scratch::write(scratch::address(10), 0x1122_3344);
    c.is("copy", run((a, SELF, 0), (b, SELF, 8), 8, 0), 0);
    c.is(
        "copied",
        scratch::read(scratch::address(11) + 8) as i64,
        0x1122_3344,
    );
    c.is(
        "copy-nothing",
        run((hole, 77, 9999), (hole, 77, 9999), 0, 3),
        0,
    );
    c.is("copy-by-own-id", run((a, c.me, 0), (b, SELF, 0), 8, 0), -8);
    c.is("copy-to-own-id", run((a, SELF, 0), (b, c.me, 0), 8, 0), -8);
    c.is("copy-by-nobody", run((a, 77, 0), (b, 77, 0), 8, 0), -8);
    c.is(
        "copy-ref-of-nobody",
        run((a, 77, 0), (b, SELF, 0), 8, 1),
        -2,
    );
    c.is(
        "copy-to-ref-of-nobody",
        run((a, SELF, 0), (b, 77, 0), 8, 2),
        -2,
    );
    c.is("copy-both-nobody", run((1, 77, 0), (2, 78, 0), 8, 3), -2);
    c.is(
        "copy-permission-first",
        run((1, c.me, 0), (2, 77, 0), 8, 2),
        -8,
    );
    c.is(
        "copy-ref-of-other",
        run((9, c.other, 0), (b, SELF, 0), 8, 1),
        -8,
    );
    c.is(
        "copy-to-ref-of-other",
        run((a, SELF, 0), (9, c.other, 0), 8, 2),
        -8,
    );
    c.is(
        "copy-from-hole",
        run((hole, SELF, 4000), (b, SELF, 0), 200, 0),
        -9,
    );
    c.is(
        "copy-to-hole",
        run((a, SELF, 4000), (hole, SELF, 0), 200, 0),
        -9,
    );
    c.is(
        "copy-from-beyond",
        run((1 << 52, SELF, 0), (b, SELF, 0), 8, 0),
        -9,
    );
    c.is(
        "copy-past-page",
        run((a, SELF, 4000), (b, SELF, 0), 200, 0),
        -10,
    );
    c.is(
        "copy-past-page-dest",
        run((a, SELF, 0), (b, SELF, 4095), 2, 0),
        -10,
    );
    c.is("copy-offset", run((a, SELF, 5000), (b, SELF, 0), 1, 0), -10);
    c.is("copy-all", run((a, SELF, 0), (b, SELF, 0), 4096, 0), 0);
    c.is("copy-more", run((a, SELF, 0), (b, SELF, 0), 4097, 0), -10);
    c.is("copy-to-itself", run((a, SELF, 0), (a, SELF, 0), 64, 0), 0);
    c.is(
        "copy-from-table",
        run((TABLE >> 12, SELF, 0), (b, SELF, 0), 64, 0),
        0,
    );
    c.is(
        "copy-to-table",
        run((b, SELF, 0), (TABLE >> 12, SELF, 512), 64, 0),
        0,
    );
    c.is("copy-flags", run((a, SELF, 0), (b, SELF, 0), 8, 0xfffc), 0);
}

fn granted_copies(c: &mut Codes<'_>) {
    let (a, b, hole) = (scratch::frame(10), scratch::frame(11), WILD >> 12);
    let me = c.me;
    let run = |from, to, flags| status(5, copy(from, to, 8, flags), 36).1;
    publish(20, 1, me, a);
    publish(21, 1, me, b);
    publish(22, 1 | 4, me, a);
    publish(23, 0, me, a);
    publish(24, 1, 77, a);
    publish(25, 1, me, hole);
    publish(26, 2, me, a);
    publish(27, 3, me, a);
    publish(28, 1 | 1 << 8, me, a);
    publish(29, 1, SELF, a);
    scratch::write(scratch::address(10), 0x77);
    c.is("ref-to-ref", run((20, me, 0), (21, SELF, 16), 3), 0);
    c.is(
        "ref-copied",
        scratch::read(scratch::address(11) + 16) as i64,
        0x77,
    );
    c.is("ref-flags-after", flags(20) << 16 | flags(21), 0x1_0001);
    c.is("ref-to-frame", run((20, me, 0), (b, SELF, 0), 1), 0);
    c.is("frame-to-ref", run((a, SELF, 0), (21, me, 0), 2), 0);
    c.is("readonly-source", run((22, me, 0), (b, SELF, 0), 1), 0);
    c.is("readonly-dest", run((a, SELF, 0), (22, me, 0), 2), -1);
    for (gref, want) in [
        (23, -1),
        (24, -1),
        (25, -9),
        (26, -1),
        (27, -1),
        (28, 0),
        (29, -1),
        (2047, -1),
        (2048, -3),
        (u64::from(u32::MAX), -3),
    ] {
        c.of(
            "source-ref",
            gref,
            run((gref, me, 0), (b, SELF, 0), 1),
            want,
        );
        c.of("dest-ref", gref, run((a, SELF, 0), (gref, me, 0), 2), want);
    }
    c.is(
        "ref-64-bits",
        run((1 << 32 | 20, me, 0), (b, SELF, 0), 1),
        0,
    );
    c.is("both-bad", run((2048, me, 0), (25, me, 0), 3), -3);
    c.is("dest-bad-flags-after", run((20, me, 0), (25, me, 0), 3), -9);
    c.is("flags-after-failure", flags(20) << 16 | flags(25), 0x1_0001);
    // Marks that the guest has set itself go when a use ends that would have set them.
    let (both, hole_frame) = (1 | 8 | 16, hole);
    for (gref, entry, frame, writes, want, after) in [
        (30, both, a, false, 0, 0x11),
        (30, both, a, true, 0, 1),
        (30, both | 4, a, true, -1, 0x1d),
        (30, both & !1, a, false, -1, 0x18),
        (30, both, hole_frame, false, -9, 0x11),
        (30, both, hole_frame, true, -9, 1),
    ] {
        publish(gref, entry, me, frame);
        let got = if writes {
            run((b, SELF, 0), (gref, me, 0), 2)
        } else {
            run((gref, me, 0), (b, SELF, 0), 1)
        };
        let case = u64::from(entry) << 4 | u64::from(writes);
        c.of("own-marks", case, got, want);
        c.of("own-marks-after", case, flags(gref), after);
    }
    c.is("ref-past-page", run((20, me, 4090), (21, me, 0), 3), -10);
    c.is("past-page-of-bad", run((23, me, 4090), (21, me, 0), 3), -1);
    // Three elements: each has its own status.
    let mut list = [copy((20, me, 0), (b, SELF, 0), 8, 1); 3];
    let mut packed = [0u64; 15];
    list[1] = copy((23, me, 0), (b, SELF, 0), 8, 1);
    for (n, element) in list.iter().enumerate() {
        for word in 0..5 {
            packed[5 * n + word] = element.get_long(8 * word);
        }
    }
    c.is(
        "copy-three",
        call3(nr::GRANT, 5, packed.as_mut_ptr() as u64, 3),
        0,
    );
    let packed = core::hint::black_box(&mut packed);
    for (n, want) in [0, -1, 0].into_iter().enumerate() {
        c.of(
            "copy-three-status",
            n as u64,
            i64::from((packed[5 * n + 4] >> 32) as i16),
            want,
        );
    }
}

fn swaps(c: &mut Codes<'_>) {
    let swap = |a: u32, b: u32| status(11, Arg::new().word(0, a).word(4, b), 8).1;
    publish(30, 1, 5, 0x111);
    publish(31, 1, 6, 0x222);
    c.is("swap", swap(30, 31), 0);
    c.is(
        "swapped",
        scratch::read(TABLE + 8 * 30) as i64,
        0x222_0006_0001,
    );
    c.is("swap-same", swap(30, 30), 0);
    c.is("swap-bad-a", swap(2048, 30), -3);
    c.is("swap-bad-b", swap(30, 2048), -3);
    c.is("swap-bad-same", swap(u32::MAX, u32::MAX), -3);
}

/// `gnttab_cache_flush`: address @0, offset @8, length @10, op @12.
fn flushes(c: &mut Codes<'_>) {
    let flush = |offset: u16, length: u16, cmd: u32| {
        op(
            12,
            Arg::new().half(8, offset).half(10, length).word(12, cmd),
            1,
        )
    };
    c.is("flush-nothing", flush(0, 0, 0), 0);
    c.is("flush-no-length", flush(0, 0, 3), 0);
    c.is("flush-no-operation", flush(0, 64, 0), 0);
    c.is("flush-offset", flush(4096, 0, 0), errno::INVAL);
    c.is("flush-length", flush(0, 4097, 0), errno::INVAL);
    c.is("flush-sum", flush(4000, 97, 0), errno::INVAL);
    c.is("flush-page", flush(0, 4096, 0), 0);
    c.is("flush-unknown", flush(0, 0, 4), errno::INVAL);
    c.is("flush-by-ref", flush(0, 0, 1 << 31), errno::INVAL);
    let progress = op(12 | 1 << 12, Arg::new(), 1);
    c.is("flush-progress", progress, -84);
    c.is("flush-progress-nothing", op(12 | 1 << 12, Arg::new(), 0), 0);
}
