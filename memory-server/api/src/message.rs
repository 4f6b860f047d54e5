//! Requests and replies, and how they lie in message registers.

use hv_types::{FrameSize, Gfn, VcpuId};

use crate::batch::{Batch, MAX_BATCH, Pages, Released};
use crate::types::{ALIASES, Error, Extra, Granted, Relinquished, Slot, SplitKind, Usage};

/// Most words that any message of this protocol has: a count, and a word for each page of a batch.
pub const MAX_WORDS: usize = 1 + MAX_BATCH;

/// Where a message is written.
pub type Words = [u64; MAX_WORDS];

/// A message as it travels: a label and the words in use, wherever they lie.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Message<'w> {
    /// Operation of a request; 0 for success or an [`Error`] number in a reply.
    pub label: u64,
    /// The words in use.
    pub words: &'w [u64],
}

/// What a VMM can ask.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Request {
    /// Which version of this protocol the server speaks. Idempotent. Reply: [`Reply::Version`].
    Version,
    /// The caller's accounting. Idempotent. Reply: [`Reply::Usage`].
    Usage,
    /// RAM for the boot-time address space: up to `blocks` (1..=64) frames of 2 MiB for consecutive 2 MiB of
    /// guest memory from `gfn` (2 MiB aligned). The server may grant fewer (at least one). Reply: [`Reply::Granted`].
    PopulateBlocks {
        /// First frame of the run.
        gfn: Gfn,
        /// Most 2 MiB frames wanted.
        blocks: u32,
    },
    /// A 4 KiB page of RAM for each guest frame, in order, until one cannot be had. Reply: [`Reply::Pages`].
    PopulatePages {
        /// Where the guest will see them; recorded, not checked (the VMM owns the address space), but for a
        /// direct-mapped domain: it gets the machine frames of these numbers, of its own memory, or none.
        gfns: Batch,
    },
    /// Gives a granted RAM frame (4 KiB page, or a whole 2 MiB block) back; see [`Request::ReleasePages`]. Reply: [`Reply::Done`].
    Release {
        /// Its guest-side slot.
        slot: Slot,
    },
    /// Gives granted RAM frames back, in order, until one is refused. Reply: [`Reply::Released`].
    ///
    /// The frames are not the caller's RAM any more, but its capabilities may stay until somebody else needs the
    /// frame: the caller has unmapped the guest's side before, and uses none of them until it is granted again. A
    /// whole block is unmapped on both sides; the window side of a page may stay mapped.
    ReleasePages {
        /// Their guest-side slots.
        slots: Batch,
    },
    /// Makes 512 pages of a granted 2 MiB frame. Reply: [`Reply::Split`].
    ///
    /// [`Error::Again`] can come in the middle, when the block is gone and some pages are granted: until the request is
    /// repeated to its end, the server does nothing else for the caller but end its life.
    ///
    /// After [`Error::Kernel`] the block is still granted in the same slots, but its mappings may be gone:
    /// map it again (an "occupied" then says that it never went away).
    Split {
        /// The block's guest-side slot.
        slot: Slot,
    },
    /// After [`SplitKind::Copy`]: the copy is made, revoke the block. Reply: [`Reply::Done`].
    SplitDone {
        /// The slot that was split.
        slot: Slot,
    },
    /// The copy cannot be made: takes the 512 pages back, which must all still be granted, and the block stays
    /// as it was. Only between [`SplitKind::Copy`] and [`Request::SplitDone`]. Reply: [`Reply::Done`].
    SplitAbort {
        /// The slot that was split.
        slot: Slot,
    },
    /// Up to `count` (1..=16) page tables from the caller's quota, at least one, one capability each, in
    /// consecutive slots. Reply: [`Reply::Tables`].
    Tables {
        /// How many.
        count: u32,
    },
    /// Creates an extra page, zeroed. Reply: [`Reply::Granted`] with one frame.
    CreateExtra {
        /// Which.
        kind: Extra,
    },
    /// Destroys an extra page; both capabilities are revoked. Reply: [`Reply::Done`].
    DestroyExtra {
        /// Which.
        kind: Extra,
    },
    /// A further guest-side capability of a granted page (RAM or extra), in the slot of alias `alias` (0..[`ALIASES`]); another
    /// alias of that page there goes first. It goes with the page when that is given to somebody else. Reply: [`Reply::Alias`].
    Alias {
        /// The page's guest-side slot.
        slot: Slot,
        /// Which alias.
        alias: u32,
    },
    /// Deletes an alias of that page, and its mapping; one that does not exist is no error. Reply: [`Reply::Done`].
    Unalias {
        /// The page's guest-side slot.
        slot: Slot,
        /// Which alias.
        alias: u32,
    },
    /// The domain's life is over: takes back what the caller holds, extra pages first, then RAM, then page tables and
    /// vCPUs. Each message does a bounded part; the caller repeats it until the reply says that nothing is left. From
    /// the first message on the caller gets nothing more (SM-15). Reply: [`Reply::Relinquished`].
    ///
    /// After [`Error::Kernel`] what was taken back stays so; repeating goes on where it stopped.
    Relinquish {
        /// The domain lives again, empty and with its whole reserve, as soon as nothing is left.
        again: bool,
    },
    /// A vCPU object in its reset state for one of the domain's vCPUs, from the caller's page-table quota. Reply: [`Reply::Tables`] with
    /// one capability.
    Vcpu {
        /// Which vCPU it is for.
        vcpu: VcpuId,
    },
}

/// What the server answers when it does not refuse.
#[expect(
    clippy::large_enum_variant,
    reason = "a batch is the hot path, and there is no heap to put it on"
)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reply {
    /// [`crate::PROTOCOL_VERSION`] of the server.
    Version(u32),
    /// Accounting.
    Usage(Usage),
    /// Frames were granted.
    Granted(Granted),
    /// A block was split; the run of 512 pages.
    Split {
        /// Whether contents were kept in place or must be copied.
        kind: SplitKind,
        /// The pages.
        pages: Granted,
    },
    /// Page tables: `count` capabilities from `first` on, one slot each.
    Tables {
        /// First slot.
        first: Slot,
        /// How many.
        count: u32,
    },
    /// The pages that were granted.
    Pages(Pages),
    /// How many frames were taken back.
    Released(Released),
    /// Where the alias is.
    Alias(Slot),
    /// A part of what the domain held was taken back.
    Relinquished {
        /// Something is left: repeat the request.
        more: bool,
        /// What was taken back since the domain's life ended.
        taken: Relinquished,
    },
    /// Nothing to say but success.
    Done,
}

const OP_VERSION: u64 = 1;
const OP_USAGE: u64 = 2;
const OP_POPULATE_BLOCKS: u64 = 3;
const OP_POPULATE_PAGES: u64 = 4;
const OP_RELEASE: u64 = 5;
const OP_SPLIT: u64 = 6;
const OP_SPLIT_DONE: u64 = 7;
const OP_TABLES: u64 = 8;
const OP_CREATE_EXTRA: u64 = 9;
const OP_DESTROY_EXTRA: u64 = 10;
const OP_SPLIT_ABORT: u64 = 11;
const OP_RELEASE_PAGES: u64 = 13;
const OP_ALIAS: u64 = 20;
const OP_UNALIAS: u64 = 21;
const OP_RELINQUISH: u64 = 16;
const OP_VCPU: u64 = 17;

impl<'w> Message<'w> {
    /// A message of `label` and `words` (at most [`MAX_WORDS`]; more are a bug of the caller and cut), written to `into`.
    pub(crate) fn put(into: &'w mut Words, label: u64, words: &[u64]) -> Self {
        for (to, from) in into.iter_mut().zip(words) {
            *to = *from;
        }
        Self {
            label,
            words: into.get(..words.len()).unwrap_or(&[]),
        }
    }

    fn words_exactly<const N: usize>(&self) -> Result<[u64; N], Error> {
        self.words.try_into().map_err(|_| Error::Malformed)
    }
}

fn slot(raw: u64) -> Result<Slot, Error> {
    u32::try_from(raw).map(Slot).map_err(|_| Error::Malformed)
}

fn alias(raw: u64) -> Result<u32, Error> {
    u32::try_from(raw)
        .ok()
        .filter(|n| *n < ALIASES)
        .ok_or(Error::Malformed)
}

fn flag(raw: u64) -> Result<bool, Error> {
    match raw {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(Error::Malformed),
    }
}

fn count(raw: u64, most: u32) -> Result<u32, Error> {
    match u32::try_from(raw) {
        Ok(n) if (1..=most).contains(&n) => Ok(n),
        _ => Err(Error::Malformed),
    }
}

impl Request {
    /// Most blocks one [`Request::PopulateBlocks`] may ask for.
    pub const MAX_BLOCKS: u32 = 64;
    /// Most tables one [`Request::Tables`] may ask for.
    pub const MAX_TABLES: u32 = 16;

    /// The request for a single page.
    pub fn populate_page(gfn: Gfn) -> Self {
        let mut gfns = Batch::EMPTY;
        // Frames that need more bits are recorded as unknown.
        gfns.push(u32::try_from(gfn.raw()).unwrap_or(u32::MAX));
        Self::PopulatePages { gfns }
    }

    /// The operation: the label of the message.
    pub const fn label(&self) -> u64 {
        match self {
            Self::Version => OP_VERSION,
            Self::Usage => OP_USAGE,
            Self::PopulateBlocks { .. } => OP_POPULATE_BLOCKS,
            Self::PopulatePages { .. } => OP_POPULATE_PAGES,
            Self::Release { .. } => OP_RELEASE,
            Self::ReleasePages { .. } => OP_RELEASE_PAGES,
            Self::Split { .. } => OP_SPLIT,
            Self::SplitDone { .. } => OP_SPLIT_DONE,
            Self::SplitAbort { .. } => OP_SPLIT_ABORT,
            Self::Tables { .. } => OP_TABLES,
            Self::CreateExtra { .. } => OP_CREATE_EXTRA,
            Self::DestroyExtra { .. } => OP_DESTROY_EXTRA,
            Self::Alias { .. } => OP_ALIAS,
            Self::Unalias { .. } => OP_UNALIAS,
            Self::Relinquish { .. } => OP_RELINQUISH,
            Self::Vcpu { .. } => OP_VCPU,
        }
    }

    /// Writes the request as a message.
    pub fn encode<'w>(&self, into: &'w mut Words) -> Message<'w> {
        let label = self.label();
        match self {
            Self::Version | Self::Usage => Message::put(into, label, &[]),
            Self::Vcpu { vcpu } => Message::put(into, label, &[vcpu.raw().into()]),
            Self::PopulateBlocks { gfn, blocks } => {
                Message::put(into, label, &[gfn.raw(), u64::from(*blocks)])
            }
            Self::PopulatePages { gfns: batch } | Self::ReleasePages { slots: batch } => {
                batch.write(into, label)
            }
            Self::Release { slot }
            | Self::Split { slot }
            | Self::SplitDone { slot }
            | Self::SplitAbort { slot } => Message::put(into, label, &[u64::from(slot.0)]),
            Self::Tables { count } => Message::put(into, label, &[u64::from(*count)]),
            Self::CreateExtra { kind } | Self::DestroyExtra { kind } => {
                Message::put(into, label, &[u64::from(kind.index())])
            }
            Self::Alias { slot, alias } | Self::Unalias { slot, alias } => {
                Message::put(into, label, &[u64::from(slot.0), u64::from(*alias)])
            }
            Self::Relinquish { again } => Message::put(into, label, &[u64::from(*again)]),
        }
    }

    /// Reads a message that anybody may have sent.
    ///
    /// # Errors
    /// [`Error::Malformed`] for an unknown label, a wrong length or a word out of range.
    pub fn decode(message: Message<'_>) -> Result<Self, Error> {
        Ok(match message.label {
            OP_VERSION => {
                let [] = message.words_exactly()?;
                Self::Version
            }
            OP_USAGE => {
                let [] = message.words_exactly()?;
                Self::Usage
            }
            OP_POPULATE_BLOCKS => {
                let [gfn, blocks] = message.words_exactly()?;
                Self::PopulateBlocks {
                    gfn: Gfn::new(gfn),
                    blocks: count(blocks, Self::MAX_BLOCKS)?,
                }
            }
            OP_POPULATE_PAGES => Self::PopulatePages {
                gfns: Batch::read(message)?,
            },
            OP_RELEASE => {
                let [raw] = message.words_exactly()?;
                Self::Release { slot: slot(raw)? }
            }
            OP_RELEASE_PAGES => Self::ReleasePages {
                slots: Batch::read(message)?,
            },
            OP_SPLIT => {
                let [raw] = message.words_exactly()?;
                Self::Split { slot: slot(raw)? }
            }
            OP_SPLIT_DONE => {
                let [raw] = message.words_exactly()?;
                Self::SplitDone { slot: slot(raw)? }
            }
            OP_SPLIT_ABORT => {
                let [raw] = message.words_exactly()?;
                Self::SplitAbort { slot: slot(raw)? }
            }
            OP_TABLES => {
                let [n] = message.words_exactly()?;
                Self::Tables {
                    count: count(n, Self::MAX_TABLES)?,
                }
            }
            OP_CREATE_EXTRA => {
                let [index] = message.words_exactly()?;
                Self::CreateExtra {
                    kind: Extra::from_index(index).ok_or(Error::Malformed)?,
                }
            }
            OP_DESTROY_EXTRA => {
                let [index] = message.words_exactly()?;
                Self::DestroyExtra {
                    kind: Extra::from_index(index).ok_or(Error::Malformed)?,
                }
            }
            OP_ALIAS => {
                let [raw, n] = message.words_exactly()?;
                Self::Alias {
                    slot: slot(raw)?,
                    alias: alias(n)?,
                }
            }
            OP_UNALIAS => {
                let [raw, n] = message.words_exactly()?;
                Self::Unalias {
                    slot: slot(raw)?,
                    alias: alias(n)?,
                }
            }
            OP_RELINQUISH => {
                let [again] = message.words_exactly()?;
                Self::Relinquish {
                    again: flag(again)?,
                }
            }
            OP_VCPU => {
                let [vcpu] = message.words_exactly()?;
                Self::Vcpu {
                    vcpu: VcpuId::new(vcpu).ok_or(Error::Malformed)?,
                }
            }
            _ => return Err(Error::Malformed),
        })
    }

    /// Reads the server's answer to this request.
    ///
    /// # Errors
    /// The server's refusal, or [`Error::Malformed`] if the reply is not one to this request.
    pub fn decode_reply(&self, message: Message<'_>) -> Result<Reply, Error> {
        if message.label != 0 {
            return Err(Error::from_raw(message.label).unwrap_or(Error::Malformed));
        }
        Ok(match self {
            Self::Version => {
                let [version] = message.words_exactly()?;
                Reply::Version(u32::try_from(version).map_err(|_| Error::Malformed)?)
            }
            Self::Usage => {
                let [ram, max, extra, reserve, returned, tables, tables_max] =
                    message.words_exactly()?;
                Reply::Usage(Usage {
                    ram,
                    max,
                    extra,
                    reserve,
                    returned,
                    tables,
                    tables_max,
                })
            }
            Self::PopulateBlocks { .. } => {
                Reply::Granted(granted(message.words_exactly()?, FrameSize::Block)?)
            }
            Self::CreateExtra { .. } => {
                Reply::Granted(granted(message.words_exactly()?, FrameSize::Page)?)
            }
            Self::PopulatePages { gfns } => Reply::Pages(Pages::read(message, gfns.len())?),
            Self::ReleasePages { slots } => Reply::Released(Released::read(message, slots.len())?),
            Self::Split { .. } => {
                let [first, n, in_place] = message.words_exactly()?;
                let kind = if in_place != 0 {
                    SplitKind::InPlace
                } else {
                    SplitKind::Copy
                };
                let pages = granted([first, n], FrameSize::Page)?;
                Reply::Split { kind, pages }
            }
            Self::Tables { .. } | Self::Vcpu { .. } => {
                let [first, n] = message.words_exactly()?;
                Reply::Tables {
                    first: slot(first)?,
                    count: count(n, Self::MAX_TABLES)?,
                }
            }
            Self::Alias { .. } => {
                let [raw] = message.words_exactly()?;
                Reply::Alias(slot(raw)?)
            }
            Self::Relinquish { .. } => {
                let [more, ram, extra, tables] = message.words_exactly()?;
                Reply::Relinquished {
                    more: flag(more)?,
                    taken: Relinquished { ram, extra, tables },
                }
            }
            Self::Release { .. }
            | Self::SplitDone { .. }
            | Self::SplitAbort { .. }
            | Self::DestroyExtra { .. }
            | Self::Unalias { .. } => {
                let [] = message.words_exactly()?;
                Reply::Done
            }
        })
    }
}

fn granted([first, n]: [u64; 2], size: FrameSize) -> Result<Granted, Error> {
    Ok(Granted {
        first: slot(first)?,
        count: count(n, 512)?,
        size,
    })
}

impl Reply {
    /// Writes the answer as a message; a refusal travels as its number in the label.
    pub fn encode<'w>(result: &Result<Self, Error>, into: &'w mut Words) -> Message<'w> {
        match result {
            Err(error) => Message::put(into, *error as u64, &[]),
            Ok(Self::Version(version)) => Message::put(into, 0, &[u64::from(*version)]),
            Ok(Self::Usage(u)) => Message::put(
                into,
                0,
                &[
                    u.ram,
                    u.max,
                    u.extra,
                    u.reserve,
                    u.returned,
                    u.tables,
                    u.tables_max,
                ],
            ),
            Ok(Self::Granted(g)) => {
                Message::put(into, 0, &[u64::from(g.first.0), u64::from(g.count)])
            }
            Ok(Self::Split { kind, pages }) => Message::put(
                into,
                0,
                &[
                    u64::from(pages.first.0),
                    u64::from(pages.count),
                    u64::from(*kind == SplitKind::InPlace),
                ],
            ),
            Ok(Self::Tables { first, count }) => {
                Message::put(into, 0, &[u64::from(first.0), u64::from(*count)])
            }
            Ok(Self::Pages(pages)) => pages.write(into),
            Ok(Self::Released(released)) => Message::put(into, 0, &[released.word()]),
            Ok(Self::Alias(slot)) => Message::put(into, 0, &[u64::from(slot.0)]),
            Ok(Self::Relinquished { more, taken }) => Message::put(
                into,
                0,
                &[u64::from(*more), taken.ram, taken.extra, taken.tables],
            ),
            Ok(Self::Done) => Message::put(into, 0, &[]),
        }
    }
}
