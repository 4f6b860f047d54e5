//! Where every byte is.

use hv_types::FrameSize;

use crate::domain::DomainIndex;
use crate::manifest::Purpose;
use crate::records::{BlockState, HEAP, PageState};
use crate::server::MemoryServer;

/// All memory of the server by what it is used for, in bytes. The parts sum to `all`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Totals {
    /// Sum of the untypeds.
    pub all: u64,
    /// Static memory that its domain holds.
    pub static_held: u64,
    /// Static memory in reserves.
    pub static_free: u64,
    /// Static memory that its domain gave back and has capabilities of: in the reserve, not revoked
    /// yet.
    pub static_returned: u64,
    /// Heap memory that domains hold as RAM.
    pub heap_held: u64,
    /// Free heap memory.
    pub heap_free: u64,
    /// Heap memory that a domain gave back and has capabilities of until somebody else needs it.
    pub heap_returned: u64,
    /// Blocks that are being copied to pages and are about to be free.
    pub copying: u64,
    /// Extra pages.
    pub extra: u64,
    /// Static shared memory.
    pub shared: u64,
    /// Page tables in use.
    pub tables_used: u64,
    /// Memory for more page tables.
    pub tables_free: u64,
    /// Untypeds too small for a page.
    pub unusable: u64,
    /// Withdrawn after the kernel refused to take it back.
    pub lost: u64,
}

impl Totals {
    /// The parts by name, in the order in which people want to read them. A new state is added here
    /// and is then in the sum and in the dump.
    pub const fn parts(&self) -> [(&'static str, u64); 13] {
        [
            ("static held", self.static_held),
            ("static free", self.static_free),
            ("static returned", self.static_returned),
            ("heap held", self.heap_held),
            ("heap free", self.heap_free),
            ("heap returned", self.heap_returned),
            ("copying", self.copying),
            ("extra", self.extra),
            ("shared", self.shared),
            ("tables used", self.tables_used),
            ("tables free", self.tables_free),
            ("unusable", self.unusable),
            ("lost", self.lost),
        ]
    }

    /// The sum of the parts.
    pub fn sum(&self) -> u64 {
        self.parts().iter().map(|(_, bytes)| bytes).sum()
    }
}

impl Totals {
    /// The same totals with all returned memory counted as free. The server may revoke it at any
    /// time.
    #[must_use]
    pub fn settled(mut self) -> Self {
        self.static_free += core::mem::take(&mut self.static_returned);
        self.heap_free += core::mem::take(&mut self.heap_returned);
        self
    }
}

impl MemoryServer<'_> {
    /// Counts everything from the records; for messages and tests, not for a hot path.
    pub fn totals(&self) -> Totals {
        let mut t = Totals::default();
        for u in self.untypeds.iter() {
            let bytes = 1u64 << u.size_bits;
            t.all += bytes;
            if matches!(u.purpose, Purpose::Tables(_)) && u.size_bits >= 12 {
                let used = u64::from(u.made) << hv_types::PAGE_SHIFT;
                t.tables_used += used;
                t.tables_free += bytes - used;
            } else if matches!(u.purpose, Purpose::Shared { .. }) {
                t.shared += bytes;
            } else if u.blocks == 0 {
                t.unusable += bytes;
            }
            for b in u.first..u.first + u.blocks {
                self.count_block(b, &mut t);
            }
        }
        t
    }

    /// Pages of the reserve of static domain `d` that it does not hold.
    pub(crate) fn reserve(&self, d: u8) -> u64 {
        let pool = &self.dom(d).pool;
        let short: u32 = self
            .untypeds
            .iter()
            .filter(|u| {
                u.purpose == Purpose::Static(DomainIndex(d)) && u.pages() < 512 && u.blocks == 1
            })
            .filter(|u| {
                let state = self.records.get(u.first).state;
                matches!(state, BlockState::Bare | BlockState::Used)
            })
            .map(|u| u.pages())
            .sum();
        u64::from(pool.blocks.len()) * u64::from(FrameSize::Block.pages())
            + u64::from(pool.pages.len())
            + u64::from(short)
            + if self.dom(d).config.is_static {
                self.returned(d)
            } else {
                0
            }
    }

    fn count_block(&self, b: u32, t: &mut Totals) {
        let block = self.records.get(b);
        let is_static = block.home != HEAP;
        let bytes = u64::from(self.untyped_of(b).pages()) << hv_types::PAGE_SHIFT;
        match block.state {
            BlockState::Bare | BlockState::Used | BlockState::Framed if is_static => {
                t.static_free += bytes;
            }
            BlockState::Bare | BlockState::Used | BlockState::Framed => t.heap_free += bytes,
            BlockState::Held if is_static => t.static_held += bytes,
            BlockState::Held => t.heap_held += bytes,
            BlockState::Returned if is_static => t.static_returned += bytes,
            BlockState::Returned => t.heap_returned += bytes,
            BlockState::Source => t.copying += bytes,
            BlockState::Lost => t.lost += bytes,
            BlockState::Split => {
                let Some(split) = self.records.splits.get(usize::from(block.split)) else {
                    return;
                };
                for page in &split.page[..usize::from(split.pages)] {
                    *match page.state() {
                        PageState::Free if is_static => &mut t.static_free,
                        PageState::Free => &mut t.heap_free,
                        PageState::Ram if is_static => &mut t.static_held,
                        PageState::Ram => &mut t.heap_held,
                        PageState::Returned if is_static => &mut t.static_returned,
                        PageState::Returned => &mut t.heap_returned,
                        PageState::Extra => &mut t.extra,
                        PageState::Lost => &mut t.lost,
                    } += hv_types::PAGE_SIZE;
                }
            }
        }
    }
}
