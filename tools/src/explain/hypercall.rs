//! Hypercalls by name, number and operation.

use hypervisor_core::hypercall::ROWS;
use hypervisor_core::hypercall::row::{Row, Status};
use xen_abi::Errno;

/// What the public headers put in front of names.
const PREFIXES: [&str; 11] = [
    "__HYPERVISOR_",
    "HYPERVISOR_",
    "XENMEM_",
    "EVTCHNOP_",
    "GNTTABOP_",
    "SCHEDOP_",
    "HVMOP_",
    "VCPUOP_",
    "XENVER_",
    "CONSOLEIO_",
    "VMASST_CMD_",
];

fn bare(name: &str) -> &str {
    PREFIXES
        .iter()
        .find_map(|prefix| name.strip_prefix(prefix))
        .unwrap_or(name)
}

fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    }
}

/// `what` as `HYPERCALL [OPERATION]` or `OPERATION`, names or numbers.
pub(super) fn explain(what: &str) -> Option<String> {
    let mut words = what.split_whitespace().map(bare);
    let (first, second) = (words.next()?, words.next());
    if words.next().is_some() {
        return None;
    }
    let of = |row: &&Row| row.name == first || number(first) == Some(row.number);
    let family: Vec<&Row> = ROWS.iter().filter(of).collect();
    if family.is_empty() {
        // An operation alone; several hypercalls may have one of the name.
        let rows = ROWS
            .iter()
            .filter(|row| !row.cmd_name.is_empty() && row.cmd_name == first && second.is_none());
        return joined(rows.map(one));
    }
    match second {
        None => Some(whole(&family)),
        Some(second) => {
            let of = |row: &&&Row| {
                row.cmd_name == second || (row.cmd.is_some() && row.cmd == number(second))
            };
            joined(family.iter().filter(of).map(|row| one(row))).or_else(|| none(&family, second))
        }
    }
}

/// What a hypercall has instead of the operation `wrong`.
fn none(family: &[&Row], wrong: &str) -> Option<String> {
    let name = family.first()?.name;
    let known = family
        .iter()
        .filter_map(|row| Some(format!("{} {}", row.cmd?, row.cmd_name)));
    let known: Vec<String> = known.collect();
    Some(match known.as_slice() {
        [] => format!("{name} has no operations, and no {wrong}.\n"),
        _ => format!(
            "{name} has no operation {wrong}. It has: {}.\n",
            known.join(", ")
        ),
    })
}

fn joined(texts: impl Iterator<Item = String>) -> Option<String> {
    let texts: Vec<String> = texts.collect();
    (!texts.is_empty()).then(|| texts.join("\n"))
}

/// A hypercall with all its operations.
fn whole(family: &[&Row]) -> String {
    let [row, ..] = family else {
        return String::new();
    };
    let mut text = format!(
        "{} (hypercall {}, x16 = {:#x})",
        row.name, row.number, row.number
    );
    if let [row] = family
        && row.cmd.is_none()
    {
        text.push_str(&format!(": {}\n{}\n", row.about, gets(row.status)));
        return text;
    }
    text.push_str(", by operation:\n");
    for row in family {
        let cmd = row.cmd.map_or_else(String::new, |cmd| cmd.to_string());
        text.push_str(&format!("  {cmd:>3}  {}: {}\n", row.cmd_name, row.about));
        if row.status != Status::Done {
            text.push_str(&format!("       {}\n", gets(row.status)));
        }
    }
    text
}

fn one(row: &Row) -> String {
    let cmd = row.cmd.map_or_else(String::new, |cmd| format!(" {cmd}"));
    format!(
        "{} {} (hypercall {}, operation{cmd}): {}\n{}\n",
        row.name,
        row.cmd_name,
        row.number,
        row.about,
        gets(row.status)
    )
}

/// What a guest gets from it here.
fn gets(status: Status) -> String {
    let error = |errno: Errno| format!("{} ({})", errno.name(), errno.as_i64());
    match status {
        Status::Done => String::from("Works here; SUPPORT.md lists what differs from Xen."),
        Status::Partly(how) => format!("Works in part: {how}."),
        Status::Error(errno) => format!("Refused with {}, as Xen does.", error(errno)),
        Status::Later(errno) => format!(
            "Not here yet: refused with {}, and guests do without.",
            error(errno)
        ),
    }
}

/// Operations that are always refused with `errno`.
pub(super) fn refused_with(errno: Errno) -> Vec<String> {
    ROWS.iter()
        .filter(|row| matches!(row.status, Status::Error(e) | Status::Later(e) if e == errno))
        .map(|row| format!("{} {}", row.name, row.cmd_name).trim().to_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_name_and_by_number() {
        let operation = explain("memory_op 6").unwrap();
        assert!(
            operation.starts_with("memory_op populate_physmap (hypercall 12, operation 6)"),
            "{operation}"
        );
        for same in [
            "populate_physmap",
            "memory_op populate_physmap",
            "12 6",
            "0xc 0x6",
            "XENMEM_populate_physmap",
        ] {
            assert_eq!(explain(same).as_ref(), Some(&operation), "{same}");
        }
        let all = explain("memory_op").unwrap();
        assert_eq!(explain("12"), Some(all.clone()));
        assert_eq!(explain("__HYPERVISOR_memory_op"), Some(all.clone()));
        assert!(all.contains("  6  populate_physmap: "), "{all}");
        assert!(explain("domctl").unwrap().contains("Refused with E"));
        // `yield` is of one, `status` of events; `enable` of vm_assist.
        assert!(explain("SCHEDOP_yield").unwrap().contains("sched_op yield"));
        assert!(explain("memory_op 99").is_some_and(|text| text.contains("no operation 99")));
        assert_eq!(explain("nothing"), None);
        assert_eq!(explain("memory_op 6 7"), None);
    }
}
