//! The direction of dependencies, the few names that belong to one crate alone, and the map in
//! README: the rules of the repository's structure, read from `cargo metadata` and the sources.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use regex::Regex;
use serde_json::Value;

/// Who may see whom: a package sees packages of lower layers only, but for the layers that
/// [`sees_its_own`] names.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Layer {
    Vocabulary,
    Mechanism,
    Api,
    Logic,
    Ends,
}

use Layer::{Api, Ends, Logic, Mechanism, Vocabulary};

/// Crates of `crates/` that have names and numbers but no behaviour; the others there are
/// mechanisms.
const VOCABULARY: [&str; 4] = ["board", "hv-types", "topology", "xen-abi"];

/// Folders at the top whose packages use the others: wiring, programs and tests.
const ENDS: [&str; 6] = ["el2", "fuzz", "pd", "sim", "tests", "tools"];

/// The layer of the package in `directory`, relative to the repository: folders are layers.
fn layer_of(directory: &Path) -> Option<Layer> {
    let parts: Vec<&str> = directory.iter().filter_map(|part| part.to_str()).collect();
    Some(match parts.as_slice() {
        // To be moved to the top.
        ["crates", "sim"] => Ends,
        ["crates", name] if VOCABULARY.contains(name) => Vocabulary,
        ["crates", _] => Mechanism,
        [first, ..] if ENDS.contains(first) => Ends,
        [_, "api"] => Api,
        [_] => Logic,
        _ => return None,
    })
}

/// Logic crates see each other only through their api crates.
fn sees_its_own(layer: Layer) -> bool {
    matches!(layer, Vocabulary | Mechanism | Ends)
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("tests/ lies in the repository")
        .to_path_buf()
}

struct Package {
    name: String,
    /// Relative to the repository.
    directory: PathBuf,
    dependencies: Vec<Dependency>,
}

struct Dependency {
    name: String,
    /// Relative to the repository, where it is one of ours.
    directory: Option<PathBuf>,
}

impl Package {
    fn layer(&self) -> Option<Layer> {
        layer_of(&self.directory)
    }
}

fn relative(path: &str) -> PathBuf {
    let path = Path::new(path);
    path.strip_prefix(root()).unwrap_or(path).to_path_buf()
}

/// The members of the workspace in `directory`, from `cargo metadata`, which needs no network for
/// this: `--no-deps` reads the members' manifests alone.
fn packages(directory: &Path) -> Vec<Package> {
    let output = Command::new(std::env::var("CARGO").unwrap_or_else(|_| "cargo".into()))
        .args([
            "metadata",
            "--no-deps",
            "--offline",
            "--format-version",
            "1",
        ])
        .current_dir(directory)
        .output()
        .expect("cargo runs");
    assert!(
        output.status.success(),
        "cargo metadata in {}: {}",
        directory.display(),
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON");
    let text = |value: &Value| value.as_str().expect("a string").to_owned();
    metadata["packages"]
        .as_array()
        .expect("a list of packages")
        .iter()
        .map(|package| Package {
            name: text(&package["name"]),
            directory: relative(&text(&package["manifest_path"]))
                .parent()
                .expect("a directory")
                .to_path_buf(),
            dependencies: package["dependencies"]
                .as_array()
                .expect("a list")
                .iter()
                .map(|d| Dependency {
                    name: text(&d["name"]),
                    directory: d["path"].as_str().map(relative),
                })
                .collect(),
        })
        .collect()
}

/// Members of the workspaces that have our layers; pd/ and el2/ are there in every checkout.
fn all_packages() -> Vec<Package> {
    let mut all = packages(&root());
    all.extend(packages(&root().join("pd")));
    all.extend(packages(&root().join("el2")));
    all
}

/// The rule broken by a package of `upper` that depends on one of `lower`, if one is.
fn breach(upper: Layer, lower: Layer) -> bool {
    lower > upper || (lower == upper && !sees_its_own(upper))
}

#[test]
fn dependencies_point_down() {
    let mut faults = Vec::new();
    for package in all_packages() {
        let Some(upper) = package.layer() else {
            faults.push(format!(
                "{} lies in {}, a folder of no layer",
                package.name,
                package.directory.display()
            ));
            continue;
        };
        for dependency in &package.dependencies {
            let itself = dependency.directory.as_ref() == Some(&package.directory);
            let lower = dependency.directory.as_deref().and_then(layer_of);
            if let Some(lower) = lower
                && !itself
                && breach(upper, lower)
            {
                faults.push(format!(
                    "{} ({upper:?}) depends on {} ({lower:?})",
                    package.name, dependency.name
                ));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn folders_are_layers() {
    for (directory, layer) in [
        ("crates/hv-types", Some(Vocabulary)),
        ("crates/ring", Some(Mechanism)),
        ("memory-server/api", Some(Api)),
        ("memory-server", Some(Logic)),
        ("pd/vmm", Some(Ends)),
        ("el2", Some(Ends)),
        ("el2/boot", Some(Ends)),
        ("tools/authority", Some(Ends)),
        ("memory-server/other", None),
        ("crates/a/b", None),
    ] {
        assert_eq!(layer_of(Path::new(directory)), layer, "{directory}");
    }
    // Nobody is counted among the vocabulary by accident of a name that is gone.
    for name in VOCABULARY {
        assert!(root().join("crates").join(name).is_dir(), "{name}");
    }
}

#[test]
fn the_rule_tells_right_from_wrong() {
    for (upper, lower) in [
        (Logic, Api),
        (Logic, Mechanism),
        (Ends, Logic),
        (Ends, Ends),
        (Mechanism, Mechanism),
        (Mechanism, Vocabulary),
    ] {
        assert!(!breach(upper, lower), "{upper:?} may see {lower:?}");
    }
    for (upper, lower) in [
        (Logic, Logic),
        (Api, Logic),
        (Api, Api),
        (Vocabulary, Mechanism),
        (Mechanism, Api),
        (Logic, Ends),
    ] {
        assert!(breach(upper, lower), "{upper:?} may not see {lower:?}");
    }
}

#[test]
fn sel4_is_named_by_the_runtime_alone() {
    // The image tool is host code: it knows Microkit's tool and the capability specification.
    let image_may = ["microkit-tool", "sel4-capdl-initializer-types"];
    let mut faults = Vec::new();
    for package in all_packages() {
        for dependency in &package.dependencies {
            let dependency = dependency.name.as_str();
            let kernel = dependency.starts_with("sel4") || dependency == "microkit-tool";
            let allowed = match package.name.as_str() {
                "zazen-rt" => dependency != "microkit-tool",
                "zazen-image" => image_may.contains(&dependency),
                _ => false,
            };
            if kernel && !allowed {
                faults.push(format!(
                    "{} depends on {dependency}; only pd/rt knows the kernel",
                    package.name
                ));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn the_host_workspace_takes_nothing_from_git() {
    let lock = fs::read_to_string(root().join("Cargo.lock")).expect("Cargo.lock is committed");
    let from_git: Vec<_> = lock.lines().filter(|line| line.contains("git+")).collect();
    assert!(from_git.is_empty(), "{from_git:?}");
}

/// The Rust sources below `directory`.
fn sources(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory)
        .expect("a readable directory")
        .flatten()
    {
        let path = entry.path();
        let name = entry.file_name();
        if path.is_dir() {
            if name != "target" && name != "build" && !name.to_string_lossy().starts_with('.') {
                sources(&path, found);
            }
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn machine_frame_numbers_stay_in_the_memory_server() {
    let identifier = Regex::new(r"\bMfn\b").expect("a valid expression");
    let mut faults = Vec::new();
    for package in all_packages() {
        let directory = &package.directory;
        if directory.starts_with("memory-server")
            || directory.starts_with("pd/memory-server")
            || directory.starts_with("tests")
        {
            continue;
        }
        let mut files = Vec::new();
        sources(&root().join(directory), &mut files);
        for file in files {
            let text = fs::read_to_string(&file).expect("UTF-8 source");
            for (number, line) in text.lines().enumerate() {
                let code = line.split("//").next().unwrap_or_default();
                if identifier.is_match(code) {
                    faults.push(format!("{}:{}: names Mfn", file.display(), number + 1));
                }
            }
        }
    }
    assert!(
        faults.is_empty(),
        "machine frame numbers belong to memory-server:\n{}",
        faults.join("\n")
    );
}

#[test]
fn logic_forbids_unsafe_code() {
    let faults: Vec<_> = all_packages()
        .into_iter()
        .filter(|package| matches!(package.layer(), Some(Vocabulary | Api | Logic)))
        .filter(|package| {
            let library = fs::read_to_string(root().join(&package.directory).join("src/lib.rs"))
                .unwrap_or_default();
            !library
                .lines()
                .any(|line| line.trim() == "#![forbid(unsafe_code)]")
        })
        .map(|package| package.name)
        .collect();
    assert!(
        faults.is_empty(),
        "without #![forbid(unsafe_code)] in lib.rs: {faults:?}"
    );
}

#[test]
fn readme_maps_every_directory() {
    let readme = fs::read_to_string(root().join("README.md")).expect("README.md");
    let rows: BTreeMap<String, ()> = Regex::new(r"(?m)^\| `([A-Za-z0-9_.-]+)/`")
        .expect("a valid expression")
        .captures_iter(&readme)
        .map(|row| (row[1].to_owned(), ()))
        .collect();
    let ignored = ["build", "target", "sdk"];
    let missing: Vec<_> = fs::read_dir(root())
        .expect("the repository")
        .flatten()
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| {
            !name.starts_with('.') && !ignored.contains(&name.as_str()) && !rows.contains_key(name)
        })
        .collect();
    assert!(
        missing.is_empty(),
        "README.md's table has no row `NAME/` for: {missing:?}"
    );
}
