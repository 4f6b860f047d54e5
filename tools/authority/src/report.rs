//! Showing an [`Authority`]: as text, JSON, DOT, or a picture.

mod dot;
mod json;
mod svg;
mod table;
mod time;

pub use dot::dot;
pub use json::json;
pub use svg::svg;
pub use table::{breaches, table};

use std::collections::BTreeSet;

use crate::{Authority, Memory, Role, RunTime, What};

/// Who reaches `memory`, with rights; for untyped memory who holds it, and who can be granted of
/// it.
struct Who {
    /// Names with rights.
    now: Vec<String>,
    /// Names, for what run time can add.
    later: Vec<String>,
}

fn who(authority: &Authority, run_time: &RunTime, memory: &Memory) -> Who {
    let reach = authority.reach(memory);
    let now = reach.iter().map(|reach| {
        let name = authority.who(reach.subject);
        let executable = if reach.executable { "x" } else { "" };
        match memory.what.is_untyped() {
            true => name.to_owned(),
            false => format!("{name} {}{executable}", reach.rights),
        }
    });
    let mut later = BTreeSet::new();
    for grant in &run_time.grants {
        let goes_there = match &memory.what {
            What::Static(domain) => *domain == grant.domain,
            What::Shared { domains, .. } => domains.contains(&grant.domain),
            What::Heap | What::Untyped(_) => true,
            // Page tables are no memory that anybody reads or writes.
            _ => false,
        };
        if goes_there {
            later.extend(grant.used_by.iter().chain(&grant.mapped_into));
        }
    }
    Who {
        now: now.collect(),
        later: later
            .into_iter()
            .map(|&index| authority.who(index).to_owned())
            .collect(),
    }
}

/// Guests and who can touch their RAM, now or at run time, in the order of the grant CNodes.
fn ram(authority: &Authority, run_time: &RunTime) -> Vec<(String, Vec<usize>)> {
    run_time
        .grants
        .iter()
        .map(|grant| (grant.domain.clone(), run_time.touching(&grant.domain)))
        .filter(|(domain, _)| {
            let guest = |s: &crate::Subject| s.role == Role::Guest && s.name == *domain;
            authority.subjects.iter().any(guest)
        })
        .collect()
}

/// What can change while the system runs, in sentences.
fn run_time_text(authority: &Authority, run_time: &RunTime) -> Vec<String> {
    let names = |who: &[usize]| -> String {
        let names: Vec<&str> = who.iter().map(|&index| authority.who(index)).collect();
        crate::rules::list(&names)
    };
    let mut lines = vec![format!(
        "New frames and page tables come from the {} of untyped memory that {} holds.",
        untyped_plan::human(run_time.untyped_bytes),
        names(&run_time.makers)
    )];
    for grant in &run_time.grants {
        lines.push(format!(
            "{} can put them into the grant CNode of {} (2^{} slots), from which {} can map them into the address spaces of {}.",
            names(&grant.filled_by),
            grant.domain,
            grant.radix,
            names(&grant.used_by),
            names(&grant.mapped_into)
        ));
    }
    lines.push(
        "That static RAM of one domain goes to no other is the memory server's own rule; the kernel sees to the rest."
            .to_owned(),
    );
    lines.push(
        "The console's command `m` (Ctrl-] m) prints what is granted at the moment.".to_owned(),
    );
    lines
}
