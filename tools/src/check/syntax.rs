//! What dtc says about a source, in the form of all other mistakes.

mod bytes;
mod foreign;
mod guess;
mod lex;
mod words;

use dt_server::RuleInfo;

use self::guess::guess;
use super::mistake::{Fix, Mistake, TextEdit};
use super::rules::HostRule;
use super::sources::{Sources, offset, point};
use crate::locate::{Point, Span};

/// A mistake for each line that dtc says; `file` is the source it was given, which has these
/// `bytes`.
pub(super) fn mistakes(
    said: &str,
    file: &str,
    bytes: &[u8],
    sources: &mut Sources,
) -> Vec<Mistake> {
    if let Some(mistake) = bytes::mistake(file, bytes, sources) {
        return vec![mistake];
    }
    let lines = said.lines().filter(|line| !line.trim().is_empty());
    let mut found: Vec<Mistake> = lines
        .map(|line| {
            let (rule, at, message) = read(line);
            let mut mistake = Mistake::of_file(rule, message, "");
            mistake.at = at;
            explain(&mut mistake, file, sources);
            mistake
        })
        .collect();
    // Of two things that dtc says of one place the first is the cause.
    found.dedup_by(|next, first| next.at.is_some() && next.at == first.at);
    if found.is_empty() {
        let message = String::from("dtc refuses the file and does not say why");
        found.push(Mistake::of_file(
            HostRule::Syntax.info(),
            message,
            "run dtc on it by hand",
        ));
    }
    found
}

/// The rule, the place and the words of one line of dtc's.
fn read(line: &str) -> (RuleInfo, Option<Span>, String) {
    for prefix in ["Error: ", "Lexical error: "] {
        if let Some((place, words)) = line
            .strip_prefix(prefix)
            .and_then(|rest| rest.split_once(' '))
            && let Some(span) = span(place)
        {
            return (HostRule::Syntax.info(), Some(span), words.to_owned());
        }
    }
    if let Some(words) = line.strip_prefix("FATAL ERROR: ") {
        let rule = if words.starts_with("Couldn't open") {
            HostRule::Include
        } else {
            HostRule::Syntax
        };
        return (rule.info(), None, words.to_owned());
    }
    // file:1.2-3: ERROR (name_of_check): /path: words
    if let Some((place, words)) = line.split_once("ERROR (") {
        let words = words.split_once("): ").map_or(words, |(_, words)| words);
        let place = place.trim_end_matches([':', ' ']);
        return (HostRule::Tree.info(), span(place), words.to_owned());
    }
    (HostRule::Syntax.info(), None, line.to_owned())
}

/// `file:line.column`, `file:line.column-column` or `file:line.column-line.column`.
fn span(text: &str) -> Option<Span> {
    let (file, place) = text.trim_end_matches(':').rsplit_once(':')?;
    let number = |text: &str| text.parse::<usize>().ok();
    let pair = |text: &str| {
        let (line, column) = text.split_once('.')?;
        Some(Point {
            line: number(line)?,
            column: number(column)?,
        })
    };
    let (start, end) = match place.split_once('-') {
        None => (pair(place)?, None),
        Some((start, end)) => (pair(start)?, Some(end)),
    };
    let end = match end {
        None => Point {
            column: start.column + 1,
            ..start
        },
        Some(end) => pair(end).or_else(|| {
            Some(Point {
                column: number(end)?,
                ..start
            })
        })?,
    };
    Some(Span {
        file: file.to_owned(),
        start,
        end,
    })
}

/// Explains dtc's message where the source shows the cause.
fn explain(mistake: &mut Mistake, file: &str, sources: &mut Sources) {
    if mistake.rule == HostRule::Include.info() {
        let name = mistake.message.split('"').nth(1).map(str::to_owned);
        if let Some(name) = name {
            mistake.at = quoted(&name, file, sources);
            mistake.message = format!("the included file \"{name}\" cannot be opened");
            mistake.hint = format!("put it next to {file}, or correct its name");
        }
        return;
    }
    if words::better(mistake, sources) {
        return;
    }
    if mistake.message != "syntax error" {
        return;
    }
    let Some(at) = mistake.at.clone() else { return };
    let Some(text) = sources.text(&at.file) else {
        return;
    };
    let Some(guess) = guess(text, &at, at.file == file) else {
        mistake.message = match found(text, &at) {
            Some(token) => format!("syntax error: {token} cannot stand here"),
            None => String::from("syntax error: the file cannot end here"),
        };
        mistake.hint =
            String::from("statements end in a semicolon, numbers stand in <>, strings in \"\"");
        return;
    };
    mistake.message = guess.message;
    mistake.hint = guess.hint;
    if let Some(offset) = guess.at {
        let start = point(text, offset);
        let end = Point {
            column: start.column + 1,
            ..start
        };
        mistake.at = Some(Span {
            file: at.file.clone(),
            start,
            end,
        });
    }
    if let Some((from, to, new)) = guess.edit {
        let (start, end) = (point(text, from), point(text, to));
        let old = text.get(from..to).unwrap_or_default();
        let shown = new.split_whitespace().collect::<Vec<_>>().join(" ");
        let summary = match (old, new.is_empty()) {
            ("", _) => format!("insert `{shown}` in line {}", start.line),
            (_, true) => format!("remove `{old}` in line {}", start.line),
            _ if shown.is_empty() => format!("replace `{old}` by a blank in line {}", start.line),
            _ => format!("replace `{old}` by `{shown}` in line {}", start.line),
        };
        mistake.fix = Some(Fix {
            summary,
            edit: Some(TextEdit {
                at: Span {
                    file: at.file.clone(),
                    start,
                    end,
                },
                text: new,
            }),
        });
    }
}

/// What is at `at`: a word, or a character; `None` at the end of the file.
fn found(text: &str, at: &Span) -> Option<String> {
    let start = offset(text, at.start)?;
    let token = text.get(start..)?.trim_start();
    let is_of_word = |c: char| c.is_ascii_alphanumeric() || "_-,.+#@?".contains(c);
    let end = token.find(|c: char| !is_of_word(c)).unwrap_or(token.len());
    let c = token.chars().next()?;
    Some(match token.get(..end).filter(|word| !word.is_empty()) {
        Some(word) => format!("{word:?}"),
        None => format!("{c:?}"),
    })
}

/// The place of `"name"` in `file`.
fn quoted(name: &str, file: &str, sources: &mut Sources) -> Option<Span> {
    let text = sources.text(file)?;
    let quoted = format!("\"{name}\"");
    let start = text.find(&quoted)?;
    Some(Span {
        file: file.to_owned(),
        start: point(text, start),
        end: point(text, start + quoted.len()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(line: usize, column: usize) -> Point {
        Point { line, column }
    }

    #[test]
    fn places_of_dtc() {
        let of = |text| span(text).map(|span| (span.file, span.start, span.end));
        let a = || String::from("a.dts");
        assert_eq!(of("a.dts:2.13-14"), Some((a(), place(2, 13), place(2, 14))));
        assert_eq!(
            of("a.dts:2.13-3.1:"),
            Some((a(), place(2, 13), place(3, 1)))
        );
        assert_eq!(of("a.dts:2.13"), Some((a(), place(2, 13), place(2, 14))));
        assert_eq!(of("a.dts"), None);
        assert_eq!(of("a.dts:x.y"), None);
    }

    #[test]
    fn lines_of_dtc() {
        let (rule, at, words) =
            read("s.dts:2.5-13: ERROR (duplicate_property_names): /:a: Duplicate property name");
        assert_eq!(rule, HostRule::Tree.info());
        assert_eq!(at.map(|at| at.start), Some(place(2, 5)));
        assert_eq!(words, "/:a: Duplicate property name");
        let (rule, at, words) = read("FATAL ERROR: Couldn't open \"x\": No such file or directory");
        assert_eq!((rule, at), (HostRule::Include.info(), None));
        assert!(words.starts_with("Couldn't"));
        let (rule, at, words) = read("something new");
        assert_eq!(
            (rule, at, words.as_str()),
            (HostRule::Syntax.info(), None, "something new")
        );
    }
}
