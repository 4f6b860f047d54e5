//! Slots of the memory server's own CNode and of the grant CNodes, as it operates on them.

use memory_server::layout::NODE_BITS;
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

/// Where the untyped lies that the wiper has.
pub fn wiper_untyped() -> AbsoluteCPtr {
    let cnode: cap::CNode = sel4::Cap::from_bits(caps::MEM_WIPER_LEAF);
    let depth = usize::from(caps::WIPER_RADIX);
    cnode.absolute_cptr_from_bits_with_depth(u64::from(caps::WIPER_UNTYPED), depth)
}

/// The node of slot `slot` of a CNode that has 2^`radix` slots in all its nodes.
pub fn node(cnode: cap::CNode, slot: u32, radix: u32) -> AbsoluteCPtr {
    let bits = radix.saturating_sub(NODE_BITS.into());
    cnode.absolute_cptr_from_bits_with_depth(u64::from(slot >> NODE_BITS), bits as usize)
}

/// Slot `slot` of a CNode that has 2^`radix` slots in all its nodes.
pub fn slot(cnode: cap::CNode, slot: u32, radix: u32) -> AbsoluteCPtr {
    cnode.absolute_cptr_from_bits_with_depth(u64::from(slot), radix as usize)
}
