//! The boot manifest: which memory and which domains the image builder hands to the server.
//!
//! The builder fixes both when it writes the image: it puts untyped capability `i` of this list
//! into slot `i` of the server's own CNode and patches the encoded list into an ELF symbol of the
//! protection domain. The encoding is plain 64-bit words, so the symbol is `[u64; MANIFEST_WORDS]`.
//!
//! | words | content |
//! |---|---|
//! | 0, 1 | [`MAGIC`], version |
//! | 2, 3, 4 | number of domains, number of untypeds, split capacity |
//! | 8.. | [`MAX_DOMAINS`] entries of 8 words: domid and flags, name (2 words), most RAM pages, table quota, grant radix, who lends to it, shared regions (low half) and their frames |
//! | 72.. | [`MAX_UNTYPEDS`] entries of 2 words: physical address; size bits, device flag, purpose, domain or shared region |
//!
//! [`Manifest::decode`] checks everything the server relies on later: alignment, disjointness
//! (SH-4, SM-11), that static memory belongs to a static domain and heap memory to nobody
//! (SM-26), and that a grant CNode is large enough for its domain.

use hv_types::{DomId, PAGE_SHIFT};
use memory_server_api::LENDS;

use crate::layout;

mod error;

pub use crate::domain::{DomainIndex, MAX_DOMAINS};
pub use error::ManifestError;

/// Most untypeds the server can be handed.
pub const MAX_UNTYPEDS: usize = 192;
/// Bytes of a domain name.
pub const NAME_BYTES: usize = 16;
/// First word of an encoded manifest: "ZAZENMEM".
pub const MAGIC: u64 = u64::from_be_bytes(*b"ZAZENMEM");
/// Version of the encoding.
pub const VERSION: u64 = 4;
/// Most regions of static shared memory (Xen's `NR_SHMEM_BANKS`).
pub const MAX_SHARED_REGIONS: u8 = 32;

const HEADER_WORDS: usize = 8;
const DOMAIN_WORDS: usize = 8;
const UNTYPED_WORDS: usize = 2;
const UNTYPEDS_AT: usize = HEADER_WORDS + MAX_DOMAINS * DOMAIN_WORDS;
/// Words of an encoded manifest.
pub const MANIFEST_WORDS: usize = UNTYPEDS_AT + MAX_UNTYPEDS * UNTYPED_WORDS;

/// Largest untyped for page tables (log2 of bytes): what was made of it is deleted in one step, and
/// all of it is zeroed in another.
pub const TABLES_BITS: u8 = 21;

/// Smallest and largest untyped of seL4 on AArch64 (log2 of bytes).
const SIZE_BITS: core::ops::RangeInclusive<u8> = 4..=47;
/// Largest CNode that is accepted (log2 of slots): 2^24 slots name 8191 windows, 16 GiB of guest
/// RAM.
const GRANT_RADIX: core::ops::RangeInclusive<u8> = 10..=24;

/// What a piece of memory is for, fixed for ever (SM-1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Purpose {
    /// RAM of this domain and no other.
    Static(DomainIndex),
    /// RAM of domains without static memory, and extra pages of all.
    Heap,
    /// Page tables of this domain's guest and of its VMM's window. Never device memory, and in
    /// pieces of at most [`TABLES_BITS`].
    Tables(DomainIndex),
    /// A region of static shared memory: for the domains that share it, and for ever. Its frames
    /// are in the order of the manifest's untypeds.
    Shared {
        /// Its number, below [`MAX_SHARED_REGIONS`].
        region: u8,
        /// Those who share it see it where whole 2 MiB can be mapped.
        blocks: bool,
    },
}

/// Static shared memory of a domain.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Shares {
    /// Which regions: a bit for each number.
    pub regions: u32,
    /// How many frames they have together, see [`layout::shares`].
    pub frames: u32,
}

impl Shares {
    /// None.
    pub const NONE: Self = Self {
        regions: 0,
        frames: 0,
    };
    /// Whether region `region` is among them.
    pub const fn has(self, region: u8) -> bool {
        region < MAX_SHARED_REGIONS && self.regions >> region & 1 != 0
    }
}

/// An untyped capability of the server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Untyped {
    /// Physical address, a multiple of the size.
    pub paddr: u64,
    /// log2 of the bytes.
    pub size_bits: u8,
    /// Memory the kernel does not own: never zeroed by it, content survives a retype.
    pub device: bool,
    /// What it is for.
    pub purpose: Purpose,
}

impl Untyped {
    /// First byte after it (`u128`: a 2^47-byte untyped may end at the end of 64 bits).
    fn end(&self) -> u128 {
        u128::from(self.paddr) + (1u128 << self.size_bits)
    }
}

/// What the server must know of a domain.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DomainConfig {
    /// Domain id, for messages.
    pub domid: DomId,
    /// Name in UTF-8, padded with zeroes.
    pub name: [u8; NAME_BYTES],
    /// Most RAM in 4 KiB pages (`XENMEM_maximum_reservation`); extra pages do not count (EX-4).
    pub max_pages: u64,
    /// RAM is static memory (SM-17).
    pub is_static: bool,
    /// Each guest frame is the machine frame of the same number (DM-6); with static memory alone
    /// (DM-1).
    pub direct: bool,
    /// Page tables the domain may have made.
    pub table_quota: u32,
    /// log2 of the slots of its grant CNode, at least [`layout::grant_radix`] says.
    pub grant_radix: u8,
    /// Of which domains it may have pages that they lend to it: a bit for each number.
    pub lenders: u8,
    /// Static shared memory that it has.
    pub shares: Shares,
}

impl DomainConfig {
    /// Slots of its grant CNode for pages of others, if it may have any.
    pub const fn lends(&self) -> u32 {
        if self.lenders == 0 { 0 } else { LENDS }
    }
    /// The name as text; bytes that are not UTF-8 cut it short.
    pub fn name(&self) -> &str {
        let len = self.name.iter().position(|b| *b == 0).unwrap_or(NAME_BYTES);
        let bytes = self.name.get(..len).unwrap_or(&[]);
        match core::str::from_utf8(bytes) {
            Ok(name) => name,
            Err(e) => {
                core::str::from_utf8(bytes.get(..e.valid_up_to()).unwrap_or(&[])).unwrap_or("")
            }
        }
    }
    /// `name` cut to [`NAME_BYTES`] and padded.
    pub fn pad_name(name: &str) -> [u8; NAME_BYTES] {
        let mut padded = [0; NAME_BYTES];
        for (to, from) in padded.iter_mut().zip(name.bytes()) {
            *to = from;
        }
        padded
    }
}

/// Encodes a manifest; it is checked as [`Manifest::decode`] checks it.
///
/// # Errors
/// [`ManifestError`].
pub fn encode(
    domains: &[DomainConfig],
    untypeds: &[Untyped],
    splits: u16,
) -> Result<[u64; MANIFEST_WORDS], ManifestError> {
    if domains.is_empty() || domains.len() > MAX_DOMAINS {
        return Err(ManifestError::Domains(domains.len() as u64));
    }
    if untypeds.len() > MAX_UNTYPEDS {
        return Err(ManifestError::Untypeds(untypeds.len() as u64));
    }
    let mut words = [0; MANIFEST_WORDS];
    words[0] = MAGIC;
    words[1] = VERSION;
    words[2] = domains.len() as u64;
    words[3] = untypeds.len() as u64;
    words[4] = u64::from(splits);
    for (d, at) in domains.iter().zip((HEADER_WORDS..).step_by(DOMAIN_WORDS)) {
        let (low, high) = d.name.split_at(8);
        words[at] = u64::from(d.domid.0) | u64::from(d.is_static) << 16 | u64::from(d.direct) << 17;
        words[at + 1] = u64::from_le_bytes(low.try_into().unwrap_or([0; 8]));
        words[at + 2] = u64::from_le_bytes(high.try_into().unwrap_or([0; 8]));
        words[at + 3] = d.max_pages;
        words[at + 4] = u64::from(d.table_quota);
        words[at + 5] = u64::from(d.grant_radix);
        words[at + 6] = u64::from(d.lenders);
        words[at + 7] = u64::from(d.shares.regions) | u64::from(d.shares.frames) << 32;
    }
    for (u, at) in untypeds.iter().zip((UNTYPEDS_AT..).step_by(UNTYPED_WORDS)) {
        let (purpose, domain) = match u.purpose {
            Purpose::Heap => (0u64, 0),
            Purpose::Static(d) => (1, d.0),
            Purpose::Tables(d) => (2, d.0),
            Purpose::Shared {
                region,
                blocks: false,
            } => (3, region),
            Purpose::Shared {
                region,
                blocks: true,
            } => (4, region),
        };
        words[at] = u.paddr;
        words[at + 1] = u64::from(u.size_bits)
            | u64::from(u.device) << 8
            | purpose << 16
            | u64::from(domain) << 24;
    }
    Manifest::decode(&words)?;
    Ok(words)
}

/// A checked manifest; reads its words in place.
#[derive(Clone, Copy, Debug)]
pub struct Manifest<'w> {
    words: &'w [u64],
    domains: u8,
    untypeds: u8,
    splits: u16,
}

impl<'w> Manifest<'w> {
    /// Checks the words of a manifest.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn decode(words: &'w [u64]) -> Result<Self, ManifestError> {
        if words.len() != MANIFEST_WORDS {
            return Err(ManifestError::Length(words.len()));
        }
        if words[0] != MAGIC {
            return Err(ManifestError::NotPatched);
        }
        if words[1] != VERSION {
            return Err(ManifestError::Version(words[1]));
        }
        let domains = match u8::try_from(words[2]) {
            Ok(n) if (1..=MAX_DOMAINS).contains(&usize::from(n)) => n,
            _ => return Err(ManifestError::Domains(words[2])),
        };
        let untypeds = match u8::try_from(words[3]) {
            Ok(n) if usize::from(n) <= MAX_UNTYPEDS => n,
            _ => return Err(ManifestError::Untypeds(words[3])),
        };
        let splits = u16::try_from(words[4]).map_err(|_| ManifestError::Splits(words[4]))?;
        let manifest = Self {
            words,
            domains,
            untypeds,
            splits,
        };
        for d in 0..domains {
            manifest.check_domain(d)?;
        }
        for u in 0..untypeds {
            manifest.check_untyped(u)?;
        }
        // Only now do the untypeds of each domain count.
        for (d, config) in manifest.domains() {
            if config.shares != layout::shares(manifest.untypeds(), config.shares.regions) {
                return Err(ManifestError::Shares(d.0));
            }
            let need = layout::grant_radix(&manifest, d);
            if config.grant_radix < need {
                return Err(ManifestError::GrantRadix { domain: d.0, need });
            }
        }
        Ok(manifest)
    }

    fn check_domain(&self, d: u8) -> Result<(), ManifestError> {
        let config = self.read_domain(d).ok_or(ManifestError::DomainRange(d))?;
        if config.direct && !config.is_static {
            return Err(ManifestError::DirectWithoutStatic(d));
        }
        if config.domid >= DomId::SELF {
            return Err(ManifestError::Domid(d));
        }
        for other in 0..d {
            if self
                .read_domain(other)
                .is_some_and(|o| o.domid == config.domid)
            {
                return Err(ManifestError::SameDomid(other, d));
            }
        }
        Ok(())
    }

    fn check_untyped(&self, u: u8) -> Result<(), ManifestError> {
        let untyped = self.read_untyped(u).ok_or(ManifestError::Shape(u))?;
        let size = 1u64 << untyped.size_bits;
        if !untyped.paddr.is_multiple_of(size) || untyped.end() > 1 << 64 {
            return Err(ManifestError::Shape(u));
        }
        if let Purpose::Static(d) | Purpose::Tables(d) = untyped.purpose {
            let config = self.domain(d).ok_or(ManifestError::NoDomain(u))?;
            if matches!(untyped.purpose, Purpose::Static(_)) && !config.is_static {
                return Err(ManifestError::NotStatic(u));
            }
            if matches!(untyped.purpose, Purpose::Tables(_)) && untyped.device {
                return Err(ManifestError::DeviceTables(u));
            }
            if matches!(untyped.purpose, Purpose::Tables(_)) && untyped.size_bits > TABLES_BITS {
                return Err(ManifestError::LargeTables(u));
            }
        }
        if let Purpose::Shared { region, .. } = untyped.purpose
            && (region >= MAX_SHARED_REGIONS || u32::from(untyped.size_bits) < PAGE_SHIFT)
        {
            return Err(ManifestError::Shape(u));
        }
        for other in 0..u {
            if let Some(o) = self.read_untyped(other)
                && u128::from(untyped.paddr) < o.end()
                && u128::from(o.paddr) < untyped.end()
            {
                return Err(ManifestError::Overlap(other, u));
            }
        }
        Ok(())
    }

    fn read_domain(&self, d: u8) -> Option<DomainConfig> {
        let at = HEADER_WORDS + usize::from(d) * DOMAIN_WORDS;
        let w = self.words.get(at..at + DOMAIN_WORDS)?;
        let mut name = [0; NAME_BYTES];
        name[..8].copy_from_slice(&w[1].to_le_bytes());
        name[8..].copy_from_slice(&w[2].to_le_bytes());
        if w[0] >> 18 != 0 || w[3] >> (40 - PAGE_SHIFT) != 0 {
            return None;
        }
        let grant_radix = u8::try_from(w[5])
            .ok()
            .filter(|r| GRANT_RADIX.contains(r))?;
        Some(DomainConfig {
            domid: DomId(u16::try_from(w[0] & 0xffff).ok()?),
            is_static: w[0] >> 16 & 1 != 0,
            direct: w[0] >> 17 != 0,
            name,
            max_pages: w[3],
            table_quota: u32::try_from(w[4])
                .ok()
                .filter(|q| *q <= layout::MAX_TABLE_QUOTA)?,
            grant_radix,
            lenders: u8::try_from(w[6]).ok()?,
            shares: Shares {
                regions: u32::try_from(w[7] & u64::from(u32::MAX)).ok()?,
                frames: u32::try_from(w[7] >> 32).ok()?,
            },
        })
    }

    fn read_untyped(&self, u: u8) -> Option<Untyped> {
        let at = UNTYPEDS_AT + usize::from(u) * UNTYPED_WORDS;
        let w = self.words.get(at..at + UNTYPED_WORDS)?;
        if w[1] >> 32 != 0 {
            return None;
        }
        let byte = |shift: u32| u8::try_from(w[1] >> shift & 0xff).unwrap_or(0);
        let domain = DomainIndex(byte(24));
        Some(Untyped {
            paddr: w[0],
            size_bits: Some(byte(0)).filter(|b| SIZE_BITS.contains(b))?,
            device: match byte(8) {
                0 => false,
                1 => true,
                _ => return None,
            },
            purpose: match byte(16) {
                0 => Purpose::Heap,
                1 => Purpose::Static(domain),
                2 => Purpose::Tables(domain),
                kind @ (3 | 4) => Purpose::Shared {
                    region: domain.0,
                    blocks: kind == 4,
                },
                _ => return None,
            },
        })
    }

    /// Domain `d`, if there is one.
    pub fn domain(&self, d: DomainIndex) -> Option<DomainConfig> {
        if d.0 < self.domains {
            self.read_domain(d.0)
        } else {
            None
        }
    }
    /// All domains in order.
    pub fn domains(&self) -> impl Iterator<Item = (DomainIndex, DomainConfig)> + use<'w> {
        let this = *self;
        (0..this.domains)
            .map(DomainIndex)
            .filter_map(move |d| Some((d, this.domain(d)?)))
    }
    /// All untypeds in order: number `i` lies in slot `i` of the server's own CNode.
    pub fn untypeds(&self) -> impl Iterator<Item = Untyped> + use<'w> {
        let this = *self;
        (0..this.untypeds).filter_map(move |u| this.read_untyped(u))
    }
    /// How many 2 MiB blocks can be split at once: the pool of page records and of page slots.
    pub fn splits(&self) -> u16 {
        self.splits
    }
}

#[cfg(test)]
mod tests;
