//! Protection domains that have a fault handler, by number.

use core::fmt;

use topology::shape::{Counter, Shape};
use topology::table::{Member, PDS, Pd, STOPS, members, of_child};
use topology::{MAX_DOMAINS, channel, child, console_client, pd};

/// Bytes of a name, padded with zeroes.
pub const NAME_BYTES: usize = 16;

/// Names of the console's clients by number, zero-padded; all zero where there is no such client.
/// The image builder makes them.
pub type Names = [[u8; NAME_BYTES]; console_client::COUNT];

/// A PD whose faults come here, by its child number ([`topology::child`]).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Who<'a> {
    /// One that is there for a domain.
    Domain {
        /// What it is.
        pd: &'static Pd,
        /// The domain's name.
        name: &'a str,
        /// The domain's number from 0.
        domain: usize,
    },
    /// A server.
    Server(&'static Pd),
    /// No PD has this number.
    Unknown(usize),
}

/// Children that have no processor time of their own once they wait: gates, VMMs, and the servers
/// that run on their callers' time; but for those with a bit in `active`, gates of domains whose
/// vCPUs have a budget in each period ([`topology::share`]). `peers`: there is a peer server.
pub fn passive_children(names: &Names, active: u64, peers: bool) -> impl Iterator<Item = usize> {
    let there = |domain: usize| names.get(domain).is_some_and(|name| name[0] != 0);
    members(Shape::full(Counter::Readable, MAX_DOMAINS))
        .filter(move |member| peers || member.pd.name != pd::PEER_SERVER)
        .filter(move |member| member.pd.on_callers_time && member.domain.is_none_or(there))
        .filter_map(|member| member.child())
        .filter(move |child| active & (1 << child) == 0)
}

/// Who uses what, a bit for each domain.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Users {
    /// Those with disks.
    pub disks: u64,
    /// Those with network interfaces.
    pub nets: u64,
}

/// The fault server's channels to those who wait for what child `child` would have done, and do so
/// for ever unless they hear of its end; of domains with disks and of those with network interfaces
/// `users` has a bit each.
pub fn waiting(child: usize, users: Users) -> impl Iterator<Item = usize> {
    let (users, first) = match child {
        child::BLOCK_SERVER => (users.disks, channel::FAULTS_DISKS),
        child::NET_SERVER => (users.nets, channel::FAULTS_NETS),
        _ => (0, 0),
    };
    let vmms = (0..MAX_DOMAINS).filter(move |domain| users & 1 << domain != 0);
    let vmms = vmms.map(move |domain| first + domain);
    let server = match child {
        child::BLOCK_DRIVER => Some(channel::FAULTS_BLOCK),
        child::NET_DRIVER => Some(channel::FAULTS_NET),
        _ => None,
    };
    vmms.chain(server)
}

impl<'a> Who<'a> {
    /// The PD with child number `child`.
    pub fn new(child: usize, names: &'a Names) -> Self {
        match of_child(child) {
            Some(Member {
                pd,
                domain: Some(domain),
            }) => Self::Domain {
                pd,
                name: names.get(domain).map_or("?", text),
                domain,
            },
            Some(Member { pd, domain: None }) => Self::Server(pd),
            None => Self::Unknown(child),
        }
    }

    /// The PD with this name, of whatever number its domain has; `None` if no PD is called so.
    pub fn named(name: &'a str) -> Option<Self> {
        let of_domain = |pd: &'static Pd| {
            let name = name.strip_prefix(pd.name)?;
            Some(Self::Domain {
                pd,
                name,
                domain: 0,
            })
        };
        PDS.iter().find_map(|pd| match pd.each {
            true => of_domain(pd),
            false => (pd.name == name).then_some(Self::Server(pd)),
        })
    }

    /// What the table says of it.
    pub fn pd(&self) -> Option<&'static Pd> {
        match self {
            Self::Domain { pd, .. } | Self::Server(pd) => Some(pd),
            Self::Unknown(_) => None,
        }
    }

    /// Whether its row has this name.
    pub(crate) fn is(&self, name: &str) -> bool {
        self.pd().is_some_and(|pd| pd.name == name)
    }

    /// What stands still because this PD has stopped, for the person at the console.
    pub fn consequence(&self) -> &'static str {
        self.pd().map_or(STOPS, |pd| pd.stops)
    }

    /// Number of its domain for the memory server, if it is a VMM.
    pub fn domain(&self) -> Option<u8> {
        match self {
            Self::Domain { domain, .. } if self.is(pd::VMM_PREFIX) => u8::try_from(*domain).ok(),
            _ => None,
        }
    }

    /// Program of the PD, without `.elf`.
    pub fn program(&self) -> &'static str {
        self.pd().map_or("vmm", |pd| pd.program)
    }
}

fn text(bytes: &[u8; NAME_BYTES]) -> &str {
    let length = bytes.iter().position(|byte| *byte == 0);
    let bytes = bytes.get(..length.unwrap_or(NAME_BYTES)).unwrap_or(bytes);
    core::str::from_utf8(bytes).unwrap_or("?")
}

impl fmt::Display for Who<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // Domain ids count from 1 in the order of the domains file.
            Self::Domain { pd, name, domain } if self.is(pd::VMM_PREFIX) => {
                let domid = domain + 1;
                write!(f, "{}{name} (VMM of domain {domid}, {name})", pd.name)
            }
            Self::Domain { pd, name, .. } => {
                write!(f, "{}{name} ({} of {name}'s VMM)", pd.name, pd.program)
            }
            Self::Server(pd) => f.write_str(pd.name),
            Self::Unknown(child) => write!(f, "child {child}, which no protection domain is,"),
        }
    }
}
