//! The memory server's view: retype, mint, revoke, scrub.

use std::cell::{Ref, RefCell, RefMut};
use std::collections::BTreeSet;
use std::fmt;
use std::rc::Rc;

use hv_types::FrameSize;
use memory_server::DomainIndex;
use memory_server::kernel::{
    Change, Destination, Kernel, MAX_RETYPE, Object, Original, OwnSlot, Refused, Wiped,
};
use memory_server::layout::run;
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

impl Shared {
    /// Puts a copy of a frame's capability into a grant slot, changed by `change`.
    fn copy(
        &self,
        frame: Original,
        domain: DomainIndex,
        slot: Slot,
        change: impl FnOnce(&mut Cap),
    ) -> Result<(), Refused> {
        let mut machine = self.step()?;
        let frame = Place::of(frame);
        let original = machine.cap(frame).clone();
        assert!(
            matches!(original.object, Object::Frame(_)),
            "mint of {original:?}"
        );
        let mut cap = Cap {
            parent: Some(frame),
            children: BTreeSet::new(),
            mapping: None,
            ..original
        };
        change(&mut cap);
        machine.insert(Place::granted(domain, slot), cap);
        Ok(())
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
        let (Destination::Own(OwnSlot(first)) | Destination::Grant(_, Slot(first))) = into;
        assert_eq!(run(first, count), count, "{into:?} lies in two nodes");
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
                read_only: false,
                lent: false,
            };
            machine.insert(place, cap);
        }
        Ok(())
    }

    fn mint(&mut self, frame: Original, domain: DomainIndex, slot: Slot) -> Result<(), Refused> {
        self.copy(frame, domain, slot, |_| {})
    }

    fn word(
        &mut self,
        page: Original,
        _peek: u32,
        offset: u16,
        change: Change,
    ) -> Result<u64, Refused> {
        let mut machine = self.step()?;
        let paddr = machine.cap(Place::of(page)).paddr + u64::from(offset);
        let mut word = [0; 8];
        machine.load(paddr, &mut word);
        let was = u64::from_le_bytes(word);
        machine.store(paddr, &change.of(was).to_le_bytes());
        Ok(was)
    }

    fn forget(&mut self, _peek: u32) {}

    fn lend(
        &mut self,
        frame: Original,
        domain: DomainIndex,
        slot: Slot,
        writable: bool,
    ) -> Result<(), Refused> {
        self.copy(frame, domain, slot, |cap| {
            cap.lent = true;
            cap.read_only = !writable;
        })
    }

    fn delete(&mut self, frame: Original, domain: DomainIndex, slot: Slot) -> Result<(), Refused> {
        let mut machine = self.step()?;
        let place = Place::granted(domain, slot);
        // The kernel does not look whose copy it is; the table of the EL2 host does.
        if let Some(cap) = machine.caps.get(&place) {
            assert_eq!(cap.parent, Some(Place::of(frame)), "{place:?}");
        }
        machine.delete(place);
        Ok(())
    }

    fn revoke(&mut self, slot: OwnSlot) -> Result<(), Refused> {
        self.step()?.revoke(Place::own(slot));
        Ok(())
    }

    fn scrub(&mut self, frame: Original, size: FrameSize) -> Result<(), Refused> {
        let mut machine = self.step()?;
        let cap = machine.cap(Place::of(frame)).clone();
        assert_eq!(cap.object, Object::Frame(size));
        machine.zero(cap.paddr, size.bytes());
        machine.scrubbed += size.bytes();
        Ok(())
    }

    fn hand_to_wiper(&mut self, from: OwnSlot) -> Result<Wiped, Refused> {
        let mut machine = self.step()?;
        let place = Place::own(from);
        let untyped = machine.cap(place);
        assert!(
            matches!(untyped.object, Object::Untyped { .. }) && untyped.children.is_empty(),
            "the wiper gets {untyped:?}"
        );
        let before = machine.with_wiper.replace(place);
        assert_eq!(before, None, "the wiper gets one untyped at a time");
        Ok(Wiped::Later)
    }

    fn take_from_wiper(&mut self, to: OwnSlot) -> Result<(), Refused> {
        let mut machine = self.step()?;
        assert_eq!(machine.with_wiper.take(), Some(Place::own(to)));
        Ok(())
    }

    fn log(&mut self, line: fmt::Arguments<'_>) {
        self.change().log.push(line.to_string());
    }
}
