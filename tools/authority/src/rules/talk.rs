//! Rules about calls and notifications.

use topology::{MAX_DOMAINS, caps, channel, pd};

use super::{Check, Tally, only};
use crate::expect::System;
use crate::run_time::grant_cnodes;
use crate::spec::Kind;
use crate::talk::{owner, receives};
use crate::{Authority, Edge, Role, Subject, Way};

fn ends<'a>(authority: &'a Authority, edge: &Edge) -> Option<(&'a Subject, &'a Subject)> {
    let subject = |index| authority.subjects.get(index);
    subject(edge.from).zip(subject(edge.to))
}

/// Nobody of one domain can call or notify anybody of another.
pub(super) fn apart(authority: &Authority, system: &System) -> Check {
    let mut check = Check::new(
        "apart",
        "calls, notifications and fault reports",
        "No guest or VMM can call or notify a guest or VMM of another domain, nor report faults to it, but for the VMMs of two domains that meet, which notify each other; what else goes between domains goes through servers.",
    );
    for edge in &authority.edges {
        check.looked_at += 1;
        let Some((from, to)) = ends(authority, edge) else {
            continue;
        };
        if let (Some(one), Some(other)) = (from.part_of(), to.part_of())
            && one != other
            && !(edge.way == Way::Notify && vmms_of_a_pair(system, from, to))
        {
            check.broken(
                format!("{} {} {}", from.name, edge.way, to.name),
                vec![edge.chain.clone()],
            );
        }
    }
    check.needs_some()
}

/// Whether the two are the VMMs of domains that meet.
fn vmms_of_a_pair(system: &System, from: &Subject, to: &Subject) -> bool {
    let number = |subject: &Subject| {
        let vmm = Some(subject).filter(|subject| subject.role == Role::Vmm);
        let name = vmm.and_then(Subject::domain)?;
        system.domains.iter().position(|domain| domain.name == name)
    };
    let pair = number(from).zip(number(to));
    pair.is_some_and(|(a, b)| system.meets.contains(a, b))
}

/// The memory server takes a caller's number for the domain that asks, the fault server a child's
/// for the VMM that stopped.
pub(super) fn callers(authority: &Authority) -> Check {
    let mut check = Check::new(
        "callers",
        "calls to the memory server and reports of faults",
        "A VMM's gate calls the memory server, and a VMM's faults are reported, under the number of its own domain; only the fault server can tell the memory server that a VMM has stopped, and only the peer server that a page is lent.",
    );
    let mut tally = Tally::default();
    let crash = channel::MEMORY_FAULTS as u64;
    let lend = channel::MEMORY_PEER as u64;
    for edge in &authority.edges {
        let Some((from, to)) = ends(authority, edge) else {
            continue;
        };
        let calls = to.role == Role::MemoryServer && edge.way == Way::Call;
        let reports = to.name == pd::FAULT_SERVER && edge.way == Way::Fault;
        if !calls && !reports {
            continue;
        }
        check.looked_at += 1;
        let has = edge.badge & BADGE_NUMBER;
        // A VMM's faults, and the calls of its gate.
        let domain = match calls {
            true => from.name.strip_prefix(pd::GATE_PREFIX),
            false => from.domain(),
        };
        let own = domain.and_then(|domain| number(authority, domain));
        if calls && from.name == pd::FAULT_SERVER && has == crash {
            tally.add(format!("{}: that a VMM has stopped", from.name));
            continue;
        }
        if calls && from.name == pd::PEER_SERVER && has == lend {
            tally.add(format!("{}: that a page is lent", from.name));
            continue;
        }
        // What is no VMM has no domain, and must not report faults under the number of one.
        let is_server = own.is_none() && reports && has >= MAX_DOMAINS as u64;
        if own == Some(has) || is_server {
            continue;
        }
        let what = match (calls, has) {
            (true, _) if has == crash => "can tell the memory server that a VMM has stopped".into(),
            (true, _) if has == lend => "can tell the memory server that a page is lent".into(),
            (true, _) => format!("calls the memory server as domain {}", has + 1),
            (false, _) => format!("reports faults as the VMM of domain {}", has + 1),
        };
        check.broken(format!("{} {what}", from.name), vec![edge.chain.clone()]);
    }
    check.allowed = tally.lines();
    check.needs_some()
}

/// The part of a badge that Microkit fills with the number of a channel or child.
const BADGE_NUMBER: u64 = 0x3f;

/// Number of `domain` from 0: the memory server has the grant CNode of domain `i` in slot `i` of
/// those set aside for them.
fn number(authority: &Authority, domain: &str) -> Option<u64> {
    let server = only(authority, Role::MemoryServer)?;
    let (cnode, ..) = grant_cnodes(authority).find(|(_, name, _)| *name == domain)?;
    let held = server.held.iter().filter(|held| held.invocable);
    let mut slots = held.filter(|held| held.cap.object == Some(cnode));
    u64::from(slots.next()?.slot).checked_sub(caps::MEM_GRANT_LEAF)
}

/// Calls go to no lower priority and never in a circle, the faults of guests to no lower priority.
pub(super) fn uphill(authority: &Authority) -> Check {
    let mut check = Check::new(
        "uphill",
        "calls and guests' faults",
        "A protected call goes to no lower priority, and no chain of calls comes back to where it began, so that no two can wait for each other; the fault of a guest goes to no lower priority.",
    );
    let calls: Vec<&Edge> = authority
        .edges
        .iter()
        .filter(|edge| edge.way == Way::Call)
        .collect();
    for edge in &authority.edges {
        let guest = authority
            .subjects
            .get(edge.from)
            .is_some_and(|subject| subject.role == Role::Guest);
        // A PD that faults has stopped; its fault handler may be anywhere.
        if edge.way == Way::Notify || (edge.way == Way::Fault && !guest) {
            continue;
        }
        check.looked_at += 1;
        let Some((from, to)) = ends(authority, edge) else {
            continue;
        };
        if from.priority > to.priority {
            check.broken(
                format!(
                    "{} (priority {}) {} {} (priority {})",
                    from.name, from.priority, edge.way, to.name, to.priority
                ),
                vec![edge.chain.clone()],
            );
        }
        if edge.way == Way::Call && comes_back(&calls, edge) {
            check.broken(
                format!(
                    "{} calls {}, whose calls come back to it",
                    from.name, to.name
                ),
                vec![edge.chain.clone()],
            );
        }
    }
    check.needs_some()
}

/// Whether calls of whom `edge` calls lead to the caller.
fn comes_back(calls: &[&Edge], edge: &Edge) -> bool {
    let mut reached = vec![edge.to];
    let mut next = 0;
    while let Some(&from) = reached.get(next) {
        next += 1;
        for call in calls.iter().filter(|call| call.from == from) {
            if !reached.contains(&call.to) {
                reached.push(call.to);
            }
        }
    }
    reached.contains(&edge.from)
}

/// Only the owner of an endpoint or notification receives on it.
pub(super) fn receive(authority: &Authority) -> Check {
    let mut check = Check::new(
        "receive",
        "capabilities to endpoints and notifications",
        "Only its owner can receive on an endpoint or notification; clients can send, and nobody can take another's calls.",
    );
    let mut tally = Tally::default();
    for (index, subject) in authority.subjects.iter().enumerate() {
        for held in subject.held.iter() {
            if !matches!(held.cap.kind, Kind::Endpoint | Kind::Notification) {
                continue;
            }
            check.looked_at += 1;
            let owner = held
                .cap
                .object
                .and_then(|object| owner(&authority.spec, &authority.subjects, object));
            if !receives(&held.cap) || owner == Some(index) {
                continue;
            }
            let whose = owner.map_or("nobody", |owner| authority.who(owner));
            // It hands a passive server's time to its notification.
            if subject.role == Role::Monitor && held.cap.kind == Kind::Notification {
                tally.add(format!(
                    "{}, part of Microkit: the notification of {whose}, which is passive",
                    subject.name
                ));
                continue;
            }
            check.broken(
                format!("{} can receive what is sent to {whose}", subject.name),
                vec![held.chain.clone()],
            );
        }
    }
    check.allowed = tally.lines();
    check.needs_some()
}
