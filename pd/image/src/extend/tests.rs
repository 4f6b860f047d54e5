use super::*;
use crate::layout::{DomainLayout, Handed};
use untyped_plan::{Chunk, Paddr};

/// What Microkit's library makes of a system with one domain "a", as far as it matters here.
fn microkit() -> CapDLSpecContainer {
    let mut container = CapDLSpecContainer::new();
    for pd in [pd::MEMORY_SERVER, "vmm_a"] {
        add_cnode(&mut container, format!("cnode_{pd}"), 9, Vec::new());
        add_cnode(&mut container, format!("cnode_{pd}_root"), 6, Vec::new());
    }
    let guest = add_cnode(&mut container, "cnode_a_0".into(), 9, Vec::new());
    let table = object::PageTable {
        x86_ept: false,
        is_root: true,
        level: Some(1),
        slots: vec![],
    };
    let vspace = add(&mut container, "vspace_a".into(), Object::PageTable(table));
    let vcpu = add(&mut container, "vcpu_a_0".into(), Object::VCpu);
    let extra = object::TcbExtraInfo {
        ipc_buffer_addr: 0.into(),
        affinity: Word(0),
        prio: 0,
        max_prio: 0,
        resume: false,
        fpu_disabled: false,
        ip: 0.into(),
        sp: 0.into(),
        gprs: Vec::new(),
        master_fault_ep: None,
        domain: None,
    };
    let slots = vec![
        CapTableEntry {
            slot: object::Tcb::SLOT_CSPACE,
            cap: Cap::CNode(cap::CNode {
                object: guest,
                guard: Word(0),
                guard_size: 55,
            }),
        },
        CapTableEntry {
            slot: object::Tcb::SLOT_VSPACE,
            cap: Cap::PageTable(cap::PageTable { object: vspace }),
        },
        CapTableEntry {
            slot: object::Tcb::SLOT_VCPU,
            cap: Cap::VCpu(cap::VCpu { object: vcpu }),
        },
    ];
    let tcb = object::Tcb {
        slots,
        extra: Box::new(extra),
    };
    add(&mut container, "tcb_a_0".into(), Object::Tcb(tcb));
    container
}

fn add_cnode(
    container: &mut CapDLSpecContainer,
    name: String,
    size_bits: u8,
    slots: Vec<CapTableEntry>,
) -> ObjectId {
    let object = Object::CNode(object::CNode { size_bits, slots });
    add(container, name, object)
}

fn layout() -> Layout {
    let chunk = Chunk {
        paddr: Paddr(0x4000_0000),
        bits: 28,
    };
    let purpose = Purpose::Static(DomainIndex(0));
    Layout {
        untypeds: vec![Handed {
            chunk,
            device: true,
            purpose,
        }],
        own_radix: 17,
        own_nodes: 30,
        splits: 100,
        domains: vec![DomainLayout {
            name: "a".into(),
            grant_radix: 18,
            grant_nodes: vec![0, 1, 127],
        }],
        shared: Vec::new(),
        has_wiper: false,
    }
}

fn cap_at(container: &CapDLSpecContainer, cnode: &str, slot: u64) -> Option<Cap> {
    let id = find(container, cnode).unwrap();
    let slots = container.spec.objects[usize::from(id)]
        .object
        .slots()
        .unwrap();
    let slot = CapSlot(u32::try_from(slot).unwrap());
    slots
        .iter()
        .find(|entry| entry.slot == slot)
        .map(|entry| entry.cap.clone())
}

fn cnode(container: &CapDLSpecContainer, cnode: &str, slot: u64) -> (String, u8) {
    match cap_at(container, cnode, slot) {
        Some(Cap::CNode(cap)) => {
            let name = container.spec.objects[usize::from(cap.object)].name.clone();
            (name.unwrap(), cap.guard_size)
        }
        other => panic!("{cnode}[{slot}] is {other:?}"),
    }
}

#[test]
fn a_vmm_cannot_invoke_its_grant_cnode_and_the_server_can() {
    let mut container = microkit();
    extend(&mut container, &layout()).unwrap();
    let grant = "cnode_zazen_grant_a".to_owned();
    assert_eq!(
        cnode(&container, "cnode_vmm_a_root", caps::VMM_GRANT_ROOT),
        (grant.clone(), 40)
    );
    assert_eq!(
        cnode(&container, "cnode_memory_server", caps::MEM_GRANT_LEAF),
        (grant.clone(), 0)
    );
    // No other capability to it in any CNode of the VMM.
    let id = find(&container, &grant).unwrap();
    let leaf = find(&container, "cnode_vmm_a").unwrap();
    let slots = container.spec.objects[usize::from(leaf)]
        .object
        .slots()
        .unwrap();
    assert!(slots.iter().all(|entry| entry.cap.obj() != id));
}

#[test]
fn only_the_nodes_of_the_layout_are_there() {
    let mut container = microkit();
    extend(&mut container, &layout()).unwrap();
    let size = |name: &str| {
        let id = find(&container, name).unwrap();
        match &container.spec.objects[usize::from(id)].object {
            Object::CNode(cnode) => (cnode.size_bits, cnode.slots.len()),
            _ => panic!("{name} is something else"),
        }
    };
    assert_eq!(size("cnode_zazen_grant_a"), (7, 3));
    assert_eq!(
        cnode(&container, "cnode_zazen_grant_a", 127),
        ("cnode_zazen_node_127_grant_a".to_owned(), 0)
    );
    assert_eq!(size("cnode_zazen_node_127_grant_a"), (11, 0));
    assert_eq!(cap_at(&container, "cnode_zazen_grant_a", 2), None);
    assert_eq!(size("cnode_zazen_own"), (6, 30));
}

#[test]
fn a_vmm_maps_its_guests_ram_and_operates_on_no_cnode() {
    let mut container = microkit();
    extend(&mut container, &layout()).unwrap();
    let leaf = find(&container, "cnode_vmm_a").unwrap();
    let slots = container.spec.objects[usize::from(leaf)]
        .object
        .slots()
        .unwrap();
    assert!(!slots.is_empty());
    assert!(!slots.iter().any(|entry| matches!(entry.cap, Cap::CNode(_))));
    let vspace = find(&container, "vspace_a").unwrap();
    let cap = cap_at(&container, "cnode_vmm_a", caps::VMM_GUEST_VSPACE).unwrap();
    assert!(matches!(cap, Cap::PageTable(cap) if cap.object == vspace));
}

/// A CNode called `name` whose slots hold capabilities to these threads.
fn with_threads(container: &mut CapDLSpecContainer, name: &str, threads: &[(u32, ObjectId)]) {
    let slots = threads.iter().map(|&(slot, object)| CapTableEntry {
        slot: CapSlot(slot),
        cap: Cap::Tcb(cap::Tcb { object }),
    });
    add_cnode(container, name.into(), 9, slots.collect());
}

#[test]
fn the_fault_server_holds_no_thread_but_its_own() {
    let mut container = microkit();
    let thread = find(&container, "tcb_a_0").unwrap();
    let own = container.spec.objects[usize::from(thread)].object.clone();
    let own = add(&mut container, "tcb_fault_server".into(), own);
    with_threads(
        &mut container,
        "cnode_fault_server",
        &[(6, own), (202, thread), (210, thread)],
    );
    extend(&mut container, &layout()).unwrap();
    assert!(
        matches!(cap_at(&container, "cnode_fault_server", 6), Some(Cap::Tcb(cap)) if cap.object == own)
    );
    for slot in [202, 210] {
        assert_eq!(cap_at(&container, "cnode_fault_server", slot), None);
    }
}

#[test]
fn untypeds_lie_in_the_servers_own_cnode_in_order() {
    let mut container = microkit();
    extend(&mut container, &layout()).unwrap();
    assert_eq!(
        cnode(&container, "cnode_memory_server_root", caps::MEM_OWN_ROOT),
        ("cnode_zazen_own".to_owned(), 41)
    );
    assert_eq!(
        cnode(&container, "cnode_zazen_own", 0),
        ("cnode_zazen_node_000_own".to_owned(), 0)
    );
    let cap = cap_at(&container, "cnode_zazen_node_000_own", 0).unwrap();
    let object = &container.spec.objects[usize::from(cap.obj())].object;
    assert!(
        matches!(object, Object::Untyped(u) if u.size_bits == 28 && u.paddr == Some(Word(0x4000_0000)))
    );
    let name = container.spec.objects[usize::from(cap.obj())].name.clone();
    assert_eq!(name.as_deref(), Some("untyped_zazen_000_static_a"));
}

#[test]
fn a_vcpus_cspace_matches_no_pointer() {
    let mut container = microkit();
    extend(&mut container, &layout()).unwrap();
    match cap_at_tcb(&container) {
        Cap::CNode(cap) => {
            assert_eq!((cap.guard, cap.guard_size), (Word(VCPU_GUARD), 55));
        }
        other => panic!("{other:?}"),
    }
}

fn cap_at_tcb(container: &CapDLSpecContainer) -> Cap {
    let id = find(container, "tcb_a_0").unwrap();
    let slots = container.spec.objects[usize::from(id)]
        .object
        .slots()
        .unwrap();
    slots
        .iter()
        .find(|e| e.slot == object::Tcb::SLOT_CSPACE)
        .unwrap()
        .cap
        .clone()
}

#[test]
fn guards_fill_the_pointer() {
    assert_eq!(root_guard_bits(17), Ok(41));
    assert_eq!(root_guard_bits(58), Ok(0));
    assert!(root_guard_bits(59).is_err());
}

#[test]
fn what_is_missing_or_taken_is_named() {
    let error = extend(&mut CapDLSpecContainer::new(), &layout())
        .unwrap_err()
        .to_string();
    assert!(error.contains("cnode_memory_server_root"), "{error}");
    let mut container = microkit();
    let root = find(&container, "cnode_vmm_a_root").unwrap();
    insert_leaf(&mut container, root, caps::VMM_GRANT_ROOT, invocable(root)).unwrap();
    let error = extend(&mut container, &layout()).unwrap_err().to_string();
    assert!(error.contains("slot 1 of 'cnode_vmm_a_root'"), "{error}");
}
