//! A guest that does nothing but restart has its share of the processor and no more.

use super::*;

/// Ticks of a millisecond.
const MS: u64 = FREQUENCY / 1000;

/// SM-22, SM-15: with two domains, restarts take at most half of the time, in slices of about a
/// millisecond, after each of which the other guest's timer interrupts are on time; the log stays
/// short.
#[test]
fn a_storm_of_restarts_leaves_the_others_their_time() {
    let mut sys = System::two();
    // 64 frames' revocation, or two blocks zeroed: of this order on the real machine.
    sys.set_request_time(MS / 8);
    let mut other = sys.guest(1);
    other.enable_gic();
    other.enable_interrupt(VTIMER);
    let (start, spent) = (sys.now(), sys.request_time());
    let (mut late, mut lived) = (0, 0);
    let lines = sys.vmm_log(0).len();
    while sys.restarts(0) < 50 {
        if sys.is_alive(0) {
            // Every fourth life is a long one: those after too many short ones are waited for.
            if sys.restarts(0).is_multiple_of(4) {
                sys.advance(FREQUENCY);
                lived += FREQUENCY;
            }
            let ran = sys.guest(0).smc(&[RESET]);
            assert_eq!(ran, Ran::Restarts);
        }
        let mut other = sys.guest(1);
        let due = other.sys.now() + MS / 2;
        other.set_timer(due);
        other.sys.advance(MS / 2);
        while !other.irq() {
            other.sys.advance(MS / 100);
        }
        late = late.max(other.sys.now() - due);
        assert_eq!(other.take_interrupts(), [VTIMER]);
    }
    let (all, restarts) = (sys.now() - start - lived, sys.request_time() - spent);
    // The rest after a restart is over when a long life is.
    let paid = lived / FREQUENCY * restarts / 50;
    assert!(restarts > 50 * MS, "{restarts}");
    assert!(
        restarts * 2 < all + paid + 10 * MS,
        "{restarts} of {all} ticks went into restarts"
    );
    assert!(late < 2 * MS, "the other was interrupted {late} ticks late");
    assert!(sys.vmm_log(0).len() - lines <= 3 * 50);
}

/// A guest that is alone waits for nobody.
#[test]
fn alone_it_restarts_at_once() {
    let mut sys = System::new(&[Domain::new("linux1")]);
    sys.set_request_time(MS / 8);
    let (start, spent) = (sys.now(), sys.request_time());
    for _ in 0..3 {
        restart(&mut sys.guest(0), true);
        assert!(sys.is_alive(0));
    }
    assert_eq!(sys.now() - start, sys.request_time() - spent);
}
