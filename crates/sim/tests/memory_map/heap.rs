//! The static heap.

use super::*;

/// SH-1: RAM and extra pages of everybody come from the ranges of `xen,static-heap` and from
/// nowhere else.
#[test]
fn everything_general_comes_from_the_static_heap() {
    let ranges = [
        Range {
            start: 0x9000_0000,
            size: 20 * MIB,
        },
        Range {
            start: 0x9800_0000,
            size: 0x1_0000,
        },
    ];
    let domains = [Domain::new("fixed"), Domain::new("loose").heap()];
    let mut sys = System::with_heap(&domains, &ranges);
    let inside = |at: u64| {
        ranges
            .iter()
            .any(|r| (r.start..r.start + r.size).contains(&at))
    };
    let loose = sys.guest(1);
    assert!(
        (RAM..RAM + 16 * MIB)
            .step_by(4096)
            .all(|gpa| inside(paddr(&loose, gpa).unwrap()))
    );
    // Extra pages, of the static guest as well.
    for index in 0..2 {
        let mut guest = sys.guest(index);
        let at = paddr(&guest, CONSOLE_PAGE).unwrap();
        assert!(inside(at), "{at:#x}");
        guest.map_shared_info();
        let at = paddr(&guest, sim::guest::SHARED_INFO).unwrap();
        assert!(inside(at), "{at:#x}");
    }
    assert!(!inside(paddr(&sys.guest(0), RAM).unwrap()));
    let totals = sys.memory.totals();
    assert_eq!(totals.heap_held, 16 * MIB);
    assert_eq!(
        totals.heap_held + totals.heap_free + totals.extra,
        20 * MIB + 0x1_0000
    );
    assert_accounted(&sys);
}

/// SH-3, SM-26: the RAM disk's and the kernel's files do not become heap: when it is used up, that
/// is the end.
#[test]
fn the_heap_ends_where_its_ranges_end() {
    let heap = Range {
        start: 0x9000_0000,
        size: 18 * MIB,
    };
    let mut sys = System::with_heap(&[Domain::new("loose").growing(8 * MIB, 32 * MIB)], &[heap]);
    let above: Vec<u64> = (2048..6144).map(|n| (RAM >> 12) + n).collect();
    let mut guest = sys.guest(0);
    let got = populate(&mut guest, &above);
    // 18 MiB less 8 MiB of RAM, the extra pages, and the block that a split needs.
    let extra = i64::try_from(sys.memory.usage(System::domain(0)).extra).unwrap();
    assert_eq!(got, 2560 - 512 - extra);
    assert_eq!(sys.memory.totals().heap_free, 2 * MIB);
    assert_eq!(populate(&mut sys.guest(0), &above[4000..]), 0);
    assert_accounted(&sys);
}
