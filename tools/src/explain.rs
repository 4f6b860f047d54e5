//! Explains in words what Zazen and its guests say in numbers and names.
//!
//! Everything comes from the tables that the code itself uses: hypercalls from `hypervisor-core`,
//! error numbers from `xen-abi`, rules and properties from the dt-server, address spaces from
//! `topology` and the guest's layout.

mod fault;
mod hypercall;
mod rule;
mod undefined;

use board::DEFAULT;
use dt_server::{Config, NODES};
use hypervisor_core::hypercall::ROWS;
use topology::table::PDS;
use xen_abi::{Errno, grant};

use crate::check::all_rules;

pub use fault::Guest;

/// Proposals for something unknown, at most.
const PROPOSALS: usize = 5;
/// How alike two names must be for one to be proposed in place of the other.
const ALIKE: f64 = 0.8;

/// Explains `what`: a hypercall, an error code, a line about a fault, a rule's code, a protection
/// domain, a node or a property of a domains file. `config` is that of the system which said it, if
/// it is at hand.
///
/// # Errors
/// Names like `what` that are known; none if there are none.
pub fn explain(what: &str, config: Option<&Config>) -> Result<String, Vec<String>> {
    let what = subject(what);
    // Several tables may know the same number: all have their say.
    let said: Vec<String> = [
        rule::explain(what),
        node(what),
        property(what),
        error(what),
        hypercall::explain(what),
    ]
    .into_iter()
    .flatten()
    .collect();
    if !said.is_empty() {
        return Ok(said.join("\n"));
    }
    let guests = Guest::all(config);
    let last = fault::explain(what, &guests)
        .or_else(|| undefined::explain(what))
        .or_else(|| fault::program(what))
        .or_else(|| fault::lone_address(what, &guests))
        .or_else(|| {
            what.parse()
                .ok()
                .and_then(|number: i64| error(&(-number).to_string()))
        });
    last.ok_or_else(|| proposals(what))
}

/// `what` without the words that people put in front of a number or a name.
fn subject(what: &str) -> &str {
    let mut what = what.trim();
    for word in ["hypercall", "hvc", "error", "errno", "status"] {
        let rest = what
            .get(..word.len())
            .filter(|first| first.eq_ignore_ascii_case(word));
        if let Some(rest) = rest.and_then(|_| what.get(word.len()..))
            && rest.starts_with([' ', ':', '='])
        {
            what = rest.trim_start_matches([' ', ':', '=']);
        }
    }
    // -EINVAL, as kernels write it.
    match what.strip_prefix('-') {
        Some(name) if name.starts_with('E') => name,
        _ => what,
    }
}

/// A number as a log or a register has it: with a sign, or as 64 bits of two's complement.
fn signed(what: &str) -> Option<i64> {
    let unsigned = match what.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok(),
        None => what.parse().ok(),
    };
    match unsigned {
        Some(bits) => Some(bits.cast_signed()),
        None => what.parse().ok(),
    }
}

/// An error number or name: of hypercalls (`-22`, `EINVAL`) or of grant operations
/// (`GNTST_bad_page`).
fn error(what: &str) -> Option<String> {
    let number = signed(what);
    let mut text = String::new();
    for errno in Errno::ALL {
        let negative = number == Some(errno.as_i64());
        if negative || what.eq_ignore_ascii_case(errno.name()) {
            let (says, means) = errno.words();
            let means = if means.is_empty() {
                String::new()
            } else {
                format!(" ({means})")
            };
            text.push_str(&format!(
                "{} ({}), from a hypercall: {says}{means}.\n",
                errno.name(),
                errno.as_i64()
            ));
            let refused = hypercall::refused_with(*errno);
            if !refused.is_empty() {
                text.push_str(&format!("Always from: {}.\n", refused.join(", ")));
            }
        }
    }
    for (value, name, says) in grant::status::ALL {
        let negative = *value < 0 && number == Some(i64::from(*value));
        let short = name.trim_start_matches("GNTST_");
        // EAGAIN alone is the error number.
        let named =
            what.eq_ignore_ascii_case(name) || (*value != -12 && what.eq_ignore_ascii_case(short));
        if negative || named {
            text.push_str(&format!(
                "{name} ({value}), in the status of one grant operation: {says}\n"
            ));
        }
    }
    (!text.is_empty()).then_some(text)
}

/// A kind of node of a domains file, by its compatible string.
fn node(what: &str) -> Option<String> {
    let has =
        |compatible: &str| !compatible.is_empty() && compatible.split(", ").any(|c| c == what);
    let node = NODES.iter().find(|node| has(node.compatible))?;
    let mut text = format!(
        "{what}, a node of a domains file: {}. {}\n",
        node.name, node.about
    );
    let properties: Vec<&str> = node.properties.iter().map(|known| known.name).collect();
    text.push_str(&format!("Its properties: {}.\n", properties.join(", ")));
    for rule in node.rules {
        let info = rule.info();
        text.push_str(&format!("  {}: {}\n", info.code, info.title));
    }
    Some(text)
}

/// A property of a domains file.
fn property(what: &str) -> Option<String> {
    let mut text = String::new();
    for node in NODES {
        for property in node.properties.iter().filter(|known| known.name == what) {
            let default = match property.default {
                "" => String::new(),
                "required" => String::from(" Required."),
                default => format!(" Default: {default}."),
            };
            text.push_str(&format!(
                "{what}, a property of: {} ({}).{default}\n{}\n",
                node.name, property.kind, property.about
            ));
            if !property.example.is_empty() {
                text.push_str(&format!("  {}\n", property.example));
            }
            for rule in property.rules {
                let info = rule.info();
                text.push_str(&format!("  {}: {}\n", info.code, info.title));
            }
        }
    }
    (!text.is_empty()).then_some(text)
}

/// Names that are much like `what`, the most alike first.
fn proposals(what: &str) -> Vec<String> {
    let rows = ROWS.iter().flat_map(|row| [row.name, row.cmd_name]);
    let grants = grant::status::ALL.iter().map(|(_, name, _)| *name);
    let properties = NODES
        .iter()
        .flat_map(|node| node.properties)
        .map(|property| property.name);
    let nodes = NODES.iter().flat_map(|node| node.compatible.split(", "));
    let programs = PDS.iter().filter(|pd| !pd.each).map(|pd| pd.name);
    let names = rows
        .chain(Errno::ALL.iter().map(|errno| errno.name()))
        .chain(grants)
        .chain(properties)
        .chain(nodes)
        .chain(programs)
        .chain(all_rules().into_iter().map(|rule| rule.code));
    let wanted = what.to_lowercase();
    let mut alike: Vec<(f64, &str)> = names
        .filter(|name| !name.is_empty())
        .map(|name| (strsim::jaro_winkler(&wanted, &name.to_lowercase()), name))
        .filter(|(alike, _)| *alike >= ALIKE)
        .collect();
    alike.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
    alike.dedup();
    alike
        .into_iter()
        .take(PROPOSALS)
        .map(|(_, name)| name.to_owned())
        .collect()
}

/// What can be explained: the answer to a command without arguments.
pub fn overview() -> String {
    let mut names: Vec<String> = Vec::new();
    for row in ROWS {
        let name = format!("{} ({})", row.name, row.number);
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let errors: Vec<&str> = Errno::ALL.iter().map(|errno| errno.name()).collect();
    format!(
        "What can be explained (board of the addresses: {}):\n\n\
         hypercalls, by name or number, with an operation: memory_op, 12, memory_op 6, populate_physmap\n  {}\n\
         error codes, by name or negative number: EINVAL, -22, GNTST_bad_domain\n  {}\n\
         rules of `zazen check`, by code: zazen::static::overlap ({} of them, see docs/domains.md)\n\
         nodes and properties of a domains file: zazen,disk, xen,static-mem\n\
         protection domains, by name: block_server, vmm_linux1\n\
         system registers, by their encoding: S3_0_C2_C1_0\n\
         lines about faults from the log, in quotes, or a whole log with: zazen explain - < LOG\n",
        DEFAULT.name,
        names.join(", "),
        errors.join(", "),
        all_rules().len()
    )
}

/// The lines of `log` that are about faults, each with its explanation.
pub fn explain_log(log: &str, config: Option<&Config>) -> String {
    let guests = Guest::all(config);
    let mut text = String::new();
    for line in log.lines() {
        let explained = fault::explain(line, &guests).or_else(|| undefined::explain(line));
        if let Some(explained) = explained {
            text.push_str(&format!("{}\n", line.trim()));
            for line in explained.lines() {
                text.push_str(&format!("    {line}\n"));
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(what: &str) -> String {
        explain(what, None).unwrap_or_else(|proposals| panic!("{what}: {proposals:?}"))
    }

    #[test]
    fn error_numbers_and_names() {
        for what in ["-22", "EINVAL", "einval"] {
            assert!(
                said(what).contains("EINVAL (-22), from a hypercall: Invalid argument"),
                "{}",
                said(what)
            );
        }
        assert!(said("-2").contains("ENOENT (-2)"));
        assert!(
            said("-2").contains("GNTST_bad_domain (-2)"),
            "{}",
            said("-2")
        );
        assert!(said("GNTST_bad_domain").starts_with("GNTST_bad_domain (-2)"));
        assert!(said("bad_page").contains("GNTST_bad_page (-9)"));
        assert!(!said("EAGAIN").contains("GNTST"));
        let same = said("-22");
        for what in [
            "0xffffffffffffffea",
            "18446744073709551594",
            "-EINVAL",
            "error -22",
            "errno=-22",
            "22",
        ] {
            assert_eq!(said(what), same, "{what}");
        }
        // A number that is a hypercall's, too, is that one's.
        assert!(said("12").starts_with("memory_op"));
        let enosys = said("ENOSYS");
        assert!(
            enosys.contains("Always from: ") && enosys.contains("argo_op"),
            "{enosys}"
        );
    }

    #[test]
    fn every_name_of_every_table_is_explained() {
        for row in ROWS {
            let name = format!("{} {}", row.name, row.cmd_name);
            assert!(said(&name).contains(row.about), "{name}");
            assert!(said(row.name).contains(row.name));
            assert!(said(&row.number.to_string()).contains(row.name));
        }
        for errno in Errno::ALL {
            assert!(said(errno.name()).contains(&errno.as_i64().to_string()));
        }
        for (_, name, says) in grant::status::ALL {
            assert!(said(name).contains(says));
        }
        for rule in all_rules() {
            assert!(said(rule.code).contains(rule.title));
        }
        for property in NODES.iter().flat_map(|node| node.properties) {
            assert!(said(property.name).contains(property.about));
        }
        for node in NODES.iter().filter(|node| !node.compatible.is_empty()) {
            for name in node.compatible.split(", ") {
                assert!(said(name).contains(node.about), "{name}");
            }
        }
        for pd in PDS.iter().filter(|pd| !pd.each) {
            assert!(said(pd.name).contains(pd.stops), "{}", pd.name);
        }
    }

    #[test]
    fn what_people_write_in_front_does_not_matter() {
        for what in [
            "hypercall 12",
            "HVC 12",
            "HYPERVISOR_memory_op",
            "hypercall memory_op",
        ] {
            assert_eq!(said(what), said("memory_op"), "{what}");
        }
        let said_of = said("memory_op 99");
        assert!(said_of.contains("no operation 99") && said_of.contains("populate_physmap"));
        assert!(said("fault_server").contains("which of its children stopped"));
        assert!(said("vmm_a").contains("the VMM of the guest a"));
        assert!(said("0x3001008").contains("the GIC distributor"));
        for what in ["hypercall", "errors", "hypercall é", "é", "-", "-E", "0x"] {
            assert!(explain(what, None).is_err(), "{what}");
        }
    }

    #[test]
    fn what_is_unknown_has_proposals() {
        assert_eq!(
            explain("populate_fysmap", None).unwrap_err()[0],
            "populate_physmap"
        );
        assert_eq!(
            explain("zazen::static::overlaps", None).unwrap_err()[0],
            "zazen::static::overlap"
        );
        assert_eq!(explain("EINVALID", None).unwrap_err()[0], "EINVAL");
        assert_eq!(
            explain("xen,static-memory", None).unwrap_err()[0],
            "xen,static-mem"
        );
        assert_eq!(explain("42424242", None), Err(Vec::new()));
        assert_eq!(explain("", None), Err(Vec::new()));
    }

    #[test]
    fn the_overview_names_every_hypercall() {
        let text = overview();
        for row in ROWS {
            assert!(text.contains(row.name), "{}", row.name);
        }
    }
}
