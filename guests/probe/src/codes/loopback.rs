//! Mapping one's own grants: map_grant_ref and unmap_grant_ref within the domain.

use super::argument::Arg;
use super::grants::{TABLE, flags, publish};
use super::mapping::{map, map_arg, replace, unmap};
use super::{Codes, WILD, physmap, scratch};
use crate::trap::{faults, store_faults};
use crate::xen::{SELF, call2, call3, errno, nr};

/// Guest physical addresses of nothing, in the range that Xen and Zazen name as an extended region.
const AT: u64 = 0x3_6000_0000;

fn pages() -> i64 {
    call2(nr::MEMORY, 3, Arg::new().half(0, SELF).at())
}

/// Runs the checks.
pub fn run(c: &mut Codes<'_>) {
    let me = c.me;
    publish(40, 1, me, scratch::frame(12));
    publish(41, 1 | 4, me, scratch::frame(12));
    publish(42, 0, me, scratch::frame(12));
    publish(43, 1, 77, scratch::frame(12));
    publish(44, 1, me, WILD >> 12);
    publish(45, 1 | 1 << 8, me, scratch::frame(12));
    publish(46, 2, me, scratch::frame(12));
    publish(47, 1 | 1 << 5, me, scratch::frame(12));
    refused(c);
    writable(c);
    read_only(c);
    handles(c);
    places(c);
    given_up(c);
    lists(c);
    fields(c);
}

/// Structures that lie half in a page that may not be written: only what an operation writes must
/// be writable.
fn fields(c: &mut Codes<'_>) {
    let (me, page) = (c.me, scratch::address(12));
    let views = [(AT, 2), (AT + 0x1000, 6), (AT + 0x2000, 2)];
    let handles = views.map(|(at, flags)| {
        let (_, status, handle) = map(at, 40, flags, me);
        c.of("fields-map", at, status, 0);
        handle
    });
    let op = |cmd: u64, at: u64| call3(nr::GRANT, cmd, at, 1);
    let own = u64::from(SELF);
    // setup_table of no frames: its status is before the edge, its list behind it.
    scratch::write(page + 4080, own);
    scratch::write(page + 4088, 0);
    c.is("fields-setup", op(2, AT + 0x1000 - 16), 0);
    scratch::write(page + 4088, own);
    scratch::write(page, 0);
    c.is("fields-setup-status", op(2, AT + 0x1000 - 8), errno::FAULT);
    c.is("fields-query", op(6, AT + 0x1000 - 8), errno::FAULT);
    // get_status_frames: the domain at 4, the status at 6.
    scratch::write(page + 4088, own << 32);
    c.is("fields-status-frames", op(9, AT + 0x1000 - 8), 0);
    // get_version: the domain in a page for reading, the version behind it.
    c.is("fields-version", op(10, AT + 0x2000 - 4), 0);
    c.is("fields-version-written", scratch::read(page) as i64, 1);
    c.is(
        "fields-version-read-only",
        op(10, AT + 0x1000 - 4),
        errno::FAULT,
    );
    for ((at, _), handle) in views.into_iter().zip(handles) {
        c.of("fields-unmap", at, unmap(at, handle), 0);
    }
}

fn refused(c: &mut Codes<'_>) {
    let me = c.me;
    for (flags, want) in [
        (0, -3),
        (4, -3),
        (8, -3),
        (1, -1),
        (3, -1),
        (2 | 8, -1),
        (2 | 16, -1),
        (1 << 5, -3),
    ] {
        c.of(
            "map-flags",
            u64::from(flags),
            map(AT, 9999, flags, 77).1,
            want,
        );
    }
    for dom in [SELF, 77, 0, 0x7ff1, 0x7ff2, 0x7ff4, 0xffff] {
        c.of("map-nobody", u64::from(dom), map(AT, 40, 2, dom).1, -2);
    }
    c.is("map-other", map(AT, 9999, 2, c.other).1, -8);
    for (gref, want) in [
        (2048, -3),
        (u32::MAX, -3),
        (42, -1),
        (43, -1),
        (44, -9),
        (45, -1),
        (46, -1),
        (2000, -1),
    ] {
        let (got, status, handle) = map(AT, gref, 2, me);
        c.of("map-ref", u64::from(gref), got, 0);
        c.of("map-ref-status", u64::from(gref), status, want);
        c.of("map-ref-handle", u64::from(gref), i64::from(handle), 0x5555);
    }
    c.is("map-ref-flags-after", flags(44), 1);
    c.is("map-read-only-to-write", map(AT, 41, 2, me).1, -1);
    c.is("map-extra-flags", map(AT, 40, 2 | 1 << 16, me).1, -1);
    c.is("map-extra-flags-after", flags(40), 1);
    for at in [1 << 40, 1 << 48, u64::MAX] {
        c.of("map-beyond", at, map(at, 40, 2, me).1, -1);
    }
    c.is("map-beyond-flags-after", flags(40), 1);
    for handle in [0, 1, 77, u32::MAX] {
        c.of("unmap-unused", u64::from(handle), unmap(AT, handle), -4);
        c.of(
            "replace-unused",
            u64::from(handle),
            replace(AT, 0, handle),
            -4,
        );
    }
    c.is("map-nothing-there", faults(AT), 1);
}

fn writable(c: &mut Codes<'_>) {
    let (page, before) = (scratch::address(12), pages());
    scratch::write(page + 8, 0x1234);
    let (got, status, handle) = map(AT, 40, 2, c.me);
    c.is("map", got, 0);
    c.is("map-status", status, 0);
    if status != 0 {
        return;
    }
    c.is("map-shows", scratch::read(AT + 8) as i64, 0x1234);
    scratch::write(AT + 16, 0x4321);
    c.is("map-writes", scratch::read(page + 16) as i64, 0x4321);
    c.is("map-pages", pages(), before);
    c.is("map-in-use", flags(40), 1 | 8 | 16);
    c.is("map-swap-busy", swap(40, 30), -12);
    c.is("map-swap-busy-b", swap(30, 40), -12);
    c.is("map-swap-same", swap(40, 40), 0);
    // The mapping as argument memory.
    scratch::write(AT + 64, u64::from(SELF));
    c.is("map-argument", call2(nr::MEMORY, 3, AT + 64), before);
    c.is("map-argument-written", call2(nr::VERSION, 1, AT + 64), 0);
    c.is(
        "unmap-at-other-ram",
        unmap(scratch::address(11), handle),
        -1,
    );
    c.is("unmap-at-0", unmap(0, handle), 0);
    c.is("unmap-bus-alone", scratch::read(AT + 8) as i64, 0x1234);
    c.is("replace-new", replace(AT, AT, handle), -1);
    c.is("unmap-inside", unmap(AT + 8, handle), 0);
    c.is("unmap-gone", faults(AT), 1);
    c.is("unmap-again", unmap(AT, handle), -4);
    c.is("unmap-flags", flags(40), 1);
    c.is("unmap-page-kept", scratch::read(page + 16) as i64, 0x4321);
    // At a hole it is done, too; there the mapping stays behind.
    let (_, _, handle) = map(AT + 0x3000, 40, 2, c.me);
    c.is("unmap-at-hole", unmap(AT + 0x4000, handle), 0);
    c.is("unmap-at-hole-flags", flags(40), 1);
    let left = faults(AT + 0x3000);
    c.differs("unmap-at-hole-left", left, 0, 1);
    c.is("unmap-at-hole-again", unmap(AT + 0x3000, handle), -4);
    let (_, _, handle) = map(AT + 0x5000, 40, 2, c.me);
    c.is("unmap-beyond", unmap(1 << 40, handle), -1);
    c.is("unmap-beyond-then-there", unmap(AT + 0x5000, handle), 0);
}

fn swap(a: u32, b: u32) -> i64 {
    let mut arg = Arg::new().word(0, a).word(4, b).half(8, 99);
    call3(nr::GRANT, 11, arg.at(), 1);
    arg.get_status(8)
}

fn read_only(c: &mut Codes<'_>) {
    let (_, status, handle) = map(AT, 41, 2 | 4, c.me);
    c.is("map-read-only", status, 0);
    if status != 0 {
        return;
    }
    c.is("read-only-in-use", flags(41), 1 | 4 | 8);
    c.is("read-only-shows", scratch::read(AT + 16) as i64, 0x4321);
    // Xen retries such a store for ever.
    if c.on_zazen() {
        c.is("read-only-store", store_faults(AT + 16), 1);
    }
    c.is(
        "read-only-argument",
        call2(nr::VERSION, 1, AT + 64),
        errno::FAULT,
    );
    scratch::write(scratch::address(12) + 64, u64::from(SELF));
    c.is("read-only-read", call2(nr::MEMORY, 3, AT + 64), pages());
    c.is("replace-unmaps", replace(AT, 0, handle), 0);
    c.is("read-only-gone", faults(AT), 1);
    c.is("read-only-flags", flags(41), 1 | 4);
    // A grant that may be written, mapped for reading and then for writing.
    let (_, first, one) = map(AT, 40, 2 | 4, c.me);
    c.is("map-to-read", first, 0);
    c.is("to-read-in-use", flags(40), 1 | 8);
    let (_, second, two) = map(AT + 4096, 40, 2, c.me);
    c.is("map-to-write", second, 0);
    c.is("to-write-in-use", flags(40), 1 | 8 | 16);
    c.is("unmap-writable", unmap(AT + 4096, two), 0);
    c.is("read-again", flags(40), 1 | 8);
    c.is("unmap-readable", unmap(AT, one), 0);
    c.is("free-again", flags(40), 1);
}

/// Handles are numbers from 0 on; a freed one is used again after the others of its page.
fn handles(c: &mut Codes<'_>) {
    let mut mapped = [0u32; 8];
    for (n, place) in mapped.iter_mut().enumerate() {
        let (_, status, handle) = map(AT + 4096 * n as u64, 40, 2, c.me);
        c.of("map-many", n as u64, status, 0);
        *place = handle;
    }
    let distinct = (0..8).all(|n| !mapped[..n].contains(&mapped[n]));
    c.is("handles-distinct", i64::from(distinct), 1);
    c.is(
        "handle-of-another-place",
        unmap(AT, mapped[1]),
        match c.on_zazen() {
            // There both places hold the same frame, which is all that is compared.
            false => 0,
            true => -1,
        },
    );
    if !c.on_zazen() {
        map(AT, 40, 2, c.me);
    }
    for (n, handle) in mapped.into_iter().enumerate() {
        unmap(AT + 4096 * n as u64, handle);
    }
    c.is(
        "handles-done",
        i64::from(flags(40) == 1 || !c.on_zazen()),
        1,
    );
}

/// Mappings over RAM, over each other, over pages of the hypervisor.
fn places(c: &mut Codes<'_>) {
    let me = c.me;
    publish(50, 1, me, scratch::frame(13));
    publish(51, 1, me, scratch::frame(14));
    scratch::write(scratch::address(13), 0xaaaa);
    scratch::write(scratch::address(14), 0xbbbb);
    let (_, status, one) = map(AT + 0x10000, 50, 2, me);
    c.is("place", status, 0);
    if status != 0 {
        return;
    }
    let (_, status, two) = map(AT + 0x10000, 51, 2, me);
    c.is("place-over-mapping", status, 0);
    c.is(
        "place-over-shows",
        scratch::read(AT + 0x10000) as i64,
        0xbbbb,
    );
    c.is("covered-unmap", unmap(AT + 0x10000, one), -1);
    c.is("covering-unmap", unmap(AT + 0x10000, two), 0);
    c.is("covered-unmap-hole", unmap(AT + 0x10000, one), 0);
    c.is("covered-flags", flags(50) << 16 | flags(51), 0x1_0001);
    // Removing a mapping from the physmap leaves the handle.
    let (_, _, three) = map(AT + 0x10000, 50, 2, me);
    c.is(
        "remove-mapping",
        physmap::remove(SELF, (AT + 0x10000) >> 12),
        0,
    );
    c.is("removed-in-use", flags(50), 1 | 8 | 16);
    c.is("removed-unmap", unmap(AT + 0x10000, three), 0);
    c.is("removed-flags", flags(50), 1);
    // A grant of a mapping, and of the table itself.
    let (_, _, four) = map(AT + 0x10000, 50, 2, me);
    publish(52, 1, me, (AT + 0x10000) >> 12);
    let (_, status, five) = map(AT + 0x11000, 52, 2, me);
    c.is("grant-of-mapping", status, 0);
    c.is(
        "grant-of-mapping-shows",
        scratch::read(AT + 0x11000) as i64,
        0xaaaa,
    );
    c.is("grant-of-mapping-unmap", unmap(AT + 0x11000, five), 0);
    c.is("mapping-unmap", unmap(AT + 0x10000, four), 0);
    publish(53, 1, me, TABLE >> 12);
    let (_, status, six) = map(AT + 0x12000, 53, 2, me);
    c.is("grant-of-table", status, 0);
    c.is("grant-of-table-unmap", unmap(AT + 0x12000, six), 0);
    // Over RAM of ours: what was there is covered.
    let covered = scratch::address(15);
    scratch::write(covered, 0xcccc);
    let (_, status, seven) = map(covered, 50, 2, me);
    c.is("place-over-ram", status, 0);
    c.is(
        "place-over-ram-shows",
        scratch::read(covered) as i64,
        0xaaaa,
    );
    c.is("place-over-ram-unmap", unmap(covered, seven), 0);
    c.is("place-over-ram-hole", faults(covered), 1);
    c.differs(
        "place-over-ram-populate",
        physmap::extent(6, covered >> 12),
        0,
        1,
    );
}

/// A granted page that its owner gives up stays until it is unmapped.
fn given_up(c: &mut Codes<'_>) {
    let before = pages();
    let gfn = scratch::frame(13);
    let (_, status, handle) = map(AT, 50, 2, c.me);
    c.is("for-decrease", status, 0);
    if status != 0 {
        return;
    }
    c.is("decrease-mapped", physmap::extent(1, gfn), 1);
    c.is("decrease-mapped-shows", scratch::read(AT) as i64, 0xaaaa);
    c.is("decrease-mapped-counted", pages(), before);
    c.is("decrease-mapped-unmap", unmap(AT, handle), 0);
    c.is("given-up-counted", pages(), before - 1);
    c.is("given-up-populate", physmap::extent(6, gfn), 1);
    c.is("given-up-all", pages(), before);
    // Giving up the place of a mapping.
    let (_, _, handle) = map(AT, 50, 2, c.me);
    let got = physmap::extent(1, AT >> 12);
    c.of(
        "decrease-mapping",
        u64::from(c.on_zazen()),
        got,
        i64::from(!c.on_zazen()),
    );
    if got == 0 {
        c.is("decrease-mapping-unmap", unmap(AT, handle), 0);
    }
}

fn lists(c: &mut Codes<'_>) {
    let mut list = [0u64; 12];
    for n in 0..3 {
        let element = map_arg(AT + 0x20000 + 4096 * n as u64, [51, 42, 51][n], 2, c.me);
        for word in 0..4 {
            list[4 * n + word] = element.get_long(8 * word);
        }
    }
    c.is(
        "map-list",
        call3(nr::GRANT, 0, list.as_mut_ptr() as u64, 3),
        0,
    );
    let list = core::hint::black_box(&mut list);
    for (n, want) in [0, -1, 0].into_iter().enumerate() {
        c.of(
            "map-list-status",
            n as u64,
            i64::from((list[4 * n + 2] >> 16) as i16),
            want,
        );
    }
    for n in [0, 2] {
        let handle = (list[4 * n + 2] >> 32) as u32;
        c.of(
            "map-list-unmap",
            n as u64,
            unmap(AT + 0x20000 + 4096 * n as u64, handle),
            0,
        );
    }
    c.is("map-list-flags", flags(51), 1);
}
