//! A VMM's stream: what its guest writes, and lines of the VMM's own.

use core::fmt::{self, Write};

use heapless::Vec;

use crate::ConsolePort;

/// Bytes of a VMM's own lines that wait for room.
pub const OWN_MAX: usize = 2048;

/// A guest's [`ConsolePort`] into which its VMM puts lines of its own, each on a line of its own.
///
/// The VMM cannot know whether its guest goes on with a line, so it ends that line: `half[vmm]
/// text` never appears. A line of the VMM's for which there is no room waits, and the guest's
/// output behind it.
#[derive(Debug)]
pub struct GuestPort<P> {
    port: P,
    /// The VMM's own lines that wait; whole ones, but for the part of the first that is written
    /// already.
    own: Vec<u8, OWN_MAX>,
    /// Nothing visible was written since the last line ended.
    at_start: bool,
    dropped: u32,
}

impl<P: ConsolePort> GuestPort<P> {
    /// A stream to which nothing was written yet.
    pub const fn new(port: P) -> Self {
        Self {
            port,
            own: Vec::new(),
            at_start: true,
            dropped: 0,
        }
    }

    /// The stream itself, for what is not output.
    pub const fn port(&mut self) -> &mut P {
        &mut self.port
    }

    /// Writes a line of the VMM's own; `line` without the newline.
    ///
    /// Where [`OWN_MAX`] bytes wait already, the line is dropped, and how many were is said in the
    /// next.
    pub fn say(&mut self, line: fmt::Arguments<'_>) {
        let mark = self.own.len();
        if self.queue(line).is_err() {
            self.own.truncate(mark);
            self.dropped = self.dropped.saturating_add(1);
        } else {
            self.dropped = 0;
        }
        self.flush();
    }

    fn queue(&mut self, line: fmt::Arguments<'_>) -> fmt::Result {
        if self.own.is_empty() && !self.at_start {
            self.own.write_char('\n')?;
        }
        if self.dropped != 0 {
            let plural = if self.dropped == 1 { "" } else { "s" };
            writeln!(
                self.own,
                "({} line{plural} dropped here: the console was full)",
                self.dropped
            )?;
        }
        writeln!(self.own, "{line}")
    }

    /// Writes what waits of the VMM's own lines; to be called when the console sends a
    /// notification.
    pub fn flush(&mut self) {
        if self.own.is_empty() {
            return;
        }
        let written = self.port.write(&self.own).min(self.own.len());
        self.own.copy_within(written.., 0);
        self.own.truncate(self.own.len() - written);
        self.at_start |= self.own.is_empty();
    }
}

impl<P: ConsolePort> ConsolePort for GuestPort<P> {
    fn write(&mut self, bytes: &[u8]) -> usize {
        self.flush();
        if !self.own.is_empty() {
            // The port fell short just now, so the console will tell when there is room.
            return 0;
        }
        let written = self.port.write(bytes);
        let text = bytes.get(..written).unwrap_or(bytes);
        // A CR behind the LF leaves the line as empty as it was.
        if let Some(&last) = text.iter().rfind(|&&byte| byte != b'\r') {
            self.at_start = last == b'\n';
        }
        written
    }

    fn read(&mut self, into: &mut [u8]) -> usize {
        self.port.read(into)
    }

    fn room(&self) -> usize {
        self.port.room().saturating_sub(self.own.len())
    }
}
