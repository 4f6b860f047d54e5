//! The server's state as text (EX-14, EX-15), line by line: RAM in sum and by runs of frames, every
//! extra page by its kind.
//!
//! A line fits 80 columns, so that the console can put a name in front. Whoever prints it may serve
//! requests between two lines: each line is true when it is written, and the sums are those of one
//! moment.

use core::fmt::{self, Write};

use memory_server_api::Extra;

use crate::records::PageId;
use crate::runs::Position;
use crate::server::{Life, MemoryServer};
use crate::totals::Totals;

/// Most runs of frames shown for each domain. Further runs are only counted.
pub const RUNS_MAX: u32 = 16;

/// How far a dump has come.
#[derive(Clone, Copy, Debug, Default)]
pub struct Dump {
    next: Line,
}

/// What comes next; for a domain by its index.
#[derive(Clone, Copy, Debug, Default)]
enum Line {
    #[default]
    Start,
    Domain(u8),
    Ram(u8),
    Tables(u8),
    Extras(u8),
    /// The first extra page with this index or a higher one.
    Extra(u8, u32),
    /// The first run from here on, and how many were shown.
    Run(u8, Position, u32),
    Sums,
    /// The first state from here on that memory is in.
    Part(Totals, usize),
    Sum(Totals),
    Counts(Totals),
    End,
}

impl MemoryServer<'_> {
    /// Writes what every domain holds and where all memory is.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn dump(&self, out: &mut impl Write) -> fmt::Result {
        let mut dump = Dump::default();
        while self.dump_line(&mut dump, out)? {}
        Ok(())
    }

    /// Writes the next line of a dump; `false` where there is none.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn dump_line(&self, dump: &mut Dump, out: &mut impl Write) -> Result<bool, fmt::Error> {
        // Ends: each step is behind the last, and few write nothing.
        loop {
            let (next, written) = self.dump_step(dump.next, out)?;
            dump.next = next;
            if written || matches!(next, Line::End) {
                return Ok(written);
            }
        }
    }

    /// Returns what comes after `line`, and whether `line` was written: some lines have nothing to
    /// report.
    fn dump_step(&self, line: Line, out: &mut impl Write) -> Result<(Line, bool), fmt::Error> {
        let next = match line {
            Line::Start => return Ok((Line::Domain(0), false)),
            Line::Domain(d) if usize::from(d) >= self.domains.len() => {
                return Ok((Line::Sums, false));
            }
            Line::Domain(d) => {
                self.dump_domain(out, d)?;
                Line::Ram(d)
            }
            Line::Ram(d) => {
                self.dump_ram(out, d)?;
                Line::Tables(d)
            }
            Line::Tables(d) => {
                let (used, most) = (self.dom(d).tables, self.dom(d).config.table_quota);
                writeln!(out, "  page tables {used} of {most} pages")?;
                Line::Extras(d)
            }
            Line::Extras(d) => {
                let plural = match self.dom(d).extras {
                    0 => "",
                    _ => ":",
                };
                writeln!(out, "  extra pages {}{plural}", self.dom(d).extras)?;
                Line::Extra(d, 0)
            }
            Line::Extra(d, from) => {
                let page = (from..Extra::COUNT).find_map(|index| {
                    let kind = Extra::from_index(u64::from(index))?;
                    Some((index, kind, self.extra_page(d, kind)?))
                });
                let Some((index, kind, id)) = page else {
                    return Ok((Line::Run(d, Position::START, 0), false));
                };
                let mfn = self.paddr(id) >> hv_types::PAGE_SHIFT;
                writeln!(out, "    {:<15} mfn {mfn:#x}", ExtraName(kind))?;
                Line::Extra(d, index + 1)
            }
            Line::Run(d, from, shown) => return self.dump_run(out, d, from, shown),
            Line::Sums => {
                writeln!(out, "all memory by state")?;
                Line::Part(self.totals(), 0)
            }
            Line::Part(totals, from) => {
                let mut parts = totals.parts().into_iter().enumerate().skip(from);
                let Some((index, (name, bytes))) = parts.find(|(_, (_, bytes))| *bytes != 0) else {
                    return Ok((Line::Sum(totals), false));
                };
                writeln!(out, "  {name:<15} {bytes:>14} bytes")?;
                Line::Part(totals, index + 1)
            }
            Line::Sum(totals) => {
                let (sum, all) = (totals.sum(), totals.all);
                if sum == all {
                    writeln!(out, "  {:<15} {sum:>14} bytes = all memory", "sum")?;
                } else {
                    writeln!(
                        out,
                        "  ERROR: the sum is {sum} bytes, all memory {all} bytes; please report this"
                    )?;
                }
                Line::Counts(totals)
            }
            Line::Counts(totals) => return Ok((Line::End, self.dump_counts(out, &totals)?)),
            Line::End => return Ok((Line::End, false)),
        };
        Ok((next, true))
    }

    fn dump_domain(&self, out: &mut impl Write, d: u8) -> fmt::Result {
        let dom = self.dom(d);
        let life = match (dom.life, dom.crashed) {
            (Life::Alive, _) => "alive",
            (Life::Dying, false) => "dying",
            (Life::Dead, false) => "dead",
            (Life::Dying, true) => "crashed, dying",
            (Life::Dead, true) => "crashed",
        };
        let kind = if dom.config.is_static {
            "static"
        } else {
            "heap"
        };
        let domid = dom.config.domid.0;
        writeln!(
            out,
            "d{domid} {} ({life}, {kind} memory)",
            dom.config.name()
        )
    }

    fn dump_ram(&self, out: &mut impl Write, d: u8) -> fmt::Result {
        let usage = self.usage(d);
        let (of_static, of_heap) = if self.dom(d).config.is_static {
            (usage.ram, 0)
        } else {
            (0, usage.ram)
        };
        writeln!(
            out,
            "  ram {of_static} static, {of_heap} heap, of {} pages; reserve {}, returned {}",
            usage.max, usage.reserve, usage.returned
        )
    }

    fn dump_run(
        &self,
        out: &mut impl Write,
        d: u8,
        from: Position,
        shown: u32,
    ) -> Result<(Line, bool), fmt::Error> {
        let mut runs = self.runs(d, from);
        if shown == RUNS_MAX {
            let (count, pages) =
                runs.fold((0, 0), |(count, pages), run| (count + 1, pages + run.pages));
            if count != 0 {
                let plural = if count == 1 { "" } else { "s" };
                writeln!(out, "    ... and {count} more run{plural}, {pages} pages")?;
            }
            return Ok((Line::Domain(d + 1), count != 0));
        }
        let Some(run) = runs.next() else {
            return Ok((Line::Domain(d + 1), false));
        };
        writeln!(out, "    {run}")?;
        Ok((Line::Run(d, runs.position(), shown + 1), true))
    }

    /// Writes a warning if the counters of the domains disagree with the records, else nothing.
    fn dump_counts(&self, out: &mut impl Write, totals: &Totals) -> Result<bool, fmt::Error> {
        let counted = |pages: u64| pages << hv_types::PAGE_SHIFT;
        let ram = counted(self.domains.iter().map(|dom| dom.ram).sum());
        let extra = counted(self.domains.iter().map(|dom| u64::from(dom.extras)).sum());
        if ram == totals.static_held + totals.heap_held && extra == totals.extra {
            return Ok(false);
        }
        writeln!(
            out,
            "  ERROR: domains are counted to hold {ram} + {extra} bytes; please report this"
        )?;
        Ok(true)
    }

    /// Physical address of a page.
    pub(crate) fn paddr(&self, id: PageId) -> u64 {
        let u = self.untyped_of(id.block());
        u.paddr
            + (u64::from(id.block() - u.first) << hv_types::BLOCK_SHIFT)
            + (u64::from(id.page()) << hv_types::PAGE_SHIFT)
    }
}

struct ExtraName(Extra);

impl fmt::Display for ExtraName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Extra::SharedInfo => f.pad("shared_info"),
            Extra::Console => f.pad("console ring"),
            Extra::Xenstore => f.pad("xenstore ring"),
            Extra::Scratch => f.pad("scratch page"),
            Extra::GrantFrame(n) => {
                let mut name: heapless::String<16> = heapless::String::new();
                write!(name, "grant frame {n}")?;
                f.pad(&name)
            }
        }
    }
}
