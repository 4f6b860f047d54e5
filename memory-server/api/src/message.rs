//! Requests and replies, and how they lie in message registers.

use hv_types::{FrameSize, Gfn, LENDS, VcpuId};
use ipc::{Field, Message, Reader, Writer};

use crate::batch::{Batch, MAX_BATCH, Pages, Released};
use crate::types::{ALIASES, Error, Extra, Granted, Relinquished, SIGHTS, Slot, SplitKind, Usage};

/// Most words that any message of this protocol has: a count, and a word for each page of a batch.
pub const MAX_WORDS: usize = 1 + MAX_BATCH;

/// Where a message is written.
pub type Words = [u64; MAX_WORDS];

ipc::requests! {
    /// What a VMM can ask.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub enum Request {
        /// Which version of this protocol the server speaks. Reply: [`Reply::Version`].
        1 Idempotent Version,
        /// The caller's accounting. Reply: [`Reply::Usage`].
        2 Idempotent Usage,
        /// RAM for the boot-time address space: up to `blocks` (1..=64) frames of 2 MiB for
        /// consecutive 2 MiB of guest memory from `gfn` (2 MiB aligned). The server may grant fewer
        /// (at least one). Reply: [`Reply::Granted`].
        3 Once PopulateBlocks {
            /// First frame of the run.
            gfn: Gfn,
            /// Most 2 MiB frames wanted.
            blocks: u32 where 1..=Self::MAX_BLOCKS,
        },
        /// A 4 KiB page of RAM for each guest frame, in order, until one cannot be had. Reply:
        /// [`Reply::Pages`].
        4 Once PopulatePages {
            /// Where the guest will see them; recorded, not checked (the VMM owns the address
            /// space), but for a direct-mapped domain: it gets the machine frames of these numbers,
            /// of its own memory, or none.
            gfns: Batch,
        },
        /// Gives a granted RAM frame (4 KiB page, or a whole 2 MiB block) back; see
        /// [`Request::ReleasePages`]. Reply: [`Reply::Done`].
        5 Once Release {
            /// Its guest-side slot.
            slot: Slot,
        },
        /// Gives granted RAM frames back, in order, until one is refused. Reply:
        /// [`Reply::Released`].
        ///
        /// The frames are not the caller's RAM any more, but its capabilities may stay until
        /// somebody else needs the frame: the caller has unmapped the guest's side before, and uses
        /// none of them until it is granted again. A whole block is unmapped on both sides; the
        /// window side of a page may stay mapped.
        13 Once ReleasePages {
            /// Their guest-side slots.
            slots: Batch,
        },
        /// Makes 512 pages of a granted 2 MiB frame. They are the caller's from now on and can be
        /// given back as they are; capabilities come with [`Request::Chunk`] and
        /// [`Request::Window`], of those pages that somebody looks at. Reply: [`Reply::Split`].
        ///
        /// After [`Error::Kernel`] the block is still granted in the same slots, but its mappings
        /// may be gone: map it again (an "occupied" then says that it never went away).
        6 Once Split {
            /// The block's guest-side slot.
            slot: Slot,
            /// The caller rather asks again ([`Error::Again`]) than wait while memory is zeroed,
            /// which takes a million instructions.
            patient: bool,
        },
        /// After [`SplitKind::Copy`]: the copy is made, revoke the block. Reply: [`Reply::Done`].
        7 Once SplitDone {
            /// The slot that was split.
            slot: Slot,
        },
        /// The copy cannot be made: takes the 512 pages back, which must all still be granted, and
        /// the block stays as it was. Only between [`SplitKind::Copy`] and [`Request::SplitDone`].
        /// Reply: [`Reply::Done`].
        11 Once SplitAbort {
            /// The slot that was split.
            slot: Slot,
        },
        /// Up to `count` (1..=16) page tables from the caller's quota, at least one, one capability
        /// each, in consecutive slots. Reply: [`Reply::Tables`].
        8 Once Tables {
            /// How many.
            count: u32 where 1..=Self::MAX_TABLES,
        },
        /// Creates an extra page, zeroed. Reply: [`Reply::Granted`] with one frame.
        9 Once CreateExtra {
            /// Which.
            kind: Extra,
        },
        /// Destroys an extra page; both capabilities are revoked. Reply: [`Reply::Done`].
        10 Once DestroyExtra {
            /// Which.
            kind: Extra,
        },
        /// A further guest-side capability of a granted page (RAM or extra), in the slot of alias
        /// `alias` (0..[`ALIASES`]); another alias of that page there goes first. It goes with the
        /// page when that is given to somebody else. Reply: [`Reply::Alias`].
        20 Idempotent Alias {
            /// The page's guest-side slot.
            slot: Slot,
            /// Which alias.
            alias: u32 where 0..ALIASES,
        },
        /// The guest-side capability of each page that the caller holds among the
        /// [`crate::CHUNK_PAGES`] of the page in `slot`, and that has none. Reply:
        /// [`Reply::Done`].
        ///
        /// After [`Error::Kernel`] some of them may be there: repeating brings the others.
        22 Idempotent Chunk {
            /// The page's guest-side slot.
            slot: Slot,
        },
        /// A window-side capability of a page of RAM that the caller holds, mapped nowhere, in the
        /// slot of sight `sight` (0..[`SIGHTS`]); what was in that slot goes first, with its
        /// mapping. It goes with the page when that is given to somebody else. Reply:
        /// [`Reply::Alias`].
        23 Idempotent Window {
            /// The page's guest-side slot.
            slot: Slot,
            /// Which sight.
            sight: u32 where 0..SIGHTS,
        },
        /// Deletes an alias of that page, and its mapping; one that does not exist is no error.
        /// Reply: [`Reply::Done`].
        21 Idempotent Unalias {
            /// The page's guest-side slot.
            slot: Slot,
            /// Which alias.
            alias: u32 where 0..ALIASES,
        },
        /// The slot for page `lend` (0..[`LENDS`]) of those that others lend to the caller. Reply:
        /// [`Reply::Alias`].
        24 Idempotent Lent {
            /// Which.
            lend: u32 where 0..LENDS,
        },
        /// Puts an empty page of the caller's, [`Extra::Scratch`], in the place of one that was
        /// lent to it and was taken back: it may go on there, where nobody sees what it does.
        /// Reply: [`Reply::Alias`].
        25 Once Replace {
            /// Which.
            lend: u32 where 0..LENDS,
        },
        /// Static shared memory: puts read-write capabilities of frames of the regions that the
        /// caller shares into its grant CNode, from frame `frame` on. The frames of all its regions
        /// are numbered from 0, region by region, and are had in that order; a run ends with its
        /// region at the latest and has at least one. Reply: [`Reply::Shared`].
        ///
        /// Their contents are those of the boot, whoever has restarted since. The capabilities go
        /// with [`Request::Relinquish`], the frames never do.
        26 Idempotent Shared {
            /// The first.
            frame: u32,
        },
        /// The domain's life is over: takes back what the caller holds, extra pages first, then
        /// RAM, then page tables and vCPUs. Each message does a bounded part; the caller repeats it
        /// until the reply says that nothing is left. From the first message on the caller gets
        /// nothing more (SM-15). Reply: [`Reply::Relinquished`].
        ///
        /// After [`Error::Kernel`] what was taken back stays so; repeating goes on where it
        /// stopped.
        16 Continues Relinquish {
            /// The domain lives again, empty and with its whole reserve, as soon as nothing is
            /// left.
            again: bool,
        },
        /// A vCPU object in its reset state, from the caller's page-table quota. Reply:
        /// [`Reply::Tables`] with one capability.
        17 Once Vcpu {
            /// Which of the domain's vCPUs it is for.
            vcpu: VcpuId,
        },
    }
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
    /// Where the alias, or the window-side capability, is.
    Alias(Slot),
    /// Frames of shared memory: `count` capabilities from `first` on, one slot each.
    Shared {
        /// First slot.
        first: Slot,
        /// How many.
        count: u32,
        /// Size of each frame.
        size: FrameSize,
    },
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

/// The words of a message, if there are as many as that.
fn exactly<const N: usize>(message: Message<'_>) -> Result<[u64; N], Error> {
    message.exactly().ok_or(Error::Malformed)
}

impl Field for Slot {
    #[inline]
    fn put(&self, writer: &mut Writer<'_>) {
        self.0.put(writer);
    }
    #[inline]
    fn take(reader: &mut Reader<'_>) -> Option<Self> {
        reader.field().map(Self)
    }
}

impl Field for Extra {
    #[inline]
    fn put(&self, writer: &mut Writer<'_>) {
        self.index().put(writer);
    }
    #[inline]
    fn take(reader: &mut Reader<'_>) -> Option<Self> {
        Self::from_index(reader.word()?)
    }
}

fn slot(raw: u64) -> Result<Slot, Error> {
    u32::try_from(raw).map(Slot).map_err(|_| Error::Malformed)
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

    /// Most frames one [`Request::Shared`] brings.
    pub const MAX_SHARED: u32 = 64;

    /// The request for a single page.
    pub fn populate_page(gfn: Gfn) -> Self {
        let mut gfns = Batch::EMPTY;
        // Frames that need more bits are recorded as unknown.
        gfns.push(u32::try_from(gfn.raw()).unwrap_or(u32::MAX));
        Self::PopulatePages { gfns }
    }

    /// The request for a split that nobody waits for.
    pub const fn split(slot: Slot) -> Self {
        let patient = false;
        Self::Split { slot, patient }
    }

    /// Writes the request as a message.
    #[inline]
    pub fn encode<'w>(&self, into: &'w mut Words) -> Message<'w> {
        self.write(into)
    }

    /// Reads a message that anybody may have sent.
    ///
    /// # Errors
    /// [`Error::Malformed`] for an unknown label, a wrong length or a word out of range.
    #[inline]
    pub fn decode(message: Message<'_>) -> Result<Self, Error> {
        Self::read(message).ok_or(Error::Malformed)
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
                let [version] = exactly(message)?;
                Reply::Version(u32::try_from(version).map_err(|_| Error::Malformed)?)
            }
            Self::Usage => {
                let [ram, max, extra, reserve, returned, tables, tables_max] = exactly(message)?;
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
                Reply::Granted(granted(exactly(message)?, FrameSize::Block)?)
            }
            Self::CreateExtra { .. } => {
                Reply::Granted(granted(exactly(message)?, FrameSize::Page)?)
            }
            Self::PopulatePages { gfns } => Reply::Pages(Pages::read(message, gfns.len())?),
            Self::ReleasePages { slots } => Reply::Released(Released::read(message, slots.len())?),
            Self::Split { .. } => {
                let [first, n, in_place] = exactly(message)?;
                let kind = if in_place != 0 {
                    SplitKind::InPlace
                } else {
                    SplitKind::Copy
                };
                let pages = granted([first, n], FrameSize::Page)?;
                Reply::Split { kind, pages }
            }
            Self::Tables { .. } | Self::Vcpu { .. } => {
                let [first, n] = exactly(message)?;
                Reply::Tables {
                    first: slot(first)?,
                    count: count(n, Self::MAX_TABLES)?,
                }
            }
            Self::Alias { .. } | Self::Window { .. } | Self::Lent { .. } | Self::Replace { .. } => {
                let [raw] = exactly(message)?;
                Reply::Alias(slot(raw)?)
            }
            Self::Shared { .. } => {
                let [first, n, blocks] = exactly(message)?;
                Reply::Shared {
                    first: slot(first)?,
                    count: count(n, Self::MAX_SHARED)?,
                    size: match flag(blocks)? {
                        true => FrameSize::Block,
                        false => FrameSize::Page,
                    },
                }
            }
            Self::Relinquish { .. } => {
                let [more, ram, extra, tables] = exactly(message)?;
                Reply::Relinquished {
                    more: flag(more)?,
                    taken: Relinquished { ram, extra, tables },
                }
            }
            Self::Release { .. }
            | Self::Chunk { .. }
            | Self::SplitDone { .. }
            | Self::SplitAbort { .. }
            | Self::DestroyExtra { .. }
            | Self::Unalias { .. } => {
                let [] = exactly(message)?;
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
            Ok(Self::Shared { first, count, size }) => Message::put(
                into,
                0,
                &[
                    u64::from(first.0),
                    u64::from(*count),
                    u64::from(*size == FrameSize::Block),
                ],
            ),
            Ok(Self::Relinquished { more, taken }) => Message::put(
                into,
                0,
                &[u64::from(*more), taken.ram, taken.extra, taken.tables],
            ),
            Ok(Self::Done) => Message::put(into, 0, &[]),
        }
    }
}
