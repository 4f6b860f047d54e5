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
    /// [`Window::zero`], then [`Window::clean`], of the same range.
    fn zero_and_clean(&self, at: WindowAddr, len: u64) {
        self.zero(at, len);
        self.clean(at, len);
    }

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

    /// The window over an address range of this program, where it is one.
    fn as_raw(&self) -> Option<&crate::RawWindow> {
        None
    }

    /// Copies `len` bytes to address `to` of another window.
    fn copy_to<W: Window>(&self, from: WindowAddr, other: &W, to: WindowAddr, len: u64)
    where
        Self: Sized,
    {
        if let (Some(this), Some(other)) = (self.as_raw(), other.as_raw()) {
            return this.copy_to_raw(from, other, to, len);
        }
        let mut chunk = [0; 256];
        let mut done = 0;
        while done < len {
            let count = (len - done).min(256);
            let (Some(from), Some(to)) = (from.checked_add(done), to.checked_add(done)) else {
                return;
            };
            let chunk = usize::try_from(count).ok().and_then(|n| chunk.get_mut(..n));
            let chunk = chunk.unwrap_or_default();
            self.read(from, chunk);
            other.write(to, chunk);
            done += count;
        }
    }

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

/// Makes a reference to a window one, whose methods are the window's.
macro_rules! by_reference {
    ($(fn $name:ident($($arg:ident: $type:ty),*) $(-> $result:ty)?;)*) => {
        impl<W: Window> Window for &W {
            $(#[inline]
            fn $name(&self, $($arg: $type),*) $(-> $result)? {
                (**self).$name($($arg),*)
            })*
            fn as_raw(&self) -> Option<&crate::RawWindow> {
                (**self).as_raw()
            }
        }
    };
}

by_reference! {
    fn read(at: WindowAddr, into: &mut [u8]);
    fn write(at: WindowAddr, from: &[u8]);
    fn zero(at: WindowAddr, len: u64);
    fn copy(from: WindowAddr, to: WindowAddr, len: u64);
    fn clean(at: WindowAddr, len: u64);
    fn load_u32(at: WindowAddr) -> u32;
    fn store_u32(at: WindowAddr, value: u32);
    fn load_u64(at: WindowAddr) -> u64;
    fn store_u64(at: WindowAddr, value: u64);
    fn fetch_or_u64(at: WindowAddr, bits: u64) -> u64;
    fn fetch_and_u64(at: WindowAddr, bits: u64) -> u64;
    fn swap_u8(at: WindowAddr, value: u8) -> u8;
    fn load_u8(at: WindowAddr) -> u8;
    fn compare_exchange_u32(at: WindowAddr, expected: u32, new: u32) -> Result<u32, u32>;
}
