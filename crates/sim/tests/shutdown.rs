//! One guest stops, the other goes on.

mod common;

use common::{assert_untouched, decrease, populate, reservation};
use hypervisor_core::domain::shutdown::StopReason;
use sim::guest::{ARGS, CONSOLE_PAGE, FREE, RAM, UPCALL, VTIMER};
use sim::{FREQUENCY, Ran, System};
use xen_abi::number::SCHED_OP;
use xen_abi::sched::{SHUTDOWN, Shutdown};

/// The other guest in the middle of its work: asleep with a timer, its interrupts enabled.
fn busy(sys: &mut System, index: usize) {
    let now = sys.now();
    let mut guest = sys.guest(index);
    guest.map_shared_info();
    guest.enable_gic();
    guest.enable_interrupt(VTIMER);
    guest.enable_interrupt(UPCALL);
    guest.set_timer(now + FREQUENCY);
    assert_eq!(guest.wfi(), Ran::Waiting);
}

fn goes_on(sys: &mut System, index: usize, name: &str) {
    sys.advance(2 * FREQUENCY);
    let mut guest = sys.guest(index);
    assert!(
        guest.take_interrupts().contains(&VTIMER),
        "its timer woke it"
    );
    assert_untouched(&mut guest, name);
    assert_eq!(reservation(&mut guest), 4096);
    guest.sys.seen();
    guest.print(b"I am here\n");
    guest.sys.advance(FREQUENCY);
    assert!(guest.sys.seen().contains(&format!("{name}: I am here\r\n")));
    assert_eq!(decrease(&mut guest, &[FREE >> 12]), 1);
    assert_eq!(populate(&mut guest, &[FREE >> 12]), 1);
}

#[test]
fn poweroff_of_one_leaves_the_other_running() {
    for (gone, stays, name) in [(0, 1, "linux2"), (1, 0, "linux1")] {
        let mut sys = System::two();
        busy(&mut sys, stays);
        sys.seen();
        assert_eq!(
            sys.guest(gone).smc(&[0x8400_0008]),
            Ran::Stopped(StopReason::PowerOff)
        );
        assert!(!sys.is_alive(gone));
        assert!(
            sys.seen().contains("guest stopped: it switched itself off"),
            "and it is said"
        );
        goes_on(&mut sys, stays, name);
        assert_eq!(sys.stopped(gone), Some(StopReason::PowerOff));
    }
}

#[test]
fn a_crash_of_one_leaves_the_other_running() {
    let mut sys = System::two();
    busy(&mut sys, 1);
    let mut guest = sys.guest(0);
    guest.put(ARGS, &Shutdown { reason: 3 });
    assert_eq!(
        guest.try_hvc(SCHED_OP, &[SHUTDOWN, ARGS]),
        Ran::Stopped(StopReason::Crash)
    );
    goes_on(&mut sys, 1, "linux2");
}

#[test]
fn the_last_words_of_a_guest_are_printed() {
    let mut sys = System::two();
    let mut guest = sys.guest(0);
    guest.print(b"reboot: Power down\n");
    assert_eq!(
        guest.smc(&[0x8400_0008]),
        Ran::Stopped(StopReason::PowerOff)
    );
    sys.advance(FREQUENCY);
    let seen = sys.seen();
    let (words, stopped) = (seen.find("reboot: Power down"), seen.find("guest stopped"));
    assert!(words.is_some() && words < stopped, "{seen}");
}

#[test]
fn a_stopped_guest_takes_no_input_events_or_time() {
    let mut sys = System::two();
    let mut guest = sys.guest(0);
    guest.enable_gic();
    guest.enable_interrupt(VTIMER);
    let now = guest.sys.now();
    guest.set_timer(now + 1000);
    assert_eq!(
        guest.smc(&[0x8400_0008]),
        Ran::Stopped(StopReason::PowerOff)
    );
    sys.type_in(b"anybody there?\r");
    sys.advance(FREQUENCY);
    let mut guest = sys.guest(0);
    assert!(!guest.is_running());
    assert!(
        !guest.is_mapped(CONSOLE_PAGE) && !guest.is_mapped(RAM),
        "its memory went back"
    );
}

#[test]
fn both_can_stop() {
    let mut sys = System::two();
    for (index, reason, why) in [(1, 3, StopReason::Crash), (0, 0, StopReason::PowerOff)] {
        let mut guest = sys.guest(index);
        guest.put(ARGS, &Shutdown { reason });
        assert_eq!(
            guest.try_hvc(SCHED_OP, &[SHUTDOWN, ARGS]),
            Ran::Stopped(why)
        );
    }
    sys.advance(FREQUENCY);
    sys.type_in(b"\x01\x01\x01x");
    assert!(!sys.is_alive(0) && !sys.is_alive(1));
}

#[test]
fn a_vmm_that_does_not_understand_an_exit_stops_its_guest_alone() {
    let mut sys = System::two();
    busy(&mut sys, 1);
    sys.guest(0).exit_unknown();
    assert_eq!(sys.stopped(0), Some(StopReason::Fatal));
    assert!(
        sys.vmm_log(0)
            .iter()
            .any(|line| line.contains("for a reason the kernel did not tell"))
    );
    goes_on(&mut sys, 1, "linux2");
}
