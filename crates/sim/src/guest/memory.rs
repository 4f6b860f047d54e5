//! Memory, as the guest reaches it without an exit.

use hv_types::Gpa;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::Guest;
use crate::caps::Side;
use crate::system::System;

impl Guest<'_> {
    /// Whether something is mapped at `gpa`.
    pub fn is_mapped(&self, gpa: u64) -> bool {
        let domain = System::domain(self.index);
        self.sys
            .memory
            .machine()
            .look()
            .translate(domain, Side::Guest, gpa)
            .is_some()
    }

    /// Reads; false, with `into` unchanged from there on, where nothing is mapped.
    pub fn try_read(&self, gpa: u64, into: &mut [u8]) -> bool {
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
