//! Adds to Microkit's specification what its system description cannot express: untypeds, CNodes
//! and the capabilities to them.

use memory_server::layout::NODE_BITS;
use memory_server::manifest::{DomainIndex, Purpose};
use microkit_tool::capdl::{CapDLNamedObject, CapDLSpecContainer, FrameFill};
use sel4_capdl_initializer_types::{
    Cap, CapSlot, CapTableEntry, NamedObject, Object, ObjectId, Word, cap, object,
};
use topology::{caps, pd};

use crate::Error;
use crate::layout::Layout;

/// Guard of a vCPU's CSpace: 55 bits that no capability pointer of a guest has.
///
/// A guest's HVC reaches the stock kernel as a system call. With a guard that never matches, most
/// accidental "calls" become faults that its VMM sees, instead of errors that only the guest does.
const VCPU_GUARD: u64 = 0x2a_aaaa_aaaa_aaab;
/// Microkit's CNode has 2^9 slots, so a guard in front of it has 55 bits. It is made longer, by
/// zero bits before these, when the CNode is made smaller ([`crate::cnodes`]).
const VCPU_GUARD_BITS: u8 = 55;
const _: () = assert!(VCPU_GUARD != 0 && VCPU_GUARD >> VCPU_GUARD_BITS == 0);

/// Guard size of a CNode of `radix` in a root slot: what is left of the 64 bits of a pointer.
pub(crate) fn root_guard_bits(radix: u8) -> Result<u8, Error> {
    let rest = 64 - u8::try_from(caps::ROOT_RADIX).unwrap_or(6);
    rest.checked_sub(radix).ok_or_else(|| {
        Error::new(format!(
            "a CNode of 2^{radix} slots does not fit a capability pointer"
        ))
    })
}

/// Adds everything in `layout`.
///
/// # Errors
/// An object that Microkit's specification should have and has not.
pub(crate) fn extend(container: &mut CapDLSpecContainer, layout: &Layout) -> Result<(), Error> {
    let server_root = find(container, &format!("cnode_{}_root", pd::MEMORY_SERVER))?;
    let server_leaf = find(container, &format!("cnode_{}", pd::MEMORY_SERVER))?;

    let mut own = Vec::new();
    for (slot, untyped) in (0..).zip(&layout.untypeds) {
        let name = format!(
            "untyped_zazen_{slot:03}_{}",
            purpose(untyped.purpose, layout)
        );
        let paddr = Some(Word(untyped.chunk.paddr.0));
        let object = Object::Untyped(object::Untyped {
            size_bits: untyped.chunk.bits,
            paddr,
        });
        let id = add(container, name, object);
        own.push(CapTableEntry {
            slot: CapSlot(slot),
            cap: Cap::Untyped(cap::Untyped { object: id }),
        });
    }
    let nodes: Vec<u32> = (0..layout.own_nodes).collect();
    let own = add_directory(container, "own", layout.own_radix, &nodes, own);
    insert_root(
        container,
        server_root,
        caps::MEM_OWN_ROOT,
        own,
        layout.own_radix,
    )?;
    insert_leaf(container, server_leaf, caps::MEM_OWN_LEAF, invocable(own))?;

    if layout.has_wiper {
        add_wiper(container, server_leaf)?;
    }

    drop_threads(container)?;

    for (index, domain) in (0..).zip(&layout.domains) {
        let vmm = format!("{}{}", pd::VMM_PREFIX, domain.name);
        let vmm_root = find(container, &format!("cnode_{vmm}_root"))?;
        let vmm_leaf = find(container, &format!("cnode_{vmm}"))?;

        let grant = add_directory(
            container,
            &format!("grant_{}", domain.name),
            domain.grant_radix,
            &domain.grant_nodes,
            Vec::new(),
        );
        // The VMM may use what lies in its grant CNode, but has no capability to invoke it with.
        insert_root(
            container,
            vmm_root,
            caps::VMM_GRANT_ROOT,
            grant,
            domain.grant_radix,
        )?;
        insert_leaf(
            container,
            server_leaf,
            caps::MEM_GRANT_LEAF + index,
            invocable(grant),
        )?;

        let vspace = vspace_of(container, &format!("tcb_{}_0", domain.name))?;
        let vspace = Cap::PageTable(cap::PageTable { object: vspace });
        insert_leaf(container, vmm_leaf, caps::VMM_GUEST_VSPACE, vspace)?;
    }
    guard_vcpus(container);
    Ok(())
}

/// Adds the CNode through which the memory server, whose CNode is `server`, hands the wiper an
/// untyped at a time.
fn add_wiper(container: &mut CapDLSpecContainer, server: ObjectId) -> Result<(), Error> {
    let wiper = format!("cnode_{}", pd::WIPER);
    let (root, leaf) = (
        find(container, &format!("{wiper}_root"))?,
        find(container, &wiper)?,
    );
    let radix = caps::WIPER_RADIX;
    let object = Object::CNode(object::CNode {
        size_bits: radix,
        slots: Vec::new(),
    });
    let cnode = add(container, "cnode_zazen_wiper".to_owned(), object);
    insert_root(container, root, caps::WIPER_ROOT, cnode, radix)?;
    insert_leaf(container, leaf, caps::WIPER_LEAF, invocable(cnode))?;
    insert_leaf(container, server, caps::MEM_WIPER_LEAF, invocable(cnode))
}

/// Removes the thread capabilities of its children that Microkit gives the fault server as their
/// parent. It receives their faults and cannot control them.
fn drop_threads(container: &mut CapDLSpecContainer) -> Result<(), Error> {
    let Ok(id) = find(container, &format!("cnode_{}", pd::FAULT_SERVER)) else {
        return Ok(());
    };
    let own = find(container, &format!("tcb_{}", pd::FAULT_SERVER)).ok();
    if let Object::CNode(cnode) = &mut container.spec.objects[usize::from(id)].object {
        cnode
            .slots
            .retain(|entry| !matches!(&entry.cap, Cap::Tcb(thread) if Some(thread.object) != own));
    }
    Ok(())
}

/// What an untyped is for, as the end of its object's name; `zazen inspect` reads it.
fn purpose(purpose: Purpose, layout: &Layout) -> String {
    let of = |kind: &str, domain: DomainIndex| {
        let domain = layout.domains.get(usize::from(domain.0));
        format!("{kind}_{}", domain.map_or("", |domain| &domain.name))
    };
    match purpose {
        Purpose::Static(domain) => of("static", domain),
        Purpose::Tables(domain) => of("tables", domain),
        Purpose::Heap => "heap".to_owned(),
        Purpose::Shared { region, .. } => {
            let shared = layout.shared.get(usize::from(region));
            format!("shared_{}", shared.map_or("", String::as_str))
        }
    }
}

/// Gives every vCPU a CSpace guard that does not match.
fn guard_vcpus(container: &mut CapDLSpecContainer) {
    for named in &mut container.spec.objects {
        let Object::Tcb(tcb) = &mut named.object else {
            continue;
        };
        let vcpu = |entry: &CapTableEntry| entry.slot == object::Tcb::SLOT_VCPU;
        if !tcb.slots.iter().any(vcpu) {
            continue;
        }
        for entry in &mut tcb.slots {
            if let (object::Tcb::SLOT_CSPACE, Cap::CNode(cspace)) = (entry.slot, &mut entry.cap) {
                cspace.guard = Word(VCPU_GUARD);
                cspace.guard_size = VCPU_GUARD_BITS;
            }
        }
    }
}

pub(crate) fn add(
    container: &mut CapDLSpecContainer,
    name: String,
    object: Object<FrameFill>,
) -> ObjectId {
    let named: CapDLNamedObject = NamedObject {
        name: Some(name),
        object,
    };
    container.add_root_object(named)
}

/// Adds a CNode of 2^`radix` slots as a directory with those of its nodes that are in `nodes`. What
/// is in `slots` lies in the first one.
fn add_directory(
    container: &mut CapDLSpecContainer,
    name: &str,
    radix: u8,
    nodes: &[u32],
    slots: Vec<CapTableEntry>,
) -> ObjectId {
    let mut slots = Some(slots);
    let mut entries = Vec::new();
    for &node in nodes {
        let object = Object::CNode(object::CNode {
            size_bits: NODE_BITS,
            slots: slots.take().unwrap_or_default(),
        });
        let id = add(
            container,
            format!("cnode_zazen_node_{node:03}_{name}"),
            object,
        );
        entries.push(CapTableEntry {
            slot: CapSlot(node),
            cap: invocable(id),
        });
    }
    let object = Object::CNode(object::CNode {
        size_bits: radix.saturating_sub(NODE_BITS),
        slots: entries,
    });
    add(container, format!("cnode_zazen_{name}"), object)
}

/// A capability to a CNode without a guard. Where nothing is left of a pointer the CNode can be
/// invoked with it; in a directory it can only be looked through.
fn invocable(object: ObjectId) -> Cap {
    Cap::CNode(cap::CNode {
        object,
        guard: Word(0),
        guard_size: 0,
    })
}

pub(crate) fn find(container: &CapDLSpecContainer, name: &str) -> Result<ObjectId, Error> {
    let position = container
        .spec
        .objects
        .iter()
        .position(|o| o.name.as_deref() == Some(name));
    position.map(ObjectId::from).ok_or_else(|| {
        Error::new(format!("the system description yields no object '{name}'")).advise(
            "let the system description be generated from the domains file (leave --system out)",
        )
    })
}

fn vspace_of(container: &CapDLSpecContainer, tcb: &str) -> Result<ObjectId, Error> {
    let id = find(container, tcb)?;
    let slots = container.spec.objects[usize::from(id)]
        .object
        .slots()
        .unwrap_or_default();
    let vspace = slots
        .iter()
        .find(|entry| entry.slot == object::Tcb::SLOT_VSPACE);
    vspace
        .map(|entry| entry.cap.obj())
        .ok_or_else(|| Error::new(format!("thread '{tcb}' has no address space")))
}

/// Puts a CNode of `radix` bits, which may be traversed and not invoked, into slot `slot` of a root
/// CNode.
pub(crate) fn insert_root(
    container: &mut CapDLSpecContainer,
    root: ObjectId,
    slot: u64,
    cnode: ObjectId,
    radix: u8,
) -> Result<(), Error> {
    let cap = Cap::CNode(cap::CNode {
        object: cnode,
        guard: Word(0),
        guard_size: root_guard_bits(radix)?,
    });
    insert_leaf(container, root, slot, cap)
}

/// Puts `cap` into a slot that must be empty.
pub(crate) fn insert_leaf(
    container: &mut CapDLSpecContainer,
    cnode: ObjectId,
    slot: u64,
    cap: Cap,
) -> Result<(), Error> {
    let named = &mut container.spec.objects[usize::from(cnode)];
    let name = named.name.clone().unwrap_or_default();
    let Object::CNode(cnode) = &mut named.object else {
        return Err(Error::new(format!("'{name}' is not a CNode")));
    };
    let slot = u32::try_from(slot)
        .ok()
        .filter(|&slot| slot < 1 << cnode.size_bits);
    let slot =
        slot.ok_or_else(|| Error::new(format!("'{name}' has no room for one more capability")))?;
    if cnode.slots.iter().any(|entry| entry.slot == CapSlot(slot)) {
        return Err(Error::new(format!(
            "slot {slot} of '{name}' is taken by the system description"
        ))
        .advise("leave <cspace> elements out of the system description"));
    }
    cnode.slots.push(CapTableEntry {
        slot: CapSlot(slot),
        cap,
    });
    Ok(())
}

#[cfg(test)]
mod tests;
