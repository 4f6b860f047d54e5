//! Pages of a split block come into the guest's address space when it touches one of their chunk.

use guest_mem::Window;
use hv_types::{FrameSize, Gfn, PAGE_SHIFT, PAGE_SIZE, WindowAddr};
use memory_server_api::{CHUNK_PAGES, Reply, Request, Slot};

use super::entry::{ABSENT, Block, BlockEntry, PageEntry};
use super::error::Error;
use super::map::{MALFORMED, Space, ask};
use super::{COPIED, P2m, PER_BLOCK};
use crate::host::Host;

impl P2m<'_> {
    /// Whether RAM may be absent, or may have been a moment ago, when another vCPU touched it: not
    /// before the first split.
    #[inline]
    pub fn is_lazy(&self) -> bool {
        self.splits != 0
    }

    /// How many pages are absent.
    pub fn absent(&self) -> u32 {
        self.absent.get()
    }

    /// Whether `gfn` is RAM that the guest's address space does not have yet.
    pub fn is_absent(&self, gfn: Gfn) -> bool {
        self.block_of(gfn).is_some_and(|block| {
            self.block(block) == BlockEntry::Paged
                && self.word(block, gfn) & (ABSENT | 3) == ABSENT | 1
        })
    }

    /// The guest has touched `gfn`: brings its chunk, if it is absent. Whether it was.
    ///
    /// # Errors
    /// [`Error::Broken`] if it cannot be brought.
    pub fn touch<H: Host>(&self, host: &mut H, gfn: Gfn) -> Result<bool, Error> {
        if !self.is_absent(gfn) {
            return Ok(false);
        }
        let block = self.block_of(gfn).ok_or(Error::Broken)?;
        self.bring(host, block, gfn).map_err(|_| Error::Broken)?;
        Ok(true)
    }

    /// Brings some absent chunk, for a guest that touched one that cannot be told. Whether there
    /// was one.
    ///
    /// # Errors
    /// As [`P2m::touch`].
    pub fn touch_any<H: Host>(&self, host: &mut H) -> Result<bool, Error> {
        if self.absent.get() == 0 {
            return Ok(false);
        }
        let (count, from) = (self.pages.len(), self.last_absent.get());
        let index = (from..count).chain(0..from.min(count)).find(|index| {
            self.pages
                .get(*index)
                .is_some_and(|word| word.get() & (ABSENT | 3) == ABSENT | 1)
        });
        let Some(index) = index else {
            return Ok(false);
        };
        self.last_absent.set(index);
        let block = Block(index / PER_BLOCK);
        let bank = self
            .banks
            .iter()
            .rfind(|bank| bank.block <= block.0)
            .ok_or(Error::Broken)?;
        let first = (bank.first >> 9) + (block.0 - bank.block) as u64;
        let gfn = Gfn::new((first << 9) + (index % PER_BLOCK) as u64);
        self.bring(host, block, gfn).map_err(|_| Error::Broken)?;
        Ok(true)
    }

    /// Brings the chunk of the page at `gfn`, if that is absent; a refusal gets a second chance.
    ///
    /// # Errors
    /// The refusal of the server or the kernel. Each page of the chunk has come, with its contents,
    /// or is absent as before.
    pub(super) fn bring<H: Host>(&self, host: &mut H, block: Block, gfn: Gfn) -> Result<(), Error> {
        if self.word(block, gfn) & ABSENT == 0 {
            return Ok(());
        }
        self.bring_chunk(host, block, gfn)
            .or_else(|_| self.bring_chunk(host, block, gfn))
    }

    #[inline(never)]
    fn bring_chunk<H: Host>(&self, host: &mut H, block: Block, gfn: Gfn) -> Result<(), Error> {
        let (PageEntry::Ram(slot) | PageEntry::Parked(slot)) = self.page(block, gfn) else {
            return Ok(());
        };
        let copying = self.copying.get().filter(|copy| copy.block == block);
        let Reply::Done = ask(host, Request::Chunk { slot })? else {
            return Err(MALFORMED);
        };
        let first = gfn.raw() & !u64::from(CHUNK_PAGES - 1);
        let start = Self::page_index(block, Gfn::new(first));
        let words = self.pages.get(start..).unwrap_or(&[]);
        for (word, gfn) in words.iter().zip(first..first + u64::from(CHUNK_PAGES)) {
            let value = word.get();
            if value & ABSENT == 0 {
                continue;
            }
            let gfn = Gfn::new(gfn);
            let (slot, parked) = match self.entry(value) {
                PageEntry::Ram(slot) => (slot, false),
                PageEntry::Parked(slot) => (slot, true),
                PageEntry::Hole => continue,
            };
            if copying.is_some() {
                #[expect(clippy::cast_possible_truncation, reason = "below 16")]
                let n = (gfn.raw() - first) as u32;
                self.copy_page(host, gfn, slot, n)?;
            }
            if !parked {
                let gpa = gfn.gpa().ok_or(Error::BadGfn)?;
                self.map(host, slot, Space::Guest(gpa), FrameSize::Page)?;
            }
            word.set(word.get() & !ABSENT);
            self.absent.set(self.absent.get().saturating_sub(1));
        }
        if let Some(copy) = copying {
            self.end_copy(host, copy);
        }
        Ok(())
    }

    /// The page at `gfn` is not absent any more.
    #[inline]
    pub(super) fn set_present(&self, block: Block, gfn: Gfn) {
        if self.word(block, gfn) & ABSENT != 0 {
            self.set_flag(block, gfn, ABSENT, false);
            self.absent.set(self.absent.get().saturating_sub(1));
        }
    }

    /// The page at `gfn` is absent again: its capability was not used.
    pub(super) fn set_absent(&self, block: Block, gfn: Gfn) {
        if self.word(block, gfn) & ABSENT == 0 {
            self.set_flag(block, gfn, ABSENT, true);
            self.absent.set(self.absent.get().saturating_add(1));
        }
    }

    /// Copies a page of the block that is being copied to that which takes its place: page `n` of
    /// its chunk, in `slot`. It is in the window meanwhile, by the capability that is the guest's
    /// afterwards.
    fn copy_page<H: Host>(&self, host: &mut H, gfn: Gfn, slot: Slot, n: u32) -> Result<(), Error> {
        let to = COPIED
            .checked_add(u64::from(n) * PAGE_SIZE)
            .ok_or(Error::BadGfn)?;
        let place = Space::Window(to);
        if self.map(host, slot, place, FrameSize::Page).is_err() {
            // It may be there still, if it could not be taken away the last time.
            host.unmap(slot).map_err(Error::Map)?;
            self.map(host, slot, place, FrameSize::Page)?;
        }
        let from = WindowAddr::new(gfn.raw() << PAGE_SHIFT);
        let memory = host.window();
        // A guest with its caches off wrote past ours.
        memory.clean(from, PAGE_SIZE);
        memory.copy(from, to, PAGE_SIZE);
        memory.clean(to, PAGE_SIZE);
        host.unmap(slot).map_err(Error::Map)
    }
}
