//! Translation tables: the host's stage 1 and the guests' stage 2.
//!
//! The tables below a root are frames that the memory server grants one by one and revokes again,
//! and a missing one is an answer, not something to allocate; so these are tables of our own and
//! not those of a crate that owns and allocates what it maps.
//!
//! # Soundness
//! A [`Space`] reads and writes the entries of tables by physical address. Its maker promises that
//! the root, and whoever installs a table promises that the table, is memory mapped one to one that
//! nobody else writes. Entries point to such tables or to memory that is mapped for somebody;
//! which, the capability table has decided before.
#![expect(
    unsafe_code,
    reason = "this module's purpose is access to translation tables"
)]

use hypervisor_core::host::MapError;

use crate::cpu;
use crate::own::Own;

/// Bits of an address that name a page.
const PAGE: u64 = 0xffff_ffff_f000;
const VALID: u64 = 1;
/// Not a block: a table, or a page at level 3.
const TABLE: u64 = 2;
const AF: u64 = 1 << 10;
const INNER: u64 = 3 << 8;

/// What is mapped, with which rights.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// Memory: for a guest everything is allowed, for the host reading and writing.
    Memory,
    /// Memory to be read; a guest may execute it too.
    Constant,
    /// The host's program.
    Code,
    /// Device registers.
    Device,
}

/// Whose translation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Regime {
    /// EL2's own: four levels from level 0.
    Host,
    /// A guest's stage 2: three levels from level 1, whose root has 1024 entries.
    Guest {
        /// Its VMID.
        vmid: u8,
    },
}

/// An address space.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Space {
    root: u64,
    regime: Regime,
}

/// Size of a mapping: pages at level 3, 2 MiB blocks at level 2.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Level {
    Block = 2,
    Page = 3,
}

impl Level {
    /// Bytes.
    pub(crate) const fn bytes(self) -> u64 {
        1 << shift(self as u32)
    }
}

const fn shift(level: u32) -> u32 {
    39 - 9 * level
}

impl Space {
    /// The space whose root table, zeroed, is at `root`.
    ///
    /// # Safety
    /// `root` is memory mapped one to one, 4 KiB (8 KiB for a guest) at a multiple of that, used
    /// for this alone for ever.
    pub(crate) const unsafe fn new(root: u64, regime: Regime) -> Self {
        Self { root, regime }
    }

    /// `TTBR0_EL2` or `VTTBR_EL2`.
    pub(crate) const fn base(&self) -> u64 {
        match self.regime {
            Regime::Host => self.root,
            Regime::Guest { vmid } => self.root | (vmid as u64) << 48,
        }
    }

    const fn top(&self) -> u32 {
        match self.regime {
            Regime::Host => 0,
            Regime::Guest { .. } => 1,
        }
    }

    /// The entry for `at` in the table at `table` of level `level`.
    fn entry(&self, table: u64, level: u32, at: u64) -> *mut u64 {
        let bits = if level == 1 && self.top() == 1 {
            0x3ff
        } else {
            0x1ff
        };
        (table + (at >> shift(level) & bits) * 8) as *mut u64
    }

    fn read(entry: *mut u64) -> u64 {
        // SAFETY: made by `entry` from a table of ours; the processor's walks only read.
        unsafe { entry.read_volatile() }
    }
    fn write(entry: *mut u64, value: u64) {
        // SAFETY: as above.
        unsafe { entry.write_volatile(value) };
    }

    /// The entry for `at` at `target`, or the level at which a table is missing, or where a block
    /// is in the way.
    fn walk(&self, at: u64, target: u32) -> Result<*mut u64, *mut u64> {
        let mut table = self.root;
        for level in self.top()..target {
            let entry = self.entry(table, level, at);
            let value = Self::read(entry);
            if value & (VALID | TABLE) != VALID | TABLE {
                return Err(entry);
            }
            table = value & PAGE;
        }
        Ok(self.entry(table, target, at))
    }

    const fn leaf(&self, pa: u64, kind: Kind, level: Level) -> u64 {
        let attributes = match (self.regime, kind) {
            // AttrIndx 0 memory, 1 device; AP[1] is RES1; AP[2] read-only; XN.
            (Regime::Host, Kind::Memory) => 1 << 54 | INNER | 1 << 6,
            (Regime::Host, Kind::Constant) => 1 << 54 | INNER | 3 << 6,
            (Regime::Host, Kind::Code) => INNER | 3 << 6,
            (Regime::Host, Kind::Device) => 1 << 54 | 1 << 6 | 1 << 2,
            // MemAttr: write-back memory or device-nGnRnE; S2AP read and write; XN.
            (Regime::Guest { .. }, Kind::Device) => 1 << 54 | 3 << 6,
            (Regime::Guest { .. }, Kind::Constant) => INNER | 1 << 6 | 0xf << 2,
            (Regime::Guest { .. }, _) => INNER | 3 << 6 | 0xf << 2,
        };
        let kind = match level {
            Level::Page => TABLE,
            Level::Block => 0,
        };
        pa | attributes | AF | kind | VALID
    }

    /// Maps the page or block at physical address `pa` at `at`.
    pub(crate) fn map(&self, at: u64, pa: u64, kind: Kind, level: Level) -> Result<(), MapError> {
        let entry = self
            .walk(at, level as u32)
            .map_err(|_| MapError::MissingTable)?;
        if Self::read(entry) & VALID != 0 {
            return Err(MapError::Occupied);
        }
        Self::write(entry, self.leaf(pa, kind, level));
        cpu::publish_tables();
        Ok(())
    }

    /// Takes the mapping of `pa` at `at` away; where that is not mapped there (any more), does
    /// nothing.
    pub(crate) fn unmap(&self, at: u64, pa: u64, level: Level) {
        let Ok(entry) = self.walk(at, level as u32) else {
            return;
        };
        let value = Self::read(entry);
        let leaf = self.leaf(0, Kind::Memory, level) & (VALID | TABLE);
        if value & (VALID | TABLE) != leaf || value & PAGE != pa {
            return;
        }
        Self::write(entry, 0);
        self.forget(at);
    }

    fn forget(&self, at: u64) {
        match self.regime {
            Regime::Host => cpu::forget_host(at),
            Regime::Guest { .. } => cpu::forget_guest(self.base(), at),
        }
    }

    /// Installs the table at `table` where the path to `at` misses its first.
    ///
    /// # Safety
    /// `table` is zeroed memory mapped one to one, 4 KiB, used for this alone until it is taken
    /// out.
    pub(crate) unsafe fn install(&self, at: u64, table: u64) -> Result<(), MapError> {
        match self.walk(at, 3) {
            Err(entry) if Self::read(entry) & VALID == 0 => {
                Self::write(entry, table | TABLE | VALID);
                cpu::publish_tables();
                Ok(())
            }
            _ => Err(MapError::Occupied),
        }
    }

    /// Takes the table at `table` off the path to `at`, with what is mapped through it.
    pub(crate) fn remove(&self, at: u64, table: u64) {
        let found = (self.top() + 1..=3).find_map(|level| {
            let above = self.walk(at, level - 1).ok()?;
            (Self::read(above) & (PAGE | TABLE | VALID) == table | TABLE | VALID).then_some(above)
        });
        if let Some(above) = found {
            Self::write(above, 0);
            self.forget(at);
        }
    }

    /// Maps `start..end` (multiples of 4 KiB) of the host's own memory one to one, with tables from
    /// `own`.
    pub(crate) fn map_identity(&self, own: &mut Own, start: u64, end: u64, kind: Kind) {
        let mut at = start;
        while at < end {
            let block = at.is_multiple_of(Level::Block.bytes()) && end - at >= Level::Block.bytes();
            let level = if block { Level::Block } else { Level::Page };
            // At most three tables are missing.
            for _ in 0..4 {
                match self.map(at, at, kind, level) {
                    Err(MapError::MissingTable) => self.add_table(own, at),
                    result => {
                        assert!(result.is_ok(), "{at:#x} is mapped twice");
                        break;
                    }
                }
            }
            at += level.bytes();
        }
    }

    /// Installs a table of the host's own on the path to `at`.
    pub(crate) fn add_table(&self, own: &mut Own, at: u64) {
        let table = own.pages(1);
        // SAFETY: fresh pages of the host's own memory.
        let added = unsafe { self.install(at, table) };
        assert!(
            added.is_ok(),
            "a table on the path to {at:#x} is there already"
        );
    }
}
