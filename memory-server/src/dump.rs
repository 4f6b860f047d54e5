//! The server's state as text (EX-14, EX-15): RAM summarised, every extra page by its kind.

use core::fmt::{self, Write};

use memory_server_api::Extra;

use crate::manifest::DomainIndex;
use crate::records::PageId;
use crate::server::{Life, MemoryServer};

impl MemoryServer<'_> {
    /// Writes what every domain holds and where all memory is.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn dump(&self, out: &mut impl Write) -> fmt::Result {
        for index in (0u8..).zip(&self.domains).map(|(d, _)| DomainIndex(d)) {
            self.dump_domain(out, index)?;
        }
        let t = self.totals();
        let mut line = |name: &str, bytes: u64| {
            if bytes == 0 {
                Ok(())
            } else {
                writeln!(out, "  {name:<15} {bytes:>14} bytes")
            }
        };
        line("static held", t.static_held)?;
        line("static free", t.static_free)?;
        line("static returned", t.static_returned)?;
        line("heap held", t.heap_held)?;
        line("heap free", t.heap_free)?;
        line("heap returned", t.heap_returned)?;
        line("copying", t.copying)?;
        line("extra", t.extra)?;
        line("tables used", t.tables_used)?;
        line("tables free", t.tables_free)?;
        line("unusable", t.unusable)?;
        line("lost", t.lost)?;
        writeln!(out, "  {:<15} {:>14} bytes", "all memory", t.all)
    }

    fn dump_domain(&self, out: &mut impl Write, index: DomainIndex) -> fmt::Result {
        let d = index.0;
        let usage = self.usage(d);
        let dom = self.dom(d);
        let life = match dom.life {
            Life::Alive => "alive",
            Life::Dying => "dying",
            Life::Dead => "dead",
        };
        let kind = if dom.config.is_static {
            "static"
        } else {
            "heap"
        };
        writeln!(
            out,
            "d{} {} ({life}, {kind} memory)",
            dom.config.domid.0,
            dom.config.name()
        )?;
        writeln!(
            out,
            "  ram {} of {} pages, reserve {}, returned {}",
            usage.ram, usage.max, usage.reserve, usage.returned
        )?;
        writeln!(
            out,
            "  page tables {} of {}",
            usage.tables, usage.tables_max
        )?;
        writeln!(out, "  extra pages {}", usage.extra)?;
        for kind in (0..Extra::COUNT).filter_map(|i| Extra::from_index(u64::from(i))) {
            if let Some(id) = self.extra_page(d, kind) {
                writeln!(out, "    {} at {:#x}", ExtraName(kind), self.paddr(id))?;
            }
        }
        Ok(())
    }

    /// Physical address of a page.
    fn paddr(&self, id: PageId) -> u64 {
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
            Extra::SharedInfo => f.write_str("shared_info"),
            Extra::Console => f.write_str("console ring"),
            Extra::Xenstore => f.write_str("xenstore ring"),
            Extra::GrantFrame(n) => write!(f, "grant frame {n}"),
        }
    }
}
