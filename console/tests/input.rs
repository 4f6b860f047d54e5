//! What typing does.
#![allow(clippy::cast_possible_truncation, reason = "test data")]

mod common;
use common::{MS, Rig};
use console::{Action, Command, Purpose, Role};
use console_api::RX_SIZE;

const SWITCH: &[u8] = b"\x01\x01\x01";

#[test]
fn keys_go_to_the_guest_with_the_focus() {
    let mut rig = Rig::usual();
    rig.type_in(b"ls\r");
    assert_eq!(rig.notified, [1, 0, 0, 0]);
    assert_eq!(rig.read(0), b"ls\r");
    rig.type_in(SWITCH);
    rig.type_in(b"pwd\r");
    assert_eq!(
        (rig.read(0), rig.read(1)),
        (b"".to_vec(), b"pwd\r".to_vec())
    );
    assert_eq!(
        rig.seen(),
        "*** Input goes to linux2 now (Ctrl-a three times: next) ***\r\n"
    );
}

#[test]
fn fewer_than_three_ctrl_a_reach_the_guest() {
    let mut rig = Rig::usual();
    rig.type_in(b"a\x01");
    assert_eq!(rig.read(0), b"a");
    rig.type_in(b"\x01b\x01c");
    assert_eq!(rig.read(0), b"\x01\x01b\x01c");
}

#[test]
fn the_focus_goes_round_by_the_monitor_and_never_to_a_server() {
    let mut rig = Rig::usual();
    assert_eq!(rig.mux.focus(), Some(0));
    rig.type_in(SWITCH);
    assert_eq!(rig.mux.focus(), Some(1));
    rig.type_in(SWITCH);
    assert_eq!(rig.mux.focus(), None);
    rig.type_in(SWITCH);
    assert_eq!(rig.mux.focus(), Some(0));
    assert_eq!(
        rig.seen(),
        "*** Input goes to linux2 now (Ctrl-a three times: next) ***\r\n\
         *** Input goes to zazen now: h for help (Ctrl-a three times: next) ***\r\n\
         *** Input goes to linux1 now (Ctrl-a three times: next) ***\r\n"
    );
}

#[test]
fn a_switch_shows_the_prompt_that_waits_there() {
    let mut rig = Rig::usual();
    rig.write(0, b"one # ");
    rig.wait(20 * MS);
    rig.write(1, b"10%\r20%\ntwo\rtwo # ");
    rig.wait(20 * MS);
    rig.type_in(SWITCH);
    assert_eq!(
        rig.seen(),
        "linux1: one # \r\x1b[Klinux2: 10%\rlinux2: 20%\r\nlinux1: one # \r\n\
         *** Input goes to linux2 now (Ctrl-a three times: next) ***\r\n\
         linux2: two\rlinux2: two # "
    );
    rig.write(1, b"x");
    rig.write(0, b"done\n");
    assert_eq!(rig.seen(), "x");
    rig.wait(20 * MS);
    assert_eq!(rig.seen(), "\r\x1b[Klinux1: one # done\r\n");
    rig.wait(20 * MS);
    assert_eq!(rig.seen(), "linux2: two\rlinux2: two # x");
}

#[test]
fn input_waits_for_a_guest_that_does_not_read_and_is_then_dropped_with_a_bell() {
    let mut rig = Rig::usual();
    let typed: Vec<u8> = (0..RX_SIZE + 70).map(|n| b'a' + (n % 26) as u8).collect();
    rig.type_in(&typed[..RX_SIZE + 64]);
    assert_eq!(rig.seen(), "");
    rig.type_in(&typed[RX_SIZE + 64..]);
    assert_eq!(rig.seen(), "\x07");
    assert_eq!(rig.read(0), &typed[..RX_SIZE]);
    // Reading told the console, which brings what waited.
    rig.pump();
    assert_eq!(rig.read(0), &typed[RX_SIZE..RX_SIZE + 64]);
    rig.type_in(b"!");
    assert_eq!(rig.read(0), b"!");
}

fn monitor() -> Rig {
    let mut rig = Rig::usual();
    rig.type_in(SWITCH);
    rig.type_in(SWITCH);
    rig.seen();
    rig
}

#[test]
fn the_monitor_explains_itself() {
    let mut rig = monitor();
    rig.type_in(b"h");
    assert_eq!(
        rig.seen(),
        "zazen: h  list the keys\r\n\
         zazen: c  list the clients: bytes out and in, output waiting, input dropped\r\n\
         zazen: b  show the last output of the guest that had the input last\r\n\
         zazen: 1  to 9: move the input to that guest, as c numbers them\r\n\
         zazen: /  and a name, or how it begins, or a number, and Enter: move the input there\r\n\
         zazen: d  list the domains: what each does, for how long, and how often it restarted\r\n\
         zazen: v  list the vCPUs: what each does, on which core, and its processor time\r\n\
         zazen: s  start a guest that is down; asks which, as / does\r\n\
         zazen: x  stop a guest at once, as if its power was cut; asks which\r\n\
         zazen: r  stop a guest at once and start it again; asks which\r\n"
    );
    rig.type_in(b"\rq\x02");
    assert_eq!(
        rig.seen(),
        "zazen: no command 'q'; h lists them\r\nzazen: no command 0x02; h lists them\r\n"
    );
}

#[test]
fn the_monitor_lists_the_clients() {
    let mut rig = Rig::usual();
    rig.write(0, b"hello\n");
    rig.write(2, b"half");
    rig.type_in(b"xyz");
    rig.type_in(&[SWITCH, SWITCH].concat());
    rig.seen();
    rig.type_in(b"c");
    assert_eq!(
        rig.seen(),
        "zazen:     name                   output      input  waiting  dropped\r\n\
         zazen:   1 linux1                      6          3        0        0\r\n\
         zazen: > 2 linux2                      0          0        0        0\r\n\
         zazen:     memory                      4          0        4        0\r\n"
    );
}

#[test]
fn the_monitor_moves_the_input_to_a_guest_by_number_or_name() {
    let to =
        |name: &str| format!("*** Input goes to {name} now (Ctrl-a three times: next) ***\r\n");
    let asked = "zazen: which guest? Its name, how it begins, or its number, and Enter\r\n";
    let mut rig = monitor();
    // What is typed behind the choice is for the guest.
    rig.type_in(b"2ab");
    assert_eq!(rig.seen(), to("linux2"));
    rig.write(1, b"");
    assert_eq!(rig.read(1), b"ab");
    rig.type_in(SWITCH);
    rig.seen();
    rig.type_in(b"9");
    assert_eq!(rig.seen(), "zazen: there is no guest 9\r\n");
    rig.type_in(b"/linux2x\x7f\rc");
    assert_eq!(rig.seen(), format!("{asked}{}", to("linux2")));
    assert_eq!(rig.read(1), b"c");
    for (typed, told) in [
        (
            "/linux\r",
            "zazen: 2 guests begin with linux; d lists them\r\n",
        ),
        (
            "/memory\r",
            "zazen: there is no guest memory; d lists them\r\n",
        ),
        ("/\r", "zazen: no guest then\r\n"),
        ("/lin\x03", "zazen: no guest then\r\n"),
        // A flood of letters is no name.
        ("/xxxxxxxxxx", ""),
    ] {
        let mut rig = monitor();
        rig.type_in(typed.as_bytes());
        assert_eq!(rig.seen(), format!("{asked}{told}"), "{typed:?}");
        // Leaving the monitor ends the question.
        rig.type_in(SWITCH);
        rig.seen();
        rig.type_in(b"h");
        assert_eq!(rig.read(0), b"h", "{typed:?}");
    }
}

#[test]
fn the_monitor_replays_the_last_output() {
    let mut rig = Rig::usual();
    rig.type_in(SWITCH);
    rig.write(1, b"\x1b[31mone\x1b[0m\n10%\r20%\nx\x08 \x08\x1b[2Jtwo\n# ");
    rig.type_in(SWITCH);
    rig.seen();
    rig.type_in(b"b");
    assert_eq!(
        rig.seen(),
        "*** last 22 bytes of linux2 from here ***\r\n\
         linux2: one\r\nlinux2: 10%\rlinux2: 20%\r\nlinux2: two\r\nlinux2: # \r\n\
         *** end of the last output of linux2 ***\r\n"
    );
}

#[test]
fn the_backlog_keeps_the_last_4_kib_by_whole_lines() {
    let mut rig = Rig::usual();
    for n in 0..2000 {
        rig.write(0, format!("line {n}\n").as_bytes());
    }
    rig.type_in(&[SWITCH, SWITCH, SWITCH, SWITCH, SWITCH].concat());
    assert_eq!(rig.mux.focus(), None);
    rig.type_in(&[SWITCH, SWITCH, SWITCH].concat());
    rig.seen();
    // The guest with the focus last is linux2, which said nothing.
    rig.type_in(b"b");
    assert_eq!(
        rig.seen(),
        "*** last 0 bytes of linux2 from here ***\r\n*** end of the last output of linux2 ***\r\n"
    );
    let mut rig = Rig::new(&[("linux1", Role::Guest)], usize::MAX);
    for n in 0..2000 {
        rig.write(0, format!("line {n}\n").as_bytes());
    }
    rig.type_in(SWITCH);
    rig.seen();
    rig.type_in(b"b");
    let seen = rig.seen();
    let lines: Vec<&str> = seen.lines().collect();
    // 4096 bytes hold 409 lines of ten bytes.
    assert_eq!(lines.len(), 409 + 2);
    assert_eq!(lines[1], "linux1: line 1591");
    assert_eq!(lines[409], "linux1: line 1999");
}

#[test]
fn a_long_line_in_the_backlog_is_complete() {
    let mut rig = Rig::new(&[("linux1", Role::Guest)], usize::MAX);
    rig.write(0, &b"ab\r".repeat(1000));
    rig.type_in(SWITCH);
    rig.seen();
    rig.type_in(b"b");
    let seen = rig.seen();
    assert!(seen.ends_with("*** end of the last output of linux1 ***\r\n"));
    assert_eq!(seen.matches("linux1: ab").count(), 1000);
}

#[test]
fn more_commands_can_be_added_and_reach_the_protection_domain() {
    const MORE: &[Command] = &[
        Command {
            key: b'm',
            help: "ask the memory server",
            action: Action::Request(7),
        },
        Command {
            key: b'h',
            help: "hidden",
            action: Action::Request(8),
        },
    ];
    let mut rig = monitor();
    rig.mux.set_commands(MORE);
    rig.type_in(b"mh");
    assert_eq!(rig.mux.take_request(), Some(7));
    assert_eq!(rig.mux.take_request(), None);
    let seen = rig.seen();
    assert!(
        seen.contains("zazen: m  ask the memory server\r\n"),
        "{seen}"
    );
    rig.type_in(b"mmmmm");
    assert_eq!(
        rig.seen(),
        "zazen: too many requests at once; this one was dropped\r\n"
    );
}

#[test]
fn a_flood_of_keys_for_the_monitor_rings_and_stays_bounded() {
    let mut rig = monitor();
    for _ in 0..200 {
        rig.mux.on_uart_rx(b"c");
    }
    let seen = rig.seen();
    assert_eq!(seen.matches("name").count(), 128);
    assert!(seen.starts_with('\x07'));
}

#[test]
fn the_monitor_hands_words_to_a_server() {
    const TELL: &[Command] = &[Command {
        key: b't',
        help: "words",
        action: Action::Which(Purpose::Tell("memory")),
    }];
    let mut rig = monitor();
    rig.mux.set_commands(TELL);
    let asked = "zazen: what is memory to do? Words, and Enter\r\n";
    rig.type_in(b"t mem-set  linux1 46\x7f4\r");
    assert_eq!(
        rig.seen(),
        format!("{asked}zazen: memory: mem-set  linux1 44\r\n")
    );
    assert_eq!(rig.read(2), b"mem-set  linux1 44\n");
    assert!(rig.read(0).is_empty());
    for (typed, told) in [("tls\x1b", "zazen: nothing then\r\n"), ("tls", "")] {
        rig.type_in(typed.as_bytes());
        assert_eq!(rig.seen(), format!("{asked}{told}"));
        assert!(rig.read(2).is_empty(), "nothing without Enter");
    }
}
