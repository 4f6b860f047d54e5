//! Building the server from the manifest.

use core::fmt;

use memory_server_api::Extra;

use crate::domain::Ending;
use crate::domain::Spent;
use crate::layout::{self, GrantLayout, OwnLayout};
use crate::manifest::{MAX_UNTYPEDS, Manifest, Purpose};
use crate::records::{
    BlockRecord, HEAP, List, MAX_BLOCKS, NEVER, NIL, NIL16, OTHERS, Records, SplitRecord,
};
use crate::server::{COPY_WORDS, Domain, Life, MemoryServer, Pool, UntypedRecord};

/// The memory for the server's records; a protection domain keeps it in statics.
pub struct Tables<'a> {
    /// One for each untyped of the manifest.
    pub untypeds: &'a mut [UntypedRecord],
    /// One for each block, see [`layout::blocks`].
    pub blocks: &'a mut [BlockRecord],
    /// Blocks that can be split at once; the smaller of this and the manifest's number counts.
    pub splits: &'a mut [SplitRecord],
    /// [`GrantLayout::words`] for each domain; their initial value does not matter.
    pub windows: &'a mut [u32],
}

/// Why the server could not be built: a table is too small for the manifest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NewError {
    /// Which table.
    pub table: &'static str,
    /// Entries it needs.
    pub need: u64,
    /// Entries it has.
    pub have: u64,
}

impl fmt::Display for NewError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { table, need, have } = self;
        write!(
            f,
            "the memory server has {have} {table} records and this image needs {need}: \
             hand over less memory or build the server with larger tables"
        )
    }
}

impl<'a> MemoryServer<'a> {
    /// The server at boot: everything is free, no kernel object is made yet.
    ///
    /// # Errors
    /// [`NewError`] if a table is too small.
    pub fn new(manifest: &Manifest<'_>, tables: Tables<'a>) -> Result<Self, NewError> {
        let Tables {
            untypeds,
            blocks,
            splits,
            windows,
        } = tables;
        let too_small = |table, need: u64, have: usize| NewError {
            table,
            need,
            have: have as u64,
        };
        let count = layout::blocks(manifest);
        if count as usize > blocks.len() || count > MAX_BLOCKS {
            return Err(too_small(
                "block",
                u64::from(count),
                blocks.len().min(MAX_BLOCKS as usize),
            ));
        }
        let splits_used = splits
            .len()
            .min(usize::from(manifest.splits()))
            .min(usize::from(NIL16));
        let mut server = Self {
            records: Records {
                blocks: &mut blocks[..count as usize],
                splits: &mut splits[..splits_used],
                heap_splits: layout::heap_splits(manifest),
            },
            untypeds,
            windows,
            copied: &mut [],
            lent: &mut [],
            domains: heapless::Vec::new(),
            heap: Pool::EMPTY,
            own: OwnLayout::of(manifest),
            spent: Spent::default(),
            away: None,
        };
        server.add_domains(manifest)?;
        server.add_untypeds(manifest)?;
        Ok(server)
    }

    fn add_domains(&mut self, manifest: &Manifest<'_>) -> Result<(), NewError> {
        let (mut first_window, mut first_lend) = (0u32, 0u32);
        for (_, config) in manifest.domains() {
            let layout = GrantLayout::of(&config);
            let domain = Domain {
                config,
                layout,
                life: Life::Alive,
                pool: Pool::EMPTY,
                returned: List::EMPTY,
                returned_blocks: List::EMPTY,
                first_window,
                first_lend,
                shared: 0,
                ram: 0,
                tables: 0,
                extras: 0,
                extra: [NIL; Extra::COUNT as usize],
                copies: [0; COPY_WORDS],
                pending: None,
                whole: 0,
                whole_by_copy: 0,
                released: false,
                refusals: 0,
                ending: Ending::START,
                restarts: 0,
                crashed: false,
            };
            first_window += u32::from(layout.windows());
            first_lend += layout.lends();
            // The manifest has at most as many domains as the vector has room for.
            let _ = self.domains.push(domain);
        }
        let copied = self.domains.len() * layout::COPIES as usize;
        let windows = core::mem::take(&mut self.windows);
        let need = first_window as usize + copied + first_lend as usize;
        let have = windows.len();
        let Some(words) = windows.get_mut(..need) else {
            return Err(NewError {
                table: "window",
                need: need as u64,
                have: have as u64,
            });
        };
        let (windows, rest) = words.split_at_mut(first_window as usize);
        (self.copied, self.lent) = rest.split_at_mut(copied);
        self.windows = windows;
        self.windows.fill(NIL);
        self.lent.fill(NIL);
        for split in self.records.splits.iter_mut() {
            split.block = NIL;
        }
        Ok(())
    }

    fn add_untypeds(&mut self, manifest: &Manifest<'_>) -> Result<(), NewError> {
        let (mut first, mut shared) = (0, 0);
        let mut used = 0;
        for (index, untyped) in (0u8..).zip(manifest.untypeds()) {
            let have = self.untypeds.len() as u64;
            let Some(record) = self.untypeds.get_mut(usize::from(index)) else {
                return Err(NewError {
                    table: "untyped",
                    need: manifest.untypeds().count() as u64,
                    have,
                });
            };
            let blocks = layout::blocks_of(&untyped);
            *record = UntypedRecord {
                paddr: untyped.paddr,
                purpose: untyped.purpose,
                size_bits: untyped.size_bits,
                device: untyped.device,
                first: match untyped.purpose {
                    Purpose::Shared { .. } => shared,
                    _ => first,
                },
                blocks,
                made: 0,
                clean: 0,
            };
            shared += layout::shared_frames(&untyped).0;
            let home = match untyped.purpose {
                Purpose::Static(d) => d.0,
                _ => HEAP,
            };
            for b in first..first + blocks {
                let window = match home {
                    HEAP => NIL16,
                    home => self.fixed_window(usize::from(home), b),
                };
                *self.records.block(b) = BlockRecord {
                    home,
                    untyped: index,
                    // The kernel has zeroed its own memory. What other memory holds is of an
                    // earlier boot.
                    holder: if untyped.device { OTHERS } else { NEVER },
                    window,
                    ..BlockRecord::EMPTY
                };
                self.put_block(b);
            }
            first += blocks;
            used = usize::from(index) + 1;
        }
        let untypeds = core::mem::take(&mut self.untypeds);
        self.untypeds = &mut untypeds[..used.min(MAX_UNTYPEDS)];
        Ok(())
    }

    /// The window that a static block keeps for ever. The manifest's check has made sure that there
    /// is one.
    fn fixed_window(&mut self, home: usize, b: u32) -> u16 {
        let Some(domain) = self.domains.get(home) else {
            return NIL16;
        };
        let (first, count) = (
            domain.first_window as usize,
            usize::from(domain.layout.windows()),
        );
        for (window, entry) in (0u16..).zip(self.windows.iter_mut().skip(first).take(count)) {
            if *entry == NIL {
                *entry = b;
                return window;
            }
        }
        NIL16
    }
}
