//! Files that are no text, or not the text that dtc reads.

use crate::check::mistake::{Fix, Mistake, TextEdit};
use crate::check::rules::HostRule;
use crate::check::sources::Sources;
use crate::locate::{Point, Span};

/// What is wrong with the bytes of `file`, which dtc refused.
pub(super) fn mistake(file: &str, bytes: &[u8], sources: &mut Sources) -> Option<Mistake> {
    const TEXT: &str = "a .dts is text in UTF-8; a compiled tree is a .dtb";
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
    let is_text =
        |byte: u8| byte >= b' ' && byte != 0x7f || byte.is_ascii_whitespace() || byte == 0x0b;
    let control = bytes.iter().position(|byte| !is_text(*byte));
    let other = std::str::from_utf8(bytes)
        .err()
        .map(|error| error.valid_up_to());
    let at = control.into_iter().chain(other).min()?;
    let byte = bytes.get(at)?;
    let before = bytes.get(..at)?;
    let line_start = before
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |at| at + 1);
    let start = Point {
        line: before.iter().filter(|byte| **byte == b'\n').count() + 1,
        column: at - line_start + 1,
    };
    let what = match byte.is_ascii() {
        true => "cannot be in a text",
        false => "is no UTF-8",
    };
    let message = format!(
        "the file is no text: byte {byte:#04x} in line {}, column {} {what}",
        start.line, start.column
    );
    let mut mistake = of_file(message, TEXT)?;
    // Of a file with many such bytes nothing can be shown.
    let strange = bytes.iter().filter(|byte| !is_text(**byte)).count();
    if strange * 50 <= bytes.len() && sources.text(file).is_some() {
        mistake.at = Some(Span {
            file: file.to_owned(),
            start,
            end: Point {
                column: start.column + 1,
                ..start
            },
        });
    }
    Some(mistake)
}
