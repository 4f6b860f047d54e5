//! The payload: files behind the program in an image file.
//!
//! The program ends at a multiple of 4 KiB (its bss included), where the payload begins: a
//! [`Header`], an [`Entry`] for each file, and the files, each at a multiple of 4 KiB. The first
//! file is the device tree of the domains file ([`DOMAINS`]); the others are what its modules name.

use core::fmt;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// First bytes of a payload.
pub const MAGIC: [u8; 8] = *b"ZAZENEL2";
/// Version of the format.
pub const VERSION: u32 = 2;
/// Alignment of the payload and of each file in it.
pub const ALIGN: usize = 4096;
/// Longest name of a file in bytes: all that `zazen,file` may have ([`dt_server::FILE_MAX`]), in
/// whole words.
pub const NAME_MAX: usize = dt_server::FILE_MAX.next_multiple_of(8);
/// Name of the device tree. No module's file has it: `zazen,file` has no control characters.
pub const DOMAINS: &str = "\u{1}domains.dtb";

/// Start of the payload; numbers are little-endian.
#[derive(Clone, Copy, PartialEq, Eq, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Header {
    /// [`MAGIC`].
    pub magic: [u8; 8],
    /// [`VERSION`].
    pub version: u32,
    /// Number of entries.
    pub count: u32,
    /// Bytes from the header to the end of the last file, a multiple of [`ALIGN`].
    pub size: u64,
    /// Bytes of RAM behind the payload that are the host's own, its stack at their end.
    pub own: u64,
}

/// A file of the payload.
#[derive(Clone, Copy, PartialEq, Eq, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Entry {
    /// Name, padded with zeros.
    pub name: [u8; NAME_MAX],
    /// Its first byte, from the header.
    pub offset: u64,
    /// Its bytes.
    pub size: u64,
}

impl Entry {
    /// A file, or `None` where the name is too long or empty.
    pub fn new(name: &str, offset: u64, size: u64) -> Option<Self> {
        let mut padded = [0; NAME_MAX];
        padded
            .get_mut(..name.len())
            .filter(|to| !to.is_empty())?
            .copy_from_slice(name.as_bytes());
        Some(Self {
            name: padded,
            offset,
            size,
        })
    }
}

/// What is wrong with a payload.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PayloadError {
    /// There is none.
    Missing,
    /// It is of another version.
    Version(u32),
    /// It does not have the bytes that it says it has.
    CutOff,
}

impl fmt::Display for PayloadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("no payload behind the program: boot the file that zazen-el2-pack wrote, not the bare program"),
            Self::Version(version) => {
                write!(f, "the payload is of version {version}, not {VERSION}: pack the image again")
            }
            Self::CutOff => f.write_str("the payload is cut off: was the whole image loaded?"),
        }
    }
}

/// A checked payload.
#[derive(Clone, Copy, Debug)]
pub struct Payload<'a> {
    header: Header,
    entries: &'a [Entry],
    bytes: &'a [u8],
}

impl<'a> Payload<'a> {
    /// The header at the start of `bytes`.
    ///
    /// # Errors
    /// [`PayloadError::Missing`], [`PayloadError::Version`].
    pub fn header(bytes: &[u8]) -> Result<Header, PayloadError> {
        let (header, _) = Header::read_from_prefix(bytes).map_err(|_| PayloadError::Missing)?;
        match header {
            Header {
                magic: MAGIC,
                version: VERSION,
                ..
            } => Ok(header),
            Header {
                magic: MAGIC,
                version,
                ..
            } => Err(PayloadError::Version(version)),
            _ => Err(PayloadError::Missing),
        }
    }

    /// Checks the payload in `bytes`, which may be longer and must be aligned to 8 bytes.
    ///
    /// # Errors
    /// [`PayloadError`].
    pub fn read(bytes: &'a [u8]) -> Result<Self, PayloadError> {
        let header = Self::header(bytes)?;
        let size = usize::try_from(header.size).map_err(|_| PayloadError::CutOff)?;
        let bytes = bytes.get(..size).ok_or(PayloadError::CutOff)?;
        let count = usize::try_from(header.count).map_err(|_| PayloadError::CutOff)?;
        let table = bytes
            .get(size_of::<Header>()..)
            .ok_or(PayloadError::CutOff)?;
        let (entries, _) = <[Entry]>::ref_from_prefix_with_elems(table, count)
            .map_err(|_| PayloadError::CutOff)?;
        let payload = Self {
            header,
            entries,
            bytes,
        };
        match entries
            .iter()
            .all(|entry| payload.bytes_of(entry).is_some())
        {
            true => Ok(payload),
            false => Err(PayloadError::CutOff),
        }
    }

    fn bytes_of(&self, entry: &Entry) -> Option<&'a [u8]> {
        let start = usize::try_from(entry.offset).ok()?;
        self.bytes
            .get(start..start.checked_add(usize::try_from(entry.size).ok()?)?)
    }

    /// The file of that name.
    pub fn file(&self, name: &str) -> Option<&'a [u8]> {
        let wanted = Entry::new(name, 0, 0)?.name;
        self.bytes_of(self.entries.iter().find(|entry| entry.name == wanted)?)
    }

    /// Bytes of the payload.
    pub const fn size(&self) -> u64 {
        self.header.size
    }
    /// Bytes of RAM behind it that are the host's own.
    pub const fn own(&self) -> u64 {
        self.header.own
    }
}

/// Where the files of a payload lie, in order: offsets of the files and bytes of the whole. The
/// packer's half.
pub fn offsets<'s>(sizes: &'s [u64]) -> (impl Iterator<Item = u64> + 's, u64) {
    let up = |at: u64| at.next_multiple_of(ALIGN as u64);
    let first = up((size_of::<Header>() + size_of_val_entries(sizes.len())) as u64);
    let total = sizes.iter().fold(first, |at, size| up(at + size));
    let mut next = first;
    let offsets = sizes.iter().map(move |size| {
        let at = next;
        next = up(at + size);
        at
    });
    (offsets, total)
}

const fn size_of_val_entries(count: usize) -> usize {
    count * size_of::<Entry>()
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::vec::Vec;

    use super::*;

    /// Memory aligned as the image has it.
    #[repr(align(4096))]
    struct Aligned([u8; 5 * ALIGN]);

    fn build(files: &[(&str, &[u8])]) -> (Aligned, usize) {
        let sizes: Vec<u64> = files.iter().map(|(_, bytes)| bytes.len() as u64).collect();
        let (offsets, total) = offsets(&sizes);
        let count = u32::try_from(files.len()).unwrap();
        let header = Header {
            magic: MAGIC,
            version: VERSION,
            count,
            size: total,
            own: 77,
        };
        let mut memory = Aligned([0xee; 5 * ALIGN]);
        memory.0[..32].copy_from_slice(header.as_bytes());
        for (n, ((name, bytes), offset)) in files.iter().zip(offsets).enumerate() {
            let entry = Entry::new(name, offset, bytes.len() as u64).unwrap();
            let bytes_of_entry = entry.as_bytes();
            let at = 32 + bytes_of_entry.len() * n;
            memory.0[at..][..bytes_of_entry.len()].copy_from_slice(bytes_of_entry);
            memory.0[usize::try_from(offset).unwrap()..][..bytes.len()].copy_from_slice(bytes);
        }
        (memory, usize::try_from(total).unwrap())
    }

    #[test]
    fn files_come_back_by_name() {
        let big = [5; ALIGN + 1];
        let (memory, total) = build(&[(DOMAINS, b"tree"), ("Image", &big), ("empty", b"")]);
        let payload = Payload::read(&memory.0).unwrap();
        assert_eq!((payload.size(), payload.own()), (total as u64, 77));
        assert_eq!(total, 4 * ALIGN);
        assert_eq!(payload.file(DOMAINS), Some(&b"tree"[..]));
        assert_eq!(payload.file("Image"), Some(&big[..]));
        assert_eq!(payload.file("empty"), Some(&b""[..]));
        assert_eq!(payload.file("Imag"), None);
        assert_eq!(payload.file(""), None);
    }

    #[test]
    fn what_is_not_a_whole_payload_is_refused() {
        let (mut memory, total) = build(&[(DOMAINS, b"tree")]);
        assert_eq!(
            Payload::read(&memory.0[..total - 1]).unwrap_err(),
            PayloadError::CutOff
        );
        assert_eq!(
            Payload::read(&memory.0[..8]).unwrap_err(),
            PayloadError::Missing
        );
        memory.0[12] = 200;
        assert_eq!(
            Payload::read(&memory.0).unwrap_err(),
            PayloadError::CutOff,
            "200 entries"
        );
        memory.0[12] = 1;
        memory.0[32 + NAME_MAX] = 0xff;
        memory.0[32 + NAME_MAX + 7] = 0xff;
        assert_eq!(
            Payload::read(&memory.0).unwrap_err(),
            PayloadError::CutOff,
            "an offset beyond"
        );
        memory.0[8] = 1;
        assert_eq!(
            Payload::read(&memory.0).unwrap_err(),
            PayloadError::Version(1)
        );
        memory.0[0] = 0;
        assert_eq!(Payload::read(&memory.0).unwrap_err(), PayloadError::Missing);
        assert!(Entry::new(&"n".repeat(dt_server::FILE_MAX), 0, 0).is_some());
        assert!(Entry::new(&"n".repeat(NAME_MAX + 1), 0, 0).is_none());
    }
}
