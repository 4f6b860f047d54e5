//! Finds the place in a DTS that a node or property of the compiled tree comes from.

use std::collections::BTreeMap;
use std::fmt;

use crate::dtc;

/// A line and a column, both from 1; columns count bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Point {
    /// Line.
    pub line: usize,
    /// Column.
    pub column: usize,
}

/// A part of a source file: from `start` up to, and without, `end`. Shown as `file:line`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Span {
    /// The file as dtc names it.
    pub file: String,
    /// First byte.
    pub start: Point,
    /// First byte past it.
    pub end: Point,
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.start.line)
    }
}

/// Where in the source nodes and properties are.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Locations {
    nodes: BTreeMap<String, Span>,
    properties: BTreeMap<(String, String), Span>,
}

impl Locations {
    /// Places in `source`; none if dtc cannot tell.
    pub(crate) fn of(source: dtc::Source<'_>) -> Self {
        dtc::run(source, &["-O", "dts", "-T", "-T"]).map_or_else(
            |_| Self::default(),
            |text| Self::read(&String::from_utf8_lossy(&text)),
        )
    }

    /// Place of `property` of node `path`, or of the node.
    pub fn find(&self, path: &str, property: Option<&str>) -> Option<&Span> {
        property
            .and_then(|name| self.property(path, name))
            .or_else(|| self.node(path))
    }

    /// The node `path`, from its opening brace to past its closing semicolon.
    pub fn node(&self, path: &str) -> Option<&Span> {
        self.nodes.get(path)
    }

    /// The property `name` of node `path`, with its semicolon.
    pub fn property(&self, path: &str, name: &str) -> Option<&Span> {
        self.properties.get(&(path.to_owned(), name.to_owned()))
    }

    /// Names of the properties of node `path`.
    pub fn properties<'a>(&'a self, path: &'a str) -> impl Iterator<Item = &'a str> {
        let all = self.properties.keys();
        all.filter(move |(node, _)| node == path)
            .map(|(_, name)| name.as_str())
    }

    /// Reads what `dtc -T -T` writes: one node or property a line, with `/*
    /// file:line:column-line:column */` at its end.
    fn read(text: &str) -> Self {
        let mut found = Self::default();
        let mut open: Vec<&str> = Vec::new();
        for line in text.lines() {
            let (code, span) = split(line);
            if let Some(name) = code.strip_suffix('{') {
                // A label stands in front of the name.
                let name = name.trim_end().rsplit(": ").next().unwrap_or_default();
                open.push(name);
                if let Some(span) = span {
                    found.nodes.insert(path(&open), span);
                }
            } else if code == "};" {
                open.pop();
            } else if let Some(span) = span {
                let name = code.split([' ', '=', ';']).next().unwrap_or_default();
                found
                    .properties
                    .insert((path(&open), name.to_owned()), span);
            }
        }
        found
    }
}

fn path(open: &[&str]) -> String {
    match open {
        [] | [_] => String::from("/"),
        [_, names @ ..] => format!("/{}", names.join("/")),
    }
}

/// The code of a line, and what its last comment says.
fn split(line: &str) -> (&str, Option<Span>) {
    let line = line.trim();
    line.strip_suffix("*/")
        .and_then(|rest| rest.rsplit_once("/*"))
        .map_or((line, None), |(code, position)| {
            (code.trim(), span(position.trim()))
        })
}

/// `file:line:column-line:column`; of several places, where a node is continued elsewhere, the
/// first.
fn span(text: &str) -> Option<Span> {
    let first = text.split(", ").next()?;
    let (start, end) = first.rsplit_once('-')?;
    let mut parts = start.rsplitn(3, ':');
    let column = parts.next()?.parse().ok()?;
    let line = parts.next()?.parse().ok()?;
    let file = parts.next()?.to_owned();
    let (end_line, end_column) = end.split_once(':')?;
    Some(Span {
        file,
        start: Point { line, column },
        end: Point {
            line: end_line.parse().ok()?,
            column: end_column.parse().ok()?,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_and_properties_are_found() {
        let text = "/dts-v1/;\n\n/ { /* b-1.dtsi:1:3-1:58, a.dts:2:3-10:3 */\n\t#size-cells = <0x02>; /* a.dts:3:2-3:20 */\n\n\
                    \tchosen { /* a.dts:4:9-9:4 */\n\n\
                    \t\tone: l1 { /* a.dts:5:10-8:5 */\n\t\t\tvpl011; /* a.dts:6:4-6:11 */\n\
                    \t\t\tbootargs = \"a /* b */ {\"; /* a.dts:7:4-8:2 */\n\
                    \t\t}; /* a.dts:5:10-8:5 */\n\t}; /* a.dts:4:9-9:4 */\n}; /* a.dts:2:3-10:3 */\n";
        let found = Locations::read(text);
        let at = |path, property| found.find(path, property).map(ToString::to_string);
        assert_eq!(at("/", None).as_deref(), Some("b-1.dtsi:1"));
        assert_eq!(at("/", Some("#size-cells")).as_deref(), Some("a.dts:3"));
        assert_eq!(at("/chosen/l1", Some("vpl011")).as_deref(), Some("a.dts:6"));
        assert_eq!(at("/chosen/l1", Some("memory")).as_deref(), Some("a.dts:5"));
        assert_eq!(at("/chosen/l2", None), None);
        let bootargs = found.property("/chosen/l1", "bootargs").unwrap();
        assert_eq!(bootargs.start, Point { line: 7, column: 4 });
        assert_eq!(bootargs.end, Point { line: 8, column: 2 });
    }

    #[test]
    fn what_is_no_place_is_none() {
        for text in ["", "a.dts:2", "a.dts:2:x-3:4", "a.dts:1:2-3", "1:2-3:4"] {
            assert_eq!(span(text), None, "{text}");
        }
    }
}
