//! The page about domains files is fresh, and what it says can be done.
//!
//! `ZAZEN_BLESS=1 cargo test -p zazen-tools --test docs` writes it anew.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use dt_server::{NODES, Property};
use zazen_tools::board::DEFAULT;
use zazen_tools::docs::domains_page;
use zazen_tools::load::{Missing, load_with};

use common::has_dtc;

fn page() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/domains.md")
}

#[test]
fn the_page_is_fresh() {
    let text = domains_page();
    if std::env::var_os("ZAZEN_BLESS").is_some() {
        fs::create_dir_all(page().parent().unwrap()).unwrap();
        fs::write(page(), &text).unwrap();
    }
    let committed = fs::read_to_string(page()).unwrap_or_default();
    assert!(
        committed == text,
        "docs/domains.md is stale; run: ZAZEN_BLESS=1 cargo test -p zazen-tools --test docs"
    );
}

#[test]
fn links_lead_to_headings() {
    let text = domains_page();
    let anchor = |heading: &str| -> String {
        let kept = heading
            .chars()
            .filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        kept.collect::<String>()
            .trim()
            .to_lowercase()
            .replace(' ', "-")
    };
    let headings: Vec<String> = text
        .lines()
        .filter(|line| line.starts_with('#'))
        .map(|line| anchor(line.trim_start_matches('#')))
        .collect();
    let mut links = 0;
    for link in text.split("](#").skip(1) {
        let target = link.split(')').next().unwrap();
        assert!(headings.iter().any(|heading| heading == target), "{target}");
        links += 1;
    }
    assert!(links > 50, "{links}");
}

/// Each example of a property is taken as it stands there.
#[test]
fn examples_are_right() {
    if !has_dtc("examples_are_right") {
        return;
    }
    let scratch = std::env::temp_dir().join(format!("zazen-docs-{}", std::process::id()));
    fs::create_dir_all(&scratch).unwrap();
    let mut tried = 0;
    for node in NODES {
        for property in node
            .properties
            .iter()
            .filter(|property| !property.example.is_empty())
        {
            let Some(text) = file_with(node.name, property) else {
                continue;
            };
            let path = scratch.join("example.dts");
            fs::write(&path, &text).unwrap();
            let loaded = load_with(&path, &[], DEFAULT, Missing::Assume);
            let loaded = loaded.unwrap_or_else(|error| panic!("{}: {error}{text}", property.name));
            let warned = loaded.config.warnings.warnings();
            let unknown = warned
                .iter()
                .find(|warning| warning.what.contains("not known"));
            assert!(unknown.is_none(), "{}: {unknown:?}", property.name);
            tried += 1;
        }
    }
    let _ = fs::remove_dir_all(&scratch);
    assert!(tried >= 20, "{tried}");
}

/// A domains file with the example in the right node; `None` for nodes that are refused as a whole.
fn file_with(node: &str, property: &Property) -> Option<String> {
    let mut chosen = String::new();
    let mut domain = String::from("compatible = \"xen,domain\";\n");
    let mut kernel = String::from("compatible = \"multiboot,kernel\", \"multiboot,module\";\n");
    let mut vcpu = String::new();
    let example = format!("{}\n", property.example);
    match node {
        "/chosen" => chosen.push_str(&example),
        "Domain" => domain.push_str(&example),
        "Kernel and RAM disk" => kernel.push_str(&example),
        "vCPU" => {
            vcpu = format!("vcpu {{ compatible = \"xen,vcpu\"; {example}");
            if property.name != "id" {
                vcpu.push_str("id = <0>; ");
            }
            if property.name == "zazen,period" {
                vcpu.push_str("zazen,budget = <500>; ");
            }
            vcpu.push_str("};");
        }
        _ => return None,
    }
    for (name, text) in [
        ("memory", "memory = <0x0 0x40000>;\n"),
        ("cpus", "cpus = <1>;\n"),
    ] {
        if property.name != name {
            domain.push_str(text);
        }
    }
    if property.name == "direct-map" {
        domain.push_str("xen,static-mem = <0x0 0x40000000 0x0 0x10000000>;\n");
    }
    if property.name != "zazen,file" {
        kernel.push_str("zazen,file = \"Image\";\n");
    }
    Some(format!(
        "/dts-v1/;\n/ {{ #address-cells = <2>; #size-cells = <2>;\n\
         memory@40000000 {{ device_type = \"memory\"; reg = <0x0 0x40000000 0x0 0x80000000>; }};\n\
         chosen {{\n{chosen}\ndomain {{\n{domain}{vcpu}\nkernel {{\n{kernel}}};\n}};\n}};\n}};\n"
    ))
}

/// One list of what each file in domains/ is for, and each that needs a test guest says so.
#[test]
fn every_domains_file_is_in_the_list() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../domains");
    let list = fs::read_to_string(directory.join("README.md")).unwrap();
    let mut count = 0;
    for entry in fs::read_dir(&directory).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if !name.ends_with(".dts") {
            continue;
        }
        count += 1;
        let cell = format!("`{name}`");
        assert!(list.contains(&cell), "domains/README.md has no {name}");
        let text = fs::read_to_string(directory.join(&name)).unwrap();
        let head = text.split("*/").next().unwrap();
        let needs = text.contains("\"probe.img\"");
        assert_eq!(needs, head.contains("probe.img is a test guest"), "{name}");
    }
    let listed = list
        .split('`')
        .filter(|word| word.ends_with(".dts") && !word.contains(['/', ' ']));
    for name in listed {
        assert!(
            directory.join(name).exists(),
            "domains/README.md names {name}"
        );
    }
    assert!(count >= 16, "{count}");
}
