//! Guests that are stopped, started and restarted from the console's monitor.

use hypervisor_core::domain::shutdown::StopReason;

use super::*;

/// Somebody moves the input to the monitor, where it stays, and has `key` done with guest `index`.
fn order(sys: &mut System, key: u8, index: usize) {
    let number = b"12"[index];
    sys.type_in(&[key, number, b'\r']);
    // A second: longer than what is done rests for the others' sake.
    sys.advance(FREQUENCY);
}

/// Two guests, with the input at the monitor.
fn monitored() -> System {
    let mut sys = System::two();
    sys.advance(FREQUENCY);
    sys.type_in(&b"\x01\x01\x01".repeat(2));
    sys
}

fn marks(guest: &mut Guest<'_>) -> usize {
    guest.map_shared_info();
    marked().filter(|&at| guest.bytes(at, 8) == MARK).count()
}

/// EX-15: a guest that is stopped from outside is as dead as one that switched itself off, whatever
/// it was doing; started again it has all it had and nothing of the life before. The other one
/// feels nothing of it.
#[test]
fn a_guest_is_stopped_and_started_a_hundred_times() {
    for index in [0, 1] {
        let mut sys = monitored();
        let first = (frames(&sys, index), sys.memory.totals());
        let usage = sys.memory.usage(System::domain(index));
        let other = sys.memory.usage(System::domain(1 - index));
        for n in 0..100 {
            let mut guest = sys.guest(index);
            assert_eq!(marks(&mut guest), 0);
            live(&mut guest, n);
            if n % 3 == 0 {
                // Asleep, with a timer that is due meanwhile.
                guest.wfi();
            }
            order(&mut sys, b'x', index);
            assert!(!sys.is_alive(index));
            assert_eq!(sys.stopped(index), Some(StopReason::Stopped));
            let now = sys.memory.usage(System::domain(index));
            assert_eq!((now.ram, now.extra), (0, 0));
            sys.advance(3 * FREQUENCY);
            assert!(!sys.is_alive(index), "nothing but an order brings it back");
            order(&mut sys, b's', index);
            assert!(sys.is_alive(index), "{:?}", sys.vmm_log(index));
            assert_eq!(u64::from(sys.restarts(index)), n + 1);
            let now = sys.memory.usage(System::domain(index));
            assert_eq!((now.ram, now.extra), (usage.ram, usage.extra));
            let totals = sys.memory.totals();
            assert_eq!((totals.sum(), totals.lost), (totals.all, 0));
            assert_eq!(totals.heap_free, first.1.heap_free);
            if index == 0 {
                assert!(frames(&sys, index) == first.0, "the same frames");
            }
            let now = sys.memory.usage(System::domain(1 - index));
            assert_eq!((now.ram, now.extra), (other.ram, other.extra));
            sys.guest(index).sys.assert_consistent();
        }
    }
}

#[test]
fn a_guest_that_runs_or_sleeps_is_restarted() {
    for sleeps in [false, true] {
        let mut sys = monitored();
        for n in 1..=20 {
            let mut guest = sys.guest(0);
            live(&mut guest, n);
            if sleeps {
                guest.wfi();
            }
            // Twenty lives of a second and more or less: those that somebody wants are not short
            // ones.
            order(&mut sys, b'r', 0);
            assert!(sys.is_alive(0));
            assert_eq!(u64::from(sys.restarts(0)), n);
            assert_eq!(marks(&mut sys.guest(0)), 0);
        }
    }
}

#[test]
fn whoever_switched_itself_off_or_ended_too_often_can_be_started() {
    let mut sys = monitored();
    let mut guest = sys.guest(0);
    assert_eq!(
        guest.smc(&[0x8400_0008]),
        Ran::Stopped(StopReason::PowerOff)
    );
    sys.advance(FREQUENCY);
    order(&mut sys, b's', 0);
    assert!(sys.is_alive(0));
    // Lives that end at once, until none follows.
    for _ in 0..3000 {
        if sys.is_alive(0) {
            sys.guest(0).smc(&[RESET]);
        }
        sys.advance(FREQUENCY / 100);
    }
    assert_eq!(sys.stopped(0), Some(StopReason::ShortLives));
    order(&mut sys, b's', 0);
    assert!(sys.is_alive(0));
    // And it may restart again.
    restart(&mut sys.guest(0), true);
    sys.advance(FREQUENCY);
    assert!(sys.is_alive(0));
}

/// What somebody wants who does not wait for what was wanted before.
#[test]
fn orders_may_follow_each_other_at_once() {
    for orders in [&b"xs"[..], b"xr", b"rx", b"rxs", b"xsx", b"xsxs"] {
        let mut sys = monitored();
        for key in orders {
            sys.type_in(&[*key, b'1', b'\r']);
        }
        sys.advance(2 * FREQUENCY);
        let alive = orders.last() != Some(&b'x');
        assert_eq!(sys.is_alive(0), alive, "{orders:?}: {:?}", sys.vmm_log(0));
        let totals = sys.memory.totals();
        assert_eq!((totals.sum(), totals.lost), (totals.all, 0));
        order(&mut sys, if alive { b'r' } else { b's' }, 0);
        assert!(sys.is_alive(0));
        sys.guest(0).sys.assert_consistent();
    }
}

/// A pause between two short lives, and what is typed in it.
#[test]
fn an_order_counts_while_a_guest_waits_for_its_next_life() {
    for key in [b'x', b'r'] {
        let mut sys = monitored();
        let mut lives = 0;
        while sys.is_alive(0) {
            lives += 1;
            sys.guest(0).smc(&[RESET]);
            // Less than the first pause, a sixteenth of a second.
            sys.advance(FREQUENCY / 100);
        }
        assert!(lives > 1 && sys.stopped(0).is_none());
        sys.type_in(&[key, b'1', b'\r']);
        sys.advance(FREQUENCY / 50);
        assert_eq!(sys.is_alive(0), key == b'r');
        sys.advance(5 * FREQUENCY);
        assert_eq!(sys.is_alive(0), key == b'r');
        if key == b'x' {
            assert_eq!(sys.stopped(0), Some(StopReason::Stopped));
            order(&mut sys, b's', 0);
            assert!(sys.is_alive(0));
        }
    }
}

/// BL-8: what a guest that is down had on the heap may be another's now. It is not started then,
/// and can be when that has given it back.
#[test]
fn a_guest_whose_memory_others_have_is_started_when_they_give_it_back() {
    const MIB: u64 = 1 << 20;
    let big = Domain {
        ram: 24 * MIB,
        ..Domain::new("big").heap()
    };
    let small = Domain::new("small").growing(8 * MIB, 16 * MIB);
    let heap = dt_server::Range {
        start: 0x8000_0000,
        size: 38 * MIB,
    };
    let mut sys = System::with_heap(&[big, small], &[heap]);
    sys.advance(FREQUENCY);
    sys.type_in(&b"\x01\x01\x01".repeat(2));
    order(&mut sys, b'x', 0);
    let above: Vec<u64> = (2048..4096).map(|n| (RAM >> 12) + n).collect();
    assert_eq!(populate(&mut sys.guest(1), &above), 2048, "all that it may");
    order(&mut sys, b's', 0);
    assert!(!sys.is_alive(0));
    let said = sys.vmm_log(0).join("\n");
    assert!(said.contains("the guest is not started"), "{said}");
    order(&mut sys, b'x', 1);
    order(&mut sys, b's', 0);
    assert!(sys.is_alive(0), "{:?}", sys.vmm_log(0));
    let totals = sys.memory.totals();
    assert_eq!((totals.sum(), totals.lost), (totals.all, 0));
}
