//! The memory server's bar, the other servers, and the lines from them across the columns.

use untyped_plan::human;

use super::canvas::{Area, MEMORY_EDGE, MEMORY_FILL, Stroke};
use super::{COLUMNS, MEMORY_SERVER, Picture, SERVERS, VMM};
use crate::spec::Kind;
use crate::{Role, Way, What};

impl Picture<'_> {
    fn memory_server_index(&self) -> Option<usize> {
        let subjects = &self.authority.subjects;
        subjects.iter().position(|s| s.role == Role::MemoryServer)
    }

    fn amount(&self, is: impl Fn(&What) -> bool) -> Option<u64> {
        let memory = self.authority.memory.iter().filter(|m| is(&m.what));
        let all: Vec<u64> = memory.map(|memory| memory.bytes).collect();
        (!all.is_empty()).then(|| all.iter().sum())
    }

    /// The bar at the top, with a box for each piece of untyped memory.
    pub(super) fn memory_server(&mut self) {
        let (y, h) = MEMORY_SERVER;
        let bar = Area {
            x: SERVERS.0,
            y,
            w: COLUMNS.1 - SERVERS.0,
            h,
        };
        self.canvas
            .area(bar, 6.0, "none", "#333", "stroke-width=\"1.6\"");
        let Some(index) = self.memory_server_index() else {
            self.canvas
                .label(bar, 13.0, "", "there is no memory server");
            return;
        };
        let left = bar.x + 10.0;
        let subject = &self.authority.subjects[index];
        let title = format!("{}  {}", subject.name, subject.priority);
        self.canvas
            .text(left, y + 20.0, 14.0, "font-weight=\"bold\"", title);
        self.canvas.text(
            left,
            y + 36.0,
            11.0,
            "fill=\"#444\"",
            "holds all untyped memory:",
        );
        let mut at = y + 46.0;
        let mut chips = Vec::new();
        if let Some(bytes) = self.amount(|what| *what == What::Heap) {
            chips.push(format!("heap {}", human(bytes)));
        }
        for (what, bytes, alone) in self.regions(index) {
            if alone {
                chips.push(format!("{what} {}", human(bytes)));
            }
        }
        for chip in chips.into_iter().take(3) {
            let area = Area {
                x: left,
                y: at,
                w: 150.0,
                h: 19.0,
            };
            self.canvas
                .memory(area, 11.0, &chip, MEMORY_FILL, MEMORY_EDGE);
            at += 23.0;
        }
        for index in 0..self.columns.len() {
            self.column_memory(index, bar);
        }
    }

    /// What the memory server holds for one domain.
    fn column_memory(&mut self, index: usize, bar: Area) {
        let column = &self.columns[index];
        let (x, w) = (column.area.x + 5.0, column.area.w - 10.0);
        let domain = column.domain.clone();
        let colour = column.colour;
        let ram = self.amount(|what| *what == What::Static(domain.clone()));
        let tables = self.amount(|what| *what == What::Tables(domain.clone()));
        let wide = w > 150.0;
        let ram = match ram {
            Some(bytes) if wide => format!("static RAM of {domain}: {}", human(bytes)),
            Some(bytes) => format!("RAM {}", human(bytes)),
            None if wide => format!("RAM of {domain}: from the heap"),
            None => "from heap".to_owned(),
        };
        let area = Area {
            x,
            y: bar.y + 14.0,
            w,
            h: 46.0,
        };
        let size = if wide { 13.0 } else { 10.0 };
        self.canvas.area(area, 2.0, colour, colour, "");
        let white = "fill=\"#fff\" font-weight=\"bold\"";
        match ram.split_once(' ') {
            // Two short lines where one would be cut.
            Some((first, rest)) if !wide => {
                let half = |y| Area { y, h: 23.0, ..area };
                self.canvas.label(half(area.y), size, white, first);
                self.canvas.label(half(area.y + 20.0), size, white, rest);
            }
            _ => self.canvas.label(area, size, white, &ram),
        }
        let Some(bytes) = tables else { return };
        let area = Area {
            x,
            y: bar.y + 66.0,
            w,
            h: if wide { 22.0 } else { 32.0 },
        };
        if wide {
            let text = format!("page tables of {domain}: {}", human(bytes));
            self.canvas.memory(area, 11.0, &text, "#fff", colour);
        } else {
            self.canvas.area(area, 2.0, "#fff", colour, "");
            let half = |y| Area { y, h: 16.0, ..area };
            self.canvas.label(half(area.y), 9.0, "", "tables");
            self.canvas
                .label(half(area.y + 14.0), 9.0, "", &human(bytes));
        }
    }

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
            area.y + 19.0,
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
        let tcbs = subject
            .held
            .iter()
            .filter(|held| held.cap.kind == Kind::Tcb)
            .count();
        if tcbs > 0 {
            chips.push((format!("{tcbs} TCBs of others"), false));
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
                y: area.y + area.h - 26.0,
                w: super::canvas::width(&text, 10.5) + 12.0,
                h: 18.0,
            };
            if chip.right() > area.right() - 4.0 {
                break;
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
