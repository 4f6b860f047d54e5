//! sched_op and console_io.

use super::*;

#[test]
fn sched_yield_and_block() {
    in_every_way(|guest| {
        assert_eq!(guest.hvc(SCHED_OP, &[sched::YIELD, 0]), 0);
        // Block with a timer: it wakes, x0 is 0, and interrupts are not masked any more.
        guest.enable_gic();
        guest.enable_interrupt(27);
        let now = guest.sys.now();
        guest.set_timer(now + 1000);
        assert_eq!(guest.try_hvc(SCHED_OP, &[sched::BLOCK, 0]), Ran::Waiting);
        guest.sys.advance(999);
        assert!(!guest.is_running());
        guest.sys.advance(1);
        assert!(guest.is_running());
        assert_eq!(guest.x(0), 0);
        assert_eq!(guest.pstate() & 1 << 7, 0);
        assert_eq!(guest.take_interrupts(), [27]);
    });
}

#[test]
fn sched_shutdown_stops_for_the_given_reason() {
    let reasons = [
        (0, StopReason::PowerOff),
        (2, StopReason::Suspend),
        (3, StopReason::Crash),
        (5, StopReason::SoftReset),
        (77, StopReason::Crash),
    ];
    for (reason, expected) in reasons {
        let mut sys = System::two();
        let mut guest = sys.guest(0);
        guest.put(ARGS, &Shutdown { reason });
        assert_eq!(
            guest.try_hvc(SCHED_OP, &[sched::SHUTDOWN, ARGS]),
            Ran::Stopped(expected)
        );
        assert_eq!(sys.stopped(0), Some(expected));
        assert!(sys.is_alive(1));
    }
}

#[test]
fn sched_shutdown_for_a_reboot_restarts() {
    let mut sys = System::two();
    let mut guest = sys.guest(0);
    guest.put(ARGS, &Shutdown { reason: 1 });
    assert_eq!(
        guest.try_hvc(SCHED_OP, &[sched::SHUTDOWN, ARGS]),
        Ran::Restarts
    );
    assert_eq!((sys.restarts(0), sys.stopped(0)), (1, None));
    assert!(sys.is_alive(0) && sys.is_alive(1));
}

#[test]
fn the_first_shutdown_code_counts() {
    let mut sys = System::two();
    let mut guest = sys.guest(0);
    assert_eq!(
        guest.op_in(SCHED_OP, sched::SHUTDOWN_CODE, Shutdown { reason: 1 }),
        0
    );
    guest.put(ARGS, &Shutdown { reason: 0 });
    assert_eq!(
        guest.try_hvc(SCHED_OP, &[sched::SHUTDOWN, ARGS]),
        Ran::Restarts
    );
}

#[test]
fn console_io_writes() {
    in_every_way(|guest| {
        guest.sys.seen();
        assert_eq!(guest.console_io(b"Hello from the guest\n"), 0);
        assert!(guest.sys.seen().contains("Hello from the guest\r\n"));
        assert_eq!(guest.console_io(b""), 0);
        assert_eq!(guest.console_io(b"a\x01b\x07c\0d\n"), 0);
        assert!(
            guest.sys.seen().contains("abcd\r\n"),
            "what cannot be printed is dropped"
        );
        let at = guest.ptr(ARGS);
        for cmd in [2, 3, 0x7fff_ffff] {
            assert_eq!(guest.hvc(CONSOLE_IO, &[cmd, 1, at]), ENOSYS, "{cmd}");
        }
        assert_eq!(guest.hvc(CONSOLE_IO, &[1, 16, at]), 0, "nothing was typed");
        assert_eq!(guest.hvc(CONSOLE_IO, &[1, 0x8000_0000, at]), -7, "-E2BIG");
    });
}
