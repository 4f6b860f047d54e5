//! Finds requirement numbers in the sources.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::Path;

use regex::Regex;

/// What carries one requirement's number. Paths are relative to the repository.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Found {
    /// Source files that are not tests.
    pub code: BTreeSet<String>,
    /// Tests: file and function.
    pub tests: BTreeSet<(String, String)>,
}

/// Folders that are not sources of ours.
const SKIPPED: [&str; 4] = ["target", "build", "corpus", "sdk"];

/// Looks through every Rust source under `root`.
///
/// # Errors
/// A file cannot be read.
pub fn scan(root: &Path) -> io::Result<BTreeMap<String, Found>> {
    let mut found = BTreeMap::new();
    let patterns = Patterns::new();
    folder(root, root, &patterns, &mut found)?;
    Ok(found)
}

struct Patterns {
    number: Regex,
    /// Numbers at the start of a doc comment.
    leading: Regex,
    function: Regex,
    /// A number in a test's name.
    in_name: Regex,
}

impl Patterns {
    fn new() -> Self {
        let compile = |pattern: &str| Regex::new(pattern).unwrap_or_else(|e| panic!("{e}"));
        Self {
            number: compile(r"\b(SM|DM|SH|EX|EV|UP|GM|BL|LU)-([0-9]{1,2})\b"),
            leading: compile(r"^(?:(?:[A-Z]{2}-[0-9]{1,2})(?:, | and |: |\.$|$))+"),
            function: compile(r"^\s*(?:pub(?:\(\w+\))? )?(?:const )?fn ([a-z0-9_]+)"),
            in_name: compile(r"_(sm|dm|sh|ex|ev|up|gm|bl|lu)_([0-9]{1,2})(?:_|$)"),
        }
    }
}

fn folder(
    root: &Path,
    at: &Path,
    patterns: &Patterns,
    found: &mut BTreeMap<String, Found>,
) -> io::Result<()> {
    for entry in fs::read_dir(at)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_dir() {
            if !name.starts_with('.') && !SKIPPED.contains(&name.as_ref()) {
                folder(root, &path, patterns, found)?;
            }
        } else if name.ends_with(".rs") {
            let relative = path.strip_prefix(root).unwrap_or(&path);
            let relative = relative.to_string_lossy().replace('\\', "/");
            if !relative.starts_with("tests/src/requirements") {
                file(&relative, &fs::read_to_string(&path)?, patterns, found);
            }
        }
    }
    Ok(())
}

/// Whether a whole file is about testing.
fn is_test_file(path: &str) -> bool {
    let apart = ["tests/", "crates/sim/", "fuzz/", "guests/"];
    apart.iter().any(|prefix| path.starts_with(prefix))
        || path.contains("/tests/")
        || path.ends_with("/tests.rs")
}

/// Whether functions of this file are tests without saying `#[test]`.
fn is_scene(path: &str) -> bool {
    path.starts_with("tests/src/scenes/")
}

fn file(path: &str, text: &str, patterns: &Patterns, found: &mut BTreeMap<String, Found>) {
    let mut in_tests = is_test_file(path);
    let mut doc: Option<String> = None;
    let mut marked = false;
    for line in text.lines() {
        let trimmed = line.trim();
        if trimmed == "#[cfg(test)]" {
            in_tests = true;
        }
        if let Some(text) = trimmed.strip_prefix("///") {
            doc.get_or_insert_with(|| text.trim().to_owned());
        } else if trimmed.starts_with("#[") {
            marked |= trimmed == "#[test]";
        } else {
            if let Some(name) = patterns.function.captures(line).and_then(|c| c.get(1))
                && (marked || is_scene(path))
            {
                for id in named(doc.as_deref().unwrap_or_default(), name.as_str(), patterns) {
                    let test = (path.to_owned(), name.as_str().to_owned());
                    found.entry(id).or_default().tests.insert(test);
                }
            }
            doc = None;
            marked = false;
        }
        if !in_tests {
            for number in patterns.number.find_iter(line) {
                let entry = found.entry(number.as_str().to_owned()).or_default();
                entry.code.insert(path.to_owned());
            }
        }
    }
}

/// The numbers that a test with this doc comment and name carries.
fn named(doc: &str, name: &str, patterns: &Patterns) -> BTreeSet<String> {
    let leading = patterns.leading.find(doc).map_or("", |m| m.as_str());
    let mut ids: BTreeSet<_> = patterns
        .number
        .find_iter(leading)
        .map(|m| m.as_str().to_owned())
        .collect();
    // Numbers in a name follow each other, and the pattern takes the underscore between them.
    let mut at = 0;
    while let Some(number) = patterns.in_name.captures_at(name, at) {
        ids.insert(format!("{}-{}", number[1].to_uppercase(), &number[2]));
        at = number.get(2).map_or(name.len(), |m| m.end());
    }
    ids
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(path: &str, text: &str) -> BTreeMap<String, Found> {
        let mut found = BTreeMap::new();
        file(path, text, &Patterns::new(), &mut found);
        found
    }

    #[test]
    fn numbers_in_code_and_in_tests_are_told_apart() {
        let text = "// as SM-4 wants\nfn a() {}\n#[cfg(test)]\nmod tests {\n    /// SM-5, BL-1: both\n    #[test]\n    fn b() { /* SM-6 */ }\n}\n";
        let found = of("x/src/y.rs", text);
        assert_eq!(found.len(), 3);
        assert_eq!(found["SM-4"].code.len(), 1);
        assert!(found["SM-5"].code.is_empty());
        assert_eq!(found["BL-1"].tests.iter().next().unwrap().1, "b");
    }

    #[test]
    fn names_carry_numbers_and_other_functions_do_not_test() {
        let text = "#[test]\nfn freed_sm_1_sm_3_bl_10() {}\n/// SM-9: a helper.\nfn helper() {}\n/// About SM-8.\n#[test]\nfn not_leading() {}\n";
        let found = of("x/tests/y.rs", text);
        assert_eq!(found.keys().collect::<Vec<_>>(), ["BL-10", "SM-1", "SM-3"]);
    }
}
