//! A VMM as it should be, until it is told to crash.

use console_api::ConsolePort;
use topology::channel;
use zazen_rt::event::Signals;
use zazen_rt::lent::{Answer, Vmm as _};
use zazen_rt::log::{VmmConsole, vmm_console};
use zazen_vmm::Vmm;

/// What makes it crash when it is typed at its guest, which may be executing whatever it likes at
/// that moment.
const CRASH: u8 = b'!';

/// The VMM, and a second end of its console stream that reads what is typed before it does.
pub(crate) struct Fragile {
    pub(crate) vmm: &'static mut Vmm,
    input: VmmConsole,
}

impl Fragile {
    pub(crate) fn new() -> Self {
        Self {
            input: vmm_console(),
            vmm: crate::vmm(),
        }
    }

    pub(crate) fn notified(&mut self, signals: Signals) -> Answer {
        let mut typed = [0; 64];
        let count = match signals.contains(channel::CONSOLE) {
            true => self.input.read(&mut typed),
            false => 0,
        };
        if typed.iter().take(count).any(|byte| *byte == CRASH) {
            panic!("as was typed, while the guest ran");
        }
        self.vmm.notified(signals)
    }
}
