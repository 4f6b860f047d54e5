//! A client's unfinished line.

use heapless::Vec;

use crate::filter::SEQUENCE_MAX;

/// Longest line in bytes; a longer one is split, each part with its name in front.
pub const LINE_MAX: usize = 512;
/// What a CR counts: the name is printed again after it.
const RETURN_COST: usize = 32;
const CAPACITY: usize = LINE_MAX + SEQUENCE_MAX + 8;

/// The bytes of a line so far. A CR among them means "back to the start of the line".
#[derive(Debug)]
pub(crate) struct Line {
    bytes: Vec<u8, CAPACITY>,
    /// What printing it costs at most in bytes.
    cost: usize,
    /// Cells that a backspace may go back. Counts printable ASCII alone, which is one cell for
    /// sure, so that backspaces cannot reach the name.
    column: usize,
    /// Cells that the cursor was moved to the right of these by a sequence, as shells do in a line
    /// that is longer than a row. They are on the screen alone: nothing remembers what is there.
    ahead: usize,
    /// A colour is on.
    styled: bool,
}

impl Line {
    pub(crate) const fn new() -> Self {
        Self {
            bytes: Vec::new(),
            cost: 0,
            column: 0,
            ahead: 0,
            styled: false,
        }
    }
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
    pub(crate) const fn styled(&self) -> bool {
        self.styled
    }
    pub(crate) fn clear(&mut self) {
        *self = Self::new();
    }
    /// Whether the line must be split before `more` is added; never within a UTF-8 character.
    pub(crate) fn is_full_for(&self, more: &[u8]) -> bool {
        let inside = matches!(more, [0x80..=0xbf]) && self.cost < LINE_MAX + 4;
        !inside && self.cost + more.len() > LINE_MAX
    }
    pub(crate) fn push(&mut self, byte: u8) {
        if self.bytes.push(byte).is_ok() {
            self.cost += 1;
            if matches!(byte, 0x20..=0x7e) {
                self.column += 1;
            }
        }
    }
    /// Adds a colour sequence; `on` if it leaves a colour on.
    pub(crate) fn push_style(&mut self, style: &[u8], on: bool) {
        if self.bytes.extend_from_slice(style).is_ok() {
            self.cost += style.len();
            self.styled = on;
        }
    }
    /// Whether a CR would split the line.
    pub(crate) const fn is_full_for_return(&self) -> bool {
        self.cost + RETURN_COST > LINE_MAX
    }
    pub(crate) fn push_return(&mut self) {
        if self.bytes.push(b'\r').is_ok() {
            self.cost += RETURN_COST;
            self.column = 0;
        }
    }
    /// Whether a backspace stays clear of the name.
    pub(crate) const fn can_go_back(&self) -> bool {
        self.column > 0 || self.ahead > 0
    }
    /// Whether the cursor is where a sequence has put it, to the right of all that is remembered.
    pub(crate) const fn is_ahead(&self) -> bool {
        self.ahead > 0
    }
    /// Takes a sequence that the client with the focus wrote: where it moves the cursor in its row,
    /// that counts.
    pub(crate) fn moved(&mut self, sequence: &[u8]) {
        // ECMA-48, 8.3.18 and 8.3.20: ESC [ Pn D and ESC [ Pn C; no number is 1, and so is 0.
        let Some([digits @ .., end]) = sequence.strip_prefix(b"\x1b[") else {
            return;
        };
        let number = core::str::from_utf8(digits).ok();
        let number = number.and_then(|digits| match digits {
            "" => Some(1),
            digits => digits.parse::<u16>().ok(),
        });
        let Some(cells) = number.map(|cells| usize::from(cells.max(1))) else {
            return;
        };
        match end {
            b'C' => self.ahead = self.ahead.saturating_add(cells).min(LINE_MAX),
            b'D' => self.ahead = self.ahead.saturating_sub(cells),
            _ => {}
        }
    }
    /// Goes back one cell; `false` at the start of what may be gone back over.
    pub(crate) fn back(&mut self) -> bool {
        if self.ahead > 0 {
            self.ahead -= 1;
            return false;
        }
        if self.column == 0 {
            return false;
        }
        self.column -= 1;
        if self.bytes.push(0x08).is_err() {
            return true;
        }
        self.cost += 1;
        // "x BS SP BS" is how a character is rubbed out; forget all of it, so that editing for long
        // does not fill the line.
        if self.bytes.ends_with(b"\x08 \x08") {
            let start = self.bytes.len() - 3;
            let shown = self.bytes.get(..start).unwrap_or(&[]);
            if let Some(0x20..=0x7e) = shown.last() {
                self.bytes.truncate(start - 1);
                self.cost -= 4;
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;

    fn feed(line: &mut Line, text: &[u8]) {
        for &b in text {
            match b {
                0x08 => {
                    line.back();
                }
                b'\r' => line.push_return(),
                _ => line.push(b),
            }
        }
    }

    #[test]
    fn rubbing_out_leaves_nothing_behind() {
        let mut line = Line::new();
        for _ in 0..10_000 {
            feed(&mut line, b"x\x08 \x08");
        }
        assert!(line.is_empty());
        feed(&mut line, b"ab\x08 \x08c");
        assert_eq!(line.bytes(), b"ac");
    }

    #[test]
    fn backspace_stops_at_the_start() {
        let mut line = Line::new();
        assert!(!line.back());
        feed(&mut line, b"ab\r");
        assert!(!line.back());
        feed(&mut line, "\u{301}\u{301}".as_bytes());
        assert!(!line.back(), "combining characters take no cell");
        feed(&mut line, b"x");
        assert!(line.back());
        assert!(!line.back());
    }

    #[test]
    fn a_backspace_may_go_where_a_sequence_has_gone() {
        let mut line = Line::new();
        line.moved(b"\x1b[3C");
        line.moved(b"\x1b[D");
        assert!(line.is_ahead() && line.can_go_back());
        // On the screen, and in nothing that is remembered: there it would reach the name.
        assert!(!line.back() && !line.back());
        assert!(!line.can_go_back() && line.is_empty());
        for other in [
            &b"\x1b[A"[..],
            b"\x1b[99999999C",
            b"\x1b[1;2C",
            b"\x1b[?1C",
            b"\x1bC",
            b"",
        ] {
            line.moved(other);
            assert!(!line.is_ahead(), "{other:?}");
        }
        feed(&mut line, b"ab");
        line.moved(b"\x1b[65535C");
        for _ in 0..LINE_MAX {
            assert!(line.can_go_back());
            line.back();
        }
        assert!(line.back() && line.back() && !line.back());
    }

    #[test]
    fn full_at_the_limit_but_not_inside_a_character() {
        let mut line = Line::new();
        feed(&mut line, &[b'x'; LINE_MAX]);
        assert!(line.is_full_for(b"x"));
        assert!(!line.is_full_for(&[0x80]));
        feed(&mut line, &[0x80; 9]);
        assert!(line.is_full_for(&[0x80]));
    }
}
