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

/// `ldr w4, [x2], #4` and its kin: word, store, the base before and after, relative to the
/// priorities.
const WRITE_BACKS: [(u32, bool, u64, u64); 8] = [
    (0xb840_4444, false, 8, 12), // ldr w4, [x2], #4
    (0xb800_4444, true, 8, 12),  // str w4, [x2], #4
    (0x3840_1444, false, 8, 9),  // ldrb w4, [x2], #1
    (0x381f_f444, true, 8, 7),   // strb w4, [x2], #-1
    (0x3880_1444, false, 8, 9),  // ldrsb x4, [x2], #1
    (0xb840_4c44, false, 4, 8),  // ldr w4, [x2, #4]!
    (0xb81f_cc44, true, 12, 8),  // str w4, [x2, #-4]!
    (0x3840_1c44, false, 7, 8),  // ldrb w4, [x2, #1]!
];

#[test]
fn loads_and_stores_that_move_their_base_are_carried_out() {
    let mut sys = System::two();
    let mut guest = sys.guest(0);
    let priorities = GICD + 0x400;
    for (word, store, before, after) in WRITE_BACKS {
        guest.store(priorities + 8, Width::Word, 0xa0a0_a0f8);
        guest.set_x(2, priorities + before);
        guest.set_x(4, 0xd0);
        let ran = guest.access_by(word, priorities + 8, store);
        assert_eq!(ran, Ran::Done, "{word:#x}");
        assert_eq!(guest.x(2), priorities + after, "{word:#x}: the base");
        let first = guest.x(4);
        let byte = word >> 30 == 0;
        let want = match (store, byte, word >> 23 & 1) {
            (true, ..) => 0xd0,
            (_, true, 0) => 0xf8,
            (_, true, _) => 0xffff_ffff_ffff_fff8,
            _ => 0xa0a0_a0f8,
        };
        assert_eq!(first, want, "{word:#x}: the value");
        let there = guest.load(priorities + 8, Width::Word);
        let want = match (store, byte) {
            (false, _) => 0xa0a0_a0f8,
            (true, true) => 0xa0a0_a0d0,
            (true, false) => 0xd0,
        };
        assert_eq!(there, want, "{word:#x}: the register");
    }
}

#[test]
fn the_stack_pointer_can_be_the_base() {
    let mut sys = System::two();
    let mut guest = sys.guest(0);
    let at = GICD + 0x400;
    guest.set_sysreg(SysReg::Sp1, at);
    guest.set_sysreg(SysReg::Sp0, 7);
    // str wzr, [sp], #4
    assert_eq!(guest.access_by(0xb800_47ff, at, true), Ran::Done);
    assert_eq!(guest.sysreg(SysReg::Sp1), at + 4);
    assert_eq!(guest.sysreg(SysReg::Sp0), 7);
}

#[test]
fn what_is_not_decoded_or_refused_changes_no_register() {
    let mut sys = System::two();
    let mut guest = sys.guest(0);
    for (word, store, what) in [
        (0xb840_4442_u32, false, "ldr w2, [x2], #4: base and value"),
        (0x28c1_1444, false, "ldp w4, w5, [x2], #8"),
        (0x3cc1_0444, false, "ldr q4, [x2], #16"),
        (0xb824_0045, true, "ldadd w4, w5, [x2]"),
        (0x7840_2444, false, "ldrh: the distributor takes none"),
        (0xf800_8444, true, "str x4, [x2], #8: nor that"),
        (
            0xb800_4444,
            false,
            "the text of a store, but a load aborted",
        ),
        (0xb840_4c44, false, "its base is not where the abort was"),
    ] {
        let at = GICD + 0x408;
        guest.set_x(2, at);
        guest.set_x(4, 0x77);
        let Ran::Exception(taken) = guest.access_by(word, at, store) else {
            panic!("{what}")
        };
        assert_eq!(
            (taken.vector, taken.elr, taken.esr >> 26),
            (0x200, 0, 0x25),
            "{what}"
        );
        assert_eq!((guest.x(2), guest.x(4)), (at, 0x77), "{what}");
    }
    // In AArch32 user space the word would be another instruction.
    guest.set_x(2, GICD);
    guest.set_pstate(0x10);
    let ran = guest.access_by(0xb840_4444, GICD, false);
    assert!(
        matches!(ran, Ran::Exception(taken) if taken.vector == 0x600),
        "{ran:?}"
    );
}

#[test]
fn maintenance_of_caches_on_a_device_does_nothing() {
    let mut sys = System::two();
    let mut guest = sys.guest(0);
    // dc civac, x2; dc ivac, x2; ic ivau, x2.
    for word in [0xd50b_7e22, 0xd508_7622, 0xd50b_7522] {
        guest.set_x(2, GICD + 0x400);
        assert_eq!(guest.maintain(word, GICD + 0x400), Ran::Done, "{word:#x}");
        // Where nothing is it stays an abort.
        guest.set_x(2, 0x0100_0000);
        let ran = guest.maintain(word, 0x0100_0000);
        assert!(
            matches!(ran, Ran::Exception(taken) if taken.far == 0x0100_0000),
            "{ran:?}"
        );
    }
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

/// `mrs x6` or `msr` of `CNTP_TVAL_EL0` (0), `CNTP_CTL_EL0` (1), `CNTP_CVAL_EL0` (2).
fn physical_timer(guest: &mut Guest<'_>, op2: u32, read: bool) -> u64 {
    let esr = sim::guest::insn::esr_mrs([3, 3, 14, 2, op2], 6) & !u32::from(!read);
    assert_eq!(guest.trap(0xd51b_e206, esr), Ran::Done, "op2 {op2}");
    guest.x(6)
}

fn set_physical_timer(guest: &mut Guest<'_>, ticks: u64) {
    guest.set_x(6, ticks);
    physical_timer(guest, 0, false);
    guest.set_x(6, ENABLE);
    physical_timer(guest, 1, false);
}

const PTIMER: u16 = 30;

#[test]
fn the_physical_count_reads_as_time_and_its_timer_interrupts() {
    let mut sys = System::two();
    let mut guest = sys.guest(0);
    let mrs = |encoding| sim::guest::insn::esr_mrs(encoding, 6);
    assert_eq!(
        guest.trap(0xd53b_e026, mrs([3, 3, 14, 0, 1])),
        Ran::Done,
        "mrs x6, cntpct_el0"
    );
    assert_eq!(guest.x(6), guest.sys.now());
    guest.enable_gic();
    guest.enable_interrupt(PTIMER);
    set_physical_timer(&mut guest, 1000);
    pass(&mut guest, 999);
    assert!(!guest.irq(), "early");
    pass(&mut guest, 1);
    assert!(guest.irq(), "it comes while the guest runs");
    assert_eq!(guest.acknowledge(), PTIMER);
    assert_eq!(physical_timer(&mut guest, 1, true), ENABLE | 4, "ISTATUS");
    guest.end(PTIMER);
    assert_eq!(guest.acknowledge(), PTIMER, "its level is high");
    guest.set_x(6, 0);
    physical_timer(&mut guest, 1, false);
    guest.end(PTIMER);
    assert!(!guest.irq());
}

#[test]
fn the_physical_timer_wakes_a_sleeper_and_keeps_watchdogs_and_the_other_timer() {
    let mut sys = System::two();
    let mut guest = with_timer(&mut sys);
    guest.enable_interrupt(PTIMER);
    let start = guest.sys.now();
    for turn in 1..=20 {
        guest.set_timer(start + turn * 1000);
        set_physical_timer(&mut guest, 400);
        assert_eq!(guest.wfi(), Ran::Waiting);
        pass(&mut guest, 399);
        assert!(!guest.is_running(), "turn {turn}");
        pass(&mut guest, 1);
        assert!(guest.is_running());
        assert_eq!(guest.acknowledge(), PTIMER);
        guest.set_x(6, 0);
        physical_timer(&mut guest, 1, false);
        guest.end(PTIMER);
        assert_eq!(guest.wfi(), Ran::Waiting);
        pass(&mut guest, 600);
        assert_eq!(guest.take_interrupts(), [VTIMER], "turn {turn}");
    }
}

#[test]
fn a_physical_timer_whose_interrupt_is_disabled_is_pending_and_wakes_nobody() {
    let mut sys = System::two();
    let mut guest = sys.guest(0);
    guest.enable_gic();
    set_physical_timer(&mut guest, 100);
    assert_eq!(guest.wfi(), Ran::Waiting);
    pass(&mut guest, 1000);
    assert!(!guest.is_running());
    let mut guest = sys.guest(1);
    guest.enable_gic();
    set_physical_timer(&mut guest, 100);
    assert_eq!(guest.load(GICD + 0x200, Width::Word), 0);
    pass(&mut guest, 100);
    assert_eq!(guest.load(GICD + 0x200, Width::Word), 1 << PTIMER);
    guest.enable_interrupt(PTIMER);
    assert!(guest.irq());
}

#[test]
fn the_pending_bit_of_the_timer_follows_its_condition() {
    let mut sys = System::two();
    let mut guest = sys.guest(0);
    guest.enable_gic();
    let pending = |guest: &mut Guest<'_>| guest.load(GICD + 0x200, Width::Word) >> 27 & 1;
    let now = guest.sys.now();
    guest.set_timer(now + 10);
    assert_eq!(pending(&mut guest), 0);
    pass(&mut guest, 10);
    assert_eq!(pending(&mut guest), 1);
    assert_eq!(guest.load(GICD + 0x280, Width::Word) >> 27 & 1, 1);
    guest.stop_timer();
    assert_eq!(pending(&mut guest), 0, "stopped");
    guest.set_timer(now);
    assert_eq!(pending(&mut guest), 1, "again");
    guest.set_timer(now + 5000);
    assert_eq!(pending(&mut guest), 0, "re-armed");
    // While the guest has it, too.
    guest.enable_interrupt(VTIMER);
    pass(&mut guest, 5000);
    assert_eq!(guest.acknowledge(), VTIMER);
    assert_eq!(pending(&mut guest), 1);
    let now = guest.sys.now();
    guest.set_timer(now + 100);
    assert_eq!(pending(&mut guest), 0);
    pass(&mut guest, 100);
    guest.end(VTIMER);
    assert_eq!(guest.take_interrupts(), [VTIMER], "and no tick is lost");
}

/// Sends SGI `n` to itself.
fn send(guest: &mut Guest<'_>, n: u64) {
    guest.store(GICD + 0xf00, Width::Word, 2 << 24 | n);
}

#[test]
fn an_urgent_interrupt_comes_though_low_ones_are_held_back() {
    for waiting in 1..10 {
        let mut sys = System::two();
        let mut guest = sys.guest(0);
        guest.enable_gic();
        for n in 0..16 {
            guest.store(GICD + 0x400 + n, Width::Byte, 0xa0);
        }
        guest.store(GICD + 0x400 + 15, Width::Byte, 0x20);
        guest.store(sim::guest::GICC + 4, Width::Word, 0x50);
        for n in 0..waiting {
            send(&mut guest, n);
        }
        assert!(!guest.irq(), "behind the mask");
        send(&mut guest, 15);
        assert!(guest.irq(), "{waiting} wait");
        assert_eq!(guest.take_interrupts(), [15]);
        // As often as it likes.
        send(&mut guest, 15);
        assert_eq!(guest.take_interrupts(), [15]);
        guest.store(sim::guest::GICC + 4, Width::Word, 0xf0);
        let all: Vec<u16> = (0..u16::try_from(waiting).expect("few")).collect();
        assert_eq!(guest.take_interrupts(), all, "and none is lost");
    }
}
