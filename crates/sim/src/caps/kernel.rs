//! The memory server's view: retype, mint, revoke, scrub.

use std::cell::{Ref, RefCell, RefMut};
use std::collections::BTreeSet;
use std::fmt;
use std::rc::Rc;

use hv_types::FrameSize;
use memory_server::DomainIndex;
use memory_server::kernel::{Destination, Kernel, MAX_RETYPE, Object, OwnSlot, Refused};
use memory_server_api::Slot;

use super::{Cap, Faults, Machine, Place, bytes};

/// A [`Machine`] with several owners: the memory server, and each VMM.
#[derive(Clone, Debug)]
pub struct Shared(pub(super) Rc<RefCell<Machine>>);

/// `seL4_NotEnoughMemory`.
const NOT_ENOUGH_MEMORY: Refused = Refused(10);

impl Shared {
    /// Looks at the machine.
    ///
    /// # Panics
    /// If somebody changes it at the moment.
    pub fn look(&self) -> Ref<'_, Machine> {
        self.0.borrow()
    }
    /// Changes the machine, to inject faults or play the guest.
    ///
    /// # Panics
    /// If somebody uses it at the moment.
    pub fn change(&self) -> RefMut<'_, Machine> {
        self.0.borrow_mut()
    }
    fn step(&self) -> Result<RefMut<'_, Machine>, Refused> {
        let mut machine = self.change();
        machine.operations += 1;
        if machine.faults.kernel_always || Faults::hit(&mut machine.faults.kernel) {
            return Err(NOT_ENOUGH_MEMORY);
        }
        Ok(machine)
    }
}

impl Kernel for Shared {
    fn retype(
        &mut self,
        from: OwnSlot,
        object: Object,
        into: Destination,
        count: u32,
    ) -> Result<(), Refused> {
        let mut machine = self.step()?;
        let from = Place::own(from);
        let parent = machine.cap(from).clone();
        let Object::Untyped { size_bits } = parent.object else {
            panic!("retype of {parent:?}")
        };
        assert!((1..=MAX_RETYPE).contains(&count), "fan-out {count}");
        let one_by_one = object == Object::Frame(FrameSize::Block) && !parent.device;
        assert!(
            !one_by_one || count == 1,
            "2 MiB frames are made one by one"
        );
        assert!(
            !parent.device || !matches!(object, Object::PageTable | Object::Vcpu),
            "a page table or vCPU from device memory"
        );
        let mut used = parent.used;
        if parent.children.is_empty() {
            if !parent.device {
                machine.wipe(parent.paddr, used);
            }
            used = 0;
        }
        let size = bytes(object);
        let start = used.next_multiple_of(size);
        let end = start + u64::from(count) * size;
        if end > 1 << size_bits {
            return Err(NOT_ENOUGH_MEMORY);
        }
        machine.cap_mut(from).used = end;
        for i in 0..count {
            let place = match into {
                Destination::Own(slot) => Place::own(OwnSlot(slot.0 + i)),
                Destination::Grant(domain, slot) => Place::granted(domain, Slot(slot.0 + i)),
            };
            let cap = Cap {
                object,
                paddr: parent.paddr + start + u64::from(i) * size,
                device: parent.device,
                used: 0,
                parent: Some(from),
                children: BTreeSet::new(),
                mapping: None,
            };
            machine.insert(place, cap);
        }
        Ok(())
    }

    fn mint(&mut self, frame: OwnSlot, domain: DomainIndex, slot: Slot) -> Result<(), Refused> {
        let mut machine = self.step()?;
        let original = machine.cap(Place::own(frame)).clone();
        assert!(
            matches!(original.object, Object::Frame(_)),
            "mint of {original:?}"
        );
        let cap = Cap {
            parent: Some(Place::own(frame)),
            children: BTreeSet::new(),
            mapping: None,
            ..original
        };
        machine.insert(Place::granted(domain, slot), cap);
        Ok(())
    }

    fn delete(&mut self, _: OwnSlot, domain: DomainIndex, slot: Slot) -> Result<(), Refused> {
        // The kernel does not look whose copy it is.
        self.step()?.delete(Place::granted(domain, slot));
        Ok(())
    }

    fn revoke(&mut self, slot: OwnSlot) -> Result<(), Refused> {
        self.step()?.revoke(Place::own(slot));
        Ok(())
    }

    fn scrub(&mut self, frame: OwnSlot, size: FrameSize) -> Result<(), Refused> {
        let mut machine = self.step()?;
        let cap = machine.cap(Place::own(frame)).clone();
        assert_eq!(cap.object, Object::Frame(size));
        machine.zero(cap.paddr, size.bytes());
        machine.scrubbed += size.bytes();
        Ok(())
    }

    fn log(&mut self, line: fmt::Arguments<'_>) {
        self.change().log.push(line.to_string());
    }
}
