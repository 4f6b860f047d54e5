//! What several test files need.
#![allow(dead_code, reason = "each test file uses a part")]

use dtoolkit::fdt::{Fdt, FdtNode};
use hv_types::Gva;
use sim::guest::stage1::{READ_ONLY, UNMAPPED};
use sim::guest::{GICD, RAM};
use sim::{Guest, System, Way};
use xen_abi::Errno;
use xen_abi::GuestHandle;
use xen_abi::memory::{
    CURRENT_RESERVATION, DECREASE_RESERVATION, DomainArg, POPULATE_PHYSMAP, REMOVE_FROM_PHYSMAP,
    RemoveFromPhysmap, Reservation,
};
use xen_abi::number::MEMORY_OP;

pub(crate) const SELF: u16 = 0x7ff0;

/// The device tree at `at`, as long as its header says; a guest is started with its address in x0.
pub(crate) fn tree(guest: &Guest<'_>, at: u64) -> Vec<u8> {
    let size = u32::from_be_bytes(guest.get(at + 4));
    guest.bytes(at, size as usize)
}

/// A node of a device tree.
pub(crate) fn node<'a>(tree: &Fdt<'a>, path: &str) -> FdtNode<'a> {
    tree.find_node(path)
        .unwrap_or_else(|| panic!("no node {path}"))
}

/// A refusal as it arrives in x0.
pub(crate) const fn refused(errno: Errno) -> i64 {
    -(errno as i64)
}

pub(crate) const EPERM: i64 = refused(Errno::Eperm);
pub(crate) const ENOENT: i64 = refused(Errno::Enoent);
pub(crate) const ESRCH: i64 = refused(Errno::Esrch);
pub(crate) const ENXIO: i64 = refused(Errno::Enxio);
pub(crate) const EACCES: i64 = refused(Errno::Eacces);
pub(crate) const EFAULT: i64 = refused(Errno::Efault);
pub(crate) const EBUSY: i64 = refused(Errno::Ebusy);
pub(crate) const EINVAL: i64 = refused(Errno::Einval);
pub(crate) const ENOSPC: i64 = refused(Errno::Enospc);
pub(crate) const EDOM: i64 = refused(Errno::Edom);
pub(crate) const ENOSYS: i64 = refused(Errno::Enosys);
pub(crate) const EOPNOTSUPP: i64 = refused(Errno::Eopnotsupp);

/// The test on a fresh guest for each way to make a hypercall, with the MMU off and on: static
/// memory, and once the heap.
pub(crate) fn in_every_way(test: impl Fn(&mut Guest<'_>)) {
    let ways = Way::ALL
        .into_iter()
        .flat_map(|way| [(way, false, 0), (way, true, 0)]);
    for (way, mmu, index) in ways.chain([(Way::Stub, true, 1)]) {
        let mut sys = System::two();
        let mut guest = sys.guest(index);
        guest.set_way(way);
        if mmu {
            guest.mmu_on();
        }
        test(&mut guest);
        assert!(sys.is_alive(0) && sys.is_alive(1));
    }
}

/// Domain ids that are not the guest's own, and what naming them brings: `-EPERM` for a domain that
/// exists.
pub(crate) fn strangers(guest: &Guest<'_>) -> [(u16, i64); 6] {
    let neighbour = 3 - guest.domid();
    [
        (neighbour, EPERM),
        (0, ESRCH),
        (3, ESRCH),
        (0x7ff1, ESRCH),
        (0x7ff4, ESRCH),
        (0xffff, ESRCH),
    ]
}

/// Addresses at which the guest has no memory.
pub(crate) fn wild(guest: &Guest<'_>) -> Vec<u64> {
    let mut wild = vec![
        0,
        8,
        RAM - 8,
        RAM + (16 << 20),
        GICD,
        0x3_0000_0000,
        1 << 40,
        1 << 48,
        u64::MAX - 64,
        u64::MAX,
    ];
    if guest.mmu_is_on() {
        wild.extend([UNMAPPED, UNMAPPED - 4, 0xffff_0000_0000_0000]);
    }
    wild
}

/// Addresses at which the guest may read and the hypervisor must not write for it.
pub(crate) fn not_writable(guest: &Guest<'_>) -> Vec<u64> {
    if guest.mmu_is_on() {
        vec![READ_ONLY]
    } else {
        Vec::new()
    }
}

/// decrease_reservation or populate_physmap of these frames; the number of extents done.
pub(crate) fn reserve(guest: &mut Guest<'_>, op: u64, order: u32, gfns: &[u64]) -> i64 {
    let list = sim::guest::ARGS + 0x1000;
    guest.put(list, gfns);
    let arg = Reservation {
        extent_start: GuestHandle::new(Gva::new(guest.ptr(list))),
        nr_extents: gfns.len() as u64,
        extent_order: order,
        mem_flags: 0,
        domid: SELF,
        pad: [0; 6],
    };
    guest.op_in(MEMORY_OP, op, arg)
}

pub(crate) fn decrease(guest: &mut Guest<'_>, gfns: &[u64]) -> i64 {
    reserve(guest, DECREASE_RESERVATION, 0, gfns)
}

pub(crate) fn populate(guest: &mut Guest<'_>, gfns: &[u64]) -> i64 {
    reserve(guest, POPULATE_PHYSMAP, 0, gfns)
}

pub(crate) fn remove(guest: &mut Guest<'_>, gfn: u64) -> i64 {
    guest.op_in(
        MEMORY_OP,
        REMOVE_FROM_PHYSMAP,
        RemoveFromPhysmap {
            domid: SELF,
            pad: [0; 6],
            gpfn: gfn,
        },
    )
}

pub(crate) fn reservation(guest: &mut Guest<'_>) -> i64 {
    guest.op_in(MEMORY_OP, CURRENT_RESERVATION, DomainArg { domid: SELF })
}

/// Asserts that a guest is alive and its own: its kernel is whole and hypercalls are answered.
pub(crate) fn assert_untouched(guest: &mut Guest<'_>, name: &str) {
    assert_eq!(guest.hvc(17, &[0, 0]), 4 << 16 | 22);
    let image = sim::domains::kernel_image(name);
    assert_eq!(guest.bytes(RAM, image.len()), image);
}

/// How many steps a process takes: a simulated system keeps its memory for as long as it runs.
const PART: usize = 100_000;
/// Says to such a process that it is one.
const IS_PART: &str = "ZAZEN_PART";

/// Repeats `round`, which returns how many steps it took, until there were `ZAZEN_STEPS` (10^7
/// where that is not set), in processes of their own, and says after each how far it is.
///
/// # Panics
/// If one of them fails, which has said why.
pub(crate) fn for_long(mut round: impl FnMut() -> usize) {
    let wanted = std::env::var("ZAZEN_STEPS").map_or(10_000_000, |steps| {
        steps.parse().expect("ZAZEN_STEPS is a number of steps")
    });
    if std::env::var_os(IS_PART).is_some() {
        let mut steps = 0;
        while steps < wanted {
            steps += round();
        }
        return;
    }
    let start = std::time::Instant::now();
    let mut steps = 0;
    while steps < wanted {
        let part = PART.min(wanted - steps);
        let this = std::env::current_exe().expect("this program has a name");
        let status = std::process::Command::new(this)
            .args(std::env::args_os().skip(1))
            .env(IS_PART, "")
            .env("ZAZEN_STEPS", part.to_string())
            .stdout(std::process::Stdio::null())
            .status()
            .expect("this program can be started");
        assert!(status.success(), "after {steps} steps: {status}");
        steps += part;
        println!("{steps} steps after {} s", start.elapsed().as_secs());
    }
}

/// The same for what goes from a seed: `run` does `steps` steps, each time from another one.
pub(crate) fn for_long_from_seeds(steps: u64, run: impl Fn(u64, u64)) {
    let time = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let mut seed = time.map_or(1, |time| u64::from(time.subsec_nanos()) << 20);
    for_long(|| {
        seed += 1 << 12;
        eprintln!("seed {seed:#x}");
        run(seed, steps);
        usize::try_from(steps).expect("small")
    });
}
