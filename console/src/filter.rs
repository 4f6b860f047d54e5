//! What of a client's bytes may reach the terminal, and what it is.
//!
//! The parser follows ECMA-48: control sequences, control strings, two-byte escapes. It decides
//! nothing about focus; see the crate's documentation for what becomes of each [`Item`].

use heapless::Vec;

/// Longest escape sequence that passes, in bytes.
pub(crate) const SEQUENCE_MAX: usize = 32;

/// One thing a client wrote.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Item<'s> {
    /// A byte to show: printable ASCII, TAB, or part of a UTF-8 character.
    Byte(u8),
    /// Backspace.
    Back,
    /// The bell.
    Bell,
    /// A CR that no LF followed.
    Return,
    /// End of the line.
    Newline,
    /// A whole escape sequence.
    Sequence(&'s [u8]),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Ground,
    /// After ESC.
    Escape,
    /// After ESC and an intermediate byte: a character-set switch and the like; dropped.
    Designate,
    /// After ESC [.
    Control,
    /// In a control string (OSC, DCS, SOS, PM, APC); dropped.
    String,
}

/// The parser's state for one client.
#[derive(Debug)]
pub(crate) struct Filter {
    state: State,
    sequence: Vec<u8, SEQUENCE_MAX>,
    too_long: bool,
    /// A CR waits for what follows.
    cr: bool,
    /// 0xC2 was seen: U+0080..U+009F, the C1 controls, start so.
    c2: bool,
    /// Continuation bytes still to come.
    continuation: u8,
}

impl Filter {
    pub(crate) const fn new() -> Self {
        Self {
            state: State::Ground,
            sequence: Vec::new(),
            too_long: false,
            cr: false,
            c2: false,
            continuation: 0,
        }
    }

    /// Takes one byte and gives what it completes (at most three items) to `sink`.
    pub(crate) fn feed(&mut self, byte: u8, sink: &mut impl FnMut(Item<'_>)) {
        match self.state {
            State::Ground => self.ground(byte, sink),
            State::Escape => match byte {
                b'[' => {
                    let _ = self.sequence.push(byte);
                    self.state = State::Control;
                }
                b']' | b'P' | b'X' | b'^' | b'_' => self.state = State::String,
                0x20..=0x2f => self.state = State::Designate,
                b'\\' => self.state = State::Ground,
                0x30..=0x7e => {
                    let _ = self.sequence.push(byte);
                    self.complete(sink);
                }
                _ => self.abort(byte, sink),
            },
            State::Designate => match byte {
                0x20..=0x2f => {}
                0x30..=0x7e => self.state = State::Ground,
                _ => self.abort(byte, sink),
            },
            State::Control => match byte {
                0x20..=0x3f => self.too_long |= self.sequence.push(byte).is_err(),
                0x40..=0x7e => {
                    self.too_long |= self.sequence.push(byte).is_err();
                    self.complete(sink);
                }
                _ => self.abort(byte, sink),
            },
            State::String => match byte {
                0x07 | 0x18 | 0x1a => self.state = State::Ground,
                // A string that was never ended must not swallow more than a line.
                b'\n' | 0x1b => self.abort(byte, sink),
                _ => {}
            },
        }
    }

    fn complete(&mut self, sink: &mut impl FnMut(Item<'_>)) {
        self.state = State::Ground;
        if !self.too_long {
            self.before(sink);
            sink(Item::Sequence(&self.sequence));
        }
    }

    /// `byte` does not belong to the sequence begun: forget that and take `byte` for itself.
    fn abort(&mut self, byte: u8, sink: &mut impl FnMut(Item<'_>)) {
        self.state = State::Ground;
        self.ground(byte, sink);
    }

    fn ground(&mut self, byte: u8, sink: &mut impl FnMut(Item<'_>)) {
        if byte < 0x80 {
            self.continuation = 0;
            if core::mem::take(&mut self.c2) {
                sink(Item::Byte(b'?'));
            }
        }
        match byte {
            b'\n' | 0x0b | 0x0c => {
                self.cr = false;
                sink(Item::Newline);
            }
            b'\r' => self.cr = true,
            0x1b => {
                self.state = State::Escape;
                self.sequence.clear();
                self.too_long = false;
                let _ = self.sequence.push(byte);
            }
            0x08 => {
                self.before(sink);
                sink(Item::Back);
            }
            0x07 => sink(Item::Bell),
            b'\t' | 0x20..=0x7e => {
                self.before(sink);
                sink(Item::Byte(byte));
            }
            0x80.. => self.wide(byte, sink),
            _ => {}
        }
    }

    /// Bytes of UTF-8. What is not UTF-8 passes too, unless it might be a C1 control.
    fn wide(&mut self, byte: u8, sink: &mut impl FnMut(Item<'_>)) {
        let c2 = core::mem::take(&mut self.c2);
        self.before(sink);
        match byte {
            0x80..=0x9f if c2 => sink(Item::Byte(b'?')),
            0x80..=0x9f if self.continuation == 0 => sink(Item::Byte(b'?')),
            0x80..=0xbf => {
                self.continuation = self.continuation.saturating_sub(1);
                if c2 {
                    sink(Item::Byte(0xc2));
                }
                sink(Item::Byte(byte));
            }
            _ => {
                if c2 {
                    sink(Item::Byte(b'?'));
                }
                self.continuation = match byte {
                    0xc3..=0xdf => 1,
                    0xe0..=0xef => 2,
                    0xf0..=0xf4 => 3,
                    _ => 0,
                };
                if byte == 0xc2 {
                    self.c2 = true;
                } else {
                    sink(Item::Byte(byte));
                }
            }
        }
    }

    /// Before anything visible: the CR that turned out not to belong to a line's end.
    fn before(&mut self, sink: &mut impl FnMut(Item<'_>)) {
        if core::mem::take(&mut self.cr) {
            sink(Item::Return);
        }
    }
}

/// Whether `sequence` sets colours and nothing else (SGR, ECMA-48 8.3.117).
pub(crate) fn is_style(sequence: &[u8]) -> bool {
    matches!(sequence, [0x1b, b'[', parameters @ .., b'm']
        if parameters.iter().all(|b| matches!(b, b'0'..=b'9' | b';' | b':')))
}

/// Whether a style sequence goes back to plain text.
pub(crate) fn is_plain(style: &[u8]) -> bool {
    matches!(style, [0x1b, b'[', b'm'] | [0x1b, b'[', b'0', b'm'])
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::{format, string::String, vec::Vec};

    fn items(bytes: &[u8]) -> String {
        let mut filter = Filter::new();
        let mut all = Vec::new();
        for &b in bytes {
            filter.feed(b, &mut |item| {
                all.extend_from_slice(&match item {
                    Item::Byte(b) => std::vec![b],
                    Item::Back => b"<bs>".to_vec(),
                    Item::Bell => b"<bel>".to_vec(),
                    Item::Return => b"<cr>".to_vec(),
                    Item::Newline => b"<nl>".to_vec(),
                    Item::Sequence(s) => {
                        format!("<{}>", String::from_utf8_lossy(&s[1..])).into_bytes()
                    }
                });
            });
        }
        String::from_utf8_lossy(&all).into_owned()
    }

    #[test]
    fn line_ends_and_controls() {
        assert_eq!(items(b"a\r\nb\nc\r\r\nd\re"), "a<nl>b<nl>c<nl>d<cr>e");
        assert_eq!(
            items(b"a\x0bb\x0cc\0\x01\x0e\x0f\x7fd\te\x08\x07"),
            "a<nl>b<nl>cd\te<bs><bel>"
        );
        assert_eq!(items(b"at the end\r"), "at the end");
    }

    #[test]
    fn sequences() {
        assert_eq!(items(b"\x1b[31mred\x1b[0m"), "<[31m>red<[0m>");
        assert_eq!(items(b"\x1b[2J\x1b[H\x1bc\x1b7x"), "<[2J><[H><c><7>x");
        assert_eq!(items(b"\x1b(0lqk\x1b)B"), "lqk");
        assert_eq!(items(b"\x1b]0;title\x07a\x1bPq\x1b\\b\x1b_x\nc"), "ab<nl>c");
        assert_eq!(items(b"\x1b[12\nx\x1b\x1b[m"), "<nl>x<[m>");
        assert_eq!(items(format!("\x1b[{}mx", "1;".repeat(40)).as_bytes()), "x");
    }

    #[test]
    fn utf8_passes_and_c1_does_not() {
        assert_eq!(items("é ě € 😀 \u{a0}".as_bytes()), "é ě € 😀 \u{a0}");
        assert_eq!(items("a\u{9b}2Jb".as_bytes()), "a?2Jb");
        assert_eq!(items(b"a\x9b2Jb\x85"), "a?2Jb?");
        assert_eq!(items(b"\xc2x\xc2\n\xc2\xc2\xa7"), "?x?<nl>?\u{a7}");
    }

    #[test]
    fn styles() {
        assert!(is_style(b"\x1b[m") && is_style(b"\x1b[38:5:1;4m"));
        assert!(!is_style(b"\x1b[>4m") && !is_style(b"\x1b[2J") && !is_style(b"\x1bm"));
        assert!(is_plain(b"\x1b[0m") && is_plain(b"\x1b[m") && !is_plain(b"\x1b[0;7m"));
    }
}
