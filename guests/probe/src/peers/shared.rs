//! Static shared memory: two roles that see one region, with a static event channel as their bell.
//!
//! `role=owner` writes and `role=borrower` answers. Each restarts once, the borrower first: what is
//! in the region then is how far the two have come, so that alone tells a guest which of its lives
//! this is. The region is empty when the machine starts.

use core::sync::atomic::{Ordering, fence};

use super::{PATIENCE, mask_all, send, take};
use crate::abi_memory::{extent, map_shared_info, reservation};
use crate::codes::grants::{TABLE, publish};
use crate::codes::{mapping, physmap};
use crate::cpu;
use crate::report::Report;
use crate::xen::{SELF, call2, errno, nr};

const SET: &str = "shared";
/// Ports of the two ends.
const BELL: u32 = 5;
const PAGE: u64 = 0x1000;
/// Words of the first page: how far the two have come; from here on, what their first lives saw.
const STAGE: u64 = 8;
const SEEN: u64 = 16;
/// A page that the guest has nothing at.
const FREE: u64 = 0x3_6000_0000;
const GREF: u32 = 40;

/// How far the two have come.
const WRITTEN: u64 = 1;
const ANSWERED: u64 = 2;
const BORROWER_GOES: u64 = 3;
const BORROWER_IS_BACK: u64 = 4;
const OWNER_GOES: u64 = 5;
const OWNER_IS_BACK: u64 = 6;

/// The region.
struct Region {
    at: u64,
    size: u64,
}

impl Region {
    fn read(&self, offset: u64) -> u64 {
        fence(Ordering::SeqCst);
        // SAFETY: the domains file has memory there, of which this program has nothing else; the
        // other guest may change it at any time, and all values are good.
        unsafe { ((self.at + offset) as *const u64).read_volatile() }
    }

    fn write(&self, offset: u64, value: u64) {
        // SAFETY: as for `read`.
        unsafe { ((self.at + offset) as *mut u64).write_volatile(value) };
        fence(Ordering::SeqCst);
    }

    fn pages(&self) -> u64 {
        self.size / PAGE
    }

    /// Reports whether `got` is the number of its pages.
    fn all(&self, r: &mut Report, name: &str, got: u64) {
        let pages = self.pages();
        r.check(
            SET,
            name,
            got == pages,
            format_args!("{got} of {pages} pages"),
        );
    }

    /// Offsets of the last word of each page.
    fn words(&self) -> impl Iterator<Item = u64> + use<> {
        (0..self.pages()).map(|page| page * PAGE + PAGE - 8)
    }

    /// How many pages hold what `of` says.
    fn hold(&self, of: impl Fn(u64) -> u64) -> u64 {
        let words = self.words().filter(|at| self.read(*at) == of(*at));
        words.count() as u64
    }

    fn fill(&self, of: impl Fn(u64) -> u64) {
        self.words().for_each(|at| self.write(at, of(at)));
    }

    /// Says how far this one has come, and rings.
    fn reach(&self, stage: u64) -> i64 {
        self.write(STAGE, stage);
        send(BELL)
    }

    /// Waits for the bell until the two have come as far as `stage`.
    fn wait(&self, stage: u64) -> bool {
        let end = cpu::counter() + PATIENCE * cpu::frequency();
        while cpu::counter() < end {
            if self.read(STAGE) >= stage {
                take(BELL);
                return true;
            }
            super::poll(BELL);
            take(BELL);
        }
        false
    }
}

/// What the owner writes, and what the borrower makes of it.
const fn written(at: u64) -> u64 {
    at.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1
}
const fn answered(at: u64) -> u64 {
    !written(at)
}

/// Runs the set on the region of `size` bytes at `at`.
pub fn run(report: &mut Report, role: &str, at: u64, size: u64) {
    map_shared_info();
    mask_all();
    let region = Region { at, size };
    match role {
        "owner" => owner(report, &region),
        _ => borrower(report, &region),
    }
    codes(report, &region);
}

fn owner(r: &mut Report, region: &Region) {
    if region.read(STAGE) == 0 {
        let empty = region.hold(|_| 0);
        region.write(SEEN, u64::from(empty == region.pages()));
        region.fill(written);
        region.reach(WRITTEN);
        region.wait(BORROWER_IS_BACK);
        region.write(SEEN + 8, region.hold(answered));
        region.reach(OWNER_GOES);
        cpu::reset();
        return;
    }
    // Its second life, which reports what the first one saw.
    let empty = region.read(SEEN);
    r.check(SET, "is-empty-at-boot", empty == 1, format_args!("{empty}"));
    region.all(r, "answered", region.read(SEEN + 8));
    region.all(r, "own-restart-clears-nothing", region.hold(answered));
    region.fill(written);
    r.equal(SET, "bell-after-restart", region.reach(OWNER_IS_BACK), 0);
}

fn borrower(r: &mut Report, region: &Region) {
    if region.read(STAGE) < BORROWER_GOES {
        region.wait(WRITTEN);
        region.write(SEEN + 16, region.hold(written));
        region.fill(answered);
        region.write(STAGE, ANSWERED);
        region.write(STAGE, BORROWER_GOES);
        cpu::reset();
        return;
    }
    region.all(r, "written", region.read(SEEN + 16));
    region.all(r, "own-restart-clears-nothing", region.hold(answered));
    r.equal(SET, "bell-after-restart", region.reach(BORROWER_IS_BACK), 0);
    let came = region.wait(OWNER_GOES);
    r.check(SET, "owner-has-answer", came, format_args!(""));
    let came = region.wait(OWNER_IS_BACK);
    r.check(SET, "owner-restarts", came, format_args!(""));
    region.all(r, "written-again", region.hold(written));
}

/// It is not RAM of this guest.
fn codes(r: &mut Report, region: &Region) {
    let is = |r: &mut Report, name: &str, got: i64, want: i64| r.equal(SET, name, got, want);
    is(r, "grant-table", physmap::add(SELF, 1, 0, TABLE >> 12), 0);
    for (place, offset) in [("first", 0), ("last", region.size - PAGE)] {
        let at = region.at + offset;
        let frame = at >> 12;
        let before = reservation(3, SELF);
        let kept = region.read(offset + PAGE - 8);
        r.check(SET, place, kept != 0, format_args!("{at:#x}"));
        is(r, "no-argument", call2(nr::MEMORY, 3, at), errno::FAULT);
        is(r, "not-given-up", extent(1, frame, 0), 0);
        is(r, "not-populated", extent(6, frame, 0), 0);
        is(r, "counts-for-nothing", reservation(3, SELF), before);
        is(
            r,
            "nothing-over-it",
            physmap::add(SELF, 1, 1, frame),
            errno::INVAL,
        );
        is(r, "not-removed", physmap::remove(SELF, frame), errno::INVAL);
        let me = super::me();
        publish(GREF.into(), 1, me, frame);
        let (_, status, _) = mapping::map(FREE, GREF, 2, me);
        is(r, "not-granted", status, -9);
        publish(GREF.into(), 0, 0, 0);
        let now = region.read(offset + PAGE - 8);
        r.check(SET, "stays", now == kept, format_args!("{now:#x}"));
    }
}
