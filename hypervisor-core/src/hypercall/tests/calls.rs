//! Numbers, and lists of calls.

use hv_types::{FrameSize, Gfn};
use memory_server_api::{Granted, Reply, Slot, SplitKind};
use xen_abi::memory::{REMOVE_FROM_PHYSMAP, RemoveFromPhysmap};
use xen_abi::multicall::MulticallEntry;
use xen_abi::number::{self, MULTICALL, SCHED_OP, XEN_VERSION};
use xen_abi::version::PAGESIZE;

use super::{BUF, DOMID, EACCES, EFAULT, EINVAL, ENOSYS, EPERM, Guest, HOLE, LAST_PAGE, RAM};
use crate::domain::shutdown::StopReason;
use crate::hypercall::outcome::Outcome;
use crate::memory::p2m::Page;

#[test]
fn unknown_numbers_are_enosys_in_64_bits() {
    let mut guest = Guest::new();
    let known: Vec<u64> = crate::hypercall::ROWS
        .iter()
        .map(|row| row.number)
        .collect();
    for nr in (0..128).filter(|nr| !known.contains(nr)) {
        assert_eq!(guest.result(nr, &[BUF, BUF, BUF]), ENOSYS, "{nr}");
    }
    for nr in [
        u64::MAX,
        1 << 32,
        (1 << 32) | XEN_VERSION,
        1 << 63,
        u64::from(u32::MAX),
    ] {
        assert_eq!(guest.result(nr, &[0, 0]), ENOSYS, "{nr:#x}");
    }
}

#[test]
fn toolstack_calls_look_at_the_version_and_then_at_the_privilege() {
    let mut guest = Guest::new();
    for (nr, version, size) in [
        (number::PLATFORM_OP, 0x0300_0001u32, 136),
        (number::SYSCTL, 0x16, 136),
        (number::DOMCTL, 0x18, 144),
    ] {
        for arg in [0, HOLE, LAST_PAGE + 4096 - size + 8] {
            assert_eq!(guest.result(nr, &[arg]), EFAULT);
        }
        guest.fill(BUF, 144, 0);
        assert_eq!(guest.result(nr, &[BUF]), EACCES);
        guest.put(BUF + 4, &version);
        assert_eq!(guest.result(nr, &[BUF]), EPERM);
        guest.put(LAST_PAGE + 4096 - size + 4, &version);
        assert_eq!(guest.result(nr, &[LAST_PAGE + 4096 - size]), EPERM);
    }
    // One domctl has an interface without versions.
    guest.fill(BUF, 144, 0);
    guest.put(BUF, &90u32);
    assert_eq!(guest.result(number::DOMCTL, &[BUF]), EPERM);
    assert_eq!(guest.result(number::HYPFS_OP, &[0, HOLE]), EPERM);
    for op in 0..64 {
        assert_eq!(guest.result(number::PHYSDEV_OP, &[op, BUF]), ENOSYS);
    }
}

const LIST: u64 = RAM + 0x6000;

fn list(guest: &mut Guest, calls: &[(u64, [u64; 2])]) {
    for (at, (op, [a, b])) in (LIST..).step_by(64).zip(calls) {
        let args = [*a, *b, 0, 0, 0, 0xfeed];
        guest.put(
            at,
            &MulticallEntry {
                op: *op,
                result: 0x5555,
                args,
            },
        );
    }
}

fn results(guest: &Guest, count: u64) -> Vec<i64> {
    (0..count)
        .map(|i| guest.get::<MulticallEntry>(LIST + i * 64).result)
        .collect()
}

#[test]
fn a_list_is_worked_off_whatever_its_calls_return() {
    let mut guest = Guest::new();
    list(
        &mut guest,
        &[
            (XEN_VERSION, [0, 0]),
            (99, [0, 0]),
            (MULTICALL, [LIST, 1]),
            (XEN_VERSION, [PAGESIZE, 0]),
            (XEN_VERSION, [PAGESIZE, 1]),
            (XEN_VERSION, [0, 0]),
        ],
    );
    assert_eq!(guest.call(MULTICALL, &[LIST, 5]), Outcome::Return(0));
    assert_eq!(
        results(&guest, 6),
        [0x40016, ENOSYS, EINVAL, 4096, EINVAL, 0x5555]
    );
    assert_eq!(
        guest.call(MULTICALL, &[HOLE, 0]),
        Outcome::Return(0),
        "an empty list"
    );
    assert_eq!(
        guest.call(MULTICALL, &[HOLE, 1 << 32]),
        Outcome::Return(EFAULT),
        "the count has 64 bits"
    );
}

#[test]
fn an_unreadable_list_is_a_fault() {
    let mut guest = Guest::new();
    for at in [0, HOLE, u64::MAX - 63, u64::MAX] {
        assert_eq!(guest.result(MULTICALL, &[at, 1]), EFAULT, "{at:#x}");
    }
    let last = LAST_PAGE + 4096 - 64;
    guest.put(
        last,
        &MulticallEntry {
            op: XEN_VERSION,
            ..Default::default()
        },
    );
    assert_eq!(guest.result(MULTICALL, &[last, 2]), EFAULT);
    assert_eq!(
        guest.get::<MulticallEntry>(last).result,
        0x40016,
        "the first was done"
    );
}

#[test]
fn a_long_list_is_continued_and_nothing_is_done_twice() {
    let mut guest = Guest::new();
    list(&mut guest, &[(XEN_VERSION, [0, 0]); 40]);
    let mut args = [LIST, 40, 2, 3, 4];
    let mut rounds = 0;
    loop {
        rounds += 1;
        match guest.call(MULTICALL, &args) {
            Outcome::Return(result) => {
                assert_eq!(result, 0);
                break;
            }
            Outcome::Continue { args: next } => {
                assert!(next[1] < args[1] && next[0] > args[0], "progress");
                assert_eq!(next[2..], [2, 3, 4], "registers that are no argument stay");
                args = next;
            }
            other => panic!("{other:?}"),
        }
        // A call that was done must not be done again.
        list(&mut guest, &[(99, [0, 0]); 1]);
    }
    assert_eq!(rounds, 3);
    assert_eq!(results(&guest, 40)[1..], [0x40016; 39]);
    assert_eq!(results(&guest, 1), [0x5555]);
}

#[test]
fn waiting_and_stopping_within_a_list() {
    let mut guest = Guest::new();
    list(&mut guest, &[(SCHED_OP, [0, 0]), (XEN_VERSION, [0, 0])]);
    assert_eq!(guest.call(MULTICALL, &[LIST, 2]), Outcome::Yield);
    assert_eq!(results(&guest, 2), [0, 0x40016]);
    list(
        &mut guest,
        &[
            (SCHED_OP, [1, 0]),
            (SCHED_OP, [0, 0]),
            (XEN_VERSION, [0, 0]),
        ],
    );
    assert_eq!(guest.call(MULTICALL, &[LIST, 3]), Outcome::Block);
    assert_eq!(results(&guest, 3), [0, 0, 0x40016]);
    guest.put::<u32>(BUF, &1);
    list(&mut guest, &[(SCHED_OP, [2, BUF]), (XEN_VERSION, [0, 0])]);
    assert_eq!(
        guest.call(MULTICALL, &[LIST, 2]),
        Outcome::Stop(StopReason::Reboot)
    );
    assert_eq!(results(&guest, 2), [0x5555, 0x5555]);
}

#[test]
fn a_list_that_is_taken_away_by_one_of_its_calls() {
    let mut guest = Guest::new();
    let tables = Reply::Tables {
        first: Slot(8),
        count: 3,
    };
    guest.host.memory.replies.push_back(Ok(tables));
    let pages = Granted {
        first: Slot(2048),
        count: 512,
        size: FrameSize::Page,
    };
    guest.host.memory.replies.push_back(Ok(Reply::Split {
        kind: SplitKind::InPlace,
        pages,
    }));
    let gpfn = LIST >> 12;
    guest.put(
        BUF,
        &RemoveFromPhysmap {
            domid: DOMID,
            pad: [0; 6],
            gpfn,
        },
    );
    let remove = (number::MEMORY_OP, [REMOVE_FROM_PHYSMAP, BUF]);
    list(
        &mut guest,
        &[(XEN_VERSION, [0, 0]), remove, (XEN_VERSION, [0, 0])],
    );
    assert_eq!(guest.vm.domain.p2m.lookup(Gfn::new(gpfn)), Page::Ram);
    assert_eq!(guest.result(MULTICALL, &[LIST, 3]), EFAULT);
    assert_eq!(guest.vm.domain.p2m.lookup(Gfn::new(gpfn)), Page::Hole);
    let nothing_into_the_hole = [0x40016, 0x5555, 0x5555];
    assert_eq!(results(&guest, 3), nothing_into_the_hole);
}
