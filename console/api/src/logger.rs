//! Logging by whole lines.

use core::fmt::{self, Write};

use crate::ConsolePort;

/// Longest line of a [`Logger`], in bytes without the newline; a longer one is split.
pub const LOG_LINE_MAX: usize = 200;

/// Collects formatted text and hands it to a [`ConsolePort`] line by line.
///
/// A server must not wait for the console. A line for which the port has no room is dropped as
/// a whole, and how many were is said in the next line that fits.
#[derive(Debug)]
pub struct Logger<P: ConsolePort> {
    port: P,
    line: heapless::Vec<u8, { LOG_LINE_MAX + 1 }>,
    /// What a line that must not be dropped still has to be written of it.
    owed: heapless::Vec<u8, { LOG_LINE_MAX + 1 }>,
    dropped: u32,
}

impl<P: ConsolePort> Logger<P> {
    /// A logger that writes to `port`.
    pub const fn new(port: P) -> Self {
        Self {
            port,
            line: heapless::Vec::new(),
            owed: heapless::Vec::new(),
            dropped: 0,
        }
    }

    /// The port, for input or for output that must not be dropped.
    pub fn port(&mut self) -> &mut P {
        &mut self.port
    }

    /// Lines dropped since the last one that said so.
    pub const fn dropped(&self) -> u32 {
        self.dropped
    }

    /// Writes what waits of a line of [`Logger::insist`]; whether nothing waits any more. Where
    /// something does, the console notifies once there is room.
    pub fn resume(&mut self) -> bool {
        if !self.owed.is_empty() {
            let written = self.port.write(&self.owed).min(self.owed.len());
            self.owed.copy_within(written.., 0);
            self.owed.truncate(self.owed.len() - written);
        }
        self.owed.is_empty()
    }

    /// Writes a line that is not dropped: what there is no room for waits here, and lines behind it
    /// are dropped until [`Logger::resume`] has written it. Returns whether all is written, so that
    /// another line may follow. To be called when that is so; cut at [`LOG_LINE_MAX`] bytes.
    pub fn insist(&mut self, line: fmt::Arguments<'_>) -> bool {
        if !self.resume() {
            return false;
        }
        let mut text: heapless::String<LOG_LINE_MAX> = heapless::String::new();
        // What does not fit is cut off.
        let _ = text.write_fmt(line);
        let _ = self.owed.extend_from_slice(text.as_bytes());
        let _ = self.owed.push(b'\n');
        self.resume()
    }

    fn flush(&mut self) {
        // Room for the newline is kept by `write_str`.
        let _ = self.line.push(b'\n');
        let mut note: heapless::String<64> = heapless::String::new();
        if self.dropped != 0 {
            let plural = if self.dropped == 1 { "" } else { "s" };
            let _ = writeln!(
                note,
                "({} line{plural} dropped here: the console was full)",
                self.dropped
            );
        }
        // Room only grows while we do not write, so both are written whole or not at all.
        if self.resume() && self.port.room() >= note.len() + self.line.len() {
            self.port.write(note.as_bytes());
            self.port.write(&self.line);
            self.dropped = 0;
        } else {
            self.dropped = self.dropped.saturating_add(1);
        }
        self.line.clear();
    }
}

impl<P: ConsolePort> Write for Logger<P> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars() {
            if character == '\n' {
                self.flush();
                continue;
            }
            if self.line.len() + character.len_utf8() > LOG_LINE_MAX {
                self.flush();
            }
            let _ = self
                .line
                .extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        }
        Ok(())
    }
}
