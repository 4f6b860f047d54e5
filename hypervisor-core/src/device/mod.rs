//! The devices that a guest finds: its interrupt controller and its consoles.

pub mod pv_console;
pub mod vgic;
pub mod vpl011;

use dt_server_api::DomainRecord;

use pv_console::PvConsole;
use vgic::VGic;
use vpl011::Vpl011;

/// A guest's devices.
#[derive(Debug)]
pub struct Devices {
    /// Virtual interrupt controller.
    pub gic: VGic,
    /// SBSA UART, where the domain has one.
    pub vpl011: Option<Vpl011>,
    /// PV console, where the domain has PV features; its page exists then.
    pub pv_console: Option<PvConsole>,
    /// The guest sent an event to the console port: its output ring is to be looked at.
    pub console_kick: bool,
    /// A byte that was typed for the guest, taken for a console_io read that had nowhere to put it.
    pub typed: Option<u8>,
}

impl Devices {
    /// Those of the guest that `record` describes, after reset.
    pub fn new(record: &DomainRecord) -> Self {
        Self {
            gic: VGic::new(record.nr_spis),
            vpl011: record.vpl011.then(Vpl011::new),
            pv_console: None,
            console_kick: false,
            typed: None,
        }
    }
}
