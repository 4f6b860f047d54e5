//! Capability pointers beyond those that the Microkit itself defines.
//!
//! A protection domain's root CNode has 64 slots; slot 0 holds the Microkit's own CNode of 512
//! slots, of which 458..=511 are unused; the image builder makes it smaller where nothing lies in
//! its upper half, without a change to pointers. A CNode in a root slot can be traversed but not
//! invoked; to operate on it, a second capability lies at a leaf of the Microkit CNode. A VMM gets
//! its grant CNode without that leaf: it can use what is granted but neither move, copy nor delete
//! it.

/// log2 of the slots of a root CNode.
pub const ROOT_RADIX: u32 = 6;

/// CPtr of slot `slot` of the CNode in root slot `root`, whatever its radix `r`: it has a guard of
/// `58 - r` zero bits.
pub const fn cptr(root: u64, slot: u32) -> u64 {
    (root << (64 - ROOT_RADIX)) | slot as u64
}

/// log2 of the slots of a node: the memory server's own CNode and the grant CNodes are directories
/// of CNodes of this size, of which only those are there that hold something.
pub const NODE_BITS: u8 = 11;

/// In a VMM: root slot of the grant CNode (no leaf).
pub const VMM_GRANT_ROOT: u64 = 1;
/// In a VMM: the guest's VSpace (stage-2 root).
pub const VMM_GUEST_VSPACE: u64 = 459;
/// In a VMM: the second reply object, with which it listens while a vCPU of its guest waits for the
/// first one's reply. There is one more for each further vCPU.
pub const VMM_SECOND_REPLY: u64 = vmm_reply(1);
/// In a VMM: its reply object `number`; number 0 is Microkit's.
pub const fn vmm_reply(number: usize) -> u64 {
    match number {
        0 => REPLY,
        _ => 459 + number as u64,
    }
}
/// In a VMM on a multicore kernel: the endpoint on which it hears from its unloaders
/// ([`crate::cores`]).
pub const VMM_UNLOADED: u64 = 470;
/// In such a VMM: the reply object of the unloader of core `core`.
pub const fn vmm_unload_reply(core: u8) -> u64 {
    VMM_UNLOADED + 1 + core as u64
}
/// In every protection domain: the endpoint it receives on (Microkit).
pub const INPUT: u64 = 1;
/// In every protection domain: its reply object (Microkit).
pub const REPLY: u64 = 4;
/// In every protection domain: the first endpoint for protected calls (Microkit); that of channel
/// `i` is this plus `i`.
pub const CALL: u64 = 74;
/// In every protection domain: its own VSpace (Microkit).
pub const OWN_VSPACE: u64 = 3;
/// In a VMM, and in a timer server with a virtual machine: thread of vCPU 0 (Microkit); that of
/// vCPU `n` is this plus `n`.
pub const VMM_VCPU_TCB: u64 = 266;
/// And vCPU object 0 (Microkit); number `n` is this plus `n`.
pub const VMM_VCPU: u64 = 330;

/// Slots of the Microkit's CNode.
pub const MICROKIT_SLOTS: u64 = 512;
/// In the fault server: scheduling context of child `child` ([`crate::child`]).
pub const fn child_time(child: usize) -> u64 {
    458 + 2 * child as u64
}
/// In the fault server: notification of child `child`.
pub const fn child_notification(child: usize) -> u64 {
    child_time(child) + 1
}

/// In the fault server: root slot of the CNode with the scheduling contexts of vCPUs (no leaf).
pub const VCPU_TIMES_ROOT: u64 = 1;
/// log2 of the slots of that CNode.
pub const VCPU_TIMES_BITS: u8 = 6;
/// In that CNode: slot of vCPU `vcpu` of domain `domain`, both counted from 0 and below 8.
#[expect(clippy::cast_possible_truncation, reason = "below 64")]
pub const fn vcpu_time(domain: usize, vcpu: usize) -> u32 {
    ((domain & 7) << 3 | (vcpu & 7)) as u32
}
const _: () = assert!(crate::MAX_DOMAINS == 8 && 1 << VCPU_TIMES_BITS == 64);

/// In the memory server: root slot of its own CNode.
pub const MEM_OWN_ROOT: u64 = 1;
/// In the memory server: leaf with its own CNode, invocable.
pub const MEM_OWN_LEAF: u64 = 458;
/// In the memory server: leaf with the wiper's CNode, invocable.
pub const MEM_WIPER_LEAF: u64 = 459;
/// log2 of the slots of that CNode, in which the memory server puts an untyped at a time.
pub const WIPER_RADIX: u8 = 1;
/// In the wiper's CNode: the untyped that is to be zeroed.
pub const WIPER_UNTYPED: u32 = 0;
/// In the wiper's CNode: the object that the kernel makes when it has zeroed it.
pub const WIPER_MADE: u32 = 1;
/// In the wiper: root slot of that CNode.
pub const WIPER_ROOT: u64 = 1;
/// In the wiper: leaf with it, invocable.
pub const WIPER_LEAF: u64 = 458;
/// In the memory server: leaf with the grant CNode of domain `i` is this plus `i`.
pub const MEM_GRANT_LEAF: u64 = 464;
