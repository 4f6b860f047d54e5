//! Source files as text, and the way from lines and columns to bytes.

use std::collections::BTreeMap;
use std::fs;

use crate::locate::{Point, Span};

/// The source files that spans are in, read once each.
#[derive(Debug, Default)]
pub(super) struct Sources(BTreeMap<String, Option<Text>>);

#[derive(Debug)]
struct Text {
    text: String,
    /// The file is in UTF-8; else some bytes are shown as `?`, so that offsets stay.
    is_exact: bool,
}

impl Text {
    fn new(bytes: Vec<u8>) -> Self {
        let (text, is_exact) = match String::from_utf8(bytes) {
            Ok(text) => (text, true),
            Err(error) => {
                let mut text = String::new();
                for chunk in error.as_bytes().utf8_chunks() {
                    text.push_str(chunk.valid());
                    text.extend(chunk.invalid().iter().map(|_| '?'));
                }
                (text, false)
            }
        };
        Self { text, is_exact }
    }
}

impl Sources {
    /// What was given in place of a file that dtc calls `file`.
    pub(super) fn set(&mut self, file: &str, bytes: Vec<u8>) {
        self.0.insert(file.to_owned(), Some(Text::new(bytes)));
    }

    fn read(&mut self, file: &str) -> Option<&Text> {
        self.0
            .entry(file.to_owned())
            .or_insert_with(|| fs::read(file).ok().map(Text::new))
            .as_ref()
    }

    /// The text of `file`; `None` where it cannot be read.
    pub(super) fn text(&mut self, file: &str) -> Option<&str> {
        self.read(file).map(|text| text.text.as_str())
    }

    /// The text of `file`, byte for byte; `None` where it is no text.
    pub(super) fn exact(&mut self, file: &str) -> Option<&str> {
        let text = self.read(file).filter(|text| text.is_exact);
        text.map(|text| text.text.as_str())
    }

    /// What is at `span`.
    pub(super) fn slice(&mut self, span: &Span) -> Option<&str> {
        let text = self.text(&span.file)?;
        let (start, end) = range(text, span)?;
        text.get(start..end)
    }

    /// The span of a node's name, which stands in front of the brace that `node` begins with.
    pub(super) fn name(&mut self, node: &Span) -> Option<Span> {
        let text = self.text(&node.file)?;
        let brace = offset(text, node.start)?;
        let before = text.get(..brace)?.trim_end();
        let begin = before
            .rfind([';', '{', '}', '\n', '\t', ' '])
            .map_or(0, |at| at + 1);
        let start = point(text, begin);
        let end = point(text, before.len());
        Some(Span {
            file: node.file.clone(),
            start,
            end,
        })
    }
}

/// Byte offsets of `span` in `text`.
pub(super) fn range(text: &str, span: &Span) -> Option<(usize, usize)> {
    let start = offset(text, span.start)?;
    let end = offset(text, span.end)?;
    (start <= end).then_some((start, end))
}

/// The byte that `point` is at, the end of the line at most.
pub(super) fn offset(text: &str, point: Point) -> Option<usize> {
    let line_start = match point.line {
        0 => return None,
        1 => 0,
        line => text.match_indices('\n').nth(line - 2)?.0 + 1,
    };
    let line = text.get(line_start..)?.split('\n').next()?;
    let mut offset = line_start + point.column.saturating_sub(1).min(line.len());
    // dtc counts bytes, and may stop within a character.
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    Some(offset)
}

/// The line and column of byte `offset`.
pub(super) fn point(text: &str, offset: usize) -> Point {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.len() - before.rfind('\n').map_or(0, |at| at + 1) + 1;
    Point { line, column }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_and_points_are_inverse() {
        let text = "ab\n\tc\n\nd";
        for at in 0..text.len() {
            assert_eq!(offset(text, point(text, at)), Some(at), "{at}");
        }
        assert_eq!(point(text, 3), Point { line: 2, column: 1 });
        assert_eq!(offset(text, Point { line: 9, column: 1 }), None);
        assert_eq!(offset(text, Point { line: 0, column: 1 }), None);
        assert_eq!(
            offset(
                text,
                Point {
                    line: 1,
                    column: 80
                }
            ),
            Some(2)
        );
    }
}
