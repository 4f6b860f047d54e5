//! The terminal as we know it: which line the cursor is in, and what goes there next.

use crate::line::Line;
use crate::wire::Wire;

/// Ends colours.
const PLAIN: &[u8] = b"\x1b[0m";

/// The wire, and where its bytes have left the cursor.
#[derive(Debug)]
pub(crate) struct Screen {
    pub(crate) wire: Wire,
    /// Whose unfinished line the cursor is in; only the client with the focus has one.
    shown: Option<usize>,
    /// A colour is on.
    styled: bool,
}

impl Screen {
    pub(crate) const fn new() -> Self {
        Self {
            wire: Wire::new(),
            shown: None,
            styled: false,
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

    /// Prints a whole line of a client.
    pub(crate) fn print(&mut self, name: &str, line: &Line) {
        self.end();
        self.render(name, line);
        self.newline();
    }

    /// Prints a whole line of our own.
    pub(crate) fn print_parts(&mut self, parts: &[&str]) {
        self.end();
        for part in parts {
            self.wire.put(part.as_bytes());
        }
        self.newline();
    }

    /// Puts the cursor behind `line`, the unfinished line of client `index`.
    pub(crate) fn open(&mut self, index: usize, name: &str, line: &Line) {
        if self.shown != Some(index) {
            self.end();
            self.render(name, line);
            self.shown = Some(index);
        }
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
