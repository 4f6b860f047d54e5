//! Extended regions.

use super::*;

fn systems() -> [System; 3] {
    [
        System::new(&[Domain::new("linux1")]),
        System::new(&[Domain::new("linux1").growing(8 * MIB, 16 * MIB)]),
        System::new(&[Domain::new("linux1").direct()]),
    ]
}

/// UP-1, UP-6: they are told, in 2 MiB steps, each of 64 MiB or more, and no two things share a
/// byte.
#[test]
fn the_device_tree_tells_them() {
    for mut sys in systems() {
        let (ram, extended) = map_of(&sys.guest(0));
        assert!(!extended.is_empty());
        for (start, size) in &extended {
            assert_eq!((start | size) % (2 * MIB), 0, "{start:#x} {size:#x}");
            assert!(*size >= 64 * MIB, "{start:#x} {size:#x}");
        }
        let mut all = [ram, extended].concat();
        all.sort_unstable();
        for pair in all.windows(2) {
            assert!(pair[0].0 + pair[0].1 <= pair[1].0, "{pair:x?}");
        }
    }
}

/// UP-2, UP-7: empty, they fault; they never become RAM, however it is tried.
#[test]
fn they_are_never_ram() {
    for mut sys in systems() {
        let (_, extended) = map_of(&sys.guest(0));
        let mut guest = sys.guest(0);
        let ram = reservation(&mut guest);
        // Give something up, so that there is quota and memory.
        let given = (FREE >> 12) + 512;
        assert_eq!(reserve(&mut guest, DECREASE_RESERVATION, 9, &[given]), 1);
        for (start, size) in extended {
            for gpa in [
                start,
                start + 2 * MIB,
                start + size / 2,
                start + size - 4096,
            ] {
                assert_faults(&mut guest, gpa);
                assert_eq!(populate(&mut guest, &[gpa >> 12]), 0);
                assert!(!guest.is_mapped(gpa));
            }
            assert_eq!(reserve(&mut guest, POPULATE_PHYSMAP, 9, &[start >> 12]), 0);
            assert!(!guest.is_mapped(start));
        }
        assert_eq!(
            populate(&mut guest, &(given..given + 512).collect::<Vec<_>>()),
            512
        );
        assert_eq!(reservation(&mut guest), ram);
        assert_accounted(&sys);
    }
}

/// UP-7: an extra page can be mapped there and taken away; what is left is a hole, not RAM.
#[test]
fn what_is_unmapped_there_leaves_a_hole() {
    for mut sys in systems() {
        let (_, extended) = map_of(&sys.guest(0));
        let mut guest = sys.guest(0);
        let ram = reservation(&mut guest);
        for (start, size) in extended {
            for gpa in [start, start + size - 4096] {
                let gfn = gpa >> 12;
                assert_eq!(guest.add_to_physmap(space::GRANT_TABLE, 0, gfn), 0);
                guest.put(gpa, &0x9_u64);
                assert_eq!(guest.get::<u64>(gpa), 9);
                assert_eq!(decrease(&mut guest, &[gfn]), 0, "it is no RAM");
                assert_eq!(remove(&mut guest, gfn), 0);
                assert_faults(&mut guest, gpa);
                assert_eq!(populate(&mut guest, &[gfn]), 0);
                assert_faults(&mut guest, gpa);
            }
        }
        assert_eq!(
            reservation(&mut guest),
            ram,
            "extra pages do not count (EX-4)"
        );
        assert_accounted(&sys);
    }
}

/// UP-4, UP-5: a guest that uses no extended region makes room for foreign pages by ballooning
/// single pages anywhere in its RAM.
#[test]
fn room_can_be_made_by_ballooning() {
    for mut sys in systems() {
        let mut guest = sys.guest(0);
        for gfn in [FREE >> 12, (FREE >> 12) + 777, (RAM + 8 * MIB - 4096) >> 12] {
            assert_eq!(decrease(&mut guest, &[gfn]), 1);
            assert_eq!(guest.add_to_physmap(space::GRANT_TABLE, 0, gfn), 0);
            assert!(guest.is_mapped(gfn << 12));
            assert_eq!(remove(&mut guest, gfn), 0);
            assert!(!guest.is_mapped(gfn << 12));
            assert_eq!(populate(&mut guest, &[gfn]), 1);
        }
        assert_accounted(&sys);
    }
}
