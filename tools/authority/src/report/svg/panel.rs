//! The words on the right: who can touch whose RAM, what the lines mean, and the rules.

use super::super::ram;
use super::canvas::{Area, MEMORY_EDGE, MEMORY_FILL, Stroke, fitted, width};
use super::{HEIGHT, Picture, WIDTH};

const LEFT: f64 = 908.0;
const RIGHT: f64 = WIDTH - 20.0;

impl Picture<'_> {
    pub(super) fn panel(&mut self) {
        let mut y = 56.0;
        let canvas = &mut self.canvas;
        canvas.text(
            LEFT,
            y,
            14.0,
            "font-weight=\"bold\"",
            "Who can touch the RAM of",
        );
        y += 8.0;
        let ram = ram(self.authority, &self.run_time);
        let few = ram.len() <= 4;
        let hold = self.checks.iter().all(crate::Check::holds);
        for (domain, who) in &ram {
            let colour = self.columns.iter().find(|c| c.domain == *domain);
            let colour = colour.map_or("#888", |column| column.colour);
            y += if few { 18.0 } else { 14.0 };
            let swatch = Area {
                x: LEFT,
                y: y - 10.0,
                w: 12.0,
                h: 12.0,
            };
            canvas.area(swatch, 2.0, colour, colour, "");
            canvas.text(LEFT + 18.0, y, 12.5, "font-weight=\"bold\"", domain);
            let names: Vec<&str> = who.iter().map(|&index| self.authority.who(index)).collect();
            for line in lines(&names.join(", "), 11.5, RIGHT - LEFT - 18.0) {
                y += if few { 15.0 } else { 13.0 };
                canvas.text(LEFT + 18.0, y, 11.5, "", line);
            }
            if few && hold {
                y += 15.0;
                canvas.text(LEFT + 18.0, y, 11.5, "fill=\"#555\"", "and nobody else");
            }
        }
        y += if few { 20.0 } else { 16.0 };
        let text = match hold {
            true => {
                "Nobody else can, now or at run time. The memory server gives static RAM to its domain alone; the kernel sees to the rest."
            }
            false => "and whoever a broken rule lets in: see below.",
        };
        for line in lines(text, 11.0, RIGHT - LEFT) {
            canvas.text(LEFT, y, 11.0, "fill=\"#555\"", line);
            y += 14.0;
        }
        // With many domains everything is closer together.
        let gap = if few { 18.0 } else { 8.0 };
        y = self.legend(y + gap, if few { 18.0 } else { 15.5 });
        y = self.shared(y + gap + 12.0);
        self.rules(y + gap);
    }

    fn legend(&mut self, top: f64, pitch: f64) -> f64 {
        let canvas = &mut self.canvas;
        let mut y = top;
        canvas.text(LEFT, y, 14.0, "font-weight=\"bold\"", "How to read it");
        let rows = [
            (Stroke::Call, "protected call: the caller waits"),
            (Stroke::Notify, "notification"),
            (Stroke::Fault, "report of faults"),
            (Stroke::Memory, "mapped by both ends"),
        ];
        for (stroke, text) in rows {
            y += pitch;
            let arrow = stroke != Stroke::Memory;
            canvas.line(
                &[(LEFT, y - 4.0), (LEFT + 40.0, y - 4.0)],
                stroke,
                (false, arrow),
            );
            canvas.text(LEFT + 50.0, y, 11.5, "", text);
        }
        y += pitch;
        canvas.dot(LEFT + 20.0, y - 4.0, Stroke::Call);
        canvas.text(
            LEFT + 50.0,
            y,
            11.5,
            "",
            "connected; without a dot, lines cross",
        );
        y += pitch;
        let chip = Area {
            x: LEFT,
            y: y - 12.0,
            w: 40.0,
            h: 15.0,
        };
        canvas.memory(chip, 10.0, "", MEMORY_FILL, MEMORY_EDGE);
        canvas.text(
            LEFT + 50.0,
            y,
            11.5,
            "",
            "memory; inside a box: that PD's alone",
        );
        y += pitch;
        let band = Area {
            x: LEFT + 12.0,
            y: y - 12.0,
            w: 16.0,
            h: 15.0,
        };
        let colour = self.columns.first().map_or("#888", |column| column.colour);
        canvas.area(band, 0.0, colour, "none", "fill-opacity=\"0.55\"");
        canvas.text(
            LEFT + 50.0,
            y,
            11.5,
            "",
            "the way of pages granted at run time",
        );
        y
    }

    /// Shared memory, by the reason for which the rules let it pass.
    fn shared(&mut self, top: f64) -> f64 {
        let sharing = self.checks.iter().filter(|check| check.name == "sharing");
        let mut reasons = std::collections::BTreeMap::<&str, usize>::new();
        for allowed in sharing.flat_map(|check| &check.allowed) {
            if let Some((_, reason)) = allowed.split_once(" (") {
                *reasons.entry(reason.trim_end_matches(')')).or_default() += 1;
            }
        }
        let canvas = &mut self.canvas;
        let mut y = top;
        canvas.text(
            LEFT,
            y,
            14.0,
            "font-weight=\"bold\"",
            "Shared memory, by name",
        );
        for (reason, count) in reasons {
            for line in lines(&format!("{count} \u{d7} {reason}"), 11.0, RIGHT - LEFT) {
                y += 14.0;
                canvas.text(LEFT, y, 11.0, "", line);
            }
        }
        y + 14.0
    }

    fn rules(&mut self, top: f64) {
        let canvas = &mut self.canvas;
        let mut y = top;
        let broken: Vec<_> = self.checks.iter().filter(|check| !check.holds()).collect();
        if broken.is_empty() {
            let title = format!("All {} rules hold", self.checks.len());
            canvas.text(
                LEFT,
                y,
                14.0,
                "font-weight=\"bold\" fill=\"#1a7f37\"",
                title,
            );
        } else {
            let title = format!("{} of {} rules are broken", broken.len(), self.checks.len());
            canvas.text(
                LEFT,
                y,
                14.0,
                "font-weight=\"bold\" fill=\"#b03a2e\"",
                title,
            );
        }
        let first = broken.iter().flat_map(|check| &check.breaches);
        for breach in first {
            for line in lines(&breach.message, 11.5, RIGHT - LEFT) {
                y += 15.0;
                if y > HEIGHT - 12.0 {
                    return;
                }
                canvas.text(LEFT, y, 11.5, "fill=\"#b03a2e\"", line);
            }
        }
        if !broken.is_empty() {
            return;
        }
        let names: Vec<&str> = self.checks.iter().map(|check| check.name).collect();
        for line in lines(&names.join(", "), 11.0, RIGHT - LEFT) {
            y += 14.0;
            if y > HEIGHT - 6.0 {
                return;
            }
            canvas.text(LEFT, y, 11.0, "fill=\"#555\"", line);
        }
    }
}

/// `text` in lines of at most `room`.
fn lines(text: &str, size: f64, room: f64) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split(' ') {
        if !line.is_empty() && width(&line, size) + width(word, size) + size * 0.6 > room {
            lines.push(core::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(&fitted(word, size, room));
    }
    lines.push(line);
    lines
}
