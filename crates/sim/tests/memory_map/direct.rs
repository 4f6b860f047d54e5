//! Direct-mapped guests.

use super::*;
use dt_server_api::Bank;
use hv_types::{Gfn, Gpa, PageOrder};
use hypervisor_core::memory::p2m::P2m;
use memory_server::{DomainConfig, DomainIndex, Purpose, Untyped};
use sim::mem_host::MemHost;
use sim::memory::{Memory, domain_config};

/// Two direct-mapped guests, 16 MiB each, and one that is not.
fn system() -> System {
    System::new(&[
        Domain::new("linux1").direct().with_vpl011(),
        Domain::new("linux2").direct(),
        Domain::new("linux3"),
    ])
}

/// DM-2, DM-6, SM-25: the frame that a guest sees at an address is the machine's at that address,
/// for all of its RAM.
#[test]
fn guest_physical_is_host_physical() {
    let mut sys = system();
    for (index, start) in [(0, RAM), (1, RAM + 16 * MIB)] {
        let guest = sys.guest(index);
        for gpa in (start..start + 16 * MIB).step_by(4096) {
            assert_eq!(paddr(&guest, gpa), Some(gpa));
        }
        assert_eq!(map_of(&guest).0, [(start, 16 * MIB)]);
    }
    assert_eq!(paddr(&sys.guest(2), RAM), Some(RAM + 32 * MIB));
    assert_accounted(&sys);
}

/// DM-2, BL-9: what is given up is hidden but stays the guest's, in number, in place and in
/// contents; nobody else gets it.
#[test]
fn a_balloon_keeps_its_frames() {
    let mut sys = system();
    let before = sys.memory.totals();
    let mut guest = sys.guest(0);
    let first = FREE >> 12;
    let gfns: Vec<u64> = (first..first + 600).collect();
    for gfn in &gfns {
        guest.put(gfn << 12, gfn);
    }
    assert_eq!(decrease(&mut guest, &gfns), 600);
    assert_eq!((reservation(&mut guest), maximum(&mut guest)), (4096, 4096));
    assert!(gfns.iter().all(|gfn| !guest.is_mapped(gfn << 12)));
    assert_faults(&mut guest, FREE);
    let now = guest.sys.memory.totals();
    assert_eq!(
        (now.static_held, now.heap_free),
        (before.static_held, before.heap_free)
    );
    let mut back = gfns.clone();
    back.reverse();
    assert_eq!(populate(&mut guest, &back), 600);
    for gfn in &gfns {
        assert_eq!(guest.get::<u64>(gfn << 12), *gfn);
        assert_eq!(paddr(&guest, gfn << 12), Some(gfn << 12));
    }
    assert_accounted(&sys);
    assert_untouched(&mut sys.guest(0), "linux1");
}

/// DM-2: populate stops at a frame that is not the guest's own, or was not given up.
#[test]
fn populate_stops_at_what_is_not_its_own() {
    let mut sys = system();
    let mut guest = sys.guest(0);
    let first = FREE >> 12;
    assert_eq!(decrease(&mut guest, &[first, first + 1]), 2);
    let neighbours = (RAM + 16 * MIB) >> 12;
    for other in [neighbours, first + 2, 0, 0xc_0000, 1 << 28, u64::MAX] {
        assert_eq!(
            populate(&mut guest, &[first, other, first + 1]),
            1,
            "{other:#x}"
        );
        assert_eq!(decrease(&mut guest, &[first]), 1);
    }
    assert_eq!(reservation(&mut guest), 4096);
    assert_accounted(&sys);
}

/// DM-3: extents of any order that is served, each frame checked.
#[test]
fn whole_extents_come_back() {
    let mut sys = system();
    let mut guest = sys.guest(0);
    let first = FREE >> 12;
    guest.put(FREE + 0x5000, &0x1d_u64);
    assert_eq!(reserve(&mut guest, DECREASE_RESERVATION, 9, &[first]), 1);
    assert!(!guest.is_mapped(FREE) && !guest.is_mapped(FREE + 0x1f_f000));
    assert_eq!(reserve(&mut guest, POPULATE_PHYSMAP, 2, &[first + 4]), 1);
    assert_eq!(guest.get::<u64>(FREE + 0x5000), 0x1d);
    assert_eq!(
        reserve(&mut guest, POPULATE_PHYSMAP, 9, &[first]),
        0,
        "four of its frames are there"
    );
    assert_eq!(
        reserve(&mut guest, DECREASE_RESERVATION, 2, &[first + 4]),
        1
    );
    assert_eq!(reserve(&mut guest, POPULATE_PHYSMAP, 9, &[first]), 1);
    for gpa in (FREE..FREE + 2 * MIB).step_by(4096) {
        assert_eq!(paddr(&guest, gpa), Some(gpa));
    }
    assert_eq!(reservation(&mut guest), 4096);
    assert_accounted(&sys);
}

/// DM-2, BL-5, BL-8: remove_from_physmap and shared_info over RAM park the frame like a decrease.
#[test]
fn other_ways_to_lose_a_frame() {
    let mut sys = system();
    let mut guest = sys.guest(0);
    let gfn = FREE >> 12;
    guest.put(FREE, &0x77_u64);
    assert_eq!(remove(&mut guest, gfn), 0);
    assert_eq!(guest.add_to_physmap(space::SHARED_INFO, 0, gfn), 0);
    assert_eq!(populate(&mut guest, &[gfn]), 0, "shared_info is there");
    assert_eq!(remove(&mut guest, gfn), 0);
    assert_eq!(populate(&mut guest, &[gfn]), 1);
    assert_eq!(guest.get::<u64>(FREE), 0x77);
    assert_eq!(paddr(&guest, FREE), Some(FREE));
    assert_eq!(reservation(&mut guest), 4096);
    assert_accounted(&sys);
}

/// DM-4: the host's interrupt controller and UART, where a direct-mapped guest looks for them, and
/// not at Xen's places.
#[test]
fn devices_are_where_the_host_has_them() {
    let mut sys = system();
    let guest = sys.guest(0);
    let blob = tree(&guest, guest.x(0));
    let fdt = Fdt::new(&blob).unwrap();
    assert_eq!(
        reg(node(&fdt, "/interrupt-controller@8000000")),
        [(0x800_0000, 0x1000), (0x801_0000, 0x2000)]
    );
    let uart = node(&fdt, "/sbsa-uart@9000000");
    assert_eq!(reg(uart), [(0x900_0000, 0x1000)]);
    let interrupts = uart.property("interrupts").unwrap().value().to_vec();
    assert_eq!(
        interrupts,
        [[0; 4], [0, 0, 0, 1], [0, 0, 0, 4]].as_flattened()
    );

    let mut guest = sys.guest(0);
    // GICD_PIDR2 of a GIC-400.
    assert_eq!(guest.load(0x800_0fe8, Width::Word), 0x2b);
    // A character through the UART's data register.
    guest.store(0x900_0000, Width::Word, u64::from(b'u'));
    guest.store(0x900_0000, Width::Word, u64::from(b'\n'));
    assert_faults(&mut guest, GICD);
    assert_faults(&mut guest, UART);
    assert!(sys.seen().contains("linux1: u"));
    // The ordinary guest has Xen's.
    assert_eq!(sys.guest(2).load(GICD + 0xfe8, Width::Word), 0x2b);
    assert_faults(&mut sys.guest(2), 0x800_0fe8);
}

/// DM-5: exactly one of "direct mapped" and "not direct mapped".
#[test]
fn the_features_say_so() {
    let mut sys = system();
    for (index, features) in [(0, 0x0006_6005), (2, 0x0005_6005)] {
        let mut guest = sys.guest(index);
        let at = sim::guest::ARGS;
        guest.put(at, &[0u32; 2]);
        assert_eq!(guest.hvc(XEN_VERSION, &[6, at]), 0);
        assert_eq!(guest.get::<u32>(at + 4), features);
    }
}

/// DM-8, UP-8: what is not RAM of the host and no device is where grants, rings and foreign pages
/// go.
#[test]
fn the_hypervisors_places_are_in_the_hosts_holes() {
    let mut sys = system();
    let mut guest = sys.guest(0);
    let (_, extended) = map_of(&guest);
    let blob = tree(&guest, guest.x(0));
    let fdt = Fdt::new(&blob).unwrap();
    let console = guest.param(xen_abi::hvm::param::CONSOLE_PFN) << 12;
    assert!(guest.is_mapped(console));
    let grants = reg(node(&fdt, "/hypervisor"))[0];
    let host = [(0, 0x4000_0000), (0x4000_0000, 0x8000_0000)];
    assert!(!extended.is_empty());
    for (start, size) in extended.iter().chain([&grants, &(console, 0x1000)]) {
        for (from, bytes) in host {
            assert!(start + size <= from || from + bytes <= *start, "{start:#x}");
        }
    }
    for (start, size) in &extended {
        for (from, bytes) in [grants, (console, 0x2000)] {
            assert!(start + size <= from || from + bytes <= *start, "{start:#x}");
        }
    }
}

/// DM-2, DM-6: in memory that the kernel owns a VMM gets pages, each at its own address, because a
/// split would move them.
#[test]
fn memory_of_the_kernel_is_direct_mapped_in_pages() {
    let domain = DomainIndex(0);
    let untyped = |paddr, size_bits, purpose| Untyped {
        paddr,
        size_bits,
        device: false,
        purpose,
    };
    let config = DomainConfig {
        direct: true,
        ..domain_config(1, true, 1024, 64)
    };
    let memory = Memory::new(
        &[config],
        &[
            untyped(0x8000_0000, 22, Purpose::Static(domain)),
            untyped(0xa000_0000, 21, Purpose::Heap),
            untyped(0xb000_0000, 20, Purpose::Tables(domain)),
        ],
        4,
    );
    let banks = [Bank::new(Gpa::new(0x8000_0000), 4 * MIB)];
    let mut host = MemHost::new(&memory, domain);
    let mut p2m = P2m::new(&banks, vec![0; P2m::table_words(&banks)].leak()).unwrap();
    p2m.build(&mut host, &banks).unwrap();
    let at_home = || {
        let mapped = memory.machine().look().mapped(domain, Side::Guest);
        assert!(
            mapped
                .iter()
                .all(|(gpa, paddr, bytes)| gpa == paddr && *bytes == 4096)
        );
        mapped.len()
    };
    assert_eq!(at_home(), 1024);
    let first = Gfn::new(0x8_0200);
    memory
        .machine()
        .change()
        .guest_write(domain, Gpa::new(0x8020_3000), 0x3d);
    p2m.park_extent(&mut host, first, PageOrder(9)).unwrap();
    assert_eq!((at_home(), memory.usage(domain).ram), (512, 1024));
    p2m.unpark_extent(&mut host, first, PageOrder(9)).unwrap();
    assert_eq!(at_home(), 1024);
    let read = memory
        .machine()
        .change()
        .guest_read(domain, Gpa::new(0x8020_3000));
    assert_eq!((read, p2m.splits()), (Some(0x3d), 0));
}

/// DM-2, SM-14, SM-16: a direct-mapped guest that restarts, some of its frames given up, has each
/// at its place again, zeroed; the order of the reserve does not matter to it.
#[test]
fn a_restart_keeps_every_frame_at_its_place() {
    let mut sys = system();
    for life in 1..4u32 {
        let mut guest = sys.guest(0);
        let last = RAM + 15 * MIB;
        guest.put(last, &0x5ec_u64);
        guest.put(FREE + 0x3000, &0x5ec_u64);
        let first = FREE >> 12;
        assert_eq!(
            decrease(&mut guest, &[first + 9, first + 3, first + 700]),
            3
        );
        assert_eq!(guest.smc(&[RESET]), Ran::Restarts);
        assert_eq!(sys.restarts(0), life);
        let guest = sys.guest(0);
        for gpa in (RAM..RAM + 16 * MIB).step_by(4096) {
            assert_eq!(paddr(&guest, gpa), Some(gpa));
        }
        assert_eq!(guest.get::<u64>(last), 0);
        assert_eq!(guest.get::<u64>(FREE + 0x3000), 0);
        assert_eq!(sys.memory.usage(System::domain(0)).ram, 4096);
        assert_accounted(&sys);
    }
}
