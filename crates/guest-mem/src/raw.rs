//! The window over an address range of this program.
#![expect(
    unsafe_code,
    reason = "this module's purpose is access to memory that no Rust object owns"
)]

use core::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering::SeqCst};

use hv_types::WindowAddr;

use crate::{Window, bulk};

/// Bytes of the smallest data cache line (`CTR_EL0.DminLine`, Arm ARM D19.2.34).
///
/// seL4 lets user level read the register and maintain lines by address where it is configured with
/// `AARCH64_USER_CACHE_ENABLE`, which sets `SCTLR_EL1.{UCT,UCI}`; the Microkit SDK's kernels are.
#[cfg(target_arch = "aarch64")]
fn cache_line() -> u64 {
    let ctr: u64;
    // SAFETY: reads an identification register.
    unsafe {
        core::arch::asm!("mrs {}, ctr_el0", out(reg) ctr, options(nomem, nostack, preserves_flags));
    }
    4 << (ctr >> 16 & 0xf)
}

/// A [`Window`] over `len` bytes of this program's address space, as Microkit and EL2 have it.
///
/// Having one means: every address of the range is either mapped guest memory, or faults and
/// stops the VMM. It does *not* mean that an address is mapped: the core's p2m knows that.
#[derive(Debug)]
pub struct RawWindow {
    base: *mut u8,
    len: u64,
}

// SAFETY: the pointer is an address, not a borrow; the promise of `new` holds on whichever thread
// the window is used.
unsafe impl Send for RawWindow {}

impl RawWindow {
    /// The window whose byte 0 ([`WindowAddr`] 0) is at `base`, `len` bytes long.
    ///
    /// # Safety
    /// For as long as the window lives:
    /// - `base` is a multiple of 4096, and `base + len` does not wrap;
    /// - no Rust object lies in the range and nothing else in this program accesses it, so that it
    ///   changes by this window, the guest or a device only;
    /// - an access to an unmapped part of it stops this program (a page fault that is not resumed
    ///   with other memory of this program).
    pub const unsafe fn new(base: *mut u8, len: u64) -> Self {
        Self { base, len }
    }

    /// The pointer to `len` bytes at `at`; the first is aligned to `align`.
    ///
    /// Stops the VMM where they are not within the window: the core made an address it had not
    /// checked.
    fn pointer(&self, at: WindowAddr, len: u64, align: u64) -> *mut u8 {
        let start = at.raw();
        let fits = start <= self.len && len <= self.len - start && start & (align - 1) == 0;
        match usize::try_from(start) {
            Ok(offset) if fits => self.base.wrapping_add(offset),
            _ => violation(at, len),
        }
    }

    /// Copies `len` bytes to another window, in one go.
    pub(crate) fn copy_to_raw(&self, from: WindowAddr, other: &Self, to: WindowAddr, len: u64) {
        let (from, to) = (self.pointer(from, len, 1), other.pointer(to, len, 1));
        // SAFETY: both sides are checked, and each window's range is its own by the promise of
        // `new`.
        unsafe { bulk::copy(to, from, length(len)) }
    }

    fn u64_at(&self, at: WindowAddr) -> &AtomicU64 {
        // SAFETY: in range and aligned (checked); the memory is shared with the guest, which an
        // atomic allows; see `new` for the rest.
        unsafe { AtomicU64::from_ptr(self.pointer(at, 8, 8).cast()) }
    }
    fn u32_at(&self, at: WindowAddr) -> &AtomicU32 {
        // SAFETY: as `u64_at`.
        unsafe { AtomicU32::from_ptr(self.pointer(at, 4, 4).cast()) }
    }
    fn u8_at(&self, at: WindowAddr) -> &AtomicU8 {
        // SAFETY: as `u64_at`.
        unsafe { AtomicU8::from_ptr(self.pointer(at, 1, 1)) }
    }
}

#[cold]
#[inline(never)]
fn violation(at: WindowAddr, len: u64) -> ! {
    panic!(
        "bug in the VMM: {len} bytes at window address {at:#x} are not in the window or not aligned"
    );
}

/// A length of a range that [`RawWindow::pointer`] has checked.
fn length(len: u64) -> usize {
    // The whole range has addresses, so its length is an address.
    usize::try_from(len).unwrap_or(0)
}

impl Window for RawWindow {
    fn as_raw(&self) -> Option<&Self> {
        Some(self)
    }
    fn read(&self, at: WindowAddr, into: &mut [u8]) {
        let from = self.pointer(at, into.len() as u64, 1);
        // SAFETY: the guest side is checked and the promise of `new`; the other side is a slice of
        // ours, so they do not overlap.
        unsafe { bulk::copy(into.as_mut_ptr(), from, into.len()) }
    }
    fn write(&self, at: WindowAddr, from: &[u8]) {
        let to = self.pointer(at, from.len() as u64, 1);
        // SAFETY: as `read`.
        unsafe { bulk::copy(to, from.as_ptr(), from.len()) }
    }
    fn zero(&self, at: WindowAddr, len: u64) {
        let to = self.pointer(at, len, 1);
        // SAFETY: as `read`.
        unsafe { bulk::zero(to, length(len)) }
    }
    fn copy(&self, from: WindowAddr, to: WindowAddr, len: u64) {
        let (from, to) = (self.pointer(from, len, 1), self.pointer(to, len, 1));
        // SAFETY: both sides are checked and the promise of `new`. Should they overlap against the
        // trait's rule, each word is still a volatile access of its own and only the values suffer.
        unsafe { bulk::copy(to, from, length(len)) }
    }
    #[cfg(target_arch = "aarch64")]
    fn clean(&self, at: WindowAddr, len: u64) {
        if len == 0 {
            return;
        }
        let start = self.pointer(at, len, 1).addr() as u64;
        let step = cache_line();
        let mut line = start & !(step - 1);
        // `base + len` does not wrap (`new`), so neither do the loops.
        while start + len - line >= 32 * step {
            // SAFETY: as below; all of these lines hold bytes of the range.
            unsafe {
                core::arch::asm!(
                    ".rept 32",
                    "dc civac, {line}",
                    "add {line}, {line}, {step}",
                    ".endr",
                    line = inout(reg) line,
                    step = in(reg) step,
                    options(nostack, preserves_flags)
                );
            }
        }
        while line < start + len {
            // SAFETY: cleaning and invalidating a line changes no value that this program sees (Arm
            // ARM D7.5.9); the address lies in a page of the window, whose base is page-aligned.
            unsafe {
                core::arch::asm!("dc civac, {}", in(reg) line, options(nostack, preserves_flags))
            };
            line += step;
        }
        // SAFETY: a barrier.
        unsafe { core::arch::asm!("dsb sy", options(nostack, preserves_flags)) };
    }
    #[cfg(not(target_arch = "aarch64"))]
    fn clean(&self, at: WindowAddr, len: u64) {
        let _checked = self.pointer(at, len, 1);
    }

    /// All of guests' RAM passes here before they start, so a line is cleaned while it is at hand,
    /// with three instructions for both.
    #[cfg(all(target_arch = "aarch64", target_feature = "neon"))]
    fn zero_and_clean(&self, at: WindowAddr, len: u64) {
        let to = self.pointer(at, len, 1);
        let is_whole = |unit: usize| to.addr().is_multiple_of(unit) && length(len) % unit == 0;
        if !bulk::is_long(length(len)) || cache_line() != bulk::LINE || !is_whole(bulk::LINES) {
            self.zero(at, len);
            self.clean(at, len);
            return;
        }
        // SAFETY: as `read`; there are bytes, a multiple of what is needed, in lines of that size.
        unsafe { bulk::zero_and_clean_lines(to, length(len)) }
    }

    fn load_u32(&self, at: WindowAddr) -> u32 {
        self.u32_at(at).load(SeqCst)
    }
    fn store_u32(&self, at: WindowAddr, value: u32) {
        self.u32_at(at).store(value, SeqCst);
    }
    fn load_u64(&self, at: WindowAddr) -> u64 {
        self.u64_at(at).load(SeqCst)
    }
    fn store_u64(&self, at: WindowAddr, value: u64) {
        self.u64_at(at).store(value, SeqCst);
    }
    fn fetch_or_u64(&self, at: WindowAddr, bits: u64) -> u64 {
        self.u64_at(at).fetch_or(bits, SeqCst)
    }
    fn fetch_and_u64(&self, at: WindowAddr, bits: u64) -> u64 {
        self.u64_at(at).fetch_and(bits, SeqCst)
    }
    fn swap_u8(&self, at: WindowAddr, value: u8) -> u8 {
        self.u8_at(at).swap(value, SeqCst)
    }
    fn load_u8(&self, at: WindowAddr) -> u8 {
        self.u8_at(at).load(SeqCst)
    }
    fn compare_exchange_u32(&self, at: WindowAddr, expected: u32, new: u32) -> Result<u32, u32> {
        self.u32_at(at)
            .compare_exchange(expected, new, SeqCst, SeqCst)
    }
}
