//! Which guest frame holds what (Xen's p2m).
//!
//! The VMM's half of memory: the memory server says which frames the domain holds, this table says
//! where the guest sees them. A 2 MiB frame is mapped twice, for the guest at its guest physical
//! address and in the VMM's window at the same number; extra pages (shared_info, grant frames,
//! rings) lie in the window from the start and in the guest where it asks for them.
//!
//! RAM is recorded by 2 MiB block with one word; a block that is *paged* (the ragged ends of banks,
//! and blocks that were split because the guest gave up or covered single pages) has a word for
//! each page. A page is a hole, RAM, or *parked*: the domain holds the frame but the guest does not
//! see it, because something was mapped over it or it was removed from the physmap (BL-8).
//!
//! A page is mapped when somebody looks at it. The pages of a block that was split are *absent*
//! from the guest's address space until it touches one of their chunk (`touch`), and a page is
//! *seen* in the window, at one of a number of places there, after the VMM looked at it (`sight`).
//! A page that the guest gives up disappears from both at once.
//!
//! All operations leave the table and the mappings as they were when they fail, except with
//! `Error::Broken`: a mapping that existed could not be made again, and the guest must be
//! stopped.

mod alias;
mod balloon;
mod build;
mod entry;
mod error;
mod extra;
mod foreign;
mod foreign_table;
mod map;
mod pages;
mod pool;
mod share;
mod sight;
mod split;
mod tables;
mod touch;

pub use entry::{Alias, AliasId, ForeignId, MAX_ORDER, Page, is_address};
pub use error::Error;
pub use share::SharedSoFar;
pub use split::Patience;

use core::cell::Cell;

use dt_server_api::{Bank, MAX_BANKS, MAX_SHARED};
use heapless::Vec;
use hv_types::{
    BLOCK_SIZE, Gfn, Gpa, MAX_VCPUS, PAGE_SHIFT, PAGE_SIZE, PAGES_PER_BLOCK, WindowAddr,
};
use memory_server_api::{ALIASES, Extra, SIGHTS, Slot};

use crate::host::Host;
use crate::memory::pages::Pages;

use entry::{
    ABSENT, Block, BlockEntry, COVERED, Copying, PageEntry, SEEN, SIGHT_WORDS, Words, body,
};
use foreign_table::Foreigners;
use pool::{TABLE_BATCH, Tables};

/// Where the pages of a chunk lie while they are copied to: behind the extra pages, so that one
/// page table serves both.
const COPIED: WindowAddr = WindowAddr::new(WindowAddr::EXTRA_BASE + BLOCK_SIZE / 2);
const _: () = assert!(Extra::COUNT as u64 * PAGE_SIZE <= BLOCK_SIZE / 2);

const EXTRAS: usize = Extra::COUNT as usize;
const ALIAS_WORDS: usize = ALIASES as usize * size_of::<Words>() / size_of::<u32>();
const PER_BLOCK: usize = PAGES_PER_BLOCK as usize;

/// A RAM bank in frames, and where its records are.
#[derive(Clone, Copy, Debug)]
struct RamBank {
    first: u64,
    pages: u64,
    /// Record of the block that holds `first`.
    block: usize,
}

/// Where the memory of a guest is. See the module's documentation.
pub struct P2m<'m> {
    banks: Vec<RamBank, MAX_BANKS>,
    blocks: &'m mut [u32],
    pages: &'m [Cell<u32>],
    /// Two words for each extra page: slot and frame number, each plus one, 0 for none.
    extras: &'m mut [[u32; 2]],
    /// How many extra pages are mapped in the guest.
    mapped_extras: u32,
    /// Pages that the guest sees a second time.
    aliases: &'m mut [Words],
    /// How many there are.
    used_aliases: u32,
    /// No alias from this number on is in use.
    alias_end: u32,
    /// Grant slot of the first alias, known once there was one.
    alias_base: u32,
    /// Pages of other domains that the guest sees.
    foreign: Foreigners<'m>,
    /// Static shared memory that it sees.
    shared: Vec<Bank, MAX_SHARED>,
    tables: Tables,
    /// All of the RAM that the guest starts with is there.
    is_built: Cell<bool>,
    /// Highest frame ever mapped.
    max_gfn: u64,
    /// How many blocks were split.
    splits: u64,
    /// How many pages are absent.
    absent: Cell<u32>,
    /// Where an absent page was found last, among the page records.
    last_absent: Cell<usize>,
    /// The split whose contents are being copied.
    copying: Cell<Option<Copying>>,
    /// Pages of paged blocks that are in the window.
    sights: &'m [[Cell<u32>; SIGHT_WORDS]],
    /// The sight that is taken next.
    next_sight: Cell<u32>,
    /// Grant slot of the first sight, known once there was one.
    sight_base: Cell<u32>,
    /// Frames that are in the window as long as they are RAM.
    kept_in_sight: Vec<Gfn, MAX_VCPUS>,
}

impl<'m> P2m<'m> {
    /// Words of table memory that these banks need: 513 for each 2 MiB that they touch.
    pub fn table_words(banks: &[Bank]) -> usize {
        ALIAS_WORDS
            + SIGHT_WORDS * SIGHTS as usize
            + 2 * EXTRAS
            + banks
                .iter()
                .map(|b| blocks_of(b) * (1 + PER_BLOCK))
                .sum::<usize>()
    }

    /// Page tables that a guest with these banks can come to need, for its own mappings, and a few
    /// for the window, if each of its blocks is split: the table quota that makes ballooning always
    /// possible.
    pub fn most_tables(banks: &[Bank]) -> u32 {
        let blocks: usize = banks.iter().map(blocks_of).sum();
        Self::least_tables(banks).saturating_add(u32::try_from(blocks).unwrap_or(u32::MAX))
    }

    /// Bytes of the memory for a domain's page tables: for [`P2m::most_tables`] of `banks` and for
    /// shared memory at `shared`, at most
    /// `allowed` bytes, rounded up to 64 KiB, so that few untypeds suffice.
    pub fn table_bytes(banks: &[Bank], shared: &[Bank], allowed: u64) -> u64 {
        const STEP: u64 = 64 << 10;
        let shared = shared.iter().map(Bank::tables).sum::<u64>();
        let most = u64::from(Self::most_tables(banks)).saturating_add(shared) * hv_types::PAGE_SIZE;
        most.min(allowed).next_multiple_of(STEP)
    }

    /// Page tables that building these banks needs, with some for extra pages and eight splits.
    pub fn least_tables(banks: &[Bank]) -> u32 {
        let mut tables = 0u64;
        for bank in banks {
            let (start, end) = (
                bank.start().raw(),
                bank.start().raw().saturating_add(bank.size()),
            );
            tables += (end.saturating_sub(1) >> 30).saturating_sub(start >> 30) + 1;
            tables += u64::from(!start.is_multiple_of(BLOCK_SIZE));
            tables += u64::from(!end.is_multiple_of(BLOCK_SIZE));
        }
        u32::try_from(2 * tables + 3 * u64::from(TABLE_BATCH)).unwrap_or(u32::MAX)
    }

    /// An empty map for `banks`, with its records in `table`.
    ///
    /// # Errors
    /// [`Error::BadGfn`] if the banks are more than [`MAX_BANKS`], not made of pages, not ascending
    /// and disjoint, share a 2 MiB block, or lie at or above 2^40; or if `table` has fewer than
    /// [`P2m::table_words`] words.
    pub fn new(banks: &[Bank], table: &'m mut [u32]) -> Result<Self, Error> {
        let mut map = Vec::new();
        let mut block = 0;
        let mut free_from = 0;
        for bank in banks {
            let (start, size) = (bank.start(), bank.size());
            let end = start.checked_add(size).ok_or(Error::BadGfn)?.raw();
            let pages = start.is_aligned(PAGE_SIZE) && size.is_multiple_of(PAGE_SIZE) && size > 0;
            if !pages || start.block_base().raw() < free_from || end > 1 << 40 {
                return Err(Error::BadGfn);
            }
            free_from = end.next_multiple_of(BLOCK_SIZE);
            let bank_record = RamBank {
                first: start.gfn().raw(),
                pages: size >> PAGE_SHIFT,
                block,
            };
            map.push(bank_record).map_err(|_| Error::BadGfn)?;
            block += blocks_of(bank);
        }
        let (words, rest) = table
            .split_at_mut_checked(Self::table_words(banks))
            .ok_or(Error::BadGfn)?;
        // In a table without room for them there are none.
        let foreign = rest.get_mut(..foreign_table::WORDS).unwrap_or_default();
        let (aliases, rest) = words.split_at_mut(ALIAS_WORDS);
        let (aliases, _) = aliases.as_chunks_mut();
        let (sights, rest) = rest.split_at_mut(SIGHT_WORDS * SIGHTS as usize);
        let (sights, _) = Cell::from_mut(sights).as_slice_of_cells().as_chunks();
        let (extras, rest) = rest.split_at_mut(2 * EXTRAS);
        let (blocks, pages) = rest.split_at_mut(block);
        let (extras, _) = extras.as_chunks_mut();
        let pages = Cell::from_mut(pages).as_slice_of_cells();
        Ok(Self::empty(
            map, aliases, sights, extras, blocks, pages, foreign,
        ))
    }

    /// The map as [`P2m::new`] left it: nothing is anywhere. For the end of a guest's life, before
    /// its memory goes.
    #[must_use]
    pub fn emptied(self) -> Self {
        Self::empty(
            self.banks,
            self.aliases,
            self.sights,
            self.extras,
            self.blocks,
            self.pages,
            self.foreign.into_words(),
        )
    }

    /// A map for these banks in these tables, whatever the tables hold.
    fn empty(
        banks: Vec<RamBank, MAX_BANKS>,
        aliases: &'m mut [Words],
        sights: &'m [[Cell<u32>; SIGHT_WORDS]],
        extras: &'m mut [[u32; 2]],
        blocks: &'m mut [u32],
        pages: &'m [Cell<u32>],
        foreign: &'m mut [u32],
    ) -> Self {
        aliases.fill(Words::default());
        sights.as_flattened().iter().for_each(|word| word.set(0));
        extras.fill([0; 2]);
        blocks.fill(0);
        pages.iter().for_each(|page| page.set(0));
        let mut p2m = Self {
            banks,
            blocks,
            pages,
            extras,
            mapped_extras: 0,
            aliases,
            used_aliases: 0,
            alias_end: 0,
            alias_base: 0,
            foreign: Foreigners::new(foreign),
            shared: Vec::new(),
            tables: Tables::new(),
            is_built: Cell::new(false),
            max_gfn: 0,
            splits: 0,
            absent: Cell::new(0),
            last_absent: Cell::new(0),
            copying: Cell::new(None),
            sights,
            next_sight: Cell::new(0),
            sight_base: Cell::new(0),
            kept_in_sight: Vec::new(),
        };
        p2m.mark_ragged_blocks();
        p2m
    }

    /// Blocks that a bank covers in part are paged from the start.
    fn mark_ragged_blocks(&mut self) {
        for bank in self.banks.clone() {
            let last = bank.first + bank.pages - 1;
            for gfn in [bank.first, last] {
                if let Some(block) = self.block_of(Gfn::new(gfn))
                    && !self.is_within(block_start(gfn), u64::from(PAGES_PER_BLOCK))
                {
                    self.set_block(block, BlockEntry::Paged);
                }
            }
        }
    }

    /// What `gfn` holds.
    pub fn lookup(&self, gfn: Gfn) -> Page {
        if self.is_ram(gfn) {
            return Page::Ram;
        }
        if let Some((_, alias)) = self.alias_at(gfn) {
            return Page::Alias(alias.window());
        }
        if self.foreign_at(gfn).is_some() {
            return Page::Foreign;
        }
        if self.is_shared(gfn) {
            return Page::Shared;
        }
        self.extra_at(gfn).map_or(Page::Hole, Page::Extra)
    }

    /// Highest frame that was ever mapped (`XENMEM_maximum_gpfn`); 0 before the first.
    pub fn max_gfn(&self) -> Gfn {
        Gfn::new(self.max_gfn)
    }

    /// How many blocks were split so far: the longest thing that one operation does.
    pub fn splits(&self) -> u64 {
        self.splits
    }

    /// Whether `gfn` is RAM of the guest's, with nothing over it.
    #[inline]
    pub fn is_ram(&self, gfn: Gfn) -> bool {
        let Some(block) = self.block_of(gfn) else {
            return false;
        };
        match self.block(block) {
            BlockEntry::Whole(_) => true,
            BlockEntry::Paged => matches!(self.page(block, gfn), PageEntry::Ram(_)),
            BlockEntry::Empty => false,
        }
    }

    /// The record of the block that holds `gfn`, if `gfn` is in a bank.
    #[inline]
    fn block_of(&self, gfn: Gfn) -> Option<Block> {
        let gfn = gfn.raw();
        let bank = self
            .banks
            .iter()
            .find(|b| gfn.wrapping_sub(b.first) < b.pages)?;
        let index = (gfn >> 9) - (bank.first >> 9);
        Some(Block(bank.block + usize::try_from(index).ok()?))
    }

    /// Whether `pages` frames from `first` lie in one bank.
    fn is_within(&self, first: u64, pages: u64) -> bool {
        self.banks.iter().any(|b| {
            first >= b.first
                && first
                    .checked_add(pages)
                    .is_some_and(|end| end <= b.first + b.pages)
        })
    }

    #[inline]
    fn block(&self, block: Block) -> BlockEntry {
        match self.blocks.get(block.0).copied().unwrap_or(0) {
            0 => BlockEntry::Empty,
            2 => BlockEntry::Paged,
            word => BlockEntry::Whole(Slot(word >> 2)),
        }
    }
    fn set_block(&mut self, block: Block, entry: BlockEntry) {
        if let Some(word) = self.blocks.get_mut(block.0) {
            *word = match entry {
                BlockEntry::Empty => 0,
                BlockEntry::Paged => 2,
                BlockEntry::Whole(slot) => slot.0 << 2 | 1,
            };
        }
    }

    #[inline]
    fn page_index(block: Block, gfn: Gfn) -> usize {
        #[expect(clippy::cast_possible_truncation, reason = "nine bits")]
        let page = (gfn.raw() & u64::from(PAGES_PER_BLOCK - 1)) as usize;
        block.0 * PER_BLOCK + page
    }
    #[inline]
    fn word(&self, block: Block, gfn: Gfn) -> u32 {
        let word = self.pages.get(Self::page_index(block, gfn));
        word.map_or(0, Cell::get)
    }
    #[inline]
    fn page(&self, block: Block, gfn: Gfn) -> PageEntry {
        self.entry(self.word(block, gfn))
    }
    /// What a page's word says.
    #[inline]
    fn entry(&self, word: u32) -> PageEntry {
        let slot = if word & SEEN != 0 {
            self.sight(body(word)).slot
        } else {
            Slot(body(word))
        };
        PageEntry::of(word, slot)
    }
    /// Changes what is at `gfn`; where it is mapped does not change, but for a hole.
    fn set_page(&self, block: Block, gfn: Gfn, entry: PageEntry) {
        if let Some(word) = self.pages.get(Self::page_index(block, gfn)) {
            let before = word.get();
            // What is in sight stays so, and its slot where that is kept.
            let body = |slot: Slot| match before & SEEN {
                0 => slot.0,
                _ => body(before),
            };
            let (entry, kept) = match entry {
                PageEntry::Hole => (0, COVERED),
                PageEntry::Ram(slot) => (body(slot) << 3 | 1, COVERED | SEEN | ABSENT),
                PageEntry::Parked(slot) => (body(slot) << 3 | 2, COVERED | SEEN | ABSENT),
            };
            word.set(entry | before & kept);
        }
    }
    /// Changes what a page's word has in the place of a slot.
    fn set_body(&self, block: Block, gfn: Gfn, to: u32) {
        if let Some(word) = self.pages.get(Self::page_index(block, gfn)) {
            let before = word.get();
            word.set(before & (ABSENT | SEEN | 7) | to << 3);
        }
    }
    fn set_flag(&self, block: Block, gfn: Gfn, flag: u32, set: bool) {
        if let Some(word) = self.pages.get(Self::page_index(block, gfn)) {
            word.set(word.get() & !flag | if set { flag } else { 0 });
        }
    }

    /// Whether an extra page lies over `gfn`, a frame of a bank.
    #[inline]
    fn is_covered(&self, block: Block, gfn: Gfn) -> bool {
        self.word(block, gfn) & COVERED != 0
    }
    /// Remembers that an extra page lies over `gfn`, or not any more. Frames outside of the banks
    /// need no mark.
    fn set_covered(&mut self, gfn: Gfn, covered: bool) {
        if let Some(block) = self.block_of(gfn) {
            self.set_flag(block, gfn, COVERED, covered);
        }
    }

    fn note_mapped(&mut self, last: Gfn) {
        self.max_gfn = self.max_gfn.max(last.raw());
    }
}

impl Pages for P2m<'_> {
    #[inline]
    fn readable(&self, gpa: Gpa, len: u64) -> Option<WindowAddr> {
        self.writable(gpa, len)
            .or_else(|| self.second_sight(gpa, len, false))
    }

    #[inline]
    fn writable(&self, gpa: Gpa, len: u64) -> Option<WindowAddr> {
        if !fits_page(gpa, len) {
            return None;
        }
        if let Some(page) = self.in_sight(gpa.gfn()) {
            return page.checked_add(gpa.page_offset());
        }
        // Pages of the hypervisor that the guest sees are its own to write, as on Xen.
        match self.extra_at(gpa.gfn()) {
            Some(kind) => WindowAddr::extra(kind.index(), 0).checked_add(gpa.page_offset()),
            None => self.second_sight(gpa, len, true),
        }
    }

    fn reach<H: Host>(&self, host: &mut H, gpa: Gpa) {
        self.bring_into_sight(host, gpa.gfn());
    }
}

impl P2m<'_> {
    /// `len` bytes of an alias, which may be written if that is asked for.
    fn second_sight(&self, gpa: Gpa, len: u64, writable: bool) -> Option<WindowAddr> {
        let (_, alias) = self.alias_at(gpa.gfn())?;
        if !fits_page(gpa, len) || writable && !alias.writable {
            return None;
        }
        alias.window().checked_add(gpa.page_offset())
    }
}

#[inline]
fn fits_page(gpa: Gpa, len: u64) -> bool {
    len <= PAGE_SIZE - gpa.page_offset()
}

/// 2 MiB blocks that a bank touches.
fn blocks_of(bank: &Bank) -> usize {
    let first = bank.start().raw() / BLOCK_SIZE;
    let end = bank
        .start()
        .raw()
        .saturating_add(bank.size())
        .div_ceil(BLOCK_SIZE);
    usize::try_from(end.saturating_sub(first)).unwrap_or(0)
}

/// First frame of the block that holds frame `gfn`.
const fn block_start(gfn: u64) -> u64 {
    gfn & !(PAGES_PER_BLOCK as u64 - 1)
}
