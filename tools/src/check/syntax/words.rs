//! What dtc says in words of its own, in words that say what to do.

use crate::check::mistake::Mistake;
use crate::check::sources::{Sources, point, range};
use crate::locate::Span;

/// Puts better words in place of dtc's, where they are known; whether they were.
pub(super) fn better(mistake: &mut Mistake, sources: &mut Sources) -> bool {
    let said = mistake.message.clone();
    let (message, hint) = if said.contains("Properties must precede subnodes") {
        (
            String::from("a property stands behind a child node"),
            String::from("move it up: in a DTS a node's properties come before its children"),
        )
    } else if let Some(label) = unknown_label(&said) {
        // dtc shows the whole node.
        mistake.at = mistake.at.take().map(|at| reference(label, at, sources));
        (
            format!("the label {label} is not defined"),
            String::from("define the label, name: node { … }, or correct the reference"),
        )
    } else if said.contains("Duplicate node name") {
        if let Some(name) = mistake.at.as_ref().and_then(|at| sources.name(at)) {
            mistake.at = Some(name);
        }
        let (path, _) = said.split_once(": ").unwrap_or_default();
        (
            format!("the node {path} is there twice"),
            String::from("keep one of them, or give the other another name"),
        )
    } else if said.contains("Duplicate") {
        let (path, _) = said.split_once(": ").unwrap_or_default();
        let (node, property) = path.rsplit_once(':').unwrap_or_default();
        (
            format!("{node} has {property} twice"),
            String::from("keep one of them"),
        )
    } else if said.contains("Value out of range for 32-bit") {
        let number = mistake.at.as_ref().and_then(|at| sources.slice(at));
        too_large(number.unwrap_or_default())
    } else if said.contains("Character literal") {
        (
            String::from("text in single quotes"),
            String::from("write \"text\"; single quotes are for one character, as a number"),
        )
    } else if said.contains("Includes nested too deeply") {
        (
            String::from(
                "includes are nested too deeply: a file includes itself, or one that includes it",
            ),
            String::from("remove the /include/ that closes the circle"),
        )
    } else {
        return false;
    };
    mistake.message = message;
    mistake.hint = hint;
    true
}

/// The label that dtc does not find.
fn unknown_label(said: &str) -> Option<&str> {
    if said.contains("non-existent node or label") {
        return said.split('"').nth(1);
    }
    said.strip_prefix("Label or path ")?
        .strip_suffix(" not found")
}

/// A number that has no room in a cell.
fn too_large(number: &str) -> (String, String) {
    let hex = number.trim().strip_prefix("0x");
    let value = match hex {
        Some(hex) => u64::from_str_radix(hex, 16).ok(),
        None => number.trim().parse().ok(),
    };
    let message = format!("{number} has no room in a cell, which has 32 bits");
    let hint = match value {
        Some(value) => format!(
            "a number of 64 bits takes two cells: {:#x} {:#x}",
            value >> 32,
            value & 0xffff_ffff
        ),
        None => String::from("a number of 64 bits takes two cells, the upper half first"),
    };
    (message, hint)
}

/// Where within `at` the label is referred to; `at` if nowhere.
fn reference(label: &str, at: Span, sources: &mut Sources) -> Span {
    let within = |text: &str| {
        let (start, end) = range(text, &at)?;
        let name = format!("&{label}");
        let offset = start + text.get(start..end)?.find(&name)?;
        Some((point(text, offset), point(text, offset + name.len())))
    };
    match sources.text(&at.file).and_then(within) {
        Some((start, end)) => Span { start, end, ..at },
        None => at,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_of_large_numbers() {
        let (message, hint) = too_large("0x140000000");
        assert_eq!(
            message,
            "0x140000000 has no room in a cell, which has 32 bits"
        );
        assert!(hint.ends_with("two cells: 0x1 0x40000000"), "{hint}");
        assert!(too_large("4294967296").1.ends_with("0x1 0x0"));
        assert!(too_large("a").1.ends_with("first"));
    }

    #[test]
    fn labels_of_dtc() {
        assert_eq!(unknown_label("Label or path x not found"), Some("x"));
        let said = "Reference to non-existent node or label \"y\"";
        assert_eq!(unknown_label(said), Some("y"));
        assert_eq!(unknown_label("syntax error"), None);
    }
}
