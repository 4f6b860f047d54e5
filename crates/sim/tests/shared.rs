//! Static shared memory, as its guests see it.

use memory_server_api::{Error, MemoryServer, Request};
use sim::guest::ARGS;
use sim::{Domain, FREQUENCY, Ran, SharedMemory, System};
use xen_abi::GuestHandle;
use xen_abi::grant::{MAP_GRANT_REF, MapGrantRef, UNMAP_GRANT_REF, UnmapGrantRef, status};
use xen_abi::number::{GRANT_TABLE_OP, MEMORY_OP, SCHED_OP};
use xen_abi::sched::{SHUTDOWN, Shutdown};

const EFAULT: i64 = -14;
const EINVAL: i64 = -22;
/// Where the guest has its grant table, and where it has nothing.
const TABLE: u64 = 0x3800_0000;
const FREE: u64 = 0x3820_0000;
/// 4 MiB and two pages.
const SIZE: u64 = 0x40_2000;
/// Where each has it, and where the host has it: in 2 MiB frames.
const AT: [u64; 2] = [0x3a00_0000, 0x7000_0000];
/// A second region, in pages, only of the second and third.
const SMALL: u64 = 0x3_0000;
const SMALL_AT: [u64; 2] = [0x3a00_1000, 0x3a00_0000];

fn frames(guest: u64, role: Option<&'static str>) -> SharedMemory {
    SharedMemory {
        id: "frames",
        host: Some(0x5000_0000),
        guest,
        size: SIZE,
        role,
    }
}

fn small(guest: u64) -> SharedMemory {
    SharedMemory {
        id: "small",
        host: None,
        guest,
        size: SMALL,
        role: None,
    }
}

fn system() -> System {
    System::new(&[
        Domain::new("a").sharing(frames(AT[0], Some("owner"))),
        Domain::new("b")
            .heap()
            .sharing(frames(AT[1], Some("borrower")))
            .sharing(small(SMALL_AT[0])),
        Domain::new("c").heap().sharing(small(SMALL_AT[1])),
        Domain::new("d").heap(),
    ])
}

fn restart(sys: &mut System, index: usize) {
    let mut guest = sys.guest(index);
    guest.put(ARGS, &Shutdown { reason: 1 });
    assert_eq!(guest.try_hvc(SCHED_OP, &[SHUTDOWN, ARGS]), Ran::Restarts);
    sys.advance(2 * FREQUENCY);
    assert!(sys.is_alive(index));
}

#[test]
fn what_one_writes_the_other_reads() {
    let mut sys = system();
    sys.assert_consistent();
    for offset in [0, 0x1f_fff8, 0x20_0000, 0x3f_fff8, 0x40_0000, SIZE - 8] {
        assert_eq!(sys.guest(1).get::<u64>(AT[1] + offset), 0, "it is empty");
        sys.guest(0).put(AT[0] + offset, &(offset + 1));
        assert_eq!(sys.guest(1).get::<u64>(AT[1] + offset), offset + 1);
        sys.guest(1).put(AT[1] + offset, &!offset);
        assert_eq!(sys.guest(0).get::<u64>(AT[0] + offset), !offset);
    }
    for offset in [0, SMALL - 8] {
        sys.guest(2).put(SMALL_AT[1] + offset, &77_u64);
        assert_eq!(sys.guest(1).get::<u64>(SMALL_AT[0] + offset), 77);
    }
    // Nobody else, and nothing beside it.
    for gpa in [AT[0], SMALL_AT[1], 0x5000_0000] {
        assert!(!sys.guest(3).is_mapped(gpa));
    }
    assert!(!sys.guest(0).is_mapped(AT[0] + SIZE));
    assert!(!sys.guest(0).is_mapped(AT[0] - 1));
    assert!(!sys.guest(1).is_mapped(SMALL_AT[0] + SMALL));
    sys.assert_consistent();
}

/// Whoever restarts, in whichever order: the contents stay, for the other and for the next life.
#[test]
fn nobodys_restart_clears_it() {
    let mut sys = system();
    sys.guest(0).put(AT[0], &1_u64);
    sys.guest(1).put(AT[1] + SIZE - 8, &2_u64);
    for index in [0, 1, 1, 0] {
        restart(&mut sys, index);
        for (at, guest) in AT.into_iter().zip([0, 1]) {
            assert_eq!(sys.guest(guest).get::<u64>(at), 1);
            assert_eq!(sys.guest(guest).get::<u64>(at + SIZE - 8), 2);
        }
        sys.assert_consistent();
    }
    assert_eq!((sys.restarts(0), sys.restarts(1)), (2, 2));
}

/// It is not RAM: no argument of a hypercall, not the guest's to grant or to give up, not a place
/// for other pages, and not counted.
#[test]
fn it_is_not_the_guests_ram() {
    use xen_abi::memory::{self as mem, space};
    let mut sys = system();
    for (index, at) in [(0, AT[0]), (1, AT[1]), (1, SMALL_AT[0])] {
        let gfn = at >> 12;
        let mut guest = sys.guest(index);
        // A page of its own, granted to itself and mapped where there is nothing: the page tables
        // for what follows stay.
        let own = guest.domid();
        let entry = |frame: u64| 1 | u64::from(own) << 16 | frame << 32;
        let map = |host_addr| MapGrantRef {
            host_addr,
            flags: 2,
            gref: 9,
            dom: own,
            ..MapGrantRef::default()
        };
        let ram = ARGS >> 12;
        if !guest.is_mapped(TABLE) {
            assert_eq!(guest.add_to_physmap(space::GRANT_TABLE, 0, TABLE >> 12), 0);
        }
        guest.put(TABLE + 8 * 9, &entry(ram));
        guest.put(ARGS, &map(FREE));
        assert_eq!(guest.hvc(GRANT_TABLE_OP, &[MAP_GRANT_REF, ARGS, 1]), 0);
        let mapped = guest.get::<MapGrantRef>(ARGS);
        assert_eq!(mapped.status, status::OKAY);
        let unmap = UnmapGrantRef {
            host_addr: FREE,
            handle: mapped.handle,
            ..UnmapGrantRef::default()
        };
        guest.put(ARGS, &unmap);
        assert_eq!(guest.hvc(GRANT_TABLE_OP, &[UNMAP_GRANT_REF, ARGS, 1]), 0);
        assert_eq!(guest.get::<UnmapGrantRef>(ARGS).status, status::OKAY);
        let usage = sys.memory.usage(System::domain(index));
        let mut guest = sys.guest(index);
        guest.put(at, &[7_u64; 8]);
        // An argument there is no argument.
        assert_eq!(
            guest.hvc(MEMORY_OP, &[mem::CURRENT_RESERVATION, at]),
            EFAULT
        );
        // Given up: nothing is.
        guest.put(ARGS + 0x100, &gfn);
        let reservation = mem::Reservation {
            extent_start: GuestHandle::new(hv_types::Gva::new(ARGS + 0x100)),
            nr_extents: 1,
            domid: 0x7ff0,
            ..Default::default()
        };
        guest.put(ARGS, &reservation);
        assert_eq!(guest.hvc(MEMORY_OP, &[mem::DECREASE_RESERVATION, ARGS]), 0);
        assert_eq!(guest.hvc(MEMORY_OP, &[mem::POPULATE_PHYSMAP, ARGS]), 0);
        // Something else over it, or taken out.
        assert_eq!(guest.add_to_physmap(space::SHARED_INFO, 0, gfn), EINVAL);
        let remove = mem::RemoveFromPhysmap {
            domid: 0x7ff0,
            gpfn: gfn,
            ..Default::default()
        };
        guest.put(ARGS, &remove);
        assert_eq!(
            guest.hvc(MEMORY_OP, &[mem::REMOVE_FROM_PHYSMAP, ARGS]),
            EINVAL
        );
        // Granted to itself and mapped, elsewhere: there is no such page.
        guest.put(TABLE + 8 * 9, &entry(gfn));
        guest.put(ARGS, &map(FREE));
        assert_eq!(guest.hvc(GRANT_TABLE_OP, &[MAP_GRANT_REF, ARGS, 1]), 0);
        assert_eq!(guest.get::<MapGrantRef>(ARGS).status, status::BAD_PAGE);
        // A page of its own, over it.
        guest.put(TABLE + 8 * 9, &entry(ram));
        guest.put(ARGS, &map(at));
        assert_eq!(guest.hvc(GRANT_TABLE_OP, &[MAP_GRANT_REF, ARGS, 1]), 0);
        assert_eq!(guest.get::<MapGrantRef>(ARGS).status, status::GENERAL_ERROR);
        assert_eq!(guest.get::<[u64; 8]>(at), [7; 8], "it stays");
        assert_eq!(sys.memory.usage(System::domain(index)), usage);
    }
    sys.assert_consistent();
}

/// A VMM that stops loses it; the other guest goes on with the contents.
#[test]
fn a_vmm_that_stopped_takes_it_from_nobody() {
    let mut sys = system();
    sys.guest(1).put(AT[1], &5_u64);
    sys.crash(1);
    assert_eq!(sys.guest(0).get::<u64>(AT[0]), 5);
    sys.guest(0).put(AT[0], &6_u64);
    sys.assert_consistent();
    let mut memory = sys.memory.client(System::domain(1));
    assert_eq!(memory.call(Request::Shared { frame: 0 }), Err(Error::Dying));
}
