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

/// Every package of both workspaces has a line here; a new package needs one.
const LAYERS: &[(&str, Layer)] = &[
    ("board", Vocabulary),
    ("hv-types", Vocabulary),
    ("xen-abi", Vocabulary),
    ("topology", Vocabulary),
    ("guest-mem", Mechanism),
    ("ipc", Mechanism),
    ("ring", Mechanism),
    ("mmio", Mechanism),
    ("uart", Mechanism),
    ("ttc", Mechanism),
    ("untyped-plan", Mechanism),
    ("soft-caps", Mechanism),
    ("authority", Mechanism),
    ("memory-server-api", Api),
    ("dt-server-api", Api),
    ("console-api", Api),
    ("timer-server-api", Api),
    ("hypervisor-core", Logic),
    ("memory-server", Logic),
    ("dt-server", Logic),
    ("console", Logic),
    ("timer-server", Logic),
    ("fault-server", Logic),
    ("sim", Ends),
    ("fuzz-targets", Ends),
    ("el2-boot", Ends),
    ("el2-schedule", Ends),
    ("zazen-el2-pack", Ends),
    ("zazen-tools", Ends),
    ("zazen-tests", Ends),
    ("zazen-rt", Ends),
    ("zazen-image", Ends),
    ("zazen-memory-server", Ends),
    ("zazen-dt-server", Ends),
    ("zazen-timer-server", Ends),
    ("zazen-console", Ends),
    ("zazen-fault-server", Ends),
    ("zazen-gate", Ends),
    ("zazen-pulse", Ends),
    ("zazen-vmm", Ends),
    ("zazen-hostile", Ends),
];

/// Logic crates see each other only through their api crates.
fn sees_its_own(layer: Layer) -> bool {
    matches!(layer, Vocabulary | Mechanism | Ends)
}

fn layer(package: &str) -> Option<Layer> {
    LAYERS
        .iter()
        .find(|(name, _)| *name == package)
        .map(|&(_, layer)| layer)
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("tests/ lies in the repository")
        .to_path_buf()
}

struct Package {
    name: String,
    directory: PathBuf,
    dependencies: Vec<String>,
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
            directory: Path::new(&text(&package["manifest_path"]))
                .parent()
                .expect("a directory")
                .to_path_buf(),
            dependencies: package["dependencies"]
                .as_array()
                .expect("a list")
                .iter()
                .map(|d| text(&d["name"]))
                .collect(),
        })
        .collect()
}

/// Members of both workspaces; pd/ is there in every checkout.
fn all_packages() -> Vec<Package> {
    let mut all = packages(&root());
    all.extend(packages(&root().join("pd")));
    all
}

/// The rule broken by `package` depending on `dependency`, if one is.
fn breach(package: &str, dependency: &str) -> Option<String> {
    let upper = layer(package)?;
    let lower = layer(dependency)?;
    let allowed = lower < upper || (lower == upper && sees_its_own(upper));
    (!allowed).then(|| format!("{package} ({upper:?}) depends on {dependency} ({lower:?})"))
}

#[test]
fn dependencies_point_down() {
    let mut faults = Vec::new();
    for package in all_packages() {
        if layer(&package.name).is_none() {
            faults.push(format!(
                "{} has no layer: add it to LAYERS in tests/tests/dependencies.rs",
                package.name
            ));
        }
        faults.extend(
            package
                .dependencies
                .iter()
                .filter_map(|dependency| breach(&package.name, dependency)),
        );
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn the_rule_tells_right_from_wrong() {
    assert_eq!(breach("hypervisor-core", "memory-server-api"), None);
    assert_eq!(breach("hypervisor-core", "guest-mem"), None);
    assert_eq!(breach("sim", "console"), None);
    assert_eq!(breach("zazen-vmm", "zazen-rt"), None);
    for (package, dependency) in [
        ("hypervisor-core", "memory-server"),
        ("memory-server", "hypervisor-core"),
        ("memory-server-api", "memory-server"),
        ("console-api", "dt-server-api"),
        ("hv-types", "guest-mem"),
        ("guest-mem", "memory-server-api"),
        ("dt-server", "zazen-tools"),
    ] {
        assert!(
            breach(package, dependency).is_some(),
            "{package} may not see {dependency}"
        );
    }
}

#[test]
fn sel4_is_named_by_the_runtime_alone() {
    // The image tool is host code: it knows Microkit's tool and the capability specification.
    let image_may = ["microkit-tool", "sel4-capdl-initializer-types"];
    let mut faults = Vec::new();
    for package in all_packages() {
        for dependency in &package.dependencies {
            let kernel = dependency.starts_with("sel4") || dependency == "microkit-tool";
            let allowed = match package.name.as_str() {
                "zazen-rt" => dependency != "microkit-tool",
                "zazen-image" => image_may.contains(&dependency.as_str()),
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
        let relative = package
            .directory
            .strip_prefix(root())
            .unwrap_or(&package.directory)
            .to_path_buf();
        if relative.starts_with("memory-server")
            || relative.starts_with("pd/memory-server")
            || relative.starts_with("tests")
        {
            continue;
        }
        let mut files = Vec::new();
        sources(&package.directory, &mut files);
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
        .filter(|package| matches!(layer(&package.name), Some(Vocabulary | Api | Logic)))
        .filter(|package| {
            let library =
                fs::read_to_string(package.directory.join("src/lib.rs")).unwrap_or_default();
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
