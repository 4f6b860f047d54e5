//! From bytes to a [`Config`].

use alloc::borrow::Cow;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use board::Target;
use dt_server_api::Bank;
use dtoolkit::Node;
use dtoolkit::fdt::{Fdt, FdtNode};
use hv_types::Gpa;

use crate::chosen;
use crate::config::{Config, DomainConfig, Files};
use crate::diag::{Diagnostic, Diagnostics, Rule, Severity};
use crate::direct::Host;
use crate::domain;
use crate::host_memory::{self, Claim, ClaimKind};
use crate::names::{self, BadName};
use crate::node::At;
use crate::pair;
use crate::range::Range;
use crate::text::shown_name;
use crate::{cores, cpu_time};

/// Most bytes of a device tree (Xen's limit).
pub const DTB_MAX: usize = 2 << 20;
/// The first bytes of a device tree (Devicetree Specification 0.4, 5.2).
const MAGIC: [u8; 4] = [0xd0, 0x0d, 0xfe, 0xed];
/// Most levels of nodes, the root counted (Xen's limit).
const NESTING_MAX: u32 = 16;

/// Reads and validates a boot device tree. `dtb` may be longer than the tree in it. The board is
/// the one that the tree names, or [`board::DEFAULT`].
///
/// # Errors
/// All mistakes and all warnings; where there is no mistake, warnings are in [`Config::warnings`].
pub fn parse(dtb: &[u8], files: &dyn Files) -> Result<Config, Diagnostics> {
    parse_for(dtb, files, None::<Target>)
}

/// [`parse()`] for `target`; a tree that names another one is wrong.
///
/// # Errors
/// As [`parse()`].
pub fn parse_for(
    dtb: &[u8],
    files: &dyn Files,
    target: Option<impl Into<Target>>,
) -> Result<Config, Diagnostics> {
    survey(dtb, files, target).result
}

/// What was found in a device tree, right or wrong: for tools that know more rules.
#[derive(Clone, Debug)]
pub struct Survey {
    /// What [`parse_for`] returns.
    pub result: Result<Config, Diagnostics>,
    /// Host memory that the tree assigns, in the order of the tree.
    pub claims: Vec<Claim>,
    /// RAM of the host as the `memory` nodes give it.
    pub memory: Vec<Range>,
}

/// [`parse_for`], together with what could be read of a tree that is wrong.
pub fn survey(dtb: &[u8], files: &dyn Files, target: Option<impl Into<Target>>) -> Survey {
    let mut claims = Vec::new();
    let mut memory = Vec::new();
    let result = read(dtb, files, target.map(Into::into), &mut claims, &mut memory);
    Survey {
        result,
        claims,
        memory,
    }
}

fn read(
    dtb: &[u8],
    files: &dyn Files,
    target: Option<Target>,
    claims: &mut Vec<Claim>,
    memory: &mut Vec<Range>,
) -> Result<Config, Diagnostics> {
    let mut d = Diagnostics::default();
    let fdt = match open(dtb) {
        Ok(fdt) => fdt,
        Err((Rule::Fdt, _)) if !names::bad(dtb).is_empty() => {
            for bad in names::bad(dtb) {
                let of_domain = Some(&bad).filter(|bad| bad.property.is_none());
                let of_domain = of_domain.and_then(|bad| domain::wrong_name(domain_name(bad)?));
                let mut found = match of_domain {
                    Some((what, hint)) => error(&bad.path, Rule::Name, what, hint),
                    None => error(&bad.path, Rule::NodeName, bad.what, "give it another name"),
                };
                found.property = bad.property.map(Cow::Owned);
                d.push(found);
            }
            return Err(d);
        }
        Err((rule, what)) => {
            let hint = "compile it again with dtc (version 17)";
            d.push(error("/", rule, what, hint));
            return Err(d);
        }
    };
    if let Some(path) = too_deep(fdt.root(), 1) {
        let what = format!("nodes are nested deeper than {NESTING_MAX} levels");
        d.push(error(&path, Rule::Nesting, what, "flatten the tree"));
    }
    let root = At::root(fdt.root(), &mut d);
    let before = d.error_count();
    let ram = host_memory::ram(&root, &mut d);
    let memory_is_wrong = d.error_count() != before;
    memory.clone_from(&ram);
    *claims = host_memory::reserved(fdt, &root, &mut d);
    for node in root.node.children() {
        let at = root.leaf(node);
        if at.is_compatible(&["xen,domain"]) {
            let what = "a domain outside /chosen is ignored";
            let hint = "move it into /chosen";
            at.warn(&mut d, Rule::Unknown, None, what, hint);
        }
    }
    let Some(node) = root.node.children().find(|node| node.name() == "chosen") else {
        let (what, hint) = if is_overlay(fdt) {
            (
                "this is an overlay, and not a whole tree",
                "apply it to the machine's tree first: fdtoverlay -i machine.dtb -o whole.dtb overlay.dtbo",
            )
        } else {
            (
                "there is no /chosen, so there is no domain",
                "add /chosen with a child that has compatible = \"xen,domain\"",
            )
        };
        d.push(error("/", Rule::NoDomain, String::from(what), hint));
        return Err(d);
    };
    let chosen_node = root.child(node, &mut d);
    let Target { board, cores } = chosen::target(&chosen_node, target, &mut d);
    let static_heap = host_memory::static_heap(&root, &chosen_node, &mut d);
    let heap_all = host_memory::heap_all(&chosen_node, &static_heap, &mut d);
    let more = ram
        .iter()
        .copied()
        .chain(claims.iter().map(|claim| claim.range));
    let host = Host::new(board, more).with_cores(cores);
    let mut found = chosen::read(&chosen_node, &host, files, &mut d);
    cores::place(&mut found, cores);
    let (shared, channels) = chosen::links(&found, &mut d);
    let pairs = pair::read(&chosen_node, &found, &mut d);

    claim(claims, &static_heap, ClaimKind::StaticHeap, &chosen_node);
    for domain in &found {
        let draft = &domain.draft;
        claim(
            claims,
            &draft.static_mem,
            ClaimKind::StaticMemory,
            &domain.at,
        );
        for (range, path) in &draft.placed {
            claims.push(Claim {
                range: *range,
                kind: ClaimKind::Module,
                path: path.clone(),
            });
        }
    }
    for region in &shared {
        let range = region.config.range();
        claim(
            claims,
            range.as_slice(),
            ClaimKind::SharedMemory,
            &region.at,
        );
    }
    host_memory::check(claims, &ram, root.cells, chosen_node.cells, &mut d);
    if ram.is_empty()
        && !memory_is_wrong
        && claims
            .iter()
            .any(|claim| claim.kind == ClaimKind::StaticMemory)
    {
        let what = "no memory node: whether static memory is RAM cannot be checked";
        root.warn(
            &mut d,
            Rule::HostMemory,
            None,
            what,
            "add memory@… with device_type = \"memory\" and reg",
        );
    }
    domain::check_shared(&found, &mut d);
    domain::check_addresses(&found, &mut d);
    domain::check_uplinks(&found, &mut d);
    cpu_time::check(&found, cores, &mut d);
    chosen::heap_fits(&chosen_node, &static_heap, &found, &mut d);
    // Without an error every domain is complete; were one not, nothing may start either.
    let domains: Option<Vec<_>> = found
        .into_iter()
        .map(|domain| domain.draft.config)
        .collect();
    match domains.map(number) {
        Some(domains) if !d.has_errors() => {
            let mut config = Config {
                board,
                cores,
                domains,
                static_heap,
                heap_all,
                pairs,
                channels,
                shared: shared.into_iter().map(|region| region.config).collect(),
                memory: ram,
                warnings: d,
            };
            introduce(&mut config);
            Ok(config)
        }
        _ => Err(d),
    }
}

/// The name of a child of `/chosen`, most likely a domain.
fn domain_name(bad: &BadName) -> Option<&str> {
    let child = bad.path.strip_prefix("/chosen/")?;
    let name = child.split('@').next()?;
    (!child.contains('/')).then_some(name)
}

/// Whether the tree is one that is to be applied to another one: its nodes are within `__overlay__`
/// of fragments.
fn is_overlay(fdt: Fdt<'_>) -> bool {
    let mut fragments = fdt.root().children();
    fragments.any(|fragment| fragment.child("__overlay__").is_some())
}

/// Tells each domain how many there are.
fn number(mut domains: Vec<DomainConfig>) -> Vec<DomainConfig> {
    let count = u8::try_from(domains.len()).unwrap_or(u8::MAX);
    for domain in &mut domains {
        domain.record.domains = count;
    }
    domains
}

/// Tells each domain whom it meets, and sets aside what it needs for that.
fn introduce(config: &mut Config) {
    let (meets, lends) = (config.meets(), config.lends());
    for (number, domain) in config.domains.iter_mut().enumerate() {
        domain.record.meets = meets.of(number).fold(0, |bits, other| bits | 1 << other);
        if lends.lenders(number) != 0 {
            // What it finds where a page was that its owner has taken back.
            domain.extra = domain.extra.saturating_add(hv_types::PAGE_SIZE);
        }
    }
    for region in &config.shared {
        for view in &region.views {
            if let Some(domain) = config.domains.get_mut(view.domain) {
                domain.share(&region.id, Bank::new(Gpa::new(view.guest), region.size));
            }
        }
    }
}

fn claim(claims: &mut Vec<Claim>, ranges: &[Range], kind: ClaimKind, at: &At<'_>) {
    claims.extend(ranges.iter().map(|range| Claim {
        range: *range,
        kind,
        path: at.path.clone(),
    }));
}

fn error(path: &str, rule: Rule, what: String, hint: &str) -> Diagnostic {
    let severity = Severity::Error;
    Diagnostic {
        severity,
        rule,
        path: String::from(path),
        property: None,
        value: None,
        what,
        hint: String::from(hint),
        edit: None,
        related: None,
    }
}

/// The tree at the start of `dtb`; the header says how long it is.
fn open(dtb: &[u8]) -> Result<Fdt<'_>, (Rule, String)> {
    if dtb.get(..4).is_some_and(|magic| magic != MAGIC) {
        return Err((
            Rule::Fdt,
            String::from("this is no device tree: it does not begin with 0xd00dfeed"),
        ));
    }
    let size = dtb
        .get(4..8)
        .and_then(|bytes| bytes.try_into().ok())
        .map(u32::from_be_bytes);
    let size = size.and_then(|size| usize::try_from(size).ok());
    let Some(size) = size else {
        return Err((
            Rule::Fdt,
            String::from("this is no device tree: it is too short"),
        ));
    };
    if size > DTB_MAX {
        return Err((
            Rule::Fdt,
            format!("the device tree claims {size} bytes, at most {DTB_MAX} are possible"),
        ));
    }
    let Some(tree) = dtb.get(..size) else {
        let what = format!(
            "the device tree is cut off: it claims {size} bytes but there are {}",
            dtb.len()
        );
        return Err((Rule::Truncated, what));
    };
    Fdt::new(tree).map_err(|error| (Rule::Fdt, format!("this is no valid device tree: {error}")))
}

/// The path of a node below the deepest level allowed, if there is one; `depth` is the level of
/// `node`.
fn too_deep(node: FdtNode<'_>, depth: u32) -> Option<String> {
    if depth > NESTING_MAX {
        return Some(String::new());
    }
    node.children().find_map(|child| {
        let below = too_deep(child, depth + 1)?;
        Some(format!("/{}{below}", shown_name(child.name())))
    })
}
