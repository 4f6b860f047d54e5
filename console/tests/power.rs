//! The states of guests, and orders from the monitor.

mod common;
use common::{MS, Rig};
use console_api::{End, Order, Shown, State};

const SWITCH: &[u8] = b"\x01\x01\x01";

/// The VMM of guest `i` shows `state`, since 61 s.
fn show(rig: &mut Rig, i: usize, state: State) {
    rig.clients[i].show(Shown {
        state,
        since: rig.now.saturating_sub(61_000 * MS),
        restarts: 2,
        ..Shown::UNKNOWN
    });
}

/// The monitor of a system with one guest that runs, one that is down, and a clock.
fn monitor() -> Rig {
    let mut rig = Rig::usual();
    rig.now += 100_000 * MS;
    show(&mut rig, 0, State::Runs);
    show(&mut rig, 1, State::Down(End::PowerOff));
    rig.type_in(&SWITCH.repeat(2));
    rig.seen();
    rig
}

#[test]
fn the_domains_are_listed_with_what_they_do() {
    let mut rig = monitor();
    rig.type_in(b"d");
    assert_eq!(
        rig.seen(),
        "zazen:     name             state                                  for restarts\r\n\
         zazen:   1 linux1           runs                             0:01:01        2\r\n\
         zazen: > 2 linux2           down: switched itself off        0:01:01        2\r\n"
    );
    // A VMM that has stopped says nothing true any more, and one that never spoke nothing at all.
    let mut rig = Rig::usual();
    show(&mut rig, 0, State::Runs);
    rig.mux.mark_stopped(0);
    rig.type_in(&SWITCH.repeat(2));
    rig.seen();
    rig.type_in(b"d");
    let seen = rig.seen();
    assert!(
        seen.contains("1 linux1           down: its VMM crashed"),
        "{seen}"
    );
    assert!(seen.contains("2 linux2           unknown"), "{seen}");
}

#[test]
fn a_guest_that_is_down_is_marked_when_the_input_comes_to_it() {
    let mut rig = monitor();
    rig.type_in(SWITCH);
    assert_eq!(
        rig.seen(),
        "*** Input goes to linux1 now (Ctrl-a three times: next) ***\r\n"
    );
    rig.type_in(SWITCH);
    let down = "*** Input goes to linux2 now, which is down: switched itself off (Ctrl-a three times: next) ***\r\n";
    assert_eq!(rig.seen(), down);
    // What is typed there is dropped, with the bell, and not read when it lives again.
    rig.type_in(b"ls");
    assert_eq!(rig.seen(), "\x07");
    assert_eq!(rig.read(1), b"");
    show(&mut rig, 1, State::Runs);
    rig.type_in(b"x");
    assert_eq!(rig.read(1), b"x");
    // If it goes down while the user types, the first key says so.
    show(&mut rig, 1, State::Down(End::PowerOff));
    rig.type_in(b"ls");
    assert_eq!(rig.seen(), format!("\x07{down}"));
}

#[test]
fn the_end_of_the_last_guest_is_said_once() {
    let last = "*** no guest runs any more; s at the monitor starts one (Ctrl-a three times: next) ***\r\n";
    let mut rig = Rig::usual();
    show(&mut rig, 0, State::Runs);
    show(&mut rig, 1, State::Runs);
    rig.write(0, b"hello\n");
    show(&mut rig, 1, State::Down(End::Crash));
    rig.write(1, b"bye\n");
    rig.seen();
    show(&mut rig, 0, State::Restarts);
    rig.write(0, b"again\n");
    assert!(!rig.seen().contains(last), "it comes back");
    show(&mut rig, 0, State::Down(End::PowerOff));
    rig.write(0, b"bye\n");
    let seen = rig.seen();
    assert_eq!(seen.matches(last).count(), 1);
    assert!(seen.ends_with(&format!("linux1: bye\r\n{last}")), "{seen}");
    rig.write(1, b"still\n");
    assert!(!rig.seen().contains(last));
}

#[test]
fn guests_are_started_stopped_and_restarted() {
    let asked = "zazen: which guest? Its name, how it begins, or its number, and Enter; Enter alone is linux2\r\n";
    for (typed, guest, order, told) in [
        ("xlinux1\r", 0, Order::Stop, "linux1 stops (it was: runs)"),
        ("x1\r", 0, Order::Stop, "linux1 stops (it was: runs)"),
        (
            "rlinux1\r",
            0,
            Order::Restart,
            "linux1 restarts (it was: runs)",
        ),
        (
            "s\r",
            1,
            Order::Start,
            "linux2 starts (it was: down: switched itself off)",
        ),
        (
            "r2\r",
            1,
            Order::Restart,
            "linux2 restarts (it was: down: switched itself off)",
        ),
    ] {
        let mut rig = monitor();
        let before = rig.notified;
        rig.type_in(typed.as_bytes());
        assert_eq!(rig.seen(), format!("{asked}zazen: {told}\r\n"), "{typed}");
        assert_eq!(rig.clients[guest].take_order(), Some(order));
        assert_eq!(rig.clients[1 - guest].take_order(), None);
        assert_eq!(rig.notified[guest], before[guest] + 1);
        assert_eq!(rig.mux.focus(), None, "the input stays");
    }
}

#[test]
fn what_makes_no_sense_is_refused_in_words() {
    for (typed, told) in [
        ("s1\r", "linux1: it runs"),
        ("x2\r", "linux2: it is down"),
        ("x3\r", "there is no guest 3; d lists them"),
        ("x0\r", "there is no guest 0; d lists them"),
        ("xlinux\r", "2 guests begin with linux; d lists them"),
        ("x\x1b", "no guest then"),
    ] {
        let mut rig = monitor();
        rig.type_in(typed.as_bytes());
        let seen = rig.seen();
        assert!(
            seen.ends_with(&format!("zazen: {told}\r\n")),
            "{typed:?}: {seen}"
        );
        assert!((0..2).all(|i| rig.clients[i].take_order().is_none()));
    }
    // Nobody is left who could do it.
    let mut rig = monitor();
    rig.mux.mark_stopped(0);
    rig.type_in(b"r1\r");
    assert!(rig.seen().contains("linux1: its VMM crashed"));
    assert_eq!(rig.clients[0].take_order(), None);
    // A VMM that shows nonsense has said nothing.
    let mut rig = monitor();
    rig.headers[0][129].store(0xffff_0004, std::sync::atomic::Ordering::Relaxed);
    rig.type_in(b"r1\rd");
    let seen = rig.seen();
    assert!(
        seen.contains("linux1: its VMM has not come that far"),
        "{seen}"
    );
    assert!(seen.contains("1 linux1           unknown"), "{seen}");
}
