//! Memory above the initial size (`zazen,memory-max`).

use super::*;

const HEAP: u64 = 0x8000_0000;

/// A guest with 24 MiB and one with 8 MiB that may grow to 16 MiB, on a heap with room for what
/// they start with, extra pages, and a block for each to split with.
fn system() -> System {
    let big = Domain {
        ram: 24 * MIB,
        ..Domain::new("big").heap()
    };
    let small = Domain::new("small").growing(8 * MIB, 16 * MIB);
    let heap = Range {
        start: HEAP,
        size: 38 * MIB,
    };
    System::with_heap(&[big, small], &[heap])
}

/// GM-8, GM-10, GM-11: the map lists what is there, and the maximum is what the file says.
#[test]
fn the_guest_starts_with_less_than_its_maximum() {
    let mut sys = system();
    let (ram, extended) = map_of(&sys.guest(1));
    assert_eq!(ram, [(RAM, 8 * MIB)], "what may come is not listed");
    assert_eq!(
        extended[0].0,
        RAM + 16 * MIB,
        "behind all that may come (UP-2)"
    );
    let mut guest = sys.guest(1);
    assert_eq!(reservation(&mut guest), 2048);
    assert_eq!(maximum(&mut guest), 4096);
    let above = RAM + 8 * MIB;
    assert!(!guest.is_mapped(above));
    assert_faults(&mut guest, above);
    assert_eq!(maximum(&mut sys.guest(0)), 6144);
    assert_accounted(&sys);
}

/// GM-8, BL-6, BL-2: a guest grows into its holes as far as the heap goes, then by what another
/// gives up: other memory, zeroed on the way (BL-7, SM-14).
#[test]
fn one_grows_by_what_the_other_gives_up() {
    let mut sys = system();
    let above: Vec<u64> = (2048..4096).map(|n| (RAM >> 12) + n).collect();
    let little = populate(&mut sys.guest(1), &above);
    assert!(
        (1..1612).contains(&little),
        "{little} of 2048 pages were free"
    );
    let little = usize::try_from(little).unwrap();
    assert_eq!(
        decrease(&mut sys.guest(1), &above[..little]),
        above[..little].len() as i64
    );
    assert_accounted(&sys);

    let mut big = sys.guest(0);
    let given: Vec<u64> = (1024..3072).map(|n| (RAM >> 12) + n).collect();
    for gfn in &given {
        big.put(gfn << 12, b"big's secret");
    }
    assert_eq!(decrease(&mut big, &given), 2048);
    assert_eq!(reservation(&mut big), 4096);

    let mut small = sys.guest(1);
    assert_eq!(populate(&mut small, &above), 2048);
    assert_eq!((reservation(&mut small), maximum(&mut small)), (4096, 4096));
    for gfn in &above {
        assert_eq!(small.bytes(gfn << 12, 16), [0; 16], "{gfn:#x}");
        small.put(gfn << 12, gfn);
    }
    assert_accounted(&sys);
    assert!(populate(&mut sys.guest(0), &given) < 1612, "small has it");

    let mut small = sys.guest(1);
    assert!(above.iter().all(|gfn| small.get::<u64>(gfn << 12) == *gfn));
    assert_eq!(decrease(&mut small, &above), 2048);
    let mut big = sys.guest(0);
    let missing: Vec<u64> = given
        .iter()
        .copied()
        .filter(|gfn| !big.is_mapped(gfn << 12))
        .collect();
    assert_eq!(populate(&mut big, &missing), missing.len() as i64);
    assert_eq!(reservation(&mut big), 6144);
    assert_accounted(&sys);
    for (index, name) in [(0, "big"), (1, "small")] {
        assert_untouched(&mut sys.guest(index), name);
    }
}

/// GM-8, SM-27, UP-2: nothing can be populated above the maximum, in an extended region, or where
/// RAM is already.
#[test]
fn growth_ends_at_the_maximum() {
    let mut sys = system();
    let mut guest = sys.guest(1);
    let first = RAM >> 12;
    for gfn in [
        first + 4096,
        first + 4096 + 512,
        first - 1,
        first,
        0x20_0000,
        1 << 40,
    ] {
        assert_eq!(populate(&mut guest, &[gfn]), 0, "{gfn:#x}");
        assert_eq!(
            reserve(&mut guest, POPULATE_PHYSMAP, 9, &[gfn]),
            0,
            "{gfn:#x}"
        );
    }
    // The last page that may be, then the one behind it.
    assert_eq!(populate(&mut guest, &[first + 4095, first + 4096]), 1);
    assert!(guest.is_mapped(RAM + 16 * MIB - 4096));
    assert_eq!(reservation(&mut guest), 2049);
    assert_accounted(&sys);
}

/// GM-8, BL-1: blocks too, where the heap has one.
#[test]
fn a_whole_block_at_a_time() {
    let mut sys = system();
    let hole = (RAM >> 12) + 2048 + 512;
    let held = (RAM >> 12) + 4096;
    assert_eq!(
        reserve(
            &mut sys.guest(0),
            DECREASE_RESERVATION,
            9,
            &[held, held + 512]
        ),
        2
    );
    let mut guest = sys.guest(1);
    assert_eq!(reserve(&mut guest, POPULATE_PHYSMAP, 9, &[hole, hole]), 1);
    guest.put(hole << 12, &5_u64);
    assert_eq!(reservation(&mut guest), 2560);
    assert_eq!(reserve(&mut guest, DECREASE_RESERVATION, 9, &[hole]), 1);
    assert_eq!(reservation(&mut guest), 2048);
    assert_accounted(&sys);
}

/// GM-8, SM-16: what a guest has grown by is not there after a restart, and can be had again.
#[test]
fn a_restart_begins_with_the_initial_size() {
    let mut sys = system();
    let held = (RAM >> 12) + 4096;
    assert_eq!(
        reserve(
            &mut sys.guest(0),
            DECREASE_RESERVATION,
            9,
            &[held, held + 512]
        ),
        2
    );
    let above: Vec<u64> = (2048..3072).map(|n| (RAM >> 12) + n).collect();
    for life in 1..3u32 {
        let mut guest = sys.guest(1);
        assert_eq!(populate(&mut guest, &above), 1024);
        guest.put(above[7] << 12, b"an old life");
        assert_eq!(guest.smc(&[RESET]), Ran::Restarts);
        assert_eq!(sys.restarts(1), life);
        let mut guest = sys.guest(1);
        assert_eq!((reservation(&mut guest), maximum(&mut guest)), (2048, 4096));
        assert!(!guest.is_mapped(above[7] << 12));
        assert_eq!(populate(&mut guest, &above[7..8]), 1);
        assert_eq!(guest.get::<u64>(above[7] << 12), 0);
        assert_eq!(decrease(&mut guest, &above[7..8]), 1);
        assert_accounted(&sys);
    }
}

/// BL-1, BL-6, SM-9: others grow as far as they can, in pages and in whole blocks, and every guest
/// can still give up any single page, from each of its blocks in turn.
#[test]
fn growth_leaves_everybody_what_a_split_needs() {
    for order in [0, 9] {
        let big = Domain {
            ram: 8 * MIB,
            ..Domain::new("big").heap()
        };
        let domains = [
            big,
            Domain::new("one").growing(8 * MIB, 40 * MIB),
            Domain::new("two").growing(8 * MIB, 40 * MIB),
        ];
        let heap = Range {
            start: HEAP,
            size: 40 * MIB,
        };
        let mut sys = System::with_heap(&domains, &[heap]);
        // Not the 24 MiB that they start with, not extra pages, and not 2 MiB for each to split
        // with.
        let mut left = ((10 * MIB) >> 12) >> order;
        for index in [1, 2] {
            let above: Vec<u64> = (2048..10240).step_by(1 << order).collect();
            let above: Vec<u64> = above.iter().map(|n| (RAM >> 12) + n).collect();
            let got = reserve(&mut sys.guest(index), POPULATE_PHYSMAP, order, &above);
            let got = u64::try_from(got).unwrap();
            assert!(got <= left, "guest {index} got {got} of {left}");
            assert!(index == 2 || got > left / 2, "{got} of {left}");
            left -= got;
        }
        assert!(sys.memory.totals().heap_free >= 6 * MIB);
        for index in 0..3 {
            let mut guest = sys.guest(index);
            let held = reservation(&mut guest);
            // One page each of the blocks that were whole from the start.
            for block in (0..4).rev() {
                let gfn = (RAM >> 12) + block * 512 + 500;
                assert_eq!(decrease(&mut guest, &[gfn]), 1, "{index}, block {block}");
                assert!(!guest.is_mapped(gfn << 12));
            }
            assert_eq!(reservation(&mut guest), held - 4);
        }
        assert_accounted(&sys);
    }
}

/// BL-1: what one guest gives up others grow by; but a split of its next block is possible whoever
/// was first.
#[test]
fn what_a_guest_gives_up_is_everybodys_but_its_next_split() {
    let mut sys = system();
    let above: Vec<u64> = (2048..4096).map(|n| (RAM >> 12) + n).collect();
    for round in 0..12 {
        let gfn = (RAM >> 12) + (11 - round) * 512 + 500;
        assert_eq!(decrease(&mut sys.guest(0), &[gfn]), 1, "round {round}");
        // The copy ends when the guest has touched all of the block.
        for page in (gfn - 500..gfn + 12).step_by(16) {
            assert!(sys.guest(0).is_mapped(page << 12));
        }
        // The other takes it, and all else that it can have.
        let holes: Vec<u64> = above
            .iter()
            .copied()
            .filter(|gfn| !sys.guest(1).is_mapped(gfn << 12))
            .collect();
        let got = populate(&mut sys.guest(1), &holes);
        // At first there is more; and when all blocks of the one are pages, nothing is kept for it
        // any more.
        assert_eq!(got == 1, round != 0 && round != 11, "{round}: {got}");
        assert_accounted(&sys);
    }
    assert_eq!(reservation(&mut sys.guest(0)), 6144 - 12);
    assert_eq!(decrease(&mut sys.guest(1), &[(RAM >> 12) + 1024]), 1);
    assert_accounted(&sys);
}

/// LU-7, SM-14, GM-8: the VMM of one guest crashes: nothing of its guest is mapped any more, the
/// other grows into what it leaves, zeroed, and goes on as before.
#[test]
fn one_grows_by_what_a_crash_leaves() {
    let mut sys = system();
    let mut big = sys.guest(0);
    let given: Vec<u64> = (1024..1100).map(|n| (RAM >> 12) + n).collect();
    for gfn in &given {
        big.put(gfn << 12, b"big's secret");
    }
    // Some of it split, some of it returned.
    assert_eq!(decrease(&mut big, &given[..40]), 40);
    assert_eq!(populate(&mut big, &given[..10]), 10);
    big.map_shared_info();

    let taken = sys.crash(0);
    assert_eq!(taken.ram, 6144 - 30);
    assert!(taken.extra > 0 && taken.tables > 0, "{taken:?}");
    let big = sys.guest(0);
    let everywhere = (RAM..RAM + 24 * MIB).step_by(4096);
    assert!(everywhere.into_iter().all(|at| !big.is_mapped(at)));
    assert!(!big.is_mapped(sim::guest::SHARED_INFO));
    let held = sys.memory.machine().look();
    let mut of_big = held.held_frames();
    assert!(!of_big.any(|frame| frame.domain == System::domain(0)));
    drop(of_big);
    drop(held);
    assert_accounted(&sys);
    assert!(sys.memory.dump().contains("d1 big (crashed, heap memory)"));

    let above: Vec<u64> = (2048..4096).map(|n| (RAM >> 12) + n).collect();
    let mut small = sys.guest(1);
    assert_eq!(populate(&mut small, &above), 2048);
    for gfn in &above {
        assert_eq!(small.bytes(gfn << 12, 16), [0; 16], "{gfn:#x}");
    }
    assert_untouched(&mut small, "small");
    assert_accounted(&sys);
}
