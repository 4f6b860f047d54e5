//! Logs of the servers.

use core::fmt::{self, Write};

use console_api::{Client, Logger};

/// A stream of the console.
pub(crate) type Port = Client<'static, fn()>;

/// A server's log: whole lines, dropped and counted where the console is behind.
#[derive(Debug)]
pub(crate) struct ServerLog {
    logger: Logger<Port>,
}

impl ServerLog {
    /// A log on `port`.
    pub(crate) const fn new(port: Port) -> Self {
        Self {
            logger: Logger::new(port),
        }
    }
    /// The logger, for lines that must not be dropped and for input.
    pub(crate) fn logger(&mut self) -> &mut Logger<Port> {
        &mut self.logger
    }
    /// Writes a line.
    pub(crate) fn line(&mut self, line: fmt::Arguments<'_>) {
        // The logger takes everything; what does not fit it counts.
        let _ = writeln!(self.logger, "{line}");
    }
}
