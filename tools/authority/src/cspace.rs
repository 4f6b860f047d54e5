//! Which capabilities a thread can name, and which of them it can invoke.
//!
//! seL4 resolves all 64 bits of a capability pointer from the CSpace's root: a capability to a
//! CNode that is found while bits are left is *traversed*, never invoked. To operate on a CNode
//! (copy, move, delete, mint into it), a thread needs a capability to it where no bits are left.
//! (seL4 reference manual, "Capability Address Lookup".)

use std::collections::BTreeSet;

use crate::spec::{Cap, Id, Kind, Spec};

/// Bits of a capability pointer.
const WORD: u32 = 64;

/// How one comes to something, step by step; the first step is the PD or guest.
pub type Chain = Vec<String>;

/// A capability in the CSpace of a subject.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Held {
    /// The CNode that it lies in.
    pub cnode: Id,
    /// Its slot there.
    pub slot: u32,
    /// The capability.
    pub cap: Cap,
    /// The pointer that names it; `None` if only operations on its CNode reach it.
    pub cptr: Option<u64>,
    /// Whether it can be invoked; otherwise it is a CNode that can only be looked through.
    pub invocable: bool,
    /// How one comes there; the last step names the slot.
    pub chain: Chain,
}

/// Everything that the CSpace capability `root` leads to.
pub(crate) fn walk(spec: &Spec, root: &Cap, chain: &[String]) -> Vec<Held> {
    let mut walker = Walker {
        spec,
        held: Vec::new(),
        looked_through: BTreeSet::new(),
        operated: BTreeSet::new(),
    };
    walker.look_through(root, 0, 0, chain);
    let on: Vec<(Cap, Chain)> = walker
        .held
        .iter()
        .filter(|held| held.invocable && held.cap.kind == Kind::CNode)
        .map(|held| (held.cap.clone(), held.chain.clone()))
        .collect();
    for (cap, chain) in on {
        walker.operate(&cap, &chain);
    }
    walker.held
}

struct Walker<'a> {
    spec: &'a Spec,
    held: Vec<Held>,
    looked_through: BTreeSet<(Id, u32)>,
    operated: BTreeSet<Id>,
}

impl Walker<'_> {
    /// `base` holds the bits of the pointer so far, `used` says how many.
    fn look_through(&mut self, cap: &Cap, base: u64, used: u32, chain: &[String]) {
        let Some((id, cnode)) = cap
            .object
            .and_then(|id| Some((id, self.spec.get(id)?)))
            .filter(|(_, object)| object.kind == Kind::CNode)
        else {
            return;
        };
        let guarded = used + u32::from(cap.guard_bits);
        let bits = guarded + u32::from(cnode.size_bits);
        // Bits that are not there cannot be resolved. The set ends cycles.
        if bits > WORD || !self.looked_through.insert((id, used)) {
            return;
        }
        let base = base | cap.guard.checked_shl(WORD - guarded).unwrap_or(0);
        let leaf = bits == WORD;
        for (slot, found) in &cnode.slots {
            let cptr = base | u64::from(*slot).checked_shl(WORD - bits).unwrap_or(0);
            let invocable = leaf || found.kind != Kind::CNode;
            let chain = self.step(chain, id, *slot, found, invocable);
            if !invocable {
                self.look_through(found, cptr, bits, &chain);
            }
            self.held.push(Held {
                cnode: id,
                slot: *slot,
                cap: found.clone(),
                cptr: Some(cptr),
                invocable,
                chain,
            });
        }
    }

    /// What lies in a CNode that can be operated on can be copied to where it can be invoked.
    fn operate(&mut self, cap: &Cap, chain: &[String]) {
        let Some((id, cnode)) = cap.object.and_then(|id| Some((id, self.spec.get(id)?))) else {
            return;
        };
        if !self.operated.insert(id) {
            return;
        }
        for (slot, found) in &cnode.slots {
            let chain = self.step(chain, id, *slot, found, true);
            let at = |held: &&mut Held| held.cnode == id && held.slot == *slot;
            match self.held.iter_mut().find(at) {
                Some(held) => held.invocable = true,
                None => self.held.push(Held {
                    cnode: id,
                    slot: *slot,
                    cap: found.clone(),
                    cptr: None,
                    invocable: true,
                    chain: chain.clone(),
                }),
            }
            if found.kind == Kind::CNode {
                self.operate(found, &chain);
            }
        }
    }

    fn step(&self, chain: &[String], cnode: Id, slot: u32, cap: &Cap, invocable: bool) -> Chain {
        let mut chain = chain.to_vec();
        chain.push(format!("slot {slot} of {}", self.spec.name(cnode)));
        chain.push(describe(self.spec, cap, invocable));
        chain
    }
}

/// A capability in words: kind, object, and what there is of rights, badge and use.
pub(crate) fn describe(spec: &Spec, cap: &Cap, invocable: bool) -> String {
    let name = cap.object.map_or("", |id| spec.name(id));
    let mut text = format!("{} {name}", cap.kind.name()).trim_end().to_owned();
    let mut notes = Vec::new();
    if cap.kind == Kind::CNode {
        notes.push(
            if invocable {
                "invocable"
            } else {
                "look-up only"
            }
            .to_owned(),
        );
    }
    if let Some(rights) = cap.rights {
        notes.push(rights.to_string());
    }
    if cap.badge != 0 {
        notes.push(format!("badge {:#x}", cap.badge));
    }
    if !notes.is_empty() {
        text.push_str(&format!(" ({})", notes.join(", ")));
    }
    text
}
