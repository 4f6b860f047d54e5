//! A source with its comments and strings made blanks, so that offsets stay.

/// A source as dtc takes it apart, as far as it matters to a guess.
pub(super) struct Lexed {
    /// The text with comments made blanks.
    pub(super) code: String,
    /// The text with comments and what stands between quotation marks made blanks.
    pub(super) bare: String,
    /// Where a comment begins that has no end.
    pub(super) open_comment: Option<usize>,
    /// Where a comment begins that another one begins in: the end of the first is most likely
    /// missing.
    pub(super) nested: Option<usize>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum In {
    Code,
    Text,
    Line,
    Block(usize),
}

/// Takes `text` apart. A string ends with its line at the latest: one that has no end would hide
/// all that follows.
pub(super) fn lex(text: &str) -> Lexed {
    let mut code = Vec::with_capacity(text.len());
    let mut bare = Vec::with_capacity(text.len());
    let mut state = In::Code;
    let mut nested = None;
    let mut bytes = text.bytes().enumerate().peekable();
    while let Some((at, byte)) = bytes.next() {
        let next = bytes.peek().map(|(_, next)| *next);
        let (in_code, in_bare) = match state {
            In::Code if byte == b'/' && next == Some(b'*') => {
                state = In::Block(at);
                (false, false)
            }
            In::Code if byte == b'/' && next == Some(b'/') => {
                state = In::Line;
                (false, false)
            }
            In::Code => {
                if byte == b'"' {
                    state = In::Text;
                }
                (true, true)
            }
            In::Text => {
                let ends = byte == b'"' || byte == b'\n';
                if ends {
                    state = In::Code;
                }
                if byte == b'\\' && next.is_some_and(|next| next != b'\n') {
                    let (_, escaped) = bytes.next().unwrap_or_default();
                    code.extend([byte, escaped]);
                    bare.extend([b' ', b' ']);
                    continue;
                }
                (true, ends)
            }
            In::Line => {
                if byte == b'\n' {
                    state = In::Code;
                }
                (false, false)
            }
            In::Block(begin) => {
                if byte == b'/' && next == Some(b'*') && nested.is_none() {
                    nested = Some(begin);
                }
                // "/*/" is not both.
                let ends = byte == b'/' && at >= begin + 3;
                if ends && text.as_bytes().get(at - 1) == Some(&b'*') {
                    state = In::Code;
                }
                (false, false)
            }
        };
        let blank = if byte == b'\n' { byte } else { b' ' };
        code.push(if in_code { byte } else { blank });
        bare.push(if in_bare { byte } else { blank });
    }
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Lexed {
        code: text(code),
        bare: text(bare),
        open_comment: match state {
            In::Block(begin) => Some(begin),
            _ => None,
        },
        nested,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_strings_are_blanks() {
        let lexed = lex("a/*b*/c//d\ne \"f//\\\"{\" /**/g");
        assert_eq!(lexed.code, "a     c   \ne \"f//\\\"{\"     g");
        assert_eq!(lexed.bare, "a     c   \ne \"      \"     g");
        assert_eq!(lexed.open_comment, None);
        assert_eq!(lex("a /*/ b").open_comment, Some(2));
        assert_eq!(lex("\"/*\" a").open_comment, None);
        assert_eq!(lex("a /* b /* c */ d").nested, Some(2));
        assert_eq!(lex("/* a */ /* b */").nested, None);
        // One that has no end hides its line alone.
        assert_eq!(lex("\"a\n{").bare, "\" \n{");
        // Letters of several bytes are as many blanks.
        for text in ["/* \u{e4} */ x", "\"\u{e4}\" x", "\u{e4} x"] {
            assert_eq!(lex(text).code.len(), text.len(), "{text}");
            assert_eq!(lex(text).bare.find('x'), text.find('x'), "{text}");
        }
    }
}
