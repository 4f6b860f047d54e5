//! What a ring consists of.

use crate::sync::{AtomicU8, AtomicU32, Ordering};

/// One place of a ring. The order between places and indices is the indices' business.
pub trait Cell {
    /// What it holds.
    type Value: Copy;
    /// The value.
    fn get(&self) -> Self::Value;
    /// Sets the value.
    fn set(&self, value: Self::Value);
}

macro_rules! cells {
    ($($cell:ty: $value:ty,)*) => {$(
        impl Cell for $cell {
            type Value = $value;
            #[inline]
            fn get(&self) -> $value {
                self.load(Ordering::Relaxed)
            }
            #[inline]
            fn set(&self, value: $value) {
                self.store(value, Ordering::Relaxed);
            }
        }
    )*};
}

cells! {
    AtomicU8: u8,
    AtomicU32: u32,
}
