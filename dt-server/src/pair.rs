//! Pairs of domains: children of `/chosen` compatible with "zazen,pair", which say who may meet,
//! and for what.
//!
//! Xen's policy on Arm (SILO) is all or nothing; here each pair is named, and without a name there
//! is nothing between two domains.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use dtoolkit::Node;

use crate::chosen::Found;
use crate::diag::{Diagnostics, Rule};
use crate::node::At;
use crate::{binding, known};

/// How a pair is recognised.
pub(crate) const COMPATIBLE: &str = "zazen,pair";
const DOMAINS: &str = "zazen,domains";
const EVENTS: &str = "zazen,events";
const GRANTS: &str = "zazen,grants";
/// Pairs that are looked at: all that there can be, and the same once more for mistakes.
const MAX_PAIRS: usize = topology::MAX_DOMAINS * (topology::MAX_DOMAINS - 1);

/// Two domains that may meet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pair {
    /// Their numbers from 0, ascending.
    pub domains: [usize; 2],
    /// Whether each may bind event channels to ports that the other one has set aside for it.
    pub events: bool,
    /// Whether each of the two may grant pages to the other one, who may map them.
    pub grants: [bool; 2],
}

/// Reads the pairs of `domains`.
pub(crate) fn read(chosen: &At<'_>, domains: &[Found<'_>], d: &mut Diagnostics) -> Vec<Pair> {
    let mut pairs: Vec<Pair> = Vec::new();
    let nodes = chosen.node.children().map(|node| chosen.leaf(node));
    let nodes = nodes.filter(|at| at.is_compatible(&[COMPATIBLE]) && at.is_okay());
    for at in nodes.take(MAX_PAIRS) {
        known::check(&at, binding::PAIR, d);
        let Some(both) = two(&at, domains, d) else {
            continue;
        };
        if pairs.iter().any(|pair| pair.domains == both) {
            let what = "another node is about the same two domains";
            at.error(d, Rule::PairDomains, DOMAINS, what, "join the two nodes");
            continue;
        }
        let events = at.flag(EVENTS, Rule::PairEvents, d);
        let grants = granters(&at, both, domains, d);
        if !events && grants == Some([false; 2]) {
            let what = "the two may do nothing with each other";
            let hint = "add zazen,events or zazen,grants, or remove the node";
            at.warn(d, Rule::PairEvents, None, what, hint);
        }
        pairs.push(Pair {
            domains: both,
            events,
            grants: grants.unwrap_or_default(),
        });
    }
    pairs
}

/// Which of `both` may grant pages to the other one; `None` where that is not understood.
fn granters(
    at: &At<'_>,
    both: [usize; 2],
    domains: &[Found<'_>],
    d: &mut Diagnostics,
) -> Option<[bool; 2]> {
    const FORM: &str = "write zazen,grants = \"NAME\"; with the name of the one whose pages the other \
                        may map, or the names of both";
    let Some(value) = at.bytes(GRANTS) else {
        return Some([false; 2]);
    };
    let names = both.map(|n| {
        domains
            .get(n)
            .map(|domain| domain.at.node.name_without_address())
    });
    let mut grants = [false; 2];
    let text = core::str::from_utf8(value).ok();
    let Some(text) = text.and_then(|text| text.strip_suffix('\0')) else {
        at.error(
            d,
            Rule::PairGrants,
            GRANTS,
            "must be names of domains",
            FORM,
        );
        return None;
    };
    for name in text.split('\0') {
        match names.iter().position(|known| *known == Some(name)) {
            Some(one) if grants.get(one) == Some(&false) => grants[one] = true,
            found => {
                let name = crate::text::shown_name(name);
                let what = match found {
                    Some(_) => format!("\"{name}\" is named twice"),
                    None => format!("\"{name}\" is none of the two domains"),
                };
                at.error(d, Rule::PairGrants, GRANTS, what, FORM);
                return None;
            }
        }
    }
    Some(grants)
}

/// The two domains that a node names.
fn two(at: &At<'_>, domains: &[Found<'_>], d: &mut Diagnostics) -> Option<[usize; 2]> {
    const FORM: &str = "write zazen,domains = \"NAME\", \"NAME\", with the names of two domains";
    let Some(value) = at.bytes(DOMAINS) else {
        at.error(d, Rule::PairDomains, DOMAINS, "missing", FORM);
        return None;
    };
    let text = core::str::from_utf8(value).ok();
    let names: Option<Vec<&str>> = text
        .and_then(|text| text.strip_suffix('\0'))
        .map(|text| text.split('\0').collect());
    let Some([first, second]) = names.as_deref() else {
        let what = "must be the names of two domains";
        at.error(d, Rule::PairDomains, DOMAINS, what, FORM);
        return None;
    };
    let mut number = |name: &str| {
        let mut all = domains.iter();
        let found = all.position(|domain| domain.at.node.name_without_address() == name);
        if found.is_none() {
            let name = crate::text::shown_name(name);
            let all: Vec<&str> = domains
                .iter()
                .map(|domain| domain.at.node.name_without_address())
                .collect();
            let what = format!("no domain is named \"{name}\"");
            let hint = format!("the domains are: {}", all.join(", "));
            at.error(d, Rule::PairDomains, DOMAINS, what, hint);
        }
        found
    };
    match (number(first), number(second)) {
        (Some(a), Some(b)) if a == b => {
            let what = String::from("a domain needs no leave to meet itself");
            at.error(d, Rule::PairDomains, DOMAINS, what, FORM);
            None
        }
        (Some(a), Some(b)) => Some([a.min(b), a.max(b)]),
        _ => None,
    }
}
