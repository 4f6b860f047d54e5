//! What the server does to the kernel.

use core::fmt;

use hv_types::FrameSize;
use memory_server_api::Slot;

use crate::domain::DomainIndex;

/// Most objects one retype makes (seL4's `CONFIG_RETYPE_FAN_OUT_LIMIT`).
pub const MAX_RETYPE: u32 = 256;

/// Index of a capability in the server's own CNode; see [`crate::layout`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct OwnSlot(pub u32);

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

/// Where new capabilities go: consecutive slots from this one on, all empty.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Destination {
    /// The server's own CNode.
    Own(OwnSlot),
    /// The grant CNode of a domain.
    Grant(DomainIndex, Slot),
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
    /// Puts a copy of the frame capability in `frame` into a grant slot, read-write
    /// (`seL4_CNode_Mint`).
    ///
    /// # Errors
    /// [`Refused`]; nothing changed.
    fn mint(&mut self, frame: OwnSlot, domain: DomainIndex, slot: Slot) -> Result<(), Refused>;
    /// Deletes what is in a grant slot, a copy of `frame`, and with it its mapping
    /// (`seL4_CNode_Delete`). An empty slot is no error; a copy of something else may be one.
    ///
    /// # Errors
    /// [`Refused`]; nothing changed.
    fn delete(&mut self, frame: OwnSlot, domain: DomainIndex, slot: Slot) -> Result<(), Refused>;
    /// Deletes everything derived from `slot` (copies, and objects made from an untyped) and leaves
    /// the capability itself (`seL4_CNode_Revoke`). When it returns, nothing derived is mapped
    /// anywhere (SM-5).
    ///
    /// # Errors
    /// [`Refused`]; nothing changed.
    fn revoke(&mut self, slot: OwnSlot) -> Result<(), Refused>;
    /// Zeroes a frame of the server's own and cleans it to the point of coherency.
    ///
    /// # Errors
    /// [`Refused`]; the server scrubs again before it grants the frame.
    fn scrub(&mut self, frame: OwnSlot, size: FrameSize) -> Result<(), Refused>;
    /// Writes a line to the server's log.
    fn log(&mut self, line: fmt::Arguments<'_>);
}
