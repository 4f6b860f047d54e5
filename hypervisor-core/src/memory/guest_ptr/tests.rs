//! Copies against a flat model of the guest's pages.

use hv_types::Gpa;
use memory_server_api::Extra;
use proptest::prelude::*;

use super::*;
use crate::fake::{FakeHost, FakePages, RAM};
use crate::host::SysReg;

const SIZE: u64 = 1 << 20;
const TABLE: u64 = RAM + 0x8_0000;
const FLAGS: u64 = 3 | 1 << 10;
const READ_ONLY: u64 = 1 << 7;

/// A guest whose pages 0..512 are what `pages` says: page n of the address space at RAM + the
/// number, with flags.
fn mapped(pages: &[(u64, u64, u64)]) -> FakeHost {
    let mut host = FakeHost::new(SIZE);
    // 4 KiB pages, 30 bits: tables at levels 2 and 3.
    host.set(SysReg::Sctlr, 5);
    host.set(SysReg::Tcr, 34 | 1 << 23 | 5 << 32);
    host.set(SysReg::Ttbr0, TABLE);
    host.poke64(TABLE, (TABLE + 0x1000) | 3);
    for &(page, to, flags) in pages {
        host.poke64(TABLE + 0x1000 + 8 * page, (RAM + to) | flags);
    }
    host
}

fn ram() -> FakePages {
    FakePages::new(SIZE)
}

#[test]
fn structures_cross_pages_that_are_not_neighbours() {
    let mut host = mapped(&[(1, 0x7000, FLAGS), (2, 0x3000, FLAGS)]);
    let value = [0x1111_2222_3333_4444u64, 0x5555_6666_7777_8888];
    let gva = Gva::new(0x1ffc);
    assert_eq!(copy_out(&mut host, &ram(), gva, &value), Ok(()));
    assert_eq!(
        host.window.load_u32(WindowAddr::new(RAM + 0x7ffc)),
        0x3333_4444
    );
    assert_eq!(
        host.window.load_u32(WindowAddr::new(RAM + 0x3000)),
        0x1111_2222
    );
    assert_eq!(copy_in(&mut host, &ram(), gva), Ok(value));
    let mut byte = [0];
    assert_eq!(
        read_bytes(&mut host, &ram(), Gva::new(0x2004), &mut byte),
        Ok(())
    );
    assert_eq!(byte, [0x88]);
}

#[test]
fn a_write_that_fails_late_changes_nothing() {
    let bad = [
        (3, 0x4000, 0),                 // unmapped
        (3, 0x4000, FLAGS | READ_ONLY), // read-only
        (3, SIZE, FLAGS),               // no memory there
    ];
    for last in bad {
        let mut host = mapped(&[(1, 0x7000, FLAGS), (2, 0x3000, FLAGS), last]);
        let bytes = [0xff; 0x1800];
        let result = write_bytes(&mut host, &ram(), Gva::new(0x1c00), &bytes);
        assert_eq!(result, Err(Errno::Efault), "{last:?}");
        for at in [0x7c00, 0x7ff8, 0x3000, 0x3ff8] {
            assert_eq!(host.window.load_u64(WindowAddr::new(RAM + at)), 0);
        }
        assert_eq!(
            write_bytes(&mut host, &ram(), Gva::new(0x1c00), &bytes[..0x1400]),
            Ok(())
        );
        assert_eq!(host.window.load_u8(WindowAddr::new(RAM + 0x3fff)), 0xff);
    }
}

#[test]
fn one_byte_on_a_bad_page_is_seen_before_anything_is_written() {
    let mut host = mapped(&[(1, 0x7000, FLAGS)]);
    let bytes = [0xff; 0x401];
    let result = write_bytes(&mut host, &ram(), Gva::new(0x1c00), &bytes);
    assert_eq!(result, Err(Errno::Efault));
    assert_eq!(host.window.load_u64(WindowAddr::new(RAM + 0x7c00)), 0);
    let result = write_bytes(&mut host, &ram(), Gva::new(0x1c00), &bytes[..0x400]);
    assert_eq!(result, Ok(()));
}

#[test]
fn only_ram_is_written_extra_pages_are_read() {
    let mut host = mapped(&[]);
    host.set(SysReg::Sctlr, 4);
    let mut pages = ram();
    pages.extra.push((Gpa::new(0x3900_0000), Extra::Console));
    let gva = Gva::new(0x3900_0010);
    host.window
        .store_u64(WindowAddr::extra(Extra::Console.index(), 0x10), 99);
    assert_eq!(copy_in(&mut host, &pages, gva), Ok(99u64));
    assert_eq!(copy_out(&mut host, &pages, gva, &1u64), Err(Errno::Efault));
    assert_eq!(
        copy_in::<_, _, u64>(&mut host, &pages, Gva::new(0x3900_1000)),
        Err(Errno::Efault)
    );
}

#[test]
fn ranges_that_wrap_and_empty_ones() {
    let mut host = FakeHost::new(SIZE);
    let end = Gva::new(u64::MAX - 3);
    assert_eq!(
        copy_in::<_, _, u64>(&mut host, &ram(), end),
        Err(Errno::Efault)
    );
    assert_eq!(copy_out(&mut host, &ram(), end, &0u64), Err(Errno::Efault));
    let nowhere = Gva::new(0x123);
    assert_eq!(read_bytes(&mut host, &ram(), nowhere, &mut []), Ok(()));
    assert_eq!(write_bytes(&mut host, &ram(), nowhere, &[]), Ok(()));
    assert_eq!(
        Copier::new().check_writable(&mut host, &ram(), nowhere, 0),
        Ok(())
    );
    assert_eq!(element(Gva::new(0x1000), 3, 24), Ok(Gva::new(0x1048)));
    assert_eq!(
        element(Gva::new(0x1000), u64::MAX / 8, 24),
        Err(Errno::Efault)
    );
    assert_eq!(element(Gva::new(u64::MAX), 1, 8), Err(Errno::Efault));
}

#[test]
fn one_hypercall_reads_the_registers_once_and_walks_each_page_once() {
    let mut host = mapped(&[(1, 0x7000, FLAGS), (2, 0x3000, FLAGS)]);
    let (mut copier, ram) = (Copier::new(), ram());
    for n in 0..300 {
        let value: u64 = copier
            .copy_in(&mut host, &ram, element(Gva::new(0x1000), n, 8).unwrap())
            .unwrap();
        copier
            .copy_out(&mut host, &ram, Gva::new(0x2000), &value)
            .unwrap();
    }
    assert_eq!(host.sysreg_reads, 3);
    // The table is not looked at again until told.
    host.poke64(TABLE + 0x1008, 0);
    assert_eq!(
        copier.copy_in::<_, _, u64>(&mut host, &ram, Gva::new(0x1000)),
        Ok(0)
    );
    copier.forget_pages();
    assert_eq!(
        copier.copy_in::<_, _, u64>(&mut host, &ram, Gva::new(0x1000)),
        Err(Errno::Efault)
    );
}

#[test]
fn a_page_that_may_be_read_is_not_thereby_written() {
    let mut host = mapped(&[(1, 0x7000, FLAGS | READ_ONLY)]);
    let mut copier = Copier::new();
    assert_eq!(
        copier.copy_in(&mut host, &ram(), Gva::new(0x1000)),
        Ok(0u64)
    );
    assert_eq!(
        copier.copy_out(&mut host, &ram(), Gva::new(0x1000), &1u64),
        Err(Errno::Efault)
    );
}

#[test]
fn a_guest_with_its_cache_off_gets_memory_cleaned() {
    let mut host = FakeHost::new(SIZE);
    let gva = Gva::new(RAM + 0x1ffe);
    copy_out(&mut host, &ram(), gva, &5u32).unwrap();
    assert_eq!(host.window.cleaned(), 0);
    host.set(SysReg::Sctlr, 0);
    copy_out(&mut host, &ram(), gva, &6u32).unwrap();
    assert_eq!(host.window.cleaned(), 4);
    assert_eq!(copy_in(&mut host, &ram(), gva), Ok(6u32));
    assert_eq!(host.window.cleaned(), 8);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn behaves_as_flat_memory_of_the_mapped_pages(
        map in prop::collection::vec(prop::option::of((0..24u64, any::<bool>())), 16),
        ops in prop::collection::vec((0..0x1_0000u64, 0..0x3000usize, any::<bool>()), 1..12),
    ) {
        // Several pages may share a frame. The model is the frames' bytes.
        let entries: Vec<_> = map.iter().enumerate().filter_map(|(page, to)| {
            let (frame, read_only) = (*to)?;
            Some((page as u64, frame << 12, FLAGS | if read_only { READ_ONLY } else { 0 }))
        }).collect();
        let mut host = mapped(&entries);
        let mut frames = vec![0u8; 24 << 12];
        let place = |gva: u64, write: bool| -> Option<usize> {
            let (frame, read_only) = (*map.get((gva >> 12) as usize)?)?;
            (!(write && read_only)).then(|| usize::try_from(frame << 12 | gva & 0xfff).unwrap())
        };
        let mut copier = Copier::new();
        for (n, (gva, len, write)) in ops.into_iter().enumerate() {
            let places: Option<Vec<usize>> = (0..len as u64).map(|i| place(gva + i, write)).collect();
            if write {
                let bytes: Vec<u8> = (0..len).map(|i| u8::try_from((i * 31 + n) % 251).unwrap()).collect();
                let result = copier.write_bytes(&mut host, &ram(), Gva::new(gva), &bytes);
                prop_assert_eq!(result.is_ok(), places.is_some());
                for (place, byte) in places.into_iter().flatten().zip(bytes) {
                    frames[place] = byte;
                }
            } else {
                let mut bytes = vec![0; len];
                let result = copier.read_bytes(&mut host, &ram(), Gva::new(gva), &mut bytes);
                prop_assert_eq!(result.is_ok(), places.is_some());
                if let Some(places) = places {
                    let model: Vec<u8> = places.into_iter().map(|place| frames[place]).collect();
                    prop_assert!(bytes == model);
                }
            }
        }
        let mut all = vec![0; frames.len()];
        host.window.read(WindowAddr::new(RAM), &mut all);
        prop_assert!(all == frames);
    }
}
