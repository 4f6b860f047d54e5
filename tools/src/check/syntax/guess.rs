//! What is most likely behind a syntax error, from the text before it.

use crate::check::sources::offset;
use crate::locate::Span;

/// What is most likely behind a syntax error.
pub(super) struct Guess {
    pub(super) message: String,
    pub(super) hint: String,
    /// The byte that it is about, if not the one that dtc says.
    pub(super) at: Option<usize>,
    /// What to insert, and before which byte.
    pub(super) insert: Option<(usize, &'static str)>,
}

/// What is wrong at `at`, where dtc says no more than "syntax error".
pub(super) fn guess(text: &str, at: &Span) -> Option<Guess> {
    let start = offset(text, at.start)?;
    let before = text.get(..start)?;
    let code = without_comments(before);
    let token = text.get(start..)?;
    let said = |message: &str, hint: &str, insert| {
        Some(Guess {
            message: format!("syntax error: {message}"),
            hint: hint.to_owned(),
            at: None,
            insert,
        })
    };
    if !without_comments(text).contains("/dts-v1/") {
        return said(
            "the file does not begin with /dts-v1/;",
            "write it in the first line",
            Some((0, "/dts-v1/;\n")),
        );
    }
    let line_end = before.len() + text.get(start..)?.find('\n').unwrap_or(text.len() - start);
    if let Some((quote, end)) = open_string(without_comments(text.get(..line_end)?).as_str()) {
        let guess = said(
            "this string has no end",
            "add the missing \"",
            Some((end, "\"")),
        )?;
        return Some(Guess {
            at: Some(quote),
            ..guess
        });
    }
    let code = code.trim_end();
    let depth = code
        .matches('<')
        .count()
        .checked_sub(code.matches('>').count());
    if depth == Some(1) {
        return said(
            "this cannot stand between < and >",
            "between < and > there are numbers, (expressions) and &labels; a list goes on after >, with a comma",
            None,
        );
    }
    if token.trim().is_empty() {
        let open = code
            .matches('{')
            .count()
            .saturating_sub(code.matches('}').count());
        if open > 0 {
            let nodes = if open == 1 { "a node" } else { "several nodes" };
            let message = format!("the file ends within {nodes}: {open} closing }}; missing");
            return said(&message, "close each node with };", None);
        }
    }
    let last = code.chars().next_back()?;
    if !";{}".contains(last) && (token.starts_with('}') || line_begins(text, start)) {
        return said(
            "a semicolon is missing before this",
            "end the statement before it with a semicolon",
            Some((code.len(), ";")),
        );
    }
    if last == '}' {
        return said(
            "a semicolon is missing before this",
            "a node ends in };",
            Some((code.len(), ";")),
        );
    }
    None
}

/// The opening quote of the first line that has an odd number of them, and the end of its statement.
fn open_string(code: &str) -> Option<(usize, usize)> {
    let mut offset = 0;
    for line in code.split_inclusive('\n') {
        if line.matches('"').count() % 2 == 1 {
            let quote = line.rfind('"')?;
            let end = line.trim_end().trim_end_matches(';').len();
            return Some((offset + quote, offset + end.max(quote + 1)));
        }
        offset += line.len();
    }
    None
}

/// Whether only blanks are before `offset` in its line.
fn line_begins(text: &str, offset: usize) -> bool {
    text.get(..offset).is_some_and(|before| {
        let line = before.rsplit('\n').next().unwrap_or_default();
        line.trim().is_empty()
    })
}

/// `text` with comments made blanks, so that offsets stay.
fn without_comments(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    loop {
        let block = rest.find("/*").map(|at| (at, "*/"));
        let line = rest.find("//").map(|at| (at, "\n"));
        let Some((at, end)) = block.into_iter().chain(line).min() else {
            code.push_str(rest);
            return code;
        };
        let (before, comment) = rest.split_at(at);
        code.push_str(before);
        let length = comment.find(end).map_or(comment.len(), |to| to + end.len());
        let (comment, after) = comment.split_at(length);
        code.extend(std::iter::repeat_n(' ', comment.len()));
        rest = after;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_are_blanks() {
        assert_eq!(
            without_comments("a/*b*/c//d\ne"),
            format!("a{}c{}e", " ".repeat(5), " ".repeat(4))
        );
        assert_eq!(without_comments("a/*b"), "a   ");
    }
}
