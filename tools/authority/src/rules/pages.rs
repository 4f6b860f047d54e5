//! Rules that compare address spaces and physical addresses with what is expected.

use std::collections::{BTreeMap, BTreeSet};

use untyped_plan::{Paddr, Span};

use super::Check;
use crate::expect::{Page, Place, System, Wanted};
use crate::memory::{What, join};
use crate::spec::{Id, Kind, Object};
use crate::vspace::Mapping;
use crate::{Authority, Role, Subject};

/// Bytes of a page.
const PAGE: u64 = 0x1000;
/// First byte of every program.
const PROGRAM: u64 = 0x20_0000;

/// Every page is mapped where it is expected, as it is expected, and no other is.
pub(super) fn mappings(authority: &Authority, wanted: &Wanted) -> Check {
    let mut check = Check::new(
        "mappings",
        "mapped pages",
        "Every page in an address space is the frame that is expected at that address, with the rights and attributes that are expected; a program's pages follow each other, read-only, executable and writable ones apart.",
    );
    tables(authority, &mut check);
    let none = BTreeMap::new();
    for subject in &authority.subjects {
        let pages = wanted.pages.get(&subject.name).unwrap_or(&none);
        let mut seen = BTreeSet::new();
        let mut programs = Vec::new();
        for mapping in &subject.mappings {
            check.looked_at += 1;
            let name = authority.spec.name(mapping.frame);
            let page = pages.get(&mapping.vaddr);
            let wrong = match page {
                _ if !seen.insert(mapping.vaddr) => Some("the address is mapped twice".to_owned()),
                _ if mapping.bytes != mapping.room => {
                    Some(format!("the entry is one for {:#x} bytes", mapping.room))
                }
                Some(page) if is(page, name, mapping) => None,
                Some(page) => Some(format!("expected is {}", text(page))),
                None if own_program(wanted, subject, authority, mapping) => {
                    programs.push(mapping);
                    None
                }
                None => Some("nothing is expected there".to_owned()),
            };
            if let Some(wrong) = wrong {
                let (table, slot) = mapping.place;
                check.broken(
                    format!(
                        "{} has {} at {:#x}; {wrong}",
                        subject.name,
                        text(&as_page(name, mapping)),
                        mapping.vaddr
                    ),
                    vec![vec![
                        subject.name.clone(),
                        format!("slot {slot} of {}", authority.spec.name(table)),
                        format!("frame {name}"),
                    ]],
                );
            }
        }
        for (vaddr, page) in pages.iter().filter(|(vaddr, _)| !seen.contains(vaddr)) {
            let (name, expected) = (&subject.name, text(page));
            let message = format!("{name} has nothing at {vaddr:#x}; expected is {expected}");
            check.broken(message, Vec::new());
        }
        if let Some(wrong) = program(authority, wanted, subject, &programs) {
            check.broken(wrong, Vec::new());
        }
    }
    for who in wanted.pages.keys() {
        if !authority.subjects.iter().any(|s| s.name == *who) {
            check.broken(format!("{who} has no address space"), Vec::new());
        }
    }
    check.first(8);
    check.needs_some()
}

fn is(page: &Page, name: &str, mapping: &Mapping) -> bool {
    page.frame == name
        && page.rights == mapping.rights
        && (page.executable, page.cached) == (mapping.executable, mapping.cached)
}

fn as_page(name: &str, mapping: &Mapping) -> Page {
    Page {
        frame: name.to_owned(),
        rights: mapping.rights,
        executable: mapping.executable,
        cached: mapping.cached,
    }
}

fn text(page: &Page) -> String {
    format!(
        "{} ({}{}{})",
        page.frame,
        page.rights,
        if page.executable { "x" } else { "" },
        if page.cached { "" } else { ", uncached" }
    )
}

/// Whether `mapping` is a page of the program of `subject`.
fn own_program(
    wanted: &Wanted,
    subject: &Subject,
    authority: &Authority,
    mapping: &Mapping,
) -> bool {
    let rights = mapping.rights;
    let own = match authority.spec.get(mapping.frame).and_then(What::of) {
        Some(What::Program(pd)) => pd == subject.name,
        Some(What::VmmProgram) => subject.role == Role::Vmm && !rights.write,
        _ => false,
    };
    own && wanted.programs.contains_key(&subject.name)
        && mapping.cached
        && rights.read
        && !(rights.write && mapping.executable)
        && !rights.grant
        && !rights.grant_reply
}

/// What is wrong with the pages of a program: number `i` is the `i`th, and those of one kind follow
/// each other. A VMM that has pages together with others has all those that it has not alone.
fn program(
    authority: &Authority,
    wanted: &Wanted,
    subject: &Subject,
    pages: &[&Mapping],
) -> Option<String> {
    let name = &subject.name;
    let mut frames = wanted.programs.get(name).cloned().unwrap_or_default();
    let is_common = |mapping: &&Mapping| {
        let what = authority.spec.get(mapping.frame).and_then(What::of);
        what == Some(What::VmmProgram)
    };
    if pages.iter().any(is_common) {
        for (number, frame) in &wanted.vmm_program {
            frames.entry(*number).or_insert_with(|| frame.clone());
        }
    }
    if frames.len() != pages.len() {
        return Some(format!(
            "{} of the {} pages of the program of {name} are mapped for it",
            pages.len(),
            frames.len()
        ));
    }
    let mut kinds = BTreeSet::new();
    let mut before: Option<(u64, (bool, bool))> = None;
    for ((at, mapping), (number, frame)) in pages.iter().enumerate().zip(&frames) {
        let kind = (mapping.rights.write, mapping.executable);
        let in_place = at == *number
            && authority.spec.name(mapping.frame) == *frame
            && match before {
                None => mapping.vaddr == PROGRAM && kinds.insert(kind),
                Some((end, same)) if same == kind => mapping.vaddr == end,
                Some((end, _)) => mapping.vaddr >= end && kinds.insert(kind),
            };
        if !in_place {
            return Some(format!(
                "the program of {name} is torn at {:#x}: {}",
                mapping.vaddr,
                text(&as_page(authority.spec.name(mapping.frame), mapping))
            ));
        }
        before = Some((mapping.vaddr.saturating_add(mapping.bytes), kind));
    }
    None
}

/// Every page table is part of one address space, in one place, and filled with what it can hold.
fn tables(authority: &Authority, check: &mut Check) {
    let mut used: BTreeMap<Id, usize> = BTreeMap::new();
    for subject in &authority.subjects {
        for id in &subject.vspaces {
            *used.entry(*id).or_default() += 1;
        }
    }
    let tables = authority.spec.objects();
    for (_, table) in tables.filter(|(_, object)| object.kind == Kind::PageTable) {
        for (slot, cap) in &table.slots {
            match (&cap.kind, cap.object) {
                (Kind::PageTable, Some(below)) => *used.entry(below).or_default() += 1,
                (Kind::Frame, Some(_)) => {}
                _ => check.broken(
                    format!(
                        "slot {slot} of {} is {}, which no page table holds",
                        table.name,
                        crate::expect::full(&authority.spec, cap)
                    ),
                    Vec::new(),
                ),
            }
        }
    }
    for (id, times) in used {
        if times != 1 {
            check.broken(
                format!(
                    "page table {} is in {times} places",
                    authority.spec.name(id)
                ),
                Vec::new(),
            );
        }
    }
}

/// Devices and interrupts are those of the board, RAM is RAM.
pub(super) fn board(authority: &Authority, system: &System, wanted: &Wanted) -> Check {
    let mut check = Check::new(
        "board",
        "frames, untypeds and interrupts",
        "Devices and interrupts are those that the board has, at their addresses and under their numbers; what else has a fixed place lies in the board's RAM, and a domain's static memory where its domains file says.",
    );
    for (_, object) in authority.spec.objects() {
        let wrong = match object.kind {
            Kind::Frame => {
                check.looked_at += 1;
                frame(system, wanted, object)
            }
            Kind::Untyped => {
                check.looked_at += 1;
                untyped(system, object)
            }
            Kind::Irq => {
                check.looked_at += 1;
                let thing = wanted.objects.get(&object.name);
                let irq = thing.and_then(|(_, thing)| thing.irq);
                let number = |irq: Option<u64>| irq.map_or("none".to_owned(), |i| i.to_string());
                if object.irq != irq {
                    Some(format!(
                        "is interrupt {}; expected is {}",
                        number(object.irq),
                        number(irq)
                    ))
                } else {
                    object.edge.then(|| "is edge-triggered".to_owned())
                }
            }
            _ => None,
        };
        if let Some(wrong) = wrong {
            check.broken(format!("{} {wrong}", object.name), Vec::new());
        }
    }
    let mut irqs = BTreeSet::new();
    for &(irq, handler) in authority.spec.irqs() {
        let object = authority.spec.get(handler);
        if object.is_none_or(|object| object.kind != Kind::Irq || object.irq != Some(irq))
            || !irqs.insert(irq)
        {
            check.broken(
                format!(
                    "interrupt {irq} is given to {} beside another",
                    authority.spec.name(handler)
                ),
                Vec::new(),
            );
        }
    }
    for (region, bytes, expected) in &wanted.sizes {
        check.broken(
            format!("region '{region}' has {bytes:#x} bytes; expected is {expected}"),
            Vec::new(),
        );
    }
    static_memory(authority, system, &mut check);
    shared_memory(authority, system, &mut check);
    check.first(8);
    check.needs_some()
}

fn in_ram(system: &System, span: Span) -> bool {
    let mut ram = system.board.ram.iter();
    ram.any(|area| area.start <= span.start().0 && span.end().0 <= area.end())
}

/// What is wrong with the place of a frame.
fn frame(system: &System, wanted: &Wanted, frame: &Object) -> Option<String> {
    let place = match wanted.places.get(&frame.name) {
        Some(place) => place,
        None => return Some("is no part of the system".to_owned()),
    };
    let at =
        |paddr: Option<Paddr>| paddr.map_or("anywhere".to_owned(), |p| format!("at {:#x}", p.0));
    let has = at(frame.paddr);
    if frame
        .paddr
        .is_some_and(|paddr| paddr.0 % frame.bytes().max(1) != 0)
    {
        return Some(format!("lies {has}, which is no multiple of its size"));
    }
    match *place {
        Place::Device(start) if frame.paddr != Some(Paddr(start)) => {
            Some(format!("lies {has}; expected is at {start:#x}"))
        }
        Place::Device(_) => None,
        // Programs, stacks and IPC buffers.
        Place::Anywhere if frame.bytes() != PAGE => Some(format!(
            "has {:#x} bytes; expected is one page",
            frame.bytes()
        )),
        Place::Anywhere => frame
            .paddr
            .map(|_| format!("lies {has}; expected is no fixed place")),
        Place::Ram { first, behind } => {
            let expected = first
                .and_then(|first| first.0.checked_add(behind))
                .map(Paddr);
            if frame.paddr != expected {
                let expected = at(expected);
                return Some(format!("lies {has}; expected is {expected}"));
            }
            let span = frame.span();
            let outside = frame.paddr.is_some() && !span.is_some_and(|span| in_ram(system, span));
            outside.then(|| format!("lies {has}, which is no RAM of the board"))
        }
    }
}

/// What is wrong with the place of an untyped.
fn untyped(system: &System, untyped: &Object) -> Option<String> {
    let Some(span) = untyped.span() else {
        return Some("has no fixed place".to_owned());
    };
    if span.start().0 % untyped.bytes().max(1) != 0 {
        return Some(format!("lies at {span}, which is no multiple of its size"));
    }
    if !in_ram(system, span) {
        return Some(format!("lies at {span}, which is no RAM of the board"));
    }
    let named = |domain: &str| system.domains.iter().find(|d| d.name == domain);
    match What::of(untyped) {
        Some(What::Heap) => None,
        Some(What::Tables(domain)) if named(&domain).is_some() => None,
        Some(What::Shared { domains, .. }) if domains.iter().all(|name| named(name).is_some()) => {
            None
        }
        Some(What::Static(domain)) => match named(&domain)?.static_mem.as_deref() {
            None => None,
            Some(all) if all.iter().any(|has| has.contains(span)) => None,
            // What a domain has beside its static memory to split blocks of it.
            Some(all) if !all.is_empty() && untyped.size_bits == SPARE_BITS => None,
            Some(_) => Some(format!(
                "lies at {span}, which is no static memory of {domain}"
            )),
        },
        _ => Some("is for nobody".to_owned()),
    }
}

/// log2 of the bytes that a domain gets to split its static memory, where that is the kernel's.
const SPARE_BITS: u8 = 21;

/// Whether each region of shared memory is there, once and where it is to be, of those who are
/// named and of no others. The memory server gives capabilities of it to those alone, by its
/// manifest, which the image builder writes with these names.
fn shared_memory(authority: &Authority, system: &System, check: &mut Check) {
    let Some(all) = &system.shared else {
        return;
    };
    let mut regions = Vec::new();
    for memory in &authority.memory {
        let What::Shared { id, domains } = &memory.what else {
            continue;
        };
        let wanted = all.iter().find(|region| region.id == *id);
        let sound = wanted.is_some_and(|wanted| {
            wanted.domains == *domains
                && wanted.bytes == memory.bytes
                && wanted.span.is_none_or(|span| memory.spans == [span])
        });
        if !sound || regions.contains(&id) {
            check.broken(
                format!(
                    "there is {} with {:#x} bytes, which the domains file does not say",
                    memory.what, memory.bytes
                ),
                Vec::new(),
            );
        }
        regions.push(id);
    }
    for region in all.iter().filter(|region| !regions.contains(&&region.id)) {
        check.broken(
            format!("there is no shared memory '{}'", region.id),
            Vec::new(),
        );
    }
}

/// Whether each domain has its static memory, all of it.
fn static_memory(authority: &Authority, system: &System, check: &mut Check) {
    for domain in &system.domains {
        let Some(all) = &domain.static_mem else {
            continue;
        };
        let what = What::Static(domain.name.clone());
        let spans: Vec<Span> = authority
            .spec
            .objects()
            .filter(|(_, object)| What::of(object).as_ref() == Some(&what))
            .filter_map(|(_, object)| object.span())
            .collect();
        let (inside, beside): (Vec<Span>, Vec<Span>) = spans
            .into_iter()
            .partition(|span| all.iter().any(|has| has.contains(*span)));
        let bytes = |spans: &[Span]| spans.iter().map(|span| span.size()).sum::<u64>();
        let (has, wanted, spare) = (bytes(&inside), bytes(all), beside.len());
        if join(inside) != join(all.clone()) || spare > 1 {
            check.broken(
                format!(
                    "{} has {has:#x} bytes of static memory and {spare} pieces beside; expected is {wanted:#x}, each once, and at most one",
                    domain.name
                ),
                Vec::new(),
            );
        }
    }
}
