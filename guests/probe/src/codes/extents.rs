//! Lists of extents: increase_reservation, decrease_reservation, populate_physmap.

use super::argument::Arg;
use super::{Codes, NOBODIES, WILD, scratch};
use crate::xen::{SELF, call2, nr};

const INCREASE: u64 = 0;
const DECREASE: u64 = 1;
const POPULATE: u64 = 6;
/// First frame of 2 MiB of RAM that nothing lies in, in any guest with 16 MiB at 1 GiB.
const BLOCK: u64 = 0x4080_0000 >> 12;
/// A frame of no bank and no device, within 40 bits.
const NOWHERE: u64 = 0x3_4000_0000 >> 12;
/// Frames end before this one with 40 address bits.
const BEYOND: u64 = 1 << 28;

/// A request: where the list is and how long.
fn reservation(list: u64, extents: u64) -> Arg {
    Arg::new().long(0, list).long(8, extents).half(24, SELF)
}

/// All of `list`, in one call.
fn extents(cmd: u64, list: &[u64], order: u32) -> i64 {
    let mut arg = reservation(list.as_ptr() as u64, list.len() as u64).word(16, order);
    call2(nr::MEMORY, cmd, arg.at())
}

fn pages() -> i64 {
    call2(nr::MEMORY, 3, Arg::new().half(0, SELF).at())
}

/// Runs the checks.
pub fn run(c: &mut Codes<'_>) {
    for cmd in [INCREASE, DECREASE, POPULATE] {
        refused(c, cmd);
    }
    lists(c);
    orders(c);
    flags(c);
    occupied(c);
}

/// Whatever is wrong: the answer is the number of extents that the command says are done.
fn refused(c: &mut Codes<'_>, cmd: u64) {
    let list = [scratch::frame(0), scratch::frame(1), scratch::frame(2)];
    let good = reservation(list.as_ptr() as u64, 3);
    let call = |start: u64, mut arg: Arg| call2(nr::MEMORY, cmd | start << 6, arg.at());
    c.of("extents-wild", cmd, call2(nr::MEMORY, cmd, WILD), 0);
    c.of(
        "extents-wild-start",
        cmd,
        call2(nr::MEMORY, cmd | 7 << 6, WILD),
        7,
    );
    c.of("extents-none", cmd, call(0, good.long(8, 0)), 0);
    c.of("extents-none-start", cmd, call(3, good.long(8, 0)), 3);
    c.of("extents-many", cmd, call(0, good.long(8, 0x0400_0000)), 0);
    c.of(
        "extents-many-start",
        cmd,
        call(2, good.long(8, u64::MAX)),
        2,
    );
    c.of("extents-start-at-end", cmd, call(3, good), 3);
    c.of("extents-start-past", cmd, call(99, good), 99);
    c.of(
        "extents-start-huge",
        cmd,
        call((1 << 58) - 1, good),
        (1 << 58) - 1,
    );
    for dom in NOBODIES.into_iter().chain([c.other]) {
        c.of(
            "extents-domid",
            u64::from(dom) << 8 | cmd,
            call(1, good.half(24, dom)),
            1,
        );
    }
    for order in [10, 18, 63, 64, u32::MAX] {
        c.of(
            "extents-order",
            u64::from(order) << 8 | cmd,
            call(1, good.word(16, order)),
            1,
        );
    }
    for bits in [1, 12] {
        c.of(
            "extents-bits",
            u64::from(bits) << 8 | cmd,
            call(1, good.word(20, bits)),
            1,
        );
    }
    c.of(
        "extents-exact-node",
        cmd,
        call(1, good.word(20, 1 << 17 | 1 << 8)),
        1,
    );
}

fn lists(c: &mut Codes<'_>) {
    let (a, b, hole) = (scratch::frame(0), scratch::frame(1), WILD >> 12);
    let before = pages();
    c.is("decrease-two", extents(DECREASE, &[a, b], 0), 2);
    c.is("decrease-two-counted", pages(), before - 2);
    c.is("populate-two", extents(POPULATE, &[a, b], 0), 2);
    c.is("decrease-twice", extents(DECREASE, &[a, a, b], 0), 1);
    c.is("populate-after", extents(POPULATE, &[a], 0), 1);
    c.is("decrease-with-hole", extents(DECREASE, &[a, hole, b], 0), 1);
    c.is(
        "decrease-start-2",
        call2(
            nr::MEMORY,
            DECREASE | 2 << 6,
            reservation([a, a, b].as_ptr() as u64, 3).at(),
        ),
        3,
    );
    c.is("populate-both", extents(POPULATE, &[b, a], 0), 2);
    c.is("populate-at-quota", extents(POPULATE, &[BEYOND], 0), 0);
    for frame in [BEYOND, 1 << 36, 1 << 52, u64::MAX] {
        c.of(
            "decrease-no-frame",
            frame,
            extents(DECREASE, &[frame], 0),
            0,
        );
        c.of(
            "decrease-no-frames",
            frame,
            extents(DECREASE, &[frame], 9),
            0,
        );
    }
    // The list runs into a hole: what can be read is done.
    let edge = scratch::address(2) + 4096 - 16;
    c.is(
        "give-page-behind",
        extents(DECREASE, &[scratch::frame(3)], 0),
        1,
    );
    scratch::write(edge, a);
    scratch::write(edge + 8, b);
    let arg = reservation(edge, 3);
    c.is(
        "decrease-half-list",
        call2(nr::MEMORY, DECREASE, { arg }.at()),
        2,
    );
    scratch::write(edge, a);
    scratch::write(edge + 8, b);
    c.is(
        "populate-half-list",
        call2(nr::MEMORY, POPULATE, { arg }.at()),
        2,
    );
    c.is(
        "list-unreadable",
        call2(nr::MEMORY, DECREASE, reservation(WILD, 1).at()),
        0,
    );
    c.is(
        "list-null",
        call2(nr::MEMORY, DECREASE, reservation(0, 1).at()),
        0,
    );
    c.is(
        "list-wraps",
        call2(nr::MEMORY, DECREASE, reservation(u64::MAX - 3, 2).at()),
        0,
    );
    c.is(
        "take-page-behind",
        extents(POPULATE, &[scratch::frame(3)], 0),
        1,
    );
    c.is("lists-pages", pages(), before);
    // The list gives away its own page, and ends there.
    let inside = scratch::address(3);
    for (n, frame) in [a, scratch::frame(3), b].into_iter().enumerate() {
        scratch::write(inside + 8 * n as u64, frame);
    }
    let arg = reservation(inside, 3);
    c.is(
        "decrease-own-list",
        call2(nr::MEMORY, DECREASE, { arg }.at()),
        2,
    );
    c.is(
        "populate-own-list",
        extents(POPULATE, &[a, scratch::frame(3)], 0),
        2,
    );
    // The argument itself lies in the page that is given up.
    let inside = scratch::address(3);
    for (n, value) in [inside + 64, 1, 0, u64::from(SELF)].into_iter().enumerate() {
        scratch::write(inside + 8 * n as u64, value);
    }
    scratch::write(inside + 64, scratch::frame(3));
    c.is(
        "decrease-own-argument",
        call2(nr::MEMORY, DECREASE, inside),
        1,
    );
    c.is(
        "populate-own-argument",
        extents(POPULATE, &[scratch::frame(3)], 0),
        1,
    );
}

fn orders(c: &mut Codes<'_>) {
    let before = pages();
    c.is("decrease-block", extents(DECREASE, &[BLOCK], 9), 1);
    c.is("decrease-block-counted", pages(), before - 512);
    c.is("decrease-block-again", extents(DECREASE, &[BLOCK], 9), 0);
    let back = extents(POPULATE, &[BLOCK], 9);
    if back == 0 {
        // Static memory comes back by single pages.
        for n in 0..512 {
            extents(POPULATE, &[BLOCK + n], 0);
        }
    } else {
        c.is("populate-block", back, 1);
        c.is("decrease-odd", extents(DECREASE, &[BLOCK + 5], 3), 1);
        c.is("populate-odd", extents(POPULATE, &[BLOCK + 5], 3), 1);
        c.is(
            "decrease-two-odd",
            extents(DECREASE, &[BLOCK + 3, BLOCK + 11], 3),
            2,
        );
        c.is(
            "populate-two-odd",
            extents(POPULATE, &[BLOCK + 3, BLOCK + 11], 3),
            2,
        );
        c.is("decrease-across", extents(DECREASE, &[BLOCK + 7], 9), 1);
        c.is("populate-across", extents(POPULATE, &[BLOCK + 7], 9), 1);
    }
    c.is("orders-pages", pages(), before);
    // An extent with a hole in it is not done. Here it is left as it is; there it is gone up to the
    // hole.
    c.is("make-hole", extents(DECREASE, &[BLOCK + 2], 0), 1);
    c.is(
        "decrease-with-hole-inside",
        extents(DECREASE, &[BLOCK], 2),
        0,
    );
    let left = pages() - before;
    c.differs("hole-inside-counted", left, -3, -1);
    for n in [0, 1, 2] {
        extents(POPULATE, &[BLOCK + n], 0);
    }
    c.is("hole-filled", pages(), before);
}

fn flags(c: &mut Codes<'_>) {
    let a = [scratch::frame(0)];
    let with = |cmd: u64, flags: u32| {
        call2(
            nr::MEMORY,
            cmd,
            reservation(a.as_ptr() as u64, 1).word(20, flags).at(),
        )
    };
    for flags in [
        32,
        64,
        1 << 8,
        1 << 18,
        1 << 18 | 1 << 17 | 3 << 8,
        1 << 17,
        1 << 19 | 1 << 31,
    ] {
        c.of("decrease-flags", u64::from(flags), with(DECREASE, flags), 1);
        c.of("populate-flags", u64::from(flags), with(POPULATE, flags), 1);
    }
    c.is("decrease-on-demand", with(DECREASE, 1 << 16), 1);
    c.is("populate-on-demand", with(POPULATE, 1 << 16), 0);
    // Machine addresses below 8 KiB hold no memory; there that counts for memory from the heap,
    // here nobody asks where it lies.
    let low = with(POPULATE, 13);
    let allowed = low == 1 || low == 0 && !c.on_zazen();
    c.of("populate-bits-13", low as u64, i64::from(allowed), 1);
    if low == 0 {
        c.is("populate-again", with(POPULATE, 0), 1);
    }
}

fn occupied(c: &mut Codes<'_>) {
    let (a, b) = ([scratch::frame(0)], [scratch::frame(1)]);
    let before = pages();
    c.is("populate-occupied-full", extents(POPULATE, &a, 0), 0);
    c.is("make-room", extents(DECREASE, &b, 0), 1);
    // There the old page is lost.
    let over = extents(POPULATE, &a, 0);
    c.differs("populate-occupied", over, 1, 0);
    if over == 1 {
        extents(DECREASE, &a, 0);
    }
    let nowhere = extents(POPULATE, &[NOWHERE], 0);
    c.differs("populate-outside-banks", nowhere, 1, 0);
    if nowhere == 1 {
        extents(DECREASE, &[NOWHERE], 0);
    }
    let more = call2(nr::MEMORY, INCREASE, reservation(0, 1).at());
    c.differs("increase-with-room", more, 1, 0);
    if more == 1 {
        // The frame has no address and is lost; so is one page of ours, for good.
        c.is("increase-counted", pages(), before);
    } else {
        c.is("fill-again", extents(POPULATE, &b, 0), 1);
    }
    c.is(
        "increase-full",
        call2(nr::MEMORY, INCREASE, reservation(0, 1).at()),
        0,
    );
}
