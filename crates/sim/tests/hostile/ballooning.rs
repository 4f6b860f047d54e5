//! Memory that is given away while it is in use, or taken from others.

use super::*;

/// BL-8: RAM below shared_info is kept, and is no memory for arguments meanwhile.
#[test]
fn shared_info_over_ram_and_back() {
    attack(|guest| {
        guest.put(FREE, &0x1234_5678_u64);
        assert_eq!(
            guest.add_to_physmap(space::SHARED_INFO, 0, FREE >> 12),
            0,
            "as on Xen"
        );
        assert_eq!(guest.get::<u64>(FREE), 0, "shared_info hides the RAM");
        assert_eq!(reservation(guest), 4096, "which is still the guest's");
        // What covers RAM is the guest's to write, as on Xen: what it registers there goes with the
        // page.
        guest.put(
            ARGS,
            &RegisterVcpuInfo {
                gfn: FREE >> 12,
                offset: 0,
                rsvd: 0,
            },
        );
        assert_eq!(
            guest.hvc(VCPU_OP, &[REGISTER_VCPU_INFO, 0, guest.ptr(ARGS)]),
            0
        );
        assert_eq!(
            guest.hvc(
                XEN_VERSION,
                &[version::EXTRAVERSION, guest.ptr(FREE + 0x800)]
            ),
            0
        );
        assert_eq!(remove(guest, FREE >> 12), 0);
        assert!(!guest.is_mapped(FREE));
        guest.loopback();
        assert_eq!(populate(guest, &[FREE >> 12]), 1);
        assert_eq!(guest.get::<u64>(FREE), 0x1234_5678, "the contents are kept");
        assert_eq!(reservation(guest), 4096);
    });
}

#[test]
fn giving_away_the_page_that_holds_vcpu_info() {
    attack(|guest| {
        guest.map_shared_info();
        guest.enable_gic();
        guest.enable_interrupt(UPCALL);
        let (a, b) = guest.loopback();
        guest.put(
            ARGS,
            &RegisterVcpuInfo {
                gfn: FREE >> 12,
                offset: 0,
                rsvd: 0,
            },
        );
        assert_eq!(
            guest.hvc(VCPU_OP, &[REGISTER_VCPU_INFO, 0, guest.ptr(ARGS)]),
            0
        );
        assert_eq!(decrease(guest, &[FREE >> 12]), 1);
        guest.take_interrupts();
        for _ in 0..10 {
            assert_eq!(guest.send(a), 0);
        }
        guest.sys.type_in(b"key");
        assert!(guest.is_pending(b), "pending, though nobody can be told");
        assert!(!guest.irq());
        assert_eq!(guest.wfi(), Ran::Waiting);
        guest.sys.advance(FREQUENCY);
    });
}

#[test]
fn giving_away_the_page_that_holds_the_runstate() {
    attack(|guest| {
        // Across two pages: first one goes, then the other.
        for gone in [FREE, FREE + 0x1000] {
            let area = guest.ptr(FREE + 0x1000 - 16);
            guest.put(
                ARGS,
                &RegisterRunstate {
                    addr: GuestHandle::new(Gva::new(area)),
                },
            );
            let at = guest.ptr(ARGS);
            assert_eq!(
                guest.hvc(VCPU_OP, &[REGISTER_RUNSTATE_MEMORY_AREA, 0, at]),
                0
            );
            assert_eq!(decrease(guest, &[gone >> 12]), 1);
            guest.enable_gic();
            guest.enable_interrupt(VTIMER);
            for _ in 0..3 {
                let now = guest.sys.now();
                guest.set_timer(now + 10);
                assert_eq!(guest.wfi(), Ran::Waiting);
                guest.sys.advance(10);
                assert_eq!(guest.take_interrupts(), [VTIMER]);
            }
            assert_eq!(populate(guest, &[gone >> 12]), 1);
        }
    });
}

#[test]
fn giving_away_arguments_while_they_are_used() {
    attack(|guest| {
        // The list of frames lies in the frames that go.
        let list = FREE + 8;
        let first = FREE >> 12;
        guest.put(list, &[first + 1, first, first + 2]);
        let arg = Reservation {
            extent_start: GuestHandle::new(Gva::new(guest.ptr(list))),
            nr_extents: 3,
            extent_order: 0,
            mem_flags: 0,
            domid: SELF,
            pad: [0; 6],
        };
        let done = guest.op_in(MEMORY_OP, memory::DECREASE_RESERVATION, arg);
        assert!((2..=3).contains(&done), "{done}");
        let frames = [first + 1, first, first + 2];
        assert_eq!(
            populate(guest, &frames[..usize::try_from(done).unwrap()]),
            done
        );
        // So does a list of calls, whose second entry takes the list away.
        let calls = FREE + 0x8000;
        guest.put(ARGS + 0x100, &(calls >> 12));
        guest.put(
            ARGS,
            &Reservation {
                extent_start: GuestHandle::new(Gva::new(guest.ptr(ARGS + 0x100))),
                nr_extents: 1,
                extent_order: 0,
                mem_flags: 0,
                domid: SELF,
                pad: [0; 6],
            },
        );
        let args = guest.ptr(ARGS);
        let harmless = [XEN_VERSION, 0, 0, 0, 0, 0, 0, 0];
        guest.put(calls, &harmless);
        guest.put(
            calls + 64,
            &[MEMORY_OP, 0, memory::DECREASE_RESERVATION, args, 0, 0, 0, 0],
        );
        guest.put(calls + 128, &harmless);
        assert_eq!(guest.hvc(MULTICALL, &[guest.ptr(calls), 3]), EFAULT);
        assert!(!guest.is_mapped(calls));
        assert_eq!(reservation(guest), 4095);
    });
}

/// BL-1, BL-2, BL-10: all RAM but one block goes and comes back.
#[test]
fn giving_away_everything() {
    attack(|guest| {
        // All RAM but the block with the text and the arguments.
        let (first, end) = ((RAM + (2 << 20)) >> 12, (RAM + (16 << 20)) >> 12);
        let gfns: Vec<u64> = (first..end).collect();
        let mut gone = 0;
        for part in gfns.chunks(1024) {
            gone += decrease(guest, part);
        }
        assert_eq!(gone, 4096 - 512);
        assert_eq!(reservation(guest), 512);
        assert_eq!(guest.hvc(XEN_VERSION, &[0, 0]), 4 << 16 | 22);
        let mut back = 0;
        for part in gfns.chunks(1024) {
            back += populate(guest, part);
        }
        assert_eq!(back, 4096 - 512);
    });
}

/// SM-5, SM-14, BL-7: pages that one guest returned are revoked and zeroed before another guest
/// sees them.
#[test]
fn memory_given_away_by_one_guest_is_empty_when_another_gets_it() {
    let domain = |name| {
        Domain {
            ram: 28 << 20,
            ..Domain::new(name)
        }
        .heap()
    };
    let mut sys = System::new(&[domain("linux1"), domain("linux2")]);
    let machine = sys.memory.machine().clone();
    let place = |index, gfn: u64| {
        machine
            .look()
            .translate(System::domain(index), Side::Guest, gfn << 12)
    };
    let gfns: Vec<u64> = (FREE >> 12..).take(512).collect();
    for gfn in &gfns {
        sys.guest(0).put(gfn << 12, &[0x5e_u8; 4096]);
    }
    assert_eq!(decrease(&mut sys.guest(0), &gfns), 512);
    assert_eq!(sys.memory.usage(System::domain(0)).returned, 512);
    // The other one gives a whole block, and wants pages: free ones first, then those of the first
    // guest.
    let block = [FREE >> 12];
    let mut guest = sys.guest(1);
    assert_eq!(
        reserve(&mut guest, memory::DECREASE_RESERVATION, 9, &block),
        1
    );
    assert_eq!(populate(&mut guest, &gfns), 512);
    for gfn in &gfns {
        assert!(
            !guest.bytes(gfn << 12, 4096).contains(&0x5e),
            "{gfn:#x} was the other guest's"
        );
    }
    let left = sys.memory.usage(System::domain(0)).returned;
    assert!(left < 512, "none of them came to the other guest");
    sys.assert_consistent();
    // The first guest gets what is left of its own, and for the rest other pages. All are empty:
    // the block was split by copying, and pages that went before they were copied had no contents.
    assert_eq!(populate(&mut sys.guest(0), &gfns), 512);
    let mut guest = sys.guest(0);
    let full = |guest: &mut Guest<'_>, byte| {
        let is = |gfn: &&u64| guest.bytes(**gfn << 12, 4096).iter().all(|b| *b == byte);
        gfns.iter().filter(is).count() as u64
    };
    let own = full(&mut guest, 0x5e);
    assert!(own <= left);
    assert_eq!(full(&mut guest, 0), 512 - own);
    assert!(gfns.iter().all(|gfn| place(0, *gfn) != place(1, *gfn)));
    sys.assert_consistent();
}

/// BL-6, SM-13: nobody gets more than its share.
#[test]
fn a_guest_cannot_have_more_memory_than_its_share() {
    attack(|guest| {
        let end = (RAM + (16 << 20)) >> 12;
        assert_eq!(populate(guest, &[end, end + 1]), 0);
        for gfn in [0, 0x2_0000_0000 >> 12, SHARED_INFO >> 12] {
            assert_eq!(populate(guest, &[gfn]), 0);
        }
        // Removed frames count, so nothing can be had instead of them.
        assert_eq!(remove(guest, FREE >> 12), 0);
        assert_eq!(populate(guest, &[end]), 0);
        assert_eq!(reservation(guest), 4096);
    });
}

#[test]
fn page_tables_run_out_for_their_owner_alone() {
    attack(|guest| {
        // Each place is in another 2 MiB and needs a table that never comes back.
        let mut refused = 0;
        for n in 0..4000 {
            let gfn = 0x10_0000 + n * 512;
            match guest.add_to_physmap(space::SHARED_INFO, 0, gfn) {
                0 => assert_eq!(remove(guest, gfn), 0),
                _ => refused += 1,
            }
        }
        assert!(refused > 0, "there is a limit");
        assert_eq!(guest.hvc(XEN_VERSION, &[0, 0]), 4 << 16 | 22);
    });
}
