//! A VMM's window on its guest.

use std::cell::{Cell, RefCell};

use guest_mem::Window;
use hv_types::{PAGE_SIZE, WindowAddr};
use memory_server::DomainIndex;

use super::{Machine, Shared};
use crate::meddler::Meddler;

/// What is mapped in the window of one domain's VMM.
///
/// # Panics
/// Touching what is not mapped, or a word that is not aligned, panics: on the machine it stops the
/// VMM.
#[derive(Debug)]
pub struct SimWindow {
    machine: Shared,
    domain: DomainIndex,
    cleaned: Cell<u64>,
    /// Another vCPU of the guest that writes while the VMM works.
    meddler: RefCell<Option<Meddler>>,
}

impl SimWindow {
    /// The window of `domain`.
    pub fn new(machine: Shared, domain: DomainIndex) -> Self {
        Self {
            machine,
            domain,
            cleaned: Cell::new(0),
            meddler: RefCell::new(None),
        }
    }

    /// From now on `meddler` has a turn before each access; the one before, if any, is returned.
    pub fn meddle(&self, meddler: Option<Meddler>) -> Option<Meddler> {
        self.meddler.replace(meddler)
    }

    /// The VMM is about to access memory; `reads` is what it is going to read.
    fn about_to(&self, machine: &mut Machine, reads: Option<(u64, u64)>) {
        if let Some(meddler) = &mut *self.meddler.borrow_mut() {
            meddler.turn(machine, self.domain);
            if let Some((at, len)) = reads {
                meddler.note(machine, self.domain, at, len);
            }
        }
    }

    /// Bytes that were cleaned to the point of coherency so far.
    pub fn cleaned(&self) -> u64 {
        self.cleaned.get()
    }

    fn paddr(&self, machine: &Machine, at: u64) -> u64 {
        machine
            .translate_window(self.domain, at)
            .unwrap_or_else(|| {
                panic!(
                    "the VMM of {:?} touched window address {at:#x}, where nothing is mapped",
                    self.domain
                )
            })
    }

    /// Calls `f` for each page of a range: physical address, offset in the range, bytes.
    fn each(&self, at: WindowAddr, len: u64, mut f: impl FnMut(&mut Machine, u64, usize, usize)) {
        let mut machine = self.machine.change();
        self.about_to(&mut machine, None);
        let (mut at, end) = (at.raw(), at.raw() + len);
        let mut done = 0;
        while at < end {
            let count = (PAGE_SIZE - at % PAGE_SIZE).min(end - at);
            let paddr = self.paddr(&machine, at);
            at += count;
            #[expect(clippy::cast_possible_truncation, reason = "at most a page")]
            let count = count as usize;
            f(&mut machine, paddr, done, count);
            done += count;
        }
    }

    fn word<const N: usize>(
        &self,
        at: WindowAddr,
        f: impl FnOnce([u8; N]) -> Option<[u8; N]>,
    ) -> [u8; N] {
        assert!(at.is_aligned(N as u64), "word at {at:?} is not aligned");
        let mut machine = self.machine.change();
        self.about_to(&mut machine, None);
        let paddr = self.paddr(&machine, at.raw());
        let mut old = [0; N];
        machine.load(paddr, &mut old);
        if let Some(new) = f(old) {
            machine.store(paddr, &new);
        }
        old
    }
}

impl Window for SimWindow {
    fn read(&self, at: WindowAddr, into: &mut [u8]) {
        let len = into.len() as u64;
        self.about_to(&mut self.machine.change(), Some((at.raw(), len)));
        self.each(at, into.len() as u64, |machine, paddr, from, count| {
            machine.load(paddr, &mut into[from..from + count]);
        });
    }
    fn write(&self, at: WindowAddr, from: &[u8]) {
        self.each(at, from.len() as u64, |machine, paddr, start, count| {
            machine.store(paddr, &from[start..start + count]);
        });
    }
    fn zero(&self, at: WindowAddr, len: u64) {
        self.each(at, len, |machine, paddr, _, count| {
            machine.store(paddr, &vec![0; count])
        });
    }
    fn copy(&self, from: WindowAddr, to: WindowAddr, len: u64) {
        let mut bytes = vec![0; usize::try_from(len).expect("a length of memory")];
        self.read(from, &mut bytes);
        self.write(to, &bytes);
    }
    fn clean(&self, at: WindowAddr, len: u64) {
        self.each(at, len, |_, _, _, _| {});
        self.cleaned.set(self.cleaned.get() + len);
    }
    fn load_u32(&self, at: WindowAddr) -> u32 {
        u32::from_le_bytes(self.word(at, |_| None))
    }
    fn store_u32(&self, at: WindowAddr, value: u32) {
        self.word(at, |_| Some(value.to_le_bytes()));
    }
    fn load_u64(&self, at: WindowAddr) -> u64 {
        u64::from_le_bytes(self.word(at, |_| None))
    }
    fn store_u64(&self, at: WindowAddr, value: u64) {
        self.word(at, |_| Some(value.to_le_bytes()));
    }
    fn fetch_or_u64(&self, at: WindowAddr, bits: u64) -> u64 {
        u64::from_le_bytes(self.word(at, |old| {
            Some((u64::from_le_bytes(old) | bits).to_le_bytes())
        }))
    }
    fn fetch_and_u64(&self, at: WindowAddr, bits: u64) -> u64 {
        u64::from_le_bytes(self.word(at, |old| {
            Some((u64::from_le_bytes(old) & bits).to_le_bytes())
        }))
    }
    fn swap_u8(&self, at: WindowAddr, value: u8) -> u8 {
        u8::from_le_bytes(self.word(at, |_| Some([value])))
    }
    fn load_u8(&self, at: WindowAddr) -> u8 {
        u8::from_le_bytes(self.word(at, |_| None))
    }
    fn compare_exchange_u32(&self, at: WindowAddr, expected: u32, new: u32) -> Result<u32, u32> {
        let old = u32::from_le_bytes(self.word(at, |old| {
            (u32::from_le_bytes(old) == expected).then_some(new.to_le_bytes())
        }));
        if old == expected { Ok(old) } else { Err(old) }
    }
}
