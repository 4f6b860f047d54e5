//! What stands in a source and belongs to another language: of the C preprocessor, of a shell, of a
//! word processor, of people.

use dt_server::amount;

use super::guess::{Guess, said};

/// Marks that word processors write in place of ".
const QUOTES: [char; 7] = [
    '\u{201c}', '\u{201d}', '\u{201e}', '\u{2018}', '\u{2019}', '\u{ab}', '\u{bb}',
];

/// What is at `start` and belongs to another language.
pub(super) fn foreign(text: &str, start: usize) -> Option<Guess> {
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
        return said("dtc has no preprocessor", &hint, None);
    }
    if line
        .strip_prefix('#')
        .is_some_and(|rest| rest.starts_with([' ', '#', '!']))
    {
        return said("this is no comment", "write // or /* … */", None);
    }
    let token = text.get(start..)?;
    if token.starts_with(QUOTES) {
        let first = token.chars().next().map_or(0, char::len_utf8);
        let line = token.lines().next().unwrap_or_default();
        let end = line.get(first..)?.char_indices();
        let mut end = end.filter(|(_, c)| QUOTES.contains(c) || *c == '"');
        let quoted = end.next().map(|(at, mark)| {
            let text = line.get(first..first + at).unwrap_or_default();
            (start + first + at + mark.len_utf8(), format!("\"{text}\""))
        });
        return said(
            "this is a quotation mark of a word processor",
            "write \" before and after the text",
            quoted
                .as_ref()
                .map(|(end, text)| (start, *end, text.as_str())),
        );
    }
    None
}

/// A character at `start` that no source has outside of strings and comments.
pub(super) fn character(text: &str, start: usize) -> Option<Guess> {
    let c = text.get(start..)?.chars().next()?;
    if c.is_ascii() {
        return None;
    }
    let code = u32::from(c);
    let (what, instead) = match c {
        '\u{a0}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{3000}' => ("a space", Some(" ")),
        '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}' | '\u{ad}' => {
            ("a character that cannot be seen", Some(""))
        }
        '\u{2010}'..='\u{2015}' | '\u{2212}' => ("a dash", Some("-")),
        _ => ("", None),
    };
    let message = match what {
        "" => format!("the character {c} (U+{code:04X}) cannot stand here"),
        _ => format!("{what} of a word processor (U+{code:04X}) cannot stand here"),
    };
    let hint = match instead {
        Some("") => "remove it",
        Some(_) => "type it again",
        None => {
            "the name of a node has letters A-Z and a-z, digits and , . _ + -; other letters stand in strings and comments"
        }
    };
    let edit = instead.map(|instead| (start, start + c.len_utf8(), instead));
    said(&message, hint, edit)
}

/// What is wrong between < and >, at `start`.
pub(super) fn cells(text: &str, start: usize) -> Option<Guess> {
    let (before, token) = (text.get(..start)?, text.get(start..)?);
    // dtc stops within a word that begins like a number.
    let is_of_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let begin = before.trim_end_matches(is_of_word).len();
    let rest = word(token);
    let number = format!("{}{rest}", before.get(begin..).unwrap_or_default());
    let end = start + rest.len();
    // A whole number in front of something else is right.
    let first = number.chars().next().filter(|_| !rest.is_empty());
    let first = first.unwrap_or(' ');
    // A word that begins a line and its statement.
    let line = before.get(..begin)?.rsplit('\n').next()?;
    let rest_of_line = token.lines().next().unwrap_or_default();
    if line.trim().is_empty()
        && rest_of_line.contains(['{', '=', ';'])
        && !rest_of_line.contains('>')
    {
        let at = before.get(..begin)?.trim_end().len();
        return said(
            "a > is missing before this",
            "numbers stand between < and >, and a statement ends in a semicolon",
            Some((at, at, ">;")).filter(|_| line.len() < begin),
        );
    }
    if first.is_ascii_alphanumeric() || first == '_' {
        return no_number(text, &number, begin, end);
    }
    if token.starts_with('-') {
        return said(
            "a number with a sign stands in parentheses",
            "write (-1); addresses and sizes have no sign",
            None,
        );
    }
    if token.starts_with(',') {
        let edit = Some((start, start + 1, " "));
        return said("numbers have no comma between them", "write <1 2>", edit);
    }
    if token.starts_with([';', '}', '{', '=']) {
        let at = before.trim_end().len();
        return said(
            "a > is missing before this",
            "numbers stand between < and >",
            Some((at, at, ">")).filter(|_| token.starts_with(';')),
        );
    }
    said(
        "this cannot stand between < and >",
        "between < and > there are numbers, (expressions) and &labels; a list goes on after >, with a comma",
        None,
    )
}

/// What `number`, which is none, was to be.
fn no_number(text: &str, number: &str, begin: usize, end: usize) -> Option<Guess> {
    let message = format!("{number} is no number");
    let edit = |value: &str| Some((begin, end, value.to_owned()));
    let told = |message: &str, hint: &str, edit: Option<(usize, usize, String)>| {
        let edit = edit.as_ref();
        said(
            message,
            hint,
            edit.map(|(start, end, text)| (*start, *end, text.as_str())),
        )
    };
    let is_hex = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_hexdigit());
    if is_hex(number) && number.len() <= 8 {
        let message = format!("{number} is hexadecimal");
        return told(
            &message,
            &format!("write 0x{number}"),
            edit(&format!("0x{number}")),
        );
    }
    // As assemblers and shells write it.
    let bare = number
        .strip_suffix(['h', 'H'])
        .or_else(|| number.strip_prefix(['x', 'X']));
    if let Some(bare) = bare.filter(|bare| is_hex(bare) && bare.len() <= 8) {
        let message = format!("{number} is hexadecimal, but written otherwise in a DTS");
        return told(
            &message,
            &format!("write 0x{bare}"),
            edit(&format!("0x{bare}")),
        );
    }
    let joined = number.replace('_', "");
    let digits = joined.strip_prefix("0x").unwrap_or(&joined);
    if number.contains('_') && is_hex(digits) && number.starts_with(|c: char| c.is_ascii_digit()) {
        return told(
            "a number has no _ in it",
            &format!("write {joined}"),
            edit(&joined),
        );
    }
    if let Some(bytes) = amount(number) {
        let (unit, value) = match in_kib(text, begin) {
            true => ("KiB", bytes / 1024),
            false => ("bytes", bytes),
        };
        let value = format!("{value:#x}");
        let hint = format!("the number here is in {unit}: write {value}");
        let fits = u32::try_from(bytes).is_ok();
        return told(
            &format!("{number}: a number has no unit"),
            &hint,
            edit(&value).filter(|_| fits),
        );
    }
    if number.starts_with(|c: char| c.is_ascii_digit()) {
        return told(
            &message,
            "numbers are decimal, or begin with 0x, and have no unit",
            None,
        );
    }
    told(
        &message,
        "dtc has no macros: write the number, or run the file through cpp first; a label is &label",
        None,
    )
}

/// Whether the statement around `at` is one whose number is in KiB.
fn in_kib(text: &str, at: usize) -> bool {
    let before = text.get(..at).unwrap_or_default();
    let begin = before.rfind([';', '{', '}']).map_or(0, |at| at + 1);
    let name = before.get(begin..).unwrap_or_default();
    let name = name.split('=').next().unwrap_or_default().trim();
    ["memory", "zazen,memory-max"].contains(&name)
}

/// The word that `token` begins with.
pub(super) fn word(token: &str) -> &str {
    let end = token.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    &token[..end.unwrap_or(token.len())]
}
