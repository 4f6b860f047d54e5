//! What a vCPU in SCHEDOP_poll waits for (public/sched.h).

use heapless::Vec;
use hv_types::Port;
use xen_abi::sched::POLL_MAX_PORTS;

use crate::evtchn::Events;
use crate::host::Host;

/// Ports of a poll, each bound and so of 16 bits: there is room for them once for each vCPU.
pub type Ports = Vec<u16, { POLL_MAX_PORTS as usize }>;

/// What a vCPU in SCHEDOP_poll waits for besides an interrupt.
#[derive(Debug)]
pub struct PollWait {
    /// Any of these pending ends the wait.
    pub ports: Ports,
    /// So does this tick of the system counter.
    pub deadline: Option<u64>,
}

impl PollWait {
    /// Whether the vCPU may go on: one of its ports is pending or its time has come. To be asked
    /// wherever an event was raised or time went by while it waits.
    pub fn is_over<H: Host>(&self, events: &Events, host: &H) -> bool {
        self.deadline.is_some_and(|deadline| deadline <= host.now())
            || self
                .ports
                .iter()
                .any(|port| events.is_pending(host.window(), Port((*port).into())))
    }
}
