//! Network interfaces of a domain.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use board::Board;
use dt_server_api::PvFeatures;
use dtoolkit::Node;
use hv_types::{DomId, Mac};
use xenstore_server_api::Devices;

use crate::chosen::Found;
use crate::config::NicConfig;
use crate::diag::{Diagnostics, Hint, Place, Rule, Severity};
use crate::node::At;

/// Most interfaces of a domain (`net_server_api::MAX_NICS`).
const MOST: usize = 4;
/// Longest name of a network in bytes.
const NAME_MAX: usize = 15;
const NETWORK: &str = "zazen,network";
const MAC: &str = "zazen,mac";
const UPLINK: &str = "zazen,uplink";

/// An interface and its node.
#[derive(Clone)]
pub(crate) struct Nic<'a> {
    at: At<'a>,
    pub(crate) config: NicConfig,
}

/// Whether the child `at` of a domain is a network interface.
pub(super) fn is_nic(at: &At<'_>) -> bool {
    at.is_compatible(&["zazen,net"])
}

/// The interfaces of `domain`, as far as they could be read.
pub(super) fn read<'a>(
    domain: &At<'a>,
    pv: Option<PvFeatures>,
    domid: u16,
    board: &Board,
    d: &mut Diagnostics,
) -> Vec<Nic<'a>> {
    let nodes = domain.node.children().map(|node| domain.leaf(node));
    let nodes: Vec<At<'a>> = nodes.filter(is_nic).collect();
    if let Some(first) = nodes.first()
        && pv.is_some_and(|pv| !pv.has_store())
    {
        let hint = "give the domain xen,enhanced = \"enabled\"";
        let what = "the domain has no xenstore, in which guests find their network interfaces";
        first.node_error(d, Rule::NetStore, what, hint);
    }
    if let Some(surplus) = nodes.get(MOST) {
        let what = format!("is one network interface too many: a domain has at most {MOST}");
        let hint = "put more domains into one network";
        surplus.node_error(d, Rule::NetCount, what, hint);
    }
    let nic = |(number, at): (u8, At<'a>)| {
        let network = network(&at, d);
        let mac = mac(&at, Mac::derived(DomId(domid), number), d)?;
        let uplink = uplink(&at, board, d);
        let config = NicConfig {
            network: network?,
            mac,
            uplink,
        };
        Some(Nic { at, config })
    };
    let all = (0..).zip(nodes).take(MOST);
    all.filter_map(nic).collect()
}

fn network(at: &At<'_>, d: &mut Diagnostics) -> Option<String> {
    if !at.has(NETWORK) {
        let hint = "write zazen,network = \"…\"";
        at.node_error(d, Rule::NetNetwork, "does not name its network", hint);
        return None;
    }
    let name = at.str(NETWORK, Rule::NetNetwork, d)?;
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if (1..=NAME_MAX).contains(&name.len()) && name.bytes().all(is_word) {
        return Some(name.into());
    }
    let what = format!("\"{name}\" is no name of a network");
    let hint = format!("a name has 1 to {NAME_MAX} letters, digits, - and _");
    at.error(d, Rule::NetNetwork, NETWORK, what, hint);
    None
}

/// The device by which the interface's network leads outside.
fn uplink(at: &At<'_>, board: &Board, d: &mut Diagnostics) -> Option<usize> {
    if !at.has(UPLINK) {
        return None;
    }
    let name = at.str(UPLINK, Rule::NetUplink, d)?;
    let found = board.nics.iter().position(|nic| nic.name == name);
    if found.is_none() {
        let names: Vec<&str> = board.nics.iter().map(|nic| nic.name).collect();
        let (what, hint) = match names.as_slice() {
            [] => (
                format!(
                    "the board {} has no network device that Zazen drives",
                    board.name
                ),
                Hint::from("leave it out: the network stays within the machine"),
            ),
            [only] => (
                format!("the board {} has no network device \"{name}\"", board.name),
                Hint::set(format!("\"{only}\"")),
            ),
            _ => (
                format!("the board {} has no network device \"{name}\"", board.name),
                Hint::from(format!("it has {}", names.join(", "))),
            ),
        };
        at.error(d, Rule::NetUplink, UPLINK, what, hint);
    }
    found
}

fn mac(at: &At<'_>, derived: Mac, d: &mut Diagnostics) -> Option<Mac> {
    if !at.has(MAC) {
        return Some(derived);
    }
    let text = at.str(MAC, Rule::NetMac, d)?;
    let what = match text.parse::<Mac>() {
        Ok(mac) if mac.is_station() => return Some(mac),
        Ok(mac) if mac.is_group() => {
            format!("{text} is the address of a group: its first pair is odd")
        }
        Ok(_) => format!("{text} is no station's address"),
        Err(_) => format!("\"{text}\" is no Ethernet address"),
    };
    let hint = "write six pairs of hexadecimal digits, the first of them even, such as \"02:00:00:00:00:01\"; or leave it out";
    at.error(d, Rule::NetMac, MAC, what, hint);
    None
}

/// Adds the interfaces to what xenstore has for the domain.
pub(super) fn add(nics: &[Nic<'_>], devices: &mut Devices) {
    for (number, Nic { config, .. }) in (0..).zip(nics) {
        let nic = xenstore_server_api::Nic {
            number,
            mac: &config.mac.to_string(),
            network: &config.network,
        };
        // Four of them fit beside eight disks.
        let _ = devices.add_nic(&nic);
    }
}

/// Reports interfaces of one network that have the same address.
pub(crate) fn check_addresses(found: &[Found<'_>], d: &mut Diagnostics) {
    let nics = || found.iter().flat_map(|domain| &domain.draft.nics);
    for (index, nic) in nics().enumerate() {
        let mut earlier = nics().take(index);
        let one = |nic: &NicConfig| (nic.mac, nic.network.clone());
        let same = earlier.find(|other| one(&other.config) == one(&nic.config));
        if let Some(other) = same {
            let NicConfig { mac, network, .. } = &nic.config;
            let what =
                format!("another interface in network \"{network}\" has the address {mac}, too");
            let hint = "give each an address of its own, or leave zazen,mac out";
            let at = &nic.at;
            let mut found = at.diagnostic(Severity::Error, Rule::NetMac, None, what, hint.into());
            found.related = Some(Place {
                path: other.at.path.clone(),
                property: None,
                note: "the other interface".into(),
            });
            d.push(found);
        }
    }
}

/// Reports a network device that two networks name, and a network that names two devices.
pub(crate) fn check_uplinks(found: &[Found<'_>], d: &mut Diagnostics) {
    let nics = || found.iter().flat_map(|domain| &domain.draft.nics);
    let with = || nics().filter(|nic| nic.config.uplink.is_some());
    for (index, nic) in with().enumerate() {
        let NicConfig {
            network, uplink, ..
        } = &nic.config;
        let clash = |other: &&Nic<'_>| {
            (other.config.network == *network) != (other.config.uplink == *uplink)
        };
        let Some(other) = with().take(index).find(clash) else {
            continue;
        };
        let (what, hint) = match other.config.network == *network {
            true => (
                format!("the network \"{network}\" has another uplink already"),
                "name one device for a network",
            ),
            false => (
                format!(
                    "the device is the uplink of the network \"{}\" already",
                    other.config.network
                ),
                "put the interfaces into one network, or leave zazen,uplink out",
            ),
        };
        let (rule, at) = (Rule::NetUplink, &nic.at);
        let mut found = at.diagnostic(Severity::Error, rule, Some(UPLINK), what, hint.into());
        found.related = Some(Place {
            path: other.at.path.clone(),
            property: Some(UPLINK),
            note: "the other one".into(),
        });
        d.push(found);
    }
}
