//! Files that are no text, or not the text that dtc reads.

use std::fs;

use crate::check::mistake::{Fix, Mistake, TextEdit};
use crate::check::rules::HostRule;
use crate::locate::{Point, Span};

/// What is wrong with the bytes of `file`, which dtc refused.
pub(super) fn mistake(file: &str) -> Option<Mistake> {
    const TEXT: &str = "a .dts is text in UTF-8; a compiled tree is a .dtb";
    let bytes = fs::read(file).ok()?;
    let of_file = |message: String, hint: &str| {
        Some(Mistake::of_file(HostRule::Syntax.info(), message, hint))
    };
    if bytes.iter().all(u8::is_ascii_whitespace) {
        let hint = "start from a file in domains/";
        return of_file(String::from("the file is empty"), hint);
    }
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        let hint = "save it in UTF-8, without a byte order mark";
        return of_file(String::from("the file is in UTF-16"), hint);
    }
    if bytes.starts_with(&[0xef, 0xbb, 0xbf]) {
        let words = "the file begins with a byte order mark, which dtc does not know";
        let mark = Span {
            file: file.to_owned(),
            start: Point { line: 1, column: 1 },
            end: Point { line: 1, column: 4 },
        };
        return Some(Mistake {
            at: Some(mark.clone()),
            fix: Some(Fix {
                summary: String::from("remove the first three bytes"),
                edit: Some(TextEdit {
                    at: mark,
                    text: String::new(),
                }),
            }),
            ..Mistake::of_file(
                HostRule::Syntax.info(),
                words.to_owned(),
                "save it without one",
            )
        });
    }
    let is_text = |byte: u8| byte >= b' ' || byte.is_ascii_whitespace() || byte == 0x0b;
    let (at, byte) = bytes
        .iter()
        .enumerate()
        .find(|(_, byte)| !is_text(**byte))?;
    of_file(
        format!("the file is no text: byte {at} of it is {byte:#04x}"),
        TEXT,
    )
}
