//! A few shapes of SVG, written as text.

use core::fmt::Display;

/// How a line is drawn.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stroke {
    /// A protected call.
    Call,
    /// A notification.
    Notify,
    /// A fault report.
    Fault,
    /// Memory that is mapped.
    Memory,
}

impl Stroke {
    fn attributes(self) -> &'static str {
        match self {
            Self::Call => r##"stroke="#333" stroke-width="1.6""##,
            Self::Notify => r##"stroke="#1f6f8b" stroke-width="1.4" stroke-dasharray="5 3""##,
            Self::Fault => r##"stroke="#b03a2e" stroke-width="1.3" stroke-dasharray="1.5 2.5""##,
            Self::Memory => r##"stroke="#a07d2a" stroke-width="2""##,
        }
    }

    fn arrow(self) -> &'static str {
        match self {
            Self::Call => "call",
            Self::Notify => "notify",
            Self::Fault => "fault",
            Self::Memory => "memory",
        }
    }

    /// Colour, for dots on it.
    pub(super) fn colour(self) -> &'static str {
        match self {
            Self::Call => "#333",
            Self::Notify => "#1f6f8b",
            Self::Fault => "#b03a2e",
            Self::Memory => "#a07d2a",
        }
    }
}

/// Colour of memory boxes.
pub(super) const MEMORY_FILL: &str = "#fbf3dc";
/// Colour of their borders.
pub(super) const MEMORY_EDGE: &str = "#a07d2a";

/// A rectangle.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Area {
    /// Left edge.
    pub x: f64,
    /// Upper edge.
    pub y: f64,
    /// Width.
    pub w: f64,
    /// Height.
    pub h: f64,
}

impl Area {
    /// The middle from left to right.
    pub(super) fn middle(self) -> f64 {
        self.x + self.w / 2.0
    }
    /// Right edge.
    pub(super) fn right(self) -> f64 {
        self.x + self.w
    }
    /// Lower edge.
    pub(super) fn bottom(self) -> f64 {
        self.y + self.h
    }
}

/// What has been drawn so far.
pub(super) struct Canvas {
    out: String,
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

/// Width of `text` about: fonts differ.
#[expect(clippy::cast_precision_loss, reason = "labels are short")]
pub(super) fn width(text: &str, size: f64) -> f64 {
    text.chars().count() as f64 * size * 0.6
}

/// `text`, cut with an ellipsis if it is wider than `room`.
pub(super) fn fitted(text: &str, size: f64, room: f64) -> String {
    if width(text, size) <= room {
        return text.to_owned();
    }
    let mut cut = String::new();
    for letter in text.chars() {
        if width(&cut, size) + 2.0 * size * 0.6 > room {
            break;
        }
        cut.push(letter);
    }
    cut.push('\u{2026}');
    cut
}

impl Canvas {
    /// An empty picture.
    pub(super) fn new(w: f64, h: f64) -> Self {
        let mut out = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {w} {h}\" width=\"{w}\" height=\"{h}\" \
             font-family=\"Helvetica, Arial, 'DejaVu Sans', sans-serif\">\n<defs>\n"
        );
        for stroke in [Stroke::Call, Stroke::Notify, Stroke::Fault, Stroke::Memory] {
            let (name, colour) = (stroke.arrow(), stroke.colour());
            out.push_str(&format!(
                "<marker id=\"{name}\" viewBox=\"0 0 10 10\" refX=\"9\" refY=\"5\" markerWidth=\"9\" markerHeight=\"9\" \
                 markerUnits=\"userSpaceOnUse\" orient=\"auto-start-reverse\"><path d=\"M0 0 L10 5 L0 10 z\" fill=\"{colour}\"/></marker>\n"
            ));
        }
        out.push_str("</defs>\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n");
        Self { out }
    }

    /// The whole as text.
    pub(super) fn finish(mut self) -> String {
        self.out.push_str("</svg>\n");
        self.out
    }

    /// A box with rounded corners.
    pub(super) fn area(&mut self, a: Area, radius: f64, fill: &str, edge: &str, more: &str) {
        let Area { x, y, w, h } = a;
        self.out.push_str(&format!(
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{w:.1}\" height=\"{h:.1}\" rx=\"{radius}\" fill=\"{fill}\" stroke=\"{edge}\" {more}/>\n"
        ));
    }

    /// Text whose baseline starts at (`x`, `y`); `more` are further attributes.
    pub(super) fn text(&mut self, x: f64, y: f64, size: f64, more: &str, text: impl Display) {
        let text = escaped(&text.to_string());
        self.out.push_str(&format!(
            "<text x=\"{x:.1}\" y=\"{y:.1}\" font-size=\"{size}\" {more}>{text}</text>\n"
        ));
    }

    /// Text in the middle of `room`, cut if it is too long, with all of it as a tool tip.
    pub(super) fn label(&mut self, room: Area, size: f64, more: &str, text: &str) {
        let shown = escaped(&fitted(text, size, room.w - 4.0));
        let (x, y) = (room.middle(), room.y + room.h / 2.0 + size * 0.35);
        let title = escaped(text);
        self.out.push_str(&format!(
            "<text x=\"{x:.1}\" y=\"{y:.1}\" font-size=\"{size}\" text-anchor=\"middle\" {more}>{shown}<title>{title}</title></text>\n"
        ));
    }

    /// A box that is memory, with what it is and how much.
    pub(super) fn memory(&mut self, a: Area, size: f64, text: &str, fill: &str, edge: &str) {
        self.area(a, 2.0, fill, edge, "");
        self.label(a, size, "", text);
    }

    /// A line through `points`, with arrowheads at its end (`arrows.1`) and its start (`arrows.0`).
    pub(super) fn line(&mut self, points: &[(f64, f64)], stroke: Stroke, arrows: (bool, bool)) {
        let path: Vec<String> = points
            .iter()
            .map(|(x, y)| format!("{x:.1},{y:.1}"))
            .collect();
        let mut markers = String::new();
        for (wanted, place) in [(arrows.0, "start"), (arrows.1, "end")] {
            if wanted {
                markers.push_str(&format!(" marker-{place}=\"url(#{})\"", stroke.arrow()));
            }
        }
        self.out.push_str(&format!(
            "<polyline points=\"{}\" fill=\"none\" {}{markers}/>\n",
            path.join(" "),
            stroke.attributes()
        ));
    }

    /// A dot where two lines are connected.
    pub(super) fn dot(&mut self, x: f64, y: f64, stroke: Stroke) {
        let colour = stroke.colour();
        self.out.push_str(&format!(
            "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.4\" fill=\"{colour}\"/>\n"
        ));
    }
}
