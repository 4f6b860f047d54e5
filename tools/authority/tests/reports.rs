//! What comes out for the default system: rules hold, the picture and the figures are as committed.

mod common;

use authority::report::{breaches, dot, json, svg, table};
use authority::{Authority, Role};
use common::{System, assert_committed, described, sample};
use serde_json::Value;

fn default_system() -> Authority {
    Authority::read(&sample()).expect("the sample is a specification")
}

#[test]
fn the_default_system_keeps_every_rule() {
    let checks = default_system().check();
    assert_eq!(breaches(&checks), "");
    assert!(
        checks
            .iter()
            .all(|check| check.holds() && check.looked_at > 0)
    );
    assert_eq!(checks.len(), 21);
    let checks = default_system().check_as(&described());
    assert_eq!(breaches(&checks), "");
}

#[test]
fn everybody_is_there_by_priority() {
    let authority = default_system();
    let all = authority.subjects.iter();
    let all: Vec<(&str, Role)> = all.map(|s| (s.name.as_str(), s.role)).collect();
    assert_eq!(
        all,
        [
            ("monitor", Role::Monitor),
            ("pulse", Role::Server),
            ("memory_server", Role::MemoryServer),
            ("timer_server", Role::TimerServer),
            ("console", Role::Console),
            ("dt_server", Role::Server),
            ("fault_server", Role::Server),
            ("gate_linux1", Role::Server),
            ("gate_linux2", Role::Server),
            ("xenstore_server", Role::Server),
            ("vmm_linux1", Role::Vmm),
            ("vmm_linux2", Role::Vmm),
            ("linux1", Role::Guest),
            ("linux2", Role::Guest),
        ]
    );
}

/// The pointers are those of `crates/topology`, so CSpaces are resolved as the kernel does it.
#[test]
fn pointers_are_those_that_the_programs_use() {
    let authority = default_system();
    let pointer = |who: &str, object: &str, invocable| {
        let subject = authority.subjects.iter().find(|s| s.name == who).unwrap();
        let id = authority.spec.find(object);
        let mut held = subject.held.iter();
        let held = held.find(|h| h.cap.object == id && h.invocable == invocable);
        held.and_then(|held| held.cptr)
    };
    let own = topology::caps::cptr(topology::caps::MEM_OWN_ROOT, 8);
    assert_eq!(
        pointer("memory_server", "untyped_zazen_008_heap", true),
        Some(own)
    );
    let leaf = topology::caps::MEM_GRANT_LEAF;
    assert_eq!(
        pointer("memory_server", "cnode_zazen_grant_linux1", true),
        Some(leaf)
    );
    let root = topology::caps::cptr(topology::caps::VMM_GRANT_ROOT, 0);
    assert_eq!(
        pointer("vmm_linux1", "cnode_zazen_grant_linux1", false),
        Some(root)
    );
    assert_eq!(
        pointer("vmm_linux1", "cnode_zazen_grant_linux1", true),
        None
    );
    let vspace = topology::caps::VMM_GUEST_VSPACE;
    assert_eq!(pointer("vmm_linux2", "pud_linux2", true), Some(vspace));
}

#[test]
fn mappings_are_where_the_programs_look_for_them() {
    let authority = default_system();
    let run = |who: &str, what: &str| {
        let subject = authority.subjects.iter().find(|s| s.name == who).unwrap();
        let run = subject.runs.iter().find(|run| run.what.to_string() == what);
        run.map(|run| (run.vaddr, run.bytes, run.rights.to_string(), run.cached))
    };
    let uart = (
        topology::vaddr::UART,
        topology::UART_SIZE,
        "rw".to_owned(),
        false,
    );
    assert_eq!(run("console", "uart"), Some(uart));
    let image = (topology::vaddr::module(0), 32 << 20, "r".to_owned(), true);
    assert_eq!(run("vmm_linux2", "module_Image"), Some(image));
    let gicv = (0x300_2000, 0x2000, "rw".to_owned(), false);
    assert_eq!(run("linux1", "gicv"), Some(gicv));
}

#[test]
fn run_time_can_give_a_domains_memory_to_that_domain() {
    let authority = default_system();
    let run_time = authority.run_time();
    let who = |domain| {
        let who = run_time.touching(domain);
        who.iter().map(|&i| authority.who(i)).collect::<Vec<_>>()
    };
    assert_eq!(who("linux1"), ["memory_server", "vmm_linux1", "linux1"]);
    assert_eq!(who("linux2"), ["memory_server", "vmm_linux2", "linux2"]);
    assert_eq!(run_time.grants.len(), 2);
}

#[test]
fn the_picture_is_as_committed() {
    let authority = default_system();
    let picture = svg(&authority, &authority.check());
    assert_committed("docs/authority.svg", &picture);
    let xml = roxmltree::Document::parse(&picture).expect("well-formed XML");
    let texts = xml.descendants().filter_map(|node| node.text());
    let texts: Vec<&str> = texts.map(str::trim).collect();
    for wanted in [
        "static RAM of linux1: 192 MiB",
        "memory_server, vmm_linux1, linux1",
        "and nobody else",
        "All 21 rules hold",
    ] {
        assert!(texts.contains(&wanted), "{wanted}");
    }
}

/// Nothing is drawn outside the picture, with two domains or with none.
#[test]
fn the_picture_fits_one_screen() {
    let empty = Authority::read("{\"objects\": []}").unwrap();
    for authority in [default_system(), empty] {
        let picture = svg(&authority, &authority.check());
        let xml = roxmltree::Document::parse(&picture).expect("well-formed XML");
        for node in xml.descendants().filter(|node| node.is_element()) {
            for (name, limit) in [("x", 1200.0), ("y", 800.0), ("cx", 1200.0), ("cy", 800.0)] {
                let value = node.attribute(name).and_then(|v| v.parse::<f64>().ok());
                assert!(value.is_none_or(|v| (0.0..=limit).contains(&v)), "{node:?}");
            }
        }
    }
}

#[test]
fn a_broken_rule_is_seen_in_every_form() {
    let system = System::new().give("cnode_vmm_linux2", 500, "tcb_linux1_0");
    let authority = system.authority();
    let checks = authority.check();
    let text = "vmm_linux2 has a capability to a TCB of linux1: tcb_linux1_0";
    let chain = "vmm_linux2\n    -> slot 0 of cnode_vmm_linux2_root\n    -> CNode cnode_vmm_linux2 (look-up only)\n    -> slot 500 of cnode_vmm_linux2\n    -> TCB tcb_linux1_0";
    let shown = table(&authority, &checks);
    assert!(shown.contains(text) && shown.contains(chain), "{shown}");
    let value: Value = serde_json::from_str(&json(&authority, &checks)).unwrap();
    assert_eq!(value["all_hold"], false);
    let picture = svg(&authority, &checks);
    assert!(picture.contains("2 of 21 rules are broken"));
    assert!(!picture.contains("nobody else"), "it would not be true");
}

#[test]
fn the_json_says_what_the_documentation_says() {
    let authority = default_system();
    let value: Value = serde_json::from_str(&json(&authority, &authority.check())).unwrap();
    assert_eq!(value["schema"], "zazen-inspect/1");
    assert_eq!(value["all_hold"], true);
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/inspect.md");
    let page = std::fs::read_to_string(page).expect("docs/inspect.md");
    let mut keys = std::collections::BTreeSet::new();
    collect_keys(&value, &mut keys);
    let missing: Vec<_> = keys
        .iter()
        .filter(|key| !page.contains(&format!("`{key}`")))
        .collect();
    assert!(
        missing.is_empty(),
        "docs/inspect.md says nothing about {missing:?}"
    );
    for check in authority.check() {
        let heading = format!("`{}`", check.name);
        assert!(
            page.contains(&heading),
            "docs/inspect.md lacks rule {heading}"
        );
    }
}

fn collect_keys(value: &Value, keys: &mut std::collections::BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                keys.insert(key.clone());
                collect_keys(value, keys);
            }
        }
        Value::Array(all) => all.iter().for_each(|value| collect_keys(value, keys)),
        _ => {}
    }
}

#[test]
fn the_table_keeps_to_100_columns_and_the_graph_names_everybody() {
    let authority = default_system();
    let text = table(&authority, &authority.check());
    let wide: Vec<&str> = text
        .lines()
        .filter(|line| line.chars().count() > 100)
        .collect();
    assert!(wide.is_empty(), "{wide:#?}");
    let graph = dot(&authority);
    for subject in &authority.subjects {
        assert!(
            graph.contains(&format!("\"{}\"", subject.name)),
            "{}",
            subject.name
        );
    }
    assert_eq!(graph.matches('{').count(), graph.matches('}').count());
}

#[test]
fn what_is_no_specification_is_refused() {
    for (text, message) in [
        ("", "not a capDL specification"),
        ("{}", "not a capDL specification"),
        (
            r#"{"objects":[{"name":"x","object":{"CNode":{"size_bits":1,"slots":[{"slot":0,"cap":{"Reply":{"object":7}}}]}}}]}"#,
            "slot 0 of 'x' names an object that the specification does not have",
        ),
        (
            r#"{"objects":[{"name":"x","object":{}}]}"#,
            "object 'x' is not of one kind",
        ),
    ] {
        let error = Authority::read(text).expect_err(text).to_string();
        assert!(error.contains(message), "{error}");
    }
}

/// CNodes that contain each other, page tables that are their own child, sizes out of range: an
/// answer, and no endless walk.
#[test]
fn a_specification_without_sense_ends_too() {
    let cnode = |slots: &str| {
        format!(r#"{{"name":"c","object":{{"CNode":{{"size_bits":0,"slots":[{slots}]}}}}}}"#)
    };
    let itself = r#"{"slot":0,"cap":{"CNode":{"object":0,"guard":0,"guard_size":0}}}"#;
    let table = r#"{"name":"t","object":{"PageTable":{"slots":[{"slot":4294967295,"cap":{"PageTable":{"object":1}}}]}}}"#;
    let thread = r#"{"name":"tcb_vmm_a","object":{"Tcb":{"slots":[{"slot":0,"cap":{"CNode":{"object":0,"guard":18446744073709551615,"guard_size":255}}},{"slot":0,"cap":{"CNode":{"object":0}}},{"slot":1,"cap":{"PageTable":{"object":1}}}]}}}"#;
    let frame =
        r#"{"name":"frame_","object":{"Frame":{"size_bits":200,"paddr":18446744073709551615}}}"#;
    let text = format!(
        "{{\"objects\":[{},{table},{thread},{frame}]}}",
        cnode(itself)
    );
    let authority = Authority::read(&text).unwrap();
    let checks = authority.check();
    assert!(!checks.iter().all(authority::Check::holds));
    for shown in [
        table_of(&authority),
        json(&authority, &checks),
        dot(&authority),
        svg(&authority, &checks),
    ] {
        assert!(!shown.is_empty());
    }
}

fn table_of(authority: &Authority) -> String {
    table(authority, &authority.check())
}
