//! What the hypervisor core asks of guest memory.

use hv_types::WindowAddr;
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// Access to pages of the guest by [`WindowAddr`].
///
/// An implementation may rely on the address and the length being within pages that are
/// mapped: the caller (the core's p2m) has checked it, and a violation may stop the VMM.
/// Words are little-endian and must be naturally aligned; the atomics are sequentially
/// consistent, because the Xen ABI's event and grant protocols rely on full barriers.
pub trait Window {
    /// Copies bytes out of guest memory.
    fn read(&self, at: WindowAddr, into: &mut [u8]);
    /// Copies bytes into guest memory.
    fn write(&self, at: WindowAddr, from: &[u8]);
    /// Zeroes `len` bytes.
    fn zero(&self, at: WindowAddr, len: u64);
    /// Copies `len` bytes within the window; the ranges do not overlap.
    fn copy(&self, from: WindowAddr, to: WindowAddr, len: u64);
    /// Cleans and invalidates the data cache to the point of coherency, so that a guest with its
    /// caches off sees what was written and the VMM sees what such a guest wrote.
    fn clean(&self, at: WindowAddr, len: u64);

    /// Atomic load.
    fn load_u32(&self, at: WindowAddr) -> u32;
    /// Atomic store.
    fn store_u32(&self, at: WindowAddr, value: u32);
    /// Atomic load.
    fn load_u64(&self, at: WindowAddr) -> u64;
    /// Atomic store.
    fn store_u64(&self, at: WindowAddr, value: u64);
    /// Atomic or; the value before.
    fn fetch_or_u64(&self, at: WindowAddr, bits: u64) -> u64;
    /// Atomic and; the value before.
    fn fetch_and_u64(&self, at: WindowAddr, bits: u64) -> u64;
    /// Atomic exchange of one byte; the value before.
    fn swap_u8(&self, at: WindowAddr, value: u8) -> u8;
    /// Atomic load of one byte.
    fn load_u8(&self, at: WindowAddr) -> u8;
    /// Atomic compare-exchange: `Ok` with the old value where it was `expected`, else `Err` with
    /// what was there.
    fn compare_exchange_u32(&self, at: WindowAddr, expected: u32, new: u32) -> Result<u32, u32>;

    /// Copies a structure out.
    fn read_obj<T: FromBytes + IntoBytes + Immutable>(&self, at: WindowAddr) -> T
    where
        Self: Sized,
    {
        let mut value = T::new_zeroed();
        self.read(at, value.as_mut_bytes());
        value
    }
    /// Copies a structure in.
    fn write_obj<T: IntoBytes + Immutable>(&self, at: WindowAddr, value: &T)
    where
        Self: Sized,
    {
        self.write(at, value.as_bytes());
    }
}
