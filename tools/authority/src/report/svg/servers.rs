//! The servers below the memory server, and the lines from them across the columns.

use super::canvas::{Area, MEMORY_EDGE, MEMORY_FILL, Stroke};
use super::{MEMORY_SERVER, Picture, SERVERS, VMM};
use crate::Way;
use crate::spec::Kind;

impl Picture<'_> {
    /// The other servers' boxes, their lines across the columns, and the VMMs' lines up to them.
    pub(super) fn rails(&mut self) {
        self.risers();
        for row in 0..self.servers.len() {
            let (server, area) = self.servers[row];
            self.rail(server, area);
            self.server_box(server, area);
        }
    }

    /// Lines from each VMM up to the highest server that it talks to.
    fn risers(&mut self) {
        let bottom = MEMORY_SERVER.0 + MEMORY_SERVER.1;
        let memory = self.memory_server_index();
        for index in 0..self.columns.len() {
            let column = &self.columns[index];
            let Some(vmm) = column.vmm else { continue };
            let (calls, notes) = (column.calls(), column.notifications());
            let called = |s: &Self, server| s.can(vmm, Way::Call, server);
            let top = self.servers.iter().find(|(s, _)| called(self, *s));
            if memory.is_some_and(|memory| called(self, memory)) {
                self.canvas.line(
                    &[(calls, VMM.0), (calls, bottom)],
                    Stroke::Call,
                    (false, true),
                );
            } else if let Some((_, area)) = top {
                let y = rail_y(*area, Way::Call);
                self.canvas
                    .line(&[(calls, VMM.0), (calls, y)], Stroke::Call, (false, false));
            }
            let to = |s: &Self, server| s.can(vmm, Way::Notify, server);
            let from = |s: &Self, server| s.can(server, Way::Notify, vmm);
            let top = self
                .servers
                .iter()
                .find(|(s, _)| to(self, *s) || from(self, *s));
            if let Some((_, area)) = top {
                let y = rail_y(*area, Way::Notify);
                let into = self.servers.iter().any(|(s, _)| from(self, *s));
                self.canvas
                    .line(&[(notes, VMM.0), (notes, y)], Stroke::Notify, (into, false));
            }
            let reported = |s: &Self, server| s.can(vmm, Way::Fault, server);
            let top = self.servers.iter().find(|(s, _)| reported(self, *s));
            if let Some((_, area)) = top {
                let (x, y) = (self.columns[index].faults(), rail_y(*area, Way::Fault));
                self.canvas
                    .line(&[(x, VMM.0), (x, y)], Stroke::Fault, (false, false));
            }
        }
    }

    /// The lines of one server across the columns, with a dot for each VMM that is connected.
    fn rail(&mut self, server: usize, area: Area) {
        for (way, stroke) in [
            (Way::Call, Stroke::Call),
            (Way::Notify, Stroke::Notify),
            (Way::Fault, Stroke::Fault),
        ] {
            let y = rail_y(area, way);
            let mut dots = Vec::new();
            let mut inward = false;
            for column in &self.columns {
                let Some(vmm) = column.vmm else { continue };
                let to = self.can(vmm, way, server);
                inward |= to;
                if to || (way == Way::Notify && self.can(server, way, vmm)) {
                    dots.push(match way {
                        Way::Call => column.calls(),
                        Way::Notify => column.notifications(),
                        Way::Fault => column.faults(),
                    });
                }
            }
            let Some(&last) = dots.last() else { continue };
            self.canvas
                .line(&[(last, y), (area.right(), y)], stroke, (false, inward));
            for x in dots {
                self.canvas.dot(x, y, stroke);
            }
        }
    }

    fn server_box(&mut self, server: usize, area: Area) {
        let subject = &self.authority.subjects[server];
        self.canvas
            .area(area, 6.0, "#e8eef7", "#4a5a78", "stroke-width=\"1.3\"");
        let title = format!("{}  {}", subject.name, subject.priority);
        self.canvas.text(
            area.x + 10.0,
            area.y + 17.0,
            13.0,
            "font-weight=\"bold\"",
            title,
        );
        let mut chips: Vec<(String, bool)> = Vec::new();
        for held in subject
            .held
            .iter()
            .filter(|held| held.cap.kind == Kind::Irq)
        {
            let irq = held
                .cap
                .object
                .and_then(|id| self.authority.spec.get(id)?.irq);
            chips.push((
                format!("IRQ {}", irq.map_or("?".into(), |i| i.to_string())),
                false,
            ));
        }
        // Its own virtual machine, which some boards need for telling the time, is part of it.
        let subjects = self.authority.subjects.iter().enumerate();
        let strangers = subjects
            .filter(|(index, _)| *index != server && self.authority.keeper(*index) != Some(server))
            .flat_map(|(_, subject)| &subject.threads);
        let strangers: Vec<_> = strangers.copied().collect();
        let tcbs = subject.held.iter();
        let tcbs = tcbs.filter(|held| held.cap.object.is_some_and(|id| strangers.contains(&id)));
        match tcbs.count() {
            0 => {}
            count => chips.push((format!("{count} \u{d7} TCB"), false)),
        }
        for (what, _, alone) in self.regions(server) {
            if alone {
                chips.push((what.to_string(), true));
            }
        }
        let mut x = area.x + 10.0;
        for (text, memory) in chips {
            let chip = Area {
                x,
                y: area.y + area.h - 24.0,
                w: super::canvas::width(&text, 10.5) + 12.0,
                h: 18.0,
            };
            if chip.right() > area.right() - 4.0 {
                continue;
            }
            let (fill, edge) = if memory {
                (MEMORY_FILL, MEMORY_EDGE)
            } else {
                ("#fff", "#4a5a78")
            };
            self.canvas.memory(chip, 10.5, &text, fill, edge);
            x = chip.right() + 6.0;
        }
    }

    /// Lines between servers, left of their boxes.
    pub(super) fn between_servers(&mut self) {
        let (y, h) = MEMORY_SERVER;
        let memory = self.memory_server_index().map(|index| {
            let bar = Area {
                x: SERVERS.0,
                y,
                w: 0.0,
                h,
            };
            (index, bar)
        });
        let all: Vec<(usize, Area)> = memory.into_iter().chain(self.servers.clone()).collect();
        let mut lane = SERVERS.0 - 14.0;
        let mut ends = std::collections::BTreeMap::<usize, f64>::new();
        // Where the next line ends at a box: one below the other.
        let mut end = |index: usize, area: Area| {
            let next = ends.entry(index).or_insert(area.y + 9.0);
            let y = next.min(area.bottom() - 4.0);
            *next += 8.0;
            y
        };
        // Short lines inside, so that lines do not cross.
        let mut pairs = Vec::new();
        for (i, &upper) in all.iter().enumerate() {
            for (j, &lower) in all.iter().enumerate().skip(i + 1) {
                pairs.push((j - i, upper, lower));
            }
        }
        pairs.sort_by_key(|(distance, ..)| *distance);
        for (_, (upper, above), (lower, below)) in pairs {
            for (way, stroke) in [
                (Way::Call, Stroke::Call),
                (Way::Notify, Stroke::Notify),
                (Way::Fault, Stroke::Fault),
            ] {
                let up = self.can(lower, way, upper);
                let down = self.can(upper, way, lower);
                if !up && !down {
                    continue;
                }
                let (from, to) = (end(lower, below), end(upper, above));
                let points = [(SERVERS.0, from), (lane, from), (lane, to), (SERVERS.0, to)];
                self.canvas.line(&points, stroke, (down, up));
                lane = (lane - 7.0).max(6.0);
            }
        }
    }
}

/// Height at which the line of `area`'s server for `way` runs.
fn rail_y(area: Area, way: Way) -> f64 {
    let middle = area.y + area.h * 0.36;
    match way {
        Way::Call => middle - 8.0,
        Way::Notify => middle + 5.0,
        Way::Fault => middle + 12.0,
    }
}
