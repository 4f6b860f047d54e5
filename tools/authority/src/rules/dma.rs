//! The rule about devices that read and write memory by themselves.

use untyped_plan::{Paddr, Span};

use super::{Check, list};
use crate::expect::System;
use crate::{Authority, Memory, Reach, Role, Way};

const PAGE: u64 = 0x1000;

/// Only the block driver has such a device, and nothing but that and its queue with the block
/// server.
pub(super) fn confined(authority: &Authority, system: &System) -> Check {
    let mut check = Check::new(
        "dma",
        "pieces of memory, and ways to and from those who reach a disk's registers",
        "Nothing confines a disk's device to a part of memory, so whoever reaches its registers can reach all memory through it: that is the block driver alone, which has nothing in common with anybody but its queue with the block server, and talks to nobody else; device registers in one page belong to one.",
    );
    check.looked_at = authority.memory.len();
    let mut drivers: Vec<usize> = Vec::new();
    for memory in authority
        .memory
        .iter()
        .filter(|memory| is_disk(authority, system, memory))
    {
        let reach = authority.reach(memory);
        check.looked_at += reach.len();
        for reach in &reach {
            if !drivers.contains(&reach.subject) {
                drivers.push(reach.subject);
            }
            if role(authority, reach.subject) != Some(Role::BlockDriver) {
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
        alone(authority, &mut check, driver);
    }
    if check.breaches.is_empty() {
        let names = system.board.disks.iter().map(|disk| disk.name);
        let names: Vec<&str> = names.collect();
        for driver in drivers {
            check.allowed.push(format!(
                "{} drives {}: no SMMU confines it, so what this program makes the device do can reach all memory",
                authority.who(driver),
                list(&names)
            ));
        }
    }
    check.needs_some()
}

fn role(authority: &Authority, who: usize) -> Option<Role> {
    authority.subjects.get(who).map(|subject| subject.role)
}

/// Whether `memory` lies in a page with registers of one of the board's disks, whatever its name.
fn is_disk(authority: &Authority, system: &System, memory: &Memory) -> bool {
    let pages = system.board.disks.iter().filter_map(|disk| {
        let first = disk.registers.start / PAGE * PAGE;
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

/// That `driver` has nothing in common with anybody but its queue, and talks to the block server
/// alone.
fn alone(authority: &Authority, check: &mut Check, driver: usize) {
    let who = authority.who(driver);
    for memory in &authority.memory {
        let reach = authority.reach(memory);
        let its = reach.iter().find(|reach| reach.subject == driver);
        let Some(its) = its.filter(|_| memory.what.region() != Some("disk_queue")) else {
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
        let server = role(authority, other) == Some(Role::BlockServer) && edge.way == Way::Notify;
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
