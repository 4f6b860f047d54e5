//! The terminal as we know it: which line the cursor is in, and what goes there next.

use crate::line::Line;
use crate::wire::Wire;

/// Ends colours.
const PLAIN: &[u8] = b"\x1b[0m";
/// Goes back to the start of the row and erases it (ECMA-48, 8.3.41).
const ERASE_ROW: &[u8] = b"\r\x1b[K";
/// Most cells that fit into one row of every terminal, which is 80 columns wide at least. The last
/// cell is left out: terminals differ in where the cursor is behind it.
const ROW: usize = 79;

/// The wire, and where its bytes have left the cursor.
#[derive(Debug)]
pub(crate) struct Screen {
    pub(crate) wire: Wire,
    /// Whose unfinished line the cursor is in; only the client with the focus has one.
    shown: Option<usize>,
    /// A colour is on.
    styled: bool,
    /// An upper bound for the cells of the line the cursor is in.
    cells: usize,
}

impl Screen {
    pub(crate) const fn new() -> Self {
        Self {
            wire: Wire::new(),
            shown: None,
            styled: false,
            cells: 0,
        }
    }

    pub(crate) const fn shown(&self) -> Option<usize> {
        self.shown
    }

    /// Ends the line the cursor is in, if any.
    pub(crate) fn end(&mut self) {
        if self.shown.take().is_some() {
            self.newline();
        }
    }

    /// Erases the line the cursor is in, if any, to make room for another one. Its client has not
    /// finished it, and [`Screen::open`] brings it back. A line that may be longer than a row
    /// cannot be erased; it stays and is printed again below.
    fn withdraw(&mut self) {
        if self.cells > ROW {
            self.end();
        } else if self.shown.take().is_some() {
            self.plain();
            self.wire.put(ERASE_ROW);
        }
    }

    /// Prints a whole line of a client.
    pub(crate) fn print(&mut self, name: &str, line: &Line) {
        self.withdraw();
        self.render(name, line);
        self.newline();
    }

    /// Prints a whole line of our own.
    pub(crate) fn print_parts(&mut self, parts: &[&str]) {
        self.withdraw();
        for part in parts {
            self.wire.put(part.as_bytes());
        }
        self.newline();
    }

    /// Puts the cursor behind `line`, the unfinished line of client `index`.
    pub(crate) fn open(&mut self, index: usize, name: &str, line: &Line) {
        if self.shown != Some(index) {
            self.withdraw();
            self.cells = name.len() + 2 + line.bytes().len();
            self.render(name, line);
            self.shown = Some(index);
        }
    }

    /// Adds what the client of the line the cursor is in wrote.
    pub(crate) fn add(&mut self, bytes: &[u8]) {
        self.cells = self.cells.saturating_add(bytes.len());
        self.wire.put(bytes);
    }

    /// Adds a sequence that the client of the line the cursor is in wrote and that is no colour.
    pub(crate) fn control(&mut self, sequence: &[u8]) {
        // Those that end so stay within the row: ECMA-48, CUF, CUB, EL, ICH and DCH.
        if !matches!(sequence, [0x1b, b'[', .., b'C' | b'D' | b'K' | b'@' | b'P']) {
            self.cells = usize::MAX;
        }
        self.wire.put(sequence);
    }

    /// Goes back to the start of the line and prints the name again.
    pub(crate) fn restart(&mut self, name: &str) {
        self.plain();
        self.wire.put(b"\r");
        self.name(name);
    }

    /// Passes a colour sequence; `on` if it leaves a colour on.
    pub(crate) fn style(&mut self, sequence: &[u8], on: bool) {
        self.wire.put(sequence);
        self.styled = on;
    }

    fn render(&mut self, name: &str, line: &Line) {
        self.name(name);
        self.styled = line.styled();
        for &byte in line.bytes() {
            if byte == b'\r' {
                // Whether a colour is on here is not known; ending it twice does no harm.
                if line.styled() {
                    self.wire.put(PLAIN);
                }
                self.wire.put(b"\r");
                self.name(name);
            } else {
                self.wire.put(&[byte]);
            }
        }
    }

    fn name(&mut self, name: &str) {
        self.wire.put(name.as_bytes());
        self.wire.put(b": ");
    }

    fn plain(&mut self) {
        if core::mem::take(&mut self.styled) {
            self.wire.put(PLAIN);
        }
    }

    fn newline(&mut self) {
        self.plain();
        self.wire.put(b"\r\n");
    }
}
