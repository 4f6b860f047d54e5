//! The server as a VMM sees it, and the guest's device tree as a guest sees it.

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::{L1, L1_KERNEL, TestFiles, Tree};
use dt_server::{Config, DtServer, Entropy, HEAP, MAX_DIAGNOSTICS, Seeds, TREE_MAX, parse};
use dt_server_api::{Client, DtServer as _, Error, Message, Request, reply};
use dtoolkit::fdt::{Fdt, FdtNode};
use dtoolkit::{Node, Property};
use hv_types::Gpa;

/// Counts the heap in use, so that [`HEAP`] is more than a guess.
struct Counting;
static IN_USE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);
/// Tests of this file run one at a time, because the count is of all of them.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

#[allow(unsafe_code, reason = "an allocator that counts has to be one")]
// SAFETY: hands every request on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let now = IN_USE.fetch_add(layout.size(), Ordering::SeqCst) + layout.size();
        PEAK.fetch_max(now, Ordering::SeqCst);
        // SAFETY: the caller's contract is the same.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        IN_USE.fetch_sub(layout.size(), Ordering::SeqCst);
        // SAFETY: the caller's contract is the same.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn server(tree: &Tree) -> DtServer {
    DtServer::new(
        parse(&tree.dtb(), &TestFiles).unwrap_or_else(|found| panic!("{found}")),
        Seeds::none(),
    )
}

/// The tree of client `client`, read as a VMM reads it.
fn tree_of(server: &mut DtServer, client: usize, initrd: Option<(Gpa, Gpa)>) -> Vec<u8> {
    let mut client = Client::new(|message: &Message| server.on_ppc(client, message));
    let size = client.write_tree(initrd).unwrap();
    let mut tree = vec![0; size as usize];
    let mut offset = 0;
    while offset < tree.len() {
        let count = client
            .read_tree(u32::try_from(offset).unwrap(), &mut tree[offset..])
            .unwrap();
        assert!(count > 0);
        offset += count;
    }
    assert_eq!(client.read_tree(size, &mut [0; 8]), Ok(0));
    assert_eq!(
        client.read_tree(size + 1, &mut [0; 8]),
        Err(Error::Malformed)
    );
    // What follows in the guest's memory is its own RAM.
    tree.resize(dt_server::TREE_ROOM as usize, 0xa5);
    tree
}

fn cells(node: FdtNode<'_>, property: &str) -> Vec<u32> {
    let property = node
        .property(property)
        .unwrap_or_else(|| panic!("{}: no {property}", node.name()));
    property
        .value()
        .chunks(4)
        .map(|c| u32::from_be_bytes(c.try_into().unwrap()))
        .collect()
}

fn text<'a>(node: FdtNode<'a>, property: &str) -> &'a str {
    node.property(property).unwrap().value_as::<&str>().unwrap()
}

fn compatible(node: FdtNode<'_>) -> Vec<&str> {
    node.compatible().unwrap().collect()
}

#[test]
fn each_client_gets_its_own_record() {
    let _guard = ONE_AT_A_TIME.lock();
    let mut server = server(&Tree::two());
    for (client, name) in [(0, "linux1"), (1, "linux2")] {
        let record = Client::new(|m: &Message| server.on_ppc(client, m))
            .record()
            .unwrap();
        assert_eq!(
            (record.name.as_str(), usize::from(record.domid)),
            (name, client + 1)
        );
    }
    for client in [2, 60, usize::MAX] {
        let mut stranger = Client::new(|m: &Message| server.on_ppc(client, m));
        assert_eq!(stranger.record().map(|r| r.domid), Err(Error::NoDomain));
        assert_eq!(stranger.write_tree(None), Err(Error::NoDomain));
    }
    assert_eq!(
        DtServer::new(Config::default(), Seeds::none()).on_ppc(0, &Request::Record.encode()),
        reply::error(Error::NoDomain)
    );
}

#[test]
fn nothing_to_read_before_a_tree_is_written() {
    let _guard = ONE_AT_A_TIME.lock();
    let mut server = server(&Tree::two());
    tree_of(&mut server, 0, None);
    let mut other = Client::new(|m: &Message| server.on_ppc(1, m));
    assert_eq!(other.read_tree(0, &mut [0; 8]), Err(Error::Malformed));
    let malformed = Message {
        label: 99,
        words: Default::default(),
    };
    assert_eq!(server.on_ppc(1, &malformed), reply::error(Error::Malformed));
}

#[test]
fn the_tree_has_what_a_guest_needs() {
    let _guard = ONE_AT_A_TIME.lock();
    let mut server = server(&Tree::two());
    let initrd = (Gpa::new(0x4820_0000), Gpa::new(0x4832_3456));
    let dtb = tree_of(&mut server, 0, Some(initrd));
    let fdt = Fdt::new(&dtb).unwrap();
    let root = fdt.root();
    let node = |path: &str| fdt.find_node(path).unwrap_or_else(|| panic!("no {path}"));
    let names: Vec<&str> = root.children().map(|child| child.name()).collect();
    assert_eq!(
        names,
        [
            "chosen",
            "cpus",
            "memory@40000000",
            "interrupt-controller@3001000",
            "timer",
            "hypervisor",
            "psci"
        ]
    );
    assert_eq!(
        (cells(root, "#address-cells"), cells(root, "#size-cells")),
        (vec![2], vec![2])
    );

    let chosen = node("/chosen");
    assert_eq!(text(chosen, "bootargs"), "console=hvc0");
    assert_eq!(cells(chosen, "linux,initrd-start"), [0, 0x4820_0000]);
    assert_eq!(cells(chosen, "linux,initrd-end"), [0, 0x4832_3456]);

    let cpus = node("/cpus");
    assert_eq!(
        (cells(cpus, "#address-cells"), cells(cpus, "#size-cells")),
        (vec![1], vec![0])
    );
    assert_eq!(cpus.children().count(), 1);
    let cpu = node("/cpus/cpu@0");
    assert_eq!(
        (text(cpu, "device_type"), text(cpu, "enable-method")),
        ("cpu", "psci")
    );
    assert_eq!(
        (compatible(cpu), cells(cpu, "reg")),
        (vec!["arm,armv8"], vec![0])
    );

    let memory = node("/memory@40000000");
    assert_eq!(text(memory, "device_type"), "memory");
    assert_eq!(cells(memory, "reg"), [0, 0x4000_0000, 0, 0x1000_0000]);

    let gic = node("/interrupt-controller@3001000");
    assert_eq!(compatible(gic), ["arm,gic-400", "arm,cortex-a15-gic"]);
    assert_eq!(
        cells(gic, "reg"),
        [0, 0x0300_1000, 0, 0x1000, 0, 0x0300_2000, 0, 0x2000]
    );
    assert_eq!(
        (cells(gic, "#interrupt-cells"), cells(gic, "phandle")),
        (vec![3], vec![65000])
    );
    assert!(gic.property("interrupt-controller").is_some());
    assert_eq!(cells(root, "interrupt-parent"), [65000]);

    assert_eq!(compatible(node("/timer")), ["arm,armv8-timer"]);
    assert_eq!(
        cells(node("/timer"), "interrupts"),
        [1, 13, 0xf08, 1, 14, 0xf08, 1, 11, 0xf08]
    );

    let hypervisor = node("/hypervisor");
    assert_eq!(compatible(hypervisor), ["xen,xen-4.22", "xen,xen"]);
    assert_eq!(cells(hypervisor, "interrupts"), [1, 15, 0xf08]);
    assert_eq!(cells(hypervisor, "interrupt-parent"), [65000]);
    assert_eq!(
        cells(hypervisor, "reg"),
        [
            [0, 0x3800_0000, 0, 0x0100_0000],
            [0, 0x5000_0000, 0, 0xb000_0000],
            [2, 0, 0xfe, 0],
        ]
        .concat()
    );

    let psci = node("/psci");
    assert_eq!(
        compatible(psci),
        ["arm,psci-1.0", "arm,psci-0.2", "arm,psci"]
    );
    assert_eq!(
        (
            text(psci, "method"),
            cells(psci, "cpu_off"),
            cells(psci, "cpu_on")
        ),
        ("smc", vec![1], vec![2])
    );
}

#[test]
fn variants_of_the_tree() {
    let _guard = ONE_AT_A_TIME.lock();
    let mut tree = Tree::heap();
    // 3 GiB less 1 MiB in bank 0 leave no region of 64 MiB there; 2 GiB more are in bank 1.
    tree.flag(L1, "vpl011")
        .set(L1, "memory", 5u64 << 20)
        .remove(L1_KERNEL, "bootargs");
    tree.remove("/chosen/linux2", "xen,enhanced");
    let mut server = server(&tree);

    let dtb = tree_of(&mut server, 0, None);
    let fdt = Fdt::new(&dtb).unwrap();
    let chosen = fdt.find_node("/chosen").unwrap();
    assert_eq!(chosen.properties().count(), 0);
    let memory = fdt.find_node("/memory@40000000").unwrap();
    assert_eq!(
        cells(memory, "reg"),
        [0, 0x4000_0000, 0, 0xc000_0000, 2, 0, 0, 0x8000_0000]
    );
    let hypervisor = fdt.find_node("/hypervisor").unwrap();
    assert_eq!(
        cells(hypervisor, "reg"),
        [
            0,
            0x3800_0000,
            0,
            0x0100_0000,
            2,
            0x8000_0000,
            0xfd,
            0x8000_0000
        ]
    );
    let uart = fdt.find_node("/sbsa-uart@22000000").unwrap();
    assert_eq!(
        (compatible(uart), cells(uart, "interrupts")),
        (vec!["arm,sbsa-uart"], vec![0, 0, 4])
    );
    assert_eq!(cells(uart, "reg"), [0, 0x2200_0000, 0, 0x1000]);
    assert_eq!(cells(uart, "current-speed"), [115_200]);

    let dtb = tree_of(&mut server, 1, None);
    let fdt = Fdt::new(&dtb).unwrap();
    assert!(fdt.find_node("/hypervisor").is_none());
    assert!(fdt.find_node("/sbsa-uart@22000000").is_none());
}

#[test]
fn extended_regions_start_at_a_block() {
    let _guard = ONE_AT_A_TIME.lock();
    let mut tree = Tree::heap();
    tree.set(L1, "memory", 0x2_0004u64);
    let dtb = tree_of(&mut server(&tree), 0, None);
    let fdt = Fdt::new(&dtb).unwrap();
    let reg = cells(fdt.find_node("/hypervisor").unwrap(), "reg");
    assert_eq!(reg[4..8], [0, 0x4820_0000, 0, 0xb7e0_0000]);
}

#[test]
fn a_tree_is_written_anew_each_time() {
    let _guard = ONE_AT_A_TIME.lock();
    let mut server = server(&Tree::two());
    let with = tree_of(
        &mut server,
        0,
        Some((Gpa::new(0x4820_0000), Gpa::new(0x4830_0000))),
    );
    let without = tree_of(&mut server, 0, None);
    assert_ne!(without, with);
    assert_eq!(
        tree_of(
            &mut server,
            0,
            Some((Gpa::new(0x4820_0000), Gpa::new(0x4830_0000)))
        ),
        with
    );
}

#[test]
fn the_worst_file_fits_the_heap() {
    let _guard = ONE_AT_A_TIME.lock();
    let mut tree = Tree::two();
    let long = "n".repeat(31);
    for i in 0..100 {
        // Everything a message can show is as long as it can be.
        let name = format!("{}{i}@{}", &long[3..], "a".repeat(100));
        let text = "x".repeat(300);
        let path = format!("{L1}/{name}");
        tree.add(L1, &name)
            .set(&path, "compatible", "multiboot,kernel")
            .set(&path, "reg", text.as_str());
        tree.set(&path, &format!("{}{i}", &long[3..]), text.as_str());
    }
    let dtb = tree.dtb();
    drop(tree);
    let before = IN_USE.load(Ordering::SeqCst);
    PEAK.store(before, Ordering::SeqCst);
    let found = parse(&dtb, &TestFiles).unwrap_err();
    assert_eq!(
        (found.errors().len(), found.warnings().len()),
        (MAX_DIAGNOSTICS, MAX_DIAGNOSTICS)
    );
    let used = PEAK.load(Ordering::SeqCst) - before;
    println!("{used} bytes of heap for diagnostics");
    assert!(used + used / 2 < HEAP, "{used} bytes");
}

#[test]
fn the_largest_system_fits_the_heap() {
    let _guard = ONE_AT_A_TIME.lock();
    let mut tree = Tree::heap();
    for i in 3..9 {
        tree.domain(&format!("linux{i}"), 0x6000_0000)
            .remove(&format!("/chosen/linux{i}"), "xen,static-mem");
    }
    let bootargs = "x".repeat(1024);
    for i in 1..9 {
        let path = format!("/chosen/linux{i}");
        tree.set(&format!("{path}/kernel"), "bootargs", bootargs.as_str())
            .flag(&path, "vpl011");
        for j in 0..20 {
            tree.flag(&path, &format!("unknown-property-{j}"));
        }
    }
    let dtb = tree.dtb();
    drop(tree);
    let before = IN_USE.load(Ordering::SeqCst);
    PEAK.store(before, Ordering::SeqCst);
    let mut server = DtServer::new(
        parse(&dtb, &TestFiles).unwrap_or_else(|found| panic!("{found}")),
        Seeds::none(),
    );
    for client in 0..8 {
        let reply = server.on_ppc(client, &Request::WriteTree { initrd: None }.encode());
        let size = reply::read_size(&reply).unwrap() as usize;
        assert!(size < TREE_MAX / 2, "{size}");
    }
    let used = PEAK.load(Ordering::SeqCst) - before;
    assert!(used + used / 2 < HEAP, "{used} bytes");
    println!("{used} bytes of heap at most");
}

#[test]
fn each_tree_has_seeds_of_its_own_where_there_are_any() {
    let _guard = ONE_AT_A_TIME.lock();
    let mut tree = Tree::heap();
    tree.domain("linux2", 0x6000_0000)
        .remove("/chosen/linux2", "xen,static-mem");
    let config = || parse(&tree.dtb(), &TestFiles).unwrap_or_else(|found| panic!("{found}"));
    let seeds_of = |dtb: &[u8]| {
        let tree = Fdt::new(dtb).unwrap();
        let chosen = tree.find_node("/chosen").unwrap();
        ["kaslr-seed", "rng-seed"].map(|name| {
            let property = chosen.property(name)?;
            Some(property.value().to_vec())
        })
    };
    let mut entropy = Entropy::new();
    entropy.give(&[0x5a; 32]);
    let mut server_with = DtServer::new(config(), Seeds::new(entropy));
    let mut seen = Vec::new();
    for _life in 0..3 {
        for client in 0..config().domains.len() {
            let [kaslr, rng] = seeds_of(&tree_of(&mut server_with, client, None));
            let (kaslr, rng) = (kaslr.unwrap(), rng.unwrap());
            assert_eq!((kaslr.len(), rng.len()), (8, 32));
            assert!(!seen.contains(&kaslr) && !seen.contains(&rng));
            seen.extend([kaslr, rng]);
        }
    }
    assert_eq!(
        seeds_of(&tree_of(&mut server(&tree), 0, None)),
        [None, None],
        "without a source there is no seed, rather than a known one"
    );
}
