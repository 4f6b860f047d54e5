//! Connecting a disk: what blkif.h adds to how all devices are connected.

use core::fmt::{self, Write as _};

use block_server_api::{DiskPort, MAX_DISKS, Presence as DiskPresence};
use heapless::Vec;
use hv_types::Port;
use xen_abi::blkif::ring::{MAX_ORDER, MAX_PAGES};

use super::nodes::{self, Name};
use super::{Broken, PvBlock, QUEUES, Queue, Ring};
use crate::device::backend::Kind;
use crate::device::backend::link::{Link, Node, Path, Presence, number_of};
use crate::device::backend::xenbus::Backend;
use crate::evtchn::{Events, Service};
use crate::host::Host;
use crate::hypercall::grant::backend::Grants;
use crate::memory::pages::Pages;

/// The protocol that the rings here follow; a front end may leave it out.
const PROTOCOL: &str = "arm-abi";

/// What is read of a front end's directory next, and what was.
#[derive(Clone, Debug)]
pub(crate) struct Gather {
    key: Key,
    order: u32,
    queues: u8,
    queue: u8,
    grefs: Vec<u32, MAX_PAGES>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Key {
    Order,
    Queues,
    Protocol,
    /// The grant of a ring's next page.
    Ref,
    /// The same of a ring of one page, whose node may have either name.
    OtherRef,
    Port,
}

/// A front end gave something that is no good; for the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Wrong {
    Order(u32),
    Queues(u32, u8),
    Protocol,
    Missing(Key),
    Port(u32),
    Ring(Broken),
    Full,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Order(order) => write!(f, "ring-page-order {order} is more than {MAX_ORDER}"),
            Self::Queues(queues, most) => {
                write!(
                    f,
                    "it has {queues} queues, of which there may be 1 to {most}"
                )
            }
            Self::Protocol => write!(f, "its protocol is not {PROTOCOL}"),
            Self::Missing(key) => write!(f, "the node for {key:?} is missing or no number"),
            Self::Port(port) => write!(
                f,
                "its event channel {port} is not one that waits for domain 0"
            ),
            Self::Ring(broken) => write!(f, "its ring: {broken}"),
            Self::Full => write!(f, "the queues of all disks are more than {QUEUES}"),
        }
    }
}

impl Backend for PvBlock {
    const KIND: Kind = Kind::Disks;
    const DIRECTORY: &'static str = "vbd";
    type Gather = Gather;
    type Wrong = Wrong;

    fn link(&mut self) -> &mut Link<Gather> {
        &mut self.link
    }

    fn presence<H: Host>(host: &mut H, disk: u8) -> Presence {
        match host.disks().presence(disk) {
            DiskPresence::Absent => Presence::Absent,
            DiskPresence::Present if host.disks().info(disk).is_some() => Presence::Present,
            DiskPresence::Present | DiskPresence::Gone => Presence::Gone,
        }
    }

    fn id(disk: u8) -> u32 {
        nodes::device(disk)
    }

    fn name(disk: u8, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "disk {}", Name(disk))
    }

    fn offer<H: Host>(host: &mut H, vcpus: u8, at: usize) -> Option<Node> {
        let queues = most_queues(vcpus, host.disks());
        nodes::offer(queues).get(at).copied()
    }

    fn about<H: Host>(host: &mut H, disk: u8, at: usize) -> Option<Node> {
        nodes::about(&host.disks().info(disk)?).get(at).copied()
    }

    fn first() -> Gather {
        Gather {
            key: Key::Order,
            order: 0,
            queues: 1,
            queue: 0,
            grefs: Vec::new(),
        }
    }

    fn wanted(gather: &Gather, path: &mut Path) -> fmt::Result {
        let of_queue = matches!(gather.key, Key::Ref | Key::OtherRef | Key::Port);
        if of_queue && gather.queues > 1 {
            write!(path, "queue-{}/", gather.queue)?;
        }
        let page = gather.grefs.len();
        match gather.key {
            Key::Order => path.write_str("ring-page-order"),
            Key::Queues => path.write_str("multi-queue-num-queues"),
            Key::Protocol => path.write_str("protocol"),
            Key::Ref if gather.order == 0 => path.write_str("ring-ref"),
            Key::Ref | Key::OtherRef => write!(path, "ring-ref{page}"),
            Key::Port => path.write_str("event-channel"),
        }
    }

    fn given<H: Host, P: Pages>(
        &mut self,
        host: &mut H,
        grants: &Grants<'_, P>,
        events: &mut Events,
        (number, mut gather): (u8, Gather),
        value: Option<&[u8]>,
    ) -> Result<Option<Gather>, Wrong> {
        let given = value.and_then(number_of);
        let missing = Wrong::Missing(gather.key);
        gather.key = match gather.key {
            Key::Order => {
                gather.order = given.unwrap_or(0);
                if gather.order > MAX_ORDER {
                    return Err(Wrong::Order(gather.order));
                }
                Key::Queues
            }
            Key::Queues => {
                let (queues, most) = (
                    given.unwrap_or(1),
                    most_queues(self.link.vcpus(), host.disks()),
                );
                gather.queues = u8::try_from(queues)
                    .ok()
                    .filter(|queues| (1..=most).contains(queues))
                    .ok_or(Wrong::Queues(queues, most))?;
                Key::Protocol
            }
            Key::Protocol => {
                if value.is_some_and(|value| value != PROTOCOL.as_bytes()) {
                    return Err(Wrong::Protocol);
                }
                Key::Ref
            }
            Key::Ref | Key::OtherRef => match given {
                None if gather.key == Key::Ref && gather.order == 0 => Key::OtherRef,
                None => return Err(missing),
                Some(gref) => {
                    gather.grefs.push(gref).map_err(|_| missing)?;
                    if gather.grefs.len() < 1 << gather.order {
                        Key::Ref
                    } else {
                        Key::Port
                    }
                }
            },
            Key::Port => {
                let port = Port(given.ok_or(missing)?);
                self.connect(host, grants, events, (number, port), &gather.grefs)?;
                gather.grefs.clear();
                gather.queue += 1;
                Key::Ref
            }
        };
        Ok((gather.queue < gather.queues).then_some(gather))
    }

    fn open<H: Host>(&mut self, _: &mut H, disk: u8) {
        for queue in self.queues.iter_mut().flatten() {
            if queue.disk == disk {
                queue.is_shut = false;
            }
        }
    }

    /// What is with the server comes back.
    fn shut<H: Host>(&mut self, _: &mut H, disk: u8) {
        self.shut_queues(disk);
    }
}

impl PvBlock {
    /// Adds a queue, which is shut until all are there.
    fn connect<H: Host, P: Pages>(
        &mut self,
        host: &mut H,
        grants: &Grants<'_, P>,
        events: &mut Events,
        (disk, port): (u8, Port),
        grefs: &[u32],
    ) -> Result<(), Wrong> {
        let ring = Ring::connect(host, grants, grefs).map_err(Wrong::Ring)?;
        let place = self.queues.iter_mut().find(|place| place.is_none());
        let place = place.ok_or(Wrong::Full)?;
        if !events.bind_backend(Service::Disks, port) {
            return Err(Wrong::Port(port.0));
        }
        *place = Some(Queue {
            disk,
            ring,
            port,
            is_shut: true,
        });
        Ok(())
    }
}

/// Most queues of a disk of a guest with so many vCPUs, so that all disks can have as many.
fn most_queues<D: DiskPort>(vcpus: u8, port: &D) -> u8 {
    #[expect(clippy::cast_possible_truncation, reason = "few disks and queues")]
    let (disks, queues) = (
        (0..MAX_DISKS as u8)
            .filter(|disk| port.presence(*disk) != DiskPresence::Absent)
            .count() as u8,
        QUEUES as u8,
    );
    vcpus.min(queues / disks.max(1)).max(1)
}
