//! Malformed names in a tree. They are found before it is read, because the reader refuses all of
//! them with nothing but an offset.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// Longest name of a node without its unit address, and of a property (Devicetree Specification
/// 0.4, 2.2.1 and 2.2.4.1).
const NAME_MAX: usize = 31;
/// Tokens of the structure block (Devicetree Specification 0.4, 5.4.1).
const BEGIN_NODE: u32 = 1;
const END_NODE: u32 = 2;
const PROP: u32 = 3;
const NOP: u32 = 4;
/// Names that are listed.
const MOST: usize = 8;
/// Levels of nodes that are followed: more than any tree may have, and so few that a path of them
/// has room.
const DEPTH: usize = 64;
/// Bytes of a name that are shown.
const SHOWN: usize = 64;

/// A name that is none.
pub(crate) struct BadName {
    /// Path of the node, or of the node that has the property.
    pub(crate) path: String,
    /// The property.
    pub(crate) property: Option<String>,
    /// What is wrong with it.
    pub(crate) what: String,
}

/// The first malformed names in `tree`; empty if there are none or the structure block cannot be
/// followed.
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
                if open.len() == DEPTH {
                    return None;
                }
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
    String::from_utf8_lossy(name.get(..SHOWN).unwrap_or(name)).into_owned()
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

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    /// A tree of these tokens, with no strings.
    fn tree(tokens: &[u32]) -> Vec<u8> {
        let mut words = vec![0xd00d_feed, 0, 40, 4];
        words.resize(10, 0);
        words.extend(tokens);
        words.iter().flat_map(|word| word.to_be_bytes()).collect()
    }

    #[test]
    fn what_cannot_be_followed_names_nothing() {
        for tokens in [&[][..], &[NOP; 4], &[BEGIN_NODE], &[END_NODE], &[9]] {
            assert!(bad(&tree(tokens)).is_empty(), "{tokens:?}");
        }
        for length in 0..48 {
            assert!(
                bad(&tree(&[BEGIN_NODE, 0])[..length]).is_empty(),
                "{length}"
            );
        }
    }

    #[test]
    fn a_value_longer_than_the_tree_ends_the_walk() {
        let tokens = [BEGIN_NODE, 0, PROP, u32::MAX, 0, BEGIN_NODE];
        let found = bad(&tree(&tokens));
        assert_eq!(found.len(), 1, "the name before it is told");
        assert_eq!(found[0].what, "the property has no name");
    }

    #[test]
    fn depth_and_names_are_bounded() {
        // "?" is no name of a node.
        let nested = [BEGIN_NODE, u32::from_be_bytes(*b"?\0\0\0")].repeat(10_000);
        let found = bad(&tree(&nested));
        assert_eq!(found.len(), MOST);
        assert!(
            found
                .iter()
                .all(|bad| bad.path.len() <= DEPTH * (SHOWN + 1))
        );
        let fine = [BEGIN_NODE, u32::from_be_bytes(*b"a\0\0\0")].repeat(10_000);
        assert!(bad(&tree(&fine)).is_empty());
        let mut long = vec![BEGIN_NODE, 0, BEGIN_NODE];
        long.extend(core::iter::repeat_n(u32::from_be_bytes(*b"aaaa"), 100_000));
        long.push(0);
        let found = bad(&tree(&long));
        assert!(found[0].what.contains("400000 characters") && found[0].path.len() == 1 + SHOWN);
    }
}
