//! Headers, places and messages.

use guest_mem::Window as _;
use proptest::prelude::*;

use super::*;
use crate::fake::{FakeHost, FakePages, RAM};

const MIB: u64 = 1 << 20;

/// An Image of `len` bytes.
fn file(text_offset: u64, image_size: u64, flags: u64, len: usize) -> Vec<u8> {
    let mut bytes: Vec<u8> = (0..len).map(|n| u8::try_from(n % 251).unwrap()).collect();
    bytes[8..16].copy_from_slice(&text_offset.to_le_bytes());
    bytes[16..24].copy_from_slice(&image_size.to_le_bytes());
    bytes[24..32].copy_from_slice(&flags.to_le_bytes());
    bytes[56..60].copy_from_slice(b"ARM\x64");
    bytes
}

/// All of the files, in pieces that end in the middle of pages.
fn load(
    host: &mut FakeHost,
    pages: &FakePages,
    plan: &Plan,
    kernel: &[u8],
    disk: &[u8],
) -> Result<(), LoadError<'static>> {
    let mut next = Some(0);
    while let Some(from) = next {
        next = load_some(host, pages, plan, (kernel, Some(disk)), from, 0x1_0123)?;
    }
    Ok(())
}

fn bank(size: u64) -> (Gpa, u64) {
    (Gpa::new(RAM), size)
}

fn image(text_offset: u64, size: u64) -> Image {
    Image { text_offset, size }
}

#[test]
fn headers() {
    let debian = file(0, 0x1f0_0000, 0xa, 0x1000);
    assert_eq!(probe(&debian), Ok(image(0, 0x1f0_0000)));
    // The file is larger than it says: nothing of it is lost.
    assert_eq!(
        probe(&file(0x8_0000, 0x800, 0, 0x1000)),
        Ok(image(0x8_0000, 0x1000))
    );
    // Without its size, as Mini-OS: it lies where it says.
    assert_eq!(
        probe(&file(0x1234, 0, 0, 0x1000)),
        Ok(image(0x1234, 0x1000))
    );
    for image_size in [0, 0x1000] {
        assert_eq!(
            probe(&file(0, image_size, 1, 0x1000)),
            Err(LoadError::BigEndian)
        );
    }
}

#[test]
fn other_files_are_named() {
    for (start, format, word) in [
        (&b"\x1f\x8b\x08"[..], Format::Gzip, "gunzip -c"),
        (b"\xfd7zXZ\0", Format::Xz, "xz -dc"),
        (b"\x28\xb5\x2f\xfd", Format::Zstd, "zstd -dc"),
        (b"\x02\x21\x4c\x18", Format::Lz4, "lz4 -dc"),
        (b"MZ\0\0zimg", Format::EfiZboot, "EFI_ZBOOT"),
        (b"MZ\0\0", Format::Efi, "boot/Image"),
        (b"\x7fELF", Format::Elf, "objcopy"),
        (b"\x27\x05\x19\x56", Format::UImage, "tail -c"),
        (b"\xd0\x0d\xfe\xed", Format::DeviceTree, "dumpimage"),
        (b"#!/bin/sh", Format::Unknown, "arm64 Image"),
    ] {
        for len in [start.len(), 4096] {
            let mut bytes = vec![0; len];
            bytes[..start.len()].copy_from_slice(start);
            let error = probe(&bytes).expect_err("not an Image");
            assert_eq!(
                error,
                LoadError::NotAnImage {
                    format,
                    size: len as u64
                }
            );
            assert!(error.to_string().contains(word), "{error}");
        }
    }
    let empty = probe(&[]).expect_err("empty").to_string();
    assert!(empty.contains("empty"), "{empty}");
}

/// GM-15: kernel, device tree and RAM disk lie where Xen puts them, apart from each other.
#[test]
fn places_are_those_of_xen() {
    // 128 MiB into the bank, RAM disk 2 MiB after the device tree, its end exact.
    let at = plan(
        bank(256 * MIB),
        &image(0, 32 * MIB),
        0x1_0000,
        Some(5_000_001),
        &[],
    )
    .unwrap();
    assert_eq!((at.kernel, at.entry), (Gpa::new(RAM), Gva::new(RAM)));
    assert_eq!((at.kernel_size, at.dtb_max), (32 * MIB, 0x1_0000));
    assert_eq!(at.dtb, Gpa::new(RAM + 128 * MIB));
    let initrd = RAM + 130 * MIB;
    assert_eq!(
        at.initrd,
        Some((Gpa::new(initrd), Gpa::new(initrd + 5_000_001)))
    );
    // A bank that ends before: the top.
    let at = plan(
        bank(128 * MIB),
        &image(0x8_0000, 32 * MIB),
        0x1_0000,
        Some(5 * MIB),
        &[],
    )
    .unwrap();
    assert_eq!(at.kernel, Gpa::new(RAM + 0x8_0000));
    assert_eq!(at.dtb, Gpa::new(RAM + 120 * MIB));
    // A kernel that reaches over 128 MiB: the top.
    let at = plan(bank(256 * MIB), &image(0, 129 * MIB), 0x1_0000, None, &[]).unwrap();
    assert_eq!((at.dtb, at.initrd), (Gpa::new(RAM + 254 * MIB), None));
    // A kernel at a large offset with no room above: below it.
    let at = plan(
        bank(64 * MIB),
        &image(31 * MIB, 32 * MIB),
        0x1_0000,
        Some(1),
        &[],
    )
    .unwrap();
    assert_eq!(at.kernel, Gpa::new(RAM + 31 * MIB));
    assert_eq!(at.dtb, Gpa::new(RAM + 26 * MIB));
    // A kernel that lies above 128 MiB: the top, though the preferred place is free.
    let at = plan(
        bank(256 * MIB),
        &image(200 * MIB, 8 * MIB),
        0x1_0000,
        None,
        &[],
    )
    .unwrap();
    assert_eq!(at.dtb, Gpa::new(RAM + 254 * MIB));
    // A bank that starts between 2 MiB boundaries; an empty RAM disk is none.
    let odd = (Gpa::new(RAM + 0x1000), 64 * MIB);
    let at = plan(odd, &image(0, MIB), 0x1_0000, Some(0), &[]).unwrap();
    assert_eq!((at.kernel, at.initrd), (Gpa::new(RAM + 2 * MIB), None));
}

/// GM-15: a reserved range is kept free, or named where the kernel must lie in it.
#[test]
fn shared_regions_are_avoided_or_named() {
    let shared = |start: u64, size: u64| Reserved {
        name: "shm-net",
        start: Gpa::new(RAM + start),
        size,
    };
    // In the preferred place: the top instead.
    let taken = [shared(128 * MIB, MIB)];
    let at = plan(bank(256 * MIB), &image(0, 32 * MIB), 0x1_0000, None, &taken).unwrap();
    assert_eq!(at.dtb, Gpa::new(RAM + 254 * MIB));
    // There and at the top: next to one of them.
    let taken = [shared(128 * MIB, MIB), shared(200 * MIB, 56 * MIB)];
    let at = plan(bank(256 * MIB), &image(0, 32 * MIB), 0x1_0000, None, &taken).unwrap();
    assert_eq!(at.dtb, Gpa::new(RAM + 130 * MIB));
    // Where the kernel must be.
    let taken = [shared(MIB, 0x1000)];
    let error = plan(bank(256 * MIB), &image(0, 32 * MIB), 0x1_0000, None, &taken).unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("0x40000000..0x42000000") && text.contains("\"shm-net\""),
        "{text}"
    );
    // One byte is too much, none is not.
    let kernel = image(0, 32 * MIB);
    let at_end = |start: u64| {
        plan(
            bank(256 * MIB),
            &kernel,
            0x1_0000,
            None,
            &[shared(start, 1)],
        )
        .is_ok()
    };
    assert!(!at_end(0));
    assert!(!at_end(32 * MIB - 1));
    assert!(at_end(32 * MIB));
    // Everywhere.
    let taken = [shared(32 * MIB, 400 * MIB)];
    let error = plan(bank(256 * MIB), &image(0, 32 * MIB), 0x1_0000, None, &taken).unwrap_err();
    assert!(error.to_string().contains("\"shm-net\""), "{error}");
}

/// GM-15: what does not fit stops before anything starts, with the sizes.
#[test]
fn what_does_not_fit_is_said_with_sizes() {
    let text = |bank_size, image: Image, dtb, initrd| {
        plan(bank(bank_size), &image, dtb, initrd, &[])
            .expect_err("does not fit")
            .to_string()
    };
    assert_eq!(
        text(16 * MIB, image(0, 32 * MIB), 0x1_0000, None),
        "the kernel needs 32 MiB at offset 0x0, RAM bank 0 at 0x40000000 has 16 MiB: give the domain at least 38 MiB of memory"
    );
    assert_eq!(
        text(64 * MIB, image(0, 32 * MIB), 0x1_0000, Some(40 * MIB + 1)),
        "no room for the device tree (0.1 MiB) and the initial RAM disk (40.1 MiB) beside the kernel (32 MiB) \
         in RAM bank 0 at 0x40000000 (64 MiB): give the domain at least 78.1 MiB of memory, or use a smaller RAM disk"
    );
    assert!(text(64 * MIB, image(0, MIB), 3 * MIB, None).contains("2 MiB that Linux accepts"));
    // What the message asks for is enough.
    assert!(plan(bank(38 * MIB), &image(0, 32 * MIB), 0x1_0000, None, &[]).is_ok());
    assert!(
        plan(
            bank(79 * MIB),
            &image(0, 32 * MIB),
            0x1_0000,
            Some(40 * MIB + 1),
            &[]
        )
        .is_ok()
    );
}

/// GM-16: copied page by page, each cleaned to the point of coherency.
#[test]
fn files_arrive_whole_and_cleaned() {
    let mut host = FakeHost::new(16 * MIB);
    let pages = FakePages::new(16 * MIB);
    let kernel = file(0x8_0000, 0x10_0000, 0, 0x1_2345);
    let disk: Vec<u8> = (0..0x3001u32).map(|n| n.to_le_bytes()[0] ^ 0x5a).collect();
    let at = plan(
        bank(16 * MIB),
        &probe(&kernel).unwrap(),
        0x1000,
        Some(disk.len() as u64),
        &[],
    )
    .unwrap();
    assert_eq!(load(&mut host, &pages, &at, &kernel, &disk), Ok(()));
    assert_eq!(host.window.cleaned(), (kernel.len() + disk.len()) as u64);
    let back = |start: Gpa, len: usize| {
        let mut bytes = vec![0; len];
        host.window
            .read(hv_types::WindowAddr::new(start.raw()), &mut bytes);
        bytes
    };
    assert!(back(at.kernel, kernel.len()) == kernel);
    let (start, end) = at.initrd.unwrap();
    assert_eq!(end.raw() - start.raw(), disk.len() as u64);
    assert!(back(start, disk.len()) == disk);
    assert_eq!(back(end, 16), [0; 16]);
    // Files that are not those of the plan.
    let longer = [&disk[..], &[0]].concat();
    let error = load(&mut host, &pages, &at, &kernel, &longer).unwrap_err();
    assert!(matches!(
        error,
        LoadError::FileChanged {
            name: "initial RAM disk",
            ..
        }
    ));
    // Memory that was not granted in full.
    let mut pages = pages;
    pages.ram = vec![(RAM, 0x8_1000)];
    let error = load(&mut host, &pages, &at, &kernel, &disk).unwrap_err();
    assert_eq!(
        error,
        LoadError::NotRam {
            name: "kernel",
            at: Gpa::new(RAM + 0x8_1000)
        }
    );
}

/// Sizes around the interesting ones, and anything.
fn size() -> impl Strategy<Value = u64> {
    prop_oneof![
        0..400 * MIB,
        (0..200u64).prop_map(|n| n * 2 * MIB),
        any::<u64>()
    ]
}

proptest! {
    #[test]
    fn parts_are_disjoint_and_in_ram(
        start in prop_oneof![Just(RAM), (0..1u64 << 20).prop_map(|n| n << 12), any::<u64>()],
        bank_size in size(), offset in prop_oneof![Just(0), Just(0x8_0000), size()], kernel in size(),
        dtb in 0..=DTB_MAX, initrd in prop::option::of(size()),
        taken in prop::collection::vec((0..500 * MIB, 0..64 * MIB), 0..4),
    ) {
        let reserved: Vec<_> = taken.iter().map(|&(at, size)| Reserved {
            name: "taken", start: Gpa::new(start.saturating_add(at)), size,
        }).collect();
        let result = plan((Gpa::new(start), bank_size), &image(offset, kernel), dtb, initrd, &reserved);
        let plan = match result {
            Ok(plan) => plan,
            Err(error) => {
                prop_assert!(!error.to_string().is_empty());
                return Ok(());
            }
        };
        let u128 = |gpa: Gpa| u128::from(gpa.raw());
        let mut parts = vec![
            (u128(plan.kernel), u128(plan.kernel) + u128::from(plan.kernel_size)),
            (u128(plan.dtb), u128(plan.dtb) + u128::from(plan.dtb_max)),
        ];
        parts.extend(plan.initrd.map(|(a, b)| (u128(a), u128(b))));
        for part in &parts {
            prop_assert!(u128::from(start) <= part.0 && part.1 <= u128::from(start) + u128::from(bank_size));
        }
        parts.extend(reserved.iter().map(|r| (u128(r.start), u128(r.start) + u128::from(r.size))));
        let loaded = if plan.initrd.is_some() { 3 } else { 2 };
        for (n, a) in parts.iter().enumerate().take(loaded) {
            for b in &parts[n + 1..] {
                prop_assert!(a.0 >= b.1 || b.0 >= a.1 || a.0 == a.1 || b.0 == b.1, "{a:?} {b:?}");
            }
        }
        prop_assert!(plan.kernel.raw() % BLOCK_SIZE == offset % BLOCK_SIZE);
        prop_assert!(plan.dtb.is_aligned(BLOCK_SIZE));
        prop_assert_eq!(plan.initrd.map(|(a, b)| b.raw() - a.raw()), initrd.filter(|&size| size != 0));
    }

    #[test]
    fn any_file_has_an_answer(mut bytes in prop::collection::vec(any::<u8>(), 0..200), magic in any::<bool>()) {
        if magic && bytes.len() >= 64 {
            bytes[56..60].copy_from_slice(b"ARM\x64");
        }
        if let Ok(image) = probe(&bytes) {
            prop_assert!(image.size >= bytes.len() as u64);
        }
    }
}
