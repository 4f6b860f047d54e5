//! Grants to and of another guest. One of the two tries, the other does what it is told; then the
//! other way round.
//!
//! Each grants a page of its own to the other under a reference that both know, and maps the one
//! that it is granted: who tries writes there what is to be done, and reads what came of it.

use core::sync::atomic::{Ordering, fence};

use super::{PATIENCE, SET};
use crate::codes::argument::Arg;
use crate::codes::grants::{TABLE, flags, publish};
use crate::codes::mapping::{self, replace, unmap};
use crate::codes::{physmap, scratch};
use crate::cpu;
use crate::report::Report;
use crate::trap::{faults, store_faults};
use crate::xen::{SELF, call2, call3, errno, is_zazen, nr};

/// Guest physical addresses of nothing, in the range that Xen and Zazen name as an extended region.
const CONTROL: u64 = 0x3_6000_0000;
const AT: u64 = CONTROL + 0x10_0000;
/// Reference of the page by which the two talk, and its number among the pages here.
const TALK: u32 = 8;
const TALK_PAGE: usize = 1;
/// The page that is granted, and another one.
const PAGE: usize = 12;
const NEXT: usize = 13;

/// Words of the page: number of the order, what it is and for what, number of the order that is
/// done and what came of it.
const ORDER: u64 = 0;
const WHAT: u64 = 8;
const WITH: u64 = 16;
const AND: u64 = 24;
const DONE: u64 = 64;
const RESULT: u64 = 72;

/// Orders.
const PUBLISH: u64 = 1;
const FLAGS: u64 = 2;
const READ: u64 = 3;
const WRITE: u64 = 4;
const GIVE_UP: u64 = 5;
const TAKE_BACK: u64 = 6;
const MAP: u64 = 7;
const FRAME: u64 = 8;
const OVER: u64 = 9;

/// Status and handle.
fn map(at: u64, gref: u32, flags: u32, dom: u16) -> (i64, u32) {
    let (_, status, handle) = mapping::map(at, gref, flags, dom);
    (status, handle)
}

/// Changes the reservation by the page at `frame`: 1 gives it up, 6 takes one.
fn reservation(op: u64, frame: u64) -> i64 {
    let mut list = [frame];
    let at = core::hint::black_box(list.as_mut_ptr()) as u64;
    let mut arg = Arg::new().long(0, at).long(8, 1).half(24, SELF);
    call2(nr::MEMORY, op, arg.at())
}

fn read(at: u64) -> u64 {
    fence(Ordering::SeqCst);
    scratch::read(at)
}

fn write(at: u64, value: u64) {
    scratch::write(at, value);
    fence(Ordering::SeqCst);
}

fn rest() {
    call2(nr::SCHED, 0, 0);
}

/// Does what the other one tells until it is over; how many orders that were.
fn serve(me: u16, other: u16) -> u64 {
    let page = scratch::address(TALK_PAGE);
    let end = cpu::counter() + PATIENCE * cpu::frequency();
    let mut done = 0;
    while cpu::counter() < end {
        if read(page + ORDER) != done + 1 {
            rest();
            continue;
        }
        let (with, and) = (read(page + WITH), read(page + AND));
        let number = usize::try_from(with).unwrap_or(0);
        let what = read(page + WHAT);
        let result = match what {
            PUBLISH => {
                scratch::write(TABLE + 8 * with, and);
                0
            }
            FLAGS => flags(with),
            READ => read(with) as i64,
            WRITE => {
                write(with, and);
                0
            }
            GIVE_UP => reservation(1, scratch::frame(number)),
            TAKE_BACK => reservation(6, scratch::frame(number)),
            MAP => {
                let gref = u32::try_from(with).unwrap_or(0);
                let (status, handle) = map(AT, gref, 2, other);
                if status == 0 {
                    unmap(AT, handle);
                }
                status
            }
            FRAME => scratch::frame(number) as i64,
            _ => i64::from(me),
        };
        done += 1;
        write(page + RESULT, result.cast_unsigned());
        write(page + DONE, done);
        if what == OVER {
            break;
        }
    }
    done
}

/// Who tries.
struct Try<'r> {
    r: &'r mut Report,
    me: u16,
    other: u16,
    /// The page by which the other one is told.
    talk: u64,
    told: u64,
}

impl Try<'_> {
    fn is(&mut self, name: &str, got: i64, want: i64) {
        self.r.equal(SET, name, got, want);
    }
    /// In the case that `value` tells.
    fn of(&mut self, name: &str, value: u64, got: i64, want: i64) {
        let pass = got == want;
        self.r.check(
            SET,
            name,
            pass,
            format_args!("{value:#x}: got {got} want {want}"),
        );
    }
    /// A difference on purpose.
    fn differs(&mut self, name: &str, got: i64, xen: i64, zazen: i64) {
        self.is(name, got, if is_zazen() { zazen } else { xen });
    }

    /// Has the other one do something; what came of it.
    fn tell(&mut self, what: u64, with: u64, and: u64) -> i64 {
        write(self.talk + WHAT, what);
        write(self.talk + WITH, with);
        write(self.talk + AND, and);
        self.told += 1;
        write(self.talk + ORDER, self.told);
        let end = cpu::counter() + PATIENCE * cpu::frequency();
        while read(self.talk + DONE) != self.told {
            if cpu::counter() > end {
                return i64::MIN;
            }
            rest();
        }
        read(self.talk + RESULT).cast_signed()
    }
    /// Has the other one publish a grant to this one.
    fn granted(&mut self, gref: u32, flags: u16, frame: u64) {
        self.entry(gref, flags, self.me, frame);
    }
    fn entry(&mut self, gref: u32, flags: u16, dom: u16, frame: u64) {
        let entry = u64::from(flags) | u64::from(dom) << 16 | frame << 32;
        self.tell(PUBLISH, gref.into(), entry);
    }
    /// Flags of the other one's grant.
    fn flags(&mut self, gref: u32) -> i64 {
        self.tell(FLAGS, gref.into(), 0)
    }
    fn frame(&mut self, page: usize) -> u64 {
        self.tell(FRAME, page as u64, 0).cast_unsigned()
    }
    fn map(&mut self, at: u64, gref: u32, flags: u32) -> (i64, u32) {
        map(at, gref, flags, self.other)
    }
}

/// Runs the checks; `role` says who tries first.
pub(super) fn run(r: &mut Report, role: &str, me: u16, other: u16) {
    r.equal(SET, "grant-table", physmap::add(SELF, 1, 0, TABLE >> 12), 0);
    publish(TALK.into(), 1, other, scratch::frame(TALK_PAGE));
    let end = cpu::counter() + PATIENCE * cpu::frequency();
    // The other one may not be as far.
    let (mut status, mut handle) = map(CONTROL, TALK, 2, other);
    while status != 0 && cpu::counter() < end {
        rest();
        (status, handle) = map(CONTROL, TALK, 2, other);
    }
    r.equal(SET, "talk", status, 0);
    if status != 0 {
        return;
    }
    for turn in ["host", "caller"] {
        if role == turn {
            try_all(r, me, other);
        } else {
            let orders = serve(me, other);
            r.check(SET, "served", orders > 100, format_args!("{orders}"));
        }
    }
    // The other one may still read what came of its last order.
    super::pause();
    r.equal(SET, "talk-over", unmap(CONTROL, handle), 0);
}

fn try_all(r: &mut Report, me: u16, other: u16) {
    let mut t = Try {
        r,
        me,
        other,
        talk: CONTROL,
        told: 0,
    };
    let frame = t.frame(PAGE);
    t.granted(40, 1, frame);
    t.granted(41, 1 | 4, frame);
    t.granted(42, 0, frame);
    t.entry(43, 1, other, frame);
    t.granted(44, 1, 0x1000);
    t.granted(45, 1 | 1 << 8, frame);
    t.granted(46, 2, frame);
    t.granted(47, 3, frame);
    t.entry(48, 1, 77, frame);
    refused(&mut t);
    writable(&mut t, frame);
    pinned(&mut t, frame);
    read_only(&mut t);
    many(&mut t);
    lists(&mut t, frame);
    places(&mut t);
    granted_on(&mut t);
    given_up(&mut t, frame);
    t.tell(OVER, 0, 0);
}

fn refused(t: &mut Try<'_>) {
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
        let (status, _) = t.map(AT, 9999, flags);
        t.of("map-flags", flags.into(), status, want);
    }
    for (gref, want) in [
        (512, -3),
        (32_767, -3),
        (32_768, -3),
        (u32::MAX, -3),
        (42, -1),
        (43, -1),
        (44, -9),
        (45, -1),
        (46, -1),
        (47, -1),
        (48, -1),
        (61, -1),
        (511, -1),
    ] {
        for flags in [2, 2 | 4] {
            let (status, handle) = t.map(AT, gref, flags);
            t.of("map-ref", gref.into(), status, want);
            t.of("map-ref-handle", gref.into(), handle.into(), 0x5555);
        }
    }
    for (gref, want) in [(42, 0), (43, 1), (44, 1), (45, 257), (46, 2), (47, 3)] {
        let got = t.flags(gref);
        t.of("map-ref-flags", gref.into(), got, want);
    }
    let (status, _) = t.map(AT, 41, 2);
    t.is("map-read-only-to-write", status, -1);
    let after = t.flags(41);
    t.is("map-read-only-flags", after, 1 | 4);
    for flags in [2 | 1 << 16, 2 | 1 << 19] {
        let (status, _) = t.map(AT, 40, flags);
        t.of("map-extra-flags", flags.into(), status, -1);
    }
    for at in [1 << 40, 1 << 48, u64::MAX] {
        let (status, _) = t.map(at, 40, 2);
        t.of("map-beyond", at, status, -1);
    }
    let after = t.flags(40);
    t.is("refused-flags", after, 1);
    let (status, _) = map(AT, 40, 2, SELF);
    t.is("map-of-self", status, -2);
    let (status, _) = map(AT, 40, 2, 77);
    t.is("map-of-nobody", status, -2);
    t.is("map-nothing-there", faults(AT), 1);
}

fn writable(t: &mut Try<'_>, frame: u64) {
    let page = frame << 12;
    t.tell(WRITE, page + 8, 0x1234);
    let pages = || call2(nr::MEMORY, 3, Arg::new().half(0, SELF).at());
    let before = pages();
    let (status, handle) = t.map(AT, 40, 2);
    t.is("map", status, 0);
    if status != 0 {
        return;
    }
    t.is("map-shows", read(AT + 8) as i64, 0x1234);
    write(AT + 16, 0x4321);
    let there = t.tell(READ, page + 16, 0);
    t.is("map-writes", there, 0x4321);
    t.tell(WRITE, page + 24, 0x99);
    t.is("map-shows-later", read(AT + 24) as i64, 0x99);
    t.is("map-pages", pages(), before);
    let flags = t.flags(40);
    t.is("map-in-use", flags, 1 | 8 | 16);
    // A page of another guest is no memory for arguments.
    write(AT + 64, u64::from(SELF));
    t.is("map-argument", call2(nr::MEMORY, 3, AT + 64), errno::FAULT);
    t.is(
        "unmap-at-other-ram",
        unmap(scratch::address(11), handle),
        -1,
    );
    t.is("unmap-at-0", unmap(0, handle), 0);
    t.is("unmap-at-0-stays", read(AT + 8) as i64, 0x1234);
    t.is("unmap-wrong-handle", unmap(AT, handle + 1), -4);
    t.is("unmap-no-handle", unmap(AT, u32::MAX), -4);
    t.is("replace-new", replace(AT, AT, handle), -1);
    let flags = t.flags(40);
    t.is("unmap-refused-flags", flags, 1 | 8 | 16);
    t.is("unmap-inside", unmap(AT + 8, handle), 0);
    t.is("unmap-gone", faults(AT), 1);
    t.is("unmap-again", unmap(AT, handle), -4);
    let flags = t.flags(40);
    t.is("unmap-flags", flags, 1);
    let there = t.tell(READ, page + 16, 0);
    t.is("unmap-kept", there, 0x4321);
    let (_, handle) = t.map(AT, 40, 2);
    t.is("replace", replace(AT, 0, handle), 0);
    t.is("replace-gone", faults(AT), 1);
    let (_, handle) = t.map(AT, 40, 2);
    t.is("remove-mapping", physmap::remove(SELF, AT >> 12), 0);
    t.is("remove-gone", faults(AT), 1);
    let flags = t.flags(40);
    t.is("remove-in-use", flags, 1 | 8 | 16);
    t.is("unmap-removed", unmap(AT, handle), 0);
    let flags = t.flags(40);
    t.is("removed-flags", flags, 1);
}

/// In use, the entry does not count any more.
fn pinned(t: &mut Try<'_>, frame: u64) {
    let next = t.frame(NEXT);
    t.tell(WRITE, (frame << 12) + 8, 0x1111);
    t.tell(WRITE, (next << 12) + 8, 0x2222);
    t.granted(50, 1, frame);
    let (status, one) = t.map(AT, 50, 2);
    t.is("pin", status, 0);
    t.granted(50, 1, next);
    let (status, two) = t.map(AT + 0x1000, 50, 2);
    t.is("pin-other-frame", status, 0);
    t.is("pin-frame-stays", read(AT + 0x1008) as i64, 0x1111);
    t.entry(50, 0, 77, next);
    let (status, three) = t.map(AT + 0x2000, 50, 2 | 4);
    t.is("pin-nothing-granted", status, 0);
    t.is("pin-still-stays", read(AT + 0x2008) as i64, 0x1111);
    let flags = t.flags(50);
    t.is("pin-flags", flags, 0);
    t.is("pin-unmap", unmap(AT, one), 0);
    t.is("pin-unmap-two", unmap(AT + 0x1000, two), 0);
    t.is("pin-unmap-three", unmap(AT + 0x2000, three), 0);
    let (status, _) = t.map(AT, 50, 2);
    t.is("pin-over", status, -1);
    t.granted(50, 1, next);
    let (status, one) = t.map(AT, 50, 2);
    t.is("pin-anew", status, 0);
    t.is("pin-anew-shows", read(AT + 8) as i64, 0x2222);
    t.is("pin-anew-unmap", unmap(AT, one), 0);
}

fn read_only(t: &mut Try<'_>) {
    let (status, handle) = t.map(AT, 41, 2 | 4);
    t.is("map-read-only", status, 0);
    if status != 0 {
        return;
    }
    let flags = t.flags(41);
    t.is("read-only-in-use", flags, 1 | 4 | 8);
    t.is("read-only-shows", read(AT + 16) as i64, 0x4321);
    // Xen retries such a store for ever.
    if is_zazen() {
        t.is("read-only-store", store_faults(AT + 16), 1);
    }
    t.is("read-only-unmap", unmap(AT, handle), 0);
    let flags = t.flags(41);
    t.is("read-only-flags", flags, 1 | 4);
    let (status, one) = t.map(AT, 40, 2 | 4);
    t.is("map-to-read", status, 0);
    let flags = t.flags(40);
    t.is("to-read-in-use", flags, 1 | 8);
    let (status, two) = t.map(AT + 4096, 40, 2);
    t.is("map-to-write", status, 0);
    let flags = t.flags(40);
    t.is("to-write-in-use", flags, 1 | 8 | 16);
    write(AT + 4096 + 32, 0x777);
    t.is("written-and-read", read(AT + 32) as i64, 0x777);
    t.is("unmap-writable", unmap(AT + 4096, two), 0);
    let flags = t.flags(40);
    t.is("read-again", flags, 1 | 8);
    t.is("unmap-readable", unmap(AT, one), 0);
    let flags = t.flags(40);
    t.is("free-again", flags, 1);
}

/// A grant is in use 128 times for reading and 128 times for writing, and no more.
fn many(t: &mut Try<'_>) {
    let mut handles = [0; 128];
    for kind in [2, 2 | 4] {
        for (n, place) in (0..).zip(&mut handles) {
            let (status, handle) = t.map(AT + 0x1000 * n, 40, kind);
            if status != 0 {
                t.of("many", n, status, 0);
            }
            *place = handle;
        }
        let (status, _) = t.map(AT + 0x80_0000, 40, kind);
        t.of("too-many", kind.into(), status, -1);
        let (status, other) = t.map(AT + 0x80_0000, 40, kind ^ 4);
        t.of("other-kind", kind.into(), status, 0);
        t.of(
            "other-kind-unmap",
            kind.into(),
            unmap(AT + 0x80_0000, other),
            0,
        );
        let distinct = (0..128).all(|n| !handles[..n].contains(&handles[n]));
        t.of("many-distinct", kind.into(), distinct.into(), 1);
        t.of("many-shows", kind.into(), read(AT + 0x7_f020) as i64, 0x777);
        let ended = (0..)
            .zip(handles)
            .filter(|(n, handle)| unmap(AT + 0x1000 * n, *handle) == 0)
            .count();
        t.of("many-unmap", kind.into(), ended as i64, 128);
        let flags = t.flags(40);
        t.of("many-flags", kind.into(), flags, 1);
    }
}

/// Several elements in one call, some of them wrong.
fn lists(t: &mut Try<'_>, frame: u64) {
    const MOST: usize = 40;
    for n in 0..8 {
        let frame = if n == 5 { 0x1000 } else { frame };
        t.granted(100 + n, 1, frame);
    }
    for count in [1_usize, 2, 11, 32, MOST] {
        let case = count as u64;
        let mut maps = [[0_u64; 4]; MOST];
        for (n, element) in (0_u32..).zip(&mut maps[..count]) {
            let gref = 100 + n % 8;
            let at = AT + 0x1000 * u64::from(n);
            *element = [
                at,
                u64::from(gref) << 32 | 2,
                u64::from(t.other) | 99 << 16,
                0,
            ];
        }
        let at = core::hint::black_box(maps.as_mut_ptr()) as u64;
        let got = call3(nr::GRANT, 0, at, case);
        fence(Ordering::SeqCst);
        t.of("list", case, got, 0);
        let maps = core::hint::black_box(maps);
        let status = |element: &[u64; 4]| (element[2] >> 16) as u16 as i16;
        let good = (0..)
            .zip(&maps[..count])
            .all(|(n, element)| status(element) == if n % 8 == 5 { -9 } else { 0 });
        t.of("list-statuses", case, good.into(), 1);
        let mut ends = [[0_u64; 3]; MOST];
        for (element, end) in maps[..count].iter().zip(&mut ends) {
            let handle = match status(element) {
                0 => element[2] >> 32,
                _ => u64::from(u32::MAX),
            };
            *end = [element[0], 0, handle];
        }
        let at = core::hint::black_box(ends.as_mut_ptr()) as u64;
        let got = call3(nr::GRANT, 1, at, case);
        fence(Ordering::SeqCst);
        t.of("list-unmap", case, got, 0);
        let ends = core::hint::black_box(ends);
        // The handle comes in the low half, the status behind it.
        let status = |element: &[u64; 3]| (element[2] >> 32) as u16 as i16;
        let good = (0..)
            .zip(&ends[..count])
            .all(|(n, element)| status(element) == if n % 8 == 5 { -4 } else { 0 });
        t.of("list-unmap-statuses", case, good.into(), 1);
        let mut free = true;
        for n in 0..8 {
            free &= t.flags(100 + n) == 1;
        }
        t.of("list-flags", case, free.into(), 1);
    }
}

/// Mappings over RAM, over a hole where RAM was, and over each other.
fn places(t: &mut Try<'_>) {
    let ram = scratch::address(14);
    scratch::write(ram + 32, 0x5555);
    let (status, handle) = t.map(ram, 40, 2);
    t.is("over-ram", status, 0);
    t.is("over-ram-shows", read(ram + 32) as i64, 0x777);
    t.is("over-ram-unmap", unmap(ram, handle), 0);
    t.is("over-ram-gone", faults(ram), 1);
    let ram = scratch::address(15);
    t.is("give-up", reservation(1, ram >> 12), 1);
    let (status, handle) = t.map(ram, 40, 2);
    t.is("over-hole", status, 0);
    t.is("over-hole-shows", read(ram + 32) as i64, 0x777);
    t.is("over-hole-unmap", unmap(ram, handle), 0);
    t.is("over-hole-gone", faults(ram), 1);
    t.is("take-back", reservation(6, ram >> 12), 1);
    t.is("take-back-works", faults(ram), 0);
    let next = t.frame(NEXT);
    t.granted(51, 1, next);
    t.tell(WRITE, (next << 12) + 32, 0xbbbb);
    let (_, one) = t.map(AT, 40, 2);
    let (status, two) = t.map(AT, 51, 2);
    t.is("over-mapping", status, 0);
    t.is("over-mapping-shows", read(AT + 32) as i64, 0xbbbb);
    let flags = t.flags(40) << 16 | t.flags(51);
    t.is("over-mapping-flags", flags, 0x19_0019);
    t.is("covered-unmap", unmap(AT, one), -1);
    t.is("covering-unmap", unmap(AT, two), 0);
    t.is("covered-unmap-hole", unmap(AT, one), 0);
    let flags = t.flags(40) << 16 | t.flags(51);
    t.is("covered-flags", flags, 0x1_0001);
}

/// What one is granted cannot be granted on.
fn granted_on(t: &mut Try<'_>) {
    let (_, handle) = t.map(AT, 40, 2);
    publish(60, 1, t.other, AT >> 12);
    let got = t.tell(MAP, 60, 0);
    t.is("grant-on", got, -9);
    t.is("grant-on-flags", flags(60), 1);
    t.is("grant-on-unmap", unmap(AT, handle), 0);
}

/// The owner gives a page up that is mapped. On Xen it is there until it is unmapped; here it is
/// gone, and the borrower has an empty one.
fn given_up(t: &mut Try<'_>, frame: u64) {
    t.tell(WRITE, (frame << 12) + 40, 0x3333);
    let (_, handle) = t.map(AT, 40, 2);
    t.is("given-up-before", read(AT + 40) as i64, 0x3333);
    let got = t.tell(GIVE_UP, PAGE as u64, 0);
    t.is("given-up", got, 1);
    t.differs("given-up-shows", read(AT + 40) as i64, 0x3333, 0);
    write(AT + 48, 0x4444);
    t.is("given-up-writes", read(AT + 48) as i64, 0x4444);
    let flags = t.flags(40);
    t.is("given-up-flags", flags, 1 | 8 | 16);
    let (status, other) = t.map(AT + 0x1000, 40, 2);
    t.differs("given-up-again", status, 0, -1);
    if status == 0 {
        unmap(AT + 0x1000, other);
    }
    t.is("given-up-unmap", unmap(AT, handle), 0);
    t.is("given-up-gone", faults(AT), 1);
    let flags = t.flags(40);
    t.is("given-up-free", flags, 1);
    let (status, _) = t.map(AT, 40, 2);
    t.is("given-up-no-page", status, -9);
    let got = t.tell(TAKE_BACK, PAGE as u64, 0);
    t.is("taken-back", got, 1);
    let (status, handle) = t.map(AT, 40, 2);
    t.is("taken-back-map", status, 0);
    t.is("taken-back-unmap", unmap(AT, handle), 0);
}
