//! Grants between domains, as their guests see them.

use sim::guest::insn::Width;
use sim::guest::{ARGS, FREE, SHARED_INFO};
use sim::{Domain, FREQUENCY, Guest, Ran, System};
use xen_abi::grant::{self, MapGrantRef, UnmapGrantRef, status};
use xen_abi::memory::space;
use xen_abi::number::{GRANT_TABLE_OP, MEMORY_OP, SCHED_OP};
use xen_abi::sched::{SHUTDOWN, Shutdown};

/// Where the table lies, and where mappings go: nothing else is there.
const TABLE: u64 = SHARED_INFO + 0x10_0000;
const AT: u64 = SHARED_INFO + 0x20_0000;
/// Flags of a mapping: for the CPU; not to be written.
const HOST: u32 = 2;
const READ: u32 = 4;
/// Flags of an entry: granted; not to be written; in use, to be written.
const GRANTED: u16 = 1;
const READONLY: u16 = 4;
const READING: u16 = 8;
const WRITING: u16 = 16;

/// Domains 1 and 2 map each other's grants, 3 only meets domain 1, 4 meets nobody.
fn system() -> System {
    let mut sys = System::new(&[
        Domain::new("a"),
        Domain::new("b").heap().granting("a"),
        Domain::new("c").heap().meeting("a"),
        Domain::new("d").heap(),
    ]);
    for index in 0..4 {
        table(&mut sys, index);
    }
    sys
}

fn table(sys: &mut System, index: usize) {
    let mut guest = sys.guest(index);
    assert_eq!(guest.add_to_physmap(space::GRANT_TABLE, 0, TABLE >> 12), 0);
}

/// Guest `index` grants the page at `at` to domain `to`.
fn publish(sys: &mut System, index: usize, gref: u32, (flags, to): (u16, u16), at: u64) {
    let entry = u64::from(flags) | u64::from(to) << 16 | at >> 12 << 32;
    sys.guest(index).put(TABLE + 8 * u64::from(gref), &entry);
}

fn flags(sys: &mut System, index: usize, gref: u32) -> u16 {
    sys.guest(index).get(TABLE + 8 * u64::from(gref))
}

fn map(guest: &mut Guest<'_>, dom: u16, gref: u32, at: u64, flags: u32) -> Result<u32, i16> {
    let op = MapGrantRef {
        host_addr: at,
        flags,
        gref,
        dom,
        status: 99,
        handle: 0x5555,
        ..MapGrantRef::default()
    };
    let mut op = op;
    assert_eq!(element(guest, grant::MAP_GRANT_REF, &mut op), 0);
    if op.status == status::OKAY {
        return Ok(op.handle);
    }
    assert_eq!(op.handle, 0x5555);
    Err(op.status)
}

fn element<T>(guest: &mut Guest<'_>, op: u64, element: &mut T) -> i64
where
    T: zerocopy::IntoBytes + zerocopy::FromBytes + zerocopy::Immutable,
{
    guest.put(ARGS, element);
    let at = guest.ptr(ARGS);
    let done = guest.hvc(GRANT_TABLE_OP, &[op, at, 1]);
    *element = guest.get(ARGS);
    done
}

fn unmap(guest: &mut Guest<'_>, at: u64, handle: u32) -> i16 {
    let op = UnmapGrantRef {
        host_addr: at,
        handle,
        status: 99,
        ..UnmapGrantRef::default()
    };
    let mut op = op;
    assert_eq!(element(guest, grant::UNMAP_GRANT_REF, &mut op), 0);
    op.status
}

/// Guest `index` gives the page at `at` back.
fn give_back(sys: &mut System, index: usize, at: u64) -> i64 {
    let mut guest = sys.guest(index);
    guest.put(ARGS + 64, &(at >> 12));
    let list = guest.ptr(ARGS + 64);
    let arg: [u64; 4] = [list, 1, 0, 0x7ff0];
    guest.put(ARGS, &arg);
    let arg = guest.ptr(ARGS);
    guest.hvc(MEMORY_OP, &[xen_abi::memory::DECREASE_RESERVATION, arg])
}

fn restart(sys: &mut System, index: usize) {
    let mut guest = sys.guest(index);
    guest.put(ARGS, &Shutdown { reason: 1 });
    assert_eq!(guest.try_hvc(SCHED_OP, &[SHUTDOWN, ARGS]), Ran::Restarts);
    sys.advance(2 * FREQUENCY);
    table(sys, index);
}

/// Reads at `AT`, where nothing is: what the guest finds when it looks again.
fn touch(guest: &mut Guest<'_>) -> u64 {
    assert!(!guest.is_present(AT));
    assert_eq!(guest.access(AT, Width::Double, false), Ran::Again);
    guest.load(AT, Width::Double)
}

fn both_ways(test: impl Fn(System, usize, usize)) {
    for (owner, borrower) in [(0, 1), (1, 0)] {
        test(system(), owner, borrower);
    }
}

fn id(index: usize) -> u16 {
    u16::try_from(index).unwrap() + 1
}

#[test]
fn a_page_of_another_domain_is_mapped_and_unmapped() {
    both_ways(|mut sys, a, b| {
        publish(&mut sys, a, 20, (GRANTED, id(b)), FREE);
        sys.guest(a).put(FREE, &0x1234u64);
        assert!(!sys.guest(b).is_mapped(AT));
        let handle = map(&mut sys.guest(b), id(a), 20, AT, HOST).unwrap();
        assert_eq!(flags(&mut sys, a, 20), GRANTED | READING | WRITING);
        assert_eq!(sys.guest(b).get::<u64>(AT), 0x1234);
        sys.guest(b).put(AT + 8, &0x4321u64);
        assert_eq!(sys.guest(a).get::<u64>(FREE + 8), 0x4321);
        // Once in use, neither the frame nor the flags count any more.
        publish(&mut sys, a, 20, (READING | WRITING, 77), FREE + 0x1000);
        let again = map(&mut sys.guest(b), id(a), 20, AT + 0x1000, HOST | READ).unwrap();
        assert_eq!(sys.guest(b).get::<u64>(AT + 0x1008), 0x4321);
        assert!(!sys.guest(b).try_write(AT + 0x1000, &[1]), "read only");
        assert_eq!(unmap(&mut sys.guest(b), 0, handle), status::OKAY);
        assert_eq!(
            unmap(&mut sys.guest(b), FREE, handle),
            status::GENERAL_ERROR
        );
        assert_eq!(unmap(&mut sys.guest(b), AT, handle), status::OKAY);
        assert!(!sys.guest(b).is_mapped(AT));
        assert_eq!(flags(&mut sys, a, 20), READING, "one that reads is left");
        assert_eq!(unmap(&mut sys.guest(b), AT, handle), status::BAD_HANDLE);
        assert_eq!(unmap(&mut sys.guest(b), AT + 0x1000, again), status::OKAY);
        assert_eq!(flags(&mut sys, a, 20), 0);
        sys.assert_consistent();
    });
}

#[test]
fn what_is_not_granted_is_not_mapped() {
    both_ways(|mut sys, a, b| {
        for (gref, entry) in [
            (20, (GRANTED, id(b))),
            (21, (GRANTED | READONLY, id(b))),
            (22, (0, id(b))),
            (23, (2, id(b))),
            (24, (3, id(b))),
            (25, (GRANTED | 1 << 8, id(b))),
            (26, (GRANTED, id(a))),
            (27, (GRANTED, 3)),
        ] {
            publish(&mut sys, a, gref, entry, FREE);
        }
        publish(&mut sys, a, 28, (GRANTED, id(b)), 0x1000);
        publish(&mut sys, a, 29, (GRANTED, id(b)), 0xffff_ffff << 12);
        publish(&mut sys, a, 30, (GRANTED, id(b)), TABLE);
        let before: Vec<u16> = (20..31).map(|gref| flags(&mut sys, a, gref)).collect();
        let mut refused = |dom, gref, at, flags| map(&mut sys.guest(b), dom, gref, at, flags);
        for gref in 22..28 {
            assert_eq!(refused(id(a), gref, AT, HOST), Err(status::GENERAL_ERROR));
        }
        for gref in 28..31 {
            assert_eq!(refused(id(a), gref, AT, HOST), Err(status::BAD_PAGE));
        }
        assert_eq!(refused(id(a), 21, AT, HOST), Err(status::GENERAL_ERROR));
        for gref in [512, 32_767, 32_768, u32::MAX] {
            assert_eq!(refused(id(a), gref, AT, HOST), Err(status::BAD_GNTREF));
        }
        for flags in [0, READ, 8] {
            assert_eq!(refused(id(a), 20, AT, flags), Err(status::BAD_GNTREF));
        }
        for flags in [HOST | 1, HOST | 8, HOST | 16, HOST | 1 << 16] {
            assert_eq!(refused(id(a), 20, AT, flags), Err(status::GENERAL_ERROR));
        }
        assert_eq!(
            refused(id(a), 20, 1 << 40, HOST),
            Err(status::GENERAL_ERROR)
        );
        assert_eq!(refused(4, 20, AT, HOST), Err(status::PERMISSION_DENIED));
        assert_eq!(refused(9, 20, AT, HOST), Err(status::BAD_DOMAIN));
        assert_eq!(refused(0x7ff0, 20, AT, HOST), Err(status::BAD_DOMAIN));
        let after: Vec<u16> = (20..31).map(|gref| flags(&mut sys, a, gref)).collect();
        assert_eq!(after, before, "nothing is marked");
        let handle = map(&mut sys.guest(b), id(a), 21, AT, HOST | READ).unwrap();
        assert_eq!(flags(&mut sys, a, 21), GRANTED | READONLY | READING);
        assert_eq!(unmap(&mut sys.guest(b), AT, handle), status::OKAY);
        sys.assert_consistent();
    });
}

/// Who only has events with a domain, or does not meet it, maps nothing of it.
#[test]
fn the_domains_file_says_who_may() {
    let mut sys = system();
    for to in 2..=4 {
        publish(&mut sys, 0, 20 + u32::from(to), (GRANTED, to), FREE);
    }
    for index in [2, 3] {
        let asked = map(
            &mut sys.guest(index),
            1,
            21 + id(index) as u32 - 1,
            AT,
            HOST,
        );
        assert_eq!(asked, Err(status::PERMISSION_DENIED));
    }
}

#[test]
fn a_grant_is_in_use_so_often_and_by_one_domain() {
    let mut sys = System::new(&[
        Domain::new("a"),
        Domain::new("b").granting("a"),
        Domain::new("c").heap().granting("a"),
    ]);
    (0..3).for_each(|index| table(&mut sys, index));
    publish(&mut sys, 0, 9, (GRANTED, 2), FREE);
    let mut handles = Vec::new();
    for n in 0..128 {
        handles.push(map(&mut sys.guest(1), 1, 9, AT + n * 0x1000, HOST | READ).unwrap());
    }
    let more = map(&mut sys.guest(1), 1, 9, AT + 0x80_0000, HOST | READ);
    assert_eq!(more, Err(status::GENERAL_ERROR));
    let write = map(&mut sys.guest(1), 1, 9, AT + 0x80_0000, HOST).unwrap();
    // Now it is granted to another one, who has to wait.
    publish(&mut sys, 0, 9, (GRANTED, 3), FREE);
    let other = map(&mut sys.guest(2), 1, 9, AT, HOST);
    assert_eq!(other, Err(status::GENERAL_ERROR));
    assert_eq!(unmap(&mut sys.guest(1), AT + 0x80_0000, write), 0);
    for (n, handle) in (0..).zip(handles) {
        assert_eq!(unmap(&mut sys.guest(1), AT + n * 0x1000, handle), 0);
    }
    assert_eq!(flags(&mut sys, 0, 9), GRANTED);
    assert!(map(&mut sys.guest(2), 1, 9, AT, HOST).is_ok());
    sys.assert_consistent();
}

/// Over RAM, which comes back, and where RAM was given up.
#[test]
fn a_mapping_covers_ram_and_holes() {
    both_ways(|mut sys, a, b| {
        publish(&mut sys, a, 20, (GRANTED, id(b)), FREE);
        sys.guest(a).put(FREE, &0x77u8);
        let over = FREE + 0x20_0000;
        sys.guest(b).put(over, &0x55u8);
        let handle = map(&mut sys.guest(b), id(a), 20, over, HOST).unwrap();
        assert_eq!(sys.guest(b).get::<u8>(over), 0x77);
        assert_eq!(give_back(&mut sys, b, over), 0, "it is not RAM");
        assert_eq!(unmap(&mut sys.guest(b), over, handle), status::OKAY);
        assert!(!sys.guest(b).is_mapped(over));
        let hole = over + 0x1000;
        assert_eq!(give_back(&mut sys, b, hole), 1);
        let handle = map(&mut sys.guest(b), id(a), 20, hole, HOST).unwrap();
        assert_eq!(sys.guest(b).get::<u8>(hole), 0x77);
        // Another mapping takes its place; it is in use all the same.
        let second = map(&mut sys.guest(b), id(a), 20, hole, HOST | READ).unwrap();
        assert!(!sys.guest(b).try_write(hole, &[1]));
        assert_eq!(unmap(&mut sys.guest(b), hole, second), status::OKAY);
        assert!(!sys.guest(b).is_mapped(hole));
        assert_eq!(flags(&mut sys, a, 20), GRANTED | READING | WRITING);
        assert_eq!(unmap(&mut sys.guest(b), hole, handle), status::OKAY);
        assert_eq!(flags(&mut sys, a, 20), GRANTED);
        sys.assert_consistent();
    });
}

/// The owner gives a page up that is mapped: it is the owner's no more, and not the borrower's
/// either, who finds an empty one.
#[test]
fn a_page_that_is_given_up_leaves_an_empty_one() {
    both_ways(|mut sys, a, b| {
        publish(&mut sys, a, 20, (GRANTED, id(b)), FREE);
        sys.guest(a).put(FREE, &0x1234u64);
        let handle = map(&mut sys.guest(b), id(a), 20, AT, HOST).unwrap();
        assert_eq!(give_back(&mut sys, a, FREE), 1);
        let mut guest = sys.guest(b);
        assert_eq!(touch(&mut guest), 0);
        guest.put(AT, &9u64);
        let other = map(&mut sys.guest(b), id(a), 20, AT + 0x1000, HOST);
        assert_eq!(other, Err(status::GENERAL_ERROR), "its page is gone");
        assert_eq!(unmap(&mut sys.guest(b), AT, handle), status::OKAY);
        assert_eq!(flags(&mut sys, a, 20), GRANTED);
        assert!(!sys.guest(b).is_mapped(AT));
        let other = map(&mut sys.guest(b), id(a), 20, AT, HOST);
        assert_eq!(other, Err(status::BAD_PAGE));
        sys.assert_consistent();
    });
}

#[test]
fn the_owner_ends_first() {
    both_ways(|mut sys, a, b| {
        publish(&mut sys, a, 20, (GRANTED, id(b)), FREE);
        let handle = map(&mut sys.guest(b), id(a), 20, AT, HOST).unwrap();
        restart(&mut sys, a);
        sys.assert_consistent();
        assert_eq!(flags(&mut sys, a, 20), 0);
        // The new life's grant is its own affair.
        publish(&mut sys, a, 20, (GRANTED, id(b)), FREE);
        let again = map(&mut sys.guest(b), id(a), 20, AT + 0x1000, HOST).unwrap();
        assert_eq!(unmap(&mut sys.guest(b), AT, handle), status::OKAY);
        assert_eq!(flags(&mut sys, a, 20), GRANTED | READING | WRITING);
        assert_eq!(unmap(&mut sys.guest(b), AT + 0x1000, again), status::OKAY);
        assert_eq!(flags(&mut sys, a, 20), GRANTED);
        sys.assert_consistent();
    });
}

#[test]
fn the_borrower_ends_first() {
    both_ways(|mut sys, a, b| {
        for n in 0..200 {
            publish(
                &mut sys,
                a,
                20 + n,
                (GRANTED, id(b)),
                FREE + 0x1000 * u64::from(n),
            );
            let at = AT + 0x1000 * u64::from(n);
            map(&mut sys.guest(b), id(a), 20 + n, at, HOST).unwrap();
        }
        restart(&mut sys, b);
        for n in 0..200 {
            assert_eq!(flags(&mut sys, a, 20 + n), GRANTED);
        }
        sys.assert_consistent();
        let handle = map(&mut sys.guest(b), id(a), 20, AT, HOST).unwrap();
        assert_eq!(unmap(&mut sys.guest(b), AT, handle), status::OKAY);
    });
}

#[test]
fn either_vmm_crashes() {
    both_ways(|mut sys, a, b| {
        publish(&mut sys, a, 20, (GRANTED, id(b)), FREE);
        map(&mut sys.guest(b), id(a), 20, AT, HOST).unwrap();
        sys.crash(b);
        assert_eq!(flags(&mut sys, a, 20), GRANTED);
        sys.assert_consistent();
    });
    both_ways(|mut sys, a, b| {
        publish(&mut sys, a, 20, (GRANTED, id(b)), FREE);
        let handle = map(&mut sys.guest(b), id(a), 20, AT, HOST).unwrap();
        sys.crash(a);
        assert_eq!(touch(&mut sys.guest(b)), 0);
        let other = map(&mut sys.guest(b), id(a), 20, AT + 0x1000, HOST);
        assert_eq!(other, Err(status::BAD_GNTREF));
        assert_eq!(unmap(&mut sys.guest(b), AT, handle), status::OKAY);
        sys.assert_consistent();
    });
}

/// A VMM that does not say where its guest's pages are keeps others for a while, not for ever.
#[test]
fn an_owner_that_says_nothing_is_not_waited_for() {
    let mut sys = system();
    publish(&mut sys, 0, 20, (GRANTED, 2), FREE);
    sys.hang(0);
    let before = sys.now();
    let asked = map(&mut sys.guest(1), 1, 20, AT, HOST);
    assert_eq!(asked, Err(status::EAGAIN));
    assert!(sys.now() - before < FREQUENCY / 10);
}
