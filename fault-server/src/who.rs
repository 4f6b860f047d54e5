//! Protection domains that have a fault handler, by number.

use core::fmt;

use topology::{MAX_DOMAINS, child, console_client, pd};

/// Bytes of a name, padded with zeroes.
pub const NAME_BYTES: usize = 16;

/// Names of the console's clients by number, zero-padded; all zero where there is no such client. The image builder makes them.
pub type Names = [[u8; NAME_BYTES]; console_client::COUNT];

/// A PD whose faults come here, by its child number ([`topology::child`]).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Who<'a> {
    /// The VMM of a domain.
    Vmm {
        /// The domain's name.
        name: &'a str,
        /// Its id.
        domid: usize,
    },
    /// The gate of a domain's VMM.
    Gate {
        /// The domain's name.
        name: &'a str,
    },
    /// A server, by its name.
    Server(&'static str),
    /// No PD has this number.
    Unknown(usize),
}

/// Children that have no processor time of their own once they wait: gates, VMMs, and the servers that run on the time of
/// whoever calls.
pub fn passive_children(names: &Names) -> impl Iterator<Item = usize> {
    let domains = (0..MAX_DOMAINS).filter(|domain| names[*domain][0] != 0);
    domains
        .flat_map(|domain| [domain, child::GATE + domain])
        .chain([console_client::MEMORY_SERVER, console_client::DT_SERVER])
}

impl<'a> Who<'a> {
    /// The PD with child number `child`.
    pub fn new(child: usize, names: &'a Names) -> Self {
        match child {
            console_client::MEMORY_SERVER => Self::Server(pd::MEMORY_SERVER),
            console_client::DT_SERVER => Self::Server(pd::DT_SERVER),
            console_client::TIMER_SERVER => Self::Server(pd::TIMER_SERVER),
            vmm if vmm < MAX_DOMAINS => Self::Vmm {
                name: names.get(vmm).map_or("?", text),
                domid: vmm + 1,
            },
            gate if (child::GATE..child::COUNT).contains(&gate) => Self::Gate {
                name: names.get(gate - child::GATE).map_or("?", text),
            },
            child::PULSE => Self::Server(pd::PULSE),
            other => Self::Unknown(other),
        }
    }

    /// What stands still because this PD has stopped, for the person at the console.
    pub fn consequence(&self) -> &'static str {
        match self {
            Self::Vmm { .. } => {
                "its guest has ended with it and its memory goes back; the other guests go on"
            }
            Self::Gate { .. } => {
                "its VMM reaches no server any more and stands still, with its guest; the other guests go on"
            }
            Self::Server(pd::MEMORY_SERVER) => {
                "no VMM gets or gives back memory any more; one that tries stands still"
            }
            Self::Server(pd::DT_SERVER) => "no guest can be started any more; those that run go on",
            Self::Server(pd::PULSE) => {
                "guests that sleep are woken late when another one puts the timer off; all go on"
            }
            Self::Server(_) | Self::Unknown(_) => {
                "VMMs that ask it for something stand still, with their guests"
            }
        }
    }

    /// Number of its domain for the memory server, if it is a VMM.
    pub fn domain(&self) -> Option<u8> {
        match self {
            // Domain ids count from 1 in the order of the domains file.
            Self::Vmm { domid, .. } => u8::try_from(domid.checked_sub(1)?).ok(),
            Self::Gate { .. } | Self::Server(_) | Self::Unknown(_) => None,
        }
    }

    /// Program of the PD, without `.elf`.
    pub fn program(&self) -> &'static str {
        match self {
            Self::Vmm { .. } | Self::Unknown(_) => "vmm",
            Self::Gate { .. } => "gate",
            Self::Server(pd::MEMORY_SERVER) => "memory-server",
            Self::Server(pd::DT_SERVER) => "dt-server",
            Self::Server(pd::PULSE) => "pulse",
            Self::Server(_) => "timer-server",
        }
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
            Self::Vmm { name, domid } => {
                write!(
                    f,
                    "{}{name} (VMM of domain {domid}, {name})",
                    pd::VMM_PREFIX
                )
            }
            Self::Gate { name } => write!(f, "{}{name} (gate of {name}'s VMM)", pd::GATE_PREFIX),
            Self::Server(name) => f.write_str(name),
            Self::Unknown(child) => write!(f, "child {child}, which no protection domain is,"),
        }
    }
}
