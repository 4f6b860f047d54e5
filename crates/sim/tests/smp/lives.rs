//! Restarts of guests with several vCPUs.

use sim::guest::insn::Width;
use sim::guest::{FREE, GICD, TEXT};
use sim::{FREQUENCY, Ran, System};

use super::{all_on, smp};

const RESET: u64 = 0x8400_0009;

#[test]
fn a_hundred_lives() {
    let mut sys = smp();
    for life in 0..100 {
        let mut guest = sys.guest(0);
        all_on(&mut guest);
        guest.enable_gic();
        guest.on(2).enable_gic();
        guest.on(2).enable_interrupt(3);
        guest.store(GICD + 0xf00, Width::Word, 0b100 << 16 | 3);
        assert_eq!(guest.on(1).wfi(), Ran::Waiting);
        guest.put(FREE, &life);
        // Long enough to count as one.
        guest.sys.advance(2 * FREQUENCY);
        let last = guest.on(u8::try_from(life % 4).expect("a number")).runs();
        let who = if last { life % 4 } else { 0 };
        let mut who = guest.on(u8::try_from(who).expect("a number"));
        assert_eq!(who.smc(&[RESET]), Ran::Restarts);
        for _ in 0..10_000 {
            if sys.guest(0).runs() {
                break;
            }
            sys.advance(FREQUENCY / 100);
        }
        sys.assert_consistent();
        let mut guest = sys.guest(0);
        assert!(guest.runs(), "life {life}");
        assert!((1..8).all(|n| !guest.on(n).runs()));
        assert_eq!(guest.get::<u64>(FREE), 0, "nothing is left");
        assert_eq!(guest.on(0).cpu_on(1, TEXT, 0), 0);
        assert!(!guest.on(2).irq());
        assert_eq!(guest.on(1).smc(&[0x8400_0002]), Ran::Waiting);
    }
    assert_eq!(sys.restarts(0), 100);
    assert!(sys.is_alive(1));
}

#[test]
fn a_vmm_that_crashes_takes_all_of_them_along() {
    let mut sys = smp();
    let mut guest = sys.guest(0);
    all_on(&mut guest);
    sys.crash(0);
    sys.assert_consistent();
    let mut guest = sys.guest(1);
    assert_eq!(guest.cpu_on(1, TEXT, 0), 0);
    assert_eq!(guest.on(1).hvc(17, &[0, 0]), 4 << 16 | 22);
}

/// Rows of the monitor's list, without the heads.
fn listed(sys: &mut System) -> Vec<String> {
    let seen = sys.vcpus();
    let rows = seen.lines().filter_map(|line| line.strip_prefix("zazen: "));
    let words = |row: &str| row.split_whitespace().collect::<Vec<_>>().join(" ");
    rows.skip(1).map(words).collect()
}

/// Issue 13: the monitor lists every vCPU with what it does.
#[test]
fn the_monitor_lists_what_each_vcpu_does() {
    let mut sys = smp();
    sys.advance(FREQUENCY);
    sys.type_in(&b"\x01\x01\x01".repeat(2));
    let mut guest = sys.guest(0);
    assert_eq!(guest.cpu_on(1, TEXT, 0), 0);
    assert_eq!(guest.cpu_on(3, TEXT, 0), 0);
    assert_eq!(guest.on(3).wfi(), Ran::Waiting);
    let states = ["0 0 runs", "1 0 runs", "2 0 off", "3 0 waits"];
    let linux1 = states.map(|state| format!("1 linux1 {state} 0.0"));
    let linux2 = ["0 0 runs", "1 0 off"].map(|state| format!("> 2 linux2 {state} 0.0"));
    let first = [&linux1[..], &linux2[..]].concat();
    assert_eq!(listed(&mut sys), first);
    // A list of what has not changed is the same, and what changes later is seen, there and back.
    assert_eq!(listed(&mut sys), first);
    let mut guest = sys.guest(0);
    assert_eq!(guest.cpu_on(2, TEXT, 0), 0);
    assert_eq!(listed(&mut sys)[2], "1 linux1 2 0 runs 0.0");
    assert_eq!(sys.guest(0).on(2).wfi(), Ran::Waiting);
    assert_eq!(listed(&mut sys)[2], "1 linux1 2 0 waits 0.0");
    // One that is down has none.
    assert!(matches!(
        sys.guest(0).on(1).smc(&[0x8400_0008]),
        Ran::Stopped(_)
    ));
    let rows = listed(&mut sys);
    assert_eq!(rows[0], "1 linux1 - - down: switched itself off");
    assert_eq!(rows[1..], linux2);
}
