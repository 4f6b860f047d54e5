//! One test for each rule: a valid tree with one mistake gives exactly the errors and warnings
//! named.

mod common;

use block_server_api::Part;
use common::{
    INITRD_SIZE, KERNEL_SIZE, L1, L1_KERNEL, L1_RAMDISK, L2, TestFiles, Tree, image_header,
};
use dt_server::{
    Diagnostics, DiskSource, Edit as Change, FileInfo, Files, MAX_DIAGNOSTICS, NoFiles, Range,
    Rule, Severity, parse,
};
use dt_server_api::PvFeatures;
use hv_types::Gpa;
use topology::pd::time::Time;

const CHOSEN: &str = "/chosen";

type Edit = fn(&mut Tree);

struct Case {
    /// What the mistake is.
    name: &'static str,
    edit: Edit,
    rule: Rule,
    /// Parts of the one message.
    says: &'static [&'static str],
}

const fn case(name: &'static str, rule: Rule, edit: Edit, says: &'static [&'static str]) -> Case {
    Case {
        name,
        edit,
        rule,
        says,
    }
}

/// Shared memory of the domain `path`: `mem` is host address, guest address and size.
fn share(t: &mut Tree, path: &str, id: &str, mem: [u32; 6]) {
    let node = format!("{path}/shm");
    t.add(path, "shm")
        .set(&node, "compatible", "xen,domain-shared-memory-v1")
        .set(&node, "xen,shm-id", id)
        .set(&node, "xen,shared-mem", mem);
}

/// A second region of the first domain.
fn share_again(t: &mut Tree, id: &str, mem: [u32; 6]) {
    let node = format!("{L1}/shm2");
    t.add(L1, "shm2")
        .set(&node, "compatible", "xen,domain-shared-memory-v1")
        .set(&node, "xen,shm-id", id)
        .set(&node, "xen,shared-mem", mem);
}

/// An event channel of the domain `path` whose node has the phandle `phandle`.
fn link(t: &mut Tree, path: &str, phandle: u32, ends: &[u32]) {
    let node = format!("{path}/ec{phandle}");
    t.add(path, &format!("ec{phandle}"))
        .set(&node, "compatible", "xen,evtchn-v1")
        .set(&node, "phandle", phandle)
        .set(&node, "xen,evtchn", ends.to_vec());
}

/// An interface `name` of the domain `path`, which has a store then, in "lan" with this address.
fn nic(t: &mut Tree, path: &str, name: &str, mac: Option<&str>) -> String {
    let node = format!("{path}/{name}");
    t.set(path, "xen,enhanced", "enabled")
        .add(path, name)
        .set(&node, "compatible", "zazen,net")
        .set(&node, "zazen,network", "lan");
    if let Some(mac) = mac {
        t.set(&node, "zazen,mac", mac);
    }
    node
}

/// A disk `name` of the domain `path`, which has a store then.
fn disk(t: &mut Tree, path: &str, name: &str) -> String {
    let node = format!("{path}/{name}");
    t.set(path, "xen,enhanced", "enabled")
        .add(path, name)
        .set(&node, "compatible", "zazen,disk");
    node
}

/// The same, which is a part of the device.
fn part(t: &mut Tree, path: &str, name: &str, label: &str) -> String {
    let node = disk(t, path, name);
    t.set(&node, "zazen,device", "virtio0")
        .set(&node, "zazen,partition", label);
    node
}

/// A node that lets the domains `names` meet for events.
fn pair(t: &mut Tree, name: &str, names: &str) {
    let node = format!("/chosen/{name}");
    t.add(CHOSEN, name)
        .set(&node, "compatible", "zazen,pair")
        .set(&node, "zazen,domains", names)
        .flag(&node, "zazen,events");
}

/// A node for vCPU `id` of the domain `path` with this budget and period.
fn cpu(t: &mut Tree, path: &str, id: u32, budget: Option<u32>, period: Option<u32>) {
    let node = format!("{path}/vcpu{id}");
    t.add(path, &format!("vcpu{id}"))
        .set(&node, "compatible", "xen,vcpu")
        .set(&node, "id", id);
    for (name, value) in [("zazen,budget", budget), ("zazen,period", period)] {
        if let Some(value) = value {
            t.set(&node, name, value);
        }
    }
}

#[rustfmt::skip]
const ERRORS: &[Case] = &[
    // The tree and the host.
    case("nesting", Rule::Nesting, |t| {
        let mut path = String::from("/");
        for _ in 0..16 { t.add(&path, "n"); path = format!("{}/n", path.trim_end_matches('/')); }
    }, &["/n/n/n", "16 levels"]),
    case("three cells", Rule::Cells, |t| { t.set(L1, "#address-cells", 3u32); }, &[L1, "#address-cells = <0x3>", "1 or 2"]),
    case("zero cells", Rule::Cells, |t| { t.set(L1, "#size-cells", 0u32); }, &["#size-cells = <0x0>"]),
    case("memory node without reg", Rule::HostMemory, |t| { t.add("/", "memory@1").set("/memory@1", "device_type", "memory"); }, &["/memory@1", "reg: missing"]),
    case("memory node with half a reg", Rule::HostMemory, |t| { t.add("/", "memory@1").set("/memory@1", "device_type", "memory").set("/memory@1", "reg", [1u32, 2]); }, &["/memory@1", "2 address and 2 size cells"]),
    case("reserved memory with half a reg", Rule::ReservedMemory, |t| { t.add("/", "reserved-memory").add("/reserved-memory", "fw").set("/reserved-memory/fw", "reg", [1u32]); }, &["/reserved-memory/fw"]),
    case("257 banks in one node", Rule::TooManyRanges, |t| {
        let reg: Vec<u32> = (0..257u32).flat_map(|i| [1, i * 0x1000, 0, 0x1000]).collect();
        t.add("/", "memory@1").set("/memory@1", "device_type", "memory").set("/memory@1", "reg", reg);
    }, &["more than 256"]),
    case("257 banks in two nodes", Rule::TooManyRanges, |t| {
        let reg: Vec<u32> = (0..256u32).flat_map(|i| [1, i * 0x1000, 0, 0x1000]).collect();
        t.add("/", "memory@1").set("/memory@1", "device_type", "memory").set("/memory@1", "reg", reg);
    }, &["more than 256"]),
    case("board unknown", Rule::Board, |t| { t.set(CHOSEN, board::PROPERTY, "toaster"); }, &["zazen,board = \"toaster\"", "qemu_virt_aarch64"]),
    case("heap not aligned", Rule::StaticHeap, |t| { t.set(CHOSEN, "xen,static-heap", [0u32, 0x6000_1000, 0, 0x100_0000]); }, &["64 KiB"]),
    case("heap with half an entry", Rule::StaticHeap, |t| { t.set(CHOSEN, "xen,static-heap", [0u32, 0x6000_0000, 0]); }, &["12 bytes are no list"]),
    case("heap of a third kind", Rule::Heap, |t| { t.set(CHOSEN, "zazen,heap", "some"); }, &["zazen,heap = \"some\"", "needed"]),
    case("all of a bounded heap", Rule::Heap, |t| { t.set(CHOSEN, "zazen,heap", "all").set(CHOSEN, "xen,static-heap", [0u32, 0x6000_0000, 0, 0x2000_0000]); }, &["contradicts xen,static-heap"]),
    case("heap too small", Rule::HeapTooSmall, |t| { *t = Tree::heap(); t.set(CHOSEN, "xen,static-heap", [0u32, 0x6000_0000, 0, 0x800_0000]); }, &["RAM of linux1 (131072 KiB), RAM of linux2 (131072 KiB)", "has 131072 KiB"]),
    case("static memory outside RAM", Rule::NotRam, |t| { t.set(L1, "xen,static-mem", [0u32, 0x3000_0000, 0, 0x1000_0000]); }, &[L1, "0x30000000..0x40000000", "RAM is 0x40000000..0xc0000000"]),
    case("static memory half outside RAM", Rule::NotRam, |t| { t.set(L1, "xen,static-mem", [0u32, 0xb800_0000, 0, 0x1000_0000]); }, &["not RAM"]),
    case("heap outside RAM", Rule::NotRam, |t| { t.set(CHOSEN, "xen,static-heap", [1u32, 0, 0, 0x1000_0000]); }, &["xen,static-heap"]),
    case("static memory of two guests", Rule::Overlap, |t| { t.set(L2, "xen,static-mem", [0u32, 0x4800_0000, 0, 0x1000_0000]); }, &[L1, L2, "0x48000000..0x50000000", "0x50000000 or above"]),
    case("static memory twice in one guest", Rule::Overlap, |t| { t.set(L1, "xen,static-mem", [0u32, 0x6000_0000, 0, 0x800_0000, 0, 0x6000_0000, 0, 0x800_0000]); }, &[L1, "overlap"]),
    case("static memory and heap", Rule::Overlap, |t| { t.set(CHOSEN, "xen,static-heap", [0u32, 0x5fff_0000, 0, 0x1000_0000]); }, &["xen,static-heap", L2, "0x5fff0000..0x60000000"]),
    case("static memory and reserved memory", Rule::Overlap, |t| {
        t.add("/", "reserved-memory").set("/reserved-memory", "#address-cells", 1u32).set("/reserved-memory", "#size-cells", 1u32);
        t.add("/reserved-memory", "fw@40001000").set("/reserved-memory/fw@40001000", "reg", [0x4000_1000u32, 0x1000]);
    }, &["reserved memory", "xen,static-mem"]),
    case("static memory and memory reservation", Rule::Overlap, |t| { t.0.memory_reservations.push(dtoolkit::memreserve::MemoryReservation::new(0x4000_0000, 0x1000)); }, &["memory reservation block"]),
    // /chosen.
    case("no domain", Rule::NoDomain, |t| { t.remove_node(CHOSEN, "linux1").remove_node(CHOSEN, "linux2"); }, &["/chosen", "xen,domain"]),
    case("no chosen", Rule::NoDomain, |t| { t.remove_node("/", "chosen"); }, &["no /chosen"]),
    case("nine domains", Rule::TooManyDomains, |t| { for i in 3..10u32 { t.domain(&format!("linux{i}"), 0x3000_0000 + i * 0x1000_0000); t.set(&format!("/chosen/linux{i}"), "xen,static-mem", [0u32, 0x6000_0000 + (i - 3) * 0x100_0000, 0, 0x100_0000]).set(&format!("/chosen/linux{i}"), "memory", [0u32, 0x4000]); } }, &["/chosen/linux9", "1 domain too many", "at most 8"]),
    case("dom0", Rule::Dom0, |t| { t.module(CHOSEN, "module@1", "multiboot,kernel", "Image"); }, &["/chosen/module@1", "no dom0"]),
    // A domain.
    case("long name", Rule::Name, |t| { t.domain("seventeen-letters", 0x6000_0000); }, &["seventeen-letters", "16 characters"]),
    case("name of a server", Rule::Name, |t| { t.domain("console", 0x6000_0000); }, &["\"console\" is the name of a server"]),
    case("name of the monitor", Rule::Name, |t| { t.domain("zazen", 0x6000_0000); }, &["console's monitor"]),
    case("name of a VMM", Rule::Name, |t| { t.domain("vmm_linux1", 0x6000_0000); }, &["as those of VMMs do"]),
    case("name that begins with a dash", Rule::Name, |t| { t.domain("-h", 0x6000_0000); }, &["begins with a letter or a digit"]),
    case("name of dots", Rule::Name, |t| { t.domain("..", 0x6000_0000); }, &["begins with a letter or a digit"]),
    case("name with a comma", Rule::Name, |t| { t.domain("a,b", 0x6000_0000); }, &["letters, digits and . _ + - only"]),
    case("name of 32 characters", Rule::Name, |t| { t.add(CHOSEN, &"a".repeat(32)); }, &["more than 16 characters"]),
    case("name with a letter of another alphabet", Rule::Name, |t| { t.add(CHOSEN, "g\u{e4}st"); }, &["begins with a letter or a digit"]),
    case("node name of 32 characters", Rule::NodeName, |t| { t.add(L1, &"a".repeat(32)); }, &["linux1/aaaa", "32 characters", "at most 31"]),
    case("node name with two @", Rule::NodeName, |t| { t.add(L1, "a@1@2"); }, &["one @ at most"]),
    case("property name of 32 characters", Rule::NodeName, |t| { t.flag(L1, &"p".repeat(32)); }, &["pppp", "32 characters"]),
    case("node name with a question mark", Rule::NodeName, |t| { t.add("/", "a?"); }, &["'?'"]),
    case("same name", Rule::Name, |t| { t.domain("linux1@2", 0x6000_0000); }, &["/chosen/linux1@2", "another domain is named \"linux1\""]),
    case("no memory", Rule::Memory, |t| { t.remove(L1, "memory"); }, &[L1, "memory: missing", "KiB as two cells"]),
    case("memory in one cell", Rule::Memory, |t| { t.set(L1, "memory", 0x4_0000u32); }, &["4 bytes", "two cells"]),
    case("memory 0", Rule::Memory, |t| { t.set(L1, "memory", 0u64).remove(L1, "xen,static-mem"); }, &["without RAM"]),
    case("memory no whole pages", Rule::Memory, |t| { t.set(L1, "memory", 0x4_0002u64); }, &["memory = <0x0 0x40002>", "multiple of 4"]),
    case("memory too much", Rule::Banks, |t| { t.set(L1, "memory", 1u64 << 40).remove(L1, "xen,static-mem"); }, &["exceed"]),
    case("memory past 64 bits", Rule::Banks, |t| { t.set(L1, "memory", !3u64).remove(L1, "xen,static-mem"); }, &["exceed"]),
    case("no cpus", Rule::Cpus, |t| { t.remove(L1, "cpus"); }, &["cpus: missing"]),
    case("cpus 0", Rule::Cpus, |t| { t.set(L1, "cpus", 0u32); }, &["needs a CPU"]),
    case("cpus 9", Rule::Cpus, |t| { t.set(L1, "cpus", 9u32); }, &["at most 8"]),
    case("cpus in two cells", Rule::Cpus, |t| { t.set(L1, "cpus", 1u64); }, &["32 bits, not 8 bytes"]),
    case("vpl011 without SPI", Rule::Vpl011, |t| { t.flag(L1, "vpl011").set(L1, "nr_spis", 0u32); }, &["vpl011 needs"]),
    case("nr_spis 989", Rule::NrSpis, |t| { t.set(L1, "nr_spis", 989u32); }, &["988"]),
    case("nr_spis 961", Rule::NrSpis, |t| { t.set(L1, "nr_spis", 961u32); }, &["960"]),
    case("static memory unaligned", Rule::StaticMem, |t| { t.set(L1, "xen,static-mem", [0u32, 0x6000_0800, 0, 0x1000_0000]); }, &["page (4 KiB)"]),
    case("static memory size unaligned", Rule::StaticMem, |t| { t.set(L1, "xen,static-mem", [0u32, 0x6000_0000, 0, 0x1000_0800]); }, &["page (4 KiB)"]),
    case("static memory of size 0", Rule::StaticMem, |t| { t.set(L1, "xen,static-mem", [0u32, 0x6000_0000, 0, 0]); }, &["empty"]),
    case("static memory past 64 bits", Rule::StaticMem, |t| { t.set(L1, "xen,static-mem", [u32::MAX, 0xf000_0000, 0, 0x1000_1000]); }, &["passes the end"]),
    case("static memory in the guest's cells", Rule::StaticMem, |t| { t.set(L1, "#address-cells", 1u32).set(L1, "#size-cells", 1u32).set(L1, "xen,static-mem", [0x4000_0000u32, 0x1000_0000]); }, &["8 bytes", "2 address and 2 size", "node above"]),
    case("static memory empty", Rule::StaticMem, |t| { t.flag(L1, "xen,static-mem"); }, &["has no value"]),
    case("static sum", Rule::StaticSum, |t| { t.set(L1, "xen,static-mem", [0u32, 0x4000_0000, 0, 0x800_0000]); }, &["0x20000 KiB", "0x40000 KiB", "memory = <0x0 0x20000>"]),
    case("direct-map alone", Rule::DirectMap, |t| { t.remove(L1, "xen,static-mem").flag(L1, "direct-map"); }, &["without static memory"]),
    case("direct-map where the host has devices", Rule::DirectMap, |t| { t.remove_node("/", "memory@40000000").set(L1, "xen,static-mem", [0u32, 0x0800_0000, 0, 0x1000_0000]).flag(L1, "direct-map"); }, &["0x8000000..0x18000000", "devices"]),
    case("direct-map out of the VMM's reach", Rule::DirectMap, |t| { t.set("/memory@40000000", "reg", [0u32, 0x4000_0000, 0, 0x8000_0000, 0x50, 0, 0, 0x1000_0000]).set(L1, "xen,static-mem", [0x50u32, 0, 0, 0x1000_0000]).flag(L1, "direct-map"); }, &["0x5000000000"]),
    case("direct-map, two ranges in one block", Rule::DirectMap, |t| { t.set(L1, "xen,static-mem", [0u32, 0x6000_0000, 0, 0x80_1000, 0, 0x6080_3000, 0, 0xf7f_f000]).flag(L1, "direct-map"); }, &["0x60000000..0x60801000", "0x60803000..0x70002000", "same 2 MiB"]),
    case("direct-map, nine ranges", Rule::Banks, |t| { let list: Vec<u32> = (0..16u32).flat_map(|i| [0, 0x6000_0000 + i * 0x200_0000, 0, 0x100_0000]).collect(); t.set(L1, "xen,static-mem", list).flag(L1, "direct-map"); }, &["16 ranges", "at most 8"]),
    case("memory-max with static memory", Rule::MemoryMax, |t| { t.set(L1, "zazen,memory-max", [0u32, 0x8_0000]); }, &["static memory"]),
    case("memory-max below memory", Rule::MemoryMax, |t| { *t = Tree::heap(); t.set(L1, "zazen,memory-max", [0u32, 0x1_0000]); }, &["from memory (0x20000 KiB)"]),
    case("memory-max above ten times", Rule::MemoryMax, |t| { *t = Tree::heap(); t.set(L1, "zazen,memory-max", [0u32, 0x14_0800]); }, &["10 times that (0x140000 KiB)"]),
    case("memory-max of a ragged memory", Rule::MemoryMax, |t| { *t = Tree::heap(); t.set(L1, "memory", 0x2_0400u64).set(L1, "zazen,memory-max", [0u32, 0x4_0000]); }, &["multiple of 2 MiB"]),
    case("memory-max in one cell", Rule::Memory, |t| { *t = Tree::heap(); t.set(L1, "zazen,memory-max", 0x4_0000u32); }, &["zazen,memory-max", "4 bytes"]),
    case("enhanced foo", Rule::Enhanced, |t| { t.set(L1, "xen,enhanced", "foo"); }, &["xen,enhanced = \"foo\"", "no-xenstore"]),
    case("enhanced number", Rule::Enhanced, |t| { t.set(L1, "xen,enhanced", 1u32); }, &["one string"]),
    case("passthrough", Rule::Passthrough, |t| { t.set(L1, "passthrough", "enabled"); }, &["not supported yet"]),
    case("passthrough yes", Rule::Passthrough, |t| { t.set(L1, "passthrough", "yes"); }, &["\"disabled\""]),
    case("partial device tree", Rule::Passthrough, |t| { t.module(L1, "module@9", "multiboot,device-tree", "x.dtb"); }, &["/chosen/linux1/module@9", "partial device trees"]),
    case("hardware domain", Rule::Capabilities, |t| { t.set(L1, "capabilities", 2u32); }, &["hardware"]),
    case("xenstore domain", Rule::Capabilities, |t| { t.set(L1, "capabilities", 4u32); }, &["xenstore"]),
    case("capability 8", Rule::Capabilities, |t| { t.set(L1, "capabilities", 8u32); }, &["0x8 are no capabilities"]),
    case("p2m memory 0", Rule::P2mMemory, |t| { t.set(L1, "xen,domain-p2m-mem-mb", 0u32); }, &["page tables"]),
    case("grant version 2", Rule::GrantVersion, |t| { t.set(L1, "max_grant_version", 2u32); }, &["version 1"]),
    case("grant version 0", Rule::GrantVersion, |t| { t.set(L1, "max_grant_version", 0u32); }, &["version 1"]),
    case("grant frames 0", Rule::GrantFrames, |t| { t.set(L1, "max_grant_frames", 0u32); }, &["1 to 64"]),
    case("grant frames 65", Rule::GrantFrames, |t| { t.set(L1, "max_grant_frames", 65u32); }, &["1 to 64"]),
    case("maptrack frames", Rule::Maptrack, |t| { t.set(L1, "max_maptrack_frames", 0x8000_0000u32); }, &["2147483647"]),
    case("trap 2", Rule::TrapUnmapped, |t| { t.set(L1, "trap-unmapped-accesses", 2u32); }, &["0 or 1"]),
    case("sve", Rule::Sve, |t| { t.flag(L1, "sve"); }, &["SVE"]),
    case("sve 128", Rule::Sve, |t| { t.set(L1, "sve", 128u32); }, &["SVE"]),
    case("colours", Rule::LlcColors, |t| { t.set(L1, "llc-colors", "1-2"); }, &["colouring"]),
    case("sci", Rule::Sci, |t| { t.set(L1, "xen,sci_type", "scmi_smc"); }, &["none"]),
    case("v8r", Rule::V8r, |t| { t.set(L1, "v8r_el1_msa", "mmu"); }, &["Armv8-R"]),
    case("vcpu without id", Rule::Vcpu, |t| { t.add(L1, "vcpu0").set("/chosen/linux1/vcpu0", "compatible", "xen,vcpu"); }, &["id: missing"]),
    case("vcpu that is not there", Rule::Vcpu, |t| { t.add(L1, "vcpu1").set("/chosen/linux1/vcpu1", "compatible", "xen,vcpu").set("/chosen/linux1/vcpu1", "id", 1u32); }, &["fewer CPUs"]),
    case("vcpu twice", Rule::Vcpu, |t| { for n in ["a", "b"] { let p = format!("{L1}/{n}"); t.add(L1, n).set(&p, "compatible", "xen,vcpu").set(&p, "id", 0u32); } }, &["/chosen/linux1/b", "same id"]),
    case("budget 0", Rule::CpuBudget, |t| cpu(t, L1, 0, Some(0), None), &["/chosen/linux1/vcpu0", "never runs", "zazen,budget = <50>"]),
    case("budget below the kernel's", Rule::CpuBudget, |t| cpu(t, L1, 0, Some(10), Some(100)), &["10 us are too few", "zazen,budget = <50> and zazen,period = <500>"]),
    case("budget of a share that is too small", Rule::CpuBudget, |t| cpu(t, L1, 0, Some(10), Some(90_000)), &["10 us are too few", "write zazen,budget = <50>"]),
    case("budget of a long turn", Rule::CpuBudget, |t| cpu(t, L1, 0, Some(20_000), Some(100_000)), &["20000 us keep", "at most 700", "<700> and zazen,period = <3500>"]),
    case("slice of a long turn", Rule::CpuBudget, |t| cpu(t, L1, 0, Some(1951), None), &["at most 1950", "zazen,budget = <1950>"]),
    case("budget in two cells", Rule::CpuBudget, |t| { cpu(t, L1, 0, None, None); t.set("/chosen/linux1/vcpu0", "zazen,budget", 500u64); }, &["32 bits, not 8 bytes"]),
    case("period alone", Rule::CpuPeriod, |t| cpu(t, L1, 0, None, Some(1000)), &["without zazen,budget"]),
    case("period below budget", Rule::CpuPeriod, |t| cpu(t, L1, 0, Some(500), Some(499)), &["shorter than the budget, 500 us"]),
    case("period 0", Rule::CpuPeriod, |t| cpu(t, L1, 0, Some(500), Some(0)), &["shorter than the budget"]),
    case("period too long", Rule::CpuPeriod, |t| cpu(t, L1, 0, Some(500), Some(100_001)), &["100001 us", "at most 100000"]),
    case("more than a CPU", Rule::CpuSum, |t| { cpu(t, L1, 0, Some(500), Some(1000)); cpu(t, L2, 0, Some(500), Some(1200)); }, &[L2, "linux1 55.0 %, linux2 45.9 %"]),
    case("more than a CPU with the VMM", Rule::CpuSum, |t| cpu(t, L1, 0, Some(600), Some(650)), &["linux1 101.6 %"]),
    case("shared memory over RAM", Rule::SharedMemoryPlace, |t| share(t, L1, "frames", [0, 0x7000_0000, 0, 0x4000_0000, 0, 0x1000]), &["overlaps RAM"]),
    case("shared memory over the interrupt controller", Rule::SharedMemoryPlace, |t| share(t, L1, "frames", [0, 0x7000_0000, 0, 0x0300_0000, 0, 0x2000]), &["distributor"]),
    case("shared memory over grants", Rule::SharedMemoryPlace, |t| share(t, L1, "frames", [0, 0x7000_0000, 0, 0x38ff_f000, 0, 0x2000]), &["grant tables"]),
    case("shared memory above 2^40", Rule::SharedMemoryPlace, |t| share(t, L1, "frames", [0, 0x7000_0000, 0xff, 0xffff_f000, 0, 0x2000]), &["2^40"]),
    case("shared memory of no owner", Rule::SharedMemoryOwner, |t| { share(t, L1, "frames", [0, 0x7000_0000, 0, 0x3a00_0000, 0, 0x1000]); t.set("/chosen/linux1/shm", "role", "borrower"); }, &["no domain is the owner of \"frames\""]),
    case("shared memory without role of an owner", Rule::SharedMemoryOwner, |t| { share(t, L1, "frames", [0, 0x7000_0000, 0, 0x3a00_0000, 0, 0x1000]); share(t, L2, "frames", [0, 0x7000_0000, 0, 0x3a00_0000, 0, 0x1000]); t.set("/chosen/linux1/shm", "role", "owner"); }, &["has an owner, and this node no role"]),
    case("event channels without end", Rule::StaticEvtchn, |t| { for n in 1..=65 { link(t, L1, n, &[n + 1, n + 100]); link(t, L2, n + 100, &[n + 1, n]); } }, &["at most 64"]),
    case("event channel to itself", Rule::EvtchnLink, |t| link(t, L1, 1, &[7, 1]), &["both ends are in one domain"]),
    case("event channel of the console", Rule::EvtchnLink, |t| { link(t, L1, 1, &[1, 2]); link(t, L2, 2, &[7, 1]); }, &["port 1", "the first that is free is"]),
    case("shared memory, id of 16", Rule::SharedMemoryRegion, |t| { share(t, L1, "sixteen-letters!", [0, 0x7000_0000, 0, 0x7000_0000, 0, 0x1000]); }, &["xen,shm-id = \"sixteen-letters!\"", "16 characters"]),
    case("shared memory without id", Rule::SharedMemoryRegion, |t| { share(t, L1, "x", [0, 0x7000_0000, 0, 0x7000_0000, 0, 0x1000]); t.remove("/chosen/linux1/shm", "xen,shm-id"); }, &["xen,shm-id: missing"]),
    case("shared memory without place", Rule::SharedMemoryRegion, |t| { share(t, L1, "x", [0; 6]); t.remove("/chosen/linux1/shm", "xen,shared-mem"); }, &["xen,shared-mem: missing"]),
    case("shared memory unaligned", Rule::SharedMemoryRegion, |t| { share(t, L1, "x", [0, 0x7000_0000, 0, 0x7000_0800, 0, 0x1000]); }, &["multiples of 4 KiB"]),
    case("shared memory of size 0", Rule::SharedMemoryRegion, |t| { share(t, L1, "x", [0, 0x7000_0000, 0, 0x7000_0000, 0, 0]); }, &["size of 0"]),
    case("shared memory that wraps", Rule::SharedMemoryRegion, |t| { share(t, L1, "x", [u32::MAX, 0xffff_f000, 0, 0x7000_0000, 0, 0x2000]); }, &["end of 64 bits"]),
    case("shared memory in four cells and one", Rule::SharedMemoryRegion, |t| { share(t, L1, "x", [0; 6]); t.set("/chosen/linux1/shm", "xen,shared-mem", [0u32; 5]); }, &["20 bytes", "2 address and 2 size cells"]),
    case("shared memory, role", Rule::SharedMemoryRegion, |t| { share(t, L1, "x", [0, 0x7000_0000, 0, 0x7000_0000, 0, 0x1000]); t.set("/chosen/linux1/shm", "role", "lender"); }, &["role = \"lender\"", "borrower"]),
    case("shared memory, role beside an owner", Rule::SharedMemoryRegion, |t| { share(t, L1, "x", [0, 0x7000_0000, 0, 0x3a00_0000, 0, 0x1000]); share(t, L2, "x", [0, 0x7000_0000, 0, 0x3a00_0000, 0, 0x1000]); t.set("/chosen/linux1/shm", "role", "owner").set("/chosen/linux2/shm", "role", "lender"); }, &["role = \"lender\"", "write role = \"borrower\""]),
    case("shared memory, role beside a borrower", Rule::SharedMemoryRegion, |t| { share(t, L1, "x", [0, 0x7000_0000, 0, 0x3a00_0000, 0, 0x1000]); share(t, L2, "x", [0, 0x7000_0000, 0, 0x3a00_0000, 0, 0x1000]); t.set("/chosen/linux1/shm", "role", "lender").set("/chosen/linux2/shm", "role", "borrower"); }, &["role = \"lender\"", "write role = \"owner\""]),
    case("evtchn empty", Rule::EvtchnLink, |t| { link(t, L1, 1, &[]); }, &["0 bytes"]),
    case("evtchn without property", Rule::EvtchnLink, |t| { link(t, L1, 1, &[1]); t.remove("/chosen/linux1/ec1", "xen,evtchn"); }, &["xen,evtchn: missing"]),
    case("pair without names", Rule::PairDomains, |t| { pair(t, "p", ""); t.remove("/chosen/p", "zazen,domains"); }, &["zazen,domains: missing"]),
    case("pair of one", Rule::PairDomains, |t| pair(t, "p", "linux1"), &["names of two domains"]),
    case("pair of three", Rule::PairDomains, |t| pair(t, "p", "linux1\0linux2\0linux1"), &["names of two domains"]),
    case("pair with a stranger", Rule::PairDomains, |t| pair(t, "p", "linux1\0linux3"), &["no domain is named \"linux3\"", "linux1, linux2"]),
    case("pair with itself", Rule::PairDomains, |t| pair(t, "p", "linux1\0linux1"), &["itself"]),
    case("pair twice", Rule::PairDomains, |t| { pair(t, "p", "linux1\0linux2"); pair(t, "q", "linux2\0linux1"); }, &["/chosen/q", "the same two domains"]),
    case("pair with grants", Rule::PairGrants, |t| { pair(t, "p", "linux1\0linux2"); t.set("/chosen/p", "zazen,grants", "linux3"); }, &["none of the two"]),
    case("pair that grants twice", Rule::PairGrants, |t| { pair(t, "p", "linux1\0linux2"); t.set("/chosen/p", "zazen,grants", "linux1\0linux1"); }, &["named twice"]),
    case("evtchn of nobody", Rule::EvtchnLink, |t| { link(t, L1, 1, &[7, 99]); }, &["0x63", "no event channel"]),
    // Disks.
    case("disk without xenstore", Rule::DiskStore, |t| { part(t, L1, "d", "root"); t.set(L1, "xen,enhanced", "no-xenstore"); }, &["/chosen/linux1/d", "no xenstore"]),
    case("disk of nothing", Rule::DiskSource, |t| { disk(t, L1, "d"); }, &["/chosen/linux1/d", "does not say"]),
    case("disk of two things", Rule::DiskSource, |t| { let d = part(t, L1, "d", "root"); t.set(&d, "zazen,file", "disk"); }, &["one of them"]),
    case("disk that the board has not", Rule::DiskSource, |t| { let d = disk(t, L1, "d"); t.set(&d, "zazen,device", "sda"); }, &["has no disk \"sda\"", "virtio0"]),
    case("disk of half a sector", Rule::DiskSource, |t| { let d = disk(t, L1, "d"); t.set(&d, "zazen,file", "text"); }, &["10 bytes", "truncate -s 512"]),
    case("disk's file missing", Rule::FileMissing, |t| { let d = disk(t, L1, "d"); t.set(&d, "zazen,file", "nowhere"); }, &["no file"]),
    case("partition 0", Rule::DiskPart, |t| { let d = part(t, L1, "d", "x"); t.set(&d, "zazen,partition", 0u32); }, &["from 1"]),
    case("partition without a name", Rule::DiskPart, |t| { part(t, L1, "d", ""); }, &["0 characters"]),
    case("label of 37 characters", Rule::DiskPart, |t| { part(t, L1, "d", &"x".repeat(37)); }, &["37 characters"]),
    case("partition of two cells", Rule::DiskPart, |t| { let d = part(t, L1, "d", "x"); t.set(&d, "zazen,partition", 1u64); }, &["one string"]),
    case("two writers", Rule::DiskShared, |t| { part(t, L1, "d", "root"); part(t, L2, "d", "root"); }, &["/chosen/linux2/d", "linux1 has the same disk"]),
    case("writer and reader", Rule::DiskShared, |t| { part(t, L1, "d", "root"); let d = part(t, L2, "d", "root"); t.flag(&d, "read-only"); }, &["linux1 has the same disk"]),
    case("partition and whole", Rule::DiskShared, |t| { part(t, L1, "d", "root"); let d = part(t, L2, "d", "x"); t.remove(&d, "zazen,partition"); }, &["linux1 has the same disk"]),
    case("two writers of a file", Rule::DiskShared, |t| { for path in [L1, L2] { let d = disk(t, path, "d"); t.set(&d, "zazen,file", "disk"); } }, &["linux1 has the same disk"]),
    case("one domain twice", Rule::DiskShared, |t| { part(t, L1, "d", "root"); part(t, L1, "e", "root"); }, &["/chosen/linux1/e", "linux1 has the same disk"]),
    case("nine disks", Rule::DiskCount, |t| { for n in 0..9 { part(t, L1, &format!("d{n}"), &format!("p{n}")); } }, &["/chosen/linux1/d8", "at most 8"]),
    case("nine RAM disks", Rule::DiskCount, |t| { for n in 0..9 { let d = disk(t, if n < 5 { L1 } else { L2 }, &format!("d{n}")); t.set(&d, "zazen,file", format!("disk{n}").as_str()); } }, &["/chosen/linux2/d8", "RAM disk too many"]),
    // Network interfaces.
    case("interface without xenstore", Rule::NetStore, |t| { nic(t, L1, "n", None); t.set(L1, "xen,enhanced", "no-xenstore"); }, &["/chosen/linux1/n", "no xenstore"]),
    case("five interfaces", Rule::NetCount, |t| { for n in 0..5 { nic(t, L1, &format!("n{n}"), None); } }, &["/chosen/linux1/n4", "at most 4"]),
    case("interface of no network", Rule::NetNetwork, |t| { let n = nic(t, L1, "n", None); t.remove(&n, "zazen,network"); }, &["/chosen/linux1/n", "does not name"]),
    case("network with a space", Rule::NetNetwork, |t| { let n = nic(t, L1, "n", None); t.set(&n, "zazen,network", "the lan"); }, &["\"the lan\"", "1 to 15 letters"]),
    case("network of 16 letters", Rule::NetNetwork, |t| { let n = nic(t, L1, "n", None); t.set(&n, "zazen,network", "sixteen-letters-"); }, &["sixteen-letters-"]),
    case("an uplink that there is not", Rule::NetUplink, |t| { let n = nic(t, L1, "n", None); t.set(&n, "zazen,uplink", "eth7"); }, &["no network device \"eth7\"", "virtio1"]),
    case("an uplink of two networks", Rule::NetUplink, |t| { for (path, network) in [(L1, "lan"), (L2, "other")] { let n = nic(t, path, "n", None); t.set(&n, "zazen,network", network).set(&n, "zazen,uplink", "virtio1"); } }, &["/chosen/linux2/n", "\"lan\" already"]),
    case("an uplink on a board without", Rule::NetUplink, |t| { t.set("/chosen", "zazen,board", "zcu102"); let n = nic(t, L1, "n", None); t.set(&n, "zazen,uplink", "virtio1"); }, &["the board zcu102 has no network device"]),
    case("address of five pairs", Rule::NetMac, |t| { nic(t, L1, "n", Some("02:00:00:00:01")); }, &["no Ethernet address"]),
    case("address of a group", Rule::NetMac, |t| { nic(t, L1, "n", Some("ff:ff:ff:ff:ff:ff")); }, &["a group"]),
    case("address of nobody", Rule::NetMac, |t| { nic(t, L1, "n", Some("00:00:00:00:00:00")); }, &["no station's"]),
    case("two with one address", Rule::NetMac, |t| { for path in [L1, L2] { nic(t, path, "n", Some("02:00:00:00:00:01")); } }, &["/chosen/linux2/n", "02:00:00:00:00:01, too"]),
    case("an address that another is made of", Rule::NetMac, |t| { nic(t, L1, "n", None); nic(t, L2, "n", Some("00:16:3e:00:01:00")); }, &["/chosen/linux2/n", "too"]),
    // Modules.
    case("module of no bytes", Rule::ModuleReg, |t| { t.remove(L1_KERNEL, "zazen,file").set(L1_KERNEL, "reg", [0u32, 0xa000_0000, 0, 0]); }, &["boot loader"]),
    case("no kernel", Rule::NoKernel, |t| { t.remove_node(L1, "kernel"); }, &[L1, "multiboot,kernel"]),
    case("two kernels", Rule::ModuleTwice, |t| { t.module(L1, "k2", "multiboot,kernel", "Image"); }, &["/chosen/linux1/k2", "second kernel"]),
    case("two RAM disks", Rule::ModuleTwice, |t| { t.module(L1, "r2", "xen,linux-initrd", "initrd.cpio.gz"); }, &["second RAM disk"]),
    case("unknown module", Rule::ModuleKind, |t| { t.set(L1_RAMDISK, "compatible", "multiboot,module"); }, &[L1_RAMDISK, "multiboot,ramdisk"]),
    case("module with reg", Rule::ModuleReg, |t| { t.remove(L1_KERNEL, "zazen,file").set(L1_KERNEL, "reg", [0u32, 0xa000_0000, 0, 0x100_0000]); }, &["boot loader", "zazen,file"]),
    case("module with reg cut off", Rule::ModuleReg, |t| { t.remove(L1_KERNEL, "zazen,file").set(L1_KERNEL, "reg", [0u32]); }, &["boot loader"]),
    case("module from UEFI", Rule::ModuleReg, |t| { t.set(L1_KERNEL, "xen,uefi-binary", "Image"); }, &["UEFI"]),
    case("module without reg or file", Rule::ModuleFile, |t| { t.remove(L1_RAMDISK, "zazen,file"); }, &["zazen,file: missing", "RAM disk"]),
    case("module with an empty name", Rule::ModuleFile, |t| { t.set(L1_KERNEL, "zazen,file", ""); }, &["file name"]),
    case("module with a number for a name", Rule::ModuleFile, |t| { t.set(L1_KERNEL, "zazen,file", 1u32); }, &["one string"]),
    case("file missing", Rule::FileMissing, |t| { t.set(L1_KERNEL, "zazen,file", "nowhere/Image"); }, &["zazen,file = \"nowhere/Image\"", "no file"]),
    case("file empty", Rule::FileSize, |t| { t.set(L1_RAMDISK, "zazen,file", "empty"); }, &["empty"]),
    case("size differs", Rule::FileSize, |t| { t.set(L1_RAMDISK, "zazen,size", INITRD_SIZE + 1); }, &["has 1193046 bytes"]),
    case("size in one cell", Rule::FileSize, |t| { t.set(L1_RAMDISK, "zazen,size", 5u32); }, &["64 bits"]),
    case("kernel magic", Rule::KernelFormat, |t| { t.set(L1_KERNEL, "zazen,file", "text"); }, &["magic"]),
    case("kernel big-endian", Rule::KernelFormat, |t| { t.set(L1_KERNEL, "zazen,file", "Image-be"); }, &["big-endian"]),
    case("kernel gzip", Rule::KernelFormat, |t| { t.set(L1_KERNEL, "zazen,file", "Image.gz"); }, &["gunzip"]),
    case("kernel zboot", Rule::KernelFormat, |t| { t.set(L1_KERNEL, "zazen,file", "zboot"); }, &["EFI"]),
    case("kernel uImage", Rule::KernelFormat, |t| { t.set(L1_KERNEL, "zazen,file", "uImage"); }, &["uImage"]),
    case("bootargs 1025", Rule::Bootargs, |t| { let long = "x".repeat(1025); t.set(L1_KERNEL, "bootargs", long.as_str()); }, &["1025 characters", "1024"]),
    case("bootargs number", Rule::Bootargs, |t| { t.set(L1_KERNEL, "bootargs", 7u32); }, &["one string"]),
    case("kernel larger than RAM", Rule::KernelTooLarge, |t| { t.set(L1, "memory", 0x800u64).set(L1, "xen,static-mem", [0u32, 0x6000_0000, 0, 0x20_0000]); }, &["\"Image\" takes 3072 KiB", "2048 KiB"]),
    case("initrd over the kernel", Rule::RamdiskOverlap, |t| { t.set(L1, "memory", 0x1c00u64).set(L1, "xen,static-mem", [0u32, 0x6000_0000, 0, 0x70_0000]); }, &["overlap the kernel", "6144 KiB", "7168 KiB"]),
    case("initrd too big", Rule::BankFull, |t| { t.set(L1_RAMDISK, "zazen,file", "huge-initrd"); }, &["first RAM bank", "262144 KiB"]),
    case("kernel too big", Rule::BankFull, |t| { t.set(L1, "memory", 0x1000u64).set(L1, "xen,static-mem", [0u32, 0x6000_0000, 0, 0x40_0000]); }, &["first RAM bank"]),
];

#[rustfmt::skip]
const WARNINGS: &[Case] = &[
    case("memory node off", Rule::Status, |t| { t.add("/", "memory@1").set("/memory@1", "device_type", "memory").set("/memory@1", "status", "disabled"); }, &["/memory@1", "ignored"]),
    case("domain off", Rule::Status, |t| { t.set(L1, "status", "disabled"); }, &[L1, "skipped"]),
    case("property misspelt", Rule::Unknown, |t| { t.flag(L1, "vpl01"); }, &["vpl01: is not known"]),
    case("property of chosen misspelt", Rule::Unknown, |t| { t.flag(CHOSEN, "xen,static-heaps"); }, &["xen,static-heaps: is not"]),
    case("property of a module misspelt", Rule::Unknown, |t| { t.set(L1_KERNEL, "bootarg", "x"); }, &[L1_KERNEL, "bootarg = \"x\""]),
    case("node unknown", Rule::Unknown, |t| { t.add(L1, "foo"); }, &["/chosen/linux1/foo"]),
    case("node of chosen unknown", Rule::Unknown, |t| { t.add(CHOSEN, "foo"); }, &["/chosen/foo", "xen,domain"]),
    case("no memory node", Rule::HostMemory, |t| { t.remove_node("/", "memory@40000000"); }, &["cannot be checked"]),
    case("options", Rule::XenOptions, |t| { t.set(CHOSEN, "xen,xen-bootargs", "dom0_mem=1G"); }, &["xen,xen-bootargs = \"dom0_mem=1G\""]),
    case("dom0 options", Rule::Dom0, |t| { t.set(CHOSEN, "xen,dom0-bootargs", "x"); }, &["no dom0"]),
    case("dom0 shared memory", Rule::Dom0, |t| { t.add(CHOSEN, "shm").set("/chosen/shm", "compatible", "xen,domain-shared-memory-v1"); }, &["no dom0"]),
    case("pair for nothing", Rule::PairEvents, |t| { pair(t, "p", "linux1\0linux2"); t.remove("/chosen/p", "zazen,events"); }, &["may do nothing"]),
    case("CPU pool", Rule::CpuPool, |t| { t.add(CHOSEN, "pool").set("/chosen/pool", "compatible", "xen,cpupool"); }, &["/chosen/pool"]),
    case("domain's CPU pool", Rule::CpuPool, |t| { t.set(L1, "domain-cpupool", 1u32); }, &["CPU 0"]),
    case("memory in pages", Rule::BigPages, |t| { *t = Tree::heap(); t.set(L1, "memory", 0x2_0004u64); }, &["2 MiB"]),
    case("static memory in pages", Rule::BigPages, |t| { t.set(L1, "xen,static-mem", [0u32, 0x6000_1000, 0, 0x1000_0000]); }, &["2 MiB"]),
    case("policy", Rule::Xsm, |t| { let p = format!("{CHOSEN}/p"); t.add(CHOSEN, "p").set(&p, "compatible", ["xen,xsm-policy", "multiboot,module"].as_slice()); }, &["the policy has no effect"]),
    case("memory node under another name", Rule::HostMemory, |t| { t.add("/", "memroy@1").set("/memroy@1", "device_type", "memory"); }, &["/memroy@1", "no memory node"]),
    case("hvc0 without xen,enhanced", Rule::Console, |t| { t.remove(L1, "xen,enhanced"); }, &["console=hvc0", "xen,enhanced = \"no-xenstore\""]),
    case("hvc0 with xen,enhanced off", Rule::Console, |t| { t.set(L1, "xen,enhanced", "disabled").flag(L1, "vpl011"); }, &["console=hvc0", "name another console"]),
    case("ttyAMA0 without vpl011", Rule::Console, |t| { t.set(L1_KERNEL, "bootargs", "quiet console=ttyAMA0,115200"); }, &["console=ttyAMA0", "vpl011"]),
    case("a console that no domain has", Rule::Console, |t| { t.set(L1_KERNEL, "bootargs", "console=ttyS0"); }, &["console=ttyS0", "console=hvc0"]),
    case("no console at all", Rule::Console, |t| { t.remove(L1, "xen,enhanced").remove(L1_KERNEL, "bootargs"); }, &["neither xen,enhanced nor vpl011"]),
    case("partition of a file", Rule::DiskPart, |t| { let d = disk(t, L1, "d"); t.set(&d, "zazen,file", "disk").set(&d, "zazen,partition", "x"); }, &["no effect on a file"]),
    case("disk property misspelt", Rule::Unknown, |t| { let d = part(t, L1, "d", "x"); t.flag(&d, "readonly"); }, &["readonly: is not known"]),
    case("p2m memory little", Rule::P2mMemory, |t| { t.set(L1, "xen,domain-p2m-mem-mb", 1u32); }, &["3 MiB"]),
    case("maptrack", Rule::Maptrack, |t| { t.set(L1, "max_maptrack_frames", 0u32); }, &["is not used"]),
    case("affinity", Rule::Vcpu, |t| { let p = format!("{L1}/v"); t.add(L1, "v").set(&p, "compatible", "xen,vcpu").set(&p, "id", 0u32).set(&p, "hard-affinity", "1"); }, &["CPU 0"]),
    case("period that is shorter than the others' turns", Rule::CpuLate, |t| cpu(t, L1, 0, Some(500), Some(1799)), &[L1, "500 us come only once in 1800 us, not in 1799"]),
    case("bootargs at the domain", Rule::Bootargs, |t| { t.set(L1, "bootargs", "quiet"); }, &["kernel"]),
    case("bootargs at the RAM disk", Rule::Bootargs, |t| { t.set(L1_RAMDISK, "bootargs", "quiet"); }, &["kernel's node"]),
];

fn run(case: &Case) -> Result<dt_server::Config, Diagnostics> {
    let mut tree = Tree::two();
    (case.edit)(&mut tree);
    parse(&tree.dtb(), &TestFiles)
}

fn says(case: &Case, text: &str) {
    for part in case.says {
        assert!(text.contains(part), "{}: no {part:?} in: {text}", case.name);
    }
}

#[test]
fn each_mistake_gives_one_precise_error() {
    for case in ERRORS {
        let found = run(case)
            .err()
            .unwrap_or_else(|| panic!("{}: accepted", case.name));
        let rules: Vec<Rule> = found.errors().iter().map(|e| e.rule).collect();
        assert_eq!(rules, [case.rule], "{}:\n{found}", case.name);
        assert!(
            found
                .errors()
                .iter()
                .all(|e| e.severity == Severity::Error && !e.hint.is_empty()),
            "{}",
            case.name
        );
        says(case, &found.errors()[0].to_string());
    }
}

#[test]
fn each_oddity_gives_one_warning_and_a_system() {
    for case in WARNINGS {
        let config = run(case).unwrap_or_else(|found| panic!("{}: refused\n{found}", case.name));
        let rules: Vec<Rule> = config.warnings.warnings().iter().map(|e| e.rule).collect();
        assert_eq!(rules, [case.rule], "{}:\n{}", case.name, config.warnings);
        says(case, &config.warnings.warnings()[0].to_string());
    }
}

#[test]
fn every_rule_has_a_case() {
    // `Fdt`, `Truncated` and what needs several vCPUs are tested below.
    let mut covered: Vec<Rule> = ERRORS
        .iter()
        .chain(WARNINGS)
        .map(|case| case.rule)
        .collect();
    covered.extend([Rule::Fdt, Rule::Truncated, Rule::CpuMixed, Rule::CpuTurn]);
    covered.sort_unstable();
    covered.dedup();
    let mut all = Rule::ALL.to_vec();
    all.sort_unstable();
    assert_eq!(covered, all);
}

/// What is wrong with budgets of `linux1`'s vCPUs.
fn several(vcpus: &[(u32, Option<u32>)]) -> Vec<String> {
    let mut tree = Tree::two();
    tree.set(L1, "cpus", u32::try_from(vcpus.len()).unwrap());
    for (id, (budget, period)) in (0..).zip(vcpus) {
        cpu(&mut tree, L1, id, Some(*budget), *period);
    }
    let found = match parse(&tree.dtb(), &TestFiles) {
        Ok(config) => config.warnings,
        Err(found) => found,
    };
    let about = [
        Rule::CpuBudget,
        Rule::CpuPeriod,
        Rule::CpuMixed,
        Rule::CpuTurn,
        Rule::CpuSum,
        Rule::CpuLate,
    ];
    let about = found.iter().filter(|found| about.contains(&found.rule));
    about
        .map(|found| format!("{:?} {found}", found.rule))
        .collect()
}

#[test]
fn vcpus_of_a_domain_are_looked_at_together() {
    let said = several(&[(500, Some(2500)), (500, None)]);
    assert!(
        said.len() == 1 && said[0].starts_with("CpuMixed") && said[0].contains("vCPU 1 has no"),
        "{said:?}"
    );
    let said = several(&[(351, Some(4000)), (350, Some(4000))]);
    assert!(
        said.len() == 1 && said[0].starts_with("CpuTurn") && said[0].contains("701 us together"),
        "{said:?}"
    );
    let said = several(&[(1000, None), (951, None)]);
    assert!(
        said.len() == 1 && said[0].starts_with("CpuTurn") && said[0].contains("at most 1950"),
        "{said:?}"
    );
    // One that is wrong is told alone.
    let said = several(&[(500, Some(2500)), (0, None)]);
    assert!(
        said.len() == 1 && said[0].starts_with("CpuBudget"),
        "{said:?}"
    );
    for fine in [
        &[(350, Some(4000)); 2][..],
        &[(1950, None)],
        &[(975, None); 2],
        &[(243, None); 8],
    ] {
        assert_eq!(several(fine), Vec::<String>::new(), "{fine:?}");
    }
}

/// What `tree` says for a kernel that uses `cores` cores.
fn on(cores: u8, tree: &Tree) -> Result<dt_server::Config, Diagnostics> {
    let board = board::DEFAULT;
    let target = board::Target { board, cores };
    dt_server::parse_for(&tree.dtb(), &TestFiles, Some(target))
}

/// The cores of all vCPUs, by domain.
fn places(cores: u8, tree: &Tree) -> Vec<Vec<u8>> {
    let config = on(cores, tree).unwrap();
    let domains = config.domains.iter();
    domains.map(|domain| domain.vcpu_cores.clone()).collect()
}

/// Adds a node with `hard-affinity`.
fn affinity(tree: &mut Tree, path: &str, id: u32, cores: &str) {
    cpu(tree, path, id, None, None);
    tree.set(&format!("{path}/vcpu{id}"), "hard-affinity", cores);
}

#[test]
fn vcpus_are_spread_over_the_cores() {
    let mut tree = Tree::two();
    assert_eq!(places(1, &tree), [[0], [0]]);
    // The first core has the servers.
    assert_eq!(places(4, &tree), [[1], [2]]);
    for path in [L1, L2] {
        tree.set(path, "cpus", 4_u32);
    }
    assert_eq!(places(1, &tree), [[0; 4]; 2]);
    assert_eq!(places(4, &tree), [[1, 2, 3, 0], [2, 3, 0, 1]]);
    // More than cores: as even as can be, and the slice is shared on each.
    tree.set(L1, "cpus", 8_u32);
    let config = on(4, &tree).unwrap();
    let [first, second] = config.domains.as_slice() else {
        panic!("two domains")
    };
    for core in 0..4 {
        let there = first.vcpu_cores.iter().filter(|at| **at == core).count();
        assert_eq!(there, 2, "{:?}", first.vcpu_cores);
    }
    assert!(first.vcpu_times.iter().all(|time| time.budget == 250));
    assert!(second.vcpu_times.iter().all(|time| time.budget == 500));
}

#[test]
fn a_vcpu_is_where_its_affinity_says() {
    let mut tree = Tree::two();
    affinity(&mut tree, L2, 0, "1");
    // The one that has no choice comes first.
    assert_eq!(places(4, &tree), [[2], [1]]);
    let config = on(1, &tree).unwrap();
    let warnings: Vec<Rule> = config.warnings.iter().map(|found| found.rule).collect();
    assert_eq!(warnings, [Rule::Vcpu]);
    assert_eq!(config.domains[1].vcpu_cores, [0]);

    let mut tree = Tree::two();
    tree.set(L1, "cpus", 3_u32);
    affinity(&mut tree, L1, 0, "0,2-3");
    affinity(&mut tree, L1, 1, "3");
    assert_eq!(places(4, &tree)[0], [2, 3, 1]);
    // One of them is this kernel's: nothing to be said.
    let config = on(1, &tree).unwrap();
    assert_eq!(config.warnings.iter().count(), 1, "{}", config.warnings);

    for (text, says) in [
        ("4", "has no CPU 4"),
        ("0-4", "has no CPU 4"),
        ("", "is no list"),
        ("3-1", "is no list"),
        ("1,", "is no list"),
        ("one", "is no list"),
        ("99999999999", "is no list"),
    ] {
        let mut tree = Tree::two();
        affinity(&mut tree, L1, 0, text);
        let found = on(4, &tree).unwrap_err();
        assert_eq!(found.errors().len(), 1, "{text}: {found}");
        assert_eq!(found.errors()[0].rule, Rule::Vcpu, "{text}");
        assert!(found.errors()[0].to_string().contains(says), "{found}");
    }
}

#[test]
fn budgets_add_up_on_each_core() {
    let rules = |cores, budget, period, affinities: &[&str]| -> Vec<Rule> {
        let mut tree = Tree::two();
        tree.set(L1, "cpus", 4_u32);
        for id in 0..4 {
            cpu(&mut tree, L1, id, Some(budget), period);
        }
        for (id, cores) in affinities.iter().enumerate() {
            tree.set(&format!("{L1}/vcpu{id}"), "hard-affinity", *cores);
        }
        match on(cores, &tree) {
            Ok(_) => Vec::new(),
            Err(found) => found.errors().iter().map(|error| error.rule).collect(),
        }
    };
    // Four times 60 % are too much for one core. On four each has its own, and a VMM 24 %.
    assert_eq!(rules(1, 150, Some(250), &[]), [Rule::CpuSum]);
    assert_eq!(rules(4, 150, Some(250), &[]), []);
    assert_eq!(
        rules(4, 150, Some(250), &["1", "1", "1", "1"]),
        [Rule::CpuSum]
    );
    assert_eq!(rules(1, 1000, None, &[]), [Rule::CpuTurn]);
    assert_eq!(rules(4, 1000, None, &[]), []);
    assert_eq!(rules(4, 1000, None, &["2", "2"]), [Rule::CpuTurn]);
}

#[test]
fn cores_are_the_boards() {
    let mut tree = Tree::two();
    tree.set("/chosen", board::CORES_PROPERTY, 4_u32);
    assert_eq!(parse(&tree.dtb(), &TestFiles).unwrap().cores, 4);
    for wrong in [0_u32, 5, u32::MAX] {
        tree.set("/chosen", board::CORES_PROPERTY, wrong);
        let found = parse(&tree.dtb(), &TestFiles).unwrap_err();
        assert_eq!(found.errors()[0].rule, Rule::Board, "{found}");
    }
}

#[test]
fn time_is_read_as_it_is_written() {
    let slice = |budget| Time {
        budget,
        period: budget,
    };
    let times = |budget, period| {
        let mut tree = Tree::two();
        cpu(&mut tree, L1, 0, budget, period);
        let config = parse(&tree.dtb(), &TestFiles).unwrap();
        assert!(config.warnings.is_empty(), "{}", config.warnings);
        assert_eq!(config.domains[1].vcpu_times, [slice(500)]);
        config.domains[0].vcpu_times.clone()
    };
    assert_eq!(times(None, None), [slice(500)]);
    assert_eq!(times(Some(250), None), [slice(250)]);
    assert_eq!(times(Some(250), Some(250)), [slice(250)]);
    let bounded = Time {
        budget: 500,
        period: 2500,
    };
    assert_eq!(times(Some(500), Some(2500)), [bounded]);
}

#[test]
fn the_valid_tree_is_read_whole() {
    let config = parse(&Tree::two().dtb(), &TestFiles).unwrap();
    assert!(config.warnings.is_empty(), "{}", config.warnings);
    assert_eq!(
        config.memory,
        [Range {
            start: 0x4000_0000,
            size: 0x8000_0000
        }]
    );
    assert_eq!(config.static_heap, []);
    assert_eq!(config.domains.len(), 2);
    let second = &config.domains[1];
    assert_eq!(
        second.static_mem,
        [Range {
            start: 0x5000_0000,
            size: 0x1000_0000
        }]
    );
    assert_eq!(
        (second.heap, second.tables, second.extra),
        (0, 3 << 20, 67 * 4096)
    );
    assert_eq!(second.bootargs, "console=hvc0");
    assert_eq!(
        second.modules().collect::<Vec<_>>(),
        [(0, "Image"), (1, "initrd.cpio.gz")]
    );
    let record = &second.record;
    assert_eq!(
        (record.domid, record.name.as_str(), record.vcpus),
        (2, "linux2", 1)
    );
    assert_eq!(record.banks.len(), 1);
    assert_eq!(
        (record.banks[0].start(), record.banks[0].size()),
        (Gpa::new(0x4000_0000), 256 << 20)
    );
    assert!(record.is_static && !record.direct_map && record.trap_unmapped && !record.vpl011);
    assert_eq!(
        (record.pv, record.nr_spis, record.max_grant_frames),
        (PvFeatures::NoXenstore, 32, 64)
    );
    assert_eq!((record.kernel.region, record.kernel.size), (0, KERNEL_SIZE));
    assert_eq!(
        record.ramdisk.map(|m| (m.region, m.size)),
        Some((1, INITRD_SIZE))
    );
    assert_eq!(config.static_total(), 512 << 20);
    assert_eq!(config.heap_total(), 2 * ((3 << 20) + 67 * 4096));
    // The extra pages, and 8 MiB for what ends of ranges come to.
    assert_eq!(config.recorded(), (512 + 2 * 2 + 8) << 20);
}

#[test]
fn optional_properties_reach_the_record() {
    let mut tree = Tree::heap();
    tree.flag(L1, "vpl011")
        .set(L1, "nr_spis", 33u32)
        .set(L1, "max_grant_frames", 8u32);
    tree.set(L1, "trap-unmapped-accesses", 0u32)
        .set(L1, "xen,enhanced", "disabled");
    tree.set(L1, "memory", 4u64 << 20)
        .set(L1, "xen,domain-p2m-mem-mb", 20u32);
    tree.remove(L2, "xen,enhanced")
        .remove_node(L2, "ramdisk")
        .remove("/chosen/linux2/kernel", "bootargs");
    let config = parse(&tree.dtb(), &TestFiles).unwrap();
    let first = &config.domains[0];
    assert_eq!(
        (first.heap, first.tables, first.extra),
        (4 << 30, 20 << 20, 11 * 4096)
    );
    let record = &first.record;
    assert!(record.vpl011 && !record.trap_unmapped && !record.is_static);
    assert_eq!(
        (record.pv, record.nr_spis, record.max_grant_frames),
        (PvFeatures::None, 64, 8)
    );
    let banks: Vec<(u64, u64)> = record
        .banks
        .iter()
        .map(|b| (b.start().raw(), b.size()))
        .collect();
    assert_eq!(banks, [(0x4000_0000, 3 << 30), (0x2_0000_0000, 1 << 30)]);
    let second = &config.domains[1];
    assert_eq!(
        (
            second.record.pv,
            second.record.ramdisk,
            second.bootargs.as_str()
        ),
        (PvFeatures::None, None, "")
    );
}

#[test]
fn xen_enhanced_says_what_of_xen_there_is() {
    for (value, pv) in [
        (Some("enabled"), PvFeatures::Enabled),
        (None, PvFeatures::Enabled),
        (Some("legacy"), PvFeatures::Legacy),
        (Some("no-xenstore"), PvFeatures::NoXenstore),
        (Some("disabled"), PvFeatures::None),
    ] {
        let mut tree = Tree::two();
        match value {
            Some(value) => tree.set(L1, "xen,enhanced", value),
            None => tree.flag(L1, "xen,enhanced"),
        };
        let config = parse(&tree.dtb(), &TestFiles).unwrap();
        assert_eq!(config.domains[0].record.pv, pv, "{value:?}");
    }
}

#[test]
fn a_skipped_domain_gets_no_id() {
    let mut tree = Tree::two();
    tree.set(L1, "status", "disabled");
    let config = parse(&tree.dtb(), &TestFiles).unwrap();
    assert_eq!(config.domains.len(), 1);
    assert_eq!(
        (
            config.domains[0].record.domid,
            config.domains[0].record.name.as_str()
        ),
        (1, "linux2")
    );
}

#[test]
fn several_static_ranges_fill_one_bank_and_need_not_be_adjacent() {
    let mut tree = Tree::two();
    tree.set(
        L1,
        "xen,static-mem",
        [
            0u32,
            0x7000_0000,
            0,
            0x800_0000,
            0,
            0x6000_0000,
            0,
            0x800_0000,
        ],
    );
    let config = parse(&tree.dtb(), &TestFiles).unwrap();
    assert_eq!(config.domains[0].static_mem[0].start, 0x7000_0000);
    assert_eq!(config.domains[0].record.banks.len(), 1);
}

#[test]
fn cells_are_those_of_the_node_above() {
    let mut tree = Tree::two();
    // The root counts for the heap, /chosen for static memory.
    tree.set(CHOSEN, "#address-cells", 1u32)
        .set(CHOSEN, "#size-cells", 1u32);
    tree.set(
        CHOSEN,
        "xen,static-heap",
        [0u32, 0x6000_0000, 0, 0x1000_0000],
    );
    tree.set(L1, "xen,static-mem", [0x4000_0000u32, 0x1000_0000]);
    tree.set(L2, "xen,static-mem", [0x5000_0000u32, 0x1000_0000]);
    let config = parse(&tree.dtb(), &TestFiles).unwrap();
    assert_eq!(
        config.static_heap,
        [Range {
            start: 0x6000_0000,
            size: 0x1000_0000
        }]
    );
    assert_eq!(
        config.domains[1].static_mem,
        [Range {
            start: 0x5000_0000,
            size: 0x1000_0000
        }]
    );
    // Without any, the default is 2 and 1.
    let mut tree = Tree::two();
    tree.remove("/", "#address-cells")
        .remove("/", "#size-cells");
    tree.set("/memory@40000000", "reg", [0u32, 0x4000_0000, 0x8000_0000]);
    tree.set(L1, "xen,static-mem", [0u32, 0x4000_0000, 0x1000_0000]);
    tree.set(L2, "xen,static-mem", [0u32, 0x5000_0000, 0x1000_0000]);
    assert!(parse(&tree.dtb(), &TestFiles).is_ok());
}

#[test]
fn in_the_image_sizes_come_from_the_tree() {
    let mut tree = Tree::two();
    let refused = parse(&tree.dtb(), &NoFiles).unwrap_err();
    assert_eq!(refused.errors().len(), 4, "{refused}");
    for domain in [L1, L2] {
        tree.set(&format!("{domain}/kernel"), "zazen,size", KERNEL_SIZE);
        tree.set(&format!("{domain}/ramdisk"), "zazen,size", INITRD_SIZE);
    }
    let from_tree = parse(&tree.dtb(), &NoFiles).unwrap();
    let from_files = parse(&tree.dtb(), &TestFiles).unwrap();
    for (a, b) in from_tree.domains.iter().zip(&from_files.domains) {
        assert_eq!(a.record, b.record);
    }
}

#[test]
fn a_kernel_counts_with_its_bss() {
    struct Bss;
    impl Files for Bss {
        fn probe(&self, name: &str) -> Option<FileInfo> {
            let image = name == "Image";
            Some(FileInfo {
                size: 1 << 20,
                head: image.then(|| image_header(300 << 20)),
            })
        }
    }
    let found = parse(&Tree::two().dtb(), &Bss).unwrap_err();
    assert!(
        found
            .errors()
            .iter()
            .all(|e| e.rule == Rule::KernelTooLarge)
    );
    assert_eq!(found.errors().len(), 2);
}

/// As Xen does: a machine's tree may have room for more banks than the machine has.
#[test]
fn empty_banks_are_passed_over() {
    let mut tree = Tree::two();
    let reg = [0u32, 0x4000_0000, 0, 0x8000_0000, 8, 0, 0, 0];
    tree.set("/memory@40000000", "reg", reg);
    let config = parse(&tree.dtb(), &TestFiles).unwrap();
    assert_eq!(config.memory.len(), 1);
    // Of what a domain is given, an empty range stays a mistake.
    tree.set(
        L1,
        "xen,static-mem",
        [0u32, 0x4000_0000, 0, 0x1000_0000, 8, 0, 0, 0],
    );
    let found = parse(&tree.dtb(), &TestFiles).unwrap_err();
    assert_eq!(found.errors()[0].rule, Rule::StaticMem);
}

#[test]
fn an_overlay_is_no_whole_tree() {
    let mut tree = Tree::two();
    tree.remove_node("/", "chosen").add("/", "fragment@0");
    tree.add("/fragment@0", "__overlay__");
    let found = parse(&tree.dtb(), &TestFiles).unwrap_err();
    assert_eq!(found.errors()[0].rule, Rule::NoDomain);
    assert!(found.to_string().contains("fdtoverlay"), "{found}");
}

#[test]
fn what_is_wrong_with_a_domain_too_many_is_told_too() {
    let mut tree = Tree::two();
    for i in 3..10u32 {
        let path = format!("/chosen/linux{i}");
        let memory = [0u32, 0x6000_0000 + i * 0x100_0000, 0, 0x100_0000];
        tree.domain(&format!("linux{i}"), 0);
        tree.set(&path, "xen,static-mem", memory)
            .set(&path, "memory", [0u32, 0x4000]);
    }
    tree.set("/chosen/linux9", "cpus", 0u32);
    let found = parse(&tree.dtb(), &TestFiles).unwrap_err();
    let rules: Vec<Rule> = found.errors().iter().map(|e| e.rule).collect();
    assert_eq!(rules, [Rule::TooManyDomains, Rule::Cpus], "{found}");
}

#[test]
fn legacy_compatibles_are_modules_too() {
    let mut tree = Tree::two();
    tree.set(
        L1_KERNEL,
        "compatible",
        ["xen,linux-zimage", "xen,multiboot-module"].as_slice(),
    );
    tree.set(
        L1_RAMDISK,
        "compatible",
        ["xen,linux-initrd", "xen,multiboot-module"].as_slice(),
    );
    let config = parse(&tree.dtb(), &TestFiles).unwrap();
    assert!(config.warnings.is_empty());
    assert!(config.domains[0].record.ramdisk.is_some());
}

#[test]
fn all_mistakes_are_told_at_once() {
    let mut tree = Tree::two();
    tree.remove(L1, "memory")
        .set(L1, "cpus", 9u32)
        .set(L2, "sve", 256u32)
        .remove_node(L2, "kernel");
    let found = parse(&tree.dtb(), &TestFiles).unwrap_err();
    let mut rules: Vec<Rule> = found.errors().iter().map(|e| e.rule).collect();
    rules.sort_unstable();
    assert_eq!(rules, [Rule::Memory, Rule::Cpus, Rule::Sve, Rule::NoKernel]);
}

#[test]
fn what_does_not_fit_the_list_is_counted() {
    let mut tree = Tree::two();
    for i in 0..100 {
        tree.module(L1, &format!("k{i}"), "multiboot,kernel", "Image");
        tree.flag(L1, &format!("p{i}"));
    }
    let found = parse(&tree.dtb(), &TestFiles).unwrap_err();
    assert_eq!(
        (found.errors().len(), found.warnings().len()),
        (MAX_DIAGNOSTICS, MAX_DIAGNOSTICS)
    );
    assert_eq!(found.dropped(), 2 * (100 - MAX_DIAGNOSTICS));
    assert!(
        found
            .to_string()
            .ends_with("and 36 more errors, 36 more warnings\n")
    );
}

#[test]
fn bytes_that_are_no_tree() {
    let dtb = Tree::two().dtb();
    let mut wrong_magic = dtb.clone();
    wrong_magic[0] = 0;
    let mut huge = dtb.clone();
    huge[4..8].copy_from_slice(&u32::MAX.to_be_bytes());
    for bytes in [
        &[][..],
        &dtb[..40],
        &dtb[..dtb.len() - 1],
        &wrong_magic,
        &huge,
    ] {
        let found = parse(bytes, &TestFiles).unwrap_err();
        let rule = if bytes.len() >= 8 && bytes.len() < dtb.len() {
            Rule::Truncated
        } else {
            Rule::Fdt
        };
        assert_eq!(
            found.errors().iter().map(|e| e.rule).collect::<Vec<_>>(),
            [rule]
        );
    }
    // In the image the tree is followed by the rest of its last page.
    let mut padded = dtb;
    padded.resize(padded.len() + 4096, 0);
    assert!(parse(&padded, &TestFiles).is_ok());
}

#[test]
fn the_tree_names_its_board_and_must_not_contradict_the_one_wanted() {
    let mut tree = Tree::two();
    assert_eq!(
        parse(&tree.dtb(), &TestFiles).unwrap().board,
        board::DEFAULT
    );
    tree.set("/chosen", board::PROPERTY, board::QEMU_VIRT.name);
    let wanted = Some(&board::QEMU_VIRT);
    let config = dt_server::parse_for(&tree.dtb(), &TestFiles, wanted).unwrap();
    assert_eq!(config.board, &board::QEMU_VIRT);
}

/// What two nodes have wrong together is said once, at the later one, and names the other.
#[test]
fn what_collides_is_named() {
    let both = |edit: fn(&mut Tree)| {
        let mut tree = Tree::two();
        edit(&mut tree);
        let found = parse(&tree.dtb(), &TestFiles).unwrap_err();
        let mut errors = found.errors().iter();
        let error = errors.find(|e| e.related.is_some());
        let error = error.unwrap_or_else(|| panic!("{found}")).clone();
        let place = error.related.clone().unwrap();
        (error, place.path)
    };
    let (error, other) = both(|t| {
        t.remove(L1_KERNEL, "zazen,file")
            .set(L1_KERNEL, "reg", [0u32, 0x4ff0_0000, 0, 0x20_0000]);
    });
    assert_eq!(
        (error.rule, error.path.as_str(), other.as_str()),
        (Rule::Overlap, L1, L1_KERNEL)
    );

    let (error, other) = both(|t| {
        share(t, L1, "a", [0, 0x7000_0000, 0, 0x7000_0000, 0, 0x1000]);
        share(t, L2, "a", [0, 0x7000_0000, 0, 0x7000_0000, 0, 0x2000]);
    });
    assert_eq!(
        (error.rule, other.as_str()),
        (Rule::SharedMemoryRegion, "/chosen/linux1/shm")
    );
    assert!(error.what.contains("another address or size"), "{error}");

    let (error, _) = both(|t| {
        share(t, L1, "a", [0, 0x7000_0000, 0, 0x7000_0000, 0, 0x1000]);
        share(t, L2, "b", [0, 0x7000_0000, 0, 0x7000_0000, 0, 0x1000]);
    });
    assert!(
        error.what.contains("calls the same memory \"a\""),
        "{error}"
    );

    let (error, _) = both(|t| {
        share(t, L1, "a", [0, 0x7000_0000, 0, 0x7000_0000, 0, 0x1000]);
        share(t, L2, "a", [0, 0x7000_0000, 0, 0x7000_0000, 0, 0x1000]);
        for path in [L1, L2] {
            t.set(&format!("{path}/shm"), "role", "owner");
        }
    });
    assert!(error.what.contains("has an owner already"), "{error}");

    // One region twice, or two at one place.
    let (error, other) = both(|t| {
        share(t, L1, "a", [0, 0x7000_0000, 0, 0x7000_0000, 0, 0x1000]);
        share_again(t, "a", [0, 0x7000_0000, 0, 0x6100_0000, 0, 0x1000]);
    });
    assert_eq!(error.rule, Rule::SharedMemoryRegion, "{error}");
    assert_eq!(other, "/chosen/linux1/shm");
    let (error, other) = both(|t| {
        share(t, L1, "a", [0, 0x7000_0000, 0, 0x7000_0000, 0, 0x1000]);
        share_again(t, "b", [0, 0x7100_0000, 0, 0x7000_0000, 0, 0x1000]);
    });
    assert_eq!(error.rule, Rule::SharedMemoryPlace, "{error}");
    assert_eq!(other, "/chosen/linux1/shm");

    let (error, _) = both(|t| share(t, L1, "a", [0, 0x4000_0000, 0, 0x7000_0000, 0, 0x1000]));
    assert_eq!(error.rule, Rule::Overlap);

    let (error, other) = both(|t| {
        link(t, L1, 1, &[5, 2]);
        link(t, L2, 2, &[6, 3]);
        link(t, L1, 3, &[7, 2]);
    });
    assert!(error.what.contains("not mutual"), "{error}");
    assert_eq!(other, "/chosen/linux2/ec2");

    let (error, other) = both(|t| {
        link(t, L1, 1, &[5, 2]);
        link(t, L2, 2, &[6, 1]);
        link(t, L1, 3, &[5, 4]);
        link(t, L2, 4, &[7, 3]);
    });
    assert!(
        error.what.contains("port 5 of this domain is taken"),
        "{error}"
    );
    assert_eq!(other, "/chosen/linux1/ec1");

    // Ports outside 1..=1023, at both ends.
    for port in [0, 1024] {
        let mut tree = Tree::two();
        link(&mut tree, L1, 1, &[port, 2]);
        link(&mut tree, L2, 2, &[1, 1]);
        let found = parse(&tree.dtb(), &TestFiles).unwrap_err();
        assert!(found.errors()[0].what.contains("1 to 1023"), "{found}");
    }
}

/// The change that is proposed mends the mistake.
#[test]
fn proposed_changes_mend() {
    let mut tried = 0;
    for case in ERRORS {
        let mut tree = Tree::two();
        (case.edit)(&mut tree);
        let found = parse(&tree.dtb(), &TestFiles).unwrap_err();
        let Some(error) = found.errors().first() else {
            continue;
        };
        let path = error.path.clone();
        match &error.edit {
            Some(Change::Set { property, value }) => {
                let value = value.clone();
                let bytes = bytes(&value);
                tree.set(&path, property, bytes);
            }
            Some(Change::Remove(property)) => {
                tree.remove(&path, property);
            }
            Some(Change::RemoveNode) => {
                let (parent, name) = path.rsplit_once('/').unwrap();
                tree.remove_node(parent, name);
            }
            Some(Change::AddNode(_)) | None => continue,
        }
        tried += 1;
        if let Err(left) = parse(&tree.dtb(), &TestFiles) {
            panic!("{}: {found}then {left}", case.name);
        }
    }
    assert!(tried >= 40, "{tried}");
}

/// A DTS value of cells or one string as bytes.
fn bytes(value: &str) -> Vec<u8> {
    if let Some(text) = value.strip_prefix('"') {
        return [text.trim_end_matches('"').as_bytes(), &[0]].concat();
    }
    let cells = value
        .split(|c: char| "<>, ".contains(c))
        .filter(|cell| !cell.is_empty());
    let number = |cell: &str| match cell.strip_prefix("0x") {
        Some(hex) => u32::from_str_radix(hex, 16).unwrap(),
        None => cell.parse().unwrap(),
    };
    cells.flat_map(|cell| number(cell).to_be_bytes()).collect()
}

#[test]
fn disks_are_what_their_nodes_say() {
    let mut t = Tree::two();
    part(&mut t, L1, "a", "root");
    let b = part(&mut t, L1, "b", "x");
    t.set(&b, "zazen,partition", 7u32).flag(&b, "read-only");
    // A label of three letters is as long as a number.
    part(&mut t, L1, "c", "usr");
    for path in [L1, L2] {
        let d = disk(&mut t, path, "d");
        t.set(&d, "zazen,file", "disk").flag(&d, "read-only");
    }
    let config = parse(&t.dtb(), &TestFiles).unwrap();
    let device = |part| DiskSource::Device { device: 0, part };
    let label = |label: &str| device(Part::Label(label.try_into().expect("short")));
    let (name, size) = ("disk".into(), 0x1_0000);
    let expected = [
        (label("root"), false),
        (device(Part::Number(7)), true),
        (label("usr"), false),
        (DiskSource::File { name, size }, true),
    ];
    let disks = config.domains[0].disks.iter();
    let disks = disks.map(|disk| (disk.source.clone(), disk.read_only));
    assert!(disks.eq(expected));
    assert_eq!(config.ram_disks(), [("disk", 0x1_0000)]);
    assert!(config.has_device_disks());
    // What the block server is told: RAM disks are numbered behind the board's.
    for (domain, hardware, numbers) in [
        (0, 1, &[0, 0, 0, 1][..]),
        (0, 3, &[0, 0, 0, 3]),
        (1, 0, &[0]),
    ] {
        let domain = &config.domains[domain];
        let volumes = config.volumes(domain, hardware);
        assert!(volumes.iter().map(|volume| &volume.device).eq(numbers));
        for (volume, disk) in volumes.iter().zip(&domain.disks) {
            let part = match &disk.source {
                DiskSource::Device { part, .. } => part,
                DiskSource::File { .. } => &Part::Whole,
            };
            assert_eq!((&volume.part, volume.read_only), (part, disk.read_only));
        }
    }
}
