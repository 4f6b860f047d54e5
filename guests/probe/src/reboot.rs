//! A guest that restarts for ever, and looks each time whether it is as new.
//!
//! It cannot count its lives: nothing is left of the one before. Whoever reads its lines counts
//! them.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::abi_memory::{DECREASE, extent, reservation};
use crate::report::Report;
use crate::smp::second::{self, Ask, VCPUS};
use crate::xen::{self, nr};
use crate::{cpu, gic, page, spin, storm};

/// What a life leaves in memory; nothing else writes it.
const MARK: u64 = 0x6f6e_6365_2061_6761;
/// RAM that no file is loaded to: bytes from the start of RAM.
const MARKED: [u64; 3] = [0x10_0000, 0x30_0000, 0xdf_f000];
const RAM: u64 = 0x4000_0000;
/// `sched_op(shutdown)` with `SHUTDOWN_reboot`.
const SHUTDOWN: u64 = 2;
const REBOOT: u32 = 1;
/// `XENMEM_current_reservation`.
const CURRENT: u64 = 3;
/// `XENMEM_maximum_reservation`.
const MAXIMUM: u64 = 4;

/// PSCI `AFFINITY_INFO`.
const AFFINITY_INFO: u64 = 0xc400_0004;

/// A cell that is the image's, not bss: the image is loaded anew for each life.
static LOADED: AtomicU64 = AtomicU64::new(1);

/// Checks, leaves traces everywhere and asks for a restart.
pub fn run(report: &mut Report) -> ! {
    let registers = cpu::fresh();
    report.check(
        "reboot",
        "registers",
        registers.is_ok(),
        format_args!("{registers:?}"),
    );
    let vectors = cpu::fresh_vectors();
    report.check(
        "reboot",
        "vectors",
        vectors.is_ok(),
        format_args!("{vectors:?}"),
    );
    report.equal("reboot", "text", cpu::text().into(), 1);
    cpu::change_text();
    report.equal("reboot", "changed", cpu::text().into(), 2);
    let loaded = LOADED.swap(2, Relaxed);
    report.check(
        "reboot",
        "image",
        loaded == 1,
        format_args!("a word of the image is {loaded}"),
    );
    let marks = MARKED.map(|offset| {
        // SAFETY: RAM of this guest's that holds neither its image nor its device tree.
        unsafe { ((RAM + offset) as *const u64).read_volatile() }
    });
    report.check(
        "reboot",
        "memory",
        !marks.contains(&MARK),
        format_args!("{marks:x?}"),
    );
    let (control, mask, id) = gic::interface();
    report.check(
        "reboot",
        "interrupts",
        (control & 1, mask, id & 0x3ff) == (0, 0, 1023),
        format_args!("control {control:#x} mask {mask:#x} acknowledged {id:#x}"),
    );
    let pages = reservation(CURRENT, xen::SELF);
    report.equal(
        "reboot",
        "reservation",
        pages,
        reservation(MAXIMUM, xen::SELF),
    );

    let on = (1..vcpus()).filter(|n| cpu::smc(AFFINITY_INFO, *n as u64, 0, 0) != 1);
    report.equal("reboot", "others_are_off", on.count() as i64, 0);

    // A shorter life would be one of those that end after ten.
    spin::sleep_until(cpu::counter() / cpu::frequency() + 2);
    for offset in MARKED {
        // SAFETY: as above.
        unsafe { ((RAM + offset) as *mut u64).write_volatile(MARK) };
    }
    // A page less, and another covered: the block that they are in is split.
    let frame = page::frame(page::Use::Balloon);
    report.equal("reboot", "decrease", extent(DECREASE, frame, 0), 1);
    busy();
    // One interrupt that is active, one that is pending behind it, and the timer's a moment later.
    gic::leave_active();
    cpu::dirty();
    report.finish();
    let reset = cpu::counter() & 1 == 0;
    cpu::dirty_vectors();
    if reset {
        cpu::reset();
    }
    let mut reason = REBOOT;
    xen::call_with(nr::SCHED, SHUTDOWN, &mut reason);
    cpu::power_off()
}

/// How many vCPUs this guest has.
fn vcpus() -> usize {
    (gic::read_distributor(gic::gicd::TYPER) >> 5 & 7) as usize + 1
}

/// The others, where there are any, are in the midst of something when the life ends: one floods
/// its VMM, one sleeps, one computes.
fn busy() {
    for n in 1..vcpus().min(VCPUS) {
        second::turn_on(n);
        match n {
            1 => second::ask(n, Ask::Attack, storm::HYPERCALLS),
            2 => second::ask(n, Ask::Sleep, 0),
            _ => second::ask(n, Ask::Attack, storm::COMPUTES),
        }
    }
    for _ in 0..8 {
        second::make_way();
    }
}
