//! Interrupts and time as a guest sees them.

mod common;

use hypervisor_core::host::SysReg;
use sim::guest::insn::Width;
use sim::guest::{GICD, UPCALL, VTIMER};
use sim::{FREQUENCY, Guest, Ran, System};

const SPURIOUS: u16 = 1023;
/// `CNTV_CTL_EL0`.
const ENABLE: u64 = 1;
const IMASK: u64 = 2;

fn with_timer(sys: &mut System) -> Guest<'_> {
    let mut guest = sys.guest(0);
    guest.enable_gic();
    guest.enable_interrupt(VTIMER);
    guest
}

/// Lets `ticks` pass.
fn pass(guest: &mut Guest<'_>, ticks: u64) {
    guest.sys.advance(ticks);
}

#[test]
fn the_distributor_is_a_gicv2_with_one_cpu() {
    let mut sys = System::two();
    let mut guest = sys.guest(0);
    assert_eq!(guest.load(GICD, Width::Word), 0, "disabled after reset");
    assert_eq!(guest.load(GICD + 4, Width::Word) >> 5 & 7, 0, "one CPU");
    assert_eq!(guest.load(GICD + 8, Width::Word), 0x0200_143b, "GIC-400");
    assert_eq!(
        guest.load(GICD + 0xfe8, Width::Word) >> 4 & 0xf,
        2,
        "architecture version 2"
    );
    guest.store(GICD, Width::Word, 1);
    assert_eq!(guest.load(GICD, Width::Word), 1);
    guest.store(GICD + 0x400 + 27, Width::Byte, 0xa0);
    assert_eq!(guest.load(GICD + 0x400 + 27, Width::Byte), 0xa0);
    assert_eq!(guest.load(GICD + 0x418, Width::Word), 0xa000_0000);
}

#[test]
fn loads_fill_the_register_as_the_instruction_says() {
    let mut sys = System::two();
    let mut guest = sys.guest(0);
    guest.store(GICD + 0x400 + 27, Width::Byte, 0xf8);
    guest.set_x(4, u64::MAX);
    assert_eq!(
        guest.load(GICD + 0x400 + 27, Width::Byte),
        0xf8,
        "zero-extended"
    );
    assert_eq!(
        guest.load(GICD + 0x400 + 27, Width::SignedByte),
        0xffff_ffff_ffff_fff8,
        "sign-extended"
    );
}

#[test]
fn accesses_that_the_distributor_does_not_take_are_data_aborts() {
    let mut sys = System::two();
    let mut guest = sys.guest(0);
    for (offset, width) in [
        (0, Width::Byte),
        (0, Width::Half),
        (0, Width::Double),
        (2, Width::Half),
        (0x100, Width::Double),
        (0, Width::Pair),
    ] {
        for store in [false, true] {
            let ran = guest.access(GICD + offset, width, store);
            let Ran::Exception(taken) = ran else {
                panic!("{width:?} at {offset:#x}: {ran:?}")
            };
            assert_eq!(
                (taken.vector, taken.esr),
                (0x200, 0x9600_0000),
                "{width:?} at {offset:#x}"
            );
            assert_eq!(
                (taken.far, taken.elr),
                (GICD + offset, 0),
                "{width:?} at {offset:#x}"
            );
        }
    }
    assert_eq!(guest.load(GICD, Width::Word), 0, "nothing was written");
}

#[test]
fn the_timer_ticks_once_for_each_deadline() {
    let mut sys = System::two();
    let mut guest = with_timer(&mut sys);
    for tick in 0..20 {
        let now = guest.sys.now();
        guest.set_timer(now + 1000);
        pass(&mut guest, 999);
        assert!(!guest.irq(), "tick {tick} is early");
        pass(&mut guest, 1);
        assert!(guest.irq());
        assert_eq!(guest.acknowledge(), VTIMER);
        assert_eq!(guest.acknowledge(), SPURIOUS, "it is active now");
        guest.set_timer(now + 2000);
        guest.end(VTIMER);
        assert!(!guest.irq(), "tick {tick} came twice");
    }
}

#[test]
fn a_timer_that_is_not_re_armed_interrupts_again() {
    let mut sys = System::two();
    let mut guest = with_timer(&mut sys);
    let now = guest.sys.now();
    guest.set_timer(now);
    for _ in 0..3 {
        assert!(guest.irq());
        assert_eq!(guest.acknowledge(), VTIMER);
        guest.end(VTIMER);
    }
    guest.acknowledge();
    guest.stop_timer();
    guest.end(VTIMER);
    assert!(!guest.irq());
}

#[test]
fn a_masked_or_disabled_timer_does_not_interrupt() {
    let mut sys = System::two();
    let mut guest = with_timer(&mut sys);
    for ctl in [0, IMASK, ENABLE | IMASK] {
        guest.set_sysreg(SysReg::CntvCval, 1);
        guest.set_sysreg(SysReg::CntvCtl, ctl);
        pass(&mut guest, 10_000);
        assert!(!guest.irq(), "CTL {ctl}");
    }
}

#[test]
fn a_tick_asserted_while_its_interrupt_is_disabled_is_not_lost() {
    let mut sys = System::two();
    let mut guest = sys.guest(0);
    guest.enable_gic();
    let now = guest.sys.now();
    guest.set_timer(now + 10);
    pass(&mut guest, 100);
    assert!(!guest.irq());
    assert_ne!(
        guest.load(GICD + 0x200, Width::Word) & 1 << 27,
        0,
        "pending"
    );
    guest.enable_interrupt(VTIMER);
    assert_eq!(guest.take_interrupts(), [VTIMER]);
}

#[test]
fn a_tick_asserted_while_the_distributor_is_off_is_not_lost() {
    let mut sys = System::two();
    let mut guest = sys.guest(0);
    guest.enable_gic();
    guest.enable_interrupt(VTIMER);
    guest.store(GICD, Width::Word, 0);
    let now = guest.sys.now();
    guest.set_timer(now + 10);
    pass(&mut guest, 100);
    assert!(!guest.irq());
    guest.store(GICD, Width::Word, 1);
    assert_eq!(guest.take_interrupts(), [VTIMER]);
}

#[test]
fn a_tick_that_was_re_armed_while_disabled_is_gone_and_the_next_one_comes() {
    let mut sys = System::two();
    let mut guest = sys.guest(0);
    guest.enable_gic();
    let now = guest.sys.now();
    guest.set_timer(now + 10);
    pass(&mut guest, 100);
    assert!(!guest.irq());
    guest.set_timer(now + 5000);
    guest.enable_interrupt(VTIMER);
    assert!(!guest.irq(), "the level is low again");
    pass(&mut guest, 5000);
    assert_eq!(guest.take_interrupts(), [VTIMER]);
}

#[test]
fn disabling_and_enabling_between_ticks_loses_none() {
    let mut sys = System::two();
    let mut guest = with_timer(&mut sys);
    for _ in 0..10 {
        let now = guest.sys.now();
        guest.set_timer(now + 100);
        guest.disable_interrupt(VTIMER);
        pass(&mut guest, 200);
        assert!(!guest.irq());
        guest.enable_interrupt(VTIMER);
        assert_eq!(guest.take_interrupts(), [VTIMER]);
    }
}

#[test]
fn wfi_sleeps_until_the_timer_and_not_longer() {
    let mut sys = System::two();
    let mut guest = with_timer(&mut sys);
    let start = guest.sys.now();
    guest.set_timer(start + FREQUENCY);
    assert_eq!(guest.wfi(), Ran::Waiting);
    pass(&mut guest, FREQUENCY - 1);
    assert!(!guest.is_running());
    pass(&mut guest, 1);
    assert!(guest.is_running());
    assert_eq!(guest.take_interrupts(), [VTIMER]);
}

#[test]
fn a_guest_asleep_wakes_nobody() {
    let mut sys = System::two();
    let mut guest = with_timer(&mut sys);
    let now = guest.sys.now();
    guest.set_timer(now + 1_000_000);
    assert_eq!(guest.wfi(), Ran::Waiting);
    // The next event of the whole system is the deadline itself.
    assert!(sys.advance_to_next_event());
    assert_eq!(sys.now(), now + 1_000_000);
    assert!(!sys.is_waiting(0));
}

#[test]
fn wfi_with_a_deadline_in_the_past_does_not_sleep() {
    let mut sys = System::two();
    let mut guest = with_timer(&mut sys);
    let now = guest.sys.now();
    guest.set_timer(now + 10);
    pass(&mut guest, 10);
    assert_eq!(guest.wfi(), Ran::Done);
    assert_eq!(guest.take_interrupts(), [VTIMER]);
}

#[test]
fn wfi_with_a_pending_interrupt_does_not_sleep_even_where_it_is_masked() {
    let mut sys = System::two();
    let mut guest = with_timer(&mut sys);
    assert_ne!(guest.pstate() & 1 << 7, 0, "PSTATE.I");
    let now = guest.sys.now();
    guest.set_timer(now);
    assert!(guest.irq());
    assert_eq!(guest.wfi(), Ran::Done);
    assert_eq!(guest.wfi(), Ran::Done);
}

#[test]
fn wfi_without_anything_to_wait_for_sleeps_for_good() {
    let mut sys = System::two();
    assert_eq!(sys.guest(0).wfi(), Ran::Waiting);
    sys.advance(1000 * FREQUENCY);
    assert!(sys.is_waiting(0));
    assert!(sys.is_alive(0));
}

#[test]
fn a_timer_whose_interrupt_is_disabled_does_not_wake() {
    let mut sys = System::two();
    let mut guest = sys.guest(0);
    guest.enable_gic();
    let now = guest.sys.now();
    guest.set_timer(now + 100);
    assert_eq!(guest.wfi(), Ran::Waiting);
    pass(&mut guest, 1000);
    assert!(!guest.is_running());
}

#[test]
fn wfe_goes_on() {
    let mut sys = System::two();
    assert_eq!(sys.guest(0).wfe(), Ran::Done);
}

#[test]
fn sleeping_and_ticking_for_a_long_time_keeps_time() {
    let mut sys = System::two();
    let mut guest = with_timer(&mut sys);
    let period = FREQUENCY / 250;
    let start = guest.sys.now();
    for tick in 1..=500 {
        guest.set_timer(start + tick * period);
        assert_eq!(guest.wfi(), Ran::Waiting);
        pass(&mut guest, period);
        assert_eq!(guest.take_interrupts(), [VTIMER], "tick {tick}");
    }
    assert_eq!(guest.sys.now(), start + 500 * period);
}

#[test]
fn software_interrupts_come_once_each() {
    let mut sys = System::two();
    let mut guest = sys.guest(0);
    guest.enable_gic();
    for sgi in 0..16 {
        guest.store(GICD + 0xf00, Width::Word, 2 << 24 | sgi);
    }
    let mut taken = guest.take_interrupts();
    taken.sort_unstable();
    assert_eq!(
        taken,
        (0..16).collect::<Vec<u16>>(),
        "more than there are list registers"
    );
    assert!(!guest.irq());
}

#[test]
fn more_urgent_interrupts_come_first() {
    let mut sys = System::two();
    let mut guest = sys.guest(0);
    guest.enable_gic();
    guest.store(GICD, Width::Word, 0);
    for sgi in 0..4 {
        guest.store(GICD + 0x400 + sgi, Width::Byte, 0xf0 - 0x10 * sgi - 0x10);
        guest.store(GICD + 0xf00, Width::Word, 2 << 24 | sgi);
    }
    guest.store(GICD, Width::Word, 1);
    assert_eq!(guest.take_interrupts(), [3, 2, 1, 0]);
}

#[test]
fn an_interrupt_preempts_a_less_urgent_one() {
    let mut sys = System::two();
    let mut guest = sys.guest(0);
    guest.enable_gic();
    guest.store(GICD + 0x400 + 1, Width::Byte, 0x80);
    guest.store(GICD + 0x400 + 2, Width::Byte, 0x40);
    guest.store(GICD + 0xf00, Width::Word, 2 << 24 | 1);
    assert_eq!(guest.acknowledge(), 1);
    guest.store(GICD + 0xf00, Width::Word, 2 << 24 | 2);
    assert!(guest.irq());
    assert_eq!(guest.acknowledge(), 2);
    guest.end(2);
    guest.end(1);
    assert!(!guest.irq());
}

#[test]
fn a_pending_bit_that_the_guest_sets_itself_is_an_interrupt() {
    let mut sys = System::two();
    let mut guest = sys.guest(0);
    guest.enable_gic();
    guest.enable_interrupt(UPCALL);
    guest.store(GICD + 0x200, Width::Word, 1 << UPCALL);
    assert_eq!(guest.take_interrupts(), [UPCALL]);
    assert!(!guest.irq());
}

#[test]
fn ending_what_was_not_taken_does_nothing() {
    let mut sys = System::two();
    let mut guest = with_timer(&mut sys);
    for intid in [0, 5, VTIMER, UPCALL, 99, SPURIOUS] {
        guest.end(intid);
    }
    let now = guest.sys.now();
    guest.set_timer(now);
    assert_eq!(guest.take_interrupts(), [VTIMER]);
}

#[test]
fn timers_of_two_guests_are_their_own() {
    let mut sys = System::two();
    let now = sys.now();
    for index in 0..2 {
        let mut guest = sys.guest(index);
        guest.enable_gic();
        guest.enable_interrupt(VTIMER);
        guest.set_timer(now + 1000 * (index as u64 + 1));
        assert_eq!(guest.wfi(), Ran::Waiting);
    }
    sys.advance(1000);
    assert!(!sys.is_waiting(0) && sys.is_waiting(1));
    assert_eq!(sys.guest(0).take_interrupts(), [VTIMER]);
    sys.advance(1000);
    assert!(!sys.is_waiting(1));
    assert_eq!(sys.guest(1).take_interrupts(), [VTIMER]);
    assert!(!sys.guest(0).irq());
}

#[test]
fn the_physical_count_reads_as_time_and_the_physical_timer_is_not_there() {
    let mut sys = System::two();
    let mut guest = sys.guest(0);
    let mrs = |encoding| sim::guest::insn::esr_mrs(encoding, 6);
    assert_eq!(
        guest.trap(0xd53b_e026, mrs([3, 3, 14, 0, 1])),
        Ran::Done,
        "mrs x6, cntpct_el0"
    );
    assert_eq!(guest.x(6), guest.sys.now());
    let Ran::Exception(taken) = guest.trap(0xd53b_e226, mrs([3, 3, 14, 2, 1])) else {
        panic!("cntp_ctl_el0")
    };
    assert_eq!(
        (taken.vector, taken.esr, taken.elr),
        (0x200, 0x0200_0000, 0)
    );
}
