//! Why a manifest is refused.

use core::fmt;

use super::{MANIFEST_WORDS, MAX_DOMAINS, MAX_UNTYPEDS, VERSION};

/// Why a manifest is refused. Numbers are positions in the manifest's lists.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ManifestError {
    /// Not [`MANIFEST_WORDS`] words.
    Length(usize),
    /// The first word is not [`MAGIC`](super::MAGIC): the builder did not patch the symbol.
    NotPatched,
    /// Written by a builder of another version.
    Version(u64),
    /// More domains than [`MAX_DOMAINS`], or none.
    Domains(u64),
    /// More untypeds than [`MAX_UNTYPEDS`].
    Untypeds(u64),
    /// More splits than the encoding allows (65,535).
    Splits(u64),
    /// Two domains have one domid.
    SameDomid(u8, u8),
    /// A domain's domid is not one a domain can have.
    Domid(u8),
    /// A domain is direct-mapped but has no static memory (DM-1).
    DirectWithoutStatic(u8),
    /// A number of the domain is out of range.
    DomainRange(u8),
    /// The domain's grant CNode needs at least this radix.
    GrantRadix {
        /// The domain.
        domain: u8,
        /// What it needs.
        need: u8,
    },
    /// The domain's shared regions do not have as many frames as it says.
    Shares(u8),
    /// An untyped's size or alignment is impossible, or its flags are unknown.
    Shape(u8),
    /// An untyped is for a domain that does not exist.
    NoDomain(u8),
    /// Static memory for a domain that has none (SM-26).
    NotStatic(u8),
    /// Page tables cannot be made from device memory.
    DeviceTables(u8),
    /// An untyped for page tables is larger than [`TABLES_BITS`](super::TABLES_BITS).
    LargeTables(u8),
    /// Two untypeds overlap (SH-4).
    Overlap(u8, u8),
}

impl fmt::Display for ManifestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Length(n) => write!(
                f,
                "the memory manifest has {n} words instead of {MANIFEST_WORDS}"
            ),
            Self::NotPatched => write!(
                f,
                "the memory manifest is not filled in: build the image with the image tool, not with microkit alone"
            ),
            Self::Version(v) => write!(
                f,
                "the memory manifest is version {v}, the server reads version {VERSION}: rebuild the image"
            ),
            Self::Domains(n) => write!(f, "{n} domains; between 1 and {MAX_DOMAINS} are possible"),
            Self::Untypeds(n) => write!(f, "{n} untypeds; at most {MAX_UNTYPEDS} are possible"),
            Self::Splits(n) => write!(f, "{n} splits; at most {} are possible", u16::MAX),
            Self::SameDomid(a, b) => write!(f, "domains {a} and {b} have the same domid"),
            Self::Domid(d) => write!(f, "domain {d}: its domid is reserved (0x7ff0 and above)"),
            Self::DirectWithoutStatic(d) => {
                write!(f, "domain {d}: direct-mapped without static memory")
            }
            Self::DomainRange(d) => {
                write!(
                    f,
                    "domain {d}: RAM, table quota, CNode radix or flags are out of range"
                )
            }
            Self::GrantRadix { domain, need } => {
                write!(
                    f,
                    "domain {domain}: its grant CNode needs radix {need} at least"
                )
            }
            Self::Shares(d) => write!(
                f,
                "domain {d}: its shared memory has another number of frames than it says"
            ),
            Self::Shape(u) => write!(f, "untyped {u}: impossible size, alignment or flags"),
            Self::NoDomain(u) => write!(f, "untyped {u}: its domain does not exist"),
            Self::NotStatic(u) => {
                write!(
                    f,
                    "untyped {u}: static memory for a domain without static memory"
                )
            }
            Self::DeviceTables(u) => write!(
                f,
                "untyped {u}: page tables need memory that the kernel owns; give it a range of kernel RAM"
            ),
            Self::LargeTables(u) => write!(
                f,
                "untyped {u}: memory for page tables comes in pieces of at most 2 MiB, because the kernel takes back and zeroes a piece at a time"
            ),
            Self::Overlap(a, b) => write!(f, "untypeds {a} and {b} overlap"),
        }
    }
}
