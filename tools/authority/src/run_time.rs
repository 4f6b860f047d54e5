//! What can change once the system runs, as far as capabilities allow it.
//!
//! New frames and page tables come from untyped memory, and get to a VMM only through a grant
//! CNode. So who holds untypeds, who can operate on which grant CNode, who can use what lies in it,
//! and into which address spaces that can be mapped, bounds everything that can happen.

use topology::caps::NODE_BITS;

use crate::Authority;
use crate::spec::{Id, Kind};

/// What the names of grant CNodes start with; the domain's name follows.
pub(crate) const GRANT_PREFIX: &str = "cnode_zazen_grant_";
/// What the names of nodes start with; the number in three digits and the rest of the name of the
/// CNode that they are part of follow.
const NODE_PREFIX: &str = "cnode_zazen_node_";

/// A grant CNode.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Grant {
    /// The domain's name.
    pub domain: String,
    /// The CNode.
    pub cnode: Id,
    /// log2 of the slots of it and its nodes together.
    pub radix: u8,
    /// Who can put capabilities into it and take them away: positions of subjects.
    pub filled_by: Vec<usize>,
    /// Who can use what lies in it.
    pub used_by: Vec<usize>,
    /// Whose address spaces those users can map into.
    pub mapped_into: Vec<usize>,
}

/// What run time can change.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RunTime {
    /// Who holds untyped memory, and so can make frames and page tables.
    pub makers: Vec<usize>,
    /// Bytes of untyped memory.
    pub untyped_bytes: u64,
    /// The ways for what they make.
    pub grants: Vec<Grant>,
}

/// The number of a node and the name of the CNode that it is part of, if `name` is a node's.
pub(crate) fn node(name: &str) -> Option<(u32, String)> {
    let (number, of) = name.strip_prefix(NODE_PREFIX)?.split_once('_')?;
    Some((number.parse().ok()?, format!("cnode_zazen_{of}")))
}

/// The domain of whose grant CNode `name` is: the CNode, or one of its nodes.
pub(crate) fn grant_domain(name: &str) -> Option<String> {
    let of = node(name).map_or(name.to_owned(), |(_, of)| of);
    Some(of.strip_prefix(GRANT_PREFIX)?.to_owned())
}

/// Grant CNodes of `authority` by domain, without their nodes.
pub(crate) fn grant_cnodes(authority: &Authority) -> impl Iterator<Item = (Id, &str, u8)> {
    authority.spec.objects().filter_map(|(id, object)| {
        let domain = object.name.strip_prefix(GRANT_PREFIX)?;
        (object.kind == Kind::CNode).then_some((id, domain, object.size_bits + NODE_BITS))
    })
}

pub(crate) fn run_time(authority: &Authority) -> RunTime {
    let subjects = || authority.subjects.iter().enumerate();
    let having = |test: &dyn Fn(usize) -> bool| -> Vec<usize> {
        subjects().map(|(i, _)| i).filter(|&i| test(i)).collect()
    };
    let held = |who: usize| {
        authority
            .subjects
            .get(who)
            .into_iter()
            .flat_map(|s| &s.held)
    };
    let grants = grant_cnodes(authority).map(|(cnode, domain, radix)| {
        let to = |who, invocable| {
            held(who).any(|h| h.cap.object == Some(cnode) && h.invocable == invocable)
        };
        let used_by = having(&|who| to(who, false));
        let mapped_into = having(&|target| {
            let Some(target) = authority.subjects.get(target) else {
                return false;
            };
            let vspace = |id: Option<Id>| id.is_some_and(|id| target.vspaces.contains(&id));
            let mut users = used_by.iter();
            users.any(|&user| held(user).any(|h| h.invocable && vspace(h.cap.object)))
        });
        Grant {
            domain: domain.to_owned(),
            cnode,
            radix,
            filled_by: having(&|who| to(who, true)),
            used_by,
            mapped_into,
        }
    });
    let mut grants: Vec<Grant> = grants.collect();
    // The image builder gives the domains' CNodes in device-tree order.
    let makers = having(&|who| held(who).any(|h| h.cap.kind == Kind::Untyped));
    let slot = |grant: &Grant| {
        let mut held = makers.iter().flat_map(|&who| held(who));
        held.find_map(|h| (h.cap.object == Some(grant.cnode)).then_some(h.slot))
    };
    grants.sort_by_key(slot);
    let untyped = authority.memory.iter().filter(|m| m.what.is_untyped());
    RunTime {
        grants,
        makers,
        untyped_bytes: untyped.map(|memory| memory.bytes).sum(),
    }
}

impl RunTime {
    /// Who can come to touch RAM of `domain` while the system runs: those that make frames, and
    /// those that its grant CNode lets map them.
    pub fn touching(&self, domain: &str) -> Vec<usize> {
        let grants = self.grants.iter().filter(|grant| grant.domain == domain);
        let mut all: Vec<usize> = grants
            .flat_map(|g| g.used_by.iter().chain(&g.mapped_into).chain(&g.filled_by))
            .chain(&self.makers)
            .copied()
            .collect();
        all.sort_unstable();
        all.dedup();
        all
    }
}
