//! Frame records: the server's only knowledge of who holds what.
//!
//! Memory is recorded by 2 MiB *block*, 16 bytes each. A block that is split has a
//! [`SplitRecord`] from a fixed pool, with 8 bytes for each page. Records hold pool, holder and
//! guest frame (LU-7: enough to grant the same frames again to a restarted VMM).

use core::ops::Range;

use memory_server_api::CHUNK_PAGES;

pub(crate) use crate::page_record::{NIL, PageRecord, PageState};

/// No window, no split.
pub(crate) const NIL16: u16 = u16::MAX;
/// Pool tag of heap blocks; other values are the home domain (SM-2: never changed).
pub(crate) const HEAP: u8 = 0xff;
/// Last holder of memory no domain has seen since it was zeroed or since boot.
pub(crate) const NEVER: u8 = 0xff;
/// Last holder: several, or an earlier incarnation of a domain. Scrubbed whoever takes it.
pub(crate) const OTHERS: u8 = 0xfe;

pub(crate) const PAGES: usize = hv_types::PAGES_PER_BLOCK as usize;
/// Chunks of a block, see [`memory_server_api::CHUNK_PAGES`].
pub(crate) const CHUNKS: u32 = hv_types::PAGES_PER_BLOCK / CHUNK_PAGES;
pub(crate) const DOMAINS: usize = crate::domain::MAX_DOMAINS;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum BlockState {
    /// Free; the block's untyped has no children.
    Bare,
    /// Free; the block's untyped had children: the kernel zeroes it, which takes as long as it is
    /// large, when it is retyped next. It has none now, or the one page of a reset that the kernel
    /// refused, which goes with the next reset. Never of memory that the kernel does not own.
    Used,
    /// Free; the 2 MiB frame exists and has no copies.
    Framed,
    /// Granted whole.
    Held,
    /// Granted whole, and its contents are being copied to a split block.
    Source,
    /// Given back by its holder, a living domain, whose capabilities it still has. On that domain's
    /// list.
    Returned,
    /// Made of pages.
    Split,
    /// Withdrawn: the kernel refused to undo something. Never granted again.
    Lost,
}

/// A 2 MiB block (or a *short* block of fewer pages, which is only ever split).
#[derive(Clone, Copy, Debug)]
pub struct BlockRecord {
    pub(crate) state: BlockState,
    /// Pool: home domain or [`HEAP`].
    pub(crate) home: u8,
    /// Which untyped of the manifest.
    pub(crate) untyped: u8,
    /// Who holds it, or while free who held it last.
    pub(crate) holder: u8,
    /// Window in the holder's grant CNode; of a static block always that in its home's.
    pub(crate) window: u16,
    pub(crate) split: u16,
    /// Next in the list it is on.
    pub(crate) next: u32,
    /// Where the guest sees it ([`NIL`] if above 2^32).
    pub(crate) gfn: u32,
}

const _: () = assert!(size_of::<BlockRecord>() == 16);

impl BlockRecord {
    /// A record for a table that is not yet in use.
    pub const EMPTY: Self = Self {
        state: BlockState::Bare,
        home: HEAP,
        untyped: 0,
        holder: NEVER,
        window: NIL16,
        split: NIL16,
        next: NIL,
        gfn: NIL,
    };
}

/// The pages of one split block. Its alignment lets a table of them be filled word by word.
#[derive(Clone, Debug)]
#[repr(align(8))]
pub struct SplitRecord {
    /// Which block, or [`NIL`] while unused.
    pub(crate) block: u32,
    /// Pages the block has.
    pub(crate) pages: u16,
    /// How many of them are free.
    pub(crate) free: u16,
    /// The free ones of a heap block, oldest first. Those of static blocks are on their domain's
    /// list.
    pub(crate) list: List,
    /// Each domain's window for this block.
    pub(crate) window: [u16; DOMAINS],
    /// How many pages each domain holds as RAM.
    pub(crate) held: [u16; DOMAINS],
    /// How many pages each domain has returned.
    pub(crate) returned: [u16; DOMAINS],
    /// A bit for each chunk whose frames exist.
    pub(crate) made: u32,
    /// A bit for each chunk whose frames may exist although they count as not made: the kernel
    /// refused to take them back.
    pub(crate) unsure: u32,
    /// The untypeds of the chunks exist.
    pub(crate) has_chunks: bool,
    /// A bit for each page whose guest-side capability its holder has, chunk by chunk.
    granted: [u16; CHUNKS as usize],
    pub(crate) page: [PageRecord; PAGES],
}

const _: () = assert!(CHUNKS == u32::BITS && CHUNK_PAGES == u16::BITS);

/// The chunk of page `page` of a block.
#[inline]
const fn chunk(page: u32) -> u32 {
    page / CHUNK_PAGES % CHUNKS
}

impl SplitRecord {
    /// A record for a table that is not yet in use.
    pub const EMPTY: Self = Self {
        block: NIL,
        pages: 0,
        free: 0,
        list: List::EMPTY,
        window: [NIL16; DOMAINS],
        held: [0; DOMAINS],
        returned: [0; DOMAINS],
        made: 0,
        unsure: 0,
        has_chunks: false,
        granted: [0; CHUNKS as usize],
        page: [PageRecord::free(NEVER); PAGES],
    };

    /// Whether the frame of page `page` exists.
    #[inline]
    pub(crate) fn is_made(&self, page: u32) -> bool {
        self.made >> chunk(page) & 1 != 0
    }
    /// Whether the holder of page `page` has its guest-side capability.
    #[inline]
    pub(crate) fn is_granted(&self, page: u32) -> bool {
        self.granted[chunk(page) as usize] >> (page % CHUNK_PAGES) & 1 != 0
    }
    pub(crate) fn set_granted(&mut self, page: u32, granted: bool) {
        let word = &mut self.granted[chunk(page) as usize];
        let bit = page % CHUNK_PAGES;
        *word = *word & !(1 << bit) | u16::from(granted) << bit;
    }
    /// Nothing is made of the block: there are neither chunks nor frames nor capabilities.
    pub(crate) fn forget_all(&mut self) {
        self.made = 0;
        self.unsure = 0;
        self.has_chunks = false;
        self.granted = [0; CHUNKS as usize];
    }
    /// The frames of these pages, whole chunks, exist; if `granted`, in their holder's CNode.
    pub(crate) fn set_made(&mut self, pages: Range<u32>, granted: bool) {
        for page in pages.step_by(CHUNK_PAGES as usize) {
            self.made |= 1 << chunk(page);
            self.granted[chunk(page) as usize] = if granted { u16::MAX } else { 0 };
        }
    }
    /// The frames of these pages, whole chunks, do not exist.
    pub(crate) fn forget(&mut self, pages: Range<u32>) {
        for page in pages.step_by(CHUNK_PAGES as usize) {
            self.made &= !(1 << chunk(page));
            self.granted[chunk(page) as usize] = 0;
        }
    }

    /// Counts page `page`, RAM of `d` until now, as returned.
    pub(crate) fn set_returned(&mut self, d: u8, page: u32) {
        self.page[page as usize].set_unlisted(PageState::Returned);
        self.held[usize::from(d)] -= 1;
        self.returned[usize::from(d)] += 1;
    }

    /// Whether nobody has a use for any of the pages: they are free, or were returned.
    pub(crate) fn is_unused(&self) -> bool {
        self.free + self.returned.iter().sum::<u16>() == self.pages
    }
}

/// A first-in first-out list through records; from a list of pages any can be taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct List {
    head: u32,
    tail: u32,
    len: u32,
}

impl List {
    pub(crate) const EMPTY: Self = Self {
        head: NIL,
        tail: NIL,
        len: 0,
    };

    pub(crate) fn len(&self) -> u32 {
        self.len
    }
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }
    pub(crate) fn head(&self) -> Option<u32> {
        (self.head != NIL).then_some(self.head)
    }
}

/// A page: block number and page in it, in one word.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct PageId(u32);

impl PageId {
    pub(crate) fn new(block: u32, page: u32) -> Self {
        Self(block << 9 | (page & 511))
    }
    pub(crate) fn block(self) -> u32 {
        self.0 >> 9
    }
    pub(crate) fn page(self) -> u32 {
        self.0 & 511
    }
    pub(crate) fn word(self) -> u32 {
        self.0
    }
    pub(crate) fn from_word(word: u32) -> Self {
        Self(word)
    }
}

/// Most blocks, 64 GiB: page identifiers have 24 bits on lists, 9 of them for the page, and the
/// last is none.
pub(crate) const MAX_BLOCKS: u32 = (1 << 15) - 1;

/// The record tables and the lists through them.
pub(crate) struct Records<'a> {
    pub(crate) blocks: &'a mut [BlockRecord],
    pub(crate) splits: &'a mut [SplitRecord],
    /// How many of them can be of the heap: the first ones. Where there are more, those behind are
    /// for static memory, one for each of its blocks.
    pub(crate) heap_splits: u16,
}

impl Records<'_> {
    /// Record of block `b`. Block numbers come from the server's own tables alone.
    pub(crate) fn block(&mut self, b: u32) -> &mut BlockRecord {
        &mut self.blocks[b as usize]
    }
    pub(crate) fn get(&self, b: u32) -> &BlockRecord {
        &self.blocks[b as usize]
    }
    pub(crate) fn split(&mut self, s: u16) -> &mut SplitRecord {
        &mut self.splits[usize::from(s)]
    }
    /// The split record of block `b`, if it is split.
    pub(crate) fn split_of(&mut self, b: u32) -> Option<(u16, &mut SplitRecord)> {
        let s = self.get(b).split;
        Some((s, self.splits.get_mut(usize::from(s))?))
    }
    /// Whether the frame of a page exists; its block is split.
    pub(crate) fn is_made(&self, id: PageId) -> bool {
        let split = self.splits.get(usize::from(self.get(id.block()).split));
        split.is_some_and(|split| split.is_made(id.page()))
    }
    /// Whether the holder of a page has its guest-side capability.
    #[inline]
    pub(crate) fn is_granted(&self, id: PageId) -> bool {
        let split = self.splits.get(usize::from(self.get(id.block()).split));
        split.is_some_and(|split| split.is_granted(id.page()))
    }
    /// Records whether it has.
    pub(crate) fn set_granted(&mut self, id: PageId, granted: bool) {
        if let Some((_, split)) = self.split_of(id.block()) {
            split.set_granted(id.page(), granted);
        }
    }
    /// Record of a page of a split block.
    pub(crate) fn page(&mut self, id: PageId) -> &mut PageRecord {
        let s = self.get(id.block()).split;
        &mut self.splits[usize::from(s)].page[id.page() as usize]
    }
    /// Whether static memory has split records of its own, one for each block.
    pub(crate) fn is_static_apart(&self) -> bool {
        usize::from(self.heap_splits) < self.splits.len()
    }
    /// An unused split record for a block of the pool `home`, if `kept` others are unused.
    pub(crate) fn unused_split(&self, home: u8, kept: usize) -> Option<u16> {
        let heap = 0..self.heap_splits;
        let mut unused = (0u16..).zip(self.splits.iter()).filter(|(n, s)| {
            s.block == NIL && (!self.is_static_apart() || heap.contains(n) == (home == HEAP))
        });
        let (s, _) = unused.next()?;
        (unused.take(kept).count() == kept).then_some(s)
    }

    pub(crate) fn push_block(&mut self, list: &mut List, b: u32) {
        self.block(b).next = NIL;
        match list.tail {
            NIL => list.head = b,
            tail => self.block(tail).next = b,
        }
        list.tail = b;
        list.len += 1;
    }
    pub(crate) fn push_block_front(&mut self, list: &mut List, b: u32) {
        self.block(b).next = list.head;
        if list.head == NIL {
            list.tail = b;
        }
        list.head = b;
        list.len += 1;
    }
    pub(crate) fn pop_block(&mut self, list: &mut List) -> Option<u32> {
        let b = list.head()?;
        list.head = self.get(b).next;
        if list.head == NIL {
            list.tail = NIL;
        }
        list.len -= 1;
        Some(b)
    }

    /// Takes block `b` out of `list`, which it is on: at once at the head, else after a search.
    /// Returns how many were looked at.
    pub(crate) fn unlink_block(&mut self, list: &mut List, b: u32) -> usize {
        let mut looks = 1;
        let after = self.get(b).next;
        let mut before = NIL;
        let mut at = list.head;
        while at != b {
            if at == NIL {
                return looks;
            }
            looks += 1;
            before = at;
            at = self.get(at).next;
        }
        match before {
            NIL => list.head = after,
            before => self.block(before).next = after,
        }
        if after == NIL {
            list.tail = before;
        }
        list.len -= 1;
        looks
    }

    pub(crate) fn push_page(&mut self, list: &mut List, id: PageId) {
        let record = self.page(id);
        record.set_next(NIL);
        record.set_prev(list.tail);
        match list.tail {
            NIL => list.head = id.word(),
            tail => self.page(PageId::from_word(tail)).set_next(id.word()),
        }
        list.tail = id.word();
        list.len += 1;
    }
    pub(crate) fn push_page_front(&mut self, list: &mut List, id: PageId) {
        let record = self.page(id);
        record.set_next(list.head);
        record.set_prev(NIL);
        match list.head {
            NIL => list.tail = id.word(),
            head => self.page(PageId::from_word(head)).set_prev(id.word()),
        }
        list.head = id.word();
        list.len += 1;
    }
    pub(crate) fn pop_page(&mut self, list: &mut List) -> Option<PageId> {
        let id = PageId::from_word(list.head()?);
        self.unlink_page(list, id);
        Some(id)
    }
    /// Takes a page out of `list`; one that is on no list is left alone.
    pub(crate) fn unlink_page(&mut self, list: &mut List, id: PageId) {
        let record = self.page(id);
        if !record.has_links() {
            return;
        }
        let (next, prev) = (record.next(), record.prev());
        record.set_next(NIL);
        record.set_prev(NIL);
        if prev == NIL && list.head != id.word() {
            return;
        }
        match prev {
            NIL => list.head = next,
            prev => self.page(PageId::from_word(prev)).set_next(next),
        }
        match next {
            NIL => list.tail = prev,
            next => self.page(PageId::from_word(next)).set_prev(prev),
        }
        list.len -= 1;
    }
}

/// A block whose untyped the wiper has. It is free, on its list, and [`BlockState::Used`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Away {
    /// Its number.
    pub(crate) block: u32,
    /// How often somebody was told to ask again.
    pub(crate) waits: u32,
}
