//! The dump on the console, at the pace of the console.

use console_api::{ConsolePort, LOG_LINE_MAX, Logger};
use topology::console_key;

use crate::dump::Dump;
use crate::server::MemoryServer;

/// Typed bytes read in one call. More than that is somebody leaning on the keyboard.
const KEYS_MAX: usize = 64;

/// A dump in progress, or none.
#[derive(Debug, Default)]
pub struct Report {
    dump: Option<Dump>,
}

impl Report {
    /// To be called when the console sends a notification: reads what was typed for the server, and
    /// goes on with the dump until the console has no more room or all is said. It never waits, and
    /// the room of the console's ring bounds what it writes.
    pub fn on_console<P: ConsolePort>(&mut self, server: &MemoryServer<'_>, log: &mut Logger<P>) {
        let mut keys = [0; KEYS_MAX];
        let count = log.port().read(&mut keys);
        let asked = keys
            .iter()
            .take(count)
            .any(|key| *key == console_key::MEMORY);
        if asked && self.dump.is_none() {
            self.dump = Some(Dump::default());
        }
        let mut more = log.resume();
        while more && let Some(dump) = &mut self.dump {
            let mut line: heapless::String<LOG_LINE_MAX> = heapless::String::new();
            match server.dump_line(dump, &mut line) {
                Ok(true) => more = log.insist(format_args!("{}", line.trim_end())),
                // A line that does not fit is a mistake of ours; the dump ends with it.
                Ok(false) | Err(_) => self.dump = None,
            }
        }
    }
}
