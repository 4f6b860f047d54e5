//! Formats of files by their first bytes.

/// What a file is to a guest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Is {
    /// A kernel that can be started.
    Kernel,
    /// An arm64 kernel for the other byte order.
    BigEndian,
    /// A kernel's symbols and sections, not its image.
    Elf,
    /// A kernel for another processor.
    Foreign,
    /// A cpio archive.
    Archive,
    /// Compressed; the program that unpacks it to standard output.
    Compressed(&'static str),
    /// A kernel that its EFI stub unpacks.
    Zboot,
    /// A file system.
    FileSystem,
    /// Something in a container of U-Boot's or Android's.
    Wrapped,
    /// A text.
    Text,
    /// A page or a pointer that a download left in place of the file.
    Download,
    /// None of these.
    Other,
}

/// A file's format.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Format {
    pub(super) is: Is,
    /// In words, as "is …".
    pub(super) what: &'static str,
}

/// Where a mark stands, the mark, and what has it.
type Mark = (usize, &'static [u8], Is, &'static str);

/// The first that fits counts.
const MARKS: &[Mark] = &[
    // Documentation/arch/x86/boot.rst: header.
    (0x202, b"HdrS", Is::Foreign, "an x86 kernel (bzImage)"),
    // Documentation/arch/arm/booting.rst: magic number.
    (
        0x24,
        &[0x18, 0x28, 0x6f, 0x01],
        Is::Foreign,
        "a kernel for 32-bit Arm (zImage)",
    ),
    // Documentation/arch/riscv/boot-image-header.rst: magic2.
    (56, b"RSC\x05", Is::Foreign, "a kernel for RISC-V"),
    (
        4,
        b"zimg",
        Is::Zboot,
        "a compressed EFI image (vmlinuz.efi)",
    ),
    (0, b"070701", Is::Archive, "a cpio archive"),
    (0, b"070702", Is::Archive, "a cpio archive"),
    (0, b"070707", Is::Archive, "an old cpio archive"),
    (
        0,
        &[0x1f, 0x8b],
        Is::Compressed("gzip -dc"),
        "compressed with gzip",
    ),
    (
        0,
        &[0xfd, b'7', b'z', b'X', b'Z', 0],
        Is::Compressed("xz -dc"),
        "compressed with xz",
    ),
    (
        0,
        &[0x28, 0xb5, 0x2f, 0xfd],
        Is::Compressed("zstd -dc"),
        "compressed with zstd",
    ),
    (
        0,
        b"BZh",
        Is::Compressed("bzip2 -dc"),
        "compressed with bzip2",
    ),
    (
        0,
        &[0x04, 0x22, 0x4d, 0x18],
        Is::Compressed("lz4 -dc"),
        "compressed with lz4",
    ),
    (
        0,
        &[0x02, 0x21, 0x4c, 0x18],
        Is::Compressed("lz4 -dc"),
        "compressed with lz4",
    ),
    (
        0,
        &[0x89, b'L', b'Z', b'O'],
        Is::Compressed("lzop -dc"),
        "compressed with lzo",
    ),
    (
        0,
        &[0x5d, 0, 0],
        Is::Compressed("xz -dc --format=lzma"),
        "compressed with lzma",
    ),
    (0, b"hsqs", Is::FileSystem, "a squashfs file system"),
    (0, b"-rom1fs-", Is::FileSystem, "a romfs file system"),
    (
        0,
        &[0x45, 0x3d, 0xcd, 0x28],
        Is::FileSystem,
        "a cramfs file system",
    ),
    (0x438, &[0x53, 0xef], Is::FileSystem, "an ext file system"),
    (
        0x400,
        &[0xe2, 0xe1, 0xf5, 0xe0],
        Is::FileSystem,
        "an erofs file system",
    ),
    (0x1_0040, b"_BHRfS_M", Is::FileSystem, "a btrfs file system"),
    (0, &[0x27, 0x05, 0x19, 0x56], Is::Wrapped, "a legacy uImage"),
    (
        0,
        &[0xd0, 0x0d, 0xfe, 0xed],
        Is::Wrapped,
        "a device tree or a FIT image",
    ),
    (0, b"ANDROID!", Is::Wrapped, "an Android boot image"),
    (
        0,
        b"version https://git-lfs",
        Is::Download,
        "a pointer of git-lfs in place of the file",
    ),
    (0, b"<!DOCTYPE", Is::Download, "a web page"),
    (0, b"<html", Is::Download, "a web page"),
    (
        0,
        b"!<arch>\ndebian-binary",
        Is::Wrapped,
        "a Debian package",
    ),
];

/// Machines of ELF (EM_*), with what they are.
const MACHINES: &[(u16, &str)] = &[
    (3, "an ELF file for x86 (vmlinux)"),
    (40, "an ELF file for 32-bit Arm (vmlinux)"),
    (62, "an ELF file for x86-64 (vmlinux)"),
    (243, "an ELF file for RISC-V (vmlinux)"),
];
const EM_AARCH64: u16 = 183;

impl Format {
    /// The format of a file that begins with `head`.
    pub(super) fn of(head: &[u8]) -> Self {
        let format = |is, what| Self { is, what };
        // Documentation/arch/arm64/booting.rst: magic, and bit 0 of flags.
        if has(head, 56, b"ARM\x64") {
            let big = head.get(24).is_some_and(|flags| flags & 1 != 0);
            return match big {
                true => format(Is::BigEndian, "a big-endian arm64 kernel"),
                false => format(Is::Kernel, "an arm64 kernel"),
            };
        }
        if has(head, 0, b"\x7fELF") {
            return elf(head);
        }
        let mark = MARKS.iter().find(|(at, mark, ..)| has(head, *at, mark));
        if let Some((_, _, is, what)) = mark {
            return format(*is, what);
        }
        if has(head, 0, b"MZ") {
            return format(
                Is::Foreign,
                "an EFI program for another processor, or no kernel",
            );
        }
        let is_text = |byte: &u8| (b' '..0x7f).contains(byte) || byte.is_ascii_whitespace();
        if head.iter().all(|byte| is_text(byte) || *byte >= 0x80) && head.iter().any(is_text) {
            return format(Is::Text, "a text");
        }
        format(Is::Other, "no format that is known here")
    }

    /// What to try where a kernel is wanted.
    pub(super) fn for_kernel(&self) -> String {
        let hint = match self.is {
            Is::Compressed(unpack) => return format!("unpack it: {unpack} FILE > Image"),
            Is::BigEndian => "use a kernel that is built without CONFIG_CPU_BIG_ENDIAN",
            Is::Elf => {
                "use arch/arm64/boot/Image; of another kernel's ELF file: objcopy -O binary FILE Image"
            }
            Is::Foreign => "use a kernel for arm64: arch/arm64/boot/Image",
            Is::Archive | Is::FileSystem => {
                "this is most likely the RAM disk; the kernel is arch/arm64/boot/Image"
            }
            Is::Zboot => "use the file arch/arm64/boot/Image",
            Is::Wrapped => {
                "use the file that is in it: arch/arm64/boot/Image, or what mkimage was given"
            }
            Is::Download => "fetch the file itself",
            Is::Kernel | Is::Text | Is::Other => {
                "use arch/arm64/boot/Image: it has the magic number \"ARM\\x64\" at byte 56"
            }
        };
        String::from(hint)
    }

    /// What to try where a RAM disk is wanted.
    pub(super) const fn for_ramdisk(&self) -> &'static str {
        match self.is {
            Is::Kernel | Is::BigEndian | Is::Elf | Is::Foreign | Is::Zboot => {
                "this is a kernel; name the RAM disk here, or remove the node"
            }
            Is::Wrapped => "use the file that is in it, which mkimage was given",
            Is::Download => "fetch the file itself",
            _ => {
                "make one: find . | cpio -o -H newc > initrd.cpio; Linux panics where it finds no root"
            }
        }
    }
}

fn has(head: &[u8], at: usize, mark: &[u8]) -> bool {
    head.get(at..).is_some_and(|rest| rest.starts_with(mark))
}

fn elf(head: &[u8]) -> Format {
    let machine = head.get(18..20).and_then(|bytes| bytes.try_into().ok());
    let machine: Option<u16> = machine.map(|bytes| match head.get(5) {
        Some(2) => u16::from_be_bytes(bytes),
        _ => u16::from_le_bytes(bytes),
    });
    if machine == Some(EM_AARCH64) {
        let what = "an ELF file (vmlinux), not an Image";
        return Format { is: Is::Elf, what };
    }
    let known = MACHINES.iter().find(|(number, _)| Some(*number) == machine);
    let what = known.map_or("an ELF file for another processor", |(_, what)| *what);
    Format {
        is: Is::Foreign,
        what,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(at: usize, mark: &[u8]) -> Vec<u8> {
        let mut head = vec![0xa5; at + mark.len() + 16];
        head[at..at + mark.len()].copy_from_slice(mark);
        head
    }

    #[test]
    fn each_mark_is_found() {
        for (at, mark, is, what) in MARKS {
            let format = Format::of(&file(*at, mark));
            assert_eq!((format.is, format.what), (*is, *what));
        }
    }

    #[test]
    fn kernels_say_what_they_are_for() {
        let mut image = file(56, b"ARM\x64");
        image[24] = 0xa;
        assert_eq!(Format::of(&image).is, Is::Kernel);
        image[24] = 0xb;
        assert_eq!(Format::of(&image).is, Is::BigEndian);
        let elf = |data: u8, machine: [u8; 2]| {
            let mut head = file(0, b"\x7fELF\x02");
            head[5] = data;
            head[18..20].copy_from_slice(&machine);
            Format::of(&head)
        };
        assert_eq!(elf(1, [183, 0]).is, Is::Elf);
        assert_eq!(elf(2, [0, 183]).is, Is::Elf);
        assert_eq!(elf(1, [62, 0]).what, "an ELF file for x86-64 (vmlinux)");
        assert_eq!(elf(1, [1, 1]).is, Is::Foreign);
        assert_eq!(Format::of(b"\x7fELF").is, Is::Foreign);
    }

    #[test]
    fn other_files_are_texts_or_nothing() {
        assert_eq!(Format::of(b"notes\n").is, Is::Text);
        assert_eq!(Format::of("caf\u{e9}\n".as_bytes()).is, Is::Text);
        for bytes in [&[0, 1, 2][..], &[0; 64], &[0xff; 3]] {
            assert_eq!(Format::of(bytes).is, Is::Other, "{bytes:?}");
        }
    }
}
