//! The report as a picture for one screen.
//!
//! Priorities run from guests at the bottom to the memory server at the top. Each domain has a
//! column and a colour: what lies in the column belongs to the domain. Servers stand on the left;
//! a line to the right of each crosses the columns, and a dot says that the column's VMM is
//! connected to it.

mod canvas;
mod columns;
mod panel;
mod servers;
mod untyped;

use self::canvas::{Area, Canvas};
use crate::{Authority, Check, Role, RunTime, Way, What};

/// Size of the picture: less than the smallest screen in use, 1280 x 720.
const WIDTH: f64 = 1200.0;
const HEIGHT: f64 = 680.0;
/// Where the columns of domains begin and end.
const COLUMNS: (f64, f64) = (284.0, 890.0);
/// The servers' boxes.
const SERVERS: (f64, f64) = (76.0, 254.0);
/// Upper edges and heights of the rows.
const MEMORY_SERVER: (f64, f64) = (76.0, 112.0);
const ROWS: (f64, f64) = (200.0, 448.0);
const VMM: (f64, f64) = (460.0, 80.0);
const GUEST: (f64, f64) = (588.0, 54.0);

/// A domain's column.
struct Column {
    /// The domain's name.
    domain: String,
    /// Its VMM: position in `Authority::subjects`.
    vmm: Option<usize>,
    /// Its guest.
    guest: Option<usize>,
    /// Where it is.
    area: Area,
    /// Its colour.
    colour: &'static str,
}

impl Column {
    /// Where its granted memory comes down: left edge and width.
    fn band(&self) -> (f64, f64) {
        (
            self.area.x + self.area.w * 0.06,
            (self.area.w * 0.1).clamp(7.0, 22.0),
        )
    }
    /// Where its calls go up.
    fn calls(&self) -> f64 {
        self.area.x + self.area.w * 0.31
    }
    /// Where its notifications go.
    fn notifications(&self) -> f64 {
        self.area.x + self.area.w * 0.44
    }
    /// Where its faults go up.
    fn faults(&self) -> f64 {
        self.area.x + self.area.w * 0.37
    }
    /// Where memory that it shares is drawn: left edge and width.
    fn shared(&self) -> (f64, f64) {
        let left = self.area.x + self.area.w * 0.5;
        (left, self.area.right() - left - 4.0)
    }
}

/// Colours of domains, apart for most eyes (after Paul Tol's "bright" scheme).
const COLOURS: [&str; 8] = [
    "#4477aa", "#ee7733", "#228833", "#aa3377", "#009988", "#cc3311", "#998822", "#6666cc",
];

/// What the parts of the picture are made from.
struct Picture<'a> {
    authority: &'a Authority,
    checks: &'a [Check],
    run_time: RunTime,
    columns: Vec<Column>,
    /// The other servers from top to bottom, with their boxes.
    servers: Vec<(usize, Area)>,
    canvas: Canvas,
}

/// The report as an SVG picture of 1200 x 680, which a screen of 1280 x 720 shows whole.
pub fn svg(authority: &Authority, checks: &[Check]) -> String {
    let mut picture = Picture {
        authority,
        checks,
        run_time: authority.run_time(),
        columns: columns_of(authority),
        servers: servers_of(authority),
        canvas: Canvas::new(WIDTH, HEIGHT),
    };
    picture.title();
    picture.tints();
    picture.memory_server();
    picture.bands();
    picture.rails();
    picture.between_servers();
    picture.rings();
    picture.vmms();
    picture.files();
    picture.guests();
    picture.panel();
    picture.canvas.finish()
}

fn columns_of(authority: &Authority) -> Vec<Column> {
    let run_time = authority.run_time();
    let named = |role, name: &str| {
        let is = |s: &crate::Subject| s.role == role && s.name == name;
        authority.subjects.iter().position(is)
    };
    let count = run_time.grants.len().max(1);
    #[expect(clippy::cast_precision_loss, reason = "a handful of domains")]
    let each = (COLUMNS.1 - COLUMNS.0) / count as f64;
    let gap = (each * 0.04).min(14.0);
    let domains = run_time.grants.iter().enumerate();
    domains
        .map(|(index, grant)| {
            let vmm = format!("{}{}", topology::pd::VMM_PREFIX, grant.domain);
            #[expect(clippy::cast_precision_loss, reason = "a handful of domains")]
            let x = COLUMNS.0 + each * index as f64;
            Column {
                vmm: named(Role::Vmm, &vmm),
                guest: named(Role::Guest, &grant.domain),
                domain: grant.domain.clone(),
                area: Area {
                    x: x + gap / 2.0,
                    y: MEMORY_SERVER.0 + 6.0,
                    w: each - gap,
                    h: HEIGHT - 14.0 - MEMORY_SERVER.0 - 6.0,
                },
                colour: COLOURS.get(index % COLOURS.len()).unwrap_or(&COLOURS[0]),
            }
        })
        .collect()
}

/// Servers between the memory server and the VMMs.
fn servers_of(authority: &Authority) -> Vec<(usize, Area)> {
    let others = |role: Role| {
        !matches!(
            role,
            Role::MemoryServer | Role::Vmm | Role::Guest | Role::Monitor
        )
    };
    let all: Vec<usize> = authority
        .subjects
        .iter()
        .enumerate()
        .filter(|(_, subject)| others(subject.role))
        .map(|(index, _)| index)
        .collect();
    #[expect(clippy::cast_precision_loss, reason = "a handful of servers")]
    let pitch = (ROWS.1 - ROWS.0) / all.len().max(1) as f64;
    let mut y = ROWS.0;
    all.into_iter()
        .map(|index| {
            let area = Area {
                x: SERVERS.0,
                y,
                w: SERVERS.1 - SERVERS.0,
                h: (pitch - 14.0).min(62.0),
            };
            y += pitch;
            (index, area)
        })
        .collect()
}

impl Picture<'_> {
    fn title(&mut self) {
        let subjects = &self.authority.subjects;
        let machine = |s: &&crate::Subject| s.role == Role::Guest;
        let pds = subjects.len() - subjects.iter().filter(machine).count();
        let guests = self.columns.len();
        self.canvas
            .text(24.0, 30.0, 22.0, "font-weight=\"bold\"", "Who holds what");
        self.canvas.text(
            244.0,
            30.0,
            12.0,
            "fill=\"#555\"",
            format_args!(
                "{guests} guests, {pds} protection domains; numbers are priorities, calls go up. From the capabilities of the image."
            ),
        );
        let monitor = subjects.iter().find(|s| s.role == Role::Monitor);
        if let Some(monitor) = monitor {
            let area = Area {
                x: SERVERS.0,
                y: 42.0,
                w: COLUMNS.1 - SERVERS.0,
                h: 24.0,
            };
            self.canvas.area(area, 5.0, "#f4f4f4", "#999", "");
            let text = format!(
                "{} {}: part of Microkit; starts every thread and holds its TCB",
                monitor.name, monitor.priority
            );
            self.canvas.label(area, 11.5, "fill=\"#444\"", &text);
        }
    }

    fn tints(&mut self) {
        for column in &self.columns {
            let more = "fill-opacity=\"0.09\" stroke-opacity=\"0.55\" stroke-width=\"1.2\"";
            self.canvas
                .area(column.area, 8.0, column.colour, column.colour, more);
        }
    }

    /// Whether `from` has a way `way` to `to`.
    fn can(&self, from: usize, way: Way, to: usize) -> bool {
        let mut edges = self.authority.edges.iter();
        edges.any(|e| e.from == from && e.to == to && e.way == way)
    }

    /// Regions of the system description that `subject` reaches, with rights.
    fn regions(&self, subject: usize) -> Vec<(&What, u64, bool)> {
        let mut regions = Vec::new();
        for memory in &self.authority.memory {
            let reach = self.authority.reach(memory);
            let has = reach.iter().any(|reach| reach.subject == subject);
            if memory.what.region().is_some() && has {
                regions.push((&memory.what, memory.bytes, reach.len() == 1));
            }
        }
        regions
    }
}
