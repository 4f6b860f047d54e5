//! The guest as a whole: who it is, who its neighbours are, its memory and event channels, and how
//! it ends.

pub mod assists;
pub mod peers;
pub mod shutdown;
pub mod watchdog;

use dt_server_api::DomainRecord;
use hv_types::DomId;
use xen_abi::Errno;

use crate::evtchn::Events;
use crate::memory::p2m::P2m;

use assists::Assists;
use peers::Domains;
use shutdown::{ShutdownCode, StopReason};
use watchdog::Watchdogs;

/// Highest event channel port of a dom0less guest (`max_evtchn_port`).
const MAX_PORT: u32 = 1023;

/// What exists once for a guest, whatever number of vCPUs it has.
pub struct Domain<'m> {
    /// What the device tree says of it.
    pub record: DomainRecord,
    /// Itself, and which other domains there are.
    pub peers: Domains,
    /// Which guest frame holds what.
    pub p2m: P2m<'m>,
    /// Event channels.
    pub events: Events,
    /// The shutdown code that counts.
    pub shutdown: ShutdownCode,
    /// SCHEDOP_watchdog.
    pub watchdogs: Watchdogs,
    /// vm_assist.
    pub assists: Assists,
    /// Until when a grant of another domain is tried again whose page is not known yet.
    pub impatient_at: Option<u64>,
}

impl<'m> Domain<'m> {
    /// The domain that `record` describes, whose life begins.
    pub fn new(record: DomainRecord, p2m: P2m<'m>) -> Self {
        let peers = Domains::new(DomId(record.domid), record.domains).meeting(record.meets);
        Self {
            peers,
            p2m,
            events: Events::new(peers, MAX_PORT, record.vcpus),
            shutdown: ShutdownCode::new(),
            watchdogs: Watchdogs::default(),
            assists: Assists::new(),
            impatient_at: None,
            record,
        }
    }

    /// Accepts a domain id that names the domain itself.
    ///
    /// # Errors
    /// [`Errno::Eperm`] for another domain, [`Errno::Esrch`] where there is none of that id.
    pub fn require_self(&self, domid: u16) -> Result<(), Errno> {
        self.peers.own(DomId(domid))
    }

    /// Looks at the watchdogs at tick `now`; where one expired the guest stops.
    pub fn on_time(&mut self, now: u64) -> Option<StopReason> {
        self.watchdogs
            .expired(now)
            .then(|| self.shutdown.shutdown(StopReason::Watchdog.code()))
    }
}
