//! The image as an ELF file, for boot loaders that put each segment where it belongs.
//!
//! Microkit's image is one piece of bytes, which its loader copies to where they are needed:
//! guests' kernels and RAM disks, the kernel, the initial task. A boot loader that reads ELF files,
//! such as QEMU, has put them there already. So the loader in this file has nothing to copy, and a
//! guest starts that much earlier.

use object::Endianness;
use object::elf::{EM_AARCH64, ET_EXEC, PF_R, PF_W, PF_X, PT_LOAD};
use object::write::elf::{FileHeader, ProgramHeader, Writer};

use crate::Error;
use crate::loader::Region;

/// Alignment of segments in the file; nothing needs more.
const ALIGN: u64 = 8;

/// An ELF file with `segments` at their physical addresses, which is entered at `entry`.
///
/// # Errors
/// [`Error`]: the file cannot be written, which is a defect.
pub(crate) fn executable(entry: u64, segments: &[Region]) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    let mut writer = Writer::new(Endianness::Little, true, &mut bytes);
    writer.reserve_file_header();
    writer.reserve_program_headers(u32::try_from(segments.len()).unwrap_or(u32::MAX));
    let places: Vec<usize> = segments
        .iter()
        .map(|segment| writer.reserve(segment.bytes.len(), 8))
        .collect();
    let header = FileHeader {
        os_abi: 0,
        abi_version: 0,
        e_type: ET_EXEC,
        e_machine: EM_AARCH64,
        e_entry: entry,
        e_flags: 0,
    };
    writer
        .write_file_header(&header)
        .map_err(|error| Error::new(format!("the ELF file cannot be written: {error}")))?;
    writer.write_align_program_headers();
    for (segment, place) in segments.iter().zip(&places) {
        let size = segment.bytes.len() as u64;
        writer.write_program_header(&ProgramHeader {
            p_type: PT_LOAD,
            p_flags: PF_R | PF_W | PF_X,
            p_offset: *place as u64,
            p_vaddr: segment.paddr.0,
            p_paddr: segment.paddr.0,
            p_filesz: size,
            p_memsz: size,
            p_align: ALIGN,
        });
    }
    for segment in segments {
        writer.write_align(8);
        writer.write(&segment.bytes);
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use object::{Object as _, ObjectSegment as _};
    use untyped_plan::Paddr;

    use super::*;

    #[test]
    fn each_segment_lies_where_it_is_to_be() {
        let segments = [
            (0x7000_0000, vec![1; 0x1013]),
            (0x5e00_0000, vec![2; 7]),
            (0x6000_0000, vec![3; 4096]),
        ]
        .map(|(paddr, bytes)| Region {
            paddr: Paddr(paddr),
            bytes,
        });
        let file = executable(0x7000_0000, &segments).unwrap();
        let read = object::File::parse(&*file).unwrap();
        assert_eq!(read.entry(), 0x7000_0000);
        assert_eq!(read.architecture(), object::Architecture::Aarch64);
        let found: Vec<_> = read
            .segments()
            .map(|segment| (segment.address(), segment.data().unwrap().to_vec()))
            .collect();
        let wanted = segments.map(|segment| (segment.paddr.0, segment.bytes));
        assert_eq!(found, wanted);
    }
}
