use super::*;
use crate::extend::{add, find};
use microkit_tool::capdl::CapDLNamedObject;
use sel4_capdl_initializer_types::{CapSlot, CapTableEntry, Fill, FillEntry, Word, cap, object};

const PAGE: usize = 0x1000;
const R: Rights = Rights {
    read: true,
    write: false,
    grant: false,
    grant_reply: false,
};
const RW: Rights = Rights { write: true, ..R };

/// A program of three pages, which begin with the bytes of `firsts`.
fn program(firsts: [u8; 3]) -> ElfFile {
    let mut elf = ElfFile::new("vmm.elf".into(), 64, 0, 183);
    let mut data = vec![0; 3 * PAGE];
    for (page, first) in firsts.into_iter().enumerate() {
        data[page * PAGE] = first;
    }
    let data = ElfSegmentData::RealData(data);
    elf.add_segment(true, false, true, 0x20_0000, data, None);
    elf
}

/// A protection domain with the first three pages of program `elf_id`, mapped with `rights`.
fn add_pd(container: &mut CapDLSpecContainer, name: &str, elf_id: usize, rights: [Rights; 3]) {
    let mut slots = Vec::new();
    for (number, rights) in rights.into_iter().enumerate() {
        let content = ElfContent {
            elf_id,
            elf_seg_idx: 0,
            elf_seg_data_range: number * PAGE..(number + 1) * PAGE,
        };
        let frame = Object::Frame(object::Frame {
            size_bits: 12,
            paddr: None,
            init: Fill {
                entries: vec![FillEntry {
                    range: 0..PAGE as u64,
                    content: FillEntryContent::Data(FillContent::ElfContent(content)),
                }],
            },
        });
        let frame = add(container, format!("frame_elf_{name}_{number:09}"), frame);
        let cap = Cap::Frame(cap::Frame {
            object: frame,
            rights,
            cached: true,
            executable: !rights.write,
        });
        let slot = CapSlot(u32::try_from(number).unwrap());
        slots.push(CapTableEntry { slot, cap });
    }
    let table = object::PageTable {
        x86_ept: false,
        is_root: false,
        level: Some(3),
        slots,
    };
    add(container, format!("pt_{name}"), Object::PageTable(table));
}

/// Names of the frames that `name` has mapped.
fn mapped(container: &CapDLSpecContainer, name: &str) -> Vec<String> {
    let table = find(container, &format!("pt_{name}")).unwrap();
    let objects = &container.spec.objects;
    let slots = objects[usize::from(table)].object.slots().unwrap();
    let frame = |entry: &CapTableEntry| &objects[usize::from(entry.cap.obj())];
    slots
        .iter()
        .map(|entry| frame(entry).name.clone().unwrap())
        .collect()
}

fn joined(container: &mut CapDLSpecContainer, elfs: &[ElfFile], vmms: &[usize]) -> Vec<u64> {
    let vmms = vmms.iter().copied().collect();
    join_pages(&mut container.spec, elfs, &vmms)
        .into_values()
        .collect()
}

#[test]
fn equal_pages_that_nobody_writes_are_one_frame() {
    let elfs = [program([1, 2, 3]), program([1, 9, 3])];
    let mut container = CapDLSpecContainer::new();
    add_pd(&mut container, "vmm_a", 0, [R, R, RW]);
    add_pd(&mut container, "vmm_b", 1, [R, R, RW]);
    let named: Option<&CapDLNamedObject> = container.spec.objects.last();
    assert_eq!(named.unwrap().name.as_deref(), Some("pt_vmm_b"));
    assert_eq!(joined(&mut container, &elfs, &[0, 1]), [0x1000, 0x1000]);
    // The second has other contents, the third is written.
    let common = "frame_zazen_vmms_000000000";
    for pd in ["vmm_a", "vmm_b"] {
        let own = |number| format!("frame_elf_{pd}_{number:09}");
        assert_eq!(mapped(&container, pd), [common.to_owned(), own(1), own(2)]);
    }
    assert_eq!(container.spec.objects.len(), 7);
    assert_eq!(usize::from(container.spec.root_objects.end), 7);
}

#[test]
fn who_is_no_vmm_and_who_may_write_share_nothing() {
    let elfs = [program([1, 2, 3]), program([1, 2, 3]), program([1, 2, 3])];
    let mut container = CapDLSpecContainer::new();
    add_pd(&mut container, "vmm_a", 0, [R; 3]);
    add_pd(&mut container, "server", 1, [R; 3]);
    add_pd(&mut container, "vmm_b", 2, [RW; 3]);
    assert!(joined(&mut container, &elfs, &[0, 2]).is_empty());
    let own = |pd| [0, 1, 2].map(|number| format!("frame_elf_{pd}_{number:09}"));
    for pd in ["vmm_a", "server", "vmm_b"] {
        assert_eq!(mapped(&container, pd), own(pd));
    }
}

#[test]
fn a_frame_that_somebody_else_has_stays_apart() {
    let elfs = [program([1, 2, 3]), program([1, 2, 3])];
    let mut container = CapDLSpecContainer::new();
    add_pd(&mut container, "vmm_a", 0, [R; 3]);
    add_pd(&mut container, "vmm_b", 1, [R; 3]);
    let held = find(&container, "frame_elf_vmm_b_000000001").unwrap();
    let held = Cap::Frame(cap::Frame {
        object: held,
        rights: R,
        cached: true,
        executable: true,
    });
    let slots = vec![CapTableEntry {
        slot: CapSlot(0),
        cap: held,
    }];
    let cnode = Object::CNode(object::CNode {
        size_bits: 1,
        slots,
    });
    add(&mut container, "cnode".into(), cnode);
    let handler = Object::ArmIrq(object::ArmIrq {
        slots: vec![],
        extra: Box::new(object::ArmIrqExtraInfo {
            trigger: 0,
            target: Word(0),
        }),
    });
    let handler = add(&mut container, "irq".into(), handler);
    let irq = Word(33);
    let entry = sel4_capdl_initializer_types::IrqEntry { irq, handler };
    container.spec.irqs.push(entry);

    assert_eq!(joined(&mut container, &elfs, &[0, 1]), [0x2000, 0x2000]);
    assert_eq!(mapped(&container, "vmm_b")[1], "frame_elf_vmm_b_000000001");
    // What leads to objects behind those that went leads there still.
    let handler = usize::from(container.spec.irqs[0].handler);
    assert_eq!(container.spec.objects[handler].name.as_deref(), Some("irq"));
}
