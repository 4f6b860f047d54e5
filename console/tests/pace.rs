//! When things appear on the terminal.

mod common;
use common::{MS, Rig};
use proptest::prelude::*;

/// Bytes that Linux's hvc driver writes at a time.
const PIECE: usize = 16;

#[test]
fn a_boot_log_in_pieces_is_not_broken_by_the_others() {
    let mut rig = Rig::usual();
    let log = b"[    0.121779] LSM: Security Framework initializing\n[    0.122000] Mount-cache hash table\n";
    for (n, piece) in log.chunks(PIECE).enumerate() {
        rig.write(0, piece);
        rig.wait(MS);
        if n < 3 {
            rig.write(1, b"[    0.12");
            rig.write(2, format!("granted {n}\n").as_bytes());
            rig.write(1, b"0000] ok\n");
        }
    }
    // What waited comes when the line ends, a line of each client in turn. The piece that ended it
    // has begun the next, which is again not broken.
    assert_eq!(
        rig.seen(),
        "linux1: [    0.121779] LSM: Security Framework initializing\r\n\
         linux2: [    0.120000] ok\r\nmemory: granted 0\r\n\
         linux1: [    0.122000] Mount-cache hash table\r\n\
         linux2: [    0.120000] ok\r\nmemory: granted 1\r\n\
         linux2: [    0.120000] ok\r\nmemory: granted 2\r\n"
    );
}

#[test]
fn echo_and_prompts_appear_at_once() {
    let mut rig = Rig::usual();
    rig.write(0, b"/ # ");
    assert_eq!(rig.seen(), "linux1: / # ");
    for key in ["l", "s", "\r\n"] {
        rig.wait(200 * MS);
        rig.write(0, key.as_bytes());
        assert_eq!(rig.seen(), key);
    }
    assert_eq!((rig.wake_at, rig.woken), (None, 0));
}

#[test]
fn echo_appears_at_once_among_the_lines_of_others() {
    let mut rig = Rig::usual();
    rig.write(0, b"/ # ");
    rig.wait(20 * MS);
    rig.write(1, b"one\n");
    rig.seen();
    rig.wait(MS);
    rig.write(0, b"l");
    assert_eq!(rig.seen(), "linux1: / # l");
    rig.wait(19 * MS);
    rig.write(1, b"two\n");
    rig.wait(MS - 1);
    assert_eq!(rig.seen(), "");
    rig.wait(1);
    assert_eq!(rig.seen(), "\r\x1b[Klinux2: two\r\n");
    rig.wait(20 * MS - 1);
    assert_eq!(rig.seen(), "");
    rig.wait(1);
    assert_eq!(rig.seen(), "linux1: / # l");
    assert_eq!((rig.wake_at, rig.woken), (None, 2));
}

#[test]
fn a_quiet_prompt_gives_way_at_once() {
    let mut rig = Rig::usual();
    rig.write(0, b"/ # ");
    rig.wait(20 * MS);
    rig.write(1, b"hello\n");
    assert_eq!(rig.seen(), "linux1: / # \r\x1b[Klinux2: hello\r\n");
    // Once it is back, again.
    rig.wait(20 * MS);
    rig.write(1, b"hello\n");
    assert_eq!(rig.seen(), "linux1: / # \r\x1b[Klinux2: hello\r\n");
}

#[test]
fn the_monitor_and_a_switch_wait_for_nobody() {
    let mut rig = Rig::usual();
    rig.write(0, b"half a li");
    rig.write(1, b"# ");
    rig.type_in(b"\x01\x01\x01");
    assert_eq!(
        rig.seen(),
        "linux1: half a li\r\n*** Input goes to linux2 now (Ctrl-a three times: next) ***\r\nlinux2: # "
    );
    rig.type_in(b"\x01\x01\x01?");
    rig.write(2, b"granted\n");
    assert_eq!(
        rig.seen(),
        "\r\n*** Input goes to zazen now: h for help (Ctrl-a three times: next) ***\r\n\
         zazen: no command '?'; h lists them\r\nmemory: granted\r\n"
    );
    assert_eq!(rig.wake_at, None);
}

#[test]
fn output_that_waits_is_counted_and_holds_its_writer_back_only_when_its_ring_is_full() {
    let mut rig = Rig::usual();
    rig.write(0, b"half");
    assert_eq!(rig.write(1, &b"x\n".repeat(4096)), 8192);
    assert_eq!(rig.write(1, b"more"), 0);
    assert_eq!(rig.notified[1], 0);
    rig.wait(20 * MS);
    assert_eq!(rig.notified[1], 1);
    assert_eq!(rig.seen().matches("linux2: x\r\n").count(), 4096);
}

#[derive(Clone, Debug)]
struct Line {
    /// Text and the milliseconds before it; together less than 100.
    pieces: Vec<(String, u64)>,
    /// Clients that write a line before each piece.
    others: Vec<usize>,
}

fn line() -> impl Strategy<Value = Line> {
    (
        prop::collection::vec(("[a-z]{1,16}", 0u64..20), 1..6),
        prop::collection::vec(1usize..3, 0..6),
    )
        .prop_map(|(pieces, others)| Line { pieces, others })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Lines whose pauses are short are never broken nor repeated, and nobody waits longer than
    /// their end.
    #[test]
    fn lines_without_pauses_stay_whole(lines in prop::collection::vec(line(), 1..40)) {
        let mut rig = Rig::usual();
        let mut want = Vec::new();
        let mut others = 0;
        for line in &lines {
            let mut whole = String::from("linux1: ");
            for (n, (text, pause)) in line.pieces.iter().enumerate() {
                rig.wait(pause * MS);
                if let Some(&i) = line.others.get(n) {
                    rig.write(i, format!("{others}\n").as_bytes());
                    others += 1;
                }
                rig.write(0, text.as_bytes());
                whole.push_str(text);
            }
            rig.write(0, b"\n");
            want.push(whole);
            let seen = rig.seen();
            prop_assert!(seen.ends_with("\r\n"), "all is printed when the line ends: {seen:?}");
            let (mine, other): (Vec<&str>, Vec<&str>) = seen.lines().partition(|l| l.starts_with("linux1: "));
            prop_assert_eq!(mine, vec![want.last().unwrap().as_str()]);
            prop_assert_eq!(other.len(), line.others.len().min(line.pieces.len()));
        }
        prop_assert_eq!(rig.wake_at, None);
    }

    /// Whatever the guest with the focus does, a line of another waits 100 ms at most, and 20 ms
    /// where that guest writes nothing.
    #[test]
    fn nobody_waits_for_long(
        pieces in prop::collection::vec(("[a-z\r]{0,16}\n?", 0u64..60, any::<bool>()), 1..100),
    ) {
        let mut rig = Rig::usual();
        // When each line of the other was written, and when the guest wrote last.
        let mut waiting: Option<u64> = None;
        let mut written = 0;
        for (text, pause, other) in pieces {
            for _ in 0..pause {
                rig.wait(MS);
                if rig.seen().contains("memory: ") {
                    waiting = None;
                }
                if let Some(since) = waiting {
                    prop_assert!(rig.now <= since + 100 * MS, "{} ms", (rig.now - since) / MS);
                    prop_assert!(rig.now < written + 20 * MS);
                }
            }
            if rig.write(0, text.as_bytes()) > 0 {
                written = rig.now;
            }
            if other && waiting.is_none() {
                rig.write(2, b"x\n");
                waiting = Some(rig.now);
            }
            if rig.seen().contains("memory: ") {
                waiting = None;
            }
        }
    }
}
