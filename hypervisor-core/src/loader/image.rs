//! The header of an arm64 Image (Linux, Documentation/arch/arm64/booting.rst).

use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, KnownLayout};

use super::LoadError;

/// `ARM\x64`.
const MAGIC: u32 = 0x644d_5241;
/// Flag bit 0: the kernel is big-endian.
const BIG_ENDIAN: u64 = 1;
/// `text_offset` of kernels that have no `image_size` (before 3.17), whatever their header says.
const OLD_TEXT_OFFSET: u64 = 0x8_0000;

#[derive(FromBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Header {
    code: [U32; 2],
    text_offset: U64,
    image_size: U64,
    flags: U64,
    reserved: [U64; 3],
    magic: U32,
    pe_offset: U32,
}

const _: () = assert!(size_of::<Header>() == 64);

/// What a kernel file asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Image {
    /// Bytes from a 2 MiB boundary to the kernel.
    pub text_offset: u64,
    /// Bytes of memory from there, bss included; at least the file's.
    pub size: u64,
}

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

impl Image {
    /// Reads the header of `file`, the whole kernel.
    ///
    /// # Errors
    /// [`LoadError::NotAnImage`] with what it seems to be; [`LoadError::BigEndian`].
    pub fn probe(file: &[u8]) -> Result<Self, LoadError<'static>> {
        let not_an_image = LoadError::NotAnImage {
            format: Format::of(file),
            size: file.len() as u64,
        };
        let (header, _) = Header::ref_from_prefix(file).map_err(|_| not_an_image)?;
        if header.magic.get() != MAGIC {
            return Err(not_an_image);
        }
        let file_size = file.len() as u64;
        if header.image_size.get() == 0 {
            return Ok(Self {
                text_offset: OLD_TEXT_OFFSET,
                size: file_size,
            });
        }
        if header.flags.get() & BIG_ENDIAN != 0 {
            return Err(LoadError::BigEndian);
        }
        Ok(Self {
            text_offset: header.text_offset.get(),
            size: header.image_size.get().max(file_size),
        })
    }
}

impl Format {
    /// Guesses by the first bytes.
    fn of(file: &[u8]) -> Self {
        const MAGICS: [(&[u8], Format); 9] = [
            (&[0x1f, 0x8b], Format::Gzip),
            (&[0xfd, b'7', b'z', b'X', b'Z', 0], Format::Xz),
            (&[0x28, 0xb5, 0x2f, 0xfd], Format::Zstd),
            (&[0x04, 0x22, 0x4d, 0x18], Format::Lz4),
            (&[0x02, 0x21, 0x4c, 0x18], Format::Lz4),
            (&[0x7f, b'E', b'L', b'F'], Format::Elf),
            (&[0x27, 0x05, 0x19, 0x56], Format::UImage),
            (&[0xd0, 0x0d, 0xfe, 0xed], Format::DeviceTree),
            (b"MZ", Format::Efi),
        ];
        if file.starts_with(b"MZ") && file.get(4..8) == Some(b"zimg") {
            return Self::EfiZboot;
        }
        let found = MAGICS.iter().find(|(magic, _)| file.starts_with(magic));
        found.map_or(Self::Unknown, |&(_, format)| format)
    }
}
