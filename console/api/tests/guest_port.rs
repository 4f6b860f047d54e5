//! What a VMM's stream holds when guest and VMM both write to it.

use std::cell::RefCell;
use std::rc::Rc;

use console_api::{ConsolePort, GuestPort, OWN_MAX};
use proptest::prelude::*;

#[derive(Default)]
struct Stream {
    text: Vec<u8>,
    room: usize,
}

#[derive(Clone)]
struct Port(Rc<RefCell<Stream>>);

impl ConsolePort for Port {
    fn write(&mut self, bytes: &[u8]) -> usize {
        let mut stream = self.0.borrow_mut();
        let taken = bytes.len().min(stream.room);
        stream.room -= taken;
        stream.text.extend_from_slice(&bytes[..taken]);
        taken
    }
    fn read(&mut self, into: &mut [u8]) -> usize {
        into.fill(b'k');
        into.len()
    }
    fn room(&self) -> usize {
        self.0.borrow().room
    }
}

fn port(room: usize) -> (GuestPort<Port>, Port) {
    let port = Port(Rc::default());
    port.0.borrow_mut().room = room;
    (GuestPort::new(port.clone()), port)
}

fn text(port: &Port) -> String {
    String::from_utf8(port.0.borrow().text.clone()).unwrap()
}

#[test]
fn a_line_of_the_vmm_begins_on_a_new_line() {
    let (mut console, stream) = port(usize::MAX);
    console.say(format_args!("[vmm] one"));
    assert_eq!(console.write(b"Booting\r\n"), 9);
    console.say(format_args!("[vmm] two"));
    console.write(b"\n\r");
    console.say(format_args!("[vmm] three"));
    console.write(b"half");
    console.write(b"");
    console.say(format_args!("[vmm] {}", 4));
    console.say(format_args!("[vmm] five"));
    console.write(b" a line\n");
    console.write(b"10%\r");
    console.say(format_args!("[vmm] six"));
    assert_eq!(
        text(&stream),
        "[vmm] one\nBooting\r\n[vmm] two\n\n\r[vmm] three\nhalf\n[vmm] 4\n[vmm] five\n a line\n10%\r\n[vmm] six\n"
    );
    let mut keys = [0; 3];
    assert_eq!((console.read(&mut keys), &keys), (3, b"kkk"));
}

#[test]
fn only_what_was_written_counts() {
    let (mut console, stream) = port(4);
    assert_eq!(console.write(b"ab\ncd\n"), 4);
    stream.0.borrow_mut().room = 100;
    console.say(format_args!("x"));
    assert_eq!(text(&stream), "ab\nc\nx\n");
}

#[test]
fn the_guest_waits_behind_a_line_that_has_no_room() {
    let (mut console, stream) = port(10);
    console.write(b"half");
    console.say(format_args!("[vmm] stopped"));
    assert_eq!(text(&stream), "half\n[vmm]");
    assert_eq!((console.write(b"more"), console.room()), (0, 0));
    stream.0.borrow_mut().room = 20;
    assert_eq!(console.room(), 20 - " stopped\n".len());
    assert_eq!(console.write(b"more"), 4);
    console.say(format_args!("x"));
    assert_eq!(text(&stream), "half\n[vmm] stopped\nmore\nx\n");
}

#[test]
fn lines_that_do_not_fit_are_dropped_whole_and_counted() {
    let (mut console, stream) = port(0);
    let line = "x".repeat(99);
    for _ in 0..23 {
        console.say(format_args!("{line}"));
    }
    stream.0.borrow_mut().room = usize::MAX;
    console.flush();
    console.say(format_args!("next"));
    console.say(format_args!("last"));
    let fit = OWN_MAX / 100;
    assert_eq!(
        text(&stream),
        format!(
            "{}({} lines dropped here: the console was full)\nnext\nlast\n",
            format!("{line}\n").repeat(fit),
            23 - fit
        )
    );
}

proptest! {
    /// However little room there is at a time: all is there in the order of its writing, and lines
    /// of the VMM are whole lines.
    #[test]
    fn nothing_is_lost_or_mixed(
        ops in prop::collection::vec((0usize..12, prop_oneof![Just(None), "[a-z\n\r]{0,12}".prop_map(Some)]), 0..80),
    ) {
        let (mut console, stream) = port(0);
        let mut want = String::new();
        for (number, (room, op)) in ops.into_iter().enumerate() {
            stream.0.borrow_mut().room += room;
            if let Some(bytes) = op {
                let written = console.write(bytes.as_bytes());
                want.push_str(&bytes[..written]);
            } else {
                console.say(format_args!("[{number}]"));
                if !matches!(want.trim_end_matches('\r').chars().last(), None | Some('\n')) {
                    want.push('\n');
                }
                want.push_str(&format!("[{number}]\n"));
            }
        }
        stream.0.borrow_mut().room = usize::MAX;
        console.flush();
        prop_assert_eq!(text(&stream), want);
    }
}
