//! Network interfaces (public/io/netif.h): the back end of the guest's.
//!
//! What the guest sends is copied to a data area that this VMM shares with the net server, and what
//! it receives from there; a request is answered as soon as its bytes have been copied.
//!
//! # The way of a frame
//! A front end's event lets [`PvNet::serve`] look at its rings. A packet's slots are copied and
//! decoded ([`packet`]), its parts copied to one place in the data area (`send`), and the server
//! brings the frame to its receivers. Where there is no room for it, it stays in the ring until the
//! server notifies. A frame to the guest waits in the data area until the guest has asked for as
//! many pages as it needs (`receive`); the server drops what finds no room there.
//!
//! # The guest is not trusted
//! Rings and requests are read once and checked; grants are looked at each time they are used. A
//! guest whose indices or packets cannot be loses the interface until it connects again. Work per
//! call is bounded, and what is left over is done at the guest's next exit.
//!
//! # Key types
//! - [`PvNet`]: all interfaces of a guest. `xenbus` connects them by way of the store.

pub mod packet;
mod receive;
mod send;
#[cfg(test)]
mod tests;
mod xenbus;

use core::fmt;

use dt_server_api::DomainRecord;
use heapless::Vec;
use hv_types::{Mac, Port, Vcpus};
use net_server_api::{MAX_NICS, NetPort};
use xen_abi::netif::{RX_SLOT, TX_SLOT};
use xen_abi::xenbus::state;

use super::backend::link::Link;
use super::backend::ring::Ring;
use super::backend::xenbus::{self as store, Backend, Name};
use super::backend::{Inbox, Kind};
use super::model::{Device, Words};
use crate::evtchn::{Events, Service};
use crate::host::Host;
use crate::hypercall::grant::backend::Grants;
use crate::memory::pages::Pages;

/// Most groups whose frames an interface wants; of a front end that wants more it gets all.
const GROUPS: usize = 64;

/// What a front end can do with frames that it receives.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
struct Can {
    /// Frames may have several pages.
    pages: bool,
    /// Frames may be pieces of a TCP stream over IPv4.
    gso4: bool,
    /// The same over IPv6.
    gso6: bool,
    /// It names the groups whose frames it wants.
    groups: bool,
}

/// An interface that is connected, or is being.
#[derive(Debug)]
struct Nic {
    sends: Ring<TX_SLOT>,
    receives: Ring<RX_SLOT>,
    /// Event channels of the two rings, which may be one.
    ports: [Port; 2],
    can: Can,
    groups: Vec<Mac, GROUPS>,
    /// It has wanted more groups than there is room for.
    wants_all: bool,
    /// Nothing is taken: it is not connected yet, or not any more.
    is_shut: bool,
}

/// The network interfaces of a guest.
#[derive(Debug)]
pub struct PvNet {
    link: Link<xenbus::Gather>,
    nics: [Option<Nic>; MAX_NICS],
    /// There is more to do.
    more: bool,
}

impl PvNet {
    /// Does what there is to do after an event of the guest's, or a notification of the store or
    /// the net server. Returns the vCPUs whose upcall went up.
    pub fn serve<H: Host, P: Pages>(
        &mut self,
        host: &mut H,
        grants: &Grants<'_, P>,
        events: &mut Events,
        inbox: &mut Inbox,
    ) -> Vcpus {
        self.more = false;
        if host.nets().data().is_none() {
            return Vcpus::NONE;
        }
        self.more |= store::converse(self, inbox, host, grants, events);
        let lost = host.nets().is_lost();
        let mut upcalls = Vcpus::NONE;
        for nic in 0..self.nics.len() {
            // Few.
            let number = u8::try_from(nic).unwrap_or(u8::MAX);
            if lost && self.link.is_connected(number) {
                let why = &"the net server has stopped; it is closed for good";
                self.close(host, number, why);
            }
            self.send(host, grants, number);
            self.receive(host, grants, number);
            upcalls = upcalls.with(self.publish(host, grants, events, number));
        }
        host.nets().kick();
        if self.settle_closed(events) {
            self.more |= store::converse(self, inbox, host, grants, events);
        }
        upcalls
    }

    /// Whether there is more to do, for which nobody will send a notification.
    pub const fn has_more(&self) -> bool {
        self.more
    }

    /// The interface, if it may be used.
    fn open_nic(&mut self, nic: u8) -> Option<&mut Nic> {
        let nic = self.nics.get_mut(usize::from(nic))?.as_mut()?;
        (!nic.is_shut).then_some(nic)
    }

    /// The interface cannot go on, as `why` says.
    fn close<H: Host>(&mut self, host: &mut H, nic: u8, why: &dyn fmt::Display) {
        host.log(format_args!("{}: {why}", Name::<Self>::of(nic)));
        self.shut(host, nic);
        self.link.close(nic, state::CLOSING);
        self.more = true;
    }

    /// The guest broke a ring.
    fn on_broken<H: Host>(&mut self, host: &mut H, nic: u8, broken: &dyn fmt::Display) {
        self.close(
            host,
            nic,
            &format_args!(
                "the guest broke its ring: {broken}; it is closed until it connects again"
            ),
        );
    }

    /// Shows the guest its responses; returns the vCPUs whose upcall went up.
    fn publish<H: Host, P: Pages>(
        &mut self,
        host: &mut H,
        grants: &Grants<'_, P>,
        events: &mut Events,
        number: u8,
    ) -> Vcpus {
        let mut upcalls = Vcpus::NONE;
        let Some(nic) = self.open_nic(number) else {
            return upcalls;
        };
        let wanted = nic
            .sends
            .publish(host, grants)
            .and_then(|sends| Ok([sends, nic.receives.publish(host, grants)?]));
        let ports = nic.ports;
        match wanted {
            Ok([sends, receives]) => {
                let both = receives && ports[0] != ports[1];
                let wanted = [sends || (receives && !both), both];
                for (port, _) in ports.into_iter().zip(wanted).filter(|(_, wanted)| *wanted) {
                    let raised = events.raise_backend(host.window(), grants.pages, port);
                    upcalls = upcalls.with(raised.map_or(Vcpus::NONE, Vcpus::only));
                }
            }
            Err(broken) => self.on_broken(host, number, &broken),
        }
        upcalls
    }

    /// Removes the rings of interfaces that are closing; whether there were any. Nothing of them is
    /// under way: bytes are copied at once.
    fn settle_closed(&mut self, events: &mut Events) -> bool {
        let mut rested = false;
        for number in self.link.closing() {
            if let Some(nic) = self
                .nics
                .get_mut(usize::from(number))
                .and_then(Option::take)
            {
                nic.release(events);
            }
            self.link.on_rest(number);
            rested = true;
        }
        rested
    }
}

impl Nic {
    /// Its event channels are the guest's again.
    fn release(&self, events: &mut Events) {
        let [sends, receives] = self.ports;
        events.release_backend(Service::Nics, sends);
        if receives != sends {
            events.release_backend(Service::Nics, receives);
        }
    }
}

impl Device for PvNet {
    const WORDS: Words = Words {
        name: "the network interfaces' back end",
        refuses: "it is reached by grants and has no registers",
        absent: ("the place of a network interface", "the domain has none"),
    };

    fn new(record: &DomainRecord) -> Self {
        Self {
            link: Link::new(record, Kind::Nics),
            nics: [const { None }; MAX_NICS],
            more: false,
        }
    }

    fn end<H: Host>(&mut self, host: &mut H) {
        self.reset(host);
    }

    fn reset<H: Host>(&mut self, host: &mut H) {
        for nic in (0..).take(MAX_NICS) {
            host.nets().set_open(nic, false);
        }
        self.nics = [const { None }; MAX_NICS];
        self.link.reset();
    }
}
