//! What a kernel file is.

use dt_server_api::kernel::{Image, NoKernel};

use super::error::LoadError;
use super::parts::Format;

/// Reads the header of `file`, the whole kernel.
///
/// # Errors
/// [`LoadError::NotAnImage`] with what it seems to be; [`LoadError::BigEndian`].
pub fn probe(file: &[u8]) -> Result<Image, LoadError<'static>> {
    let size = file.len() as u64;
    Image::read(file, size).map_err(|error| match error {
        NoKernel::NoHeader => LoadError::NotAnImage {
            format: Format::of(file),
            size,
        },
        NoKernel::BigEndian => LoadError::BigEndian,
    })
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
