//! Another vCPU of the guest writes while the VMM works: between any two of its accesses to guest
//! memory, for every hypercall that takes a pointer.

use hypervisor_core::hypercall::ROWS;
use sim::guest::{ARGS, CONSOLE_PAGE, FREE, SHARED_INFO};
use sim::meddler::Meddler;
use sim::{Guest, Ran, System};
use xen_abi::number;

use super::common::{assert_untouched, reservation};
use super::{all_on, smp};

/// Seeds for each operation.
const SEEDS: u64 = 24;
/// A list behind the structure.
const LIST: u64 = ARGS + 0x400;
const GRANTS: u64 = 0x3800_0000;

/// What makes sense somewhere in an argument: domains, frames, ports, sizes, pointers.
fn values() -> Vec<u64> {
    let frames = [FREE, FREE + 0x20_0000, SHARED_INFO, GRANTS, ARGS].map(|at| at >> 12);
    let mut values = vec![
        0,
        1,
        2,
        3,
        9,
        0x7ff0,
        0x7ff0_7ff0,
        u64::MAX,
        LIST,
        LIST + 0xff8,
        ARGS,
        1 << 40,
        0x10_0000,
        512,
        4096,
    ];
    values.extend(frames);
    values.extend(frames.map(|frame| frame << 32 | 1));
    values
}

/// Arguments for operation `cmd` of hypercall `nr` whose structure is at [`ARGS`].
fn args(nr: u64, cmd: u64) -> [u64; 5] {
    match nr {
        number::MULTICALL => [ARGS, 3, 0, 0, 0],
        number::CONSOLE_IO => [cmd, 48, ARGS, 0, 0],
        number::VCPU_OP => [cmd, 2, ARGS, 0, 0],
        number::GRANT_TABLE_OP => [cmd, ARGS, 3, 0, 0],
        number::PLATFORM_OP | number::SYSCTL | number::DOMCTL => [ARGS, 0, 0, 0, 0],
        _ => [cmd, ARGS, 2, 0, 0],
    }
}

/// What the structure holds before anybody meddles, by the look of most of them.
fn fill(guest: &mut Guest<'_>, nr: u64, shape: u64) {
    let own = 0x7ff0_u64;
    let words: [u64; 8] = match (nr, shape % 3) {
        (number::MULTICALL, _) => [number::MEMORY_OP, 0, 3, LIST, 0, 0, 0, 0],
        (number::MEMORY_OP, 0) => [LIST, 4, 0, own, LIST, 4, 0, own],
        (number::MEMORY_OP, 1) => [own, 0, FREE >> 12, 0, 0, 0, 0, 0],
        (_, 0) => [own | own << 16, 1, 0, 0, 0, 0, 0, 0],
        (_, 1) => [LIST, 2, 0, LIST, 2, 0, 0, 0],
        _ => [1, 1, own << 32, 1, 1, own << 32, 0, 0],
    };
    guest.put(ARGS, &words);
    guest.put(ARGS + 64, &words);
    let list: [u64; 8] = core::array::from_fn(|n| (FREE >> 12) + n as u64);
    guest.put(LIST, &list);
}

/// One call of which everything can be expected but harm.
fn call(guest: &mut Guest<'_>, nr: u64, args: [u64; 5]) {
    for (n, value) in (0..).zip(args) {
        guest.set_x(n, value);
    }
    guest.set_x(16, nr);
    for _ in 0..20 {
        match guest.hvc_imm(number::HVC_IMMEDIATE, sim::Way::Register) {
            Ran::Again => {}
            Ran::WaitingToRetry | Ran::Waiting => {
                guest.sys.advance_to_next_event();
                return;
            }
            _ => return,
        }
    }
}

#[test]
fn what_another_vcpu_writes_meanwhile_hurts_nobody() {
    let mut stores = 0;
    // Every operation that there is, whether or not it looks at its pointer.
    for row in ROWS {
        let (nr, cmd) = (row.number, row.cmd.unwrap_or(0));
        let (mut sys, mut port) = fresh();
        for seed in 0..SEEDS {
            if !sys.guest(0).is_running() || !sys.guest(0).has_text() {
                (sys, port) = fresh();
            }
            let mut guest = sys.guest(0);
            if !guest.is_mapped(ARGS) || !guest.is_mapped(LIST) {
                (sys, port) = fresh();
                guest = sys.guest(0);
            }
            fill(&mut guest, nr, seed);
            let mut values = values();
            values.push(port.into());
            let ranges = [
                (ARGS, 0x80),
                (LIST, 0x40),
                (SHARED_INFO, 64),
                (SHARED_INFO + 560, 64),
                (CONSOLE_PAGE + 3072, 20),
                (FREE, 64),
            ];
            let seed = seed ^ nr << 32 ^ cmd << 16;
            guest.meddle(Some(Meddler::new(seed, &ranges, &values)));
            call(&mut guest, nr, args(nr, cmd));
            let meddler = sys.guest(0).meddle(None);
            stores += meddler.map_or(0, |meddler| meddler.stores());
            sys.assert_consistent();
        }
        assert_neighbour(&mut sys);
    }
    assert!(stores > 10_000, "only {stores} stores: that is no test");
}

/// A system whose first guest has all of its vCPUs on, and a port of it.
fn fresh() -> (System, u32) {
    let mut sys = smp();
    let mut guest = sys.guest(0);
    all_on(&mut guest);
    guest.map_shared_info();
    let (port, _) = guest.loopback();
    (sys, port)
}

fn assert_neighbour(sys: &mut System) {
    let mut guest = sys.guest(1);
    assert_untouched(&mut guest, "linux2");
    assert_eq!(reservation(&mut guest), 4096);
}

/// Read once, then checked: no byte of an argument is copied in twice by one call. A multicall is
/// left out, whose entries may name each other.
#[test]
fn arguments_are_read_once() {
    let mut looked = 0;
    for row in ROWS {
        let (nr, cmd) = (row.number, row.cmd.unwrap_or(0));
        if nr == number::MULTICALL {
            continue;
        }
        for shape in 0..3 {
            let mut sys = smp();
            let mut guest = sys.guest(0);
            guest.map_shared_info();
            guest.loopback();
            fill(&mut guest, nr, shape);
            guest.meddle(Some(Meddler::new(0, &[(ARGS, 0x1000)], &[])));
            for (n, value) in (0..).zip(args(nr, cmd)) {
                guest.set_x(n, value);
            }
            guest.set_x(16, nr);
            guest.hvc_imm(number::HVC_IMMEDIATE, sim::Way::Register);
            let meddler = sys.guest(0).meddle(None).expect("it was there");
            let twice = meddler.read_twice();
            assert!(
                twice.is_empty(),
                "{} {}: {twice:x?}",
                row.name,
                row.cmd_name
            );
            looked += meddler.reads();
        }
    }
    assert!(looked > 100, "only {looked} reads: that is no test");
}

/// The meddler itself: the same seed brings the same stores.
#[test]
fn meddling_is_repeatable() {
    let run = || {
        let mut sys = smp();
        let mut guest = sys.guest(0);
        fill(&mut guest, number::MEMORY_OP, 0);
        guest.meddle(Some(Meddler::new(7, &[(ARGS, 0x80)], &values())));
        call(&mut guest, number::MEMORY_OP, args(number::MEMORY_OP, 1));
        let stores = guest.meddle(None).map(|meddler| meddler.stores());
        (stores, guest.bytes(ARGS, 0x80), guest.x(0))
    };
    assert_eq!(run(), run());
}
