//! What is remembered of a domain beside its memory, and how it is named.

use memory_server_api::Relinquished;

/// Most domains of one image.
pub const MAX_DOMAINS: usize = 8;
/// Number of a domain in the manifest; the server knows its callers by it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct DomainIndex(pub u8);

/// Where the end of a domain goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Stage {
    /// What it lends to this domain, and at its own number what others lend to it, from this number
    /// on.
    Lends(u8, u32),
    /// Capabilities of shared memory, from the last.
    Shared,
    /// Extra page with this index.
    Extra(u32),
    /// RAM of this block, from this page on where the block is split.
    Ram(u32, u32),
    /// This block of the reserve is to be whole.
    Whole(u32),
    /// This block of the reserve is next in the list.
    Order(u32),
    /// Page tables from this untyped.
    Tables(usize),
    /// Nothing is left.
    Nothing,
}

/// How far the end of a domain has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Ending {
    pub(crate) stage: Stage,
    pub(crate) taken: Relinquished,
}

impl Ending {
    pub(crate) const START: Self = Self {
        stage: Stage::Lends(0, 0),
        taken: Relinquished {
            ram: 0,
            extra: 0,
            tables: 0,
        },
    };
}

/// What of a domain's windows must be left when one has been taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kept {
    /// Nothing: it is taken for a split.
    None,
    /// A free one, for the next split.
    One,
}

/// What the message in hand has cost so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Spent {
    pub(crate) cost: u32,
    /// Searches: what they find is not kept, so they alone are no reason to ask again.
    pub(crate) looks: u32,
    /// A bit for each domain whose copies are counted already: no message deletes one twice.
    pub(crate) counted: u8,
}
