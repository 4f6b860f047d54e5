//! Return codes of memory_op, and what ballooning a page does.

use crate::attempt;
use crate::page::{self, Use};
use crate::report::Report;
use crate::trap::{Outcome, class};
use crate::xen::{NOBODY, SELF, call_with, call2, errno, nr};

/// A frame of a hole in the guest's map.
const HOLE: u64 = 0x0100_0000 >> 12;

/// `xen_memory_reservation`.
#[repr(C)]
struct Reservation {
    list: u64,
    extents: u64,
    order: u32,
    flags: u32,
    domain: u16,
}

/// `xen_add_to_physmap`.
#[repr(C)]
struct AddToPhysmap {
    domain: u16,
    size: u16,
    space: u32,
    index: u64,
    frame: u64,
}

/// `xen_remove_from_physmap`.
#[repr(C)]
struct RemoveFromPhysmap {
    domain: u16,
    frame: u64,
}

/// `XENMEM_decrease_reservation`.
pub const DECREASE: u64 = 1;
/// `XENMEM_populate_physmap`.
pub const POPULATE: u64 = 6;

/// Runs the set.
pub fn run(report: &mut Report) {
    physmap(report);
    balloon(report);
    let current = reservation(3, SELF);
    let maximum = reservation(4, SELF);
    report.check(
        "abi",
        "reservation",
        0 < current && current <= maximum,
        format_args!("current {current} maximum {maximum}"),
    );
    report.equal(
        "abi",
        "reservation-nobody",
        reservation(3, NOBODY),
        errno::SRCH,
    );
    let mut words = [0u64; 9];
    for command in [5, 9, 10, 12, 13, 16, 17, 20, 22, 25, 63] {
        let got = call_with(nr::MEMORY, command, &mut words);
        report.check(
            "abi",
            "memory-not-offered",
            got == errno::NOSYS,
            format_args!("{command}: got {got}"),
        );
    }
    words[0] = u64::from(SELF);
    report.equal(
        "abi",
        "memory-vnuma",
        call_with(nr::MEMORY, 26, &mut words),
        errno::OPNOTSUPP,
    );
    // Here no SELF; domain 1 is there on every machine.
    let mut claim = Reservation {
        list: 0,
        extents: 1,
        order: 0,
        flags: 0,
        domain: 1,
    };
    report.equal(
        "abi",
        "memory-claim",
        call_with(nr::MEMORY, 24, &mut claim),
        errno::PERM,
    );
}

pub fn reservation(command: u64, domain: u16) -> i64 {
    call_with(nr::MEMORY, command, &mut { domain })
}

/// Maps shared_info over a page of ours; also for other sets.
pub fn map_shared_info() -> i64 {
    add(SELF, 0, 0, page::frame(Use::SharedInfo))
}

/// Maps the first frame of the grant table over its page.
pub fn map_grant_frame() -> i64 {
    add(SELF, 1, 0, page::frame(Use::Grant))
}

fn add(domain: u16, space: u32, index: u64, frame: u64) -> i64 {
    call_with(
        nr::MEMORY,
        7,
        &mut AddToPhysmap {
            domain,
            size: 1,
            space,
            index,
            frame,
        },
    )
}

fn remove(domain: u16, frame: u64) -> i64 {
    call_with(nr::MEMORY, 15, &mut RemoveFromPhysmap { domain, frame })
}

fn physmap(report: &mut Report) {
    let frame = page::frame(Use::SharedInfo);
    report.equal(
        "abi",
        "add-shared-info-index-1",
        add(SELF, 0, 1, frame),
        errno::INVAL,
    );
    report.equal(
        "abi",
        "add-shared-info-nowhere",
        add(SELF, 0, 0, u64::MAX),
        errno::INVAL,
    );
    report.equal("abi", "add-nobody", add(NOBODY, 0, 0, frame), errno::SRCH);
    report.equal("abi", "add-gmfn", add(SELF, 2, 0, frame), errno::NOSYS);
    report.equal(
        "abi",
        "add-gmfn-range",
        add(SELF, 3, 0, frame),
        errno::NOSYS,
    );
    report.equal("abi", "add-foreign", add(SELF, 4, 0, frame), errno::NOSYS);
    report.equal("abi", "add-mmio", add(SELF, 5, 0, frame), errno::ACCES);
    report.equal(
        "abi",
        "add-unknown-space",
        add(SELF, 99, 0, frame),
        errno::NOSYS,
    );
    let mut good = AddToPhysmap {
        domain: SELF,
        size: 0,
        space: 0,
        index: 0,
        frame,
    };
    report.equal(
        "abi",
        "add-start-bits",
        call_with(nr::MEMORY, 7 | 1 << 22, &mut good),
        errno::DOM,
    );
    report.equal("abi", "add-shared-info", map_shared_info(), 0);
    report.equal(
        "abi",
        "add-shared-info-again",
        map_shared_info(),
        errno::BUSY,
    );
    // The page now is shared_info: its wall clock version is at 1072, past what we wrote never.
    page::write(Use::SharedInfo, 560, u64::MAX);
    report.check(
        "abi",
        "shared-info-is-writable",
        page::read(Use::SharedInfo, 560) == u64::MAX,
        format_args!("mask word 0"),
    );
    let grant = page::frame(Use::Grant);
    report.equal("abi", "add-grant-frame", add(SELF, 1, 0, grant), 0);
    report.equal(
        "abi",
        "add-grant-frame-again",
        add(SELF, 1, 0, grant),
        errno::BUSY,
    );
    report.equal(
        "abi",
        "add-grant-frame-64",
        add(SELF, 1, 64, grant),
        errno::INVAL,
    );
    report.equal(
        "abi",
        "add-grant-status-frame",
        add(SELF, 1, 1 << 31, grant),
        errno::INVAL,
    );
    report.equal("abi", "remove-hole", remove(SELF, HOLE), errno::NOENT);
    report.equal("abi", "remove-nobody", remove(NOBODY, HOLE), errno::SRCH);
    // U-Boot's way out: take the pages away and put RAM back.
    report.equal("abi", "remove-shared-info", remove(SELF, frame), 0);
    let back = extent(POPULATE, frame, 0);
    report.equal("abi", "populate-where-shared-info-was", back, 1);
    if back == 1 {
        page::write(Use::SharedInfo, 8, 0x5a5a);
        report.equal(
            "abi",
            "populated-page-is-ram",
            page::read(Use::SharedInfo, 8) as i64,
            0x5a5a,
        );
    }
    report.equal("abi", "remove-grant-frame", remove(SELF, grant), 0);
    report.equal(
        "abi",
        "populate-where-grant-was",
        extent(POPULATE, grant, 0),
        1,
    );
}

/// One extent through `command`.
pub fn extent(command: u64, frame: u64, order: u32) -> i64 {
    let list = [frame];
    let mut request = Reservation {
        list: list.as_ptr() as u64,
        extents: 1,
        order,
        flags: 0,
        domain: SELF,
    };
    call_with(nr::MEMORY, command, &mut request)
}

fn balloon(report: &mut Report) {
    let frame = page::frame(Use::Balloon);
    let before = reservation(3, SELF);
    report.equal("abi", "decrease", extent(DECREASE, frame, 0), 1);
    report.equal("abi", "decrease-counts", reservation(3, SELF), before - 1);
    let outcome = attempt!("ldr x0, [{}]", in(reg) page::address(Use::Balloon));
    let pass = matches!(outcome, Outcome::Took(fault) if fault.class() == class::DATA_ABORT);
    report.check(
        "abi",
        "decreased-page-is-gone",
        pass,
        format_args!("{outcome}"),
    );
    report.equal("abi", "decrease-again", extent(DECREASE, frame, 0), 0);
    report.equal("abi", "populate", extent(POPULATE, frame, 0), 1);
    report.equal("abi", "populate-counts", reservation(3, SELF), before);
    page::write(Use::Balloon, 0, 0x1234_5678);
    report.equal(
        "abi",
        "populated-page-holds",
        page::read(Use::Balloon, 0) as i64,
        0x1234_5678,
    );
    report.equal(
        "abi",
        "populate-occupied-at-quota",
        extent(POPULATE, frame, 0),
        0,
    );
    report.equal("abi", "populate-order-10", extent(POPULATE, frame, 10), 0);
    report.equal("abi", "decrease-hole", extent(DECREASE, HOLE, 0), 0);
    report.equal(
        "abi",
        "decrease-frame-max",
        extent(DECREASE, u64::MAX, 0),
        0,
    );
    let list = [frame];
    let mut many = Reservation {
        list: list.as_ptr() as u64,
        extents: 0x400_0000,
        order: 0,
        flags: 0,
        domain: SELF,
    };
    report.equal(
        "abi",
        "populate-too-many",
        call_with(nr::MEMORY, POPULATE, &mut many),
        0,
    );
    let mut foreign = Reservation {
        list: list.as_ptr() as u64,
        extents: 1,
        order: 0,
        flags: 0,
        domain: NOBODY,
    };
    report.equal(
        "abi",
        "populate-nobody",
        call_with(nr::MEMORY, POPULATE, &mut foreign),
        0,
    );
    let mut none = Reservation {
        list: 0,
        extents: 0,
        order: 0,
        flags: 0,
        domain: SELF,
    };
    report.equal(
        "abi",
        "decrease-nothing",
        call_with(nr::MEMORY, DECREASE, &mut none),
        0,
    );
    let mut one = Reservation {
        list: list.as_ptr() as u64,
        extents: 1,
        order: 0,
        flags: 0,
        domain: SELF,
    };
    report.equal(
        "abi",
        "start-past-the-end",
        call_with(nr::MEMORY, DECREASE | 5 << 6, &mut one),
        5,
    );
    report.equal(
        "abi",
        "increase",
        call2(nr::MEMORY, 0, core::ptr::from_mut(&mut one) as u64),
        0,
    );
}
