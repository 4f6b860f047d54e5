//! console_io (public/xen.h) and the console ring (public/io/console.h).

/// `CONSOLEIO_write`: count and buffer.
pub const WRITE: u64 = 0;
/// `CONSOLEIO_read`: count and buffer.
pub const READ: u64 = 1;

/// The page shared with the console backend (`xencons_interface`): sizes and offsets in bytes.
///
/// The indices run freely modulo 2^32; the byte is found by masking with the size less one.
pub mod ring {
    /// Input, from the backend to the guest.
    pub const IN: u16 = 0;
    /// Bytes of the input ring.
    pub const IN_SIZE: u32 = 1024;
    /// Output, from the guest to the backend.
    pub const OUT: u16 = 1024;
    /// Bytes of the output ring.
    pub const OUT_SIZE: u32 = 2048;
    /// `in_cons`, `u32`, written by the guest.
    pub const IN_CONS: u16 = 3072;
    /// `in_prod`, `u32`, written by the backend.
    pub const IN_PROD: u16 = 3076;
    /// `out_cons`, `u32`, written by the backend.
    pub const OUT_CONS: u16 = 3080;
    /// `out_prod`, `u32`, written by the guest.
    pub const OUT_PROD: u16 = 3084;
    /// `connection`, `u8`: 0 connected, 1 not.
    pub const CONNECTION: u16 = 3088;
}
