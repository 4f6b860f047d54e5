//! The table in docs/requirements.md.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::{Found, Level, REQUIREMENTS, Requirement};

/// What stands above the table.
const HEAD: &str = "# Requirements on memory\n\n\
Which code carries each numbered requirement on static memory (SM), direct map (DM), static heap (SH), extra pages\n\
(EX), event channels (EV), unpopulated address space (UP), the guest's memory map (GM), ballooning (BL) and preserved\n\
memory (LU), and which tests show it. Generated from the comments in the code and the tests:\n\
`ZAZEN_WRITE_REQUIREMENTS=1 cargo test -p zazen-tests --test requirements` writes it anew. The same test fails while it\n\
is stale, while a \"must\" or \"should\" has no code or no test, or while a comment names a number that does not exist.\n\n\
| Number | | What | Where | Tested by |\n|---|---|---|---|---|\n";

/// The whole page.
pub fn table(found: &BTreeMap<String, Found>) -> String {
    let mut page = String::from(HEAD);
    let nothing = Found::default();
    for requirement in REQUIREMENTS {
        let found = found.get(requirement.id).unwrap_or(&nothing);
        // Writing into a string cannot fail.
        let _ = writeln!(page, "{}", row(requirement, found));
    }
    page
}

fn row(requirement: &Requirement, found: &Found) -> String {
    let Requirement {
        id,
        level,
        text,
        not_here,
    } = requirement;
    let level = level.word();
    if let Some(reason) = not_here {
        return format!("| {id} | {level} | {text} | does not apply: {reason} | |");
    }
    let code: Vec<_> = found.code.iter().map(|path| link(path, path)).collect();
    let tests: Vec<_> = found
        .tests
        .iter()
        .map(|(path, name)| link(name, path))
        .collect();
    let (code, tests) = (code.join("<br>"), tests.join("<br>"));
    format!("| {id} | {level} | {text} | {code} | {tests} |")
}

fn link(text: &str, path: &str) -> String {
    format!("[{text}](../{path})")
}

/// What is missing: one line for each requirement without code or without a test, and for each
/// number that is none.
pub fn gaps(found: &BTreeMap<String, Found>) -> Vec<String> {
    let mut gaps = Vec::new();
    for Requirement {
        id,
        level,
        not_here,
        ..
    } in REQUIREMENTS
    {
        let here = found.get(*id);
        if *level == Level::May || not_here.is_some() {
            continue;
        }
        if here.is_none_or(|found| found.code.is_empty()) {
            gaps.push(format!("{id}: no comment in the code names it"));
        }
        if here.is_none_or(|found| found.tests.is_empty()) {
            gaps.push(format!("{id}: no test carries it"));
        }
    }
    for (id, found) in found {
        if !REQUIREMENTS.iter().any(|known| known.id == id) {
            gaps.push(format!("{id} is no requirement, but is named in {found:?}"));
        }
    }
    gaps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_requirement_without_a_test_is_a_gap_and_a_wrong_number_too() {
        let mut found = BTreeMap::new();
        let entry = Found {
            code: ["a.rs".to_owned()].into(),
            ..Found::default()
        };
        found.insert("SM-1".to_owned(), entry.clone());
        found.insert("SM-99".to_owned(), entry);
        let gaps = gaps(&found);
        assert!(gaps.contains(&"SM-1: no test carries it".to_owned()));
        assert!(!gaps.contains(&"SM-1: no comment in the code names it".to_owned()));
        assert!(gaps.iter().any(|gap| gap.starts_with("SM-99 is no")));
        assert!(!gaps.iter().any(|gap| gap.starts_with("SM-19")));
    }
}
