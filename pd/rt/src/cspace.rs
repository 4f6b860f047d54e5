//! Slots of the memory server's own CNode and of the grant CNodes, as it operates on them.

use sel4::{AbsoluteCPtr, cap};
use topology::caps;

/// The memory server's own CNode.
pub fn own() -> cap::CNode {
    sel4::Cap::from_bits(caps::MEM_OWN_LEAF)
}

/// Grant CNode of domain `index`, invocable.
pub fn grant(index: usize) -> cap::CNode {
    sel4::Cap::from_bits(caps::MEM_GRANT_LEAF + index as u64)
}

/// Slot `slot` of a CNode of radix `radix`.
pub fn slot(cnode: cap::CNode, slot: u32, radix: u32) -> AbsoluteCPtr {
    cnode.absolute_cptr_from_bits_with_depth(u64::from(slot), radix as usize)
}
