//! What the memory server gets and where it lies.

use hv_types::DomId;
use memory_server::layout::{self as server_layout, NODE_BITS};
use memory_server::manifest::{
    self, DomainConfig, DomainIndex, MAX_UNTYPEDS, Manifest, ManifestError, Purpose, TABLES_BITS,
    Untyped,
};
use untyped_plan::{Arena, BootUntyped, Chunk, Paddr, Span, cut_within, human, overlap};

use crate::error::Error;
use crate::modules::free_ram;
use crate::needs::{DomainNeeds, Heap, Needs};

/// An untyped of the memory server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Handed {
    /// Where.
    pub chunk: Chunk,
    /// Memory that the kernel does not own.
    pub device: bool,
    /// What for.
    pub purpose: Purpose,
}

/// A domain's CNode.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct DomainLayout {
    /// The domain's name.
    pub name: String,
    /// log2 of the slots of its grant CNode.
    pub grant_radix: u8,
    /// Those of its nodes that are there, see [`server_layout::grant_nodes`].
    pub grant_nodes: Vec<u32>,
}

/// Everything that is added to Microkit's specification.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Layout {
    /// The memory server's untypeds; number `i` goes into slot `i` of its own CNode.
    pub untypeds: Vec<Handed>,
    /// log2 of the slots of that CNode.
    pub own_radix: u8,
    /// How many of its nodes are there, see [`server_layout::own_nodes`].
    pub own_nodes: u32,
    /// How many 2 MiB blocks it can have split at once.
    pub splits: u16,
    /// The domains in order.
    pub domains: Vec<DomainLayout>,
    /// Regions of shared memory: those who have each, and its name, as `a/b:name`.
    pub shared: Vec<String>,
    /// There is a wiper.
    pub has_wiper: bool,
}

/// Smallest piece of memory for tables, and of the heap where it needs no whole blocks or is all
/// there is: 64 KiB.
const LEAST_BITS: u8 = 16;
const BLOCK_BITS: u8 = 21;
const PAGE_BITS: u8 = 12;

impl Layout {
    /// A layout without memory, to begin with.
    pub(crate) fn empty(needs: &Needs) -> Self {
        let domains = needs.domains.iter();
        let domains = domains.map(|d| DomainLayout {
            name: d.name.clone(),
            grant_radix: NODE_BITS + 1,
            grant_nodes: Vec::new(),
        });
        Self {
            untypeds: Vec::new(),
            own_radix: NODE_BITS + 1,
            own_nodes: 1,
            splits: 0,
            domains: domains.collect(),
            shared: shared_names(needs),
            has_wiper: needs.shape.heap.has(None),
        }
    }

    /// The ranges that the domains file names, cut at the borders of `boot`.
    ///
    /// # Errors
    /// A range that is not all there.
    pub(crate) fn named(needs: &Needs, boot: &[BootUntyped]) -> Result<Vec<Handed>, Error> {
        let mut handed = Vec::new();
        for (index, domain) in (0u8..).zip(&needs.domains) {
            let what = format!("xen,static-mem of domain '{}'", domain.name);
            for &span in &domain.static_mem {
                handed.extend(cut(span, boot, &what, Purpose::Static(DomainIndex(index)))?);
            }
        }
        for &span in &needs.static_heap {
            handed.extend(cut(span, boot, "xen,static-heap", Purpose::Heap)?);
        }
        for (region, shared) in (0u8..).zip(&needs.shared) {
            let blocks = shared.blocks;
            let what = format!("xen,shared-mem of '{}'", shared.id);
            if let Some(span) = shared.host {
                handed.extend(cut(span, boot, &what, Purpose::Shared { region, blocks })?);
            }
        }
        Ok(handed)
    }

    /// Chooses places for what has none: `named` lie where they lie, `occupied` is where the
    /// initialiser will put everything else.
    ///
    /// # Errors
    /// What does not fit, how much is missing and what to try.
    pub(crate) fn choose(
        needs: &Needs,
        heap: Heap,
        named: Vec<Handed>,
        boot: &[BootUntyped],
        occupied: &[Span],
        preloaded: &[Span],
    ) -> Result<Self, Error> {
        let mut untypeds = named;
        let mut taken: Vec<Span> = untypeds.iter().map(|handed| handed.chunk.span()).collect();
        taken.extend_from_slice(occupied);
        let mut arena = Arena::new(boot, &taken);
        let free = arena.free();
        let normal = |chunk, purpose| Handed {
            chunk,
            device: false,
            purpose,
        };

        let want = needs.heap_bytes();
        let mut chunks = Vec::new();
        if needs.static_heap.is_empty() {
            let is_blocks = want.is_multiple_of(1 << BLOCK_BITS);
            chunks = arena
                .place_bytes(want, if is_blocks { BLOCK_BITS } else { LEAST_BITS })
                .ok_or_else(|| no_heap(needs, want, free))?;
        } else {
            let have: u64 = needs.static_heap.iter().map(|span| span.size()).sum();
            // One of the blocks for splits.
            let spare = if needs.domains.iter().any(|domain| domain.heap > 0) {
                1 << BLOCK_BITS
            } else {
                0
            };
            let least = want - spare;
            if have < least {
                return Err(Error::new(format!(
                    "xen,static-heap is {}, but the domains need {} of heap (RAM without xen,static-mem, and extra pages)",
                    human(have), human(least)
                ))
                .advise("enlarge xen,static-heap, or give a domain xen,static-mem"));
            }
        }
        for (region, shared) in (0u8..).zip(&needs.shared) {
            if shared.host.is_some() {
                continue;
            }
            let mut chunks = arena.place_bytes(shared.size, PAGE_BITS).ok_or_else(|| {
                Error::new(format!(
                    "no room for the {} of shared memory '{}': of the kernel's memory {} are free",
                    human(shared.size),
                    shared.id,
                    human(arena.free())
                ))
                .advise("a host address in xen,shared-mem, outside the kernel's memory")
            })?;
            // What can be mapped in whole blocks comes first, where the guests have it aligned.
            chunks.sort_by_key(|chunk| core::cmp::Reverse(chunk.bits));
            let purpose = Purpose::Shared {
                region,
                blocks: shared.blocks,
            };
            untypeds.extend(chunks.into_iter().map(|chunk| normal(chunk, purpose)));
        }
        for (index, domain) in (0u8..).zip(&needs.domains) {
            let chunks = arena
                .place_bytes(domain.tables, LEAST_BITS)
                .ok_or_else(|| {
                    Error::new(format!(
                        "no room for the {} of page tables of domain '{}': of the kernel's memory {} are free",
                        human(domain.tables), domain.name, human(arena.free())
                    ))
                    .advise("a smaller xen,domain-p2m-mem-mb, or less memory in xen,static-heap and domains without xen,static-mem")
                })?;
            let tables = Purpose::Tables(DomainIndex(index));
            let chunks = chunks.into_iter();
            let chunks = chunks.flat_map(|chunk| pieces(chunk, TABLES_BITS));
            untypeds.extend(chunks.map(|chunk| normal(chunk, tables)));
            let of_kernel =
                |h: &Handed| !h.device && h.purpose == Purpose::Static(DomainIndex(index));
            // A direct-mapped domain has pages there from the start, nothing is split.
            if !domain.direct && untypeds.iter().any(of_kernel) {
                // The kernel wipes its memory when it is retyped, so splitting a 2 MiB frame of it
                // copies it, and static RAM must not go to the heap for that.
                let spare = arena.place(BLOCK_BITS).ok_or_else(|| {
                    Error::new(format!(
                        "no room for the 2 MiB that domain '{}' needs to split its static memory: it lies in the kernel's memory",
                        domain.name
                    ))
                    .advise("xen,static-mem in RAM outside the kernel's memory (0x40000000..0x60000000 on qemu_virt_aarch64)")
                })?;
                untypeds.push(normal(spare, Purpose::Static(DomainIndex(index))));
            }
        }
        if heap == Heap::All && needs.static_heap.is_empty() {
            chunks.extend(arena.take_all(LEAST_BITS));
            taken.extend_from_slice(preloaded);
            for span in free_ram(&needs.ram, boot, &taken) {
                let device = cut(span, boot, "RAM outside the kernel's memory", Purpose::Heap)?;
                untypeds.extend(device.into_iter().filter(|h| h.chunk.bits >= BLOCK_BITS));
            }
        }
        // Large pieces first: they are what 2 MiB frames are made of.
        chunks.sort_by_key(|chunk| (core::cmp::Reverse(chunk.bits.min(BLOCK_BITS)), chunk.paddr));
        untypeds.extend(chunks.into_iter().map(|chunk| normal(chunk, Purpose::Heap)));
        Self::finish(needs, untypeds)
    }

    /// Sizes the CNodes by the memory server's own rules.
    fn finish(needs: &Needs, untypeds: Vec<Handed>) -> Result<Self, Error> {
        if untypeds.len() > MAX_UNTYPEDS {
            return Err(Error::new(format!(
                "the memory server would get {} pieces of memory and can hold {MAX_UNTYPEDS}",
                untypeds.len()
            ))
            .advise("fewer and larger ranges in xen,static-mem and xen,static-heap, aligned to 2 MiB or more"));
        }
        let domains = needs.domains.iter();
        let domains = domains.map(|d| DomainLayout {
            name: d.name.clone(),
            grant_radix: 24,
            grant_nodes: Vec::new(),
        });
        let mut layout = Self {
            untypeds,
            own_radix: 0,
            own_nodes: 0,
            splits: 0,
            domains: domains.collect(),
            shared: shared_names(needs),
            has_wiper: needs.shape.heap.has(None),
        };
        let words = layout.manifest(needs)?;
        let manifest = decode(&words)?;
        for (index, domain) in (0u8..).zip(&mut layout.domains) {
            domain.grant_radix = server_layout::grant_radix(&manifest, DomainIndex(index));
        }
        // All blocks at once.
        layout.splits = u16::try_from(server_layout::blocks(&manifest)).unwrap_or(u16::MAX);
        let words = layout.manifest(needs)?;
        let manifest = decode(&words)?;
        for (index, domain) in (0u8..).zip(&mut layout.domains) {
            let nodes = server_layout::grant_nodes(&manifest, DomainIndex(index));
            domain.grant_nodes = nodes.collect();
        }
        layout.own_radix = server_layout::own_radix(&manifest);
        layout.own_nodes = server_layout::own_nodes(&manifest);
        Ok(layout)
    }

    /// The words that tell the memory server about all this.
    ///
    /// # Errors
    /// The server's own check of them.
    pub(crate) fn manifest(&self, needs: &Needs) -> Result<[u64; manifest::MANIFEST_WORDS], Error> {
        let untypeds: Vec<Untyped> = self
            .untypeds
            .iter()
            .map(|handed| Untyped {
                paddr: handed.chunk.paddr.0,
                size_bits: handed.chunk.bits,
                device: handed.device,
                purpose: handed.purpose,
            })
            .collect();
        let domains: Vec<DomainConfig> = needs
            .domains
            .iter()
            .zip(&self.domains)
            .map(|(domain, layout)| DomainConfig {
                shares: server_layout::shares(untypeds.iter().copied(), domain.shares),
                domid: DomId(domain.domid),
                name: DomainConfig::pad_name(&domain.name),
                max_pages: domain.max_ram >> PAGE_BITS,
                is_static: !domain.static_mem.is_empty(),
                direct: domain.direct,
                table_quota: u32::try_from(domain.tables >> PAGE_BITS).unwrap_or(u32::MAX),
                grant_radix: layout.grant_radix,
                lenders: domain.lenders,
            })
            .collect();
        manifest::encode(&domains, &untypeds, self.splits).map_err(refused)
    }
}

/// What `zazen inspect` reads of each region of shared memory.
fn shared_names(needs: &Needs) -> Vec<String> {
    let has = |number: usize, domain: &&DomainNeeds| domain.shares >> number & 1 != 0;
    let regions = needs.shared.iter().enumerate();
    let named = regions.map(|(number, region)| {
        let domains = needs.domains.iter().filter(|domain| has(number, domain));
        let domains: Vec<&str> = domains.map(|domain| domain.name.as_str()).collect();
        format!("{}:{}", domains.join("/"), region.id)
    });
    named.collect()
}

fn decode(words: &[u64]) -> Result<Manifest<'_>, Error> {
    Manifest::decode(words).map_err(refused)
}

fn refused(error: ManifestError) -> Error {
    Error::new(format!(
        "the memory server would not accept its memory: {error}"
    ))
}

/// A chunk in pieces of at most 2^`bits`.
fn pieces(chunk: Chunk, bits: u8) -> impl Iterator<Item = Chunk> {
    let bits = bits.min(chunk.bits);
    (0..1u64 << (chunk.bits - bits)).map(move |n| Chunk {
        paddr: Paddr(chunk.paddr.0 + (n << bits)),
        bits,
    })
}

fn cut(
    span: Span,
    boot: &[BootUntyped],
    what: &str,
    purpose: Purpose,
) -> Result<Vec<Handed>, Error> {
    let chunks = cut_within(span, boot).map_err(|hole| {
        Error::new(format!("{what} {span}: {} is not free memory of this board", hole.0)).advise(
            "a range that avoids the seL4 kernel, the initial task and its 4 MiB CNode at the end of the kernel's memory; \
             the report of an image without this range (--report) lists what is free",
        )
    })?;
    Ok(chunks
        .into_iter()
        .map(|chunk| {
            let device = boot
                .iter()
                .any(|b| b.device && b.span().contains(chunk.span()));
            Handed {
                chunk,
                device,
                purpose,
            }
        })
        .collect())
}

fn no_heap(needs: &Needs, want: u64, free: u64) -> Error {
    let ram: u64 = needs.domains.iter().map(|domain| domain.heap).sum();
    Error::new(format!(
        "the domains need {} of heap ({} of it RAM of domains without xen,static-mem), but only {} of the kernel's memory are free",
        human(want), human(ram), human(free)
    ))
    .advise("less `memory` for a domain, or RAM outside the kernel's memory with xen,static-mem")
}

/// Refuses ranges of the domains file that are where module files or fixed regions are.
///
/// # Errors
/// The first overlap.
pub(crate) fn check_disjoint(named: &[Span], fixed: &[(String, Span)]) -> Result<(), Error> {
    for (name, span) in fixed {
        if let Some((a, _)) = overlap(named, &[*span]) {
            return Err(Error::new(format!(
                "{a} of the domains file overlaps memory region '{name}' at {span} of the system description"
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
