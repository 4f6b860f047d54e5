//! What the loader and its errors speak of.

use hv_types::Gpa;

/// What a file that is no Image seems to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// gzip.
    Gzip,
    /// xz.
    Xz,
    /// Zstandard.
    Zstd,
    /// LZ4.
    Lz4,
    /// A self-extracting EFI program with a compressed kernel in it.
    EfiZboot,
    /// Another EFI program.
    Efi,
    /// ELF, such as `vmlinux`.
    Elf,
    /// U-Boot's legacy image.
    UImage,
    /// A device tree or a FIT.
    DeviceTree,
    /// Not known.
    Unknown,
}

/// A range of guest memory that the loader must not use, such as a shared memory region.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reserved<'a> {
    /// What it is, for messages.
    pub name: &'a str,
    /// First byte.
    pub start: Gpa,
    /// Bytes.
    pub size: u64,
}
