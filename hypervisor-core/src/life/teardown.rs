//! The end of a guest's life inside its VMM, in the one order that is right (EX-7).
//!
//! 1. Event channels are closed when the guest stops ([`crate::evtchn::Events::shut`]): nobody sets
//!    a bit in `shared_info` any more (EV-3).
//! 2. What the guest has written to its consoles goes out ([`Vm::drain`]).
//! 3. [`Vm::end`]: the console ring is disconnected, the store and the peer server hear that the
//!    guest has ended, watchdogs, polls and the runstate area are forgotten with everything else
//!    that could write to guest memory, and no wake-up is asked for any more.
//! 4. The map is emptied: from here on no address of guest memory can be had.
//! 5. Then, and only then, the memory server takes the extra pages back, after them RAM and page
//!    tables ([`memory_server_api::Request::Relinquish`]).
//!
//! All of this happens in one protection domain, which also handles all events, so there is no race
//! with those who would use the pages (EX-8).

use dt_server_api::DomainRecord;
use peer_server_api::{Error, MOST_ENDS, PeerPort as _, Request};

use crate::host::Host;
use crate::memory::p2m::P2m;
use crate::vm::Vm;

/// What is left of a guest: enough for its next life, and nothing that reaches its memory.
pub struct Remains<'m> {
    /// What the device tree says of the domain.
    pub record: DomainRecord,
    /// Its map, empty.
    pub p2m: P2m<'m>,
}

/// Pages of others go back, and what others have of the guest's does not count any more.
fn end_lends<H: Host>(host: &mut H) {
    for _ in 0..MOST_ENDS {
        if host.peers().ask(Request::End) != Err(Error::Again) {
            return;
        }
    }
    host.log(format_args!(
        "the peer server does not take pages of other domains back"
    ));
}

impl<'m> Vm<'m> {
    /// Stops the guest between two instructions of its own.
    pub fn cut(&mut self) {
        self.domain.events.shut();
    }

    /// Hands the console what the guest, which has stopped, has written; returns whether that is
    /// all. Where it is not, the console's notification is the time to go on.
    pub fn drain<H: Host>(&mut self, host: &mut H) -> bool {
        self.devices.drain(host)
    }

    /// Ends the guest's life, after which its memory may go.
    ///
    /// # Panics
    /// If its event channels are not closed: a bug of the caller, and the place where the order of
    /// teardown is asserted (EX-7).
    pub fn end<H: Host>(mut self, host: &mut H) -> Remains<'m> {
        assert!(
            self.domain.events.is_shut(),
            "event channels are closed before the pages they are in go"
        );
        self.devices.end(host);
        if self.domain.peers.meets_any() {
            // It refuses nobody that.
            let _ = host.peers().ask(Request::Reset);
            end_lends(host);
        }
        host.wake_at(None);
        Remains {
            record: self.domain.record,
            p2m: self.domain.p2m.emptied(),
        }
    }
}
