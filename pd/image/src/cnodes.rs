//! CNodes as small as what lies in them.
//!
//! Microkit's library gives each protection domain and each vCPU a CNode of 512 slots, which is 16
//! KiB. A CNode of fewer slots behind a guard that is longer by as many zero bits holds the same
//! capabilities under the same pointers. A pointer past its end finds a guard that does not match
//! instead of an empty slot.

use std::collections::HashMap;

use microkit_tool::capdl::{CapDLSpecContainer, FrameFill};
use sel4_capdl_initializer_types::{Cap, Object, ObjectId, Spec, object};

/// log2 of the slots of the CNodes that Microkit's library makes.
const MICROKIT_BITS: u8 = 9;

/// A capability by its object and position among the slots of that.
type Place = (usize, usize);

/// Makes CNodes of Microkit's size that nobody can operate on as small as their last capability
/// allows. Nothing can be put into such a CNode after the system has started.
pub(crate) fn shrink(container: &mut CapDLSpecContainer) {
    let spec = &mut container.spec;
    for (cnode, (holder, entry)) in looked_through(spec) {
        let named = &mut spec.objects[usize::from(cnode)];
        let Object::CNode(object) = &mut named.object else {
            continue;
        };
        let last = object
            .slots
            .iter()
            .map(|entry| usize::from(entry.slot))
            .max();
        let bits = bits(last.unwrap_or(0));
        if object.size_bits != MICROKIT_BITS || bits >= MICROKIT_BITS {
            continue;
        }
        object.size_bits = bits;
        let slots = spec.objects[holder].object.slots_mut();
        if let Some(Cap::CNode(cap)) = slots.map(|slots| &mut slots[entry].cap) {
            cap.guard_size += MICROKIT_BITS - bits;
        }
    }
}

/// log2 of the slots of the smallest CNode that has slot `last`; seL4 has none of a single slot.
fn bits(last: usize) -> u8 {
    let bits = usize::BITS - last.leading_zeros();
    u8::try_from(bits.max(1)).unwrap_or(u8::MAX)
}

/// CNodes to which there is one capability, with which they can only be looked through: a thread's
/// CSpace, or what lies in slot 0 of one.
fn looked_through(spec: &Spec<FrameFill>) -> HashMap<ObjectId, Place> {
    let mut uses: HashMap<ObjectId, Vec<(Place, bool)>> = HashMap::new();
    for (holder, named) in spec.objects.iter().enumerate() {
        let slots = named.object.slots().into_iter().flatten();
        for (entry, slot) in slots.enumerate() {
            let Cap::CNode(cap) = &slot.cap else { continue };
            let through = match &named.object {
                Object::Tcb(_) => slot.slot == object::Tcb::SLOT_CSPACE,
                Object::CNode(_) => usize::from(slot.slot) == 0,
                _ => false,
            };
            let place = (holder, entry);
            uses.entry(cap.object).or_default().push((place, through));
        }
    }
    let one = uses.into_iter().filter_map(|(cnode, uses)| match uses[..] {
        [(place, true)] => Some((cnode, place)),
        _ => None,
    });
    one.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::extend::add;
    use sel4_capdl_initializer_types::{CapSlot, CapTableEntry, Word, cap};

    fn cap(object: ObjectId, guard_size: u8) -> Cap {
        Cap::CNode(cap::CNode {
            object,
            guard: Word(0),
            guard_size,
        })
    }

    fn cnode(container: &mut CapDLSpecContainer, size_bits: u8, caps: &[(u32, Cap)]) -> ObjectId {
        let slots = caps.iter().map(|(slot, cap)| CapTableEntry {
            slot: CapSlot(*slot),
            cap: cap.clone(),
        });
        let slots = slots.collect();
        let object = Object::CNode(object::CNode { size_bits, slots });
        add(container, "cnode".into(), object)
    }

    /// Sizes of all CNodes, and guards of the capabilities to them.
    fn sizes(container: &CapDLSpecContainer) -> (Vec<u8>, Vec<u8>) {
        let (mut sizes, mut guards) = (Vec::new(), Vec::new());
        for named in &container.spec.objects {
            if let Object::CNode(cnode) = &named.object {
                sizes.push(cnode.size_bits);
            }
            for entry in named.object.slots().into_iter().flatten() {
                if let Cap::CNode(cap) = &entry.cap {
                    guards.push(cap.guard_size);
                }
            }
        }
        (sizes, guards)
    }

    #[test]
    fn a_cnode_ends_behind_its_last_capability() {
        for (last, expected) in [
            (0, 1),
            (1, 1),
            (2, 2),
            (127, 7),
            (128, 8),
            (255, 8),
            (256, 9),
        ] {
            let mut container = CapDLSpecContainer::new();
            let reply = add(&mut container, "reply".into(), Object::Reply);
            let reply = Cap::Reply(cap::Reply { object: reply });
            let leaf = cnode(&mut container, 9, &[(last, reply)]);
            cnode(&mut container, 6, &[(0, cap(leaf, 49))]);
            shrink(&mut container);
            // All 64 bits of a pointer are resolved as before.
            let (sizes, guards) = sizes(&container);
            assert_eq!(sizes, [expected, 6]);
            assert_eq!(guards, [58 - expected]);
        }
    }

    #[test]
    fn what_can_be_operated_on_keeps_its_size() {
        let mut container = CapDLSpecContainer::new();
        let [twice, leaf, other] = [9, 9, 11].map(|bits| cnode(&mut container, bits, &[]));
        let caps = [(0, cap(twice, 49)), (1, cap(twice, 0)), (2, cap(leaf, 0))];
        cnode(&mut container, 6, &caps);
        cnode(&mut container, 6, &[(0, cap(other, 47))]);
        let before = sizes(&container);
        shrink(&mut container);
        assert_eq!(sizes(&container), before);
    }
}
