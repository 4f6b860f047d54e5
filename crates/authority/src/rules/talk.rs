//! Rules about calls and notifications.

use super::{Check, Tally};
use crate::spec::Kind;
use crate::talk::{owner, receives};
use crate::{Authority, Edge, Role, Subject, Way};

fn ends<'a>(authority: &'a Authority, edge: &Edge) -> Option<(&'a Subject, &'a Subject)> {
    let subject = |index| authority.subjects.get(index);
    subject(edge.from).zip(subject(edge.to))
}

/// Nobody of one domain can call or notify anybody of another.
pub(super) fn apart(authority: &Authority) -> Check {
    let mut check = Check::new(
        "apart",
        "calls, notifications and fault reports",
        "No guest or VMM can call or notify a guest or VMM of another domain, nor report faults to it; what goes between domains goes through servers.",
    );
    for edge in &authority.edges {
        check.looked_at += 1;
        let Some((from, to)) = ends(authority, edge) else {
            continue;
        };
        if let (Some(one), Some(other)) = (from.part_of(), to.part_of())
            && one != other
        {
            check.broken(
                format!("{} {} {}", from.name, edge.way, to.name),
                vec![edge.chain.clone()],
            );
        }
    }
    check.needs_some()
}

/// Calls go to strictly higher priorities, and the faults of guests to no lower ones.
pub(super) fn uphill(authority: &Authority) -> Check {
    let mut check = Check::new(
        "uphill",
        "calls and guests' faults",
        "A protected call goes to a strictly higher priority, so that no two can wait for each other; the fault of a guest, whom nobody calls, to no lower one.",
    );
    for edge in &authority.edges {
        let guest = authority
            .subjects
            .get(edge.from)
            .is_some_and(|subject| subject.role == Role::Guest);
        // A PD that faults has stopped; whoever hears of that may be anywhere.
        if edge.way == Way::Notify || (edge.way == Way::Fault && !guest) {
            continue;
        }
        check.looked_at += 1;
        let Some((from, to)) = ends(authority, edge) else {
            continue;
        };
        let downhill = if guest {
            from.priority > to.priority
        } else {
            from.priority >= to.priority
        };
        if downhill {
            check.broken(
                format!(
                    "{} (priority {}) {} {} (priority {})",
                    from.name, from.priority, edge.way, to.name, to.priority
                ),
                vec![edge.chain.clone()],
            );
        }
    }
    check.needs_some()
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
