//! The rule about devices that read and write memory by themselves.

use board::{Board, Virtio};
use topology::pd;
use untyped_plan::{Paddr, Span};

use super::{Check, list};
use crate::expect::System;
use crate::{Authority, Memory, Reach, Role, Way};

const PAGE: u64 = 0x1000;

/// A driver of such a device.
struct Driver {
    role: Role,
    /// For whom it works.
    server: &'static str,
    /// What it shares with that.
    shares: &'static [&'static str],
    /// Its devices on a board.
    devices: fn(&Board) -> &'static [Virtio],
}

const DRIVERS: [Driver; 2] = [
    Driver {
        role: Role::BlockDriver,
        server: pd::BLOCK_SERVER,
        shares: &["disk_queue"],
        devices: |board| board.disks,
    },
    Driver {
        role: Role::NetDriver,
        server: pd::NET_SERVER,
        shares: &["net_queue", "net_frames"],
        devices: |board| board.nics,
    },
];

/// Only drivers have such a device, each its own, and nothing but that and what it shares with its
/// server.
pub(super) fn confined(authority: &Authority, system: &System) -> Check {
    let mut check = Check::new(
        "dma",
        "pieces of memory, and ways to and from those who reach registers of disks and network devices",
        "Nothing confines a disk's or a network device to a part of memory, so whoever reaches its registers can reach all memory through it: that is the block driver or the net driver alone, which has nothing in common with anybody but what it shares with the block server or the net server, and talks to nobody else; device registers in one page belong to one.",
    );
    check.looked_at = authority.memory.len();
    for kind in &DRIVERS {
        let mut drivers: Vec<usize> = Vec::new();
        let devices = (kind.devices)(system.board);
        for memory in authority
            .memory
            .iter()
            .filter(|memory| holds_one(authority, devices, memory))
        {
            let reach = authority.reach(memory);
            check.looked_at += reach.len();
            for reach in &reach {
                if !drivers.contains(&reach.subject) {
                    drivers.push(reach.subject);
                }
                if role(authority, reach.subject) != Some(kind.role) {
                    let who = authority.who(reach.subject);
                    let message = format!(
                        "{who} reaches '{}', registers of a device that can read and write all memory",
                        memory.what
                    );
                    check.broken(message, vec![reach.chain.clone()]);
                }
            }
            one_owner(authority, &mut check, memory, &reach);
        }
        for &driver in &drivers {
            alone(authority, &mut check, kind, driver);
        }
        if check.breaches.is_empty() {
            let names: Vec<&str> = devices.iter().map(|device| device.name).collect();
            for driver in drivers {
                check.allowed.push(format!(
                    "{} drives {}: no SMMU confines it, so what this program makes the device do can reach all memory",
                    authority.who(driver),
                    list(&names)
                ));
            }
        }
    }
    check.needs_some()
}

fn role(authority: &Authority, who: usize) -> Option<Role> {
    authority.subjects.get(who).map(|subject| subject.role)
}

/// Whether `memory` lies in a page with registers of one of `devices`, whatever its name.
fn holds_one(authority: &Authority, devices: &[Virtio], memory: &Memory) -> bool {
    let pages = devices.iter().filter_map(|device| {
        let first = device.registers.start / PAGE * PAGE;
        Span::sized(Paddr(first), PAGE)
    });
    let pages: Vec<Span> = pages.collect();
    let mut objects = memory.objects.iter();
    objects.any(|object| {
        let span = authority.spec.get(*object).and_then(|object| object.span());
        span.is_some_and(|span| pages.iter().any(|page| page.intersection(span).is_some()))
    })
}

fn one_owner(authority: &Authority, check: &mut Check, memory: &Memory, reach: &[Reach]) {
    let mut names: Vec<&str> = reach.iter().map(|r| authority.who(r.subject)).collect();
    names.dedup();
    if names.len() > 1 {
        let chains = reach.iter().map(|reach| reach.chain.clone()).collect();
        let message = format!("{} share the page of '{}'", list(&names), memory.what);
        check.broken(message, chains);
    }
}

/// That `driver` has nothing in common with anybody but what it shares with its server, and talks
/// to that alone.
fn alone(authority: &Authority, check: &mut Check, kind: &Driver, driver: usize) {
    let who = authority.who(driver);
    for memory in &authority.memory {
        let reach = authority.reach(memory);
        let its = reach.iter().find(|reach| reach.subject == driver);
        let shared = memory
            .what
            .region()
            .is_some_and(|name| kind.shares.contains(&name));
        let Some(its) = its.filter(|_| !shared) else {
            continue;
        };
        check.looked_at += 1;
        let others = reach.iter().filter(|reach| reach.subject != driver);
        for other in others {
            let other_name = authority.who(other.subject);
            check.broken(
                format!("{who} and {other_name} both reach '{}'", memory.what),
                vec![its.chain.clone(), other.chain.clone()],
            );
        }
    }
    for edge in &authority.edges {
        let other = match (edge.from == driver, edge.to == driver) {
            (true, false) => edge.to,
            (false, true) => edge.from,
            _ => continue,
        };
        check.looked_at += 1;
        let server = authority.who(other) == kind.server && edge.way == Way::Notify;
        // Its own faults are told like everybody's.
        let fault = edge.from == driver && edge.way == Way::Fault;
        if !server && !fault {
            let (from, to) = (authority.who(edge.from), authority.who(edge.to));
            check.broken(
                format!("{from} {} {to}", edge.way),
                vec![edge.chain.clone()],
            );
        }
    }
}
