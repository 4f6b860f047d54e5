//! memory_op: giving memory back and getting it again.

use super::*;

/// BL-1, BL-2, UP-5: lists of single pages; a hole faults.
#[test]
fn ballooning_down_and_up() {
    in_every_way(|guest| {
        let first = FREE >> 12;
        let gfns: Vec<u64> = (first..first + 5).collect();
        assert_eq!(decrease(guest, &gfns), 5);
        assert_eq!(reservation(guest), 4096 - 5);
        assert!(
            (0..5).all(|n| !guest.is_mapped(FREE + n * 0x1000)) && guest.is_mapped(FREE + 0x5000)
        );
        let ran = guest.access(guest.ptr(FREE), Width::Word, false);
        assert!(
            matches!(ran, Ran::Exception(e) if e.esr == 0x9600_0000),
            "{ran:?}"
        );
        assert_eq!(decrease(guest, &gfns), 0, "gone already");
        assert_eq!(populate(guest, &gfns[..3]), 3);
        assert_eq!(reservation(guest), 4096 - 2);
        guest.put(FREE + 0x1000, &7_u64);
        assert_eq!(guest.load(guest.ptr(FREE + 0x1000), Width::Double), 7);
        assert_eq!(populate(guest, &gfns), 0, "the first is occupied");
        assert_eq!(
            guest.get::<u64>(FREE + 0x1000),
            7,
            "and keeps what it holds"
        );
        assert_eq!(populate(guest, &gfns[3..]), 2);
        assert_eq!(reservation(guest), 4096);
    });
}

/// BL-1, BL-2, SM-8, SM-27: the count of extents before the one that cannot be done.
#[test]
fn ballooning_stops_at_the_first_extent_that_cannot_be() {
    in_every_way(|guest| {
        let first = FREE >> 12;
        assert_eq!(decrease(guest, &[first, first + 1, 0x3001, first + 2]), 2);
        assert_eq!(reservation(guest), 4096 - 2);
        assert!(guest.is_mapped(FREE + 0x2000));
        let end = (RAM + (16 << 20)) >> 12;
        assert_eq!(
            populate(guest, &[first, end, first + 1]),
            1,
            "outside the banks"
        );
        for gfn in [0, end, CONSOLE_PAGE >> 12, 1 << 40, u64::MAX] {
            assert_eq!(decrease(guest, &[gfn]), 0, "{gfn:#x}");
            assert_eq!(populate(guest, &[gfn]), 0, "{gfn:#x}");
        }
        assert_eq!(reservation(guest), 4096 - 1);
    });
}

/// BL-2, BL-3: a count, never an error.
#[test]
fn ballooning_never_answers_with_an_error() {
    in_every_way(|guest| {
        let first = FREE >> 12;
        let list = ARGS + 0x1000;
        guest.put(list, &first);
        let good = memory::Reservation {
            extent_start: GuestHandle::new(Gva::new(guest.ptr(list))),
            nr_extents: 1,
            extent_order: 0,
            mem_flags: 0,
            domid: SELF,
            pad: [0; 6],
        };
        let bad = [
            memory::Reservation { domid: 99, ..good },
            memory::Reservation {
                extent_order: 10,
                ..good
            },
            memory::Reservation {
                extent_order: u32::MAX,
                ..good
            },
            memory::Reservation {
                nr_extents: 0,
                ..good
            },
            memory::Reservation {
                nr_extents: 0x400_0000,
                ..good
            },
            memory::Reservation {
                nr_extents: u64::MAX,
                ..good
            },
            memory::Reservation {
                extent_start: GuestHandle::new(Gva::new(16)),
                ..good
            },
            memory::Reservation {
                extent_start: GuestHandle::new(Gva::new(u64::MAX - 3)),
                ..good
            },
        ];
        for op in [DECREASE_RESERVATION, POPULATE_PHYSMAP] {
            for arg in bad {
                assert_eq!(guest.op_in(MEMORY_OP, op, arg), 0, "{arg:?}");
            }
            assert_eq!(
                guest.op_in(MEMORY_OP, op | 5 << 6, good),
                5,
                "a start behind the end is returned"
            );
            for at in wild(guest) {
                assert_eq!(guest.hvc(MEMORY_OP, &[op, at]), 0, "{at:#x}");
            }
        }
        assert_eq!(reservation(guest), 4096);
        assert_eq!(decrease(guest, &[first]), 1);
    });
}

/// BL-1, BL-2, SM-7: extents of 2 MiB.
#[test]
fn ballooning_in_blocks() {
    in_every_way(|guest| {
        let first = FREE >> 12;
        assert_eq!(
            reserve(guest, DECREASE_RESERVATION, 9, &[first, first + 512]),
            2
        );
        assert_eq!(reservation(guest), 4096 - 1024);
        assert!(!guest.is_mapped(FREE) && !guest.is_mapped(FREE + 0x3f_ffff));
        let again = if guest.domid() == 1 { 0 } else { 2 };
        assert_eq!(
            reserve(guest, POPULATE_PHYSMAP, 9, &[first, first + 512]),
            again,
            "static domains: order 0 only"
        );
        if again == 0 {
            let gfns: Vec<u64> = (first..first + 512).collect();
            assert_eq!(populate(guest, &gfns), 512);
            let gfns: Vec<u64> = (first + 512..first + 1024).collect();
            assert_eq!(populate(guest, &gfns), 512);
        }
        assert_eq!(reservation(guest), 4096);
        assert!(guest.is_mapped(FREE) && guest.is_mapped(FREE + 0x3f_ffff));
    });
}

/// GM-5, SM-22: the entries of a list are read as their turn comes, so one that gives its own page
/// away ends there.
#[test]
fn a_list_that_gives_its_own_page_away_ends_there() {
    in_every_way(|guest| {
        let (page, frame) = (FREE + 0x4_0000, (FREE >> 12) + 0x40);
        let before = reservation(guest);
        let given = |guest: &mut sim::Guest<'_>, at: u64, list: &[u64], order: u32| {
            guest.put(at, list);
            let arg = memory::Reservation {
                extent_start: GuestHandle::new(Gva::new(guest.ptr(at))),
                nr_extents: list.len() as u64,
                extent_order: order,
                mem_flags: 0,
                domid: SELF,
                pad: [0; 6],
            };
            guest.op_in(MEMORY_OP, DECREASE_RESERVATION, arg)
        };
        // The list is in frame 0, its frames are 1, 0, 2 and 3.
        let list = [frame + 1, frame, frame + 2, frame + 3];
        assert_eq!(given(guest, page, &list, 0), 2);
        assert_eq!(reservation(guest), before - 2);
        assert!(!guest.is_mapped(page) && guest.is_mapped(page + 0x2000));
        assert_eq!(populate(guest, &[frame, frame + 1]), 2);
        // In extents of two.
        let list = [frame + 2, frame, frame + 4];
        assert_eq!(given(guest, page + 0x1000, &list, 1), 2);
        for n in 0..4 {
            assert_eq!(populate(guest, &[frame + n]), 1);
        }
        // What is left of it in the next page is done.
        let list = [frame + 3, frame, frame + 4, frame + 5];
        assert_eq!(given(guest, page + 0x1000 - 16, &list, 0), 4);
        assert_eq!(populate(guest, &list), 4);
        assert_eq!(reservation(guest), before);
    });
}
