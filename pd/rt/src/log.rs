//! Logs of protection domains, by way of the console server.

use core::fmt::{self, Write};

use console_api::{Client, Logger};
use sel4_microkit::Channel;
use topology::channel;

use crate::region::console_region;

/// A VMM's console stream: its guest's output and input, and the VMM's own lines.
pub type VmmConsole = Client<'static, fn()>;

/// The console stream of this VMM; taken once.
pub fn vmm_console() -> VmmConsole {
    console_region(0)
        .client(notify_from_vmm as fn())
        .expect("the region has the geometry of its API")
}

fn notify_from_vmm() {
    Channel::new(channel::CONSOLE).notify();
}

fn notify_from_server() {
    Channel::new(channel::SERVER_CONSOLE).notify();
}

/// A server's log: whole lines, dropped and counted where the console is behind.
#[derive(Debug)]
pub struct ServerLog {
    logger: Logger<Client<'static, fn()>>,
}

impl ServerLog {
    /// The log of this server; taken once.
    pub fn take() -> Self {
        let client = console_region(0)
            .client(notify_from_server as fn())
            .expect("the region has the geometry of its API");
        Self {
            logger: Logger::new(client),
        }
    }

    /// The logger, for lines that must not be dropped and for input.
    pub fn logger(&mut self) -> &mut Logger<Client<'static, fn()>> {
        &mut self.logger
    }

    /// Writes a line.
    pub fn line(&mut self, line: fmt::Arguments<'_>) {
        // The logger takes everything; what does not fit it counts.
        let _ = writeln!(self.logger, "{line}");
    }
}
