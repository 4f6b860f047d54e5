//! A guest's end and its next life.

#[path = "../common/mod.rs"]
mod common;
mod end;
mod orders;
mod refusals;
mod share;

use common::{decrease, populate, remove, reservation};
use hv_types::PAGE_SIZE;
use hypervisor_core::host::SysReg;
use sim::guest::{ARGS, CONSOLE_PAGE, FREE, GICC, GICD, RAM, SHARED_INFO, UPCALL, VTIMER};
use sim::{Domain, FREQUENCY, Guest, Ran, System};
use xen_abi::number::SCHED_OP;
use xen_abi::sched::{SHUTDOWN, Shutdown};

/// `SYSTEM_RESET`.
const RESET: u64 = 0x8400_0009;
/// What a life leaves behind.
const MARK: [u8; 8] = *b"my life!";
/// RAM of each guest in pages.
const PAGES: i64 = 4096;

/// Restarts the guest, by PSCI or by `SCHEDOP_shutdown`.
fn restart(guest: &mut Guest<'_>, psci: bool) {
    let ran = if psci {
        guest.smc(&[RESET])
    } else {
        guest.put(ARGS, &Shutdown { reason: 1 });
        guest.try_hvc(SCHED_OP, &[SHUTDOWN, ARGS])
    };
    assert_eq!(ran, Ran::Restarts);
}

/// Uses everything a guest has, differently in each life `n`.
fn live(guest: &mut Guest<'_>, n: u64) {
    if !guest.is_mapped(SHARED_INFO) {
        guest.map_shared_info();
    }
    guest.enable_gic();
    guest.enable_interrupt(VTIMER);
    guest.enable_interrupt(UPCALL);
    let (port, _) = guest.loopback();
    guest.send(port);
    guest.print(b"one more life\n");
    // Pages of several blocks: each is split.
    let page = |i: u64| (FREE >> 12) + 512 * (i % 4) + i;
    let gone: Vec<u64> = (0..3 + n % 7).map(page).collect();
    assert_eq!(decrease(guest, &gone), gone.len() as i64);
    if n.is_multiple_of(2) {
        assert_eq!(populate(guest, &gone[1..]), gone.len() as i64 - 1);
    }
    assert_eq!(remove(guest, page(40)), 0, "parked");
    for at in marked() {
        guest.put(at, &MARK);
    }
    guest.set_timer(0);
}

/// Where a life leaves marks: RAM of whole and of split blocks, shared_info and the console ring.
fn marked() -> impl Iterator<Item = u64> {
    let ram = (0..6).map(|block| FREE + (block << 21) + 0x80_000);
    ram.chain([SHARED_INFO + 0xff0, CONSOLE_PAGE + 0xff0])
}

/// Physical addresses of all pages of RAM that a guest has.
fn frames(sys: &System, index: usize) -> Vec<u64> {
    let domain = System::domain(index);
    let machine = sys.memory.machine().look();
    let ram = machine.mapped(domain, sim::caps::Side::Guest);
    let mut frames: Vec<u64> = ram
        .into_iter()
        .filter(|(at, ..)| (RAM..RAM + (16 << 20)).contains(at))
        .flat_map(|(_, paddr, bytes)| (paddr..paddr + bytes).step_by(0x1000))
        .collect();
    frames.sort_unstable();
    frames
}

/// SM-14, SM-16, EX-3, EX-6, EX-15, LU-7: a guest restarts a hundred times, by either call, having
/// used all it has: the same frames and totals each time, nothing of the life before in them, extra
/// pages made anew, not a frame lost.
#[test]
fn a_hundred_lives() {
    for index in [0, 1] {
        let mut sys = System::two();
        let first = (frames(&sys, index), sys.memory.totals());
        let usage = sys.memory.usage(System::domain(index));
        for n in 0..100 {
            // Each life is longer than a second, or the hundredth would not come.
            sys.advance(FREQUENCY);
            let mut guest = sys.guest(index);
            assert_eq!(reservation(&mut guest), PAGES);
            live(&mut guest, n);
            restart(&mut guest, n.is_multiple_of(3));
            assert!(sys.is_alive(index));
            assert_eq!(u64::from(sys.restarts(index)), n + 1);
            let now = sys.memory.usage(System::domain(index));
            assert_eq!((now.ram, now.extra), (usage.ram, usage.extra));
            let totals = sys.memory.totals();
            assert_eq!((totals.sum(), totals.lost), (totals.all, 0));
            assert_eq!(
                (totals.static_held, totals.static_free, totals.heap_held),
                (first.1.static_held, first.1.static_free, first.1.heap_held)
            );
            assert_eq!(
                (totals.heap_free, totals.extra),
                (first.1.heap_free, first.1.extra)
            );
            if index == 0 {
                assert!(frames(&sys, index) == first.0, "the same frames");
            }
            assert!(!sys.guest(index).is_mapped(SHARED_INFO));
            let mut guest = sys.guest(index);
            guest.map_shared_info();
            for at in marked() {
                assert_ne!(guest.bytes(at, 8), MARK, "life {n} at {at:#x}");
            }
            guest.sys.assert_consistent();
        }
        let lines = sys.memory.machine().look().log.clone();
        let reports: Vec<_> = lines
            .iter()
            .filter(|line| line.contains("restarts"))
            .collect();
        assert_eq!(
            reports.len(),
            7,
            "1, 2, 4 … 64: less and less often: {reports:?}"
        );
    }
}

/// SM-14, LU-8: after a restart all RAM is zero but for the files loaded anew, whatever it held.
#[test]
fn a_new_life_finds_its_files_and_zeros() {
    for index in [0, 1] {
        let mut sys = System::two();
        let mut guest = sys.guest(index);
        let fresh: Vec<_> = pages(&guest).collect();
        for page in (RAM..RAM + (16 << 20)).step_by(0x1000) {
            guest.put(page + 8, &MARK);
        }
        restart(&mut guest, true);
        let guest = sys.guest(index);
        for (n, (now, then)) in pages(&guest).zip(fresh).enumerate() {
            assert_eq!(now, then, "page {n} of guest {index}");
        }
    }
}

/// The first bytes of each page. Memory that the kernel does not own has the boot loader's leavings
/// in the first life.
fn pages(guest: &Guest<'_>) -> impl Iterator<Item = Vec<u8>> {
    (RAM..RAM + (16 << 20)).step_by(0x1000).map(|page| {
        let bytes = guest.bytes(page, 32).into_iter();
        bytes
            .map(|byte| if byte == sim::caps::JUNK { 0 } else { byte })
            .collect()
    })
}

/// EV-3: the vCPU, the interrupt controller, the timer, event channels and parameters are those of
/// a machine that has just been switched on.
#[test]
fn a_new_life_begins_like_the_first() {
    let mut sys = System::two();
    let (pc, x0) = (sys.guest(0).pc(), sys.guest(0).x(0));
    let mut guest = sys.guest(0);
    // HVM_PARAM_CONSOLE_PFN and _EVTCHN.
    let params = [17, 18].map(|n| guest.param(n));
    live(&mut guest, 0);
    // The upcall is active, the timer's interrupt pending behind it.
    guest.acknowledge();
    for n in 0..31 {
        guest.set_x(n, 0x1234);
    }
    restart(&mut guest, true);
    let mut guest = sys.guest(0);
    assert_eq!((guest.pc(), guest.x(0), guest.pstate()), (pc, x0, 0x3c5));
    assert!((1..31).all(|n| guest.x(n) == 0));
    for reg in [SysReg::Ttbr0, SysReg::Vbar, SysReg::Elr, SysReg::CntvCtl] {
        assert_eq!(guest.sysreg(reg), 0, "{reg:?}");
    }
    assert!(!guest.irq(), "no list register is in use");
    use sim::guest::insn::Width::Word;
    assert_eq!(guest.load(GICD, Word) & 1, 0, "the distributor is off");
    assert_eq!(guest.load(GICD + 0x100, Word), 0xffff);
    assert_eq!((guest.load(GICC, Word), guest.load(GICC + 4, Word)), (0, 0));
    guest.enable_gic();
    guest.enable_interrupt(VTIMER);
    assert_eq!(guest.take_interrupts(), []);
    assert_eq!([17, 18].map(|n| guest.param(n)), params);
    guest.map_shared_info();
    let console = guest.console_port();
    let (port, _) = guest.loopback();
    assert_eq!(port, console + 1, "the lowest free port");
    // It is a guest like any other.
    let now = guest.sys.now();
    guest.set_timer(now + FREQUENCY);
    assert_eq!(guest.wfi(), Ran::Waiting);
    guest.sys.advance(2 * FREQUENCY);
    assert_eq!(guest.take_interrupts(), [VTIMER]);
    guest.sys.seen();
    guest.print(b"born again\n");
    guest.sys.advance(FREQUENCY);
    assert!(guest.sys.seen().contains("linux1: born again\r\n"));
}

/// A guest without PV features and one with a vpl011 restart too.
#[test]
fn every_kind_of_guest_restarts() {
    let plain = Domain {
        enhanced: None,
        ..Domain::new("plain")
    };
    let mut sys = System::new(&[plain, Domain::new("uart").heap().with_vpl011()]);
    for index in [0, 1] {
        for n in 1..4 {
            restart(&mut sys.guest(index), true);
            assert_eq!((sys.restarts(index), sys.is_alive(index)), (n, true));
        }
    }
    sys.assert_consistent();
}
