//! A mistake as it is reported to the user.

use dt_server::RuleInfo;
use serde::Serialize;

use crate::locate::{Point, Span};

/// How bad it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Nothing starts.
    Error,
    /// It works; the guest may get something else than was written.
    Warning,
    /// It works as written; something about it is worth knowing.
    Note,
}

/// A mistake.
#[derive(Clone, Debug)]
pub struct Mistake {
    /// How bad it is.
    pub severity: Severity,
    /// The rule that is broken.
    pub rule: RuleInfo,
    /// What is wrong.
    pub message: String,
    /// Path of the node in the device tree; empty where it is about the file.
    pub path: String,
    /// The property, where it is about one.
    pub property: Option<String>,
    /// Where in the source it is, if that is known.
    pub at: Option<Span>,
    /// What to say there.
    pub label: String,
    /// The other place.
    pub related: Option<Related>,
    /// What to try; may be empty.
    pub hint: String,
    /// The change that mends it.
    pub fix: Option<Fix>,
}

/// Another place that a mistake is about.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Related {
    /// What is there.
    pub message: String,
    /// Where, if that is known.
    pub at: Option<Span>,
}

/// A change of the source.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fix {
    /// In words: "replace … by …".
    pub summary: String,
    /// The change as text; `None` where there is no source.
    pub edit: Option<TextEdit>,
}

/// Text that takes the place of what is at a span.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TextEdit {
    /// What is replaced; empty for an insertion.
    pub at: Span,
    /// By what.
    pub text: String,
}

impl Mistake {
    /// An error about the file as a whole.
    pub(super) fn of_file(rule: RuleInfo, message: String, hint: &str) -> Self {
        Self {
            severity: Severity::Error,
            rule,
            message,
            path: String::new(),
            property: None,
            at: None,
            label: String::from("here"),
            related: None,
            hint: hint.to_owned(),
            fix: None,
        }
    }
}

/// An empty span at `point`.
pub(super) fn empty_span(file: &str, point: Point) -> Span {
    Span {
        file: file.to_owned(),
        start: point,
        end: point,
    }
}
