//! The domains' columns: what is granted, the VMMs, the guests, and the memory that they share.

use untyped_plan::human;

use super::canvas::{Area, MEMORY_EDGE, MEMORY_FILL, Stroke};
use super::{GUEST, MEMORY_SERVER, Picture, SERVERS, VMM};
use crate::{Role, What};

/// Height of the boxes of shared memory on the left.
const CHIP: f64 = 22.0;

impl Picture<'_> {
    /// The way of granted pages from the memory server through the VMM to the guest.
    pub(super) fn bands(&mut self) {
        for column in &self.columns {
            let (x, w) = column.band();
            let top = MEMORY_SERVER.0 + 60.0;
            let more = "fill-opacity=\"0.55\"";
            let upper = Area {
                x,
                y: top,
                w,
                h: VMM.0 - top,
            };
            self.canvas.area(upper, 0.0, column.colour, "none", more);
            let lower = Area {
                x,
                y: VMM.0 + VMM.1,
                w,
                h: GUEST.0 - VMM.0 - VMM.1,
            };
            self.canvas.area(lower, 0.0, column.colour, "none", more);
            if let (true, Some((_, row))) = (column.area.w > 150.0, self.servers.get(1)) {
                let (x, y) = (x + w + 13.0, row.y + 4.0);
                let more = format!(
                    "fill=\"{}\" transform=\"rotate(-90 {x:.1} {y:.1})\"",
                    column.colour
                );
                self.canvas.text(x, y, 11.0, &more, "granted");
            }
        }
    }

    /// The text ring of each VMM, between it and the console.
    pub(super) fn rings(&mut self) {
        let role = |index: usize| self.authority.subjects.get(index).map(|s| s.role);
        let mut servers = self.servers.iter().copied();
        let console = servers.find(|(index, _)| role(*index) == Some(Role::Console));
        let Some((index, area)) = console else { return };
        let y = area.y + area.h - 12.0;
        let mut last = None;
        let mut boxes = Vec::new();
        for column in &self.columns {
            let Some(vmm) = column.vmm else { continue };
            let both = self.authority.memory.iter().find(|memory| {
                let reach = self.authority.reach(memory);
                let has = |who| reach.iter().any(|reach| reach.subject == who);
                is_ring(&memory.what) && has(vmm) && has(index)
            });
            let Some(ring) = both else { continue };
            let (x, w) = column.shared();
            boxes.push((
                Area {
                    x,
                    y: y - 10.0,
                    w: w.min(170.0),
                    h: 20.0,
                },
                if w > 110.0 {
                    format!("text ring {}", human(ring.bytes))
                } else {
                    "ring".to_owned()
                },
            ));
            last = Some(x);
        }
        if let Some(last) = last {
            self.canvas.line(
                &[(area.right(), y), (last, y)],
                Stroke::Memory,
                (false, false),
            );
        }
        for (ring, text) in boxes {
            let x = ring.middle();
            self.canvas
                .line(&[(x, ring.y), (x, VMM.0)], Stroke::Memory, (false, false));
            self.canvas
                .memory(ring, 10.5, &text, MEMORY_FILL, MEMORY_EDGE);
        }
    }

    pub(super) fn vmms(&mut self) {
        for index in 0..self.columns.len() {
            let column = &self.columns[index];
            let area = Area {
                x: column.area.x + 5.0,
                y: VMM.0,
                w: column.area.w - 10.0,
                h: VMM.1,
            };
            let colour = column.colour;
            let wide = area.w > 150.0;
            let Some(vmm) = column.vmm else { continue };
            let subject = &self.authority.subjects[vmm];
            self.canvas
                .area(area, 6.0, "#fff", colour, "stroke-width=\"2\"");
            let line = |y: f64| Area {
                y: area.y + y,
                h: 18.0,
                ..area
            };
            let size = if wide { 14.0 } else { 10.5 };
            let name = match wide {
                true => format!("{}  {}", subject.name, subject.priority),
                false => "VMM".to_owned(),
            };
            self.canvas
                .label(line(6.0), size, "font-weight=\"bold\"", &name);
            let text = if wide {
                "uses what is granted, cannot copy it".to_owned()
            } else {
                subject.priority.to_string()
            };
            let size = if wide { 11.0 } else { 10.0 };
            self.canvas.label(line(26.0), size, "fill=\"#444\"", &text);
            let private: Vec<String> = self
                .regions(vmm)
                .iter()
                .filter(|(.., alone)| *alone)
                .map(|(what, bytes, _)| format!("{what} {}", human(*bytes)))
                .collect();
            let Some(text) = private.first() else {
                continue;
            };
            let chip = Area {
                x: area.x + area.w * 0.12,
                y: area.y + 52.0,
                w: area.w * 0.76,
                h: 20.0,
            };
            let text = if wide { text.clone() } else { "p2m".to_owned() };
            self.canvas
                .memory(chip, 10.5, &text, MEMORY_FILL, MEMORY_EDGE);
        }
    }

    /// Memory that several VMMs or guests share, as boxes on the left with a line to each.
    pub(super) fn files(&mut self) {
        let below = |row: (f64, f64)| row.0 + row.1;
        let vmms: Vec<_> = self.columns.iter().map(|column| column.vmm).collect();
        let guests: Vec<_> = self.columns.iter().map(|column| column.guest).collect();
        self.shared_row(&vmms, below(VMM), "files, read-only");
        self.shared_row(&guests, below(GUEST), "device of every guest");
    }

    /// `who`: for each column who may have it; `bottom`: the lower edge of their boxes.
    fn shared_row(&mut self, who: &[Option<usize>], bottom: f64, title: &str) {
        let mut rows = Vec::new();
        for memory in &self.authority.memory {
            let reach = self.authority.reach(memory);
            let has = |who: usize| reach.iter().any(|reach| reach.subject == who);
            let outside = reach
                .iter()
                .any(|reach| !who.contains(&Some(reach.subject)));
            let users: Vec<usize> = (0..who.len())
                .filter(|&i| who.get(i).copied().flatten().is_some_and(has))
                .collect();
            let private = users.len() == 1 && !is_file(&memory.what);
            if memory.what.region().is_none() || users.is_empty() || outside || private {
                continue;
            }
            rows.push((memory.what.to_string(), memory.bytes, users));
        }
        if rows.is_empty() {
            return;
        }
        // More than fit: the largest by name, the rest as one box.
        const MOST: usize = 3;
        rows.sort_by_key(|(_, bytes, _)| core::cmp::Reverse(*bytes));
        if rows.len() > MOST {
            let rest = rows.split_off(MOST - 1);
            let bytes = rest.iter().map(|(_, bytes, _)| bytes).sum();
            let mut users: Vec<usize> =
                rest.iter().flat_map(|(.., users)| users).copied().collect();
            users.sort_unstable();
            users.dedup();
            rows.push((format!("{} more", rest.len()), bytes, users));
        }
        #[expect(clippy::cast_precision_loss, reason = "at most three")]
        let first = bottom + 10.0 - CHIP * (rows.len() as f64 - 1.0);
        let title_y = first - CHIP / 2.0 - 6.0;
        self.canvas
            .text(SERVERS.0, title_y, 11.0, "fill=\"#6b5416\"", title);
        let mut y = first;
        // Lines to the right run below the boxes of the columns, one below the other.
        let mut rail = bottom + 6.0;
        for (place, (name, bytes, users)) in (0u8..).zip(rows) {
            let chip = Area {
                x: SERVERS.0,
                y: y - CHIP / 2.0 + 2.0,
                w: SERVERS.1 - SERVERS.0,
                h: CHIP - 4.0,
            };
            let text = format!("{name} {}", human(bytes));
            let aside = f64::from(place) * 9.0;
            let x_of = |s: &Self, user: usize| {
                let area = s.columns[user].area;
                area.x + area.w * 0.7 + aside.min(area.w * 0.25)
            };
            if let Some(&last) = users.last() {
                let turn = chip.right() + 12.0 + aside;
                let end = x_of(self, last);
                let points = [(chip.right(), y), (turn, y), (turn, rail), (end, rail)];
                self.canvas.line(&points, Stroke::Memory, (false, false));
            }
            for user in users {
                let x = x_of(self, user);
                self.canvas
                    .line(&[(x, rail), (x, bottom)], Stroke::Memory, (false, false));
                self.canvas.dot(x, rail, Stroke::Memory);
            }
            self.canvas
                .memory(chip, 10.5, &text, MEMORY_FILL, MEMORY_EDGE);
            y += CHIP;
            rail += 8.0;
        }
    }

    pub(super) fn guests(&mut self) {
        for index in 0..self.columns.len() {
            let column = &self.columns[index];
            let (Some(guest), x) = (column.guest, column.calls()) else {
                continue;
            };
            let area = Area {
                x: column.area.x + 5.0,
                y: GUEST.0,
                w: column.area.w - 10.0,
                h: GUEST.1,
            };
            let wide = area.w > 150.0;
            let points = [(x, GUEST.0), (x, VMM.0 + VMM.1)];
            self.canvas.line(&points, Stroke::Fault, (false, true));
            self.canvas.area(
                area,
                26.0,
                column.colour,
                column.colour,
                "fill-opacity=\"0.28\"",
            );
            let subject = &self.authority.subjects[guest];
            let name = format!("{}  {}", subject.name, subject.priority);
            let (first, second) = (
                Area {
                    h: area.h * 0.58,
                    ..area
                },
                Area {
                    y: area.y + area.h * 0.45,
                    h: area.h * 0.4,
                    ..area
                },
            );
            let size = if wide { 15.0 } else { 10.0 };
            let name = if wide { name } else { subject.name.clone() };
            self.canvas
                .label(first, size, "font-weight=\"bold\"", &name);
            let text = match wide {
                true if subject.held.is_empty() => "guest: its RAM, and no capability",
                _ => "guest",
            };
            self.canvas.label(second, 11.0, "fill=\"#333\"", text);
        }
    }
}

/// Whether it is text between a client and the console.
fn is_ring(what: &What) -> bool {
    what.region()
        .is_some_and(|name| name.starts_with("console_"))
}

/// Files are drawn among the shared memory even if only one VMM has them.
fn is_file(what: &What) -> bool {
    what.region()
        .is_some_and(|name| name.starts_with("module_"))
}
