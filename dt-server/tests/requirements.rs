//! The requirements on a domain's memory map and configuration (GM, DM, SH, SM), as the domains
//! file says it and the guest's device tree tells it. Each refusal's message is in `rules.rs`.

mod common;

use common::{L1, L1_KERNEL, L2, TestFiles, Tree};
use dt_server::{Config, Diagnostics, LifeSeeds, Rule, guest_tree, parse};
use dt_server_api::{Bank, DomainRecord};
use dtoolkit::fdt::{Fdt, FdtNode};
use dtoolkit::{Node, Property};
use hv_types::Gpa;

const MIB: u64 = 1 << 20;

fn read(tree: &Tree) -> Result<Config, Diagnostics> {
    parse(&tree.dtb(), &TestFiles)
}

fn good(tree: &Tree) -> Config {
    read(tree).unwrap_or_else(|found| panic!("{found}"))
}

/// The one rule that `tree` breaks.
fn broken(tree: &Tree) -> Rule {
    let found = read(tree).expect_err("refused");
    assert_eq!(found.errors().len(), 1, "{found}");
    found.errors()[0].rule
}

fn record(config: &Config) -> &DomainRecord {
    &config.domains[0].record
}

fn places(banks: &[Bank]) -> Vec<(u64, u64)> {
    banks.iter().map(|b| (b.start().raw(), b.size())).collect()
}

fn number(node: FdtNode<'_>, property: &str) -> Vec<u64> {
    let property = node.property(property).expect("the property");
    let words = property.value().chunks(8);
    words
        .map(|word| u64::from_be_bytes(word.try_into().expect("eight bytes")))
        .collect()
}

fn kib(tree: &mut Tree, name: &str, bytes: u64) {
    tree.set(L1, name, bytes / 1024);
}

/// GM-2, GM-3, GM-10: at least one bank, in order, apart, in whole pages, together exactly what
/// `memory` says; and the tree lists those and no others.
#[test]
fn banks_are_sorted_and_sum_up() {
    for ram in [
        4096,
        MIB - 4096,
        256 * MIB,
        3072 * MIB,
        3072 * MIB + 4096,
        8192 * MIB,
    ] {
        let mut tree = Tree::heap();
        kib(&mut tree, "memory", ram);
        tree.remove_node(L1, "ramdisk");
        let Ok(config) = read(&tree) else {
            assert!(ram < 4 * MIB, "{ram:#x} is too little for the kernel");
            continue;
        };
        let banks = places(&record(&config).banks);
        assert!(!banks.is_empty());
        assert_eq!(banks.iter().map(|(_, size)| size).sum::<u64>(), ram);
        assert!(banks.iter().all(|(start, size)| (start | size) % 4096 == 0));
        assert!(
            banks
                .windows(2)
                .all(|pair| pair[0].0 + pair[0].1 <= pair[1].0)
        );
        let dtb = guest_tree(&config.domains[0], None, &LifeSeeds::default());
        let fdt = Fdt::new(&dtb).unwrap();
        let memory = fdt.find_node("/memory@40000000").unwrap();
        let listed: Vec<u64> = banks
            .iter()
            .flat_map(|(start, size)| [*start, *size])
            .collect();
        assert_eq!(number(memory, "reg"), listed);
    }
}

/// GM-3: RAM that is no whole number of pages is refused; whole pages that are no whole blocks are
/// only told of.
#[test]
fn partial_pages_are_refused() {
    let mut tree = Tree::heap();
    kib(&mut tree, "memory", 128 * MIB + 2048);
    assert_eq!(broken(&tree), Rule::Memory);
    kib(&mut tree, "memory", 128 * MIB + 4096);
    assert_eq!(good(&tree).warnings.warnings().len(), 1);
    let mut tree = Tree::two();
    tree.set(L1, "xen,static-mem", [0u32, 0x6000_0800, 0, 0x1000_0000]);
    assert_eq!(broken(&tree), Rule::StaticMem);
}

/// GM-8, GM-9, SM-26: the maximum of a heap guest is from what it starts with to ten times that;
/// static memory is all there is.
#[test]
fn the_maximum_has_bounds() {
    let mut tree = Tree::heap();
    let at = |tree: &mut Tree, max: u64| {
        kib(tree, "zazen,memory-max", max);
        read(tree)
    };
    for max in [128 * MIB, 128 * MIB + 4096, 1280 * MIB] {
        let config = at(&mut tree, max).unwrap();
        let domain = &config.domains[0];
        assert_eq!((domain.ram(), domain.max_ram()), (128 * MIB, max));
        assert_eq!(
            domain.heap,
            128 * MIB,
            "the heap is for what it starts with"
        );
    }
    for max in [0, 128 * MIB - 4096, 1280 * MIB + 4096, 1 << 41] {
        assert!(at(&mut tree, max).is_err(), "{max:#x}");
    }
    let mut tree = Tree::two();
    kib(&mut tree, "zazen,memory-max", 256 * MIB);
    assert_eq!(broken(&tree), Rule::MemoryMax);
}

/// GM-8, UP-2: what may become RAM continues the banks, and extended regions lie behind it.
#[test]
fn growth_is_in_the_banks() {
    let mut tree = Tree::heap();
    kib(&mut tree, "memory", 2048 * MIB);
    kib(&mut tree, "zazen,memory-max", 4096 * MIB);
    let config = good(&tree);
    let record = record(&config);
    assert_eq!(places(&record.banks), [(0x4000_0000, 2048 * MIB)]);
    assert_eq!(
        places(&record.max_banks),
        [(0x4000_0000, 3072 * MIB), (0x2_0000_0000, 1024 * MIB)]
    );
    assert_eq!(
        places(&record.extended),
        [(0x2_4000_0000, 0xfe_0000_0000 - 1024 * MIB)]
    );
}

/// GM-11: the width of guest physical addresses and the VMM's window limit the size, whatever the
/// host has.
#[test]
fn more_than_can_be_addressed_is_refused() {
    let mut tree = Tree::heap();
    kib(&mut tree, "memory", 1 << 39);
    assert_eq!(broken(&tree), Rule::Banks);
    let mut tree = Tree::heap();
    kib(&mut tree, "memory", 64 << 30);
    kib(&mut tree, "zazen,memory-max", 640 << 30);
    assert_eq!(broken(&tree), Rule::Banks);
}

/// GM-15: a kernel or RAM disk that does not fit is told before anything starts.
#[test]
fn files_that_do_not_fit_are_told_early() {
    let mut tree = Tree::two();
    tree.set("/chosen/linux1/ramdisk", "zazen,file", "huge-initrd");
    assert_eq!(broken(&tree), Rule::BankFull);
    let mut tree = Tree::heap();
    kib(&mut tree, "memory", 4 * MIB);
    assert_eq!(broken(&tree), Rule::BankFull);
}

/// GM-18: a command line of 1024 bytes arrives whole; one more is refused.
#[test]
fn bootargs_have_a_bound() {
    let mut tree = Tree::two();
    let line = "x".repeat(1024);
    tree.set(L1_KERNEL, "bootargs", line.as_str());
    let dtb = guest_tree(&good(&tree).domains[0], None, &LifeSeeds::default());
    let fdt = Fdt::new(&dtb).unwrap();
    let chosen = fdt.find_node("/chosen").unwrap();
    let bootargs = chosen.property("bootargs").unwrap();
    assert_eq!(bootargs.value_as::<&str>().unwrap(), line);
    tree.set(L1_KERNEL, "bootargs", format!("{line}x").as_str());
    assert_eq!(broken(&tree), Rule::Bootargs);
}

/// DM-1, SM-18: without static memory a domain is not direct-mapped.
#[test]
fn direct_map_needs_static_memory() {
    let mut tree = Tree::heap();
    tree.flag(L1, "direct-map");
    assert_eq!(broken(&tree), Rule::DirectMap);
    let mut tree = Tree::two();
    tree.flag(L1, "direct-map");
    let config = good(&tree);
    assert!(record(&config).direct_map && record(&config).is_static);
    assert!(!config.domains[1].record.direct_map);
}

/// DM-4, DM-6, SM-25: each range is a bank at its own address, in address order, joined where they
/// touch; the devices are the board's, and its interrupt lines fit.
#[test]
fn a_direct_mapped_guest_has_the_hosts_map() {
    let mut tree = Tree::two();
    let ranges = [
        [0u32, 0x7000_0000, 0, 0x0400_0000],
        [0, 0x6000_0000, 0, 0x0400_0000],
        [0, 0x6400_0000, 0, 0x0800_0000],
    ];
    tree.set(L1, "xen,static-mem", ranges.concat())
        .flag(L1, "direct-map")
        .flag(L1, "vpl011");
    let config = good(&tree);
    let record = record(&config);
    assert_eq!(
        places(&record.banks),
        [(0x6000_0000, 0x0c00_0000), (0x7000_0000, 0x0400_0000)]
    );
    let board = config.board;
    let layout = &record.layout;
    assert_eq!(
        (layout.gicd, layout.gicc, layout.vpl011),
        (
            Gpa::new(board.gic.distributor.start),
            Gpa::new(board.gic.cpu.start),
            Gpa::new(board.uart.registers.start)
        )
    );
    assert_eq!(u32::from(layout.vpl011_intid), board.uart.intid);
    assert!(u32::from(record.nr_spis) + 32 > board.uart.intid);
    // The other guest is as ever.
    assert_eq!(config.domains[1].record.layout, dt_server_api::XEN_LAYOUT);
}

/// DM-8, UP-6, UP-8: extended regions and the grant region of a direct-mapped guest lie in holes of
/// the host, which end where any RAM of the host begins: that of the memory nodes, of the board,
/// and what firmware reserved.
#[test]
fn extended_regions_avoid_everything_of_the_host() {
    let mut tree = Tree::two();
    tree.flag(L1, "direct-map");
    tree.set(
        "/memory@40000000",
        "reg",
        [[0u32, 0x4000_0000, 0, 0x8000_0000], [1, 0, 0, 0x4000_0000]].concat(),
    );
    tree.add("/", "reserved-memory")
        .add("/reserved-memory", "fw@200000000")
        .set("/reserved-memory/fw@200000000", "reg", [2u32, 0, 0, 0x1000]);
    let config = good(&tree);
    let record = record(&config);
    let mut taken = vec![
        (0x4000_0000, 0x8000_0000),
        (0x1_0000_0000, 0x4000_0000),
        (0x2_0000_0000, 0x1000),
        (
            record.layout.grant_region.raw(),
            record.layout.grant_region_size,
        ),
        (record.layout.magic.raw(), 0x2000),
    ];
    taken.extend(
        config
            .board
            .devices
            .iter()
            .map(|area| (area.start, area.size)),
    );
    taken.extend(config.board.ram.iter().map(|area| (area.start, area.size)));
    assert!(record.extended.len() >= 3, "{:?}", record.extended);
    for (start, size) in places(&record.extended) {
        assert_eq!((start | size) % (2 * MIB), 0);
        assert!(size >= 64 * MIB && start + size <= 1 << 40);
        for (from, bytes) in &taken {
            assert!(
                start + size <= *from || from + bytes <= start,
                "{start:#x} {from:#x}"
            );
        }
    }
    let (grants, magic) = (record.layout.grant_region.raw(), record.layout.magic.raw());
    for (from, bytes) in config
        .board
        .ram
        .iter()
        .chain(config.board.devices)
        .map(|a| (a.start, a.size))
    {
        assert!(grants + 0x100_0000 <= from || from + bytes <= grants);
        assert!(magic + 0x2000 <= from || from + bytes <= magic);
    }
}

/// DM-9: shared regions of a direct-mapped guest have to be 1:1.
#[test]
fn shared_memory_of_a_direct_mapped_guest_is_1_to_1() {
    let mut tree = Tree::two();
    let shm = "/chosen/linux1/shm";
    tree.flag(L1, "direct-map")
        .add(L1, "shm")
        .set(shm, "compatible", "xen,domain-shared-memory-v1")
        .set(shm, "xen,shm-id", "frames")
        .set(
            shm,
            "xen,shared-mem",
            [0u32, 0x7000_0000, 0, 0x7000_0000, 0, 0x10_0000],
        );
    assert!(read(&tree).is_ok());
    tree.set(
        shm,
        "xen,shared-mem",
        [0u32, 0x7000_0000, 0, 0x7100_0000, 0, 0x10_0000],
    );
    assert_eq!(broken(&tree), Rule::SharedMemoryRegion);
}

/// SH-2: 64 KiB.
#[test]
fn the_static_heap_is_aligned() {
    let mut tree = Tree::two();
    for (start, size, is_good) in [
        (0x6001_0000u32, 0x0041_0000u32, true),
        (0x6000_8000, 0x0100_0000, false),
        (0x6000_0000, 0x0100_8000, false),
    ] {
        tree.set("/chosen", "xen,static-heap", [0, start, 0, size]);
        assert_eq!(read(&tree).is_ok(), is_good, "{start:#x} {size:#x}");
    }
}

/// SH-4, SM-11: ranges of any two kinds that share a byte are refused, by name; ranges that touch
/// are not.
#[test]
fn no_two_ranges_overlap() {
    let heap = |tree: &mut Tree, start: u32| {
        tree.set("/chosen", "xen,static-heap", [0, start, 0, 0x0800_0000]);
    };
    let mut tree = Tree::two();
    heap(&mut tree, 0x6000_0000);
    assert!(read(&tree).is_ok(), "directly behind linux2's memory");
    heap(&mut tree, 0x5fff_0000);
    assert_eq!(broken(&tree), Rule::Overlap);

    let mut tree = Tree::two();
    tree.set(L2, "xen,static-mem", [0u32, 0x4fff_f000, 0, 0x1000_0000]);
    assert_eq!(broken(&tree), Rule::Overlap, "one page of two guests");

    let mut tree = Tree::two();
    heap(&mut tree, 0x6000_0000);
    tree.add("/", "reserved-memory")
        .add("/reserved-memory", "fw@67fff000")
        .set(
            "/reserved-memory/fw@67fff000",
            "reg",
            [0u32, 0x67ff_f000, 0, 0x1000],
        );
    assert_eq!(broken(&tree), Rule::Overlap, "the heap and the firmware");
}

/// SH-1, SH-3: guests whose RAM the static heap cannot hold are refused by name; files and what
/// booted the system add nothing.
#[test]
fn guests_that_the_heap_cannot_hold_are_named() {
    let mut tree = Tree::heap();
    tree.set(
        "/chosen",
        "xen,static-heap",
        [0u32, 0x6000_0000, 0, 0x0fff_0000],
    );
    let found = read(&tree).unwrap_err().to_string();
    assert!(
        found.contains("RAM of linux1 (131072 KiB), RAM of linux2 (131072 KiB)"),
        "{found}"
    );
    tree.set(
        "/chosen",
        "xen,static-heap",
        [0u32, 0x6000_0000, 0, 0x1000_0000],
    );
    let found = read(&tree).unwrap_err().to_string();
    assert!(
        found.contains("extra pages of all domains (536 KiB)"),
        "{found}"
    );
    tree.set(
        "/chosen",
        "xen,static-heap",
        [0u32, 0x6000_0000, 0, 0x1020_0000],
    );
    // Extra pages fit, and nothing is left to split a block with.
    let found = read(&tree).unwrap_err().to_string();
    assert!(
        found.contains("2 MiB for each of them to split blocks with"),
        "{found}"
    );
    tree.set(
        "/chosen",
        "xen,static-heap",
        [0u32, 0x6000_0000, 0, 0x1060_0000],
    );
    assert!(read(&tree).is_ok());
}

/// SM-17, SM-26: a domain is static or it is not, and static memory is the whole of its memory.
#[test]
fn static_memory_is_all_or_nothing() {
    let config = good(&Tree::two());
    assert!(
        config
            .domains
            .iter()
            .all(|d| d.record.is_static && d.heap == 0)
    );
    let config = good(&Tree::heap());
    assert!(
        config
            .domains
            .iter()
            .all(|d| !d.record.is_static && d.static_mem.is_empty())
    );
    let mut tree = Tree::two();
    tree.set(L1, "xen,static-mem", [0u32, 0x4000_0000, 0, 0x0f00_0000]);
    assert_eq!(broken(&tree), Rule::StaticSum);
}

/// Both ends of a region are told of it as Xen tells them: in `/memory` behind RAM, and as a child
/// of `/reserved-memory`; and it is no extended region.
#[test]
fn shared_memory_is_told_as_xen_tells_it() {
    let mut tree = Tree::two();
    let at = [0x6000_0000u64, 0x7010_0000];
    for (path, guest) in [L1, L2].into_iter().zip(at) {
        let node = format!("{path}/shm");
        let place = [0x7800_0000u64, guest, 2 * MIB];
        let place = place.map(u64::to_be_bytes).concat();
        tree.add(path, "shm")
            .set(&node, "compatible", "xen,domain-shared-memory-v1")
            .set(&node, "xen,shm-id", "frames")
            .set(&node, "xen,shared-mem", place);
    }
    let config = good(&tree);
    let [region] = config.shared.as_slice() else {
        panic!("one region")
    };
    assert_eq!((region.host, region.owner), (Some(0x7800_0000), None));
    // The second has it where no block of 2 MiB can be.
    assert!(!region.blocks());
    assert_eq!([config.shares(0), config.shares(1)], [1, 1]);
    for (domain, guest) in config.domains.iter().zip(at) {
        assert_eq!(places(&domain.record.shared), [(guest, 2 * MIB)]);
        for (start, size) in places(&domain.record.extended) {
            assert!(guest + 2 * MIB <= start || start + size <= guest);
        }
        let dtb = guest_tree(domain, None, &LifeSeeds::default());
        let root = Fdt::new(&dtb).unwrap().root();
        let mut memory = root.children();
        let memory = memory.find(|node| node.name().starts_with("memory@"));
        let reg = number(memory.unwrap(), "reg");
        assert_eq!(reg[reg.len() - 2..], [guest, 2 * MIB]);
        let reserved = root.child("reserved-memory").unwrap();
        assert!(reserved.property("ranges").unwrap().value().is_empty());
        let shared = reserved.child(&format!("xen-shmem@{guest:x}")).unwrap();
        assert_eq!(number(shared, "reg"), [guest, 2 * MIB]);
        assert_eq!(number(shared, "xen,offset"), [0]);
        let text = |name: &str| shared.property(name).unwrap().value().to_vec();
        assert_eq!(text("compatible"), b"xen,shared-memory-v1\0");
        assert_eq!(text("xen,id"), b"frames\0");
        assert!(shared.property("no-map").is_none());
    }
    // Without it there is no such node.
    let dtb = guest_tree(&good(&Tree::two()).domains[0], None, &LifeSeeds::default());
    assert!(
        Fdt::new(&dtb)
            .unwrap()
            .root()
            .child("reserved-memory")
            .is_none()
    );
}
