//! What is most likely behind a syntax error, from the text around it.

use dt_server::NODES;

use super::foreign::{cells, character, foreign, word};
use super::lex::lex;
use crate::check::sources::offset;
use crate::locate::Span;

/// What is most likely behind a syntax error.
pub(super) struct Guess {
    pub(super) message: String,
    pub(super) hint: String,
    /// The byte that it is about, if not the one that dtc says.
    pub(super) at: Option<usize>,
    /// First byte that is replaced, the first past it, and by what.
    pub(super) edit: Option<(usize, usize, String)>,
}

/// A guess about the place that dtc says.
pub(super) fn said(message: &str, hint: &str, edit: Option<(usize, usize, &str)>) -> Option<Guess> {
    Some(Guess {
        message: format!("syntax error: {message}"),
        hint: hint.to_owned(),
        at: None,
        edit: edit.map(|(start, end, text)| (start, end, text.to_owned())),
    })
}

/// An insertion before a byte.
fn insert(at: usize, text: &str) -> Option<(usize, usize, &str)> {
    Some((at, at, text))
}

/// What is wrong at `at`, where dtc says no more than "syntax error".
///
/// `is_first` for the file that dtc was given: an included one need not begin with `/dts-v1/`.
pub(super) fn guess(text: &str, at: &Span, is_first: bool) -> Option<Guess> {
    let start = offset(text, at.start)?;
    let before = text.get(..start)?;
    let token = text.get(start..)?;
    let lexed = lex(text);
    // Offsets in it are those of the text.
    let bare = lexed.bare.get(..start)?.trim_end();
    if let Some(begin) = lexed.open_comment {
        let guess = said("this comment has no end", "end it with */", None)?;
        return Some(Guess {
            at: Some(begin),
            ..guess
        });
    }
    if is_first && !lexed.code.contains("/dts-v1/") {
        // Other formats begin with something else than a node or a directive.
        let is_dts = lexed.code.trim_start().starts_with('/');
        return said(
            "the file does not begin with /dts-v1/;",
            if is_dts {
                "write it in the first line"
            } else {
                "start from a file in domains/"
            },
            insert(0, "/dts-v1/;\n").filter(|_| is_dts),
        );
    }
    if let Some(guess) = foreign(text, start) {
        return Some(guess);
    }
    let line_end = start + token.find('\n').unwrap_or(token.len());
    if let Some((quote, end)) = open_string(lexed.code.get(..line_end)?) {
        let guess = said(
            "this string has no end",
            "add the missing \"",
            insert(end, "\""),
        )?;
        return Some(Guess {
            at: Some(quote),
            ..guess
        });
    }
    if let Some(guess) = character(text, start) {
        return Some(guess);
    }
    let depth = bare.matches('<').count() as i64 - bare.matches('>').count() as i64;
    if depth == 1 && !token.trim().is_empty() {
        return cells(text, start);
    }
    if lexed.code.trim_end().ends_with("/dts-v1/;") {
        return said(
            "there is no root node behind /dts-v1/;",
            "write / { … };, or start from a file in domains/",
            None,
        );
    }
    let open = bare.matches('{').count() as i64 - bare.matches('}').count() as i64;
    if token.starts_with('}') && open <= 0 {
        let hint = "remove it, or look for the }; that closes a node too early";
        return said("here is one closing }; too many", hint, None);
    }
    // Where the file has no line end at its end, dtc names the last character.
    let is_end = token.trim_matches([';', ' ', '\t', '\r', '\n']).is_empty();
    if is_end && open > 0 {
        return unclosed(text, depth == 1, open);
    }
    let guess = statement(text, start, bare).or_else(|| named(text, start, &lexed.bare, before));
    guess.or_else(|| {
        let begin = lexed.nested.filter(|begin| *begin < start)?;
        let words = "this comment most likely has no end: another one begins in it";
        Some(Guess {
            at: Some(begin),
            ..said(words, "end it with */", None)?
        })
    })
}

/// What is missing where the file ends within `open` nodes, and perhaps within < and >.
fn unclosed(text: &str, in_cells: bool, open: i64) -> Option<Guess> {
    let nodes = if open == 1 { "a node" } else { "several nodes" };
    let message = format!("the file ends within {nodes}: {open} closing }}; missing");
    let end = text.trim_end().len();
    let mut closing = String::new();
    if in_cells {
        closing.push('>');
    }
    if !text.trim_end().ends_with([';', '{']) {
        closing.push(';');
    }
    for _ in 0..open {
        closing.push_str("\n};");
    }
    said(
        &message,
        "close each node with };",
        Some((end, end, &closing)),
    )
}

/// What is missing before `start`, by what the code before it, `bare`, ends in.
fn statement(text: &str, start: usize, bare: &str) -> Option<Guess> {
    let token = text.get(start..)?;
    let last = bare.chars().next_back()?;
    if token.starts_with(['<', '"']) && (last.is_ascii_alphanumeric() || "-_".contains(last)) {
        return said(
            "a = is missing before this",
            "write name = value;",
            insert(start, "= "),
        );
    }
    if token.starts_with(['<', '"', '[']) && "\">]".contains(last) {
        return said(
            "a comma is missing before this",
            "the parts of a list have commas between them",
            insert(bare.len(), ","),
        );
    }
    let value = token
        .split([';', '\n', '}'])
        .next()
        .unwrap_or_default()
        .trim_end();
    if last == '=' && token.starts_with(|c: char| c.is_ascii_digit()) {
        let quoted = format!("<{value}>");
        let hint = format!("write <{}>", word(token));
        let edit = Some((start, start + value.len(), quoted.as_str()));
        return said("a number stands in <>", &hint, edit);
    }
    if last == '=' && token.starts_with(|c: char| c.is_ascii_alphabetic() || "./_".contains(c)) {
        let quoted = format!("\"{value}\"");
        let hint = format!("write {quoted}");
        let edit = Some((start, start + value.len(), quoted.as_str()));
        return said(
            "text stands in \"\"",
            &hint,
            edit.filter(|_| !value.contains('"')),
        );
    }
    // A word that is none of another one's name.
    let is_word = token.starts_with(|c: char| c.is_ascii_alphabetic());
    let ends_value = "\">]".contains(last) && is_word;
    let begins = line_begins(text, start) || is_flag(bare) || ends_value;
    if !";{}".contains(last) && (token.starts_with('}') || begins) {
        return said(
            "a semicolon is missing before this",
            "end the statement before it with a semicolon",
            insert(bare.len(), ";"),
        );
    }
    if last == '}' && !token.starts_with(';') {
        return said(
            "a semicolon is missing before this",
            "a node ends in };",
            insert(bare.len(), ";"),
        );
    }
    if token.starts_with(';') && ";{".contains(last) {
        let edit = Some((start, start + 1, ""));
        return said("here is one semicolon too many", "remove it", edit);
    }
    None
}

/// A name of several words: that of a node, before its {, or of a property, before its =.
fn named(text: &str, start: usize, bare: &str, before: &str) -> Option<Guess> {
    let begin = before
        .rfind([';', '{', '}', '\n', ':'])
        .map_or(0, |at| at + 1);
    let rest = bare.get(start..)?;
    let end = start + rest.find(['{', '=', ';', '}', '\n'])?;
    let words: Vec<&str> = text.get(begin..end)?.split_whitespace().collect();
    let is_name = |word: &&str| {
        let mut all = word.chars();
        all.all(|c| c.is_ascii_alphanumeric() || ",._+-@#?".contains(c))
    };
    if words.len() < 2 || !words.iter().all(is_name) {
        return None;
    }
    let joined = words.join("-");
    let from = begin + text.get(begin..end)?.find(words[0])?;
    let to = from + text.get(from..end)?.trim_end().len();
    let hint = format!("write {joined}, or a semicolon between two statements");
    said("a name has no spaces", &hint, Some((from, to, &joined)))
}

/// Whether the code before ends in the name of a property that has no value.
fn is_flag(bare: &str) -> bool {
    let begin = bare.rfind([';', '{', '}']).map_or(0, |at| at + 1);
    let name = bare.get(begin..).unwrap_or_default().trim();
    let mut all = NODES.iter().flat_map(|node| node.properties);
    all.any(|property| property.name == name && !property.example.contains('='))
}

/// The opening quote of the first line that has an odd number of them, and the end of its
/// statement.
fn open_string(code: &str) -> Option<(usize, usize)> {
    let mut offset = 0;
    for line in code.split_inclusive('\n') {
        let quotes =
            line.matches('"').count() - line.matches("\\\"").count().min(line.matches('"').count());
        if quotes % 2 == 1 {
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
