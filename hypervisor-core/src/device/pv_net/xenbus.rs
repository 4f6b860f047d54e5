//! Connecting an interface: what netif.h adds to how all devices are connected.

use core::fmt::{self, Write as _};

use heapless::Vec;
use hv_types::Port;
use net_server_api::{MAX_NICS, NetPort};
use xen_abi::xenbus::state;

use super::{Can, Nic, PvNet};
use crate::device::backend::Kind;
use crate::device::backend::link::{Link, Node, Path, Presence, number_of};
use crate::device::backend::ring::{Broken, Ring};
use crate::device::backend::xenbus::Backend;
use crate::evtchn::{Events, Service};
use crate::host::Host;
use crate::hypercall::grant::backend::Grants;
use crate::memory::pages::Pages;

/// What a front end is offered. Each is so: nothing is promised that is not done.
const OFFER: [Node; 10] = [
    ("feature-sg", 1),
    ("feature-gso-tcpv4", 1),
    ("feature-gso-tcpv6", 1),
    ("feature-ipv6-csum-offload", 1),
    ("feature-rx-copy", 1),
    ("feature-rx-flip", 0),
    ("feature-multicast-control", 1),
    ("feature-split-event-channels", 1),
    ("multi-queue-max-queues", 1),
    ("state", state::INIT_WAIT as u64),
];

/// What one that has connected is told.
const ABOUT: [Node; 1] = [("state", state::CONNECTED as u64)];

/// What is read of a front end's directory next, and what was.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gather {
    key: Key,
    grefs: [u32; 2],
    ports: [Port; 2],
    can: Can,
}

/// A node of a front end's directory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Key {
    Queues,
    Copy,
    SendRef,
    ReceiveRef,
    SendPort,
    ReceivePort,
    /// Both in one.
    Port,
    Pages,
    Gso4,
    Gso6,
    NoSums,
    Sums6,
    Groups,
}

impl Key {
    const fn name(self) -> &'static str {
        match self {
            Self::Queues => "multi-queue-num-queues",
            Self::Copy => "request-rx-copy",
            Self::SendRef => "tx-ring-ref",
            Self::ReceiveRef => "rx-ring-ref",
            Self::SendPort => "event-channel-tx",
            Self::ReceivePort => "event-channel-rx",
            Self::Port => "event-channel",
            Self::Pages => "feature-sg",
            Self::Gso4 => "feature-gso-tcpv4",
            Self::Gso6 => "feature-gso-tcpv6",
            Self::NoSums => "feature-no-csum-offload",
            Self::Sums6 => "feature-ipv6-csum-offload",
            Self::Groups => "request-multicast-control",
        }
    }
}

/// A front end gave something that is no good; for the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Wrong {
    Queues(u32),
    NoCopy,
    NoSums(Key),
    Missing(Key),
    Port(u32),
    Ring(Broken),
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Queues(queues) => write!(f, "it has {queues} queues, and there may be 1"),
            Self::NoCopy => write!(f, "request-rx-copy is not 1, and pages are never flipped"),
            Self::NoSums(key) => write!(
                f,
                "by {} it wants checksums, which guests leave out between each other",
                key.name()
            ),
            Self::Missing(key) => write!(f, "the node {} is missing or no number", key.name()),
            Self::Port(port) => write!(
                f,
                "its event channel {port} is not one that waits for domain 0"
            ),
            Self::Ring(broken) => write!(f, "its ring: {broken}"),
        }
    }
}

impl Backend for PvNet {
    const KIND: Kind = Kind::Nics;
    const DIRECTORY: &'static str = "vif";
    type Gather = Gather;
    type Wrong = Wrong;

    fn link(&mut self) -> &mut Link<Gather> {
        &mut self.link
    }

    fn presence<H: Host>(host: &mut H, nic: u8) -> Presence {
        if usize::from(nic) >= MAX_NICS || !host.nets().is_present(nic) {
            Presence::Absent
        } else if host.nets().is_lost() {
            Presence::Gone
        } else {
            Presence::Present
        }
    }

    fn id(nic: u8) -> u32 {
        nic.into()
    }

    fn name(nic: u8, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "network interface {nic}")
    }

    fn offer<H: Host>(_: &mut H, _: u8, at: usize) -> Option<Node> {
        OFFER.get(at).copied()
    }

    fn about<H: Host>(host: &mut H, nic: u8, at: usize) -> Option<Node> {
        let here = Self::presence(host, nic) == Presence::Present;
        ABOUT.get(at).copied().filter(|_| here)
    }

    fn first() -> Gather {
        Gather {
            key: Key::Queues,
            grefs: [0; 2],
            ports: [Port(0); 2],
            can: Can::default(),
        }
    }

    fn wanted(gather: &Gather, path: &mut Path) -> fmt::Result {
        path.write_str(gather.key.name())
    }

    fn given<H: Host, P: Pages>(
        &mut self,
        host: &mut H,
        grants: &Grants<'_, P>,
        events: &mut Events,
        (nic, mut gather): (u8, Gather),
        value: Option<&[u8]>,
    ) -> Result<Option<Gather>, Wrong> {
        let given = value.and_then(number_of);
        let needed = given.ok_or(Wrong::Missing(gather.key));
        let flag = given.is_some_and(|number| number != 0);
        gather.key = match gather.key {
            Key::Queues => match given.unwrap_or(1) {
                1 => Key::Copy,
                queues => return Err(Wrong::Queues(queues)),
            },
            Key::Copy if !flag => return Err(Wrong::NoCopy),
            Key::Copy => Key::SendRef,
            Key::SendRef => {
                gather.grefs[0] = needed?;
                Key::ReceiveRef
            }
            Key::ReceiveRef => {
                gather.grefs[1] = needed?;
                Key::SendPort
            }
            Key::SendPort => match given {
                Some(port) => {
                    gather.ports[0] = Port(port);
                    Key::ReceivePort
                }
                None => Key::Port,
            },
            Key::ReceivePort => {
                gather.ports[1] = Port(needed?);
                Key::Pages
            }
            Key::Port => {
                gather.ports = [Port(needed?); 2];
                Key::Pages
            }
            Key::Pages => {
                gather.can.pages = flag;
                Key::Gso4
            }
            Key::Gso4 => {
                gather.can.gso4 = flag;
                Key::Gso6
            }
            Key::Gso6 => {
                gather.can.gso6 = flag;
                Key::NoSums
            }
            Key::NoSums if flag => return Err(Wrong::NoSums(gather.key)),
            Key::NoSums => Key::Sums6,
            Key::Sums6 if !flag => return Err(Wrong::NoSums(gather.key)),
            Key::Sums6 => Key::Groups,
            Key::Groups => {
                gather.can.groups = flag;
                self.connect(host, grants, events, nic, &gather)?;
                return Ok(None);
            }
        };
        Ok(Some(gather))
    }

    fn open<H: Host>(&mut self, host: &mut H, number: u8) {
        if let Some(Some(nic)) = self.nics.get_mut(usize::from(number)) {
            nic.is_shut = false;
            // What came for whoever used it before.
            for _ in 0..net_server_api::QUEUE_LEN {
                if host.nets().peek(number).is_none() {
                    break;
                }
                host.nets().advance(number);
            }
            host.nets().set_open(number, true);
        }
    }

    fn shut<H: Host>(&mut self, host: &mut H, number: u8) {
        host.nets().set_open(number, false);
        if let Some(Some(nic)) = self.nics.get_mut(usize::from(number)) {
            nic.is_shut = true;
        }
    }
}

impl PvNet {
    /// Makes the interface's rings, which are shut until the front end knows.
    fn connect<H: Host, P: Pages>(
        &mut self,
        host: &mut H,
        grants: &Grants<'_, P>,
        events: &mut Events,
        number: u8,
        gather: &Gather,
    ) -> Result<(), Wrong> {
        let Some(place) = self.nics.get_mut(usize::from(number)) else {
            return Err(Wrong::Missing(Key::Queues));
        };
        let [sends, receives] = gather.grefs;
        let sends = Ring::connect(host, grants, &[sends]).map_err(Wrong::Ring)?;
        let receives = Ring::connect(host, grants, &[receives]).map_err(Wrong::Ring)?;
        let [first, second] = gather.ports;
        if !events.bind_backend(Service::Nics, first) {
            return Err(Wrong::Port(first.0));
        }
        if second != first && !events.bind_backend(Service::Nics, second) {
            events.release_backend(Service::Nics, first);
            return Err(Wrong::Port(second.0));
        }
        *place = Some(Nic {
            sends,
            receives,
            ports: gather.ports,
            can: gather.can,
            groups: Vec::new(),
            wants_all: false,
            is_shut: true,
        });
        Ok(())
    }
}
