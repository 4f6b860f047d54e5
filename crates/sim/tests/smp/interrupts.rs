//! Interrupts between vCPUs, and those that each has of its own.

use sim::guest::insn::Width;
use sim::guest::{GICD, UART_INTID, VTIMER};
use sim::{Guest, Ran};

use super::{all_on, smp};

const TYPER: u64 = GICD + 4;
const ITARGETSR: u64 = GICD + 0x800;
const SGIR: u64 = GICD + 0xf00;
const CPENDSGIR: u64 = GICD + 0xf10;

/// All vCPUs are on, and take SGI 5 and the timer.
fn ready(guest: &mut Guest<'_>) {
    all_on(guest);
    for n in 0..4 {
        let mut cpu = guest.on(n);
        cpu.enable_gic();
        cpu.enable_interrupt(5);
        cpu.enable_interrupt(VTIMER);
    }
}

fn taken(guest: &mut Guest<'_>) -> [usize; 4] {
    [0, 1, 2, 3].map(|n| guest.on(n).take_interrupts().len())
}

#[test]
fn sgis_reach_those_they_name() {
    let mut sys = super::smp();
    let mut guest = sys.guest(0);
    ready(&mut guest);
    // Mode, list, sender, receivers.
    for (mode, list, sender, expected) in [
        (0, 0b1010, 0, [0, 1, 0, 1]),
        (0, 0b0001, 0, [1, 0, 0, 0]),
        (0, 0xff, 2, [1, 1, 1, 1]),
        (0, 0xf0, 2, [0, 0, 0, 0]),
        (1, 0, 2, [1, 1, 0, 1]),
        (1, 0xff, 0, [0, 1, 1, 1]),
        (2, 0, 3, [0, 0, 0, 1]),
        (3, 0xff, 1, [0, 0, 0, 0]),
    ] {
        let word = mode << 24 | list << 16 | 5;
        guest.on(sender).store(SGIR, Width::Word, word);
        assert_eq!(taken(&mut guest), expected, "{mode} {list:#x} {sender}");
    }
}

#[test]
fn an_sgi_wakes_a_sleeper_and_is_seen_by_one_that_runs() {
    let mut sys = smp();
    let mut guest = sys.guest(0);
    ready(&mut guest);
    assert_eq!(guest.on(1).wfi(), Ran::Waiting);
    assert!(!guest.on(1).runs());
    guest.store(SGIR, Width::Word, 0b0110 << 16 | 5);
    assert!(guest.on(1).runs(), "awake");
    assert!(guest.on(2).irq(), "without an exit of its own");
    assert_eq!(guest.on(1).acknowledge(), 5);
    guest.on(1).end(5);
    assert_eq!(guest.on(2).acknowledge(), 5);
    guest.on(2).end(5);
    assert!(!guest.on(3).irq());
}

#[test]
fn an_sgi_from_several_comes_once() {
    let mut sys = smp();
    let mut guest = sys.guest(0);
    ready(&mut guest);
    guest
        .on(0)
        .store(GICD + 0x180, Width::Word, u64::from(u32::MAX));
    // The distributor is off for a moment, so nothing is taken yet.
    guest.store(GICD, Width::Word, 0);
    for n in [1, 2, 2] {
        guest.on(n).store(SGIR, Width::Word, 1 << 16 | 5);
    }
    let sources = guest.load(CPENDSGIR + 5, Width::Byte);
    assert_eq!(sources, 0b110, "both are known");
    guest.on(3).store(GICD, Width::Word, 1);
    assert_eq!(taken(&mut guest), [1, 0, 0, 0]);
    assert_eq!(guest.load(CPENDSGIR + 5, Width::Byte), 0);
}

#[test]
fn targets_that_are_off_are_left_out() {
    let mut sys = smp();
    let mut guest = sys.guest(0);
    ready(&mut guest);
    assert_eq!(guest.on(2).smc(&[0x8400_0002]), Ran::Waiting);
    guest.store(SGIR, Width::Word, 1 << 24 | 5);
    assert_eq!(guest.cpu_on(2, sim::guest::TEXT, 0), 0);
    assert_eq!(taken(&mut guest), [0, 1, 0, 1], "it came too late for one");
}

#[test]
fn the_distributor_says_how_many_and_banks_what_is_private() {
    let mut sys = smp();
    let mut guest = sys.guest(0);
    all_on(&mut guest);
    assert_eq!(guest.load(TYPER, Width::Word) >> 5 & 7, 3);
    for n in 0..4 {
        let mut cpu = guest.on(n);
        assert_eq!(
            cpu.load(ITARGETSR, Width::Word),
            0x0101_0101 << n,
            "own bit"
        );
        cpu.store(ITARGETSR, Width::Word, 0);
        assert_eq!(cpu.load(ITARGETSR, Width::Word), 0x0101_0101 << n);
        cpu.store(GICD + 0x400 + 27, Width::Byte, 8 * u64::from(n));
        cpu.store(GICD + 0x100, Width::Word, 1 << (16 + n));
    }
    for n in 0..4 {
        let mut cpu = guest.on(n);
        assert_eq!(cpu.load(GICD + 0x400 + 27, Width::Byte), 8 * u64::from(n));
        assert_eq!(cpu.load(GICD + 0x100, Width::Word), 0xffff | 1 << (16 + n));
    }
}

#[test]
fn a_shared_interrupt_goes_to_the_lowest_that_is_named() {
    let mut sys = smp();
    let mut guest = sys.guest(0);
    all_on(&mut guest);
    let target = ITARGETSR + u64::from(UART_INTID);
    assert_eq!(guest.load(target, Width::Byte), 1, "after reset");
    for (write, read) in [(0b1100, 0b100), (0, 0b100), (0xf0, 0b100), (0b1010, 0b10)] {
        guest.on(3).store(target, Width::Byte, write);
        assert_eq!(guest.load(target, Width::Byte), read, "{write:#b}");
    }
    for n in 0..4 {
        guest.on(n).enable_gic();
    }
    guest.enable_interrupt(UART_INTID);
    assert_eq!(guest.on(1).wfi(), Ran::Waiting);
    let (word, bit) = (u64::from(UART_INTID / 32) * 4, 1 << (UART_INTID % 32));
    guest.store(GICD + 0x200 + word, Width::Word, bit);
    assert!(guest.on(1).runs(), "its target is awake");
    assert_eq!(taken(&mut guest), [0, 1, 0, 0]);
}

#[test]
fn each_has_a_timer_of_its_own() {
    let mut sys = smp();
    let mut guest = sys.guest(0);
    ready(&mut guest);
    let now = guest.sys.now();
    for n in 0..4u8 {
        let mut cpu = guest.on(n);
        cpu.set_timer(now + 1000 * (4 - u64::from(n)));
        if n != 2 {
            assert_eq!(cpu.wfi(), Ran::Waiting);
        }
    }
    for n in (0..4).rev() {
        guest.sys.advance(1000);
        assert!(guest.on(n).runs());
        let others = (0..n).filter(|n| *n != 2);
        assert!(others.into_iter().all(|n| !guest.on(n).runs()), "{n}");
        assert_eq!(guest.on(n).take_interrupts(), [VTIMER], "{n}");
    }
}

#[test]
fn wfe_never_waits() {
    let mut sys = smp();
    let mut guest = sys.guest(0);
    all_on(&mut guest);
    for n in 0..4 {
        assert_eq!(guest.on(n).wfe(), Ran::Done);
    }
}
