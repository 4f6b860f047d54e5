//! Ballooning and sizes as a guest asks for them: real memory server, modelled capabilities.
#![allow(missing_docs, reason = "tests")]

mod memory_guest;

use guest_mem::Window as _;
use hv_types::{Gfn, Gpa, VcpuId, WindowAddr};
use hypervisor_core::exit::{Exit, Reason};
use hypervisor_core::host::{SysReg, Vcpu as _};
use hypervisor_core::vcpu::action::VcpuAction;
use xen_abi::memory::{self, Reservation};
use xen_abi::{Errno, GuestHandle, number};

use memory_guest::*;

/// GM-5, BL-1, BL-2, BL-10: a balloon driver's two calls, on heap and on static memory.
#[test]
fn a_balloon_gives_pages_back_and_takes_them_again_bl_1_bl_2() {
    for kind in [Kind::Heap, Kind::Static] {
        let mut g = Guest::new(kind);
        assert_eq!(g.current(), 4096);
        let gfns: Vec<u64> = (0..300).map(|n| FREE + 7 * n).collect();
        assert_eq!(g.decrease(0, &gfns), 300);
        assert!(
            g.rounds > 4,
            "bounded work per exit, in {} exits (BL-10)",
            g.rounds
        );
        assert_eq!(g.current(), 3796);
        assert!(gfns.iter().all(|gfn| g.read(*gfn).is_none()));
        assert!(g.read(FREE + 1).is_some());
        assert_eq!(g.populate(0, &gfns), 300);
        assert_eq!(g.current(), 4096);
        assert!(gfns.iter().all(|gfn| g.read(*gfn).is_some()));
        assert_eq!(g.memory_op(memory::MAXIMUM_RESERVATION, &SELF), 4096);
    }
}

/// SM-6, BL-10: pages that come back to where they were cost one unmapping and one mapping each,
/// and the server nothing; 64 a call.
#[test]
fn a_round_trip_of_512_pages_is_cheap() {
    for kind in [Kind::Heap, Kind::Static] {
        let mut g = Guest::new(kind);
        let gfns: Vec<u64> = (0..512).map(|n| FREE + n).collect();
        // The first time makes pages of the block.
        assert_eq!((g.decrease(0, &gfns), g.populate(0, &gfns)), (512, 512));
        let counts = |g: &Guest| {
            let machine = g.memory.machine().look();
            (machine.mappings, machine.operations)
        };
        let before = counts(&g);
        assert_eq!(g.decrease(0, &gfns), 512);
        assert_eq!(g.rounds, 8);
        assert_eq!(g.populate(0, &gfns), 512);
        assert_eq!(g.rounds, 8);
        assert_eq!(counts(&g), (before.0 + 1024, before.1));
        // In the opposite order each page has another place, which costs no more: nobody has looked
        // at it.
        assert_eq!(g.decrease(0, &gfns), 512);
        let backwards: Vec<u64> = gfns.iter().rev().copied().collect();
        let before = counts(&g);
        assert_eq!(g.populate(0, &backwards), 512);
        let (mappings, operations) = counts(&g);
        assert_eq!(operations, before.1);
        assert_eq!(mappings - before.0, 512);
    }
}

/// SM-5, SM-14: a 2 MiB extent that comes back to the same domain is not zeroed, revoked or made
/// anew.
#[test]
fn a_block_comes_back_without_an_operation() {
    let mut g = Guest::new(Kind::Heap);
    let gfn = GFN + 1024;
    g.write(gfn + 511, 0x77);
    let operations = g.memory.machine().look().operations;
    assert_eq!((g.decrease(9, &[gfn]), g.read(gfn)), (1, None));
    assert_eq!(g.memory.totals().heap_returned, 2 << 20);
    assert_eq!(g.populate(9, &[gfn]), 1);
    assert_eq!(g.memory.machine().look().operations, operations);
    assert_eq!(g.read(gfn + 511), Some(0x77));
}

/// SM-8, BL-1, BL-2: a list is done up to the first frame that cannot be.
#[test]
fn a_list_stops_at_the_first_frame_that_cannot_be_done() {
    let mut g = Guest::new(Kind::Heap);
    assert_eq!(g.decrease(0, &[FREE, FREE + 1, 7, FREE + 2]), 2);
    assert_eq!(g.decrease(0, &[FREE]), 0, "twice");
    assert_eq!(
        g.populate(0, &[FREE + 1, FREE + 2, FREE]),
        1,
        "FREE + 2 is RAM"
    );
    assert_eq!(g.current(), 4095);
    assert_eq!(g.populate(0, &[FREE]), 1);
    assert_eq!(
        g.populate(0, &[GFN + 4096]),
        0,
        "outside the banks, and at the quota"
    );
}

/// BL-1, BL-2, BL-3, SM-8: never an errno (section 8 of the ABI notes).
#[test]
fn reservations_answer_with_a_count_and_never_an_error() {
    let mut g = Guest::new(Kind::Heap);
    g.put_list(LIST, [FREE, FREE + 1]);
    let good = reservation(2, 0);
    let bad = [
        Reservation {
            nr_extents: 0x400_0000,
            ..good
        },
        Reservation {
            nr_extents: u64::MAX,
            ..good
        },
        Reservation {
            nr_extents: 0,
            ..good
        },
        Reservation {
            extent_order: 10,
            ..good
        },
        Reservation {
            extent_order: u32::MAX,
            ..good
        },
        Reservation { domid: 1, ..good },
        Reservation {
            domid: 0x7ff1,
            ..good
        },
        Reservation {
            extent_start: GuestHandle::new(hv_types::Gva::new(HOLE)),
            ..good
        },
        Reservation {
            extent_start: GuestHandle::new(hv_types::Gva::new(u64::MAX - 4)),
            ..good
        },
        Reservation {
            mem_flags: 5,
            ..good
        },
        Reservation {
            mem_flags: 1 << 17 | 3 << 8,
            ..good
        },
    ];
    for op in [memory::DECREASE_RESERVATION, memory::POPULATE_PHYSMAP] {
        for request in bad {
            assert_eq!(g.memory_op(op, &request), 0, "{op} {request:x?}");
        }
        assert_eq!(g.call(number::MEMORY_OP, [op, HOLE, 0, 0, 0]), Ok(0));
        // A start past the end is returned as it is.
        assert_eq!(
            g.call(number::MEMORY_OP, [op | 9 << 6, HOLE, 0, 0, 0]),
            Ok(9)
        );
        assert_eq!(g.memory_op(op | 2 << 6, &good), 2);
        assert_eq!(g.memory_op(op | 77 << 6, &good), 77);
        assert_eq!(g.memory_op(op | u64::MAX << 6, &good), (1 << 58) - 1);
    }
    assert_eq!(g.current(), 4096);
    let pod = Reservation {
        mem_flags: 1 << 16,
        ..good
    };
    assert_eq!(g.memory_op(memory::POPULATE_PHYSMAP, &pod), 0);
    // The own number is as good as DOMID_SELF; a start in the middle does the rest.
    assert_eq!(
        g.memory_op(
            memory::DECREASE_RESERVATION | 1 << 6,
            &Reservation {
                domid: DOMID,
                ..good
            }
        ),
        2
    );
    assert_eq!(
        (g.current(), g.read(FREE).is_some(), g.read(FREE + 1)),
        (4095, true, None)
    );
    assert_eq!(g.memory_op(memory::INCREASE_RESERVATION, &good), 0);
}

/// BL-1, BL-2: whole 2 MiB extents of the heap.
#[test]
fn extents_of_2_mib_go_and_come_back_on_the_heap() {
    let mut g = Guest::new(Kind::Heap);
    assert_eq!(g.decrease(9, &[FREE, FREE + 512]), 2);
    assert_eq!((g.current(), g.read(FREE)), (3072, None));
    assert_eq!(g.populate(9, &[FREE, FREE + 512]), 2);
    assert_eq!((g.current(), g.read(FREE + 1023)), (4096, Some(0)));
    assert_eq!(g.decrease(3, &[FREE, FREE + 8]), 2);
    assert_eq!(g.current(), 4080);
    assert_eq!(g.populate(2, &[FREE, FREE + 12]), 2);
    assert_eq!(g.current(), 4088);
}

/// SM-7: order above 0 is for decrease only (section 8).
#[test]
fn a_static_guest_populates_single_pages_only_sm_7() {
    let mut g = Guest::new(Kind::Static);
    assert_eq!(g.decrease(1, &[FREE]), 1);
    assert_eq!(g.populate(1, &[FREE]), 0);
    assert_eq!(g.populate(0, &[FREE, FREE + 1]), 2);
    assert_eq!(g.decrease(9, &[FREE + 512]), 1);
    assert_eq!(g.populate(9, &[FREE + 512]), 0);
    assert_eq!(g.populate(0, &[FREE + 512]), 1);
}

/// SM-6, SM-8: until the reserve is empty; one released page is the next one populated.
#[test]
fn a_static_guest_gets_its_own_frames_back_sm_6_sm_8() {
    let mut g = Guest::new(Kind::Static);
    let frames = [FREE, FREE + 1].map(|gfn| g.paddr(gfn).unwrap());
    assert_eq!(g.decrease(0, &[FREE + 1]), 1);
    assert_eq!(g.decrease(0, &[FREE]), 1);
    assert_eq!(g.populate(0, &[FREE, FREE + 1]), 2);
    // First released, first populated: the frames have changed places.
    assert_eq!([FREE + 1, FREE].map(|gfn| g.paddr(gfn).unwrap()), frames);
    assert_eq!(g.populate(0, &[FREE]), 0);
}

/// DM-2, DM-3: same frame, total unchanged, any order.
#[test]
fn a_direct_mapped_guest_keeps_its_frames_dm_2_dm_3() {
    let mut g = Guest::new(Kind::DirectMap);
    g.write(FREE + 3, 0x3d);
    assert_eq!(g.decrease(0, &[FREE + 3]), 1);
    assert_eq!((g.current(), g.read(FREE + 3)), (4096, None));
    assert_eq!(g.decrease(0, &[FREE + 3]), 0);
    assert_eq!(g.populate(0, &[FREE + 4]), 0, "still there");
    assert_eq!(g.populate(0, &[FREE + 3]), 1);
    assert_eq!(
        (g.read(FREE + 3), g.paddr(FREE + 3)),
        (Some(0x3d), Some((FREE + 3) << 12))
    );
    assert_eq!(g.decrease(9, &[FREE]), 1);
    assert_eq!(g.populate(4, &[FREE + 16]), 1);
    assert_eq!(g.populate(9, &[FREE]), 0, "some are there");
    assert_eq!(
        (g.read(FREE), g.read(FREE + 16).is_some(), g.current()),
        (None, true, 4096)
    );
}

/// SM-14: contents are kept over decrease and populate at one frame.
#[test]
fn contents_survive_a_round_trip_on_static_memory() {
    let mut g = Guest::new(Kind::Static);
    g.write(FREE, 0x11);
    assert_eq!((g.decrease(0, &[FREE]), g.populate(0, &[FREE])), (1, 1));
    assert_eq!(g.read(FREE), Some(0x11));
}

/// SM-13, GM-11, BL-3: current and maximum reservation, for oneself alone.
#[test]
fn size_questions_are_for_oneself() {
    let mut g = Guest::new(Kind::Heap);
    for op in [
        memory::CURRENT_RESERVATION,
        memory::MAXIMUM_RESERVATION,
        memory::MAXIMUM_GPFN,
    ] {
        assert_eq!(g.memory_op(op, &1u16), minus(Errno::Eperm), "a neighbour");
        assert_eq!(g.memory_op(op, &2u16), minus(Errno::Esrch), "nobody");
        assert_eq!(
            g.call(number::MEMORY_OP, [op, HOLE, 0, 0, 0]),
            Ok(minus(Errno::Efault))
        );
        assert_eq!(g.memory_op(op, &DOMID), g.memory_op(op, &SELF));
    }
    assert_eq!(
        g.memory_op(memory::MAXIMUM_GPFN, &SELF),
        i64::try_from(GFN + 4095).unwrap()
    );
    assert!(
        g.call(number::MEMORY_OP, [memory::MAXIMUM_RAM_PAGE, 0, 0, 0, 0])
            .unwrap()
            > 0
    );
}

#[test]
fn operations_that_arm_does_not_have_are_refused_as_xen_refuses_them() {
    let mut g = Guest::new(Kind::Heap);
    for op in 0..64 {
        let errno = match op {
            0..=4 | 6 | 7 | 14 | 15 | 18 | 19 | 23 => continue,
            11 | 24 | 26 | 27 | 28 => Errno::Efault,
            _ => Errno::Enosys,
        };
        assert_eq!(
            g.call(number::MEMORY_OP, [op, HOLE, 0, 0, 0]),
            Ok(minus(errno)),
            "op {op}"
        );
    }
    let resource = memory::AcquireResource {
        domid: SELF,
        ..memory::AcquireResource::default()
    };
    assert_eq!(
        g.memory_op(memory::ACQUIRE_RESOURCE, &resource),
        minus(Errno::Esrch),
        "real ids only"
    );
    for domid in [DOMID, 1] {
        assert_eq!(
            g.memory_op(
                memory::ACQUIRE_RESOURCE,
                &memory::AcquireResource { domid, ..resource }
            ),
            minus(Errno::Eperm)
        );
    }
    assert_eq!(
        g.memory_op(
            memory::ACQUIRE_RESOURCE,
            &memory::AcquireResource {
                domid: 2,
                ..resource
            }
        ),
        minus(Errno::Esrch)
    );
    assert_eq!(
        g.memory_op(
            memory::ACQUIRE_RESOURCE,
            &memory::AcquireResource { pad: 1, ..resource }
        ),
        minus(Errno::Einval)
    );
}

#[test]
fn gfn_numbers_are_what_the_tests_say() {
    let g = Guest::new(Kind::DirectMap);
    assert_eq!(g.paddr(FREE), Some(FREE << 12));
    assert_eq!(g.vm.domain.p2m.max_gfn(), Gfn::new(GFN + 4095));
}

/// UP-5: the guest's own table walk meets a page that is absent, and the kernel does not tell
/// which. The instruction names the address; where it does not, chunk after chunk comes. What is
/// still not there then is the guest's mistake.
#[test]
fn a_table_walk_brings_the_tables() {
    for kind in [Kind::Heap, Kind::Static] {
        let mut g = Guest::new(kind);
        let block = (FREE + 511) & !511;
        let (table, text) = (block << 12, RAM + 0x5000);
        // 1 GiB of RAM where it is: valid, accessed, shareable.
        g.put(table + 8, &(RAM | 1 | 1 << 10 | 3 << 8));
        let load = 0xf940_0064_u32; // ldr x4, [x3]
        g.put(text, &load);
        assert_eq!(g.decrease(0, &[block + 40]), 1);
        let absent = |g: &Guest| g.vm.domain.p2m.absent();
        assert_eq!(absent(&g), 511);
        // 39 bits in both halves, 4 KiB granules; MMU and caches on.
        g.host
            .set_sysreg(SysReg::Tcr, 25 | 25 << 16 | 2 << 30 | 2 << 32);
        g.host.set_sysreg(SysReg::Ttbr0, table);
        let sctlr = g.host.sysreg(SysReg::Sctlr);
        g.host.set_sysreg(SysReg::Sctlr, sctlr | 1 | 4);
        g.host.set_sysreg(SysReg::Vbar, RAM);
        g.host.pc = text;
        g.host.x[3] = RAM + 0x9000;
        let walk = |g: &mut Guest| {
            let reason = Reason::Abort {
                gpa: Gpa::new(0),
                iss: 1 << 7 | 0b000_111,
                fetch: false,
            };
            let vcpu = VcpuId::BOOT;
            let action = g.vm.handle(&mut g.host, Exit { vcpu, reason });
            assert!(matches!(action, VcpuAction::Resume));
        };
        walk(&mut g);
        assert_eq!((absent(&g), g.host.pc), (511 - 16, text));
        assert!(!g.vm.domain.p2m.is_absent(Gfn::new(block)));
        // Another vCPU was quicker.
        walk(&mut g);
        assert_eq!((absent(&g), g.host.pc), (511 - 16, text));
        // An instruction that no load or store is.
        g.host
            .window
            .write_obj(WindowAddr::new(text), &0xd503_201f_u32);
        let mut walks = 1;
        while absent(&g) > 0 {
            walk(&mut g);
            assert_eq!(g.host.pc, text);
            walks += 1;
        }
        assert_eq!(walks, 32);
        walk(&mut g);
        assert_ne!(g.host.pc, text, "an exception");
        assert_eq!(g.memory.totals().copying, 0);
    }
}

/// What the second and later copies go to is zeroed while the guest runs: it waits in parts, keeps
/// all contents, and can give up any page. Extents of several pages do the same.
#[test]
fn a_guest_does_not_stand_still_while_memory_is_zeroed() {
    let mut g = Guest::new(Kind::TightHeap);
    let blocks: Vec<u64> = (1..7).map(|n| GFN + 512 * n).collect();
    for gfn in &blocks {
        g.put((gfn + 100) << 12, gfn);
        g.put((gfn + 511) << 12, &!gfn);
    }
    assert_eq!((g.decrease(0, &blocks[..1]), g.waits), (1, 0));
    assert_eq!(g.decrease(0, &blocks[1..2]), 1);
    assert!(g.waits > 0, "it did not wait");
    // What is given up in the middle of a list is neither lost nor given up twice.
    let list = [
        blocks[1] + 1,
        blocks[2],
        blocks[2] + 1,
        blocks[3],
        blocks[3] + 3,
    ];
    assert_eq!(g.decrease(0, &list), 5);
    assert!(g.waits > 1, "{}", g.waits);
    assert_eq!(g.decrease(3, &blocks[4..5]), 1);
    assert_eq!(g.decrease(2, &blocks[5..6]), 1);
    for gfn in &blocks {
        assert_eq!(g.get::<u64>((gfn + 100) << 12), *gfn);
        assert_eq!(g.get::<u64>((gfn + 511) << 12), !gfn);
    }
}
