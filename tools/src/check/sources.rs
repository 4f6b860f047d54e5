//! Source files as text, and the way from lines and columns to bytes.

use std::collections::BTreeMap;
use std::fs;

use crate::locate::{Point, Span};

/// The source files that spans are in, read once each.
#[derive(Debug, Default)]
pub(super) struct Sources(BTreeMap<String, Option<String>>);

impl Sources {
    /// The text of `file`; `None` where it cannot be read.
    pub(super) fn text(&mut self, file: &str) -> Option<&str> {
        self.0
            .entry(file.to_owned())
            .or_insert_with(|| {
                let bytes = fs::read(file).ok()?;
                String::from_utf8(bytes).ok()
            })
            .as_deref()
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
    let offset = line_start + point.column.saturating_sub(1).min(line.len());
    text.is_char_boundary(offset).then_some(offset)
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
