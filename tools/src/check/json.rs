//! Mistakes for editors and scripts.
//!
//! One object; lines and columns count from 1, columns in bytes, ends are exclusive. Fields may be
//! added without a new version; none is removed or changes its meaning.

use dt_server::RuleInfo;
use serde::Serialize;

use super::mistake::{Fix, Mistake, Related, Severity};
use super::{Report, link};
use crate::locate::{Point, Span};

/// Version of the schema, in the field `version`.
pub const VERSION: u32 = 1;

#[derive(Serialize)]
struct Document<'a> {
    version: u32,
    file: String,
    board: &'a str,
    ok: bool,
    errors: usize,
    warnings: usize,
    notes: usize,
    dropped: usize,
    diagnostics: Vec<Entry<'a>>,
    domains: Vec<Domain<'a>>,
}

#[derive(Serialize)]
struct Entry<'a> {
    code: &'a str,
    severity: Severity,
    message: &'a str,
    #[serde(flatten)]
    place: Place<'a>,
    path: &'a str,
    property: Option<&'a str>,
    related: Vec<Other<'a>>,
    rule: Rule<'a>,
    hint: &'a str,
    fix: Option<Change<'a>>,
}

/// `null` where the place is not known, as in a DTB.
#[derive(Serialize, Default)]
struct Place<'a> {
    file: Option<&'a str>,
    line: Option<usize>,
    column: Option<usize>,
    end: Option<Position>,
}

#[derive(Serialize)]
struct Position {
    line: usize,
    column: usize,
}

#[derive(Serialize)]
struct Other<'a> {
    message: &'a str,
    #[serde(flatten)]
    place: Place<'a>,
}

#[derive(Serialize)]
struct Rule<'a> {
    title: &'a str,
    text: &'a str,
    page: String,
}

#[derive(Serialize)]
struct Change<'a> {
    summary: &'a str,
    edits: Vec<Edit<'a>>,
}

#[derive(Serialize)]
struct Edit<'a> {
    file: &'a str,
    start: Position,
    end: Position,
    text: &'a str,
}

#[derive(Serialize)]
struct Domain<'a> {
    domid: u16,
    name: &'a str,
    memory_kib: u64,
    #[serde(rename = "static")]
    is_static: bool,
}

impl From<Point> for Position {
    fn from(Point { line, column }: Point) -> Self {
        Self { line, column }
    }
}

impl<'a> From<&'a Option<Span>> for Place<'a> {
    fn from(span: &'a Option<Span>) -> Self {
        let Some(span) = span else {
            return Self::default();
        };
        Self {
            file: Some(&span.file),
            line: Some(span.start.line),
            column: Some(span.start.column),
            end: Some(span.end.into()),
        }
    }
}

impl<'a> From<&'a Related> for Other<'a> {
    fn from(related: &'a Related) -> Self {
        Self {
            message: &related.message,
            place: Place::from(&related.at),
        }
    }
}

impl<'a> From<&'a Fix> for Change<'a> {
    fn from(fix: &'a Fix) -> Self {
        let edits = fix.edit.iter().map(|edit| Edit {
            file: &edit.at.file,
            start: edit.at.start.into(),
            end: edit.at.end.into(),
            text: &edit.text,
        });
        Self {
            summary: &fix.summary,
            edits: edits.collect(),
        }
    }
}

impl From<&RuleInfo> for Rule<'static> {
    fn from(rule: &RuleInfo) -> Self {
        Self {
            title: rule.title,
            text: rule.text,
            page: link(rule.code),
        }
    }
}

impl<'a> From<&'a Mistake> for Entry<'a> {
    fn from(mistake: &'a Mistake) -> Self {
        Self {
            code: mistake.rule.code,
            severity: mistake.severity,
            message: &mistake.message,
            place: Place::from(&mistake.at),
            path: &mistake.path,
            property: mistake.property.as_deref(),
            related: mistake.related.iter().map(Other::from).collect(),
            rule: Rule::from(&mistake.rule),
            hint: &mistake.hint,
            fix: mistake.fix.as_ref().map(Change::from),
        }
    }
}

impl Report {
    /// Everything as JSON, with a line break at the end.
    ///
    /// # Errors
    /// None that a report of this program can have; serde's type says so of any value.
    pub fn json(&self) -> Result<String, serde_json::Error> {
        let domains = self.config.iter().flat_map(|config| &config.domains);
        let domains = domains.map(|domain| Domain {
            domid: domain.record.domid,
            name: domain.record.name.as_str(),
            memory_kib: domain.ram() / 1024,
            is_static: domain.record.is_static,
        });
        let document = Document {
            version: VERSION,
            file: self.file.to_string_lossy().into_owned(),
            board: self.target.board.name,
            ok: self.count(Severity::Error) == 0,
            errors: self.count(Severity::Error),
            warnings: self.count(Severity::Warning),
            notes: self.count(Severity::Note),
            dropped: self.dropped,
            diagnostics: self.mistakes.iter().map(Entry::from).collect(),
            domains: domains.collect(),
        };
        let mut text = serde_json::to_string_pretty(&document)?;
        text.push('\n');
        Ok(text)
    }
}
