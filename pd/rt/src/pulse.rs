//! The loop of the pulse: a notification, a period, a notification back.

use sel4::cap;
use sel4_microkit::{Channel, Handler, Infallible, Never};
use topology::{caps, channel};

/// The pulse; see the program's documentation.
#[derive(Debug)]
pub struct Pulse(());

impl Pulse {
    /// The pulse of this protection domain.
    pub const fn take() -> Self {
        Self(())
    }
}

impl Handler for Pulse {
    type Error = Infallible;

    fn run(&mut self) -> Result<Never, Infallible> {
        let asked = cap::Notification::from_bits(caps::INPUT);
        loop {
            asked.wait();
            // Gives up what is left of the budget: the next instruction is executed in the next
            // period.
            sel4::r#yield();
            Channel::new(channel::PULSE_TIMER).notify();
        }
    }
}

/// The program of the pulse.
#[macro_export]
macro_rules! pulse {
    () => {
        $crate::sel4_microkit::declare_protection_domain!(init = $crate::pulse::Pulse::take);
    };
}
