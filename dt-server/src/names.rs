//! Names of a tree that are none, before it is read: the reader of trees refuses them all with one offset.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::text::shown_name;

/// Longest name of a node without its unit address, and of a property (Devicetree Specification 0.4, 2.2.1 and 2.2.4.1).
const NAME_MAX: usize = 31;
/// Tokens of the structure block (Devicetree Specification 0.4, 5.4.1).
const BEGIN_NODE: u32 = 1;
const END_NODE: u32 = 2;
const PROP: u32 = 3;
const NOP: u32 = 4;
/// Names that are told.
const MOST: usize = 8;

/// A name that is none.
pub(crate) struct BadName {
    /// Path of the node, or of the node that has the property.
    pub(crate) path: String,
    /// The property.
    pub(crate) property: Option<String>,
    /// What is wrong with it.
    pub(crate) what: String,
}

/// The first names in `tree` that are none; empty where there is no such name, or no structure that could be followed.
pub(crate) fn bad(tree: &[u8]) -> Vec<BadName> {
    let mut found = Vec::new();
    let _ = walk(tree, &mut found);
    found
}

fn word(tree: &[u8], at: usize) -> Option<u32> {
    let bytes = tree.get(at..at.checked_add(4)?)?;
    bytes.try_into().ok().map(u32::from_be_bytes)
}

/// The text at `at` up to its zero.
fn text(tree: &[u8], at: usize) -> Option<&[u8]> {
    let rest = tree.get(at..)?;
    rest.get(..rest.iter().position(|byte| *byte == 0)?)
}

/// Follows the structure block; `None` where it ends before its end.
fn walk(tree: &[u8], found: &mut Vec<BadName>) -> Option<()> {
    let start = usize::try_from(word(tree, 8)?).ok()?;
    let strings = usize::try_from(word(tree, 12)?).ok()?;
    let mut at = start;
    let mut open: Vec<&[u8]> = Vec::new();
    // Each turn goes on by a token at least, so it ends.
    while found.len() < MOST {
        let token = word(tree, at)?;
        at = at.checked_add(4)?;
        match token {
            BEGIN_NODE => {
                let name = text(tree, at)?;
                at = at.checked_add(name.len())?.checked_add(4)? & !3;
                open.push(name);
                let reason = (open.len() > 1).then(|| node(name)).flatten();
                found.extend(reason.map(|what| BadName {
                    path: path(&open),
                    property: None,
                    what,
                }));
            }
            END_NODE => {
                open.pop()?;
                if open.is_empty() {
                    return Some(());
                }
            }
            PROP => {
                let length = usize::try_from(word(tree, at)?).ok()?;
                let offset = usize::try_from(word(tree, at.checked_add(4)?)?).ok()?;
                let name = text(tree, strings.checked_add(offset)?)?;
                at = at.checked_add(8)?.checked_add(length)?.checked_add(3)? & !3;
                found.extend(property(name).map(|what| BadName {
                    path: path(&open),
                    property: Some(shown(name)),
                    what,
                }));
            }
            NOP => {}
            _ => return None,
        }
    }
    Some(())
}

fn path(open: &[&[u8]]) -> String {
    let names = open.iter().skip(1);
    let path: String = names.map(|name| format!("/{}", shown(name))).collect();
    match path.is_empty() {
        true => String::from("/"),
        false => path,
    }
}

fn shown(name: &[u8]) -> String {
    String::from(shown_name(&String::from_utf8_lossy(name)))
}

/// What is wrong with the name of a node.
fn node(name: &[u8]) -> Option<String> {
    let mut parts = name.split(|byte| *byte == b'@');
    let bare = parts.next().unwrap_or_default();
    let address = parts.next();
    if parts.next().is_some() {
        return Some(String::from("the name of a node has one @ at most"));
    }
    if bare.is_empty() || address.is_some_and(<[u8]>::is_empty) {
        return Some(String::from(
            "a part of the node's name is missing, before or after @",
        ));
    }
    let all = bare.iter().chain(address.unwrap_or_default());
    wrong(bare, all, b",._+-", "node")
}

/// What is wrong with the name of a property.
fn property(name: &[u8]) -> Option<String> {
    if name.is_empty() {
        return Some(String::from("the property has no name"));
    }
    wrong(name, name.iter(), b",._+-?#", "property")
}

fn wrong<'a>(
    bare: &[u8],
    mut all: impl Iterator<Item = &'a u8>,
    marks: &[u8],
    kind: &str,
) -> Option<String> {
    if bare.len() > NAME_MAX {
        let (name, count) = (shown(bare), bare.len());
        return Some(format!(
            "the name \"{name}\" has {count} characters; that of a {kind} has at most {NAME_MAX}"
        ));
    }
    let is_of_name = |byte: &u8| byte.is_ascii_alphanumeric() || marks.contains(byte);
    let byte = all.find(|byte| !is_of_name(byte))?;
    let byte = match byte.is_ascii_graphic() {
        true => format!("'{}'", char::from(*byte)),
        false => format!("byte {byte:#04x}"),
    };
    let marks: Vec<String> = marks
        .iter()
        .map(|mark| String::from(char::from(*mark)))
        .collect();
    let (name, marks) = (shown(bare), marks.join(" "));
    Some(format!(
        "the name \"{name}\" has {byte} in it; a {kind}'s has letters, digits and {marks}"
    ))
}
