//! Registers as a guest's driver reads and writes them.

use super::{BOOT, ICENABLER, ICPENDR, ISENABLER, ISPENDR, Interface, VGic, running, serve};

const SGIR: u32 = 0xf00;
const CPENDSGIR: u32 = 0xf10;
const SPENDSGIR: u32 = 0xf20;

#[test]
fn identification() {
    let gic = VGic::new(64, 1);
    assert_eq!(gic.mmio_read(BOOT, 0x000, 4), Some(0));
    assert_eq!(
        gic.mmio_read(BOOT, 0x004, 4),
        Some(2),
        "96 interrupts, one CPU, no security extensions"
    );
    assert_eq!(gic.mmio_read(BOOT, 0x008, 4), Some(0x0200_143b));
    assert_eq!(gic.mmio_read(BOOT, 0xfe8, 4), Some(0x2b), "GICv2");
    assert_eq!(gic.mmio_read(BOOT, 0xfd0, 4), Some(4));
    assert_eq!(gic.mmio_read(BOOT, 0xffc, 4), Some(0xb1));
    assert_eq!(
        VGic::new(33, 1).mmio_read(BOOT, 4, 4),
        Some(2),
        "rounded up"
    );
}

#[test]
fn control_has_one_bit() {
    let mut gic = VGic::new(32, 1);
    assert!(gic.mmio_write(BOOT, 0, 4, u32::MAX));
    assert_eq!(gic.mmio_read(BOOT, 0, 4), Some(1));
}

#[test]
fn widths() {
    let mut gic = VGic::new(32, 1);
    for offset in [
        0x000, 0x004, 0x008, 0x080, 0x100, 0x184, 0x200, 0x280, 0x300, 0x380, 0xc00, 0xf00, 0xfe8,
    ] {
        assert!(gic.mmio_read(BOOT, offset, 4).is_some(), "{offset:#x}");
        for size in [0, 1, 2, 3, 8, 255] {
            assert_eq!(
                gic.mmio_read(BOOT, offset, size),
                None,
                "{offset:#x} by {size}"
            );
            assert!(
                !gic.mmio_write(BOOT, offset, size, u32::MAX),
                "{offset:#x} by {size}"
            );
        }
    }
    for offset in [
        0x400, 0x41f, 0x7fe, 0x800, 0x823, 0xbff, 0xf10, 0xf2f, 0x00d, 0xd01,
    ] {
        assert!(gic.mmio_read(BOOT, offset, 1).is_some(), "{offset:#x}");
        assert_eq!(gic.mmio_read(BOOT, offset, 2), None, "{offset:#x}");
    }
    for offset in [0x101, 0x402, 0xc01, 0x1000, 0x1004, u32::MAX - 3, u32::MAX] {
        assert_eq!(gic.mmio_read(BOOT, offset, 4), None, "{offset:#x}");
        assert!(!gic.mmio_write(BOOT, offset, 4, 1), "{offset:#x}");
    }
    assert_eq!(gic.mmio_read(BOOT, 0x1000, 1), None);
}

#[test]
fn enable_bits() {
    let mut gic = VGic::new(32, 1);
    assert_eq!(
        gic.mmio_read(BOOT, ISENABLER, 4),
        Some(0xffff),
        "SGIs are always enabled"
    );
    assert!(gic.mmio_write(BOOT, ICENABLER, 4, u32::MAX));
    assert_eq!(gic.mmio_read(BOOT, ICENABLER, 4), Some(0xffff));
    assert!(gic.mmio_write(BOOT, ISENABLER + 4, 4, 0xf0));
    assert!(gic.mmio_write(BOOT, ICENABLER + 4, 4, 0x30));
    assert_eq!(gic.mmio_read(BOOT, ISENABLER + 4, 4), Some(0xc0));
    assert_eq!(gic.mmio_read(BOOT, ICENABLER + 4, 4), Some(0xc0));
}

#[test]
fn interrupts_beyond_the_last_read_zero_and_ignore_writes() {
    let mut gic = VGic::new(32, 1);
    for base in [0x100, 0x180, 0x200, 0x280, 0x300, 0x380] {
        assert!(gic.mmio_write(BOOT, base + 8, 4, u32::MAX));
        assert!(gic.mmio_write(BOOT, base + 0x7c, 4, u32::MAX));
        assert_eq!(gic.mmio_read(BOOT, base + 8, 4), Some(0), "{base:#x}");
        assert_eq!(gic.mmio_read(BOOT, base + 0x7c, 4), Some(0), "{base:#x}");
    }
    for offset in [0x440, 0x7fc, 0x840, 0xbfc, 0xc10, 0xcfc] {
        assert!(gic.mmio_write(BOOT, offset, 4, u32::MAX));
        assert_eq!(gic.mmio_read(BOOT, offset, 4), Some(0), "{offset:#x}");
    }
}

#[test]
fn priorities_by_byte_and_word() {
    let mut gic = VGic::new(960, 1);
    assert!(gic.mmio_write(BOOT, 0x400 + 28, 4, 0xff7f_1008));
    assert_eq!(
        gic.mmio_read(BOOT, 0x400 + 28, 4),
        Some(0xf878_1008),
        "five bits exist"
    );
    assert!(gic.mmio_write(BOOT, 0x400 + 29, 1, 0xdeaf_a0a7));
    assert_eq!(gic.mmio_read(BOOT, 0x400 + 29, 1), Some(0xa0));
    assert_eq!(gic.mmio_read(BOOT, 0x400 + 28, 4), Some(0xf878_a008));
    assert!(gic.mmio_write(BOOT, 0x400 + 988, 4, 0xa0b0_c0d0));
    assert_eq!(gic.mmio_read(BOOT, 0x400 + 991, 1), Some(0xa0));
    assert!(gic.mmio_write(BOOT, 0x400 + 992, 4, u32::MAX));
    assert_eq!(gic.mmio_read(BOOT, 0x400 + 992, 4), Some(0));
}

#[test]
fn everything_targets_the_only_cpu() {
    let mut gic = VGic::new(32, 1);
    for offset in [0x800, 0x81c, 0x820, 0x83c] {
        assert!(gic.mmio_write(BOOT, offset, 4, 0));
        assert!(gic.mmio_write(BOOT, offset, 4, 0xfefe_fefe));
        assert_eq!(
            gic.mmio_read(BOOT, offset, 4),
            Some(0x0101_0101),
            "{offset:#x}"
        );
    }
    assert_eq!(gic.mmio_read(BOOT, 0x825, 1), Some(1));
    assert_eq!(gic.mmio_read(BOOT, 0x840, 4), Some(0));
}

#[test]
fn configuration() {
    let mut gic = VGic::new(32, 1);
    assert_eq!(gic.mmio_read(BOOT, 0xc00, 4), Some(0xaaaa_aaaa));
    assert_eq!(gic.mmio_read(BOOT, 0xc04, 4), Some(0));
    for offset in [0xc00, 0xc04] {
        let before = gic.mmio_read(BOOT, offset, 4);
        assert!(gic.mmio_write(BOOT, offset, 4, !before.unwrap()));
        assert_eq!(
            gic.mmio_read(BOOT, offset, 4),
            before,
            "{offset:#x} is fixed"
        );
    }
    assert!(gic.mmio_write(BOOT, 0xc0c, 4, 0xf000_0003));
    assert_eq!(
        gic.mmio_read(BOOT, 0xc0c, 4),
        Some(0xa000_0002),
        "the low bit of a pair does not exist"
    );
    assert_eq!(gic.mmio_read(BOOT, 0xc08, 4), Some(0));
}

#[test]
fn groups_and_reserved_registers_read_zero() {
    let mut gic = VGic::new(32, 1);
    for offset in [
        0x00c, 0x040, 0x080, 0x084, 0xd00, 0xdfc, 0xe00, 0xf00, 0xf30, 0xfcc,
    ] {
        assert!(gic.mmio_write(BOOT, offset, 4, 0xffff_fff0), "{offset:#x}");
        assert_eq!(gic.mmio_read(BOOT, offset, 4), Some(0), "{offset:#x}");
    }
}

#[test]
fn software_generated_interrupts() {
    let (mut gic, mut interface) = running();
    let to_self = 2 << 24;
    assert!(gic.mmio_write(BOOT, SGIR, 4, to_self | 5));
    assert!(gic.mmio_write(BOOT, SGIR, 4, 1 << 16 | 9));
    // Others, nobody, a CPU that does not exist, the reserved filter.
    for value in [1 << 24 | 1, 2, 1 << 17 | 3, 3 << 24 | 1 << 16 | 4] {
        assert!(gic.mmio_write(BOOT, SGIR, 4, value));
    }
    assert_eq!(gic.mmio_read(BOOT, ISPENDR, 4), Some(1 << 5 | 1 << 9));
    assert_eq!(
        gic.mmio_read(BOOT, SPENDSGIR + 4, 4),
        Some(1 << 8),
        "SGI 5 from CPU 0"
    );
    assert_eq!(gic.mmio_read(BOOT, CPENDSGIR + 9, 1), Some(1));
    gic.flush(BOOT, &mut interface);
    assert_eq!(serve(&mut gic, &mut interface), Some(5));
    assert_eq!(serve(&mut gic, &mut interface), Some(9));
    gic.flush(BOOT, &mut interface);
    assert_eq!(interface.injected, [5, 9]);
    assert_eq!(gic.mmio_read(BOOT, SPENDSGIR + 4, 4), Some(0));
}

#[test]
fn pending_sgis_are_set_and_cleared_by_source() {
    let (mut gic, mut interface) = running();
    assert!(gic.mmio_write(BOOT, SPENDSGIR + 2, 1, 0xff));
    assert!(gic.mmio_write(BOOT, SPENDSGIR + 12, 4, 0x0100_0001));
    assert_eq!(
        gic.mmio_read(BOOT, SPENDSGIR, 4),
        Some(0x0001_0000),
        "one CPU exists"
    );
    assert!(gic.mmio_write(BOOT, CPENDSGIR + 12, 1, 1));
    assert!(gic.mmio_write(BOOT, CPENDSGIR + 2, 1, 0xfe));
    // The ordinary pending registers do not touch SGIs.
    assert!(gic.mmio_write(BOOT, ICPENDR, 4, u32::MAX));
    assert!(gic.mmio_write(BOOT, ISPENDR, 4, 1));
    gic.flush(BOOT, &mut interface);
    assert_eq!(interface.injected, [2, 15]);
}

#[test]
fn linux_brings_the_distributor_up() {
    // gic_dist_init, gic_cpu_init of an ordinary driver, then an interrupt of each kind.
    let mut gic = VGic::new(32, 1);
    let mut interface = Interface::default();
    let lines = 32 * (gic.mmio_read(BOOT, 4, 4).unwrap() + 1);
    assert_eq!(lines, 64);
    assert!(gic.mmio_write(BOOT, 0, 4, 0));
    let mask = gic.mmio_read(BOOT, 0x800, 4).unwrap();
    for at in (32..lines).step_by(4) {
        assert!(gic.mmio_write(BOOT, 0x800 + at, 4, mask));
        assert!(gic.mmio_write(BOOT, 0x400 + at, 4, 0xa0a0_a0a0));
    }
    for at in (32..lines).step_by(16) {
        assert!(gic.mmio_write(BOOT, 0xc00 + at / 4, 4, 0));
    }
    for at in (32..lines).step_by(32) {
        assert!(gic.mmio_write(BOOT, 0x380 + at / 8, 4, u32::MAX));
        assert!(gic.mmio_write(BOOT, 0x180 + at / 8, 4, u32::MAX));
    }
    assert!(gic.mmio_write(BOOT, 0, 4, 1));
    assert!(
        gic.mmio_write(BOOT, 0x380, 4, u32::MAX) && gic.mmio_write(BOOT, 0x180, 4, 0xffff_0000)
    );
    for at in (0..32).step_by(4) {
        assert!(gic.mmio_write(BOOT, 0x400 + at, 4, 0xa0a0_a0a0));
    }
    assert!(gic.mmio_write(BOOT, 0x100, 4, 0xffff));
    for intid in [27, 31, 32] {
        gic.set_level(BOOT, intid, true);
    }
    gic.flush(BOOT, &mut interface);
    assert_eq!(interface.injected, []);
    assert!(
        gic.mmio_write(BOOT, 0x100, 4, 1 << 27)
            && gic.mmio_write(BOOT, 0x100, 4, 1 << 31)
            && gic.mmio_write(BOOT, 0x104, 4, 1)
    );
    gic.flush(BOOT, &mut interface);
    assert_eq!(
        interface.lr[..3],
        [
            Some((27, 0xa0, false)),
            Some((31, 0xa0, false)),
            Some((32, 0xa0, false))
        ]
    );
}
