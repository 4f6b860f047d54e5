//! Names and values of the tree as text.

use alloc::format;
use alloc::string::String;
use core::fmt::Write;

/// As much of a node's name as a path shows (a unit address may have any length).
pub(crate) fn shown_name(name: &str) -> &str {
    name.get(..64).unwrap_or(name)
}

/// The string that `value` is, if it is exactly one.
pub(crate) fn one_string(value: &[u8]) -> Option<&str> {
    let (&0, text) = value.split_last()? else {
        return None;
    };
    if text.contains(&0) {
        return None;
    }
    core::str::from_utf8(text).ok()
}

/// Whether `value` is one string with bytes that are no UTF-8, as Latin-1 leaves them.
pub(crate) fn is_text_of_another_encoding(value: &[u8]) -> bool {
    let Some((&0, text)) = value.split_last() else {
        return false;
    };
    text.iter().all(|byte| *byte >= 0x20) && core::str::from_utf8(text).is_err()
}

/// A property's value as a DTS shows it, shortened.
pub(crate) fn show(value: &[u8]) -> String {
    const SHOWN: usize = 32;
    if value.is_empty() {
        return String::new();
    }
    if let Some(text) = one_string(value)
        && !text.is_empty()
        && text.chars().all(|c| !c.is_control())
    {
        let short: String = text.chars().take(2 * SHOWN).collect();
        let more = if short.len() < text.len() { "…" } else { "" };
        return format!("\"{short}{more}\"");
    }
    let mut shown = String::new();
    let (cells, rest) = value.as_chunks::<4>();
    if rest.is_empty() {
        for cell in cells.iter().take(SHOWN / 4) {
            let _ = write!(shown, " {:#x}", u32::from_be_bytes(*cell));
        }
    } else {
        for byte in value.iter().take(SHOWN) {
            let _ = write!(shown, " {byte:02x}");
        }
    }
    let more = if value.len() > SHOWN { " …" } else { "" };
    let (open, close) = if rest.is_empty() {
        ('<', '>')
    } else {
        ('[', ']')
    };
    format!("{open}{}{more}{close}", shown.trim_start())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_shown_as_in_a_dts() {
        assert_eq!(show(b"on\0"), "\"on\"");
        assert_eq!(show(&[0, 0, 0, 1, 0, 0, 16, 0]), "<0x1 0x1000>");
        assert_eq!(show(&[1, 2, 3]), "[01 02 03]");
        assert_eq!(show(&[]), "");
        assert!(show(&[7; 200]).ends_with("…>"));
        assert_eq!(one_string(b"a\0b\0"), None);
        assert_eq!(one_string(b"a"), None);
        assert!(is_text_of_another_encoding(b"caf\xe9\0"));
        for value in [&b""[..], b"\0", b"a\0", b"a\xe9", b"\xe9\0\0"] {
            assert!(!is_text_of_another_encoding(value), "{value:?}");
        }
    }
}
