//! The page about domains files, made from the tables that the checker uses.

use std::fmt::Write;

use dt_server::{NODES, Property, Rule};

use crate::check::{HostRule, link};

/// Text of docs/domains.md.
pub fn domains_page() -> String {
    let mut page = String::from(HEAD);
    for node in NODES {
        let _ = writeln!(page, "### {}\n", node.name);
        let about = match node.compatible {
            "" => node.about.to_owned(),
            names => format!("`compatible`: {}. {}", quoted(names), node.about),
        };
        let about = format!("{about} Rules: {}.", rules(node.rules));
        let _ = writeln!(page, "{}\n", wrapped(&about));
        page.push_str("| property | value | default | meaning | rules |\n|---|---|---|---|---|\n");
        for property in node.properties {
            row(&mut page, property);
        }
        let examples: Vec<&str> = node
            .properties
            .iter()
            .map(|property| property.example)
            .filter(|example| !example.is_empty())
            .collect();
        if !examples.is_empty() {
            let _ = writeln!(page, "\n```dts\n{}\n```", examples.join("\n"));
        }
        page.push('\n');
    }
    page.push_str(RULES);
    let tree = Rule::ALL.iter().map(|rule| rule.info());
    let mut all: Vec<_> = tree
        .map(|info| (info, "everywhere"))
        .chain(
            HostRule::ALL
                .iter()
                .map(|rule| (rule.info(), "on the host")),
        )
        .collect();
    all.sort_by_key(|(info, _)| info.code);
    for (info, place) in all {
        let _ = writeln!(page, "### {}\n", info.code);
        let text = if info.text.is_empty() {
            String::new()
        } else {
            format!(" {}", info.text)
        };
        let title = escaped(info.title);
        let text = format!("**{title}.**{} Checked {place}.", escaped(&text));
        let _ = writeln!(page, "{}\n", wrapped(&text));
    }
    // One line break at the end.
    page.truncate(page.trim_end().len());
    page.push('\n');
    page
}

const HEAD: &str = "\
<!-- Made by `ZAZEN_BLESS=1 cargo test -p zazen-tools --test docs` from the checker's tables: change those. -->

# Domains files

A domains file says which guests a system has. It is a device tree in Xen's dom0less binding, as source (`.dts`) or
compiled (`.dtb`). `zazen check FILE` tells every mistake in it; `zazen explain` takes each property and each code of
this page.

The dt-server reads the same tree at boot, by the same rules: a file that has an error starts nothing. What is not
listed here is ignored with a warning ([zazen::tree::unknown](#zazentreeunknown)).

```dts
/dts-v1/;

/ {
\t#address-cells = <2>;
\t#size-cells = <2>;

\tmemory@40000000 {
\t\tdevice_type = \"memory\";
\t\treg = <0x0 0x40000000 0x0 0x80000000>;
\t};

\tchosen {
\t\tlinux1 {
\t\t\tcompatible = \"xen,domain\";
\t\t\tmemory = <0x0 0x40000>; /* 256 MiB */
\t\t\tcpus = <1>;
\t\t\txen,static-mem = <0x0 0x40000000 0x0 0x10000000>;
\t\t\txen,enhanced = \"no-xenstore\";

\t\t\tkernel {
\t\t\t\tcompatible = \"multiboot,kernel\", \"multiboot,module\";
\t\t\t\tzazen,file = \"Image\";
\t\t\t\tbootargs = \"console=hvc0\";
\t\t\t};
\t\t};
\t};
};
```

Addresses and sizes have the cells of the node *above* the one with the property: `xen,static-mem` of a domain those of
`/chosen`, `xen,static-heap` of `/chosen` those of the root, and what is in a domain's children those of the domain. A
node without `#address-cells` or `#size-cells` inherits them. At the root the defaults are 2 and 1.

RAM of the host is in children of the root named `memory` or `memory@…` with `device_type = \"memory\"`; what firmware
keeps is in `/reserved-memory` and in the memory reservation block. A domain's kernel, RAM disk and device tree lie in
its first RAM bank, each in whole blocks of 2 MiB.

## Nodes and properties

";

const RULES: &str = "\
## Rules

The codes are stable: scripts may rely on them. *Everywhere* is on the host and at boot; *on the host* is by `zazen
check` alone.

";

fn row(page: &mut String, property: &Property) {
    let default = match property.default {
        "" => "-",
        default => default,
    };
    let _ = writeln!(
        page,
        "| `{}` | {} | {} | {} | {} |",
        property.name,
        escaped(property.kind),
        escaped(default),
        escaped(property.about),
        rules(property.rules)
    );
}

fn rules(rules: &[Rule]) -> String {
    let links = rules.iter().map(|rule| {
        let code = rule.info().code;
        let anchor = link(code);
        let anchor = anchor.split('#').nth(1).unwrap_or_default();
        format!("[{}](#{anchor})", code.trim_start_matches("zazen::"))
    });
    let links: Vec<String> = links.collect();
    if links.is_empty() {
        String::from("-")
    } else {
        links.join(", ")
    }
}

fn quoted(names: &str) -> String {
    let all: Vec<String> = names
        .split(", ")
        .map(|name| format!("`\"{name}\"`"))
        .collect();
    all.join(" or ")
}

/// Columns of a line of Markdown.
const COLUMNS: usize = 120;

/// `text`, one paragraph, in lines of [`COLUMNS`].
fn wrapped(text: &str) -> String {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let Some(line) = lines.last_mut() else { break };
        let width = line.chars().count() + 1 + word.chars().count();
        if line.is_empty() {
            line.push_str(word);
        } else if width <= COLUMNS {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines.join("\n")
}

/// What Markdown would take for its own.
fn escaped(text: &str) -> String {
    text.replace('|', "\\|")
        .replace('<', "\\<")
        .replace('*', "\\*")
}
