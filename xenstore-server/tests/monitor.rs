//! What somebody at the console's monitor wants of the store.

mod common;

use common::{OK, Rig, assert_answer};
use console_api::{ConsolePort, Logger};

/// A console with so much room.
struct Console {
    typed: Vec<u8>,
    shown: Vec<u8>,
    room: usize,
}

impl ConsolePort for Console {
    fn write(&mut self, bytes: &[u8]) -> usize {
        let taken = bytes.len().min(self.room);
        self.room -= taken;
        self.shown.extend(&bytes[..taken]);
        taken
    }
    fn read(&mut self, into: &mut [u8]) -> usize {
        let count = into.len().min(self.typed.len());
        into[..count].copy_from_slice(&self.typed[..count]);
        self.typed.drain(..count);
        count
    }
    fn room(&self) -> usize {
        self.room
    }
}

fn console() -> Logger<Console> {
    Logger::new(Console {
        typed: Vec::new(),
        shown: Vec::new(),
        room: 1 << 20,
    })
}

/// What the store says to `line`.
fn say(rig: &mut Rig, line: &str) -> String {
    let mut log = console();
    log.port().typed.extend(line.bytes());
    while !log.port().typed.is_empty() {
        rig.server.on_console(&mut log);
    }
    rig.turn();
    rig.settle();
    String::from_utf8(std::mem::take(&mut log.port().shown)).unwrap()
}

#[test]
fn a_guest_is_asked_to_shut_down() {
    let mut rig = Rig::new(2);
    assert_answer(rig.watch(1, "control/shutdown", "t"), OK);
    rig.events(1);
    for (line, value) in [
        ("shutdown linux2\n", "poweroff"),
        ("reboot linux2\r", "reboot"),
        ("  shutdown   2 \n", "poweroff"),
    ] {
        let said = say(&mut rig, line);
        assert_eq!(said, format!("linux2 is asked for: {value}\n"));
        assert_eq!(rig.events(1), ["control/shutdown|t|"]);
        assert_answer(rig.read(1, "control/shutdown"), Ok(value));
        assert_answer(rig.read(0, "control/shutdown"), Ok(""));
    }
    for line in ["shutdown linux3\n", "shutdown 0\n", "shutdown 3\n"] {
        assert!(say(&mut rig, line).contains("no guest"), "{line}");
    }
    rig.end(1);
    assert!(say(&mut rig, "shutdown linux2\n").contains("no guest linux2 that lives"));
}

#[test]
fn a_guest_is_asked_to_have_less_memory() {
    let mut rig = Rig::new(1);
    assert_answer(rig.watch(0, "memory/target", "t"), OK);
    rig.events(0);
    assert_eq!(
        say(&mut rig, "mem-set linux1 64\n"),
        "linux1 is asked to have 64 MiB\n"
    );
    assert_eq!(rig.events(0), ["memory/target|t|"]);
    assert_answer(rig.read(0, "memory/target"), Ok("65536"));
    for bad in ["0", "129", "x", "-1", "99999999999999999999"] {
        let said = say(&mut rig, &format!("mem-set linux1 {bad}\n"));
        assert_eq!(said, "linux1 may have 1 to 128 MiB, a whole number\n");
    }
    assert_answer(rig.read(0, "memory/target"), Ok("65536"));
}

#[test]
fn a_subtree_is_shown_parents_first() {
    let mut rig = Rig::new(2);
    for (path, value) in [("data/a", "x"), ("data/a/b/c", "y\"\x01"), ("data/z", "")] {
        assert_answer(rig.write(0, path, value), OK);
    }
    let top = "/local/domain/1/data";
    let listed = say(&mut rig, &format!("ls {top}\n"));
    let lines: Vec<_> = listed.lines().collect();
    assert_eq!(
        lines,
        [
            format!("what is in {top}:"),
            format!("{top} = \"\""),
            format!("{top}/a = \"x\""),
            format!("{top}/a/b = \"\""),
            format!("{top}/a/b/c = \"y\\\"\\x01\""),
            format!("{top}/z = \"\""),
        ]
    );
    // Everything, each node once.
    let all = say(&mut rig, "ls\n");
    for node in [
        "/ =",
        "/local/domain/2/domid = \"2\"",
        "/tool/xenstored =",
        "/vm =",
    ] {
        assert_eq!(all.matches(&format!("\n{node}")).count(), 1, "{node}");
    }
    for (line, why) in [
        ("ls /none\n", "there is no /none\n"),
        ("ls a//b\n", "a//b is no path\n"),
    ] {
        assert_eq!(say(&mut rig, line), why);
    }
    for line in [
        "\n",
        "ls a b\n",
        "xl list\n",
        "reboot\n",
        &format!("{}\n", "x".repeat(300)),
    ] {
        assert!(say(&mut rig, line).starts_with("shutdown GUEST"), "{line}");
    }
}

#[test]
fn a_listing_waits_for_room_and_bears_changes() {
    let mut rig = Rig::new(1);
    for n in 0..50 {
        assert_answer(rig.write(0, &format!("data/{n}"), "value"), OK);
    }
    let mut log = console();
    log.port().room = 300;
    log.port().typed.extend(b"ls /local/domain/1/data\n");
    rig.server.on_console(&mut log);
    assert!(log.port().shown.len() <= 300);
    // What is listed goes.
    assert_answer(rig.rm(0, "data"), OK);
    log.port().room = 1 << 20;
    rig.server.on_console(&mut log);
    let shown = String::from_utf8(log.port().shown.clone()).unwrap();
    assert!(
        shown
            .lines()
            .last()
            .unwrap()
            .ends_with("went while it was listed"),
        "{shown}"
    );
}
