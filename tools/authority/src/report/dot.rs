//! The report as a graph for Graphviz.

use std::fmt::{self, Write};

use untyped_plan::human;

use crate::{Authority, Role, Way, What};

/// The report as a DOT graph: PDs and guests ranked by priority, calls solid, notifications
/// dashed, fault reports dotted, memory as boxes with who reaches it.
pub fn dot(authority: &Authority) -> String {
    let mut out = String::new();
    // Writing to a string does not fail.
    let _ = write(&mut out, authority);
    out
}

/// `text` as a DOT string.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn write(out: &mut String, authority: &Authority) -> fmt::Result {
    out.push_str("digraph authority {\n  rankdir=BT;\n  node [fontname=\"sans-serif\", fontsize=11];\n  edge [fontname=\"sans-serif\", fontsize=9];\n");
    for subject in &authority.subjects {
        let shape = if subject.role == Role::Guest {
            "ellipse"
        } else {
            "box"
        };
        let label = format!("{}\\n{}", subject.name, subject.priority);
        // The label's line break is DOT's own.
        writeln!(
            out,
            "  {} [shape={shape}, style=\"rounded,filled\", fillcolor=\"#e8eef7\", label=\"{label}\"];",
            quoted(&subject.name),
        )?;
    }
    // Equal priorities side by side.
    let mut priorities: Vec<u8> = authority.subjects.iter().map(|s| s.priority).collect();
    priorities.dedup();
    for priority in priorities {
        let same = authority.subjects.iter().filter(|s| s.priority == priority);
        let names: Vec<String> = same.map(|s| quoted(&s.name)).collect();
        writeln!(out, "  {{ rank=same; {}; }}", names.join("; "))?;
    }
    let mut drawn = Vec::new();
    for edge in &authority.edges {
        let key = (edge.from, edge.to, edge.way);
        if drawn.contains(&key) {
            continue;
        }
        drawn.push(key);
        let style = match edge.way {
            Way::Call => "solid",
            Way::Notify => "dashed, constraint=false",
            Way::Fault => "dotted",
        };
        writeln!(
            out,
            "  {} -> {} [style={style}];",
            quoted(authority.who(edge.from)),
            quoted(authority.who(edge.to))
        )?;
    }
    let run_time = authority.run_time();
    for memory in &authority.memory {
        if !memory.what.is_untyped() && memory.what.region().is_none() {
            continue;
        }
        let node = quoted(&format!("memory {}", memory.what));
        let label = format!("{}\\n{}", memory.what, human(memory.bytes));
        writeln!(
            out,
            "  {node} [shape=folder, style=filled, fillcolor=\"#f7efd9\", label=\"{label}\"];"
        )?;
        for reach in authority.reach(memory) {
            let rights = if memory.what.is_untyped() {
                "untyped".to_owned()
            } else {
                reach.rights.to_string()
            };
            writeln!(
                out,
                "  {} -> {node} [dir=none, color=\"#9a7b2f\", label=\"{rights}\"];",
                quoted(authority.who(reach.subject))
            )?;
        }
        let domains = match &memory.what {
            What::Static(domain) => std::slice::from_ref(domain),
            What::Shared { domains, .. } => domains,
            _ => &[],
        };
        if !domains.is_empty() {
            let theirs = |grant: &&crate::Grant| domains.contains(&grant.domain);
            for grant in run_time.grants.iter().filter(theirs) {
                for &user in grant.used_by.iter().chain(&grant.mapped_into) {
                    writeln!(
                        out,
                        "  {} -> {node} [dir=none, color=\"#9a7b2f\", style=dashed, label=\"by grant\"];",
                        quoted(authority.who(user))
                    )?;
                }
            }
        }
    }
    out.push_str("}\n");
    Ok(())
}
