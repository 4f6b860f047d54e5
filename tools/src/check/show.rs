//! Mistakes for people: the source around each, the other place, what to try.

use std::fmt::{self, Write};

use miette::{
    Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, NamedSource, Severity as Level,
};

use super::mistake::{Mistake, Severity};
use super::sources::{Sources, range};
use super::{Report, link};
use crate::locate::Span;

/// How mistakes are shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Style {
    /// With colours.
    pub colour: bool,
    /// Columns.
    pub width: usize,
}

impl Report {
    /// All mistakes and how many there are; empty if there are none.
    pub fn show(&mut self, style: Style) -> String {
        let theme = if style.colour {
            GraphicalTheme::unicode()
        } else {
            GraphicalTheme::unicode_nocolor()
        };
        let handler = GraphicalReportHandler::new_themed(theme)
            .with_width(style.width)
            .with_links(false)
            .with_context_lines(1)
            .tab_width(4);
        let mut text = String::new();
        for mistake in &self.mistakes {
            let shown = Shown::new(mistake, &mut self.sources);
            // A String takes everything.
            let _ = handler.render_report(&mut text, &shown);
            text.push('\n');
        }
        if !self.mistakes.is_empty() {
            let _ = writeln!(text, "{}", self.summary());
        }
        text
    }

    /// "2 errors, 1 warning in a.dts".
    pub fn summary(&self) -> String {
        let kinds = [
            (Severity::Error, "error"),
            (Severity::Warning, "warning"),
            (Severity::Note, "note"),
        ];
        let counts = kinds.map(|(severity, name)| (self.count(severity), name));
        let mut parts: Vec<String> = counts
            .iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, name)| format!("{count} {name}{}", if *count == 1 { "" } else { "s" }))
            .collect();
        if self.dropped > 0 {
            parts.push(format!("{} more that are not shown", self.dropped));
        }
        if parts.is_empty() {
            parts.push(String::from("no mistakes"));
        }
        format!("{} in {}", parts.join(", "), self.file.display())
    }
}

/// A mistake as miette wants it.
#[derive(Debug)]
struct Shown<'a> {
    mistake: &'a Mistake,
    source: Option<NamedSource<String>>,
    labels: Vec<LabeledSpan>,
    /// The other place, if it is in another file.
    elsewhere: Option<Elsewhere>,
}

/// A place in another file.
#[derive(Debug)]
struct Elsewhere {
    message: String,
    source: NamedSource<String>,
    label: LabeledSpan,
}

impl<'a> Shown<'a> {
    fn new(mistake: &'a Mistake, sources: &mut Sources) -> Self {
        let primary = mistake.at.as_ref().and_then(|at| bytes(at, sources));
        let source = mistake.at.as_ref().and_then(|at| {
            Some(NamedSource::new(
                &at.file,
                sources.text(&at.file)?.to_owned(),
            ))
        });
        let mut labels: Vec<LabeledSpan> = primary
            .into_iter()
            .map(|span| LabeledSpan::new_primary_with_span(Some(mistake.label.clone()), span))
            .collect();
        let mut elsewhere = None;
        if let Some(related) = &mistake.related
            && let Some(at) = &related.at
            && let Some(span) = bytes(at, sources)
        {
            let label = LabeledSpan::new_with_span(Some(related.message.clone()), span);
            let same = mistake.at.as_ref().is_some_and(|own| own.file == at.file);
            if same {
                // A place that is the same would hide the other.
                if primary != Some(span) {
                    labels.push(label);
                }
            } else if let Some(text) = sources.text(&at.file) {
                elsewhere = Some(Elsewhere {
                    message: related.message.clone(),
                    source: NamedSource::new(&at.file, text.to_owned()),
                    label,
                });
            }
        }
        Self {
            mistake,
            source,
            labels,
            elsewhere,
        }
    }
}

/// Columns that are underlined in a line at most.
const UNDERLINED: usize = 80;

/// Offset and length of `span`, as far as it is underlined.
fn bytes(span: &Span, sources: &mut Sources) -> Option<(usize, usize)> {
    let text = sources.text(&span.file)?;
    let (start, end) = range(text, span)?;
    let part = text.get(start..end)?;
    let long = !part.contains('\n') && part.len() > UNDERLINED && part.is_char_boundary(UNDERLINED);
    Some((start, if long { UNDERLINED } else { part.len() }))
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.mistake.message)
    }
}

impl core::error::Error for Shown<'_> {}

impl Diagnostic for Shown<'_> {
    fn code<'b>(&'b self) -> Option<Box<dyn fmt::Display + 'b>> {
        let code = self.mistake.rule.code;
        Some(Box::new(format!("{code} ({})", link(code))))
    }

    fn severity(&self) -> Option<Level> {
        Some(match self.mistake.severity {
            Severity::Error => Level::Error,
            Severity::Warning => Level::Warning,
            Severity::Note => Level::Advice,
        })
    }

    fn help<'b>(&'b self) -> Option<Box<dyn fmt::Display + 'b>> {
        let mut lines = Vec::new();
        if !self.mistake.hint.is_empty() {
            lines.push(self.mistake.hint.clone());
        }
        if let Some(fix) = &self.mistake.fix {
            lines.push(format!("fix: {}", fix.summary));
        }
        let rule = self.mistake.rule;
        if !rule.text.is_empty() {
            lines.push(format!("rule: {}", rule.text));
        }
        (!lines.is_empty()).then(|| Box::new(lines.join("\n")) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn miette::SourceCode> {
        self.source.as_ref().map(|source| source as _)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        (!self.labels.is_empty()).then(|| Box::new(self.labels.iter().cloned()) as _)
    }

    fn related<'b>(&'b self) -> Option<Box<dyn Iterator<Item = &'b dyn Diagnostic> + 'b>> {
        let elsewhere = self.elsewhere.as_ref()?;
        Some(Box::new(std::iter::once(elsewhere as &dyn Diagnostic)))
    }
}

impl fmt::Display for Elsewhere {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl core::error::Error for Elsewhere {}

impl Diagnostic for Elsewhere {
    fn severity(&self) -> Option<Level> {
        Some(Level::Advice)
    }
    fn source_code(&self) -> Option<&dyn miette::SourceCode> {
        Some(&self.source)
    }
    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        Some(Box::new(std::iter::once(self.label.clone())))
    }
}
