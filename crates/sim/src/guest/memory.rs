//! Memory, as the guest reaches it without an exit.

use hv_types::{Gpa, PAGE_SIZE};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::Guest;
use crate::caps::Side;
use crate::mem_host::MemHost;
use crate::system::System;

impl Guest<'_> {
    /// Whether an access at `gpa` reaches something.
    pub fn is_mapped(&self, gpa: u64) -> bool {
        self.touch(gpa);
        self.is_present(gpa)
    }

    /// Whether it does without an exit.
    pub fn is_present(&self, gpa: u64) -> bool {
        let domain = System::domain(self.index);
        self.sys
            .memory
            .machine()
            .look()
            .translate(domain, Side::Guest, gpa)
            .is_some()
    }

    /// Whether RAM is at `gpa` that the guest's address space does not have yet.
    pub fn is_absent(&self, gpa: u64) -> bool {
        let vm = self.sys.vmms[self.index].vm();
        vm.is_some_and(|vm| vm.domain.p2m.is_absent(Gpa::new(gpa).gfn()))
    }

    /// Has RAM at `gpa` come that the guest's address space does not have yet, as an access does.
    fn touch(&self, gpa: u64) {
        let gfn = Gpa::new(gpa).gfn();
        if let Some(vm) = self.sys.vmms[self.index].vm()
            && vm.domain.p2m.is_absent(gfn)
        {
            let mut host = MemHost::new(&self.sys.memory, System::domain(self.index));
            // What is refused stays absent.
            let _ = vm.domain.p2m.touch(&mut host, gfn);
        }
    }

    fn touch_all(&self, gpa: u64, count: usize) {
        let end = gpa.saturating_add(count as u64);
        let pages = gpa & !(PAGE_SIZE - 1)..end;
        let page = usize::try_from(PAGE_SIZE).unwrap_or(usize::MAX);
        pages.step_by(page).for_each(|page| self.touch(page));
    }

    /// Reads; false, with `into` unchanged from there on, where nothing is mapped.
    pub fn try_read(&self, gpa: u64, into: &mut [u8]) -> bool {
        self.touch_all(gpa, into.len());
        let mut machine = self.sys.memory.machine().change();
        let domain = System::domain(self.index);
        for (offset, byte) in (0..).zip(into) {
            match gpa
                .checked_add(offset)
                .and_then(|at| machine.guest_read(domain, Gpa::new(at)))
            {
                Some(got) => *byte = got,
                None => return false,
            }
        }
        true
    }

    /// Writes; false where nothing is mapped.
    pub fn try_write(&mut self, gpa: u64, bytes: &[u8]) -> bool {
        self.touch_all(gpa, bytes.len());
        let mut machine = self.sys.memory.machine().change();
        let domain = System::domain(self.index);
        (0..).zip(bytes).all(|(offset, byte)| {
            gpa.checked_add(offset)
                .and_then(|at| machine.guest_write(domain, Gpa::new(at), *byte))
                .is_some()
        })
    }

    /// Writes a value.
    ///
    /// # Panics
    /// Where nothing is mapped.
    pub fn put<T: IntoBytes + Immutable + ?Sized>(&mut self, gpa: u64, value: &T) {
        assert!(
            self.try_write(gpa, value.as_bytes()),
            "nothing is mapped at {gpa:#x}"
        );
    }

    /// Reads a value.
    ///
    /// # Panics
    /// Where nothing is mapped.
    pub fn get<T: FromBytes + IntoBytes>(&self, gpa: u64) -> T {
        let mut value = T::new_zeroed();
        assert!(
            self.try_read(gpa, value.as_mut_bytes()),
            "nothing is mapped at {gpa:#x}"
        );
        value
    }

    /// Reads bytes.
    ///
    /// # Panics
    /// Where nothing is mapped.
    pub fn bytes(&self, gpa: u64, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        assert!(
            self.try_read(gpa, &mut bytes),
            "nothing is mapped at {gpa:#x}"
        );
        bytes
    }

    /// Reads bytes at a guest virtual address, through the guest's own tables.
    ///
    /// # Panics
    /// Where nothing is mapped.
    pub fn bytes_at(&self, gva: u64, count: usize) -> Vec<u8> {
        let address = |gva| {
            self.stage1(gva, false)
                .unwrap_or_else(|| panic!("{gva:#x} is not mapped"))
        };
        (gva..)
            .take(count)
            .map(|gva| self.get(address(gva)))
            .collect()
    }

    /// Writes a value at a guest virtual address, through the guest's own tables.
    ///
    /// # Panics
    /// Where nothing is mapped.
    pub fn put_at<T: IntoBytes + Immutable + ?Sized>(&mut self, gva: u64, value: &T) {
        for (gva, byte) in (gva..).zip(value.as_bytes()) {
            let gpa = self
                .stage1(gva, true)
                .unwrap_or_else(|| panic!("{gva:#x} is not mapped"));
            self.put(gpa, byte);
        }
    }
}
