//! Where capabilities lie: the server's own CNode and the grant CNodes.
//!
//! Both ends compute places from these rules, so none has to be told. The image builder sizes
//! the CNodes with [`own_radix`] and [`grant_radix`].
//!
//! Each of them is a directory of *nodes*, CNodes of [`NODE_SLOTS`] slots, of which only those are
//! there that hold something ([`own_nodes`], [`grant_nodes`]). A slot's number says both: its node
//! above, its place in the node below. A pointer resolves through directory and node as it would in
//! one large CNode. What is made at once lies in one node ([`run`]).
//!
//! **Own CNode** (`N` blocks in all, see [`blocks`]):
//!
//! | slots | hold |
//! |---|---|
//! | `0..MAX_UNTYPEDS` | the untypeds of the manifest |
//! | the next | a copy of a frame while it is zeroed whose original is not here ([`SCRUB`]) |
//! | 64 | copies of the frames of grant tables that the server looks at ([`peek`]) |
//! | one for each frame of shared memory | the frame |
//! | `N` | child untyped of each 2 MiB block |
//! | `N` | the 2 MiB frame of each block that is whole |
//! | from a multiple of 32 on 32 for each split | untypeds of its chunks |
//! | 512 for each split of the heap | its pages |
//!
//! Pages are made in chunks of [`memory_server_api::CHUNK_PAGES`], when one of them is needed.
//! Those of static memory are made where their domain uses them, in its grant CNode: they are
//! nobody else's for ever, so the server needs no capability to take them away by but their
//! chunk's. Pages of the heap go from one domain to another, so their originals are here.
//!
//! **Grant CNode** of a domain: *windows* of 512 slots from slot 0, one for each block in which
//! the domain holds memory. Page `p` of the block in window `w` has its guest-side capability at
//! `512*w + p`; a whole block uses the first two, for the guest and for the VMM's window. The last
//! part (the tail) holds the extra pages, two slots each in the order of
//! [`memory_server_api::Extra::index`]; then, one slot each, the *copies* of pages (aliases and
//! sights), the page tables, the pages that others lend to it ([`memory_server_api::LENDS`],
//! where anybody may), and the frames of static shared memory that it has.
//!
//! Blocks of static memory keep their window for ever: the `n`-th block of the domain's static
//! memory has window `n`. Heap blocks get the lowest free window when they are granted. A CNode
//! is a power of two, and all of it that is not tail is windows; [`grant_radix`] asks for a
//! quarter more than the RAM needs, because recycled heap pages come from scattered blocks.

use hv_types::{BLOCK_SHIFT, FrameSize, PAGE_SHIFT, PAGES_PER_BLOCK};
use memory_server_api::{ALIASES, CHUNK_PAGES, Extra, SIGHTS, Slot, WINDOW_SLOTS};

use crate::domain::DomainIndex;
use crate::kernel::OwnSlot;
use crate::manifest::{DomainConfig, MAX_UNTYPEDS, Manifest, Purpose, Shares, Untyped};
use crate::records::{BlockRecord, CHUNKS, SplitRecord};

/// Most page tables a domain can be given: 2 tables for each of 32,768 blocks.
pub const MAX_TABLE_QUOTA: u32 = 1 << 16;
pub use topology::caps::NODE_BITS;
/// Slots of a node: a multiple of a window's, and of `CHUNKS`.
pub const NODE_SLOTS: u32 = 1 << NODE_BITS;
const _: () = assert!(NODE_SLOTS.is_multiple_of(WINDOW_SLOTS) && NODE_SLOTS.is_multiple_of(CHUNKS));
const _: () = assert!(CHUNKS.is_multiple_of(CHUNK_PAGES));
/// Grant slots of the extra pages.
const EXTRA_SLOTS: u32 = 2 * Extra::COUNT;
/// Grant slots for copies of pages: aliases and sights.
pub(crate) const COPIES: u32 = ALIASES + SIGHTS;
/// Grant slots behind the windows that every domain has: extra pages, then copies.
pub const TAIL: u32 = EXTRA_SLOTS + COPIES;
/// Own slot for a copy of a frame that is zeroed.
#[expect(clippy::cast_possible_truncation, reason = "192")]
pub const SCRUB: OwnSlot = OwnSlot(MAX_UNTYPEDS as u32);

/// Frames of one domain's grant table that the server has in sight at once.
pub const PEEKS: u32 = 8;

/// Own slot for a copy of the frame of a grant table that is looked at, one of the first
/// [`PEEKS`] times [`MAX_DOMAINS`](crate::manifest::MAX_DOMAINS).
pub const fn peek(n: u32) -> OwnSlot {
    OwnSlot(SCRUB.0 + 1 + n)
}

/// Blocks that the server makes of `untyped`: one for each 2 MiB, or one *short* block of fewer
/// than 512 pages if it is smaller; none of page-table and shared memory and of less than a page.
pub fn blocks_of(untyped: &Untyped) -> u32 {
    let apart = matches!(untyped.purpose, Purpose::Tables(_) | Purpose::Shared { .. });
    if apart || u32::from(untyped.size_bits) < PAGE_SHIFT {
        return 0;
    }
    1u32.checked_shl(u32::from(untyped.size_bits).saturating_sub(BLOCK_SHIFT))
        .unwrap_or(u32::MAX)
}

/// Frames that the server makes of an untyped of shared memory, and their size: 2 MiB where that is
/// possible and every domain that shares it can map them.
pub const fn shared_frames(untyped: &Untyped) -> (u32, FrameSize) {
    let Purpose::Shared { blocks, .. } = untyped.purpose else {
        return (0, FrameSize::Page);
    };
    let bits = untyped.size_bits as u32;
    let (size, shift) = match blocks && bits >= BLOCK_SHIFT {
        true => (FrameSize::Block, BLOCK_SHIFT),
        false => (FrameSize::Page, PAGE_SHIFT),
    };
    match 1u32.checked_shl(bits.saturating_sub(shift)) {
        Some(frames) => (frames, size),
        None => (u32::MAX, size),
    }
}

/// What a domain has that shares `regions`, of memory that is in `untypeds`.
pub fn shares(untypeds: impl Iterator<Item = Untyped>, regions: u32) -> Shares {
    let mut shares = Shares { regions, frames: 0 };
    for untyped in untypeds {
        if let Purpose::Shared { region, .. } = untyped.purpose
            && shares.has(region)
        {
            shares.frames = shares.frames.saturating_add(shared_frames(&untyped).0);
        }
    }
    shares
}

/// Frames of all shared memory.
fn all_shared(manifest: &Manifest<'_>) -> u32 {
    manifest
        .untypeds()
        .fold(0u32, |sum, u| sum.saturating_add(shared_frames(&u).0))
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

/// How many of `count` objects can be made into the slots from `first` on at once: those that lie
/// in the same node.
pub const fn run(first: u32, count: u32) -> u32 {
    let room = NODE_SLOTS - first % NODE_SLOTS;
    if count < room { count } else { room }
}

/// log2 of the slots that the server's own CNode needs.
pub fn own_radix(manifest: &Manifest<'_>) -> u8 {
    radix(own_slots(manifest))
}

/// Slots of the server's own CNode in use if as many blocks are split as can be.
pub fn own_slots(manifest: &Manifest<'_>) -> u64 {
    let layout = OwnLayout::of(manifest);
    u64::from(layout.page(0, 0).0) + u64::from(heap_splits(manifest)) * u64::from(PAGES_PER_BLOCK)
}

/// How many of the splits can be of the heap: the first ones. There is one for each block of static
/// memory behind them, or they are shared, if they are no more than that.
pub(crate) fn heap_splits(manifest: &Manifest<'_>) -> u16 {
    let fixed = manifest
        .untypeds()
        .filter(|u| matches!(u.purpose, Purpose::Static(_)))
        .fold(0u32, |sum, u| sum.saturating_add(blocks_of(&u)));
    let rest = u32::from(manifest.splits()).saturating_sub(fixed);
    match u16::try_from(rest) {
        Ok(rest) if rest > 0 => rest,
        _ => manifest.splits(),
    }
}

/// Nodes of the server's own CNode that hold something: the first ones.
pub fn own_nodes(manifest: &Manifest<'_>) -> u32 {
    u32::try_from(own_slots(manifest).div_ceil(NODE_SLOTS.into())).unwrap_or(u32::MAX)
}

/// Nodes of the grant CNode of `domain`, of the size that the manifest says, that can hold
/// something: those of the windows of its static memory, and of its tail. A domain on the heap can
/// come to use any window.
pub fn grant_nodes(
    manifest: &Manifest<'_>,
    domain: DomainIndex,
) -> impl Iterator<Item = u32> + use<> {
    let config = manifest.domain(domain);
    let radix = config.map_or(NODE_BITS, |config| config.grant_radix.clamp(NODE_BITS, 24));
    let layout = config.map_or(GrantLayout::new(radix, 0, 0), |config| {
        GrantLayout::of(&DomainConfig {
            grant_radix: radix,
            ..config
        })
    });
    let extras = layout.extras;
    let windows = match config {
        Some(config) if config.is_static => {
            let windows = windows(manifest, domain).saturating_mul(WINDOW_SLOTS.into());
            u32::try_from(windows).unwrap_or(u32::MAX)
        }
        _ => u32::MAX,
    };
    let all = 0..1u32 << (radix - NODE_BITS);
    all.filter(move |node| *node < windows.div_ceil(NODE_SLOTS) || *node >= extras / NODE_SLOTS)
}

/// Windows that the memory of `domain` needs.
fn windows(manifest: &Manifest<'_>, domain: DomainIndex) -> u64 {
    match manifest.domain(domain) {
        None => 0,
        Some(config) if config.is_static => manifest
            .untypeds()
            .filter(|u| u.purpose == Purpose::Static(domain))
            .fold(0u64, |sum, u| sum + u64::from(blocks_of(&u))),
        Some(config) => {
            let blocks = config.max_pages.div_ceil(u64::from(PAGES_PER_BLOCK));
            blocks + blocks / 4 + 4
        }
    }
}

/// log2 of the slots that the grant CNode of `domain` needs at least.
pub fn grant_radix(manifest: &Manifest<'_>, domain: DomainIndex) -> u8 {
    let Some(config) = manifest.domain(domain) else {
        return 0;
    };
    let tail = u64::from(TAIL)
        + u64::from(config.table_quota)
        + u64::from(config.lends())
        + u64::from(config.shares.frames);
    radix(
        windows(manifest, domain)
            .saturating_mul(u64::from(WINDOW_SLOTS))
            .saturating_add(tail),
    )
}

fn radix(slots: u64) -> u8 {
    u8::try_from(
        slots
            .max(2 * u64::from(NODE_SLOTS))
            .checked_next_power_of_two()
            .map_or(64, u64::trailing_zeros),
    )
    .unwrap_or(64)
}

/// The server's own CNode.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OwnLayout {
    shared: u32,
    blocks: u32,
    splits: u16,
}

impl OwnLayout {
    #[expect(clippy::cast_possible_truncation, reason = "8")]
    const FIRST: u32 = peek(PEEKS * crate::manifest::MAX_DOMAINS as u32).0;

    /// The layout for the memory of `manifest`.
    pub fn of(manifest: &Manifest<'_>) -> Self {
        Self {
            shared: all_shared(manifest),
            blocks: blocks(manifest),
            splits: manifest.splits(),
        }
    }
    /// Frame `frame` of shared memory.
    pub const fn shared(&self, frame: u32) -> OwnSlot {
        OwnSlot(Self::FIRST + frame)
    }
    /// Untyped `index` of the manifest.
    pub const fn untyped(&self, index: u8) -> OwnSlot {
        OwnSlot(index as u32)
    }
    /// Child untyped of block `block`.
    pub const fn block(&self, block: u32) -> OwnSlot {
        OwnSlot(Self::FIRST + self.shared + block)
    }
    /// The 2 MiB frame of block `block`.
    pub const fn frame(&self, block: u32) -> OwnSlot {
        OwnSlot(Self::FIRST + self.shared + self.blocks + block)
    }
    /// The untyped of chunk `chunk` of split `split`.
    pub const fn chunk(&self, split: u16, chunk: u32) -> OwnSlot {
        let first = (Self::FIRST + self.shared + 2 * self.blocks).next_multiple_of(CHUNKS);
        OwnSlot(first + split as u32 * CHUNKS + chunk)
    }
    /// Page `page` of split `split`, which is of the heap.
    pub const fn page(&self, split: u16, page: u32) -> OwnSlot {
        let first = self.chunk(self.splits, 0).0;
        OwnSlot(first + split as u32 * PAGES_PER_BLOCK + page)
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
    /// A slot of the tail.
    Other,
}

/// A grant CNode.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct GrantLayout {
    windows: u16,
    extras: u32,
    /// Slot of the first page of others.
    first_lend: u32,
    lends: u32,
}

impl GrantLayout {
    /// The layout of the CNode of a domain.
    pub fn of(config: &DomainConfig) -> Self {
        let (quota, lends) = (config.table_quota, config.lends());
        let behind = lends.saturating_add(config.shares.frames);
        Self {
            lends,
            ..Self::new(config.grant_radix, quota, behind)
        }
    }
    /// The layout of a CNode of `radix` (at most 24) with room for `table_quota` page tables, and
    /// for `lends` pages of others behind them.
    pub fn new(radix: u8, table_quota: u32, lends: u32) -> Self {
        let slots = 1u32 << radix.min(24);
        let tail = TAIL.saturating_add(table_quota);
        let extras = slots.saturating_sub(tail.saturating_add(lends));
        Self {
            windows: u16::try_from(extras / WINDOW_SLOTS).unwrap_or(u16::MAX),
            extras,
            first_lend: extras.saturating_add(tail),
            lends,
        }
    }
    /// Words of [`crate::Tables::windows`] that it needs: one for each window, one for each copy,
    /// and one for each page of others that it can have, for which there is always room.
    pub const fn words(&self) -> usize {
        self.windows as usize + COPIES as usize + self.lends as usize
    }
    /// Number of windows.
    pub const fn windows(&self) -> u16 {
        self.windows
    }
    /// Guest-side slot of page `page` in window `window`.
    pub const fn page(&self, window: u16, page: u32) -> Slot {
        Slot(window as u32 * WINDOW_SLOTS + page)
    }
    /// Guest-side slot of an extra page.
    pub const fn extra(&self, kind: Extra) -> Slot {
        Slot(self.extras + 2 * kind.index())
    }
    /// Slot of copy `n` of those that the domain can have: first the aliases.
    pub const fn copy(&self, n: u32) -> Slot {
        Slot(self.extras + EXTRA_SLOTS + n)
    }
    /// Slot of alias `n`, below [`ALIASES`].
    pub const fn alias(&self, n: u32) -> Slot {
        self.copy(n)
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
    /// How many pages of others the domain can have.
    pub const fn lends(&self) -> u32 {
        self.lends
    }
    /// Slot of page `n` of others.
    pub const fn lent(&self, n: u32) -> Slot {
        Slot(self.first_lend + n)
    }
    /// Slot of frame `n` of shared memory that the domain has.
    pub const fn shared(&self, n: u32) -> Slot {
        Slot(self.first_lend + self.lends + n)
    }
    /// What `slot` can hold.
    pub fn place(&self, slot: Slot) -> Place {
        let page = slot.0 % WINDOW_SLOTS;
        match u16::try_from(slot.0 / WINDOW_SLOTS) {
            Ok(window) if window < self.windows => Place::Window { window, page },
            _ => Place::Other,
        }
    }
}
