//! Finds the line of a DTS that a node or property of the compiled tree comes from.

use std::collections::BTreeMap;
use std::path::Path;

use crate::dtc;

/// Source positions (`file:line`) of nodes and properties.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Locations {
    nodes: BTreeMap<String, String>,
    properties: BTreeMap<(String, String), String>,
}

impl Locations {
    /// Positions in `source`; none if dtc cannot tell.
    pub fn of(source: &Path) -> Self {
        dtc::run(source, &["-O", "dts", "-T"]).map_or_else(
            |_| Self::default(),
            |text| Self::read(&String::from_utf8_lossy(&text)),
        )
    }

    /// Position of `property` of node `path`, or of the node.
    pub fn find(&self, path: &str, property: Option<&str>) -> Option<&str> {
        property
            .and_then(|name| self.properties.get(&(path.to_owned(), name.to_owned())))
            .or_else(|| self.nodes.get(path))
            .map(String::as_str)
    }

    /// Reads what `dtc -T` writes: one node or property a line, with `/* file:line */` at its end.
    fn read(text: &str) -> Self {
        let mut found = Self::default();
        let mut open: Vec<&str> = Vec::new();
        for line in text.lines() {
            let (code, position) = split(line);
            if let Some(name) = code.strip_suffix('{') {
                // A label stands in front of the name.
                let name = name.trim_end().rsplit(": ").next().unwrap_or_default();
                open.push(name);
                if let Some(position) = position {
                    found.nodes.insert(path(&open), position.to_owned());
                }
            } else if code == "};" {
                open.pop();
            } else if let Some(position) = position {
                let name = code.split([' ', '=', ';']).next().unwrap_or_default();
                found
                    .properties
                    .insert((path(&open), name.to_owned()), position.to_owned());
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
fn split(line: &str) -> (&str, Option<&str>) {
    let line = line.trim();
    line.strip_suffix("*/")
        .and_then(|rest| rest.rsplit_once("/*"))
        .map_or((line, None), |(code, position)| {
            (code.trim(), Some(position.trim()))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_and_properties_are_found() {
        let text = "/dts-v1/;\n\n/ { /* a.dts:2 */\n\t#size-cells = <0x02>; /* a.dts:3 */\n\n\tchosen { /* a.dts:4 */\n\n\
                    \t\tone: l1 { /* a.dts:5 */\n\t\t\tvpl011; /* a.dts:6 */\n\t\t\tbootargs = \"a /* b */ {\"; /* a.dts:7 */\n\
                    \t\t}; /* a.dts:8 */\n\t}; /* a.dts:9 */\n}; /* a.dts:10 */\n";
        let found = Locations::read(text);
        assert_eq!(found.find("/", None), Some("a.dts:2"));
        assert_eq!(found.find("/", Some("#size-cells")), Some("a.dts:3"));
        assert_eq!(found.find("/chosen/l1", Some("vpl011")), Some("a.dts:6"));
        assert_eq!(found.find("/chosen/l1", Some("bootargs")), Some("a.dts:7"));
        assert_eq!(found.find("/chosen/l1", Some("memory")), Some("a.dts:5"));
        assert_eq!(found.find("/chosen/l2", None), None);
    }
}
