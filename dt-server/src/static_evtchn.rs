//! Static event channels (dom0less binding, "xen,evtchn-v1"): each node names a local port and the
//! phandle of the node at the other end, which must name this one.
//!
//! Naming each other is all the leave that two domains need for such a channel; others between them
//! need a pair that may have events ([`crate::pair`]).

use alloc::format;
use alloc::vec::Vec;

use dtoolkit::Node;
use peer_server_api::{CHANNELS_MAX, StaticChannel};

use crate::diag::{Diagnostics, Hint, Place, Rule, Severity};
use crate::node::At;

/// The highest port of a guest (Xen: `max_evtchn_port` of a domain that is not the hardware
/// domain).
const PORT_MAX: u32 = 1023;
/// Nodes that are looked at.
const MAX_LINKS: usize = 2 * CHANNELS_MAX;
const NAMES: [&str; 2] = ["xen,evtchn-v1", "xen,evtchn"];
const PROPERTY: &str = "xen,evtchn";

struct Link<'a> {
    at: At<'a>,
    /// Position of the domain among the domains.
    domain: usize,
    phandle: Option<u32>,
    /// Ports of the domain that the hypervisor takes.
    taken: u32,
    /// (local port, phandle of the other end).
    ends: Option<(u32, u32)>,
}

/// The event channels of `domains`; the end that comes first in the file is the first.
pub(crate) fn read(domains: &[At<'_>], d: &mut Diagnostics) -> Vec<StaticChannel> {
    let links: Vec<Link<'_>> = domains
        .iter()
        .enumerate()
        .flat_map(|(domain, at)| {
            let children = at.node.children().map(|node| at.leaf(node));
            let taken = taken(at);
            children.map(move |at| (domain, taken, at))
        })
        .filter(|(_, _, at)| at.is_compatible(&NAMES))
        .take(MAX_LINKS + 1)
        .map(|(domain, taken, at)| Link {
            domain,
            taken,
            phandle: phandle(&at),
            ends: None,
            at,
        })
        .collect();
    if let Some(last) = links.get(MAX_LINKS) {
        let what = format!("a system has at most {CHANNELS_MAX} static event channels");
        let hint = "let the guests bind some of them when they run";
        last.at.node_error(d, Rule::StaticEvtchn, what, hint);
        return Vec::new();
    }
    let links: Vec<Link<'_>> = links
        .into_iter()
        .map(|link| Link {
            ends: ends(&link.at, d),
            ..link
        })
        .collect();
    let mut channels = Vec::new();
    for (i, link) in links.iter().enumerate() {
        let Some((port, peer)) = link.ends else {
            continue;
        };
        let earlier = links.get(..i).unwrap_or_default();
        ports(link, port, earlier, d);
        mutual(link, peer, &links, d);
        let mut later = links.get(i + 1..).unwrap_or_default().iter();
        if let Some(other) = later.find(|other| other.phandle == Some(peer))
            && let Some((other_port, _)) = other.ends
        {
            channels.push(channel([(link, port), (other, other_port)]));
        }
    }
    channels
}

/// A channel with these ends, whose numbers were checked; one of a file that is refused may be
/// anything.
fn channel(ends: [(&Link<'_>, u32); 2]) -> StaticChannel {
    let ends = ends.map(|(link, port)| {
        let domain = u8::try_from(link.domain).unwrap_or(u8::MAX);
        (domain, u16::try_from(port).unwrap_or(0))
    });
    StaticChannel { ends }
}

/// How many ports of the domain `at` the hypervisor takes, from 1 on: the store's and the
/// console's.
fn taken(at: &At<'_>) -> u32 {
    match at.bytes("xen,enhanced") {
        None | Some(b"disabled\0") => 0,
        Some(b"no-xenstore\0") => 1,
        Some(_) => 2,
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
    let taken = link.taken;
    if (1..=taken).contains(&port) {
        let what = format!("port {port} of this domain is the console's or the store's");
        let hint = format!("the first that is free is {}", taken + 1);
        link.at.error(d, Rule::EvtchnLink, PROPERTY, what, hint);
        return;
    }
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
    if other.domain == link.domain {
        let what = "both ends are in one domain";
        let hint =
            "a domain binds channels to itself when it runs; name the node of another domain";
        link.at.error(d, Rule::EvtchnLink, PROPERTY, what, hint);
        return;
    }
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
