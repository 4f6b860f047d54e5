//! Block devices (public/io/blkif.h): the back end of the guest's disks.
//!
//! To the guest it is domain 0. It runs in the guest's own VMM, which sees the guest's RAM, so no
//! grant leaves the domain: what the guest writes is copied to a data area that this VMM shares
//! with the block server, and what it reads from there.
//!
//! # The way of a request
//! A front end's event lets [`PvBlock::serve`] look at its rings in turn. A request is copied,
//! decoded ([`request`]) and *staged* (`stage`): its segments get places in the data area
//! (`flight`), and what it writes is copied there. It then goes to the server in as few parts as it
//! can be. Once all of them are answered, the guest gets its response (`answer`). Where the data
//! area has no room for a request it stays in its ring, and so does everybody else's next one: the
//! queue whose turn it is goes first.
//!
//! # The guest is not trusted
//! Rings, requests and segments are read once and checked ([`ring`]); grants
//! are looked at each time they are used. A guest that withdraws a grant loses that request; one
//! whose indices cannot be loses the device until it connects again. Work per call is bounded, and
//! what is left over is done at the guest's next exit.
//!
//! # Key types
//! - [`PvBlock`]: all disks of a guest. `xenbus` connects them by way of the store.

mod answer;
mod flight;
mod nodes;
pub mod request;
mod stage;
#[cfg(test)]
mod tests;
mod xenbus;

use block_server_api::{DiskPort, MAX_DISKS, Request, SECTOR};
use dt_server_api::DomainRecord;
use hv_types::{Port, Vcpus, WindowAddr};

use super::backend::link::Link;
use super::backend::ring::{self, Broken};
use super::backend::xenbus::{self as store, Name};
use super::backend::{Inbox, Kind};
use super::model::{Device, Words};
use crate::evtchn::{Events, Service};
use crate::host::Host;
use crate::hypercall::grant::backend::Grants;
use crate::memory::pages::Pages;
use flight::{Flight, offset};

/// Most queues of all disks of a guest.
const QUEUES: usize = 16;

type Ring = ring::Ring<{ xen_abi::blkif::SLOT as usize }>;

/// A queue of requests: a ring and its event channel.
#[derive(Debug)]
struct Queue {
    disk: u8,
    ring: Ring,
    port: Port,
    /// No request is taken: it is not connected yet, or not any more.
    is_shut: bool,
}

/// The disks of a guest.
#[derive(Debug)]
pub struct PvBlock {
    link: Link<xenbus::Gather>,
    queues: [Option<Queue>; QUEUES],
    flight: Flight,
    /// The queue whose turn it is.
    turn: usize,
    /// The server still has requests of the life before.
    waits_for_old: bool,
    /// There is more to do.
    more: bool,
}

impl PvBlock {
    /// Does what there is to do after an event of the guest's, or a notification of the store or
    /// the block server. Returns the vCPUs whose upcall went up.
    pub fn serve<H: Host, P: Pages>(
        &mut self,
        host: &mut H,
        grants: &Grants<'_, P>,
        events: &mut Events,
        inbox: &mut Inbox,
    ) -> Vcpus {
        self.more = false;
        if host.disks().data().is_none() || self.waits(host) {
            return Vcpus::NONE;
        }
        self.more |= store::converse(self, inbox, host, grants, events);
        while let Some(answer) = host.disks().take() {
            self.complete(host, grants, answer);
        }
        if host.disks().is_lost() {
            self.fail_all(host, grants);
        }
        self.stage(host, grants);
        host.disks().kick();
        let upcalls = self.publish(host, grants, events);
        if self.settle_closed(events) {
            self.more |= store::converse(self, inbox, host, grants, events);
        }
        upcalls
    }

    /// Whether there is more to do, for which nobody will send a notification.
    pub const fn has_more(&self) -> bool {
        self.more
    }

    /// Lets answers of the life before go; whether there are some to come.
    fn waits<H: Host>(&mut self, host: &mut H) -> bool {
        if self.waits_for_old {
            while host.disks().take().is_some() {}
            let disks = host.disks();
            self.waits_for_old = disks.under_way() > 0 && !disks.is_lost();
        }
        self.waits_for_old
    }

    /// Hands staged requests to the server as far as it takes them.
    fn ask<H: Host>(&mut self, host: &mut H) {
        while let Some(ask) = self.flight.next() {
            let submitted = host.disks().submit(&Request {
                id: ask.part.into(),
                disk: ask.disk,
                op: ask.op,
                offset: ask.offset,
                sector: ask.sector,
                count: ask.count,
            });
            if !submitted {
                return;
            }
            self.flight.asked(&ask);
        }
    }

    /// The guest broke a ring: its disk is closed until it connects again.
    fn on_broken<H: Host>(&mut self, host: &mut H, queue: usize, broken: Broken) {
        let Some(Some(queue)) = self.queues.get(queue) else {
            return;
        };
        let disk = queue.disk;
        host.log(format_args!(
            "{}: the guest broke its ring: {broken}; the disk is closed until it connects again",
            Name::<Self>::of(disk)
        ));
        self.shut_queues(disk);
        self.link.on_broken(disk);
        self.more = true;
    }

    /// Takes nothing from the disk's queues any more; what is with the server comes back.
    fn shut_queues(&mut self, disk: u8) {
        for (number, queue) in (0..).zip(&mut self.queues) {
            if let Some(queue) = queue.as_mut().filter(|queue| queue.disk == disk) {
                queue.is_shut = true;
                self.flight.abandon(number);
            }
        }
    }

    /// Removes shut queues with which the server is done; returns whether a disk has come to rest
    /// by that.
    fn settle_closed(&mut self, events: &mut Events) -> bool {
        let mut rested = false;
        for disk in self.link.closing() {
            let busy = |flight: &Flight, queues: &[Option<Queue>; QUEUES]| {
                (0..).zip(queues).any(|(number, queue)| {
                    queue.as_ref().is_some_and(|queue| queue.disk == disk)
                        && flight.of_queue(number) > 0
                })
            };
            if busy(&self.flight, &self.queues) {
                continue;
            }
            self.remove(disk, events);
            self.link.on_rest(disk);
            rested = true;
        }
        rested
    }

    /// Removes the queues of a disk; their event channels are the guest's again.
    fn remove(&mut self, disk: u8, events: &mut Events) {
        for place in &mut self.queues {
            if let Some(queue) = place.take_if(|queue| queue.disk == disk) {
                events.release_backend(Service::Disks, queue.port);
            }
        }
    }

    fn queue(&self, number: u8) -> Option<&Queue> {
        self.queues.get(usize::from(number))?.as_ref()
    }
}

/// Where the sectors of a page lie in the window, where in the data area, and how many bytes.
fn extent(
    page: WindowAddr,
    slot: u8,
    (first, last): (u8, u8),
) -> Option<(WindowAddr, WindowAddr, u64)> {
    let guest = page.checked_add(u64::from(first) * u64::from(SECTOR))?;
    let there = WindowAddr::new(offset(slot, first).into());
    let count = u64::from(last.checked_sub(first)?) + 1;
    Some((guest, there, count * u64::from(SECTOR)))
}

impl Device for PvBlock {
    const WORDS: Words = Words {
        name: "the disks' back end",
        refuses: "it is reached by grants and has no registers",
        absent: ("the place of a disk", "the domain has none"),
    };

    fn new(record: &DomainRecord) -> Self {
        Self {
            link: Link::new(record, Kind::Disks),
            queues: [const { None }; QUEUES],
            flight: Flight::new(),
            turn: 0,
            waits_for_old: false,
            more: false,
        }
    }

    fn end<H: Host>(&mut self, _: &mut H) {
        self.queues = [const { None }; QUEUES];
        self.link.reset();
    }

    fn reset<H: Host>(&mut self, host: &mut H) {
        self.queues = [const { None }; QUEUES];
        self.flight = Flight::new();
        self.link.reset();
        self.waits_for_old = host.disks().under_way() > 0;
    }
}

const _: () = assert!(QUEUES >= MAX_DISKS && QUEUES <= 256);
