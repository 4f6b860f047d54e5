//! The rule about pairs of domains.

use topology::meets::{PAGE_PREFIX, PageName};

use super::Check;
use crate::expect::System;
use crate::{Authority, Way};

/// What is between two domains is there because the domains file names the pair, and belongs to
/// those two.
pub(super) fn pairs(authority: &Authority, system: &System) -> Check {
    let mut check = Check::new(
        "pairs",
        "domains and pairs of them",
        "Between two domains that do not meet there is neither a page nor a notification; between two that do there is one page, of their VMMs alone, and a notification each way.",
    );
    let domains = || system.domains.iter().enumerate();
    let mut known = Vec::new();
    for (a, one) in domains() {
        // One alone has nobody to meet.
        check.looked_at += 1;
        for (b, other) in domains().filter(|(b, _)| a < *b) {
            check.looked_at += 1;
            let page = PageName(&one.name, &other.name).to_string();
            let vmms =
                [one, other].map(|domain| format!("{}{}", topology::pd::VMM_PREFIX, domain.name));
            let bells = bells(authority, &vmms);
            let both = format!("{} and {}", one.name, other.name);
            if system.meets.contains(a, b) {
                page_is_theirs(authority, &mut check, &page, &vmms);
                if bells != [1, 1] {
                    check.broken(
                        format!("{both} meet, and there are {} and {} notifications from one to the other", bells[0], bells[1]),
                        Vec::new(),
                    );
                }
                check
                    .allowed
                    .push(format!("{both}: {page}, and a notification each way"));
                known.push(page);
            } else if bells != [0, 0] {
                check.broken(
                    format!("{both} do not meet, and one VMM can notify the other"),
                    Vec::new(),
                );
            }
        }
    }
    for memory in &authority.memory {
        let Some(region) = memory.what.region() else {
            continue;
        };
        if region.starts_with(PAGE_PREFIX) && !known.iter().any(|page| page == region) {
            let chains = authority.reach(memory).into_iter().map(|reach| reach.chain);
            check.broken(
                format!("there is '{region}' for two that do not meet"),
                chains.collect(),
            );
        }
    }
    check.needs_some()
}

/// How many ways there are from the first to the second by which it can be notified, and back.
fn bells(authority: &Authority, vmms: &[String; 2]) -> [usize; 2] {
    let ways = |from: &String, to: &String| {
        let edges = authority
            .edges
            .iter()
            .filter(|edge| edge.way == Way::Notify);
        edges
            .filter(|edge| authority.who(edge.from) == from && authority.who(edge.to) == to)
            .count()
    };
    let [one, other] = vmms;
    [ways(one, other), ways(other, one)]
}

/// Nobody but the two VMMs reaches the page, and both do.
fn page_is_theirs(authority: &Authority, check: &mut Check, page: &str, vmms: &[String; 2]) {
    let memory = authority.memory.iter();
    let mut reach = Vec::new();
    for memory in memory.filter(|memory| memory.what.region() == Some(page)) {
        reach.extend(authority.reach(memory));
    }
    for vmm in vmms {
        if !reach
            .iter()
            .any(|reach| authority.who(reach.subject) == vmm)
        {
            check.broken(format!("{vmm} does not reach '{page}'"), Vec::new());
        }
    }
    for reach in reach {
        let who = authority.who(reach.subject).to_owned();
        if !vmms.contains(&who) {
            check.broken(format!("{who} reaches '{page}'"), vec![reach.chain]);
        }
    }
}
