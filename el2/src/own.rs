//! The host's own memory: handed out once, never taken back.
//!
//! # Soundness
//! The range given to [`Own::new`] is promised to be memory that nothing else uses. Pieces are
//! disjoint, aligned and initialised before a reference to them is made.
#![expect(
    unsafe_code,
    reason = "this module's purpose is to make Rust objects of raw memory"
)]

use zerocopy::FromZeros;

use crate::cpu;

/// Memory from which everything permanent is taken.
#[derive(Debug)]
pub(crate) struct Own {
    start: u64,
    next: u64,
    end: u64,
}

impl Own {
    /// The memory `start..end`, both multiples of 4 KiB.
    ///
    /// # Safety
    /// It is mapped one to one, writable, for as long as the program runs, and nothing else uses
    /// it.
    pub(crate) const unsafe fn new(start: u64, end: u64) -> Self {
        Self {
            start,
            next: start,
            end,
        }
    }

    /// Bytes handed out.
    pub(crate) const fn used(&self) -> u64 {
        self.next - self.start
    }
    /// Bytes in all.
    pub(crate) const fn all(&self) -> u64 {
        self.end - self.start
    }

    fn take(&mut self, bytes: u64, align: u64) -> u64 {
        let at = self.next.next_multiple_of(align);
        assert!(
            bytes <= self.end.saturating_sub(at),
            "the host's own memory ({} KiB) is used up; pack the image again with the packer of the same version",
            self.all() >> 10
        );
        self.next = at + bytes;
        at
    }

    /// `count` consecutive zeroed pages aligned to all of them (a power of two); their address.
    pub(crate) fn pages(&mut self, count: u64) -> u64 {
        let at = self.take(count << 12, count << 12);
        // SAFETY: the range is ours and no object lies in it yet.
        unsafe { cpu::zero_and_clean(at, count << 12) };
        at
    }

    /// `count` values, all bytes zero.
    pub(crate) fn zeroed<T: FromZeros>(&mut self, count: usize) -> &'static mut [T] {
        let bytes = size_of::<T>() * count;
        let at = self.take(bytes as u64, align_of::<T>() as u64) as *mut T;
        // SAFETY: ours alone, aligned and zeroed, which is a value of T.
        unsafe {
            at.cast::<u8>().write_bytes(0, bytes);
            core::slice::from_raw_parts_mut(at, count)
        }
    }

    /// `count` values, each made by `value`.
    pub(crate) fn slice<T>(&mut self, count: usize, value: impl Fn() -> T) -> &'static mut [T] {
        let at = self.take((size_of::<T>() * count) as u64, align_of::<T>() as u64) as *mut T;
        for n in 0..count {
            // SAFETY: ours alone and aligned.
            unsafe { at.add(n).write(value()) };
        }
        // SAFETY: as above, and initialised.
        unsafe { core::slice::from_raw_parts_mut(at, count) }
    }

    /// What `make` makes.
    pub(crate) fn value<T>(&mut self, make: impl FnOnce() -> T) -> &'static mut T {
        let at = self.take(size_of::<T>() as u64, align_of::<T>() as u64) as *mut T;
        // SAFETY: ours alone and aligned.
        unsafe { at.write(make()) };
        // SAFETY: as above, and initialised.
        unsafe { &mut *at }
    }

    /// `bytes` bytes for the allocator.
    pub(crate) fn raw(&mut self, bytes: usize) -> *mut u8 {
        self.take(bytes as u64, 4096) as *mut u8
    }
}
