//! Memory regions that more than one may reach, and devices: who may, by the region's name.

use topology::meets::PAGE_PREFIX;
use topology::pd;

use crate::memory::What;
use crate::spec::Rights;
use crate::{Authority, Role};

/// The rights that a subject has to a region.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Access {
    Nothing,
    Read,
    Write,
}

/// A region with a rule of its own.
pub(super) struct Named<'a> {
    /// Whether it is, or is mapped as, device memory.
    pub device: bool,
    /// What it is and who may have it.
    pub why: &'static str,
    access: fn(&Authority, usize, &str) -> Access,
    /// The part of the name that tells whose it is.
    of: &'a str,
}

/// What it takes to break the rule of a region.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Wrong {
    /// Must not reach it.
    Reaches,
    /// Must not write it.
    Writes,
}

impl Wrong {
    /// The verb.
    pub(super) fn verb(self) -> &'static str {
        match self {
            Self::Reaches => "reaches",
            Self::Writes => "can write",
        }
    }
}

impl Named<'_> {
    /// What is wrong with subject `who` reaching the region with `rights`.
    pub(super) fn wrong(&self, authority: &Authority, who: usize, rights: Rights) -> Option<Wrong> {
        match (self.access)(authority, who, self.of) {
            Access::Nothing => Some(Wrong::Reaches),
            Access::Read if rights.write => Some(Wrong::Writes),
            Access::Read | Access::Write => None,
        }
    }
}

fn role(authority: &Authority, who: usize) -> Option<Role> {
    authority.subjects.get(who).map(|subject| subject.role)
}

/// Full access for `who` if it has role `owner`, else `others`.
fn owned(authority: &Authority, who: usize, owner: Role, others: Access) -> Access {
    match role(authority, who) {
        Some(role) if role == owner => Access::Write,
        _ => others,
    }
}

/// The rule for `what`, if it has one by its name.
pub(super) fn named(what: &What) -> Option<Named<'_>> {
    let region = what.region()?;
    if let Some(client) = region.strip_prefix("console_") {
        return Some(Named {
            device: false,
            why: "text ring of one client and the console",
            access: |authority, who, client| {
                let Some(subject) = authority.subjects.get(who) else {
                    return Access::Nothing;
                };
                if subject.name == client || subject.domain() == Some(client) {
                    return Access::Write;
                }
                owned(authority, who, Role::Console, Access::Nothing)
            },
            of: client,
        });
    }
    if let Some(domain) = region.strip_prefix("store_") {
        return Some(Named {
            device: false,
            why: "requests and answers between one VMM and the xenstore server",
            access: |authority, who, domain| match authority.subjects.get(who) {
                Some(subject)
                    if subject.role == Role::Vmm && subject.domain() == Some(domain)
                        || subject.name == pd::XENSTORE_SERVER =>
                {
                    Access::Write
                }
                _ => Access::Nothing,
            },
            of: domain,
        });
    }
    if let Some(domain) = region.strip_prefix("peer_") {
        return Some(Named {
            device: false,
            why: "where one domain's event channels to others end, written by the peer server alone",
            access: |authority, who, domain| match authority.subjects.get(who) {
                Some(subject) if subject.name == pd::PEER_SERVER => Access::Write,
                Some(vmm) if vmm.role == Role::Vmm && vmm.domain() == Some(domain) => Access::Read,
                _ => Access::Nothing,
            },
            of: domain,
        });
    }
    if let Some(domain) = ["nets_", "frames_"]
        .iter()
        .find_map(|prefix| region.strip_prefix(prefix))
    {
        return Some(Named {
            device: false,
            why: "frames of one VMM's guest on their way from and to the net server",
            access: |authority, who, domain| match authority.subjects.get(who) {
                Some(subject) if subject.name == pd::NET_SERVER => Access::Write,
                Some(vmm) if vmm.role == Role::Vmm && vmm.domain() == Some(domain) => Access::Write,
                _ => Access::Nothing,
            },
            of: domain,
        });
    }
    if let Some(domain) = ["disks_", "data_"]
        .iter()
        .find_map(|prefix| region.strip_prefix(prefix))
    {
        return Some(Named {
            device: false,
            why: "what one VMM and the block server say and hand each other",
            access: |authority, who, domain| match authority.subjects.get(who) {
                Some(subject) if subject.role == Role::Vmm && subject.domain() == Some(domain) => {
                    Access::Write
                }
                _ => owned(authority, who, Role::BlockServer, Access::Nothing),
            },
            of: domain,
        });
    }
    if let Some(both) = region.strip_prefix(PAGE_PREFIX) {
        return Some(Named {
            device: false,
            why: "events between the VMMs of two domains that meet",
            access: |authority, who, both| {
                let subject = authority.subjects.get(who);
                let vmm = subject.filter(|subject| subject.role == Role::Vmm);
                let (Some((one, other)), Some(of)) =
                    (both.split_once(':'), vmm.and_then(|vmm| vmm.domain()))
                else {
                    return Access::Nothing;
                };
                if of == one || of == other {
                    Access::Write
                } else {
                    Access::Nothing
                }
            },
            of: both,
        });
    }
    if region.starts_with("module_") {
        return Some(Named {
            device: false,
            why: "file of several guests, read-only for their VMMs",
            access: |authority, who, _| match role(authority, who) {
                Some(Role::Vmm) => Access::Read,
                _ => Access::Nothing,
            },
            of: "",
        });
    }
    let rule = |device, why, access| Named {
        device,
        why,
        access,
        of: "",
    };
    Some(match region {
        "uart" => rule(true, "the UART: the console alone", |a, who, _| {
            owned(a, who, Role::Console, Access::Nothing)
        }),
        "timer" => rule(
            true,
            "registers of a timer: the timer server alone",
            |a, who, _| owned(a, who, Role::TimerServer, Access::Nothing),
        ),
        "clock_counter" => rule(
            true,
            "a counter that tells the time: written by the timer server alone",
            |a, who, _| owned(a, who, Role::TimerServer, Access::Read),
        ),
        "clock_page" => rule(
            false,
            "how to read the time: written by the timer server alone",
            |a, who, _| owned(a, who, Role::TimerServer, Access::Read),
        ),
        "clock_code" => rule(
            true,
            "program of the timer server's own virtual machine",
            |a, who, _| {
                let keeper = a.keeper(who).and_then(|keeper| role(a, keeper));
                let its_machine = keeper == Some(Role::TimerServer);
                let others = if its_machine {
                    Access::Read
                } else {
                    Access::Nothing
                };
                owned(a, who, Role::TimerServer, others)
            },
        ),
        "disk_queue" => rule(
            false,
            "requests and answers between the block server and its driver",
            |a, who, _| {
                let others = owned(a, who, Role::BlockServer, Access::Nothing);
                owned(a, who, Role::BlockDriver, others)
            },
        ),
        "disk_registers" => rule(
            true,
            "registers of the disk and its neighbours: the block driver alone",
            |a, who, _| owned(a, who, Role::BlockDriver, Access::Nothing),
        ),
        "net_queue" | "net_frames" => rule(
            false,
            "frames on their way between the net server and the driver of the uplink",
            |a, who, _| match a.subjects.get(who) {
                Some(subject) if subject.name == pd::NET_SERVER => Access::Write,
                _ => owned(a, who, Role::NetDriver, Access::Nothing),
            },
        ),
        "net_registers" => rule(
            true,
            "registers of the network device and its neighbours: the net driver alone",
            |a, who, _| owned(a, who, Role::NetDriver, Access::Nothing),
        ),
        "gicv" => rule(
            true,
            "registers of the GIC's virtual CPU interface, which the kernel switches with the vCPU: guests",
            |a, who, _| owned(a, who, Role::Guest, Access::Nothing),
        ),
        _ => return None,
    })
}
