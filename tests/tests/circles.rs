//! No circle of files that import each other is longer than two, in the crates where there is most
//! to understand at once.
//!
//! A file imports another one if it names something in it by a path: in a `use`, or in place. A
//! re-export (`pub use`) gives a name and uses nothing, and `mod` only says where a file is;
//! neither counts. Test modules do not count either.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use regex::Regex;

/// Crates, by their directory, and where one may have moved.
const CRATES: [&[&str]; 6] = [
    &["hypervisor-core"],
    &["memory-server"],
    &["console"],
    &["el2"],
    &["crates/sim", "sim"],
    &["xenstore-server"],
];
/// Most files in a circle.
const LONGEST: usize = 2;

type Module = Vec<String>;

/// The files of a crate by the modules that they are.
struct Sources(BTreeMap<Module, String>);

impl Sources {
    fn read(src: &Path) -> Self {
        let mut files = BTreeMap::new();
        collect(src, &mut Vec::new(), &mut files);
        Self(files)
    }

    /// The file that `path`, written in `module`, names something in.
    fn resolve(&self, module: &Module, path: &str) -> Option<Module> {
        let mut segments = path.split("::").map(str::trim).peekable();
        let mut at = match *segments.peek()? {
            "crate" => Vec::new(),
            "self" | "super" => module.clone(),
            child => {
                let mut inside = module.clone();
                inside.push(child.to_owned());
                self.0.contains_key(&inside).then(|| module.clone())?
            }
        };
        for segment in segments {
            if segment == "super" {
                at.pop();
            } else if segment != "crate" && segment != "self" {
                at.push(segment.to_owned());
                if !self.0.contains_key(&at) {
                    at.pop();
                    break;
                }
            }
        }
        self.0.contains_key(&at).then_some(at)
    }

    /// What each file imports.
    fn imports(&self) -> BTreeMap<&Module, BTreeSet<Module>> {
        let expression = |text| Regex::new(text).expect("a valid expression");
        let uses = expression(r"(pub(?:\([^)]*\))?\s+)?use\s+([^;]+);");
        let paths = expression(r"\b(?:crate|super|self)(?:::\w+)+");
        let relative = expression(r"(?:^|[^:\w])(\w+(?:::\w+)+)");
        let of = |(module, text): (&'_ Module, &String)| {
            let mut named = Vec::new();
            for one in uses.captures_iter(text) {
                if one.get(1).is_none() {
                    named.extend(leaves(&one[2]));
                }
            }
            let rest = uses.replace_all(text, "");
            named.extend(paths.find_iter(&rest).map(|path| path.as_str().to_owned()));
            let paths = relative.captures_iter(&rest);
            named.extend(paths.map(|path| path[1].to_owned()));
            let found = named.iter().filter_map(|path| self.resolve(module, path));
            found.filter(|other| other != module).collect()
        };
        self.0.iter().map(|entry| (entry.0, of(entry))).collect()
    }

    /// The circles: sets of files each of which can be reached from all of the set.
    fn circles(&self) -> Vec<BTreeSet<&Module>> {
        let imports = self.imports();
        let mut reached: BTreeMap<&Module, BTreeSet<&Module>> = BTreeMap::new();
        for start in self.0.keys() {
            let mut seen = BTreeSet::new();
            let mut next = vec![start];
            while let Some(module) = next.pop() {
                for other in imports.get(module).into_iter().flatten() {
                    let (other, _) = self.0.get_key_value(other).expect("it was resolved");
                    if seen.insert(other) {
                        next.push(other);
                    }
                }
            }
            reached.insert(start, seen);
        }
        let circle = |module: &Module| -> BTreeSet<&Module> {
            let there = reached[module].iter().copied();
            there
                .filter(|other| reached[*other].contains(module))
                .collect()
        };
        let all: BTreeSet<_> = self.0.keys().map(circle).collect();
        all.into_iter().filter(|circle| circle.len() > 1).collect()
    }
}

/// The paths of a `use` tree.
fn leaves(tree: &str) -> Vec<String> {
    let Some((prefix, group)) = tree.split_once('{') else {
        let path = tree.split(" as ").next().unwrap_or_default();
        return vec![path.trim().to_owned()];
    };
    let group = group.trim_end().strip_suffix('}').unwrap_or(group);
    let mut depth = 0_usize;
    let parts = group.split(|c: char| {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        c == ',' && depth == 0
    });
    let parts = parts.filter(|part| !part.trim().is_empty());
    parts
        .flat_map(|part| leaves(&format!("{}{}", prefix.trim(), part.trim())))
        .collect()
}

/// The text of a file without comments, without its test module, and without where things are
/// visible.
fn code(file: &Path) -> String {
    let text = fs::read_to_string(file).expect("UTF-8 source");
    let text = text.split("#[cfg(test)]\nmod tests {").next();
    let lines = text.unwrap_or_default().lines();
    let lines: Vec<&str> = lines
        .map(|line| line.split("//").next().unwrap_or_default())
        .collect();
    let visible = Regex::new(r"pub\(in [^)]*\)").expect("a valid expression");
    visible.replace_all(&lines.join("\n"), "pub").into_owned()
}

fn collect(directory: &Path, module: &mut Module, files: &mut BTreeMap<Module, String>) {
    let entries = fs::read_dir(directory).expect("a readable directory");
    for path in entries.flatten().map(|entry| entry.path()) {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        if matches!(&*stem, "tests" | "fake") {
            continue;
        }
        let is_root = matches!(&*stem, "mod" | "lib" | "main");
        if !is_root {
            module.push(stem.into_owned());
        }
        if path.is_dir() {
            collect(&path, module, files);
        } else if path.extension().is_some_and(|e| e == "rs") {
            files.insert(module.clone(), code(&path));
        }
        if !is_root {
            module.pop();
        }
    }
}

fn root() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests
        .parent()
        .expect("tests/ lies in the repository")
        .into()
}

#[test]
fn no_circle_of_files_is_longer_than_two() {
    let mut faults = Vec::new();
    for places in CRATES {
        let src = places.iter().map(|place| root().join(place).join("src"));
        let src = src
            .into_iter()
            .find(|src| src.is_dir())
            .unwrap_or_else(|| panic!("none of {places:?} is there"));
        let sources = Sources::read(&src);
        assert!(sources.0.len() > 5, "{} was read", src.display());
        for circle in sources.circles() {
            if circle.len() > LONGEST {
                let names: Vec<_> = circle.iter().map(|module| module.join("::")).collect();
                faults.push(format!("{}: {}", src.display(), names.join(", ")));
            }
        }
    }
    assert!(
        faults.is_empty(),
        "these files import each other in a circle; move what they share into a file of its own:\n{}",
        faults.join("\n")
    );
}

#[test]
fn circles_are_found() {
    let files = [
        ("a", "use crate::b::B;"),
        ("b", "use super::c::{self, C};"),
        ("c", "fn f() { crate::a::f() }"),
        ("d", "pub use crate::a::A; use crate::e::{f::{G, H}, E};"),
        ("e", "mod f; fn g() { f::g() }"),
        ("e::f", "use super::E;"),
        ("g", "use crate::a::A; use heapless::Vec;"),
    ];
    let module = |name: &str| -> Module { name.split("::").map(str::to_owned).collect() };
    let files = files.map(|(name, text)| (module(name), text.to_owned()));
    let sources = Sources(files.into_iter().collect());
    let circles: Vec<Vec<String>> = sources
        .circles()
        .iter()
        .map(|circle| circle.iter().map(|module| module.join("::")).collect())
        .collect();
    assert_eq!(circles, [vec!["a", "b", "c"], vec!["e", "e::f"]]);
}
