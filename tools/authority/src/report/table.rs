//! The report as text, 100 columns wide where names allow it.

use std::fmt::{self, Display, Write};

use untyped_plan::human;

use super::{ram, run_time_text, time, who};
use crate::spec::Kind;
use crate::{Authority, Check, Memory, Role, Subject, Way, What};

/// Columns that a line should have at most.
const WIDTH: usize = 100;

/// The report as text: who reaches what, who calls whom, everybody's capabilities and mappings,
/// and what became of the rules.
pub fn table(authority: &Authority, checks: &[Check]) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = write(&mut text, authority, checks);
    text
}

fn write(out: &mut String, authority: &Authority, checks: &[Check]) -> fmt::Result {
    let guests = authority.subjects.iter().filter(|s| s.role == Role::Guest);
    let guests = guests.count();
    writeln!(
        out,
        "{} kernel objects, {} protection domains (PDs), {guests} virtual machines",
        authority.spec.objects().count(),
        authority.subjects.len() - guests,
    )?;
    memory(out, authority)?;
    calls(out, authority)?;
    heading(out, "Who can use how much of the processor")?;
    for (name, much) in time::text(authority) {
        writeln!(out, "  {name:24} {much}")?;
    }
    heading(out, "What can change while the system runs")?;
    for line in run_time_text(authority, &authority.run_time()) {
        wrapped(out, "  ", "    ", &line)?;
    }
    for subject in &authority.subjects {
        write_subject(out, authority, subject)?;
    }
    write_checks(out, checks)
}

fn heading(out: &mut String, text: impl Display) -> fmt::Result {
    writeln!(out, "\n{text}\n")
}

/// `text` in lines of at most [`WIDTH`] columns.
fn wrapped(out: &mut String, first: &str, next: &str, text: &str) -> fmt::Result {
    let mut line = first.to_owned();
    let mut empty = true;
    for word in text.split(' ') {
        if !empty && line.chars().count() + 1 + word.chars().count() > WIDTH {
            writeln!(out, "{line}")?;
            next.clone_into(&mut line);
            empty = true;
        }
        if !empty {
            line.push(' ');
        }
        line.push_str(word);
        empty = false;
    }
    writeln!(out, "{line}")
}

fn memory(out: &mut String, authority: &Authority) -> fmt::Result {
    let run_time = authority.run_time();
    heading(out, "Who can touch a guest's RAM")?;
    for (domain, who) in ram(authority, &run_time) {
        let names: Vec<&str> = who.iter().map(|&index| authority.who(index)).collect();
        writeln!(out, "  {domain:24} {}", names.join(", "))?;
    }
    let line = |out: &mut String, memory: &Memory| {
        let at = match memory.spans.as_slice() {
            [] => "anywhere".to_owned(),
            [one] => one.to_string(),
            [first, more @ ..] => format!("{first} +{}", more.len()),
        };
        let who = who(authority, &run_time, memory);
        let mut text = who.now.join(", ");
        if !who.later.is_empty() {
            text.push_str(&format!("; by grant {}", who.later.join(", ")));
        }
        let head = format!("  {:24} {:>9}  {at:24} ", memory.what, human(memory.bytes));
        wrapped(out, &head, &" ".repeat(head.len()), &text)
    };
    let all = || authority.memory.iter();
    heading(
        out,
        "Untyped memory: size, place, who holds it, who can be granted pages of it",
    )?;
    for memory in all().filter(|memory| memory.what.is_untyped()) {
        line(out, memory)?;
    }
    let region =
        |memory: &&Memory| memory.what.region().is_some() || memory.what == What::VmmProgram;
    let shared = |memory: &&Memory| authority.reach(memory).len() > 1;
    heading(
        out,
        "Memory regions with more than one user: size, place, who, rights",
    )?;
    for memory in all().filter(region).filter(shared) {
        line(out, memory)?;
    }
    heading(
        out,
        "Memory regions with one user (programs, stacks and IPC buffers: see each PD)",
    )?;
    for memory in all().filter(region).filter(|memory| !shared(memory)) {
        line(out, memory)?;
    }
    Ok(())
}

fn calls(out: &mut String, authority: &Authority) -> fmt::Result {
    heading(
        out,
        "Who may call, notify or report faults to whom (with priorities)",
    )?;
    for (index, subject) in authority.subjects.iter().enumerate() {
        let mut text = Vec::new();
        for way in [Way::Call, Way::Notify, Way::Fault] {
            let mut to: Vec<&str> = authority
                .edges
                .iter()
                .filter(|edge| edge.from == index && edge.way == way)
                .map(|edge| authority.who(edge.to))
                .collect();
            to.dedup();
            to.sort_unstable();
            to.dedup();
            if !to.is_empty() {
                text.push(format!("{way} {}", to.join(", ")));
            }
        }
        let text = match text.is_empty() {
            true => "talks to nobody".to_owned(),
            false => text.join("; "),
        };
        let head = format!("  {:24} {:3}  ", subject.name, subject.priority);
        wrapped(out, &head, &" ".repeat(head.len()), &text)?;
    }
    Ok(())
}

fn write_subject(out: &mut String, authority: &Authority, subject: &Subject) -> fmt::Result {
    heading(
        out,
        format_args!(
            "{} ({}, priority {})",
            subject.name, subject.role, subject.priority
        ),
    )?;
    if subject.held.is_empty() {
        writeln!(out, "  no capability")?;
    } else {
        writeln!(
            out,
            "  pointer             capability      rights  object and badge"
        )?;
    }
    for held in &subject.held {
        let pointer = match held.cptr {
            None => "-".to_owned(),
            // Slots of the CNode that Microkit makes are known by their numbers.
            Some(cptr) if cptr < 512 => cptr.to_string(),
            Some(cptr) => format!("{cptr:#018x}"),
        };
        let rights = match (held.cap.rights, &held.cap.kind) {
            (Some(rights), _) => rights.to_string(),
            (None, Kind::CNode) if held.invocable => "operate".to_owned(),
            (None, Kind::CNode) => "look up".to_owned(),
            (None, _) => "all".to_owned(),
        };
        let mut name = held
            .cap
            .object
            .map_or("", |id| authority.spec.name(id))
            .to_owned();
        if let Some(what) = held
            .cap
            .object
            .and_then(|id| What::of(authority.spec.get(id)?))
        {
            name.push_str(&format!(", {what}"));
        }
        if held.cap.guard_bits > 0 {
            name.push_str(&format!(
                ", guard {:#x} of {} bits",
                held.cap.guard, held.cap.guard_bits
            ));
        }
        if held.cap.badge != 0 {
            name.push_str(&format!(", badge {:#x}", held.cap.badge));
        }
        let kind = held.cap.kind.name();
        writeln!(out, "  {pointer:18}  {kind:14}  {rights:7} {name}")?;
    }
    if subject.runs.is_empty() {
        return writeln!(out, "\n  nothing mapped");
    }
    let space = match subject.role {
        Role::Guest => "guest-physical address",
        _ => "virtual address",
    };
    writeln!(out, "\n  {space:26}       size  rights            memory")?;
    for run in &subject.runs {
        let end = run.vaddr.saturating_add(run.bytes);
        let range = format!("{:#x}..{end:#x}", run.vaddr);
        let execute = if run.executable { "x" } else { "" };
        let rights = format!("{}{execute}", run.rights);
        let cached = if run.cached { "cached" } else { "device" };
        writeln!(
            out,
            "  {range:26} {:>10}  {rights:6}  {cached:8}  {}",
            human(run.bytes),
            run.what
        )?;
    }
    Ok(())
}

fn write_checks(out: &mut String, checks: &[Check]) -> fmt::Result {
    heading(out, "Rules: what was looked at, and what was found")?;
    for check in checks {
        let state = if check.holds() { "holds" } else { "BROKEN" };
        let head = format!("  {:18} {state:7} ", check.name);
        let looked = format!("{} {}", check.looked_at, check.things);
        wrapped(out, &head, &" ".repeat(head.len()), &looked)?;
        wrapped(out, "      ", "      ", check.rule)?;
        for allowed in &check.allowed {
            wrapped(out, "        by name: ", "            ", allowed)?;
        }
    }
    let broken = checks.iter().filter(|check| !check.holds()).count();
    match broken {
        0 => writeln!(out, "\nAll {} rules hold.", checks.len()),
        _ => {
            writeln!(out, "\n{broken} of {} rules are broken:", checks.len())?;
            out.push_str(&breaches(checks));
            Ok(())
        }
    }
}

/// Every broken rule with the capabilities that break it, one after another; nothing if all hold.
pub fn breaches(checks: &[Check]) -> String {
    let mut out = String::new();
    for check in checks {
        for breach in &check.breaches {
            out.push_str(&format!("\nerror[{}]: {}\n", check.name, breach.message));
            for chain in &breach.chains {
                out.push_str(&format!("  {}\n", chain.join("\n    -> ")));
            }
            out.push_str(&format!("  rule: {}\n", check.rule));
        }
    }
    out
}
