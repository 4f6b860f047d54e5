//! Removes rights that Microkit's library grants and nobody uses.
//!
//! The library makes every endpoint and notification capability with all rights. A client of a
//! protected call could so *receive* on its server's endpoint and take the calls of other
//! clients, and answer them; a sender of a notification could wait in place of its owner. The
//! owner's capability has no badge, everybody else's has one, so those are narrowed to what
//! calling, faulting and notifying need.

use microkit_tool::capdl::CapDLSpecContainer;
use sel4_capdl_initializer_types::{Cap, Rights};

/// A call or a fault: send, and be replied to. No capabilities go along.
const CALL: Rights = Rights {
    read: false,
    write: true,
    grant: false,
    grant_reply: true,
};
/// A notification: send.
const NOTIFY: Rights = Rights {
    read: false,
    write: true,
    grant: false,
    grant_reply: false,
};

/// Narrows every endpoint and notification capability that has a badge.
pub(crate) fn narrow(container: &mut CapDLSpecContainer) {
    for named in &mut container.spec.objects {
        for entry in named.object.slots_mut().into_iter().flatten() {
            match &mut entry.cap {
                Cap::Endpoint(cap) if u64::from(cap.badge) != 0 => cap.rights = CALL,
                Cap::Notification(cap) if u64::from(cap.badge) != 0 => cap.rights = NOTIFY,
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sel4_capdl_initializer_types::{CapSlot, CapTableEntry, NamedObject, Object, cap, object};

    const ALL: Rights = Rights {
        read: true,
        write: true,
        grant: true,
        grant_reply: false,
    };

    #[test]
    fn the_owner_receives_and_the_others_only_send() {
        let mut container = CapDLSpecContainer::new();
        let mut add = |object| {
            container.add_root_object(NamedObject {
                name: Some("object".into()),
                object,
            })
        };
        let endpoint = add(Object::Endpoint);
        let notification = add(Object::Notification);
        let slots = [0, 5].map(|badge: u64| {
            [
                Cap::Endpoint(cap::Endpoint {
                    object: endpoint,
                    badge: badge.into(),
                    rights: ALL,
                }),
                Cap::Notification(cap::Notification {
                    object: notification,
                    badge: badge.into(),
                    rights: ALL,
                }),
            ]
        });
        let slots = (0..).zip(slots.into_iter().flatten());
        let slots = slots.map(|(slot, cap)| CapTableEntry {
            slot: CapSlot(slot),
            cap,
        });
        let cnode = add(Object::CNode(object::CNode {
            size_bits: 2,
            slots: slots.collect(),
        }));
        narrow(&mut container);
        let rights: Vec<Rights> = container.spec.objects[usize::from(cnode)]
            .object
            .slots()
            .unwrap()
            .iter()
            .map(|entry| match &entry.cap {
                Cap::Endpoint(cap) => cap.rights,
                Cap::Notification(cap) => cap.rights,
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(rights, [ALL, ALL, CALL, NOTIFY]);
    }
}
