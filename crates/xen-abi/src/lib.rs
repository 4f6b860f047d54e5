//! The Xen public ABI for Arm guests: numbers, structures, error codes.
//!
//! Types only, no behaviour. Each module holds one family and names the Xen public header
//! (`xen/include/public/...`) that it follows. Every structure is a plain `repr(C)` value with its
//! padding written out, so that it can be copied between guest memory and a variable as bytes; its
//! size and the offset of each field are asserted at compile time. There are no unions: where Xen
//! has one, there is a structure per use, or a raw word with its meanings told.
//!
//! All integers are little-endian, as on every AArch64 guest that Xen supports. Frame numbers and
//! domain ids are raw here because a guest may write anything into them; who reads one names it
//! as a [`hv_types::Gfn`] or [`hv_types::DomId`].
#![no_std]
#![forbid(unsafe_code)]

/// Asserts the size of a structure and the offset of each of its fields.
macro_rules! layout {
    ($type:ty, $size:expr; $($field:ident @ $offset:expr),* $(,)?) => {
        const _: () = {
            assert!(core::mem::size_of::<$type>() == $size);
            $(assert!(core::mem::offset_of!($type, $field) == $offset);)*
        };
    };
}

pub mod assist;
pub mod blkif;
pub mod console;
mod errno;
pub mod event;
pub mod grant;
mod handle;
pub mod hvm;
pub mod memory;
pub mod multicall;
pub mod netif;
pub mod number;
pub mod ring;
pub mod sched;
pub mod shared;
pub mod store;
pub mod toolstack;
pub mod vcpu;
pub mod version;
pub mod xenbus;

pub use errno::Errno;
pub use handle::GuestHandle;
