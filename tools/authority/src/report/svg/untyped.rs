//! The memory server's bar, with what it holds.

use untyped_plan::human;

use super::canvas::{Area, MEMORY_EDGE, MEMORY_FILL};
use super::{COLUMNS, MEMORY_SERVER, Picture, SERVERS};
use crate::{Role, What};

impl Picture<'_> {
    pub(super) fn memory_server_index(&self) -> Option<usize> {
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
        for memory in &self.authority.memory {
            if let What::Shared { id, domains } = &memory.what {
                let (who, size) = (domains.join("+"), human(memory.bytes));
                chips.push(format!("{who}: {id} {size}"));
            }
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
}
