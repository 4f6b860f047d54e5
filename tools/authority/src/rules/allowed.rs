//! Rules that compare the specification with what is expected, slot by slot: whatever is not
//! expected is wrong.

use std::collections::{BTreeMap, BTreeSet};

use super::Check;
use crate::Authority;
use crate::expect::roles::MAX_PRIORITY;
use crate::expect::{Want, Wanted, full};
use crate::spec::{Kind, Object};
use crate::subject::slot;

/// Every capability in a CNode is one that is expected there, and every object is part of the
/// system.
pub(super) fn expected(authority: &Authority, wanted: &Wanted) -> Check {
    let mut check = Check::new(
        "expected",
        "capabilities in CNodes and at interrupts",
        "Every capability is one that the system is expected to have: holder, slot, object, badge, rights and guard; and none of those is missing.",
    );
    objects(authority, wanted, &mut check);
    let holders = |kind: &Kind| matches!(kind, Kind::CNode | Kind::Irq | Kind::Other(_));
    slots(authority, wanted, &mut check, holders, |holder, slot| {
        format!("slot {slot} of {holder}")
    });
    check.needs_some()
}

/// Every thread is bound to what it is expected to be bound to, and to nothing else.
pub(super) fn threads(authority: &Authority, wanted: &Wanted) -> Check {
    let mut check = Check::new(
        "threads",
        "capabilities that threads are bound to",
        "Every thread has the CSpace, address space, IPC buffer, fault handler, scheduling context, notification and vCPU that it is expected to have, and no timeout handler.",
    );
    slots(
        authority,
        wanted,
        &mut check,
        |kind| *kind == Kind::Tcb,
        |holder, slot| format!("the {} of {holder}", bound(slot)),
    );
    check.needs_some()
}

/// What slot `slot` of a TCB is for.
fn bound(slot: u32) -> String {
    match slot {
        slot::CSPACE => "CSpace".into(),
        slot::VSPACE => "address space".into(),
        slot::IPC_BUFFER => "IPC buffer".into(),
        slot::FAULT => "fault handler".into(),
        slot::SCHED_CONTEXT => "scheduling context".into(),
        slot::TIMEOUT => "timeout handler".into(),
        slot::NOTIFICATION => "notification".into(),
        slot::VCPU => "vCPU".into(),
        other => format!("slot {other}"),
    }
}

/// Compares the slots of all objects of the kinds that `of` accepts with `wanted`; `place` says
/// where a slot is.
fn slots(
    authority: &Authority,
    wanted: &Wanted,
    check: &mut Check,
    of: impl Fn(&Kind) -> bool,
    place: impl Fn(&str, u32) -> String,
) {
    let spec = &authority.spec;
    let mut seen = BTreeSet::new();
    for (_, holder) in spec.objects().filter(|(_, object)| of(&object.kind)) {
        for (slot, cap) in &holder.slots {
            check.looked_at += 1;
            let key = (holder.name.clone(), *slot);
            let want = wanted.slots.get(&key);
            let at = place(&holder.name, *slot);
            let has = full(spec, cap);
            let wrong = match want {
                _ if !seen.insert(key) => Some("it is filled twice".to_owned()),
                Some(want) if want.is(spec, cap) => None,
                Some(want) => Some(asks(want)),
                None => Some("nothing is expected there".to_owned()),
            };
            if let Some(wrong) = wrong {
                check.broken(
                    format!("{at} is {has}; {wrong}"),
                    vec![vec![holder.name.clone(), format!("slot {slot}"), has]],
                );
            }
        }
    }
    for ((holder, slot), want) in &wanted.slots {
        let kind = wanted.objects.get(holder).map(|(kind, _)| kind);
        if kind.is_some_and(&of) && !seen.contains(&(holder.clone(), *slot)) {
            check.broken(
                format!("{} is empty; {}", place(holder, *slot), asks(want)),
                Vec::new(),
            );
        }
    }
}

fn asks(want: &Want) -> String {
    format!("expected is {} ({})", want.text(), want.why)
}

/// Every object is known by name and kind and there once; the page tables each belong to one
/// address space.
fn objects(authority: &Authority, wanted: &Wanted, check: &mut Check) {
    let spec = &authority.spec;
    let mut names: BTreeMap<&str, &Object> = BTreeMap::new();
    for (id, object) in spec.objects() {
        if names.insert(&object.name, object).is_some() {
            check.broken(
                format!("there are two objects '{}'", object.name),
                Vec::new(),
            );
        }
        for (slot, cap) in &object.slots {
            let kind = cap.object.and_then(|id| spec.get(id)).map(|o| &o.kind);
            if kind.is_some_and(|kind| *kind != cap.kind) {
                check.broken(
                    format!(
                        "slot {slot} of {} is {}, and the object is none of that kind",
                        object.name,
                        full(spec, cap)
                    ),
                    Vec::new(),
                );
            }
        }
        let known = match object.kind {
            // The rule `mappings` sees to those.
            Kind::Frame => true,
            Kind::PageTable => authority.subjects.iter().any(|s| s.tables.contains(&id)),
            _ => match wanted.objects.get(&object.name) {
                Some((kind, thing)) if *kind == object.kind => {
                    if let Some(bits) = thing.bits.filter(|&bits| bits != object.size_bits) {
                        check.broken(
                            format!(
                                "{} {} has size 2^{}; expected is 2^{bits}",
                                object.kind.name(),
                                object.name,
                                object.size_bits
                            ),
                            Vec::new(),
                        );
                    }
                    true
                }
                _ => false,
            },
        };
        if !known {
            check.broken(
                format!(
                    "{} '{}' is no part of the system",
                    object.kind.name(),
                    object.name
                ),
                Vec::new(),
            );
        }
    }
    for (name, (kind, _)) in &wanted.objects {
        if !names.contains_key(name.as_str()) {
            check.broken(format!("there is no {} '{name}'", kind.name()), Vec::new());
        }
    }
}

/// Priorities and time are as expected.
pub(super) fn time(authority: &Authority, wanted: &Wanted) -> Check {
    let mut check = Check::new(
        "time",
        "threads and scheduling contexts",
        "Every thread has the priority and the core that it is expected to have, and can give nobody a higher one; every scheduling context has the budget and period that it is expected to have.",
    );
    let spec = &authority.spec;
    for (_, object) in spec.objects() {
        if !matches!(object.kind, Kind::Tcb | Kind::SchedContext) {
            continue;
        }
        check.looked_at += 1;
        let Some((_, thing)) = wanted.objects.get(&object.name) else {
            continue;
        };
        let name = &object.name;
        if let Some(wanted) = thing.priority {
            for (what, has, wanted) in [
                ("priority", object.priority, wanted),
                (
                    "maximum controlled priority",
                    object.max_priority,
                    MAX_PRIORITY,
                ),
            ] {
                if has != wanted {
                    let text = format!("{name} has {what} {has}; expected is {wanted}");
                    check.broken(text, Vec::new());
                }
            }
        }
        if let Some(wanted) = thing.core.filter(|wanted| *wanted != object.core) {
            let text = format!("{name} is on CPU {}; expected is {wanted}", object.core);
            check.broken(text, Vec::new());
        }
        if object.sched_domain.is_some_and(|domain| domain != 0) {
            check.broken(
                format!("{name} is in a domain of its own of the kernel's scheduler"),
                Vec::new(),
            );
        }
        if thing.time.is_some() && thing.time != object.time {
            let text = |time: Option<crate::spec::Time>| match time {
                Some(time) => format!(
                    "{} us in each {} us, badge {:#x}",
                    time.budget, time.period, time.badge
                ),
                None => "no time".to_owned(),
            };
            check.broken(
                format!(
                    "{name} has {}; expected is {}",
                    text(object.time),
                    text(thing.time)
                ),
                Vec::new(),
            );
        }
    }
    if spec.has_domain_schedule() {
        check.broken("there is a domain schedule".to_owned(), Vec::new());
    }
    check.needs_some()
}
