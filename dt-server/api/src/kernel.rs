//! The header of an arm64 Image (Linux, Documentation/arch/arm64/booting.rst): what a kernel file
//! asks for, as the rules of the domains file check it and the loader does it.

/// Bytes of the header.
pub const HEADER: usize = 64;
/// `ARM\x64`.
const MAGIC: [u8; 4] = *b"ARM\x64";
/// Flag bit 0: the kernel is big-endian.
const BIG_ENDIAN: u64 = 1;

/// What a kernel file asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Image {
    /// Bytes from a 2 MiB boundary to the kernel.
    pub text_offset: u64,
    /// Bytes of memory from there, bss included; at least the file's.
    pub size: u64,
}

/// Why a file is no kernel that can be started.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NoKernel {
    /// It has no header.
    NoHeader,
    /// It is big-endian; Xen's ABI is little-endian.
    BigEndian,
}

impl Image {
    /// Reads the header of a file of `size` bytes that begins with `head`.
    ///
    /// A kernel without `image_size`, as Linux before 3.17 and Mini-OS are, has its `text_offset`
    /// nevertheless (Xen, xen/arch/arm/kernel.c): Linux's own advice, to take 0x80000, would put
    /// the latter where it was not linked.
    ///
    /// # Errors
    /// [`NoKernel`].
    pub fn read(head: &[u8], size: u64) -> Result<Self, NoKernel> {
        let head: &[u8; HEADER] = head.first_chunk().ok_or(NoKernel::NoHeader)?;
        if size < HEADER as u64 || head[56..60] != MAGIC {
            return Err(NoKernel::NoHeader);
        }
        let word = |at: usize| {
            head.get(at..at + 8)
                .and_then(|bytes| bytes.try_into().ok())
                .map_or(0, u64::from_le_bytes)
        };
        let (text_offset, image_size, flags) = (word(8), word(16), word(24));
        if flags & BIG_ENDIAN != 0 {
            return Err(NoKernel::BigEndian);
        }
        Ok(Self {
            text_offset,
            size: image_size.max(size),
        })
    }
}
