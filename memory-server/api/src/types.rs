//! What requests and replies are made of.

use hv_types::{FrameSize, PAGES_PER_BLOCK};

/// Version of this protocol, the first thing a VMM asks about.
pub const PROTOCOL_VERSION: u32 = 8;

/// Grant slots of one 2 MiB block: one for each of its pages, the guest's side. A whole block uses
/// the first two.
pub const WINDOW_SLOTS: u32 = PAGES_PER_BLOCK;

/// Pages of a split block that get their capabilities together, see [`crate::Request::Chunk`]: a
/// divisor of a block's.
pub const CHUNK_PAGES: u32 = 16;

/// Further guest-side capabilities of its own pages that a domain can have at once, for grants that
/// it maps itself.
pub const ALIASES: u32 = 256;

/// Pages of split blocks that a VMM can have in its window at once: those that it looks at. As many
/// as one page table maps, and more than there are aliases, whose pages stay there.
pub const SIGHTS: u32 = 512;
const _: () = assert!(SIGHTS > ALIASES);

/// Index of a capability in a VMM's grant CNode.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Slot(pub u32);

impl Slot {
    /// The second capability of the same frame, for the VMM's own window: of a 2 MiB frame or an
    /// extra page. RAM pages have theirs elsewhere ([`crate::Request::Window`]).
    pub const fn window_cap(self) -> Self {
        Self(self.0 + 1)
    }
    /// The slot `n` pages further in a run of granted pages.
    pub const fn nth(self, n: u32) -> Self {
        Self(self.0 + n)
    }
}

/// Kinds of page that belong to a domain without being its RAM (EX-1).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Extra {
    /// `shared_info`.
    SharedInfo,
    /// Frame `0..=63` of the grant table.
    GrantFrame(u8),
    /// The PV console ring.
    Console,
    /// The xenstore ring.
    Xenstore,
    /// What a guest finds where a page was that its owner has taken back.
    Scratch,
}

impl Extra {
    /// How many distinct extra pages a domain can have.
    pub const COUNT: u32 = 4 + 64;

    /// Dense number `0..COUNT`: the page's place in the VMM's window
    /// ([`hv_types::WindowAddr::extra`]).
    pub const fn index(self) -> u32 {
        match self {
            Self::SharedInfo => 0,
            Self::Console => 1,
            Self::Xenstore => 2,
            Self::GrantFrame(n) => 3 + n as u32,
            Self::Scratch => Self::COUNT - 1,
        }
    }
    /// The inverse of [`Extra::index`].
    pub const fn from_index(index: u64) -> Option<Self> {
        match index {
            0 => Some(Self::SharedInfo),
            1 => Some(Self::Console),
            2 => Some(Self::Xenstore),
            #[allow(clippy::cast_possible_truncation, reason = "at most 63")]
            3..67 => Some(Self::GrantFrame((index - 3) as u8)),
            67 => Some(Self::Scratch),
            _ => None,
        }
    }
}

/// A run of frames that the server has just put into the grant CNode.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Granted {
    /// Guest-side capability of the first frame; the others follow, see [`Granted::slot`].
    pub first: Slot,
    /// Number of frames, at least 1.
    pub count: u32,
    /// Size of each.
    pub size: FrameSize,
}

impl Granted {
    /// Guest-side capability of frame `n` of the run: pages are 2 slots apart, blocks
    /// [`WINDOW_SLOTS`], so that a block can be split without moving its neighbours.
    pub const fn slot(&self, n: u32) -> Slot {
        match self.size {
            FrameSize::Page => self.first.nth(n),
            FrameSize::Block => Slot(self.first.0 + n * WINDOW_SLOTS),
        }
    }
}

/// How the server split a 2 MiB frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SplitKind {
    /// The 512 pages are the same memory with its contents; the block's capabilities are gone
    /// (memory the kernel does not own). No page has capabilities yet.
    InPlace,
    /// The 512 pages are other, zeroed memory and the block is still granted: the caller copies, in
    /// parts if it likes, and then sends [`crate::Request::SplitDone`] or
    /// [`crate::Request::SplitAbort`] (memory the kernel owns, which it wipes when it is retyped).
    Copy,
}

/// Accounting of one domain, in 4 KiB pages unless said.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Usage {
    /// RAM held now (`XENMEM_current_reservation`).
    pub ram: u64,
    /// Most RAM it may hold (`XENMEM_maximum_reservation`).
    pub max: u64,
    /// Extra pages held.
    pub extra: u64,
    /// Pages in its static reserve that it does not hold now, returned ones among them.
    pub reserve: u64,
    /// Pages that it gave back and whose capabilities it has not lost yet: its own next ones,
    /// unless others need them.
    pub returned: u64,
    /// Page tables made from its quota.
    pub tables: u64,
    /// Page tables that the quota allows.
    pub tables_max: u64,
}

/// What a domain gave back at the end of its life.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Relinquished {
    /// Pages of RAM.
    pub ram: u64,
    /// Extra pages.
    pub extra: u64,
    /// Page tables and vCPUs.
    pub tables: u64,
}

/// Why the server refused; nothing has changed (but see [`crate::Request::Split`] for
/// [`Error::Kernel`]).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u64)]
pub enum Error {
    /// Unknown label, wrong number of words, or a word out of its range.
    Malformed = 1,
    /// The domain would exceed its maximum.
    OverQuota = 2,
    /// No free frame in the pool the domain draws from.
    NoMemory = 3,
    /// The page-table quota is used up.
    NoTables = 4,
    /// The slot holds no frame granted to the caller.
    NotYours = 5,
    /// The frame exists but not in the state that the request needs (already split, not split, …).
    WrongState = 6,
    /// The extra page exists already.
    Exists = 7,
    /// The domain is being destroyed.
    Dying = 8,
    /// The order is not served for this domain (0 and 9 exist; static domains: 0 after boot, SM-7).
    BadOrder = 9,
    /// The kernel refused an operation that the server's records allowed; logged by the server.
    Kernel = 10,
    /// One message's work is done and the request is not: send it again. What was done lies in the
    /// server's records, and the caller has lost nothing by it. [`crate::MemoryServer::call`] does
    /// that.
    Again = 11,
}

impl Error {
    /// The error with wire number `raw`.
    pub const fn from_raw(raw: u64) -> Option<Self> {
        Some(match raw {
            1 => Self::Malformed,
            2 => Self::OverQuota,
            3 => Self::NoMemory,
            4 => Self::NoTables,
            5 => Self::NotYours,
            6 => Self::WrongState,
            7 => Self::Exists,
            8 => Self::Dying,
            9 => Self::BadOrder,
            10 => Self::Kernel,
            11 => Self::Again,
            _ => return None,
        })
    }
}

impl core::fmt::Display for Error {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Malformed => "the memory server did not understand the request (image and server of different versions?)",
            Self::OverQuota => "the domain would hold more RAM than its `memory` property allows",
            Self::NoMemory => "no free frame is left in the domain's pool; give the image more heap or static memory",
            Self::NoTables => "the page-table quota is used up; raise `xen,domain-p2m-mem-mb`",
            Self::NotYours => "the frame is not granted to this domain",
            Self::WrongState => "the frame is not in the state that the request needs",
            Self::Exists => "the page exists already",
            Self::Dying => "the domain is being destroyed",
            Self::BadOrder => "the order is not served for this domain",
            Self::Kernel => "the kernel refused; the memory server's lines say what",
            Self::Again => "the request needs more messages than one",
        })
    }
}
