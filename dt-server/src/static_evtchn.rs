//! Static event channels (dom0less binding, "xen,evtchn-v1"): each node names a local port and the
//! phandle of the node at the other end, which must name this one.
//!
//! Zazen has none yet and says so; before that it says what is wrong with them, all at once.

use alloc::format;
use alloc::vec::Vec;

use dtoolkit::Node;

use crate::diag::{Diagnostics, Hint, Place, Rule, Severity};
use crate::node::At;

/// The highest port of a guest (Xen: `max_evtchn_port` of a domain that is not the hardware
/// domain).
const PORT_MAX: u32 = 1023;
/// Nodes that are looked at; what lies beyond is refused all the same.
const MAX_LINKS: usize = 256;
const NAMES: [&str; 2] = ["xen,evtchn-v1", "xen,evtchn"];
const PROPERTY: &str = "xen,evtchn";

struct Link<'a> {
    at: At<'a>,
    /// Position of the domain among the domains.
    domain: usize,
    phandle: Option<u32>,
    /// (local port, phandle of the other end).
    ends: Option<(u32, u32)>,
}

/// Checks the event channels of `domains`.
pub(crate) fn check(domains: &[At<'_>], d: &mut Diagnostics) {
    let links: Vec<Link<'_>> = domains
        .iter()
        .enumerate()
        .flat_map(|(domain, at)| {
            let children = at.node.children().map(|node| at.leaf(node));
            children.map(move |at| (domain, at))
        })
        .filter(|(_, at)| at.is_compatible(&NAMES))
        .take(MAX_LINKS)
        .map(|(domain, at)| Link {
            domain,
            phandle: phandle(&at),
            ends: None,
            at,
        })
        .collect();
    let links: Vec<Link<'_>> = links
        .into_iter()
        .map(|link| Link {
            ends: ends(&link.at, d),
            ..link
        })
        .collect();
    for (i, link) in links.iter().enumerate() {
        let Some((port, peer)) = link.ends else {
            continue;
        };
        let before = d.error_count();
        let earlier = links.get(..i).unwrap_or_default();
        ports(link, port, earlier, d);
        mutual(link, peer, &links, d);
        if d.error_count() == before {
            link.at.node_error(
                d,
                Rule::StaticEvtchn,
                "static event channels are not supported yet",
                Hint::RemoveNode,
            );
        }
    }
}

fn phandle(at: &At<'_>) -> Option<u32> {
    let bytes = at.bytes("phandle")?.try_into().ok()?;
    Some(u32::from_be_bytes(bytes))
}

/// `xen,evtchn`, if it is a port and a phandle.
fn ends(at: &At<'_>, d: &mut Diagnostics) -> Option<(u32, u32)> {
    const FORM: &str =
        "write xen,evtchn = <PORT &LABEL>, with the label of the node at the other end";
    let Some(value) = at.bytes(PROPERTY) else {
        at.error(d, Rule::EvtchnLink, PROPERTY, "missing", FORM);
        return None;
    };
    let (cells, rest) = value.as_chunks::<4>();
    match (cells, rest) {
        ([port, peer], []) => Some((u32::from_be_bytes(*port), u32::from_be_bytes(*peer))),
        _ => {
            let what = format!(
                "must be one port and one phandle, not {} bytes",
                value.len()
            );
            at.error(d, Rule::EvtchnLink, PROPERTY, what, FORM);
            None
        }
    }
}

fn ports(link: &Link<'_>, port: u32, earlier: &[Link<'_>], d: &mut Diagnostics) {
    if port == 0 || port > PORT_MAX {
        let what = format!("port {port}: ports of a guest are 1 to {PORT_MAX}");
        let hint = "low numbers are best; 0 would mean any";
        link.at.error(d, Rule::EvtchnLink, PROPERTY, what, hint);
        return;
    }
    let twin = earlier
        .iter()
        .find(|other| other.domain == link.domain && other.ends.is_some_and(|(p, _)| p == port));
    if let Some(twin) = twin {
        let what = format!("port {port} of this domain is taken by {}", twin.at.path);
        let hint = Hint::from("give each a port of its own");
        collides(link, twin, what, hint, d);
    }
}

/// The other end must be there, in another domain, and name this end.
fn mutual(link: &Link<'_>, peer: u32, links: &[Link<'_>], d: &mut Diagnostics) {
    let Some(other) = links.iter().find(|other| other.phandle == Some(peer)) else {
        let what = format!("the phandle {peer:#x} is of no event channel of a domain");
        let hint = "name the label of the other domain's node; it must have compatible = \"xen,evtchn-v1\"";
        link.at.error(d, Rule::EvtchnLink, PROPERTY, what, hint);
        return;
    };
    let back = other.ends.map(|(_, back)| back);
    if back.is_some() && (back != link.phandle || link.phandle.is_none()) {
        let what = format!("is not mutual: {} does not name this node", other.at.path);
        let hint = Hint::from("let both ends name each other's label");
        collides(link, other, what, hint, d);
    }
}

fn collides(
    link: &Link<'_>,
    other: &Link<'_>,
    what: alloc::string::String,
    hint: Hint,
    d: &mut Diagnostics,
) {
    let mut found = link.at.diagnostic(
        Severity::Error,
        Rule::EvtchnLink,
        Some(PROPERTY),
        what,
        hint,
    );
    found.related = Some(Place {
        path: other.at.path.clone(),
        property: Some(PROPERTY),
        note: format!("the other one is {}", other.at.path),
    });
    d.push(found);
}
