//! The dt-server's diagnostics with their places in the source, and edits of it.

use dt_server::{Diagnostic, Edit, NODES, Rule};

use super::alike::alike;
use super::mistake::{Fix, Mistake, Related, Severity, TextEdit, empty_span};
use super::sources::{Sources, offset, point, range};
use crate::locate::{Locations, Span};

/// Where things are, and what is there.
pub(super) struct Source<'a> {
    pub(super) locations: &'a Locations,
    pub(super) sources: &'a mut Sources,
}

impl Source<'_> {
    /// `found` as a mistake.
    pub(super) fn mistake(&mut self, found: &Diagnostic) -> Mistake {
        let property = found.property.as_deref();
        let subject = subject(&found.path);
        // Other nodes are called as this one is.
        let what = found.what.replace("/chosen/", "");
        let message = match property {
            Some(property) => format!("{subject}: {property}: {what}"),
            // It is about the file, and who reads it knows which.
            None if found.path == "/" => what,
            None => format!("{subject}: {what}"),
        };
        let at = self.place(&found.path, property);
        let absent = property.filter(|name| self.locations.property(&found.path, name).is_none());
        let label = match (absent, &found.related) {
            (Some(name), _) => format!("no {name} in this node"),
            (None, Some(_)) => String::from("this one"),
            (None, None) => String::from("here"),
        };
        let related = found.related.as_ref().map(|place| Related {
            message: place.note.replace("/chosen/", ""),
            at: self.place(&place.path, place.property),
        });
        let (hint, fix) = self.proposal(found);
        Mistake {
            severity: match found.severity {
                dt_server::Severity::Error => Severity::Error,
                dt_server::Severity::Warning => Severity::Warning,
            },
            rule: found.rule.info(),
            message,
            path: found.path.clone(),
            property: found.property.as_deref().map(str::to_owned),
            at,
            label,
            related,
            hint,
            fix,
        }
    }

    /// The property, or the name of the node.
    pub(super) fn place(&mut self, path: &str, property: Option<&str>) -> Option<Span> {
        if let Some(span) = property.and_then(|name| self.locations.property(path, name)) {
            return Some(span.clone());
        }
        let node = self.locations.node(path)?;
        self.sources.name(node).or_else(|| Some(node.clone()))
    }

    /// What to try, and the change that it is about.
    fn proposal(&mut self, found: &Diagnostic) -> (String, Option<Fix>) {
        if let Some((from, to)) = self.rename(found) {
            if self.locations.property(&found.path, to).is_some() {
                let hint = format!("did you mean {to}? That is there, too: keep one of them");
                return (hint, None);
            }
            return (
                format!("did you mean {to}?"),
                self.renamed(found, &from, to),
            );
        }
        if let Some((hint, fix)) = self.other_compatible(found) {
            return (hint, Some(fix));
        }
        if let Some(Edit::Set { property, .. }) = &found.edit
            && let Some(name) = self.misspelt(&found.path, property)
        {
            // Renaming it mends this mistake, too.
            return (format!("did you mean it by {name}?"), None);
        }
        let fix = found.edit.as_ref();
        let fix = fix.and_then(|edit| self.edit(&found.path, edit));
        (found.hint.clone(), fix)
    }

    /// A property of node `path` that is not known and will be proposed to be called `missing`.
    fn misspelt(&self, path: &str, missing: &str) -> Option<String> {
        if self.locations.property(path, missing).is_some() {
            return None;
        }
        let known = |name: &str| {
            let mut all = NODES.iter().flat_map(|node| node.properties);
            all.any(|property| property.name == name)
        };
        let unknown = self.locations.properties(path).filter(|name| !known(name));
        unknown
            .filter(|name| alike(name, properties_at(path)) == Some(missing))
            .map(str::to_owned)
            .next()
    }

    /// For a node that is not known: its `compatible` with the string in place that was most likely
    /// meant.
    fn other_compatible(&mut self, found: &Diagnostic) -> Option<(String, Fix)> {
        const KNOWN: [&str; 7] = [
            "xen,domain",
            "xen,vcpu",
            "xen,domain-shared-memory-v1",
            "xen,evtchn-v1",
            "multiboot,kernel",
            "multiboot,ramdisk",
            "multiboot,module",
        ];
        if found.rule != Rule::Unknown || found.property.is_some() {
            return None;
        }
        let at = self.locations.property(&found.path, "compatible")?.clone();
        let text = self.sources.slice(&at)?.to_owned();
        let strings = text.split('"').skip(1).step_by(2);
        let (from, to) = strings
            .filter(|string| !KNOWN.contains(string))
            .find_map(|string| Some((string, alike(string, KNOWN.into_iter())?)))?;
        let quoted = |name: &str| format!("\"{name}\"");
        let fix = self.replaced(at, text.replacen(&quoted(from), &quoted(to), 1));
        Some((format!("did you mean \"{to}\"?"), fix))
    }

    /// `edit` of the node `path`, as words and as text.
    pub(super) fn edit(&mut self, path: &str, edit: &Edit) -> Option<Fix> {
        let subject = subject(path);
        match edit {
            Edit::Set { property, value } => {
                let equals = if value.is_empty() { "" } else { " = " };
                let text = format!("{property}{equals}{value};");
                Some(match self.locations.property(path, property).cloned() {
                    Some(at) => self.replaced(at, text),
                    None if self.locations.node(path).is_none() => Fix {
                        summary: format!("let {subject} have `{text}`"),
                        edit: None,
                    },
                    None => Fix {
                        summary: format!("add `{text}` to {subject}"),
                        edit: self.first_in(path, &text),
                    },
                })
            }
            Edit::Remove(property) => {
                let at = self.locations.property(path, property).cloned();
                Some(Fix {
                    summary: match at.as_ref().and_then(|at| self.quote(at)) {
                        Some(old) => format!("remove `{old}`"),
                        None => format!("remove {property} from {subject}"),
                    },
                    edit: at.map(|at| TextEdit {
                        at,
                        text: String::new(),
                    }),
                })
            }
            Edit::RemoveNode => Some(Fix {
                summary: format!("remove the node {subject}"),
                edit: self.whole_node(path),
            }),
            Edit::AddNode(text) => Some(Fix {
                summary: format!("add `{text}` to {subject}"),
                edit: self.last_in(path, text),
            }),
        }
    }

    /// `text` in place of a property of node `path`.
    pub(super) fn replacement(&mut self, path: &str, property: &str, text: String) -> Option<Fix> {
        let at = self.locations.property(path, property).cloned();
        Some(match at {
            Some(at) => self.replaced(at, text),
            None => Fix {
                summary: format!("let {} have `{text}`", subject(path)),
                edit: None,
            },
        })
    }

    fn replaced(&mut self, at: Span, text: String) -> Fix {
        let old = self.quote(&at).unwrap_or_default();
        let line = at.start.line;
        Fix {
            summary: format!("replace `{old}` by `{text}` in line {line}"),
            edit: Some(TextEdit { at, text }),
        }
    }

    /// What is at `at`, with line breaks made blanks.
    fn quote(&mut self, at: &Span) -> Option<String> {
        let text = self.sources.slice(at)?;
        Some(text.split_whitespace().collect::<Vec<_>>().join(" "))
    }

    /// An insertion as the first line of a node: its properties come before its children.
    pub(super) fn first_in(&mut self, path: &str, text: &str) -> Option<TextEdit> {
        let node = self.locations.node(path)?.clone();
        let source = self.sources.text(&node.file)?;
        let brace = offset(source, node.start)?;
        let indent = indent_of_next_line(source.get(brace + 1..)?);
        Some(TextEdit {
            at: empty_span(&node.file, point(source, brace + 1)),
            text: format!("\n{indent}{text}"),
        })
    }

    /// An insertion before the brace that closes a node.
    fn last_in(&mut self, path: &str, text: &str) -> Option<TextEdit> {
        let node = self.locations.node(path)?.clone();
        let source = self.sources.text(&node.file)?;
        let (start, end) = range(source, &node)?;
        let close = start + source.get(start..end)?.rfind('}')?;
        let indent = indent_of_next_line(source.get(start + 1..)?);
        let line = source.get(..close)?.rfind('\n').map_or(close, |at| at + 1);
        Some(TextEdit {
            at: empty_span(&node.file, point(source, line)),
            text: format!("{indent}{text}\n"),
        })
    }

    /// The node with its name and its labels.
    fn whole_node(&mut self, path: &str) -> Option<TextEdit> {
        let node = self.locations.node(path)?.clone();
        let name = self.sources.name(&node)?;
        let text = self.sources.text(&node.file)?;
        let mut start = offset(text, name.start)?;
        while let Some(before) = text.get(..start)?.trim_end().strip_suffix(':') {
            let label = before.trim_end();
            let is_of_label = |c: char| c.is_ascii_alphanumeric() || c == '_';
            start = label.trim_end_matches(is_of_label).len();
            if start == label.len() {
                return None;
            }
        }
        Some(TextEdit {
            at: Span {
                start: point(text, start),
                ..node
            },
            text: String::new(),
        })
    }

    /// For a property that is not known: its name, and one that is known, missing here, and much
    /// like it.
    fn rename(&self, found: &Diagnostic) -> Option<(String, &'static str)> {
        let name = found
            .property
            .as_deref()
            .filter(|_| found.rule == Rule::Unknown)?;
        alike(name, properties_at(&found.path)).map(|known| (name.to_owned(), known))
    }

    fn renamed(&mut self, found: &Diagnostic, from: &str, to: &'static str) -> Option<Fix> {
        let at = self.locations.property(&found.path, from)?.clone();
        let old = self.sources.slice(&at)?.to_owned();
        Some(self.replaced(at, old.replacen(from, to, 1)))
    }
}

/// Properties that a node at `path` may have and that say something.
fn properties_at(path: &str) -> impl Iterator<Item = &'static str> {
    let depth = path.matches('/').count();
    let here = NODES.iter().filter(move |node| match node.name {
        "/chosen" => depth == 1,
        "Domain" => depth == 2,
        _ => depth == 3,
    });
    let known = here.flat_map(|node| node.properties);
    let known = known.filter(|known| !known.example.is_empty());
    known.map(|known| known.name)
}

/// How a node is called in a message: a domain by its name.
pub(super) fn subject(path: &str) -> &str {
    match path {
        "/" => "the tree",
        _ => path.strip_prefix("/chosen/").unwrap_or(path),
    }
}

/// The blanks that the next line with something in it begins with.
fn indent_of_next_line(text: &str) -> &str {
    let line = text
        .split('\n')
        .skip(1)
        .find(|line| !line.trim().is_empty());
    line.map_or("", |line| &line[..line.len() - line.trim_start().len()])
}
