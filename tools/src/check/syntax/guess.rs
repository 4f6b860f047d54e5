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
///
/// `is_first` for the file that dtc was given: an included one need not begin with `/dts-v1/`.
pub(super) fn guess(text: &str, at: &Span, is_first: bool) -> Option<Guess> {
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
    let all = without_comments(text);
    if is_first && !all.contains("/dts-v1/") {
        // Other formats begin with something else than a node or a directive.
        let is_dts = all.trim_start().starts_with('/');
        return said(
            "the file does not begin with /dts-v1/;",
            if is_dts {
                "write it in the first line"
            } else {
                "start from a file in domains/"
            },
            is_dts.then_some((0, "/dts-v1/;\n")),
        );
    }
    if token.starts_with("/*") && !token.contains("*/") {
        return said("this comment has no end", "end it with */", None);
    }
    if let Some((message, hint)) = foreign(text, start) {
        return said(message, &hint, None);
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
        let (message, hint) = in_cells(before, token);
        return said(&message, &hint, None);
    }
    if all.trim_end().ends_with("/dts-v1/;") {
        return said(
            "there is no root node behind /dts-v1/;",
            "write / { … };, or start from a file in domains/",
            None,
        );
    }
    if token.starts_with('}') && code.matches('{').count() <= code.matches('}').count() {
        let hint = "remove it, or look for the }; that closes a node too early";
        return said("here is one closing }; too many", hint, None);
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
    if token.starts_with(['<', '"']) && (last.is_ascii_alphanumeric() || "-_".contains(last)) {
        return said(
            "a = is missing before this",
            "write name = value;",
            Some((start, "= ")),
        );
    }
    if last == '=' && token.starts_with(|c: char| c.is_ascii_digit()) {
        let hint = format!("write <{}>", word(token));
        return said("a number stands in <>", &hint, None);
    }
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

/// What is at `start` and belongs to another language: the C preprocessor, a shell, a word processor.
fn foreign(text: &str, start: usize) -> Option<(&'static str, String)> {
    const CPP: [&str; 9] = [
        "#include", "#define", "#undef", "#ifdef", "#ifndef", "#if", "#else", "#endif", "#pragma",
    ];
    let line_start = text.get(..start)?.rfind('\n').map_or(0, |at| at + 1);
    let line = text.get(line_start..)?.lines().next()?.trim_start();
    let directive = CPP.iter().find(|name| {
        let rest = line.strip_prefix(**name);
        rest.is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '-'))
    });
    if let Some(name) = directive {
        let hint = match (*name, line.split('"').nth(1)) {
            ("#include", Some(file)) => format!(
                "write /include/ \"{file}\", or run the file through cpp -nostdinc -undef -P -x assembler-with-cpp first"
            ),
            _ => String::from(
                "run the file through cpp -nostdinc -undef -P -x assembler-with-cpp first",
            ),
        };
        return Some(("dtc has no preprocessor", hint));
    }
    if line
        .strip_prefix('#')
        .is_some_and(|rest| rest.starts_with([' ', '#', '!']))
    {
        let hint = String::from("write // or /* … */");
        return Some(("this is no comment", hint));
    }
    let quotes = [
        '\u{201c}', '\u{201d}', '\u{201e}', '\u{2018}', '\u{2019}', '\u{ab}', '\u{bb}',
    ];
    if text.get(start..)?.starts_with(quotes) {
        let hint = String::from("write \" before and after the text");
        return Some(("this is a quotation mark of a word processor", hint));
    }
    None
}

/// What is wrong between < and >.
fn in_cells(before: &str, token: &str) -> (String, String) {
    // dtc stops within a word that begins like a number.
    let is_of_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let begin = before.trim_end_matches(is_of_word).len();
    let rest = word(token);
    let word = format!("{}{rest}", before.get(begin..).unwrap_or_default());
    // A whole number in front of something else is right.
    let first = word.chars().next().filter(|_| !rest.is_empty());
    let first = first.unwrap_or(' ');
    if first.is_ascii_digit() {
        return (
            format!("{word} is no number"),
            String::from("numbers are decimal, or begin with 0x, and have no unit"),
        );
    }
    if first.is_ascii_alphabetic() || first == '_' {
        return (
            format!("{word} is no number"),
            String::from(
                "dtc has no macros: write the number, or run the file through cpp first; a label is &label",
            ),
        );
    }
    if token.starts_with('-') {
        return (
            String::from("a number with a sign stands in parentheses"),
            String::from("write (-1); addresses and sizes have no sign"),
        );
    }
    (
        String::from("this cannot stand between < and >"),
        String::from(
            "between < and > there are numbers, (expressions) and &labels; a list goes on after >, with a comma",
        ),
    )
}

/// The word that `token` begins with.
fn word(token: &str) -> &str {
    let end = token.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    &token[..end.unwrap_or(token.len())]
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
