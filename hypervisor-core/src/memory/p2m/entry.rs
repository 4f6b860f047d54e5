//! What the table holds: for blocks, pages and aliases.

use hv_types::{Gfn, PAGE_SHIFT, PageOrder, WindowAddr};
use memory_server_api::{ALIASES, Extra, LENDS, Slot};

/// Bit of a page's word: an extra page lies over the frame.
pub(super) const COVERED: u32 = 4;
/// Bit of a page's word: the window shows the page. Its word then has the number of its sight, and
/// the sight has its slot.
pub(super) const SEEN: u32 = 1 << 30;
/// Bit of a page's word: the guest's address space does not have the page yet, and after a split by
/// copying neither does it have its contents.
pub(super) const ABSENT: u32 = 1 << 31;

/// Frame numbers end with the 40 bits of an intermediate physical address.
pub(super) const MAX_GFN: u64 = (1 << (40 - PAGE_SHIFT)) - 1;

/// Largest extent that is served: 2 MiB (Xen's limit for guests without privileges).
pub const MAX_ORDER: PageOrder = PageOrder(9);

/// What a guest frame holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Page {
    /// Nothing the guest can reach.
    Hole,
    /// RAM.
    Ram,
    /// An extra page.
    Extra(Extra),
    /// A page that has another home, where it lies in the window: a grant of its own that the guest
    /// mapped.
    Alias(WindowAddr),
    /// A page of another domain's.
    Foreign,
    /// A page of static shared memory.
    Shared,
}

/// Number of a block record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Block(pub(super) usize);

/// A split whose contents are not all copied.
#[derive(Clone, Copy, Debug)]
pub(super) struct Copying {
    /// The block that was split.
    pub(super) block: Block,
    /// Its first frame.
    pub(super) first: Gfn,
    /// The 2 MiB frame with the contents.
    pub(super) source: Slot,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum BlockEntry {
    /// 2 MiB without frames and without page tables of the last level.
    Empty,
    /// One 2 MiB frame.
    Whole(Slot),
    /// See the page entries.
    Paged,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum PageEntry {
    Hole,
    Ram(Slot),
    Parked(Slot),
}

/// What a page's word has in the place of a slot, of 24 bits.
#[inline]
pub(super) const fn body(word: u32) -> u32 {
    (word & !(SEEN | ABSENT)) >> 3
}

impl PageEntry {
    /// What a page's word says of a page in `slot`.
    #[inline]
    pub(super) const fn of(word: u32, slot: Slot) -> Self {
        match word & 3 {
            1 => Self::Ram(slot),
            2 => Self::Parked(slot),
            _ => Self::Hole,
        }
    }
}

/// Words of an alias: slot of the page plus one, place plus one, home with two flags, reference.
pub(super) type Words = [u32; 4];

/// Number of an alias, below [`memory_server_api::ALIASES`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AliasId(pub(super) u32);

impl AliasId {
    /// As the guest knows it.
    pub const fn raw(self) -> u32 {
        self.0
    }
}

/// Number of a page of another domain's, below [`LENDS`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ForeignId(pub(super) u32);

impl ForeignId {
    /// As the servers know it.
    pub const fn lend(self) -> u32 {
        self.0
    }
    /// As the guest knows it: behind the numbers of aliases.
    pub const fn handle(self) -> u32 {
        ALIASES + self.0
    }
    /// The inverse of [`ForeignId::handle`].
    pub fn of_handle(handle: u32) -> Option<Self> {
        let lend = handle.checked_sub(ALIASES)?;
        (lend < LENDS).then_some(Self(lend))
    }
}

/// An alias.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Alias {
    /// The page's own guest-side slot.
    pub(super) slot: Slot,
    /// Where the guest sees it, unless something else was mapped there or it was removed.
    pub at: Option<Gfn>,
    /// Where the page lies in the window, in pages.
    pub(super) home: u32,
    /// Whether the guest may write there.
    pub writable: bool,
    pub(super) leaving: bool,
    /// The grant reference that it was mapped by.
    pub gref: u32,
}

impl Alias {
    /// Where the page lies in the window.
    pub const fn window(&self) -> WindowAddr {
        WindowAddr::new((self.home as u64) << PAGE_SHIFT)
    }
}

/// Words of a sight: its frame plus one or 0, its slot, and how many aliases need it.
pub(super) const SIGHT_WORDS: usize = 3;

/// A place in the window, and what is there.
#[derive(Clone, Copy)]
pub(super) struct Sight {
    pub(super) gfn: Option<Gfn>,
    pub(super) slot: Slot,
    pub(super) aliases: u32,
}

impl Sight {
    pub(super) const NONE: Self = Self {
        gfn: None,
        slot: Slot(0),
        aliases: 0,
    };
}

/// Whether a guest can have an address in this frame at all: 40 bits.
pub fn is_address(gfn: Gfn) -> bool {
    gfn.raw() <= MAX_GFN
}
