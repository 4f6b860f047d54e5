//! The emergency console of console_io, as far as it remembers something.

use dt_server_api::DomainRecord;

use super::model::{Device, Words};
use crate::host::Host;

/// The emergency console. It has no registers: hypercalls use it.
#[derive(Clone, Copy, Debug, Default)]
pub struct ConsoleIo {
    /// A byte that was typed for the guest, taken for a read that had nowhere to put it.
    pub held: Option<u8>,
}

impl Device for ConsoleIo {
    const WORDS: Words = Words {
        name: "the emergency console",
        refuses: "it has no registers: use the hypercall console_io",
        absent: ("the emergency console", "use the hypercall console_io"),
    };

    fn new(_: &DomainRecord) -> Self {
        Self { held: None }
    }
    fn reset<H: Host>(&mut self, _: &mut H) {
        self.held = None;
    }
}
