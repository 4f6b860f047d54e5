//! The order that the initialiser expects, and the object numbers that follow from it.
//!
//! Microkit's library sorts before we add our objects, and counts an untyped's size as 0. The
//! initialiser wants objects with a physical address first, ascending, then the others from
//! large to small; capabilities name objects by their position.

use core::cmp::Reverse;

use microkit_tool::capdl::spec::capdl_obj_physical_size_bits;
use microkit_tool::capdl::{CapDLSpecContainer, FrameFill};
use microkit_tool::sel4::Config;
use sel4_capdl_initializer_types::{Object, ObjectId};
use untyped_plan::{Object as Planned, Paddr};

/// log2 of the memory that an object takes; `None` if it takes none.
pub(crate) fn size_bits(object: &Object<FrameFill>, config: &Config) -> Option<u8> {
    let bits = match object {
        Object::Untyped(untyped) => u64::from(untyped.size_bits),
        other => capdl_obj_physical_size_bits(other, config),
    };
    u8::try_from(bits).ok().filter(|&bits| bits > 0)
}

/// Sorts the objects and renumbers every reference to them.
pub(crate) fn sort(container: &mut CapDLSpecContainer, config: &Config) {
    let spec = &mut container.spec;
    let keys: Vec<_> = spec
        .objects
        .iter()
        .map(|named| Key {
            paddr: named.object.paddr().map(u64::from),
            bits: size_bits(&named.object, config).unwrap_or(0),
            name: named.name.clone().unwrap_or_default(),
        })
        .collect();
    let order = order(&keys);
    let mut new_ids = vec![ObjectId::from(0); order.len()];
    let mut old: Vec<_> = core::mem::take(&mut spec.objects)
        .into_iter()
        .map(Some)
        .collect();
    for (new, &from) in order.iter().enumerate() {
        new_ids[from] = new.into();
        spec.objects.extend(old[from].take());
    }
    for named in &mut spec.objects {
        for entry in named.object.slots_mut().into_iter().flatten() {
            let id = new_ids[usize::from(entry.cap.obj())];
            entry.cap.set_obj(id);
        }
        if let Object::CNode(cnode) = &mut named.object {
            cnode.slots.sort_by_key(|entry| usize::from(entry.slot));
        }
    }
    for irq in &mut spec.irqs {
        irq.handler = new_ids[usize::from(irq.handler)];
    }
    for slot in &mut spec.asid_slots {
        *slot = new_ids[usize::from(*slot)];
    }
}

/// The specification's objects as the allocation sees them.
pub(crate) fn planned(container: &CapDLSpecContainer, config: &Config) -> Vec<Planned> {
    let granule = config.object_sizes.small_page;
    let objects = container.spec.objects.iter();
    objects
        .map(|named| Planned {
            paddr: named.object.paddr().map(|word| Paddr(u64::from(word))),
            bits: size_bits(&named.object, config),
            embedded: match &named.object {
                // Must agree with `embed_fill`: filled 4 KiB frames lie in the initial task's
                // image.
                Object::Frame(frame) => {
                    frame.paddr.is_none()
                        && u64::from(frame.size_bits) == granule
                        && !frame.init.entries.is_empty()
                        && frame
                            .init
                            .entries
                            .iter()
                            .all(|entry| entry.content.is_data())
                }
                _ => false,
            },
        })
        .collect()
}

/// What an object's place in the order depends on.
#[derive(PartialEq, Eq, Debug)]
struct Key {
    paddr: Option<u64>,
    bits: u8,
    name: String,
}

/// For each place of the sorted list, which object of the unsorted one comes there.
fn order(keys: &[Key]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..keys.len()).collect();
    order.sort_by(|&a, &b| {
        let rank = |key: &Key| match key.paddr {
            Some(paddr) => (0, paddr, Reverse(0)),
            None => (1, 0, Reverse(key.bits)),
        };
        let (a, b) = (&keys[a], &keys[b]);
        rank(a).cmp(&rank(b)).then_with(|| a.name.cmp(&b.name))
    });
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use microkit_tool::capdl::CapDLNamedObject;
    use sel4_capdl_initializer_types::{
        Cap, CapSlot, CapTableEntry, Fill, IrqEntry, NamedObject, Word, cap, object,
    };

    fn key(paddr: Option<u64>, bits: u8, name: &str) -> Key {
        Key {
            paddr,
            bits,
            name: name.into(),
        }
    }

    #[test]
    fn addresses_ascend_then_sizes_descend_then_names_ascend() {
        let keys = [
            key(None, 12, "b"),
            key(Some(0x8000), 12, "late"),
            key(None, 20, "large"),
            key(Some(0x1000), 21, "early"),
            key(None, 12, "a"),
            key(None, 0, "irq"),
        ];
        assert_eq!(order(&keys), [3, 1, 2, 4, 0, 5]);
    }

    fn named(name: &str, object: Object<FrameFill>) -> CapDLNamedObject {
        NamedObject {
            name: Some(name.into()),
            object,
        }
    }
    fn untyped(paddr: Option<u64>, size_bits: u8) -> Object<FrameFill> {
        Object::Untyped(object::Untyped {
            size_bits,
            paddr: paddr.map(Word),
        })
    }

    #[test]
    fn references_follow_their_objects() {
        let config = crate::test_config::qemu_virt();
        let mut container = CapDLSpecContainer::new();
        let small = container.add_root_object(named("small", untyped(None, 12)));
        let fixed = container.add_root_object(named("fixed", untyped(Some(0x4000_0000), 21)));
        let handler = container.add_root_object(named(
            "irq",
            Object::ArmIrq(object::ArmIrq {
                slots: vec![],
                extra: Box::new(object::ArmIrqExtraInfo {
                    trigger: 0,
                    target: Word(0),
                }),
            }),
        ));
        let entry = |slot, object| CapTableEntry {
            slot: CapSlot(slot),
            cap: Cap::Untyped(cap::Untyped { object }),
        };
        let slots = vec![entry(9, fixed), entry(8, small)];
        let cnode = Object::CNode(object::CNode {
            size_bits: 9,
            slots,
        });
        container.add_root_object(named("cnode", cnode));
        let frame = Object::Frame(object::Frame {
            size_bits: 21,
            paddr: None,
            init: Fill { entries: vec![] },
        });
        container.add_root_object(named("frame", frame));
        container.spec.irqs.push(IrqEntry {
            irq: Word(33),
            handler,
        });

        sort(&mut container, &config);

        let names: Vec<&str> = container
            .spec
            .objects
            .iter()
            .map(|o| o.name.as_deref().unwrap())
            .collect();
        // The 512-slot CNode has 2^14 bytes.
        assert_eq!(names, ["fixed", "frame", "cnode", "small", "irq"]);
        let slots = container.spec.objects[2].object.slots().unwrap();
        assert_eq!(slots[0].slot, CapSlot(8));
        assert_eq!(usize::from(slots[0].cap.obj()), 3);
        assert_eq!(usize::from(slots[1].cap.obj()), 0);
        assert_eq!(usize::from(container.spec.irqs[0].handler), 4);
    }
}
