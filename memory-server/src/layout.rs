//! Where capabilities lie: the server's own CNode and the grant CNodes.
//!
//! Both ends compute places from these rules, so none has to be told. The image builder sizes
//! the CNodes with [`own_radix`] and [`grant_radix`].
//!
//! **Own CNode** (`N` blocks in all, see [`blocks`]):
//!
//! | slots | hold |
//! |---|---|
//! | `0..MAX_UNTYPEDS` | the untypeds of the manifest |
//! | `MAX_UNTYPEDS..+N` | child untyped of each 2 MiB block |
//! | `+N..+2N` | the 2 MiB frame of each block that is whole |
//! | `+2N..+2N+544*splits` | for each block that is split 512 pages and the untypeds of its 32 chunks |
//!
//! Pages are made in chunks of [`memory_server_api::CHUNK_PAGES`], when one of them is needed.
//!
//! **Grant CNode** of a domain: *windows* of 1024 slots from slot 0, one for each block in which
//! the domain holds memory. Page `p` of the block in window `w` has its guest-side capability at
//! `1024*w + 2*p` and its window-side capability after it; a whole block uses page 0's pair. The
//! last part (the tail) holds the extra pages, two slots each in the order of
//! [`memory_server_api::Extra::index`], then the aliases and the page tables, one slot each.
//!
//! Blocks of static memory keep their window for ever: the `n`-th block of the domain's static
//! memory has window `n`. Heap blocks get the lowest free window when they are granted. A CNode
//! is a power of two, and all of it that is not tail is windows; [`grant_radix`] asks for a
//! quarter more than the RAM needs, because recycled heap pages come from scattered blocks.

use hv_types::{BLOCK_SHIFT, PAGE_SHIFT, PAGES_PER_BLOCK};
use memory_server_api::{ALIASES, Extra, Slot, WINDOW_SLOTS};

use crate::domain::DomainIndex;
use crate::kernel::OwnSlot;
use crate::manifest::{MAX_UNTYPEDS, Manifest, Purpose, Untyped};
use crate::records::{BlockRecord, CHUNKS, SplitRecord};

/// Most page tables a domain can be given: 2 tables for each of 32,768 blocks.
pub const MAX_TABLE_QUOTA: u32 = 1 << 16;
/// Own slots of a split block: its pages, then its chunks.
const SPLIT_SLOTS: u32 = PAGES_PER_BLOCK + CHUNKS;
/// Grant slots of the extra pages.
const EXTRA_SLOTS: u32 = 2 * Extra::COUNT;
/// Grant slots behind the windows that every domain has: extra pages, then aliases.
const TAIL: u32 = EXTRA_SLOTS + ALIASES;

/// Blocks that the server makes of `untyped`: one for each 2 MiB, or one *short* block of fewer
/// than 512 pages if it is smaller; none of page-table memory and of less than a page.
pub fn blocks_of(untyped: &Untyped) -> u32 {
    if matches!(untyped.purpose, Purpose::Tables(_)) || u32::from(untyped.size_bits) < PAGE_SHIFT {
        return 0;
    }
    1u32.checked_shl(u32::from(untyped.size_bits).saturating_sub(BLOCK_SHIFT))
        .unwrap_or(u32::MAX)
}

/// Pages in each block of an untyped of `size_bits`: 512, fewer in a short block.
pub fn pages_in_block(size_bits: u8) -> u32 {
    match u32::from(size_bits) {
        ..PAGE_SHIFT => 0,
        bits if bits >= BLOCK_SHIFT => PAGES_PER_BLOCK,
        bits => 1 << (bits - PAGE_SHIFT),
    }
}

/// Blocks of all memory in the manifest: the least length of the block-record table.
pub fn blocks(manifest: &Manifest<'_>) -> u32 {
    manifest
        .untypeds()
        .fold(0u32, |sum, u| sum.saturating_add(blocks_of(&u)))
}

/// Bytes of records in use for `blocks` blocks of a domain's RAM, `splits` of them made pages of: a
/// record and a window of four bytes (and a quarter more of those) for each block, and a record for
/// each split.
pub const fn record_bytes(blocks: usize, splits: usize) -> usize {
    blocks * size_of::<BlockRecord>()
        + (blocks + blocks / 4) * size_of::<u32>()
        + splits * size_of::<SplitRecord>()
}

/// log2 of the slots that the server's own CNode needs.
pub fn own_radix(manifest: &Manifest<'_>) -> u8 {
    let slots = OwnLayout::new(blocks(manifest)).slots(manifest.splits());
    radix(slots)
}

/// log2 of the slots that the grant CNode of `domain` needs at least.
pub fn grant_radix(manifest: &Manifest<'_>, domain: DomainIndex) -> u8 {
    let Some(config) = manifest.domain(domain) else {
        return 0;
    };
    let windows = if config.is_static {
        manifest
            .untypeds()
            .filter(|u| u.purpose == Purpose::Static(domain))
            .fold(0u64, |sum, u| sum + u64::from(blocks_of(&u)))
    } else {
        let blocks = config.max_pages.div_ceil(u64::from(PAGES_PER_BLOCK));
        blocks + blocks / 4 + 4
    };
    let tail = u64::from(TAIL) + u64::from(config.table_quota);
    radix(
        windows
            .saturating_mul(u64::from(WINDOW_SLOTS))
            .saturating_add(tail),
    )
}

fn radix(slots: u64) -> u8 {
    u8::try_from(
        slots
            .max(2)
            .checked_next_power_of_two()
            .map_or(64, u64::trailing_zeros),
    )
    .unwrap_or(64)
}

/// The server's own CNode.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OwnLayout {
    blocks: u32,
}

impl OwnLayout {
    #[expect(clippy::cast_possible_truncation, reason = "192")]
    const FIRST: u32 = MAX_UNTYPEDS as u32;

    /// The layout for this many blocks.
    pub const fn new(blocks: u32) -> Self {
        Self { blocks }
    }
    /// Slots in use with this many splits.
    pub fn slots(&self, splits: u16) -> u64 {
        u64::from(Self::FIRST)
            + 2 * u64::from(self.blocks)
            + u64::from(SPLIT_SLOTS) * u64::from(splits)
    }
    /// Untyped `index` of the manifest.
    pub const fn untyped(&self, index: u8) -> OwnSlot {
        OwnSlot(index as u32)
    }
    /// Child untyped of block `block`.
    pub const fn block(&self, block: u32) -> OwnSlot {
        OwnSlot(Self::FIRST + block)
    }
    /// The 2 MiB frame of block `block`.
    pub const fn frame(&self, block: u32) -> OwnSlot {
        OwnSlot(Self::FIRST + self.blocks + block)
    }
    /// Page `page` of split `split`.
    pub const fn page(&self, split: u16, page: u32) -> OwnSlot {
        OwnSlot(Self::FIRST + 2 * self.blocks + split as u32 * SPLIT_SLOTS + page)
    }
    /// The untyped of chunk `chunk` of split `split`.
    pub const fn chunk(&self, split: u16, chunk: u32) -> OwnSlot {
        self.page(split, PAGES_PER_BLOCK + chunk)
    }
}

/// What a grant slot can hold, by its place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// Guest side of page `page` in window `window`.
    Window {
        /// Window number.
        window: u16,
        /// Page in it, 0..512.
        page: u32,
    },
    /// A window-side capability, or a slot of the tail.
    Other,
}

/// A grant CNode.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct GrantLayout {
    windows: u16,
    extras: u32,
}

impl GrantLayout {
    /// The layout of a CNode of `radix` (at most 24) with room for `table_quota` page tables.
    pub fn new(radix: u8, table_quota: u32) -> Self {
        let slots = 1u32 << radix.min(24);
        let extras = slots.saturating_sub(TAIL.saturating_add(table_quota));
        Self {
            windows: u16::try_from(extras / WINDOW_SLOTS).unwrap_or(u16::MAX),
            extras,
        }
    }
    /// Number of windows.
    pub const fn windows(&self) -> u16 {
        self.windows
    }
    /// Guest-side slot of page `page` in window `window`.
    pub const fn page(&self, window: u16, page: u32) -> Slot {
        Slot(window as u32 * WINDOW_SLOTS + 2 * page)
    }
    /// Guest-side slot of an extra page.
    pub const fn extra(&self, kind: Extra) -> Slot {
        Slot(self.extras + 2 * kind.index())
    }
    /// Slot of alias `n`, below [`ALIASES`].
    pub const fn alias(&self, n: u32) -> Slot {
        Slot(self.extras + EXTRA_SLOTS + n)
    }
    /// The extra page whose guest-side slot this is.
    pub fn extra_at(&self, slot: Slot) -> Option<Extra> {
        let offset = slot.0.checked_sub(self.extras)?;
        if offset.is_multiple_of(2) {
            Extra::from_index(u64::from(offset / 2))
        } else {
            None
        }
    }
    /// Slot of page table `n`.
    pub const fn table(&self, n: u32) -> Slot {
        Slot(self.extras + TAIL + n)
    }
    /// What `slot` can hold.
    pub fn place(&self, slot: Slot) -> Place {
        let page = slot.0 % WINDOW_SLOTS / 2;
        match u16::try_from(slot.0 / WINDOW_SLOTS) {
            Ok(window) if window < self.windows && slot.0.is_multiple_of(2) => {
                Place::Window { window, page }
            }
            _ => Place::Other,
        }
    }
}
