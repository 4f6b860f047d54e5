//! What appears on the terminal.
#![allow(clippy::cast_possible_truncation, reason = "test data")]

mod common;
use common::{MS, Rig, region};
use console::{AddError, LINE_MAX, Mux, Role};
use console_api::{ConsolePort, TX_SIZE};
use std::sync::atomic::Ordering;
use uart::FakeUart;

#[test]
fn lines_carry_the_name_of_their_client() {
    let mut rig = Rig::usual();
    rig.write(0, b"Booting Linux\n");
    rig.write(2, b"granted 65536 frames to linux1\n");
    rig.write(1, b"one\r\ntwo\n\nfour\n");
    assert_eq!(
        rig.seen(),
        "linux1: Booting Linux\r\n\
         memory: granted 65536 frames to linux1\r\n\
         linux2: one\r\nlinux2: two\r\nlinux2: \r\nlinux2: four\r\n"
    );
}

#[test]
fn the_focused_guest_is_seen_at_once_and_others_by_the_line() {
    let mut rig = Rig::usual();
    rig.write(0, b"/ # ");
    assert_eq!(rig.seen(), "linux1: / # ");
    rig.write(0, b"l");
    assert_eq!(rig.seen(), "l");
    rig.write(1, b"half a ");
    assert_eq!(rig.seen(), "");
    // Half a line of others does not end the line on the screen, however long that is quiet.
    rig.wait(100 * MS);
    rig.write(0, b"s\r\nbin\r\n");
    assert_eq!(rig.seen(), "s\r\nlinux1: bin\r\n");
    rig.write(1, b"line\n");
    assert_eq!(rig.seen(), "linux2: half a line\r\n");
}

#[test]
fn an_interrupted_prompt_comes_back() {
    let mut rig = Rig::usual();
    rig.write(0, b"/ # ec");
    rig.wait(20 * MS);
    rig.write(1, b"hello\n");
    assert_eq!(rig.seen(), "linux1: / # ec\r\x1b[Klinux2: hello\r\n");
    rig.wait(20 * MS);
    assert_eq!(rig.seen(), "linux1: / # ec");
    rig.write(0, b"ho\r\n");
    assert_eq!(rig.seen(), "ho\r\n");
    // Many lines interrupt it once, and it comes back once, 20 ms after the last.
    rig.write(0, b"/ # ");
    rig.wait(30 * MS);
    rig.queue(1, b"a\nb\n");
    rig.queue(2, b"c\n");
    rig.pump();
    for _ in 0..10 {
        rig.wait(19 * MS);
        rig.write(2, b"d\n");
    }
    rig.wait(20 * MS - 1);
    assert_eq!(
        rig.seen(),
        format!(
            "linux1: / # \r\x1b[Klinux2: a\r\nmemory: c\r\nlinux2: b\r\n{}",
            "memory: d\r\n".repeat(10)
        )
    );
    rig.wait(1);
    assert_eq!(rig.seen(), "linux1: / # ");
    assert_eq!(rig.wake_at, None);
}

#[test]
fn a_line_that_cannot_be_taken_off_the_screen_stays_and_comes_again_below() {
    let rows = "x".repeat(72);
    for line in [rows.as_str(), "up\x1b[A"] {
        let mut rig = Rig::usual();
        rig.write(0, line.as_bytes());
        rig.wait(20 * MS);
        rig.write(1, b"hello\n");
        rig.wait(20 * MS);
        let again = line.trim_end_matches("\x1b[A");
        assert_eq!(
            rig.seen(),
            format!("linux1: {line}\r\nlinux2: hello\r\nlinux1: {again}")
        );
    }
    // One cell less fits into a row of 80.
    let mut rig = Rig::usual();
    rig.write(0, &rows.as_bytes()[1..]);
    rig.wait(20 * MS);
    rig.write(1, b"hello\n");
    assert!(rig.seen().ends_with("x\r\x1b[Klinux2: hello\r\n"));
}

#[test]
fn a_line_on_the_screen_is_not_cut_while_more_of_it_waits() {
    let mut rig = Rig::usual();
    rig.queue(0, b"a line longer than the sixty-four bytes that the console looks at at a time, with its end\n");
    rig.queue(1, b"other\n");
    let seen = rig.seen();
    assert_eq!(seen.lines().count(), 2, "{seen}");
    assert!(seen.ends_with("with its end\r\nlinux2: other\r\n"));
}

#[test]
fn long_lines_are_split_and_keep_their_name() {
    let mut rig = Rig::usual();
    let long: String = (0..1300u32)
        .map(|i| char::from(b'a' + (i % 26) as u8))
        .collect();
    for (i, name) in [(0, "linux1: "), (1, "linux2: ")] {
        rig.write(i, format!("{long}\n").as_bytes());
        let want: Vec<String> = long
            .as_bytes()
            .chunks(LINE_MAX)
            .map(|part| format!("{name}{}\r\n", std::str::from_utf8(part).unwrap()))
            .collect();
        assert_eq!(rig.seen(), want.concat());
    }
    // Not within a character.
    rig.write(1, format!("x{}\n", "é".repeat(400)).as_bytes());
    let seen = rig.seen();
    assert!(seen.lines().all(|l| l.starts_with("linux2: ")));
    assert_eq!(
        seen.replace("linux2: ", "").replace("\r\n", ""),
        format!("x{}", "é".repeat(400))
    );
}

#[test]
fn a_carriage_return_brings_the_name_again() {
    let mut rig = Rig::usual();
    for (i, name) in [(0, "linux1"), (1, "linux2")] {
        rig.write(i, b"10%\r20%\r\nevil: \rlinux9: x\n");
        assert_eq!(
            rig.seen(),
            format!("{name}: 10%\r{name}: 20%\r\n{name}: evil: \r{name}: linux9: x\r\n")
        );
    }
    // Progress that never ends its line is shown as it comes and never fills anything.
    for n in 0..1000 {
        rig.write(0, format!("\r{n:4}").as_bytes());
    }
    let seen = rig.seen();
    assert!(!seen.contains('\n'));
    assert!(seen.starts_with("linux1:    0\rlinux1:    1\r"));
}

#[test]
fn nobody_writes_over_a_name() {
    let mut rig = Rig::usual();
    let attack = b"ab\x08\x08\x08\x08\x08\x08\x08\x08\x08\x08linux2: x\n\x08\x08memory: y\n";
    rig.write(0, attack);
    assert_eq!(
        rig.seen(),
        "linux1: ab\x08\x08linux2: x\r\nlinux1: memory: y\r\n"
    );
    rig.write(1, attack);
    assert_eq!(
        rig.seen(),
        "linux2: ab\x08\x08linux2: x\r\nlinux2: memory: y\r\n"
    );
    rig.write(1, b"a\x0blinux1: b\x0clinux1: c\0\n");
    assert_eq!(
        rig.seen(),
        "linux2: a\r\nlinux2: linux1: b\r\nlinux2: linux1: c\r\n"
    );
}

#[test]
fn cursor_control_is_for_the_focused_guest_alone() {
    let mut rig = Rig::usual();
    let text = b"\x1b[2J\x1b[5A\x1b]0;title\x07x\x1b[6n\x1b[2Ky\x07\x1bMz\n";
    rig.write(0, text);
    assert_eq!(
        rig.seen(),
        "linux1: \x1b[2J\x1b[5Ax\x1b[6n\x1b[2Ky\x07\x1bMz\r\n"
    );
    rig.write(1, text);
    assert_eq!(rig.seen(), "linux2: xyz\r\n");
}

#[test]
fn colours_end_with_the_line() {
    let mut rig = Rig::usual();
    for (i, name) in [(0, "linux1"), (1, "linux2")] {
        rig.write(i, b"\x1b[31mred\nplain\n\x1b[32mok\x1b[0m\n");
        assert_eq!(
            rig.seen(),
            format!("{name}: \x1b[31mred\x1b[0m\r\n{name}: plain\r\n{name}: \x1b[32mok\x1b[0m\r\n")
        );
    }
    rig.write(0, b"\x1b[1m# ");
    rig.wait(20 * MS);
    rig.write(1, b"x\n");
    rig.wait(20 * MS);
    assert_eq!(
        rig.seen(),
        "linux1: \x1b[1m# \x1b[0m\r\x1b[Klinux2: x\r\nlinux1: \x1b[1m# "
    );
}

#[test]
fn line_editing_is_remembered_as_it_looks() {
    let mut rig = Rig::usual();
    rig.write(0, b"# lx\x08 \x08s");
    rig.wait(20 * MS);
    rig.write(1, b"x\n");
    rig.wait(20 * MS);
    assert_eq!(
        rig.seen(),
        "linux1: # lx\x08 \x08s\r\x1b[Klinux2: x\r\nlinux1: # ls"
    );
}

#[test]
fn lines_take_turns() {
    let mut rig = Rig::usual();
    for i in 0..3 {
        for n in 0..3 {
            rig.queue(i, format!("{n}\n").as_bytes());
        }
    }
    let seen = rig.seen();
    let order: Vec<&str> = seen.lines().collect();
    assert_eq!(order.len(), 9);
    for turn in order.chunks(3) {
        let last: Vec<&str> = turn.iter().map(|l| &l[8..]).collect();
        assert!(last.iter().all(|&n| n == last[0]), "{order:?}");
    }
}

#[test]
fn a_guest_that_never_ends_its_line_does_not_keep_the_others_waiting() {
    let mut rig = Rig::usual();
    rig.write(0, b"0");
    rig.write(1, b"me too\n");
    for n in 1..=100 {
        rig.wait(MS);
        rig.write(0, format!("\r{n}").as_bytes());
    }
    let seen = rig.seen();
    assert!(seen.starts_with("linux1: 0\rlinux1: 1\r") && seen.ends_with("linux1: 100"));
    rig.wait(2 * MS);
    assert_eq!(rig.seen(), "\r\nlinux2: me too\r\n");
    // Now the others come first.
    rig.queue(0, b"\r101");
    rig.queue(1, b"a\nb\nc\n");
    assert_eq!(
        rig.seen(),
        "linux2: a\r\nlinux2: b\r\nlinux2: c\r\nlinux1: 101"
    );
}

#[test]
fn a_line_without_end_and_a_flood_share_a_slow_uart() {
    let mut rig = Rig::new(&[("linux1", Role::Guest), ("linux2", Role::Guest)], 16);
    for _ in 0..3000 {
        rig.queue(0, &b"x\r".repeat(TX_SIZE / 2));
        rig.queue(1, &b"flood\n".repeat(TX_SIZE / 6));
        // 115,200 baud.
        rig.uart.drain(12);
        rig.wait(MS);
        rig.pump();
    }
    let seen = String::from_utf8_lossy(rig.uart.wire());
    let share = |text: &str| seen.matches(text).count() * text.len() * 100 / seen.len();
    // 100 ms and 20 ms in turn.
    let shares = (share("linux1: x\r"), share("linux2: flood\r\n"));
    assert!(
        matches!(shares, (75..=95, 5..=25)),
        "percent of the line: {shares:?}"
    );
}

#[test]
fn a_guest_that_pauses_between_its_characters_does_not_keep_the_others_waiting() {
    let mut rig = Rig::usual();
    rig.write(0, b".");
    rig.write(1, b"me too\n");
    for _ in 0..20 {
        rig.wait(10 * MS);
        rig.write(0, b".");
    }
    assert_eq!(
        rig.seen(),
        "linux1: ...........\r\x1b[Klinux2: me too\r\nlinux1: ....................."
    );
}

#[test]
fn a_slow_uart_holds_the_guest_back_and_loses_nothing() {
    let mut rig = Rig::new(&[("linux1", Role::Guest), ("linux2", Role::Guest)], 16);
    let text: Vec<u8> = (0..4000)
        .flat_map(|n| format!("{n} of 4000\n").into_bytes())
        .collect();
    let mut sent = [0, 0];
    let mut wire = Vec::new();
    let mut rounds = 0;
    loop {
        rounds += 1;
        for i in 0..2 {
            // Blocked until told, as a VMM is.
            if rounds == 1 || rig.notified[i] != 0 {
                rig.notified[i] = 0;
                sent[i] += rig.queue(i, &text[sent[i]..]);
            }
        }
        rig.pump();
        if rounds == 1 {
            assert!(
                sent.iter().all(|&s| s == TX_SIZE),
                "the rings are full: {sent:?}"
            );
            assert!(rig.uart.tx_irq());
        }
        wire.extend_from_slice(rig.uart.wire());
        rig.uart.clear();
        if sent == [text.len(); 2] && !rig.uart.tx_irq() {
            break;
        }
        assert!(rounds < 50_000, "stuck at {sent:?}");
    }
    let wire = String::from_utf8(wire).unwrap();
    for name in ["linux1: ", "linux2: "] {
        // Parts of a line may stand alone where the focused guest was cut short.
        let lines: Vec<&str> = wire
            .lines()
            .filter_map(|l| l.strip_prefix(name))
            .filter(|l| l.ends_with(" of 4000"))
            .collect();
        let want: Vec<String> = (0..4000).map(|n| format!("{n} of 4000")).collect();
        assert_eq!(lines, want);
    }
}

#[test]
fn a_guest_that_found_its_ring_full_is_told_once_half_is_free() {
    let mut rig = Rig::new(&[("linux1", Role::Guest)], 16);
    assert_eq!(rig.write(0, &[b'x'; TX_SIZE]), TX_SIZE);
    let taken = TX_SIZE - 100;
    let extra = rig.write(0, &[b'y'; TX_SIZE]);
    assert!(extra < taken);
    assert_eq!(rig.notified[0], 0);
    let mut rounds = 0;
    while rig.notified[0] == 0 {
        rig.uart.drain(16);
        rig.pump();
        rounds += 1;
        assert!(rounds < 2000);
    }
    assert!(rig.clients[0].room() >= TX_SIZE / 2);
}

#[test]
fn a_damaged_ring_is_named_once_and_works_again_when_mended() {
    let mut rig = Rig::usual();
    let prod = &rig.headers[1][0];
    prod.store(0x9000_0000, Ordering::Relaxed);
    for _ in 0..3 {
        rig.mux.on_client(1);
        rig.pump();
    }
    rig.write(0, b"fine\n");
    let seen = rig.seen();
    assert_eq!(
        seen,
        "*** linux2: its output ring is damaged: the indices are 2415919104 apart in a ring of 8192; \
         ignored until linux2 repairs it ***\r\nlinux1: fine\r\n"
    );
    rig.headers[1][0].store(0, Ordering::Relaxed);
    rig.write(1, b"back\n");
    assert_eq!(rig.seen(), "linux2: back\r\n");
    // The index of the ring's other direction that is the client's to write.
    rig.headers[1][64 + 16].store(5, Ordering::Relaxed);
    rig.write(1, b"x\n");
    assert_eq!(
        rig.seen(),
        "*** linux2: its input ring is damaged: the indices are 4294967291 apart in a ring of 4096; \
         ignored until linux2 repairs it ***\r\nlinux2: x\r\n"
    );
}

#[test]
fn one_pump_is_bounded_even_where_the_uart_takes_everything() {
    let mut rig = Rig::usual();
    let text = b"x\r".repeat(TX_SIZE / 2);
    assert_eq!(rig.queue(0, &text), TX_SIZE);
    rig.mux.on_client(0);
    let first = rig.mux.pump(&mut *rig.uart, rig.now);
    assert!(first.more && !rig.uart.tx_irq());
    let done = rig.uart.wire().len();
    assert!((10_000..40_000).contains(&done), "{done}");
    // `seen` pumps until there is no more; the last CR waits for what follows.
    assert_eq!(rig.seen(), ["linux1: x"; TX_SIZE / 2].join("\r"));
}

#[test]
fn names_are_checked() {
    let mut mux: Box<Mux<'_, 2>> = Box::new(Mux::new());
    let mut add = |name: &str| mux.add(name, Role::Guest, region().0.server().unwrap());
    for bad in ["", "a b", "a:", "seventeen-letters", "é", "a\n"] {
        assert_eq!(add(bad), Err(AddError::BadName), "{bad:?}");
    }
    assert_eq!(add("zazen"), Err(AddError::NameTaken));
    assert_eq!(add("a"), Ok(0));
    assert_eq!(add("a"), Err(AddError::NameTaken));
    assert_eq!(add("sixteen-letters!"), Ok(1));
    assert_eq!(add("c"), Err(AddError::TooMany { most: 2 }));
}

/// A client with a name that it cannot have is heard all the same.
#[test]
fn a_name_that_cannot_be_used_is_replaced_and_said() {
    let mut mux: Box<Mux<'_, 4>> = Box::new(Mux::new());
    let end = || region().0.server().unwrap();
    for (number, name) in ["zazen", "a", "a", ""].into_iter().enumerate() {
        let admitted = mux.admit(number, name, Role::Guest, end());
        assert_eq!(admitted, Ok(number), "{name:?}");
    }
    let last = mux.admit(4, "b", Role::Guest, end());
    assert_eq!(last, Err(AddError::TooMany { most: 4 }));
    let mut uart = FakeUart::new(usize::MAX);
    let _ = mux.pump(&mut uart, 0);
    let wire = String::from_utf8_lossy(uart.wire()).into_owned();
    for told in [
        "client 0 is called #0: another",
        "client 2 is called #2: another",
        "client 3 is called #3: a console name",
    ] {
        assert!(wire.contains(told), "{wire}");
    }
}

/// A shell that knows the width edits a line of two rows: it goes up and to the right by sequences,
/// back by backspaces, and to the start by a CR, and the cursor is where it thinks.
#[test]
fn backspaces_work_where_a_sequence_has_put_the_cursor() {
    let mut rig = Rig::usual();
    rig.write(0, b"abc\r\n");
    rig.seen();
    rig.write(0, b"de");
    assert_eq!(rig.seen(), "linux1: de");
    rig.write(0, b"\r\x1b[1A\x1b[3C\x08\x08x");
    assert_eq!(rig.seen(), "\rlinux1: \x1b[1A\x1b[3C\x08\x08x");
    // One cell is left of those that the sequence went, and one was written.
    rig.write(0, b"\x08\x08\x08\x08");
    assert_eq!(rig.seen(), "\x08\x08");
    rig.write(0, b"\x1b[4C\rz");
    assert_eq!(rig.seen(), "\x1b[4C\rlinux1: z");
}
