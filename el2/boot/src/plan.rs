//! What the memory server is handed, and what the host needs for itself.
//!
//! As on Microkit: static memory as memory that no kernel owns (splits need no copy), the heap as
//! memory that is zeroed when it is retyped, page tables from an untyped for each domain.

use core::fmt;

use dt_server::{Config, Range};
use heapless::Vec;
use hv_types::{BLOCK_SIZE, DomId, PAGE_SIZE};
use hypervisor_core::memory::p2m::P2m;
use memory_server::layout::{self, GrantLayout};
use memory_server::manifest::{self, MANIFEST_WORDS, MAX_DOMAINS, MAX_UNTYPEDS, ManifestError};
use memory_server::{
    BlockRecord, DomainConfig, DomainIndex, Manifest, Purpose, SplitRecord, Untyped, UntypedRecord,
};
use memory_server_api::LENDS;
use memory_server_api::WINDOW_SLOTS;
use soft_caps::{CHUNK, Chunk, directory_len};

use crate::ram::Ram;

/// Heap of the program: the dt-server's allocations and the guests' own state.
pub const HEAP: u64 = 512 << 10;
/// Stack of the program, at the end of the host's own memory.
pub const STACK: u64 = 256 << 10;
/// Stack of each further core: a guest that restarts may be built on any.
pub const CORE_STACK: u64 = STACK;
/// Below it, and never mapped once the final tables are in use: an overflow faults.
pub const GUARD: u64 = PAGE_SIZE;
/// Page tables, console regions, pages for events to others and what else a domain costs the host.
const PER_DOMAIN: u64 = 104 << 10;
/// The same independent of domains: page tables, the console with the regions of servers, the
/// xenstore server without its memory, rounding.
const FIXED: u64 = 400 << 10;
/// Blocks that can be split besides those that the domains' own RAM may come to: for extra pages
/// and while copying.
const SPARE_SPLITS: u64 = 4;

/// The memory server's manifest and what is left over.
#[derive(Debug)]
pub struct Plan {
    words: [u64; MANIFEST_WORDS],
    /// Bytes of RAM that nobody has: neither a domain, nor the heap, nor the host.
    pub unused: u64,
}

/// Why there is no plan.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PlanError {
    /// The domains file has no domain.
    NoDomain,
    /// RAM is in too many pieces.
    TooManyPieces,
    /// Nowhere are so many bytes in one piece left.
    NoRoom {
        /// What they are for.
        what: &'static str,
        /// How many.
        bytes: u64,
    },
    /// The manifest that follows is not valid.
    Manifest(ManifestError),
}

impl fmt::Display for PlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoDomain => f.write_str("the domains file has no domain"),
            Self::TooManyPieces => f.write_str(
                "static memory and heap are in too many pieces; use fewer and larger ranges, aligned to 2 MiB",
            ),
            Self::NoRoom { what, bytes } => write!(
                f,
                "no {bytes} bytes of RAM in one piece are left for {what}; give the domains less memory, or the machine more"
            ),
            Self::Manifest(error) => write!(f, "the memory server's manifest: {error}"),
        }
    }
}

impl From<ManifestError> for PlanError {
    fn from(error: ManifestError) -> Self {
        Self::Manifest(error)
    }
}

/// Most banks of RAM that are used; the checker refuses a file with more.
const MAX_BANKS: usize = 256;

/// RAM of the machine, ascending and disjoint: what the memory nodes say, and without one all that
/// the board has, as on Microkit.
pub fn ram(config: &Config) -> Vec<Range, MAX_BANKS> {
    let of_board = config.board.ram.iter();
    let of_board = of_board.filter_map(|area| Range::new(area.start, area.size));
    let mut banks: Vec<Range, MAX_BANKS> = match config.memory.is_empty() {
        true => of_board.take(MAX_BANKS).collect(),
        false => config.memory.iter().copied().take(MAX_BANKS).collect(),
    };
    banks.sort_unstable_by_key(|bank| bank.start);
    let mut ram: Vec<Range, MAX_BANKS> = Vec::new();
    for bank in banks {
        match ram.last_mut() {
            Some(last) if bank.start <= last.end() => {
                let end = last.end().max(bank.end());
                last.size = end.saturating_sub(last.start);
            }
            // There are no more than there were banks.
            _ => drop(ram.push(bank)),
        }
    }
    ram
}

/// RAM of the machine that no domain is promised.
pub fn unclaimed(config: &Config) -> Ram {
    let mut ram = Ram::new(&ram(config));
    let fixed = config.domains.iter().flat_map(|domain| &domain.static_mem);
    for range in fixed.chain(&config.static_heap) {
        ram.claim(*range);
    }
    for range in config.shared_ranges() {
        ram.claim(range);
    }
    ram
}

/// Bytes that the host needs behind its image, the last of them its stack: an upper bound of what
/// [`Plan`]'s tables and the guests come to.
pub fn own_bytes(config: &Config) -> u64 {
    let blocks = |range: &Range| range.size.div_ceil(BLOCK_SIZE) + 1;
    let mut bytes = FIXED + HEAP + GUARD + STACK + store_bytes(config);
    // A guard page splits a block of the host's own mapping.
    bytes += u64::from(config.cores.saturating_sub(1)) * (GUARD + CORE_STACK + PAGE_SIZE);
    bytes += disks_bytes(config) + nets_bytes(config) + lends_bytes(config);
    // Blocks that can be split, all of them at once: of the heap and of static memory; and blocks
    // that are only there.
    let (mut heap, mut fixed, mut whole) = (heap_bytes(config) / BLOCK_SIZE + SPARE_SPLITS, 0, 0);
    for domain in &config.domains {
        bytes += PER_DOMAIN + topology::p2m_bytes(domain.max_ram());
        // Directory and chunks of the tail; the quota of tables has one slot each.
        bytes += tables_bytes(domain) / PAGE_SIZE * 16;
        fixed += domain.static_mem.iter().map(blocks).sum::<u64>();
        // Pages of the heap come from scattered blocks.
        heap += domain.heap.div_ceil(BLOCK_SIZE) / 4 + 4;
    }
    // Shared memory, a slot for each frame in the server's CNode and in that of each who has it.
    for shared in &config.shared {
        let each = if shared.blocks() {
            BLOCK_SIZE
        } else {
            PAGE_SIZE
        };
        // The ends of what is in blocks are pages.
        let frames = shared.size / each + if shared.blocks() { 1024 } else { 0 };
        let slots = (frames / CHUNK as u64 + 2) * (1 + shared.views.len() as u64);
        bytes += slots * (2 + size_of::<Chunk>() as u64);
    }
    whole += config.static_heap.iter().map(blocks).sum::<u64>();
    if config.heap_all {
        whole += ram(config).iter().map(blocks).sum::<u64>();
    }
    // A split block: its record, 34 slots for its untyped, its frame and its chunks, and a window
    // in one grant CNode, whose directory is a power of two; of the heap 512 slots of frames more.
    let chunks = (u64::from(WINDOW_SLOTS) + 34).div_ceil(CHUNK as u64);
    let slots = (heap + fixed) * chunks + heap * (512 / CHUNK as u64);
    let record = size_of::<BlockRecord>() as u64 + 4;
    let window = 4 * 2 * u64::from(WINDOW_SLOTS) / CHUNK as u64;
    bytes += (heap + fixed) * (record + size_of::<SplitRecord>() as u64 + window)
        + slots * size_of::<Chunk>() as u64;
    // Any other: its record and two slots of the server's own CNode.
    bytes += whole * (record + 2 * size_of::<Chunk>() as u64 / CHUNK as u64 + 1);
    bytes.next_multiple_of(PAGE_SIZE)
}

/// Bytes of the xenstore server's memory.
fn store_bytes(config: &Config) -> u64 {
    let domains = config.domains.iter();
    let guests = domains
        .filter(|domain| domain.record.pv.has_store())
        .count();
    let bytes = xenstore_server::cells(guests) * size_of::<xenstore_server::Cell>();
    bytes as u64
}

/// Bytes for pages that domains lend to each other: what the peer server remembers, and for each
/// domain that may have any, slots of its grant CNode and records.
fn lends_bytes(config: &Config) -> u64 {
    const SLOTS: u64 = LENDS as u64;
    let lends = config.lends();
    let borrowers = (0..config.domains.len()).filter(|domain| lends.lenders(*domain) != 0);
    let each = (SLOTS / CHUNK as u64 + 1) * (2 + size_of::<Chunk>() as u64) + 4 * SLOTS;
    let server = match config.meets().is_met(None) {
        true => size_of::<peer_server::Table>() as u64,
        false => 0,
    };
    server + borrowers.count() as u64 * each
}

/// Bytes of the net server's memory: its own, and for each domain with network interfaces what its
/// VMM shares with the server.
fn nets_bytes(config: &Config) -> u64 {
    let domains = config.domains.iter();
    let guests = domains.filter(|domain| !domain.nics.is_empty()).count() as u64;
    if guests == 0 {
        return 0;
    }
    let pair = u64::from(net_server_api::DATA_SIZE) + net_server_api::HEADER_SIZE as u64;
    let server = size_of::<net_server::Server<'_, guest_mem::RawWindow>>() as u64;
    let uplink = config.uplink().map_or(0, |_| {
        let header = net_server_api::UPLINK_HEADER_SIZE as u64;
        header + u64::from(net_server_api::NIC_DATA) + topology::NET_DMA_SIZE + 3 * PAGE_SIZE
    });
    server + guests * (pair + 2 * PAGE_SIZE) + uplink
}

/// Bytes of the block server's memory: its own, the driver's pages, and for each domain with disks
/// queues and a data area.
fn disks_bytes(config: &Config) -> u64 {
    let domains = config.domains.iter();
    let guests = domains.filter(|domain| !domain.disks.is_empty()).count() as u64;
    if guests == 0 {
        return 0;
    }
    let pair = u64::from(block_server_api::DATA_SIZE) + block_server_api::HEADER_SIZE as u64;
    let server = size_of::<block_server::Server<'_>>() as u64;
    server + 32 * PAGE_SIZE + guests * (pair + 2 * PAGE_SIZE)
}

/// Bytes of heap that the domains need, see [`dt_server::heap_bytes`].
fn heap_bytes(config: &Config) -> u64 {
    dt_server::heap_bytes(config.domains.iter().map(|d| (d.heap, d.extra)))
}

/// Bytes of the untypeds for a domain's page tables.
fn tables_bytes(domain: &dt_server::DomainConfig) -> u64 {
    P2m::table_bytes(
        &domain.record.max_banks,
        &domain.record.shared,
        domain.tables,
    )
}

/// Cuts `range` into naturally aligned powers of two, ascending.
fn chunks(range: Range) -> impl Iterator<Item = (u64, u8)> {
    let mut at = range.start;
    core::iter::from_fn(move || {
        let most = range.end().checked_sub(at)?.checked_ilog2()?;
        let bits = at.trailing_zeros().min(most);
        let start = at;
        at += 1 << bits;
        Some((start, u8::try_from(bits).ok()?))
    })
}

/// Untypeds in the making.
struct Untypeds(Vec<Untyped, MAX_UNTYPEDS>);

impl Untypeds {
    fn add(&mut self, range: Range, device: bool, purpose: Purpose) -> Result<(), PlanError> {
        let most = match purpose {
            Purpose::Tables(_) => manifest::TABLES_BITS,
            _ => u8::MAX,
        };
        let pieces = chunks(range).flat_map(|(paddr, size_bits)| {
            let bits = size_bits.min(most);
            (0..1u64 << (size_bits - bits)).map(move |n| (paddr + (n << bits), bits))
        });
        for (paddr, size_bits) in pieces {
            // What is less than a page is no memory to hand out.
            if size_bits >= 12 {
                let untyped = Untyped {
                    paddr,
                    size_bits,
                    device,
                    purpose,
                };
                self.0.push(untyped).map_err(|_| PlanError::TooManyPieces)?;
            }
        }
        Ok(())
    }
}

impl Plan {
    /// The plan for `config` with the host's image and its own memory in `host`.
    ///
    /// # Errors
    /// [`PlanError`].
    pub fn new(config: &Config, host: Range) -> Result<Self, PlanError> {
        if config.domains.is_empty() {
            return Err(PlanError::NoDomain);
        }
        let mut ram = unclaimed(config);
        ram.claim(host);
        let mut untypeds = Untypeds(Vec::new());
        for (n, domain) in (0..).zip(&config.domains) {
            for range in &domain.static_mem {
                untypeds.add(*range, true, Purpose::Static(DomainIndex(n)))?;
            }
        }
        for range in &config.static_heap {
            untypeds.add(*range, false, Purpose::Heap)?;
        }
        if config.static_heap.is_empty() {
            Self::add_heap(config, &mut ram, &mut untypeds)?;
        }
        for (region, shared) in (0..).zip(&config.shared) {
            let blocks = shared.blocks();
            let no_room = PlanError::NoRoom {
                what: "shared memory",
                bytes: shared.size,
            };
            let device = shared.host.is_some();
            let align = if blocks { BLOCK_SIZE } else { PAGE_SIZE };
            let taken = || ram.take(shared.size, align);
            let range = shared.range().or_else(taken).ok_or(no_room)?;
            untypeds.add(range, device, Purpose::Shared { region, blocks })?;
        }
        let mut domains: Vec<DomainConfig, MAX_DOMAINS> = Vec::new();
        let lends = config.lends();
        for (n, domain) in (0..).zip(&config.domains) {
            let bytes = tables_bytes(domain);
            let no_room = PlanError::NoRoom {
                what: "a domain's page tables",
                bytes,
            };
            let range = ram.take(bytes, bytes.next_power_of_two()).ok_or(no_room)?;
            untypeds.add(range, false, Purpose::Tables(DomainIndex(n)))?;
            let new = DomainConfig {
                domid: DomId(domain.record.domid),
                name: DomainConfig::pad_name(&domain.record.name),
                max_pages: domain.max_ram() / PAGE_SIZE,
                is_static: domain.record.is_static,
                direct: domain.record.direct_map,
                table_quota: u32::try_from(bytes / PAGE_SIZE).unwrap_or(u32::MAX),
                // Large enough for anything; corrected below, when the untypeds of all are known.
                grant_radix: 24,
                lenders: lends.lenders(n.into()),
                shares: layout::shares(untypeds.0.iter().copied(), config.shares(n.into())),
            };
            domains.push(new).map_err(|_| PlanError::TooManyPieces)?;
        }
        if config.heap_all && config.static_heap.is_empty() {
            Self::add_rest(&mut ram, &mut untypeds);
        }
        let words = manifest::encode(&domains, &untypeds.0, 0)?;
        let manifest = Manifest::decode(&words)?;
        let windows: usize = manifest
            .domains()
            .map(|(n, domain)| used_windows(&manifest, n, &domain))
            .sum();
        let extra = config
            .domains
            .iter()
            .map(|domain| domain.extra)
            .sum::<u64>()
            .div_ceil(BLOCK_SIZE);
        let splits =
            (windows as u64 + extra + SPARE_SPLITS).min(u64::from(layout::blocks(&manifest)));
        let splits = u16::try_from(splits).unwrap_or(u16::MAX);
        for (n, domain) in (0..).zip(domains.iter_mut()) {
            domain.grant_radix = layout::grant_radix(&manifest, DomainIndex(n)).max(10);
        }
        Ok(Self {
            words: manifest::encode(&domains, &untypeds.0, splits)?,
            unused: ram.bytes(),
        })
    }

    /// Heap from what nobody has claimed: in one piece if possible.
    fn add_heap(config: &Config, ram: &mut Ram, untypeds: &mut Untypeds) -> Result<(), PlanError> {
        let mut left = heap_bytes(config);
        let mut piece = left;
        while left > 0 {
            match ram.take(piece.min(left), BLOCK_SIZE) {
                Some(range) => {
                    untypeds.add(range, false, Purpose::Heap)?;
                    left -= range.size;
                }
                None if piece > BLOCK_SIZE => piece = (piece / 2).next_multiple_of(BLOCK_SIZE),
                None => {
                    return Err(PlanError::NoRoom {
                        what: "the heap",
                        bytes: left,
                    });
                }
            }
        }
        Ok(())
    }

    /// All whole blocks that are left, the largest pieces first, as far as there is room for their
    /// untypeds.
    fn add_rest(ram: &mut Ram, untypeds: &mut Untypeds) {
        for bits in (BLOCK_SIZE.trailing_zeros()..=40).rev() {
            while untypeds.0.len() < MAX_UNTYPEDS
                && let Some(range) = ram.take(1 << bits, 1 << bits)
            {
                // There is room for one.
                let _ = untypeds.add(range, false, Purpose::Heap);
            }
        }
    }

    /// The manifest.
    ///
    /// # Errors
    /// None: it was checked when it was encoded.
    pub fn manifest(&self) -> Result<Manifest<'_>, ManifestError> {
        Manifest::decode(&self.words)
    }
}

/// Lengths of the tables behind a manifest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sizes {
    /// [`UntypedRecord`]s.
    pub untypeds: usize,
    /// [`BlockRecord`]s.
    pub blocks: usize,
    /// [`SplitRecord`]s.
    pub splits: usize,
    /// Windows of all domains.
    pub windows: usize,
    /// [`Chunk`]s of capabilities if every block is split.
    pub chunks: usize,
    /// Directory entries of the memory server's own CNode.
    pub own_directory: usize,
}

/// Directory entries of a domain's grant CNode.
pub const fn grant_directory(grant_radix: u8) -> usize {
    directory_len(1 << grant_radix)
}

/// Windows of its grant CNode that a domain can come to use.
fn used_windows(manifest: &Manifest<'_>, index: DomainIndex, domain: &DomainConfig) -> usize {
    let mine = |untyped: &Untyped| untyped.purpose == Purpose::Static(index);
    let fixed: u32 = manifest
        .untypeds()
        .filter(mine)
        .map(|untyped| layout::blocks_of(&untyped))
        .sum();
    // Pages of the heap come from scattered blocks; a quarter more is what the memory server counts
    // on.
    let blocks = domain
        .max_pages
        .div_ceil(u64::from(hv_types::PAGES_PER_BLOCK));
    let heap = if domain.is_static {
        0
    } else {
        blocks + blocks / 4 + 4
    };
    fixed as usize + usize::try_from(heap).unwrap_or(usize::MAX)
}

impl Sizes {
    /// What `manifest` needs.
    pub fn of(manifest: &Manifest<'_>) -> Self {
        let blocks = layout::blocks(manifest) as usize;
        let splits = usize::from(manifest.splits());
        let windows = |domain: &DomainConfig| GrantLayout::of(domain).words();
        let own = usize::try_from(layout::own_slots(manifest)).unwrap_or(usize::MAX);
        let per_window = WINDOW_SLOTS as usize / CHUNK;
        let grants: usize = manifest
            .domains()
            .map(|(index, d)| {
                (d.table_quota + d.lends() + d.shares.frames + layout::TAIL) as usize / CHUNK
                    + 2
                    + used_windows(manifest, index, &d) * per_window
            })
            .sum();
        Self {
            untypeds: manifest.untypeds().count(),
            blocks,
            splits,
            windows: manifest.domains().map(|(_, domain)| windows(&domain)).sum(),
            chunks: directory_len(own) + grants,
            own_directory: directory_len(own),
        }
    }

    /// Bytes of all of them.
    pub fn bytes(&self, manifest: &Manifest<'_>) -> usize {
        let directories: usize = manifest
            .domains()
            .map(|(_, d)| grant_directory(d.grant_radix))
            .sum();
        self.untypeds * size_of::<UntypedRecord>()
            + self.blocks * size_of::<BlockRecord>()
            + self.splits * size_of::<SplitRecord>()
            + self.windows * size_of::<u32>()
            + self.chunks * size_of::<Chunk>()
            + (self.own_directory + directories) * size_of::<u16>()
    }
}

#[cfg(test)]
mod tests;
