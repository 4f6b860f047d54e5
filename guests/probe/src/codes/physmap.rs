//! add_to_physmap, its batch form, and remove_from_physmap.

use super::argument::Arg;
use super::{Codes, NOBODIES, WILD, scratch};
use crate::xen::{SELF, call2, errno, nr};

const EOVERFLOW: i64 = -75;
const EILSEQ: i64 = -84;
/// Frames end before this one with 40 address bits.
const BEYOND: u64 = 1 << 28;
/// A frame of no bank and no device.
const NOWHERE: u64 = 0x3_4000_0000 >> 12;
const ADD: u64 = 7;
const BATCH: u64 = 23;
const REMOVE: u64 = 15;

fn add_arg(dom: u16, space: u32, idx: u64, gfn: u64) -> Arg {
    Arg::new()
        .half(0, dom)
        .word(4, space)
        .long(8, idx)
        .long(16, gfn)
}

/// Maps page `idx` of `space` at `gfn`.
pub fn add(dom: u16, space: u32, idx: u64, gfn: u64) -> i64 {
    call2(nr::MEMORY, ADD, add_arg(dom, space, idx, gfn).at())
}

/// Removes what is at `gfn`.
pub fn remove(dom: u16, gfn: u64) -> i64 {
    call2(
        nr::MEMORY,
        REMOVE,
        Arg::new().half(0, dom).long(8, gfn).at(),
    )
}

/// One extent of one page.
pub fn extent(cmd: u64, gfn: u64) -> i64 {
    let list = [gfn];
    call2(
        nr::MEMORY,
        cmd,
        Arg::new()
            .long(0, list.as_ptr() as u64)
            .long(8, 1)
            .half(24, SELF)
            .at(),
    )
}

/// Runs the checks.
pub fn run(c: &mut Codes<'_>) {
    refused(c);
    ranges(c);
    shared_info(c);
    grant_frames(c);
    batch(c);
    foreign(c);
    removals(c);
}

fn refused(c: &mut Codes<'_>) {
    let gfn = scratch::frame(5);
    c.is(
        "add-start",
        call2(nr::MEMORY, ADD | 1 << 22, WILD),
        errno::DOM,
    );
    c.is("add-wild", call2(nr::MEMORY, ADD, WILD), errno::FAULT);
    c.is("add-foreign-nobody", add(77, 4, 0, u64::MAX), errno::NOSYS);
    for dom in NOBODIES {
        c.of(
            "add-nobody",
            u64::from(dom),
            add(dom, 0, 1, u64::MAX),
            errno::SRCH,
        );
    }
    c.is("add-nobody-mmio", add(77, 5, 0, gfn), errno::SRCH);
    c.is("add-other-mmio", add(c.other, 5, 0, gfn), errno::ACCES);
    c.is("add-mmio-no-frame", add(SELF, 5, 0, u64::MAX), errno::ACCES);
    c.is("add-other", add(c.other, 0, 0, u64::MAX), errno::PERM);
    for (space, idx) in [(0, 1), (1, 0), (2, 0), (3, 0), (6, 0), (99, 0)] {
        c.of(
            "add-no-frame",
            u64::from(space),
            add(SELF, space, idx, u64::MAX),
            errno::INVAL,
        );
    }
    for space in [2, 6, 7, 99, u32::MAX] {
        c.of(
            "add-space",
            u64::from(space),
            add(SELF, space, 0, gfn),
            errno::NOSYS,
        );
    }
    for gfn in [BEYOND, BEYOND | 5, 1 << 36, 1 << 52, u64::MAX - 1] {
        c.of("add-beyond", gfn, add(SELF, 0, 0, gfn), errno::INVAL);
        c.of("add-grant-beyond", gfn, add(SELF, 1, 0, gfn), errno::INVAL);
    }
    c.is("add-info-index", add(SELF, 0, 1 << 32, gfn), errno::INVAL);
    c.is(
        "add-info-index-beyond",
        add(SELF, 0, 1, BEYOND),
        errno::INVAL,
    );
}

fn ranges(c: &mut Codes<'_>) {
    let gfn = scratch::frame(5);
    let range = |start: u64, size: u16, idx: u64, gfn: u64| {
        call2(
            nr::MEMORY,
            ADD | start << 6,
            add_arg(SELF, 3, idx, gfn).half(2, size).at(),
        )
    };
    c.is("range-empty", range(0, 0, 0, gfn), 0);
    c.is("range-start-at-end", range(4, 4, 0, gfn), 0);
    c.is("range-start-past", range(5, 4, 0, gfn), EILSEQ);
    c.is("range-past-and-wraps", range(5, 4, 0, u64::MAX - 1), EILSEQ);
    c.is("range-wraps", range(0, 2, 0, u64::MAX - 1), EOVERFLOW);
    c.is("range-index-wraps", range(0, 2, u64::MAX, gfn), EOVERFLOW);
    c.is("range-empty-wraps-not", range(0, 0, u64::MAX, gfn), 0);
    c.is("range-one", range(0, 1, 0, gfn), errno::NOSYS);
    c.is("range-rest", range(1, 2, 0, gfn), errno::NOSYS);
    c.is(
        "info-start",
        call2(nr::MEMORY, ADD | 9 << 6, add_arg(SELF, 0, 1, gfn).at()),
        errno::INVAL,
    );
}

fn shared_info(c: &mut Codes<'_>) {
    let gfn = scratch::frame(5);
    c.is("info-own-id", add(c.me, 0, 0, gfn), 0);
    c.is("info-same", add(SELF, 0, 0, gfn), errno::BUSY);
    c.is("info-elsewhere", add(SELF, 0, 0, NOWHERE), errno::BUSY);
    c.is(
        "info-beyond-while-mapped",
        add(SELF, 0, 0, BEYOND),
        errno::BUSY,
    );
    // Argument memory in the shared page itself, and in a page of the grant table below.
    scratch::write(gfn << 12 | 0x800, u64::from(SELF));
    let at = gfn << 12 | 0x800;
    c.is(
        "argument-in-info",
        call2(nr::MEMORY, 4, at),
        call2(nr::MEMORY, 4, Arg::new().half(0, SELF).at()),
    );
    c.is("write-into-info", call2(nr::VERSION, 1, at), 0);
    c.is("remove-info", remove(SELF, gfn), 0);
    c.is("remove-info-again", remove(SELF, gfn), errno::NOENT);
    c.is("info-nowhere", add(SELF, 0, 0, NOWHERE), 0);
    c.is("info-nowhere-removed", remove(c.me, NOWHERE), 0);
    // RAM that was covered is there again when asked for; there it has the domain's quota in its
    // way.
    let back = extent(6, gfn);
    c.differs("populate-covered", back, 0, 1);
}

fn grant_frames(c: &mut Codes<'_>) {
    let gfn = scratch::frame(6);
    c.is("grant-index-max", add(SELF, 1, 64, gfn), errno::INVAL);
    c.is(
        "grant-index-32-bits",
        add(SELF, 1, 0xffff_ffff, gfn),
        errno::INVAL,
    );
    c.is("grant-status", add(SELF, 1, 1 << 31, gfn), errno::INVAL);
    c.is("grant-index-truncated", add(SELF, 1, 1 << 32, gfn), 0);
    c.is("grant-same", add(SELF, 1, 0, gfn), errno::BUSY);
    c.is("grant-over-grant", add(SELF, 1, 1, gfn), 0);
    // What was covered can be mapped again.
    c.is("grant-covered", add(SELF, 1, 0, NOWHERE), 0);
    c.is("grant-covered-removed", remove(SELF, NOWHERE), 0);
    c.is("remove-grant", remove(SELF, gfn), 0);
    c.is("grant-grows", add(SELF, 1, 3, NOWHERE), 0);
    let mut size = Arg::new().half(0, SELF);
    crate::xen::call3(nr::GRANT, 6, size.at(), 1);
    c.is("grant-size", i64::from(size.get_word(4)), 4);
    c.is("remove-grown", remove(SELF, NOWHERE), 0);
}

/// `xen_add_to_physmap_batch`: domid @0, space @2, size @4, foreign @6, idxs @8, gpfns @16, errs
/// @24.
fn batch(c: &mut Codes<'_>) {
    let lists = |dom: u16, space: u16, size: u16| {
        Arg::new()
            .half(0, dom)
            .half(2, space)
            .half(4, size)
            .long(8, WILD)
            .long(16, WILD)
            .long(24, WILD)
    };
    let call = |mut arg: Arg| call2(nr::MEMORY, BATCH, arg.at());
    c.is(
        "batch-start",
        call2(nr::MEMORY, BATCH | 1 << 22, WILD),
        errno::DOM,
    );
    c.is("batch-wild", call2(nr::MEMORY, BATCH, WILD), errno::FAULT);
    c.is("batch-range", call(lists(77, 3, 0)), errno::OPNOTSUPP);
    c.is("batch-nobody", call(lists(77, 0, 0)), errno::SRCH);
    c.is("batch-other", call(lists(c.other, 0, 0)), errno::PERM);
    c.is("batch-mmio", call(lists(SELF, 5, 0)), errno::ACCES);
    c.is("batch-mmio-other", call(lists(c.other, 5, 0)), errno::ACCES);
    c.is(
        "batch-mmio-res",
        call(lists(SELF, 5, 1).half(6, 1)),
        errno::ACCES,
    );
    c.is("batch-empty", call(lists(SELF, 0, 0)), 0);
    c.is(
        "batch-start-at-end",
        call2(nr::MEMORY, BATCH | 2 << 6, lists(SELF, 0, 2).at()),
        EILSEQ,
    );
    c.is(
        "batch-start-past",
        call2(nr::MEMORY, BATCH | 3 << 6, lists(SELF, 0, 2).at()),
        EILSEQ,
    );
    c.is("batch-lists", call(lists(SELF, 0, 1)), errno::FAULT);
    let (info, grant) = (scratch::frame(7), scratch::frame(8));
    let (idxs, gfns) = ([0, 1, 0u64], [info, info, grant]);
    let mut errs = [9i32; 4];
    let mut arg = Arg::new()
        .half(0, SELF)
        .half(4, 3)
        .long(8, idxs.as_ptr() as u64)
        .long(16, gfns.as_ptr() as u64)
        .long(24, errs.as_mut_ptr() as u64);
    c.is("batch-info", call(arg), 0);
    let errs = core::hint::black_box(&mut errs);
    for (n, want) in [0, -22, -16, 9].into_iter().enumerate() {
        c.of(
            "batch-info-status",
            n as u64,
            errs.get(n).map_or(0, |e| i64::from(*e)),
            want,
        );
    }
    c.is("batch-remove-info", remove(SELF, info), 0);
    *errs = [9; 4];
    arg = arg.half(2, 1);
    let gfns = [grant, u64::MAX, info];
    c.is(
        "batch-no-frame",
        call(arg.long(16, gfns.as_ptr() as u64)),
        errno::INVAL,
    );
    for (n, want) in [0, 9, 9].into_iter().enumerate() {
        c.of(
            "batch-no-frame-status",
            n as u64,
            errs.get(n).map_or(0, |e| i64::from(*e)),
            want,
        );
    }
    c.is("batch-remove-grant", remove(SELF, grant), 0);
    *errs = [9; 4];
    let gfns = [grant, NOWHERE, BEYOND];
    c.is(
        "batch-errs",
        call(arg.long(16, gfns.as_ptr() as u64).long(24, WILD)),
        errno::FAULT,
    );
    remove(SELF, grant);
    c.is(
        "batch-resumed",
        call2(
            nr::MEMORY,
            BATCH | 1 << 6,
            arg.long(16, gfns.as_ptr() as u64)
                .long(8, [0, 0, 1u64].as_ptr() as u64)
                .at(),
        ),
        0,
    );
    for (n, want) in [9, 0, -22].into_iter().enumerate() {
        c.of(
            "batch-resumed-status",
            n as u64,
            errs.get(n).map_or(0, |e| i64::from(*e)),
            want,
        );
    }
    c.is("batch-remove-nowhere", remove(SELF, NOWHERE), 0);
}

fn foreign(c: &mut Codes<'_>) {
    let (idxs, gfns) = ([scratch::frame(0)], [NOWHERE]);
    for (dom, want) in [
        (SELF, errno::SRCH),
        (77, errno::SRCH),
        (0x7ff1, errno::SRCH),
        (0x7ff2, errno::PERM),
        (c.me, errno::PERM),
        (c.other, errno::PERM),
    ] {
        let mut errs = [9i32];
        let mut arg = Arg::new()
            .half(0, SELF)
            .half(2, 4)
            .half(4, 1)
            .half(6, dom)
            .long(8, idxs.as_ptr() as u64)
            .long(16, gfns.as_ptr() as u64)
            .long(24, errs.as_mut_ptr() as u64);
        c.of(
            "foreign",
            u64::from(dom),
            call2(nr::MEMORY, BATCH, arg.at()),
            0,
        );
        c.of(
            "foreign-status",
            u64::from(dom),
            i64::from(core::hint::black_box(&mut errs)[0]),
            want,
        );
    }
}

fn removals(c: &mut Codes<'_>) {
    c.is(
        "remove-start",
        call2(nr::MEMORY, REMOVE | 1 << 6, WILD),
        errno::INVAL,
    );
    c.is("remove-wild", call2(nr::MEMORY, REMOVE, WILD), errno::FAULT);
    for dom in NOBODIES {
        c.of(
            "remove-nobody",
            u64::from(dom),
            remove(dom, NOWHERE),
            errno::SRCH,
        );
    }
    c.is("remove-other", remove(c.other, NOWHERE), errno::PERM);
    for gfn in [NOWHERE, BEYOND, 1 << 52, u64::MAX] {
        c.of("remove-nothing", gfn, remove(SELF, gfn), errno::NOENT);
    }
    let gfn = scratch::frame(9);
    let before = call2(nr::MEMORY, 3, Arg::new().half(0, SELF).at());
    c.is("remove-ram", remove(SELF, gfn), 0);
    c.is("remove-ram-again", remove(SELF, gfn), errno::NOENT);
    c.is(
        "removed-still-counted",
        call2(nr::MEMORY, 3, Arg::new().half(0, SELF).at()),
        before,
    );
    let parked = extent(1, gfn);
    c.differs("decrease-removed", parked, 0, 1);
    c.differs("populate-removed", extent(6, gfn), 0, 1);
    // Giving up a page that is not RAM.
    c.is("info-for-decrease", add(SELF, 0, 0, NOWHERE), 0);
    let gone = extent(1, NOWHERE);
    c.differs("decrease-info", gone, 1, 0);
    if gone == 0 {
        c.is("remove-info-after", remove(SELF, NOWHERE), 0);
    }
}
