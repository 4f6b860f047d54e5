//! Why a guest cannot be loaded, in its user's words.

use core::fmt;

use hv_types::{BLOCK_SIZE, Gpa};

use super::parts::{Format, Reserved};

/// Why a guest cannot be loaded; `Display` says what to try.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LoadError<'a> {
    /// The kernel file is no arm64 Image.
    NotAnImage {
        /// What it seems to be.
        format: Format,
        /// Its bytes.
        size: u64,
    },
    /// The kernel is big-endian; Xen's ABI is little-endian.
    BigEndian,
    /// The device tree may become larger than Linux accepts.
    DeviceTreeTooLarge {
        /// Bytes.
        size: u64,
    },
    /// The kernel does not fit the first bank.
    KernelTooLarge {
        /// Bytes it needs, bss included.
        size: u64,
        /// Its offset from a 2 MiB boundary.
        offset: u64,
        /// Start of the bank.
        bank: Gpa,
        /// Bytes of the bank.
        bank_size: u64,
    },
    /// The kernel, whose place is fixed, would lie over something.
    KernelConflict {
        /// First byte of the kernel.
        start: Gpa,
        /// Byte after its last.
        end: Gpa,
        /// What is there.
        with: Reserved<'a>,
    },
    /// Device tree and RAM disk find no place beside the kernel.
    NoRoom {
        /// Bytes of the kernel.
        kernel: u64,
        /// Bytes of the device tree at most.
        dtb: u64,
        /// Bytes of the RAM disk.
        initrd: u64,
        /// Start of the bank.
        bank: Gpa,
        /// Bytes of the bank.
        bank_size: u64,
        /// Name of a reserved range, if there are any.
        taken: Option<&'a str>,
    },
    /// A file is larger than it was when the plan was made.
    FileChanged {
        /// Which.
        name: &'static str,
        /// Bytes now.
        size: u64,
        /// Bytes planned.
        room: u64,
    },
    /// Part of the plan's place is not RAM.
    NotRam {
        /// What was to lie there.
        name: &'static str,
        /// The first address that is not RAM.
        at: Gpa,
    },
}

/// A number of bytes for people: MiB with a tenth, rounded up.
struct Mib(u64);

impl fmt::Display for Mib {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MIB: u64 = 1 << 20;
        let (whole, rest) = (self.0 / MIB, self.0 % MIB);
        match (rest * 10).div_ceil(MIB) {
            0 => write!(f, "{whole} MiB"),
            10 => write!(f, "{} MiB", whole + 1),
            tenths => write!(f, "{whole}.{tenths} MiB"),
        }
    }
}

impl Format {
    /// What the file is and what to do about it.
    const fn advice(self) -> (&'static str, &'static str) {
        match self {
            Self::Gzip => ("compressed with gzip", "unpack it: gunzip -c FILE > Image"),
            Self::Xz => ("compressed with xz", "unpack it: xz -dc FILE > Image"),
            Self::Zstd => (
                "compressed with Zstandard",
                "unpack it: zstd -dc FILE > Image",
            ),
            Self::Lz4 => ("compressed with LZ4", "unpack it: lz4 -dc FILE > Image"),
            Self::EfiZboot => (
                "a compressed EFI program (CONFIG_EFI_ZBOOT)",
                "use arch/arm64/boot/Image of the kernel's build, or build it without EFI_ZBOOT",
            ),
            Self::Efi => (
                "an EFI program",
                "use arch/arm64/boot/Image of the kernel's build",
            ),
            Self::Elf => ("an ELF file", "convert it: objcopy -O binary FILE Image"),
            Self::UImage => (
                "a U-Boot image",
                "remove its first 64 bytes: tail -c +65 FILE > Image",
            ),
            Self::DeviceTree => (
                "a device tree or a FIT",
                "take the kernel out of it: dumpimage -T flat_dt -p 0 -o Image FILE",
            ),
            Self::Unknown => (
                "no format that is known here",
                "give an arm64 Image (`file` calls it \"Linux kernel ARM64 boot executable Image\")",
            ),
        }
    }
}

impl fmt::Display for LoadError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::NotAnImage { size: 0, .. } => {
                write!(
                    f,
                    "the kernel file is empty: check the path of the kernel module"
                )
            }
            Self::NotAnImage { format, size } => {
                let (what, advice) = format.advice();
                write!(
                    f,
                    "the kernel file ({size} bytes) is {what}, not an arm64 Image: {advice}"
                )
            }
            Self::BigEndian => write!(
                f,
                "the kernel is big-endian, which the Xen interface is not: build it without CONFIG_CPU_BIG_ENDIAN"
            ),
            Self::DeviceTreeTooLarge { size } => write!(
                f,
                "the device tree may need {}, more than the 2 MiB that Linux accepts: remove nodes or shorten bootargs",
                Mib(size)
            ),
            Self::KernelTooLarge {
                size,
                offset,
                bank,
                bank_size,
            } => {
                let needed = BLOCK_SIZE.saturating_add(offset).saturating_add(size);
                write!(
                    f,
                    "the kernel needs {} at offset {offset:#x}, RAM bank 0 at {bank:#x} has {}: give the domain at least {} of memory",
                    Mib(size),
                    Mib(bank_size),
                    Mib(needed.saturating_add(2 * BLOCK_SIZE)),
                )
            }
            Self::KernelConflict { start, end, with } => write!(
                f,
                "the kernel must lie at {start:#x}..{end:#x}, where \"{}\" ({} at {:#x}) is: move that region",
                with.name,
                Mib(with.size),
                with.start,
            ),
            Self::NoRoom {
                kernel,
                dtb,
                initrd,
                bank,
                bank_size,
                taken,
            } => {
                write!(f, "no room for the device tree ({})", Mib(dtb))?;
                if initrd != 0 {
                    write!(f, " and the initial RAM disk ({})", Mib(initrd))?;
                }
                write!(
                    f,
                    " beside the kernel ({}) in RAM bank 0 at {bank:#x} ({}): ",
                    Mib(kernel),
                    Mib(bank_size)
                )?;
                if let Some(name) = taken {
                    write!(f, "move reserved regions such as \"{name}\" together, ")?;
                }
                let needed = [kernel, dtb, initrd, 3 * BLOCK_SIZE]
                    .iter()
                    .fold(0, |sum: u64, n| sum.saturating_add(*n));
                write!(f, "give the domain at least {} of memory", Mib(needed))?;
                if initrd != 0 {
                    write!(f, ", or use a smaller RAM disk")?;
                }
                Ok(())
            }
            Self::FileChanged { name, size, room } => write!(
                f,
                "the {name} has {size} bytes, but {room} were planned: build the image again"
            ),
            Self::NotRam { name, at } => write!(
                f,
                "the {name} was to lie at {at:#x}, where the domain has no RAM: its memory was not granted in full"
            ),
        }
    }
}
