//! Rules about CNodes, threads, address spaces, interrupts and the kernel's special objects.

use topology::pd;

use super::{Check, Tally, list, only};
use crate::run_time::{grant_domain, node};
use crate::spec::{Id, Kind};
use crate::{Authority, Held, Role, Subject};

/// A VMM can look through its grant CNode and not operate on it; the memory server alone can.
pub(super) fn grants(authority: &Authority) -> Check {
    let mut check = Check::new(
        "grants",
        "capabilities to grant CNodes",
        "A VMM can look through its own grant CNode and through no other; only the memory server can operate on one.",
    );
    let cnodes = authority.spec.objects().filter_map(|(id, object)| {
        let domain = grant_domain(&object.name)?;
        (object.kind == Kind::CNode).then_some((id, domain))
    });
    for (cnode, domain) in cnodes {
        for subject in &authority.subjects {
            let to =
                |held: &&Held| held.cap.object == Some(cnode) && !in_its_place(authority, held);
            for held in subject.held.iter().filter(to) {
                check.looked_at += 1;
                let message = match subject.role {
                    Role::MemoryServer => continue,
                    Role::Vmm if subject.domain() == Some(&*domain) && !held.invocable => continue,
                    _ if held.invocable => format!(
                        "{} can operate on the grant CNode of {domain}: it could copy, move and delete what is granted there",
                        subject.name
                    ),
                    _ => format!("{} can use what is granted to {domain}", subject.name),
                };
                check.broken(message, vec![held.chain.clone()]);
            }
        }
    }
    check.needs_some()
}

/// Whether this is a node in the CNode that it is part of: whoever has that has its nodes, and the
/// capability to it speaks for them.
fn in_its_place(authority: &Authority, held: &Held) -> bool {
    let object = held.cap.object.map(|id| authority.spec.name(id));
    let of = object.and_then(node).map(|(_, of)| of);
    of.is_some_and(|of| of == authority.spec.name(held.cnode))
}

/// Whose object `id` is.
fn owner(authority: &Authority, id: Id, kind: &Kind) -> Option<usize> {
    let own = |subject: &Subject| match kind {
        Kind::Tcb => subject.threads.contains(&id),
        Kind::VCpu => subject.vcpus.contains(&id),
        Kind::SchedContext => subject.sched_contexts.contains(&id),
        Kind::PageTable => subject.tables.contains(&id),
        Kind::CNode => subject.looks_through(id),
        _ => false,
    };
    let subjects = &authority.subjects;
    if *kind == Kind::Reply {
        let holds = |s: &Subject| s.held.iter().any(|held| held.cap.object == Some(id));
        let name = authority.spec.name(id);
        let named = |s: &Subject| name.strip_prefix("reply_") == Some(&s.name) && holds(s);
        let named = subjects.iter().position(named);
        return named.or_else(|| subjects.iter().position(holds));
    }
    subjects.iter().position(own)
}

/// Nobody has a capability to another's thread, vCPU, address space, CNode, time or reply object,
/// but for the few that the design and Microkit need.
pub(super) fn objects(authority: &Authority) -> Check {
    let mut check = Check::new(
        "objects",
        "capabilities to TCBs, vCPUs, page tables, CNodes, scheduling contexts and reply objects",
        "Nobody has a capability to another's thread, vCPU, address space, CNode, scheduling context or reply object, but for those named below.",
    );
    let mut tally = Tally::default();
    for (index, subject) in authority.subjects.iter().enumerate() {
        for held in subject.held.iter() {
            let (kind, Some(object)) = (&held.cap.kind, held.cap.object) else {
                continue;
            };
            let guarded = [
                Kind::Tcb,
                Kind::VCpu,
                Kind::PageTable,
                Kind::CNode,
                Kind::SchedContext,
                Kind::Reply,
            ];
            if !guarded.contains(kind) || in_its_place(authority, held) {
                continue;
            }
            check.looked_at += 1;
            let owner = owner(authority, object, kind);
            if owner == Some(index) {
                continue;
            }
            match exception(authority, index, owner, kind, held) {
                Some(text) => tally.add(text),
                None => {
                    let whose = owner.map_or("nobody's", |owner| authority.who(owner));
                    check.broken(
                        format!(
                            "{} has a capability to a {} of {whose}: {}",
                            subject.name,
                            kind.name(),
                            authority.spec.name(object)
                        ),
                        vec![held.chain.clone()],
                    );
                }
            }
        }
    }
    check.allowed = tally.lines();
    check.needs_some()
}

/// Why subject `index` may have this capability to an object of `owner`.
fn exception(
    authority: &Authority,
    index: usize,
    owner: Option<usize>,
    kind: &Kind,
    held: &Held,
) -> Option<String> {
    let subject = authority.subjects.get(index)?;
    let whose = owner.and_then(|owner| authority.subjects.get(owner));
    let name = &subject.name;
    match subject.role {
        Role::Monitor if matches!(kind, Kind::Tcb | Kind::SchedContext) => Some(format!(
            "{name}, part of Microkit: {} of everybody whom it starts and watches",
            kind.name()
        )),
        Role::MemoryServer
            if *kind == Kind::CNode
                && authority.spec.name(held.cap.object?) == crate::expect::WIPER_CNODE =>
        {
            Some(format!(
                "{name}: the wiper's CNode, to hand it what is to be zeroed"
            ))
        }
        Role::MemoryServer if *kind == Kind::CNode && held.invocable => {
            grant_domain(authority.spec.name(held.cap.object?))?;
            Some(format!(
                "{name}: the grant CNode of each domain, to fill it"
            ))
        }
        _ if *name == pd::FAULT_SERVER && *kind == Kind::SchedContext => {
            let whose = whose?;
            if whose.role == Role::Guest {
                let keeper = authority.subjects.get(authority.keeper(owner?)?)?;
                return (keeper.role == Role::Vmm).then(|| {
                    format!(
                        "{name}: scheduling context of each vCPU, to ask how much time it has used"
                    )
                });
            }
            let gate = whose.name.starts_with(pd::GATE_PREFIX);
            let server = whose.role == Role::MemoryServer
                || [pd::DT_SERVER, pd::PEER_SERVER].contains(&whose.name.as_str());
            let known = gate || server || whose.role == Role::Vmm;
            known.then(|| {
                format!("{name}: scheduling context of everybody who runs on its callers' time")
            })
        }
        _ if authority.keeper(owner?) == Some(index) => {
            whose.filter(|whose| whose.role == Role::Guest)?;
            let keeper = match subject.role {
                Role::Vmm => "each VMM",
                _ => name,
            };
            Some(format!("{keeper}: {} of its own guest", kind.name()))
        }
        _ => None,
    }
}

/// Those that have an interrupt each.
const OWNERS: [Role; 4] = [
    Role::Console,
    Role::TimerServer,
    Role::BlockDriver,
    Role::NetDriver,
];

/// Owners of devices have an interrupt each, and nobody has another.
pub(super) fn interrupts(authority: &Authority) -> Check {
    let mut check = Check::new(
        "interrupts",
        "interrupts",
        "Only the console (the UART's), the timer server (the timer's), the block driver (the disk's) and the net driver (the network device's) have interrupts, each its own, and each is told of no other's. A VMM has none.",
    );
    let may = |subject: &Subject| OWNERS.contains(&subject.role);
    for (id, object) in authority.spec.objects() {
        if object.kind != Kind::Irq {
            continue;
        }
        check.looked_at += 1;
        let number = object.irq.map_or("?".to_owned(), |irq| irq.to_string());
        let mut holders = Vec::new();
        for (index, subject) in authority.subjects.iter().enumerate() {
            let to = |held: &&Held| held.cap.object == Some(id);
            for held in subject.held.iter().filter(to) {
                holders.push((index, subject, held));
            }
        }
        for (_, subject, held) in holders.iter().filter(|(_, subject, _)| !may(subject)) {
            check.broken(
                format!("{} has interrupt {number}", subject.name),
                vec![held.chain.clone()],
            );
        }
        if holders.len() > 1 {
            let names: Vec<&str> = holders.iter().map(|(_, s, _)| s.name.as_str()).collect();
            let chains = holders
                .iter()
                .map(|(.., held)| held.chain.clone())
                .collect();
            check.broken(format!("{} share interrupt {number}", list(&names)), chains);
        }
        // Whom the interrupt wakes.
        for (_, cap) in &object.slots {
            let told = cap
                .object
                .and_then(|n| crate::talk::owner(&authority.spec, &authority.subjects, n));
            let Some(told) = told else { continue };
            if holders.iter().all(|(holder, ..)| *holder != told) {
                let told = authority.who(told).to_owned();
                check.broken(
                    format!("interrupt {number} wakes {told}, which does not have it"),
                    vec![vec![object.name.clone(), told]],
                );
            }
        }
        if let [(_, subject, _)] = holders.as_slice()
            && may(subject)
        {
            check
                .allowed
                .push(format!("{}: interrupt {number}", subject.name));
        }
    }
    for role in OWNERS {
        let has = |s: &Subject| s.held.iter().any(|held| held.cap.kind == Kind::Irq);
        if let Some(subject) = only(authority, role).filter(|s| !has(s)) {
            check.broken(format!("{} has no interrupt", subject.name), Vec::new());
        }
    }
    check.needs_some()
}

/// Nobody has SMC, or any kind of capability that the system has no use for.
pub(super) fn special(authority: &Authority) -> Check {
    let mut check = Check::new(
        "special",
        "capabilities",
        "Nobody has a capability for secure monitor calls (SMC), ASID pools, scheduling domains, I/O spaces or anything else that this system does not use.",
    );
    for subject in &authority.subjects {
        for held in &subject.held {
            check.looked_at += 1;
            if matches!(held.cap.kind, Kind::Smc | Kind::Other(_)) {
                check.broken(
                    format!(
                        "{} has a capability of kind {}",
                        subject.name,
                        held.cap.kind.name()
                    ),
                    vec![held.chain.clone()],
                );
            }
        }
    }
    check.needs_some()
}

/// A guest holds no capability, and no pointer of its resolves.
pub(super) fn guests(authority: &Authority) -> Check {
    let mut check = Check::new(
        "guests",
        "CSpaces of vCPUs",
        "A guest holds no capability: the CSpace of each vCPU is empty and behind a guard.",
    );
    let guests = authority.subjects.iter().filter(|s| s.role == Role::Guest);
    for guest in guests {
        check.looked_at += guest.cspaces.len();
        for held in &guest.held {
            check.broken(
                format!("guest {} holds a capability", guest.name),
                vec![held.chain.clone()],
            );
        }
        if guest.cspaces.iter().any(|cap| cap.guard == 0) {
            check.broken(
                format!(
                    "the CSpace of guest {} has no guard: a system call by accident would resolve",
                    guest.name
                ),
                Vec::new(),
            );
        }
    }
    check.needs_some()
}
