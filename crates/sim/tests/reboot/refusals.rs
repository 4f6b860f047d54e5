//! The kernel refuses something in the middle of a restart.

use super::*;

/// What became of guest `index` after a restart in which an operation was refused: alive and like
/// new, or down with nothing.
fn check(sys: &mut System, index: usize, what: &str) -> bool {
    sys.advance(FREQUENCY);
    let totals = sys.memory.totals();
    assert_eq!(totals.sum(), totals.all, "{what}: {totals:?}");
    sys.assert_consistent();
    let alive = sys.is_alive(index);
    let usage = sys.memory.usage(System::domain(index));
    if alive {
        assert_eq!(usage.ram, 4096, "{what}");
        let mut guest = sys.guest(index);
        assert_eq!(reservation(&mut guest), PAGES, "{what}");
        guest.map_shared_info();
        assert_ne!(guest.bytes(FREE + 0x80_000, 8), MARK, "{what}");
    } else {
        assert_eq!((usage.ram, usage.extra, usage.tables), (0, 0, 0), "{what}");
        assert!(
            sys.vmm_log(index)
                .iter()
                .any(|line| line.contains("the guest is not started")),
            "{what}: {:?}",
            sys.vmm_log(index)
        );
    }
    // Whatever happened to it, the other goes on.
    let mut other = sys.guest(1 - index);
    live_a_little(&mut other);
    restart(&mut other, true);
    assert!(sys.is_alive(1 - index), "{what}");
    alive
}

/// A short life after which one block is split.
fn live_a_little(guest: &mut Guest<'_>) {
    guest.map_shared_info();
    assert_eq!(decrease(guest, &[FREE >> 12]), 1);
    // All of its pages are the guest's to see.
    for page in 1..512 {
        assert!(guest.is_mapped(FREE + page * 4096));
    }
    guest.put(FREE + 0x80_000, &MARK);
}

/// Which of `count` operations are refused: all at the beginning and the end, where they differ,
/// and some of those between, which take pages of the split block back one by one where they are
/// the heap's.
fn chosen(count: u32) -> impl Iterator<Item = u32> {
    (0..count).filter(move |n| *n < 24 || n + 72 > count || n % 61 == 0)
}

/// SM-9, SM-14, EX-5: operations of the memory server in a restart are refused, one in each run:
/// what goes back goes on where it stopped; what could not be built leaves nothing behind.
#[test]
fn operations_of_the_server_are_refused_one_by_one() {
    for index in [0, 1] {
        let mut sys = System::two();
        live_a_little(&mut sys.guest(index));
        let before = sys.memory.machine().look().operations;
        restart(&mut sys.guest(index), true);
        let count = u32::try_from(sys.memory.machine().look().operations - before).unwrap();
        assert!(count > 60, "{count}");
        let (mut restarted, mut down) = (0, 0);
        for n in chosen(count) {
            let mut sys = System::two();
            live_a_little(&mut sys.guest(index));
            sys.memory.machine().change().faults.kernel = Some(n);
            let ran = sys.guest(index).smc(&[RESET]);
            assert!(matches!(ran, Ran::Restarts | Ran::Stopped(_)));
            assert_eq!(sys.memory.machine().look().faults.kernel, None, "it came");
            let alive = check(&mut sys, index, &format!("guest {index}, operation {n}"));
            *if alive { &mut restarted } else { &mut down } += 1;
        }
        assert!(restarted > 30 && down > 10, "{restarted} {down}");
    }
}

/// EX-5, SM-9: each mapping of a restart is refused once.
#[test]
fn mappings_are_refused_one_by_one() {
    for index in [0, 1] {
        let mut sys = System::two();
        live_a_little(&mut sys.guest(index));
        let before = sys.memory.machine().look().mappings;
        restart(&mut sys.guest(index), true);
        let count = u32::try_from(sys.memory.machine().look().mappings - before).unwrap();
        assert!(count > 20, "{count}");
        for n in 0..count {
            let mut sys = System::two();
            live_a_little(&mut sys.guest(index));
            sys.memory.machine().change().faults.mapping = Some(n);
            let ran = sys.guest(index).smc(&[RESET]);
            assert!(matches!(ran, Ran::Restarts | Ran::Stopped(_)));
            assert_eq!(sys.memory.machine().look().faults.mapping, None, "it came");
            check(&mut sys, index, &format!("guest {index}, mapping {n}"));
        }
    }
}

/// SM-15: a kernel that refuses for ever leaves the guest dying and everybody else as they are.
#[test]
fn a_kernel_that_refuses_for_ever_ends_one_guest() {
    let mut sys = System::two();
    live(&mut sys.guest(0), 4);
    sys.memory.machine().change().faults.kernel_always = true;
    assert!(matches!(sys.guest(0).smc(&[RESET]), Ran::Stopped(_)));
    sys.memory.machine().change().faults.kernel_always = false;
    sys.advance(FREQUENCY);
    assert!(!sys.is_alive(0) && sys.is_alive(1));
    let log = sys.vmm_log(0);
    assert!(
        log.iter()
            .any(|line| line.contains("does not take the guest's memory back")),
        "{log:?}"
    );
    let totals = sys.memory.totals();
    assert_eq!(totals.sum(), totals.all);
    restart(&mut sys.guest(1), true);
    sys.assert_consistent();
}
