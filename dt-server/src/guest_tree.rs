//! Writes a guest's device tree, with the nodes and in the order of Xen's: its memory map (GM-1),
//! of the RAM it has and nothing else (GM-4, GM-10), without ACPI or idle states (GM-19).

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use dt_server_api::{Bank, GuestLayout, PvFeatures};
use dtoolkit::ToPropertyValue;
use dtoolkit::model::{DeviceTree, DeviceTreeNode, DeviceTreeProperty};
use hv_types::Gpa;

use crate::config::DomainConfig;
use crate::seeds::LifeSeeds;

/// Phandle of the interrupt controller, Xen's.
const GIC_PHANDLE: u32 = 65000;

// First cell of an interrupt (GIC binding), and its flags in the third.
const SPI: u32 = 0;
const PPI: u32 = 1;
const LEVEL_HIGH: u32 = 4;
/// Level, active low, on CPUs 0 to 3: what Xen writes for its PPIs.
const PPI_LEVEL_LOW: u32 = 0xf08;

/// The device tree of `domain` as a DTB, with the initrd at `initrd` (first byte and first byte
/// past it) and the seeds of this life.
pub fn guest_tree(domain: &DomainConfig, initrd: Option<(Gpa, Gpa)>, seeds: &LifeSeeds) -> Vec<u8> {
    let record = &domain.record;
    let mut tree = DeviceTree::new();
    let root = &mut tree.root;
    set(root, "#address-cells", 2u32);
    set(root, "#size-cells", 2u32);
    set(root, "interrupt-parent", GIC_PHANDLE);
    set(
        root,
        "compatible",
        ["xen,xenvm-4.22", "xen,xenvm"].as_slice(),
    );
    set(root, "model", "XENVM-4.22");
    root.add_child(chosen(&domain.bootargs, initrd, seeds));
    root.add_child(cpus(record.vcpus));
    if let Some(memory) = memory(domain) {
        root.add_child(memory);
    }
    if !record.shared.is_empty() {
        root.add_child(reserved_memory(domain));
    }
    root.add_child(interrupt_controller(&record.layout));
    root.add_child(timer());
    if record.pv != PvFeatures::None {
        root.add_child(hypervisor(domain));
    }
    root.add_child(psci());
    if record.vpl011 {
        root.add_child(sbsa_uart(&record.layout));
    }
    tree.to_dtb()
}

/// A node; all names here are constants or `name@number`, so there is nothing to validate.
fn node(name: impl Into<String>) -> DeviceTreeNode {
    DeviceTreeNode::new_unchecked(name)
}

fn set<T: ToPropertyValue>(node: &mut DeviceTreeNode, name: &str, value: T) {
    node.add_property(DeviceTreeProperty::new_unchecked(name, value));
}

/// `reg` and its like: address and size in two cells each.
fn pairs(list: &[(u64, u64)]) -> Vec<u8> {
    list.iter()
        .flat_map(|(start, size)| [start.to_be_bytes(), size.to_be_bytes()])
        .flatten()
        .collect()
}

fn place(bank: &Bank) -> (u64, u64) {
    (bank.start().raw(), bank.size())
}

fn chosen(bootargs: &str, initrd: Option<(Gpa, Gpa)>, seeds: &LifeSeeds) -> DeviceTreeNode {
    let mut chosen = node("chosen");
    if !bootargs.is_empty() {
        set(&mut chosen, "bootargs", bootargs);
    }
    if let Some((start, end)) = initrd {
        set(&mut chosen, "linux,initrd-start", start.raw());
        set(&mut chosen, "linux,initrd-end", end.raw());
    }
    if let Some(seed) = seeds.kaslr {
        set(&mut chosen, "kaslr-seed", seed);
    }
    if let Some(seed) = &seeds.rng {
        set(&mut chosen, "rng-seed", seed.as_slice());
    }
    chosen
}

fn cpus(vcpus: u8) -> DeviceTreeNode {
    let mut cpus = node("cpus");
    set(&mut cpus, "#address-cells", 1u32);
    set(&mut cpus, "#size-cells", 0u32);
    for id in 0..u32::from(vcpus) {
        // Affinity of vCPU id: Aff0 = id & 0xf, Aff1 = id >> 4.
        let mpidr = (id & 0xf) | ((id >> 4) << 8);
        let mut cpu = node(format!("cpu@{mpidr:x}"));
        set(&mut cpu, "device_type", "cpu");
        set(&mut cpu, "compatible", "arm,armv8");
        set(&mut cpu, "enable-method", "psci");
        set(&mut cpu, "reg", mpidr);
        cpus.add_child(cpu);
    }
    cpus
}

fn memory(domain: &DomainConfig) -> Option<DeviceTreeNode> {
    let record = &domain.record;
    let banks = record.banks.iter().chain(&record.shared);
    let banks: Vec<(u64, u64)> = banks.map(place).collect();
    let (first, _) = banks.first()?;
    let mut memory = node(format!("memory@{first:x}"));
    set(&mut memory, "device_type", "memory");
    set(&mut memory, "reg", pairs(&banks));
    Some(memory)
}

/// Shared memory, which is in `/memory` as well: the guest maps it as it maps RAM, and leaves it
/// alone. The offset is for regions of which a borrower has a part, which there are none of.
fn reserved_memory(domain: &DomainConfig) -> DeviceTreeNode {
    let mut reserved = node("reserved-memory");
    set(&mut reserved, "#address-cells", 2u32);
    set(&mut reserved, "#size-cells", 2u32);
    set(&mut reserved, "ranges", [].as_slice() as &[u8]);
    for (bank, id) in domain.record.shared.iter().zip(&domain.shared_ids) {
        let (start, size) = place(bank);
        let mut shared = node(format!("xen-shmem@{start:x}"));
        set(&mut shared, "compatible", "xen,shared-memory-v1");
        set(&mut shared, "reg", pairs(&[(start, size)]));
        set(&mut shared, "xen,id", id.as_str());
        set(&mut shared, "xen,offset", 0u64);
        reserved.add_child(shared);
    }
    reserved
}

fn interrupt_controller(layout: &GuestLayout) -> DeviceTreeNode {
    let mut gic = node(format!("interrupt-controller@{:x}", layout.gicd.raw()));
    set(
        &mut gic,
        "compatible",
        ["arm,gic-400", "arm,cortex-a15-gic"].as_slice(),
    );
    set(&mut gic, "#interrupt-cells", 3u32);
    set(&mut gic, "#address-cells", 0u32);
    set(&mut gic, "interrupt-controller", [].as_slice() as &[u8]);
    set(
        &mut gic,
        "reg",
        pairs(&[(layout.gicd.raw(), 0x1000), (layout.gicc.raw(), 0x2000)]),
    );
    set(&mut gic, "phandle", GIC_PHANDLE);
    gic
}

fn timer() -> DeviceTreeNode {
    let mut timer = node("timer");
    set(&mut timer, "compatible", "arm,armv8-timer");
    // Secure and non-secure physical, virtual: PPIs 29, 30 and 27.
    let interrupts = [
        PPI,
        13,
        PPI_LEVEL_LOW,
        PPI,
        14,
        PPI_LEVEL_LOW,
        PPI,
        11,
        PPI_LEVEL_LOW,
    ];
    set(&mut timer, "interrupts", interrupts);
    set(&mut timer, "interrupt-parent", GIC_PHANDLE);
    timer
}

fn hypervisor(domain: &DomainConfig) -> DeviceTreeNode {
    let record = &domain.record;
    let layout = &record.layout;
    let mut regions = Vec::from([(layout.grant_region.raw(), layout.grant_region_size)]);
    regions.extend(record.extended.iter().map(place));
    // Linux looks for exactly this name below the root, and takes the version from the first
    // string.
    let mut hypervisor = node("hypervisor");
    set(
        &mut hypervisor,
        "compatible",
        ["xen,xen-4.22", "xen,xen"].as_slice(),
    );
    set(&mut hypervisor, "reg", pairs(&regions));
    set(&mut hypervisor, "interrupts", [PPI, 15, PPI_LEVEL_LOW]);
    set(&mut hypervisor, "interrupt-parent", GIC_PHANDLE);
    hypervisor
}

fn psci() -> DeviceTreeNode {
    let mut psci = node("psci");
    set(
        &mut psci,
        "compatible",
        ["arm,psci-1.0", "arm,psci-0.2", "arm,psci"].as_slice(),
    );
    // By SMC, because seL4 delivers an HVC with less of what a VMM needs.
    set(&mut psci, "method", "smc");
    // Function ids of PSCI 0.1.
    set(&mut psci, "cpu_off", 1u32);
    set(&mut psci, "cpu_on", 2u32);
    psci
}

fn sbsa_uart(layout: &GuestLayout) -> DeviceTreeNode {
    let mut uart = node(format!("sbsa-uart@{:x}", layout.vpl011.raw()));
    set(&mut uart, "compatible", "arm,sbsa-uart");
    set(&mut uart, "reg", pairs(&[(layout.vpl011.raw(), 0x1000)]));
    set(
        &mut uart,
        "interrupts",
        [
            SPI,
            u32::from(layout.vpl011_intid).saturating_sub(32),
            LEVEL_HIGH,
        ],
    );
    set(&mut uart, "interrupt-parent", GIC_PHANDLE);
    set(&mut uart, "current-speed", 115_200u32);
    uart
}
