//! Rules about memory.

use std::collections::{BTreeMap, BTreeSet};

use untyped_plan::Span;

use super::by_name::{Named, named};
use super::{Check, list};
use crate::memory::What;
use crate::spec::{Id, Kind};
use crate::vspace::Mapping;
use crate::{Authority, How, Memory, Reach, Role};

/// Only the memory server reaches untyped memory.
pub(super) fn untyped(authority: &Authority) -> Check {
    let mut check = Check::new(
        "untyped",
        "capabilities to untyped memory",
        "Only the memory server reaches untyped memory.",
    );
    for subject in &authority.subjects {
        for held in &subject.held {
            if held.cap.kind != Kind::Untyped {
                continue;
            }
            check.looked_at += 1;
            if subject.role != Role::MemoryServer {
                let name = held.cap.object.map_or("?", |id| authority.spec.name(id));
                check.broken(
                    format!("{} reaches untyped memory: {name}", subject.name),
                    vec![held.chain.clone()],
                );
            }
        }
    }
    check.needs_some()
}

/// No two objects with a physical address share a byte.
pub(super) fn disjoint(authority: &Authority) -> Check {
    let mut check = Check::new(
        "disjoint",
        "frames and untypeds with a fixed address",
        "No two pieces of memory with a fixed physical address overlap.",
    );
    let mut placed: Vec<(Span, &str)> = authority
        .spec
        .objects()
        .filter_map(|(_, object)| Some((object.span()?, object.name.as_str())))
        .collect();
    placed.sort();
    check.looked_at = placed.len();
    // The one that reaches furthest of those before.
    let mut before: Option<(Span, &str)> = None;
    for (span, name) in placed {
        if let Some((other, other_name)) = before
            && other.intersection(span).is_some()
        {
            check.broken(
                format!("{other_name} at {other} and {name} at {span} overlap"),
                Vec::new(),
            );
        }
        if before.is_none_or(|(other, _)| other.end() < span.end()) {
            before = Some((span, name));
        }
    }
    check.needs_some()
}

/// No frame is reached by two, unless its region may be shared by name.
pub(super) fn sharing(authority: &Authority) -> Check {
    let mut check = Check::new(
        "sharing",
        "frames",
        "No frame is reached by two PDs or guests, unless it is part of a memory region that is shared by name, or of the program of all VMMs, which those have mapped read-only and nobody holds.",
    );
    for memory in authority.memory.iter().filter(|m| !m.what.is_untyped()) {
        check.looked_at += memory.objects.len();
        let reach = authority.reach(memory);
        if memory.what == What::VmmProgram {
            vmm_program(authority, &mut check, memory, &reach);
            continue;
        }
        if different(&reach) < 2 {
            continue;
        }
        match named(&memory.what) {
            Some(rule) => by_name(authority, &mut check, memory, &reach, &rule),
            None => unnamed(authority, &mut check, memory),
        }
    }
    check.needs_some()
}

/// How many subjects there are in `reach`.
fn different(reach: &[Reach]) -> usize {
    let who: BTreeSet<usize> = reach.iter().map(|reach| reach.subject).collect();
    who.len()
}

/// No frame of `memory` may be reached by two; the first that is stands for the others.
fn unnamed(authority: &Authority, check: &mut Check, memory: &Memory) {
    let frames = memory.objects.iter().map(|&frame| Memory {
        objects: vec![frame],
        ..memory.clone()
    });
    let mut reach = frames.map(|frame| authority.reach(&frame));
    let Some(reach) = reach.find(|reach| different(reach) > 1) else {
        return;
    };
    let mut names: Vec<&str> = reach.iter().map(|r| authority.who(r.subject)).collect();
    names.dedup();
    check.broken(
        format!(
            "{} reach '{}', which is not shared by name",
            list(&names),
            memory.what
        ),
        reach.iter().map(|reach| reach.chain.clone()).collect(),
    );
}

/// Whether the pages that VMMs have together, `memory`, are mapped for VMMs alone, at one address
/// and alike, cannot be written by any of them, and lie in no CSpace.
fn vmm_program(authority: &Authority, check: &mut Check, memory: &Memory, reach: &[Reach]) {
    let before = check.breaches.len();
    for reach in reach {
        let subject = authority.subjects.get(reach.subject);
        let wrong = if subject.is_none_or(|subject| subject.role != Role::Vmm) {
            "reaches it and is no VMM"
        } else if reach.how != How::Mapped {
            "has a capability to it, and may only have it mapped"
        } else if reach.rights.write {
            "can write it"
        } else {
            continue;
        };
        let (who, what) = (authority.who(reach.subject), &memory.what);
        let message = format!("'{what}' is shared, and {who} {wrong}");
        check.broken(message, vec![reach.chain.clone()]);
    }
    let mut mapped: BTreeMap<Id, (usize, &Mapping)> = BTreeMap::new();
    for (index, subject) in authority.subjects.iter().enumerate() {
        for mapping in &subject.mappings {
            if memory.objects.binary_search(&mapping.frame).is_err() {
                continue;
            }
            let (first, as_first) = *mapped.entry(mapping.frame).or_insert((index, mapping));
            let how = |mapping: &Mapping| (mapping.vaddr, mapping.executable, mapping.cached);
            if how(mapping) != how(as_first) {
                let message = format!(
                    "'{}' is shared, and {} has {} otherwise than {}",
                    memory.what,
                    authority.who(index),
                    authority.spec.name(mapping.frame),
                    authority.who(first)
                );
                check.broken(message, Vec::new());
            }
        }
    }
    if check.breaches.len() == before && !reach.is_empty() {
        let who: Vec<&str> = reach.iter().map(|r| authority.who(r.subject)).collect();
        let (what, pages) = (&memory.what, memory.objects.len());
        let who = list(&who);
        check
            .allowed
            .push(format!("{what}: {pages} pages, mapped read-only for {who}"));
    }
}

/// Whether those who reach `memory` are those that may, as they may.
fn by_name(
    authority: &Authority,
    check: &mut Check,
    memory: &Memory,
    reach: &[Reach],
    rule: &Named<'_>,
) {
    let before = check.breaches.len();
    for reach in reach {
        if let Some(wrong) = rule.wrong(authority, reach.subject, reach.rights) {
            let who = authority.who(reach.subject);
            check.broken(
                format!("{who} {} '{}': {}", wrong.verb(), memory.what, rule.why),
                vec![reach.chain.clone()],
            );
        }
    }
    if check.breaches.len() == before {
        let who = reach
            .iter()
            .map(|reach| format!("{} {}", authority.who(reach.subject), reach.rights));
        let who: Vec<String> = who.collect();
        check.allowed.push(format!(
            "{}: {} ({})",
            memory.what,
            who.join(", "),
            rule.why
        ));
    }
}

/// The console alone reaches the UART; every device has its owner.
pub(super) fn devices(authority: &Authority) -> Check {
    let mut check = Check::new(
        "devices",
        "ways to device memory",
        "The console alone reaches the UART, the timer server alone a timer's registers, the block driver alone a disk's, the net driver alone a network device's, guests the GIC's virtual CPU interface; nobody reaches another device.",
    );
    for memory in &authority.memory {
        let rule = named(&memory.what).filter(|rule| rule.device);
        let mut reach = authority.reach(memory);
        if rule.is_none() {
            // What is mapped as a device is one, whatever its name.
            reach.retain(|reach| {
                let subject = authority.subjects.get(reach.subject);
                let mut runs = subject.into_iter().flat_map(|subject| &subject.runs);
                runs.any(|run| run.what == memory.what && !run.cached)
            });
        }
        check.looked_at += reach.len();
        match rule {
            Some(rule) if !reach.is_empty() => {
                by_name(authority, &mut check, memory, &reach, &rule)
            }
            Some(_) => {}
            None => {
                for reach in reach {
                    let who = authority.who(reach.subject);
                    check.broken(
                        format!("{who} reaches the device '{}'", memory.what),
                        vec![reach.chain],
                    );
                }
            }
        }
    }
    let mut memory = authority.memory.iter();
    let uart = memory.find(|memory| memory.what.region() == Some("uart"));
    if uart.is_none_or(|uart| authority.reach(uart).is_empty()) {
        check.broken("nobody has the UART".to_owned(), Vec::new());
    }
    check
}

/// No frame can be both written and executed, at the same address or at two, by one protection
/// domain or by two.
pub(super) fn write_or_execute(authority: &Authority) -> Check {
    let mut check = Check::new(
        "write-or-execute",
        "mapped pages of PDs",
        "No PD can write a frame that it or another can execute, wherever it is mapped. (What a guest's own page tables say is the guest's affair.)",
    );
    // Who can write a frame, and who can execute it.
    let mut ways: BTreeMap<Id, [Option<(usize, &Mapping)>; 2]> = BTreeMap::new();
    for (index, subject) in authority.subjects.iter().enumerate() {
        if subject.role == Role::Guest {
            continue;
        }
        check.looked_at += subject.mappings.len();
        for mapping in &subject.mappings {
            let [write, execute] = ways.entry(mapping.frame).or_default();
            if mapping.rights.write {
                write.get_or_insert((index, mapping));
            }
            if mapping.executable {
                execute.get_or_insert((index, mapping));
            }
        }
    }
    let both = ways
        .into_values()
        .filter_map(|[write, execute]| write.zip(execute));
    // One frame of a program stands for the others.
    let mut told = BTreeSet::new();
    for ((writer, write), (executor, execute)) in both {
        let Some(what) = authority.spec.get(write.frame).and_then(What::of) else {
            continue;
        };
        if !told.insert((writer, executor, what.clone())) {
            continue;
        }
        let name = |index| authority.who(index);
        let message = match writer == executor {
            true => format!("{} can write and execute '{what}'", name(writer)),
            false => format!(
                "{} can write '{what}', which {} executes",
                name(writer),
                name(executor)
            ),
        };
        let chain = |index, mapping: &Mapping| {
            let executable = if mapping.executable { "x" } else { "" };
            vec![
                name(index).to_owned(),
                format!("its VSpace at {:#x}", mapping.vaddr),
                format!("{what} ({}{executable})", mapping.rights),
            ]
        };
        let mut chains = vec![chain(writer, write)];
        if write != execute {
            chains.push(chain(executor, execute));
        }
        check.broken(message, chains);
    }
    check.needs_some()
}
