//! What the server does to the kernel.

use core::fmt;

use guest_mem::Window;
use hv_types::{FrameSize, WindowAddr};
use memory_server_api::Slot;

use crate::domain::DomainIndex;

/// Most objects one retype makes (seL4's `CONFIG_RETYPE_FAN_OUT_LIMIT`).
pub const MAX_RETYPE: u32 = 256;

/// Index of a capability in the server's own CNode; see [`crate::layout`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct OwnSlot(pub u32);

/// Where the capability of a frame lies of which others are copies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Original {
    /// In the server's own CNode.
    Own(OwnSlot),
    /// In the grant CNode of a domain, which has the frame for ever: a page of its static memory.
    Granted(DomainIndex, Slot),
}

/// Kernel objects that the server makes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Object {
    /// A smaller untyped of `size_bits`.
    Untyped {
        /// log2 of the bytes.
        size_bits: u8,
    },
    /// A frame.
    Frame(FrameSize),
    /// A page table (any level below the root).
    PageTable,
    /// A vCPU in its reset state; of a page's size, like a page table.
    Vcpu,
}

/// Where new capabilities go: consecutive slots from this one on, all empty and in one node
/// ([`crate::layout::run`]).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Destination {
    /// The server's own CNode.
    Own(OwnSlot),
    /// The grant CNode of a domain.
    Grant(DomainIndex, Slot),
}

/// What is done to a word of a page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Change {
    /// Nothing.
    Look,
    /// The low half becomes `now` if it is `was`; of the word as it was that half alone is told.
    Exchange {
        /// What it must be.
        was: u32,
        /// What it becomes.
        now: u32,
    },
    /// These bits become 0.
    Clear(u64),
}

impl Change {
    /// Does it to the word at `at` by one atomic operation; the word as it was.
    pub fn on<W: Window>(self, window: &W, at: WindowAddr) -> u64 {
        match self {
            Self::Look => window.load_u64(at),
            // The low half comes first.
            Self::Exchange { was, now } => match window.compare_exchange_u32(at, was, now) {
                Ok(word) | Err(word) => u64::from(word),
            },
            Self::Clear(bits) => window.fetch_and_u64(at, !bits),
        }
    }

    /// What the word is afterwards.
    #[must_use]
    pub fn of(self, word: u64) -> u64 {
        match self {
            Self::Exchange { was, now } if word & u64::from(u32::MAX) == u64::from(was) => {
                word & !u64::from(u32::MAX) | u64::from(now)
            }
            Self::Look | Self::Exchange { .. } => word,
            Self::Clear(bits) => word & !bits,
        }
    }
}

/// What became of an untyped that is to be zeroed aside.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wiped {
    /// Nobody zeroes anything aside.
    ByNobody,
    /// Somebody has it now; its slot is empty.
    Later,
    /// It need not be zeroed: what is made of it is.
    Never,
}

/// The kernel refused; its error number (`seL4_Error`) for the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Refused(pub u64);

/// The operations of seL4 that the server uses.
///
/// Each of them either does all or changes nothing. The server keeps the kernel's limits: at most
/// [`MAX_RETYPE`] objects a call, and one 2 MiB frame a call because making one is not preemptible.
pub trait Kernel {
    /// Makes `count` objects from the untyped in `from`, in ascending address order
    /// (`seL4_Untyped_Retype`). An untyped that has no children starts again at its beginning, and
    /// the kernel then zeroes it unless it is device memory.
    ///
    /// # Errors
    /// [`Refused`]; nothing changed.
    fn retype(
        &mut self,
        from: OwnSlot,
        object: Object,
        into: Destination,
        count: u32,
    ) -> Result<(), Refused>;
    /// Puts a copy of the frame capability `frame` into a grant slot, read-write
    /// (`seL4_CNode_Mint`).
    ///
    /// # Errors
    /// [`Refused`]; nothing changed.
    fn mint(&mut self, frame: Original, domain: DomainIndex, slot: Slot) -> Result<(), Refused>;
    /// The same for a page of another domain's, which is only read unless `writable`.
    ///
    /// # Errors
    /// [`Refused`]; nothing changed.
    fn lend(
        &mut self,
        frame: Original,
        domain: DomainIndex,
        slot: Slot,
        writable: bool,
    ) -> Result<(), Refused>;
    /// Changes the aligned 64-bit word at `offset` of a page by one atomic operation; the word as
    /// it was. The page stays in sight, as number `peek`, until another one is or
    /// [`Kernel::forget`].
    ///
    /// # Errors
    /// [`Refused`]; nothing changed.
    fn word(
        &mut self,
        page: Original,
        peek: u32,
        offset: u16,
        change: Change,
    ) -> Result<u64, Refused>;
    /// What is in sight as number `peek` is about to go.
    fn forget(&mut self, peek: u32);
    /// Deletes what is in a grant slot, a copy of `frame`, and with it its mapping
    /// (`seL4_CNode_Delete`). An empty slot is no error; a copy of something else may be one.
    ///
    /// # Errors
    /// [`Refused`]; nothing changed.
    fn delete(&mut self, frame: Original, domain: DomainIndex, slot: Slot) -> Result<(), Refused>;
    /// Deletes everything derived from `slot` (copies, and objects made from an untyped) and leaves
    /// the capability itself (`seL4_CNode_Revoke`). When it returns, nothing derived is mapped
    /// anywhere (SM-5).
    ///
    /// # Errors
    /// [`Refused`]; nothing changed.
    fn revoke(&mut self, slot: OwnSlot) -> Result<(), Refused>;
    /// Zeroes a frame and cleans it to the point of coherency. Nothing else is mapped by its
    /// capability meanwhile.
    ///
    /// # Errors
    /// [`Refused`]; the server scrubs again before it grants the frame.
    fn scrub(&mut self, frame: Original, size: FrameSize) -> Result<(), Refused>;
    /// Hands the untyped in `from`, which has no children, to somebody who has it zeroed on time of
    /// his own and then says so ([`crate::MemoryServer::on_wiped`]), if there is somebody.
    ///
    /// # Errors
    /// [`Refused`]; nothing changed.
    fn hand_to_wiper(&mut self, from: OwnSlot) -> Result<Wiped, Refused>;
    /// Takes that untyped back into `to`, with what is zeroed of it. It may have a child.
    ///
    /// # Errors
    /// [`Refused`]; nothing changed.
    fn take_from_wiper(&mut self, to: OwnSlot) -> Result<(), Refused>;
    /// Writes a line to the server's log.
    fn log(&mut self, line: fmt::Arguments<'_>);
}
