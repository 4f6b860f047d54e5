//! The binding as a table: which properties each kind of node may have, and what they mean.
//!
//! The checker and docs/domains.md are both made from this table, so they always list the same
//! properties.

use crate::diag::Rule;

/// One property.
#[derive(Clone, Copy, Debug)]
pub struct Property {
    /// Its name.
    pub name: &'static str,
    /// What its value is.
    pub kind: &'static str,
    /// Its default; empty if absence makes no difference.
    pub default: &'static str,
    /// What it means.
    pub about: &'static str,
    /// The rules about it.
    pub rules: &'static [Rule],
    /// A line of a DTS; empty for properties that are refused or ignored.
    pub example: &'static str,
}

/// One kind of node.
#[derive(Clone, Copy, Debug)]
pub struct NodeKind {
    /// What it is.
    pub name: &'static str,
    /// Its compatible string; empty if the node is recognised by its name.
    pub compatible: &'static str,
    /// What it means.
    pub about: &'static str,
    /// Its properties, by name.
    pub properties: &'static [Property],
    /// The rules about the node as a whole.
    pub rules: &'static [Rule],
}

/// Properties of: /chosen.
#[rustfmt::skip]
pub(crate) const CHOSEN: &[Property] = &[
    Property {
        name: "bootargs", kind: "string", default: "",
        about: "Ignored, with a warning: Zazen has no options. A guest's command line is bootargs of its kernel.",
        rules: &[Rule::XenOptions], example: "bootargs = \"console=ttyAMA0\";",
    },
    Property {
        name: "kaslr-seed", kind: "any", default: "",
        about: "Left there by firmware; ignored.",
        rules: &[], example: "",
    },
    Property {
        name: "linux,initrd-end", kind: "any", default: "",
        about: "For dom0, which does not exist; ignored with a warning.",
        rules: &[Rule::Dom0], example: "",
    },
    Property {
        name: "linux,initrd-start", kind: "any", default: "",
        about: "For dom0, which does not exist; ignored with a warning.",
        rules: &[Rule::Dom0], example: "",
    },
    Property {
        name: "ranges", kind: "any", default: "",
        about: "Ignored.",
        rules: &[], example: "",
    },
    Property {
        name: "rng-seed", kind: "any", default: "",
        about: "Left there by firmware; ignored.",
        rules: &[], example: "",
    },
    Property {
        name: "stdout-path", kind: "any", default: "",
        about: "Left there by firmware; ignored.",
        rules: &[], example: "",
    },
    Property {
        name: "xen,dom0-bootargs", kind: "string", default: "",
        about: "For dom0, which does not exist; ignored with a warning.",
        rules: &[Rule::Dom0], example: "",
    },
    Property {
        name: "xen,static-heap", kind: "(address, size)+, in the root's cells", default: "absent: no bound",
        about: "Host memory that the heap is made of, and nothing else is: RAM of domains without static memory, and every domain's extra pages. Ranges start and end at multiples of 64 KiB, are RAM and nobody else's.",
        rules: &[Rule::StaticHeap, Rule::Overlap, Rule::NotRam, Rule::HeapTooSmall], example: "xen,static-heap = <0x0 0x80000000 0x0 0x20000000>;",
    },
    Property {
        name: "xen,uefi-cfg-load", kind: "any", default: "",
        about: "For UEFI, which does not start Zazen; ignored with a warning.",
        rules: &[Rule::Dom0], example: "",
    },
    Property {
        name: "xen,xen-bootargs", kind: "string", default: "",
        about: "Ignored, with a warning: Zazen has no options.",
        rules: &[Rule::XenOptions], example: "",
    },
    Property {
        name: board::PROPERTY, kind: "string", default: "the board of --board",
        about: "The board that the image is for. The image builder writes it; a file need not have it.",
        rules: &[Rule::Board], example: "zazen,board = \"qemu_virt_aarch64\";",
    },
    Property {
        name: board::CORES_PROPERTY, kind: "one cell", default: "that of --cores: 1",
        about: "Cores that the kernel of the image uses. The image builder writes it; a file need not have it.",
        rules: &[Rule::Board], example: "zazen,cores = <4>;",
    },
    Property {
        name: "zazen,heap", kind: "\"needed\" or \"all\"", default: "\"needed\"",
        about: "Zazen's own. How much memory the memory server gets for domains without static memory: what they need, or all that is left over.",
        rules: &[Rule::Heap], example: "zazen,heap = \"all\";",
    },
];

/// Properties of: Domain.
#[rustfmt::skip]
pub(crate) const DOMAIN: &[Property] = &[
    Property {
        name: "bootargs", kind: "string", default: "",
        about: "Has no effect on a domain, ignored with a warning: write it into the node of the kernel.",
        rules: &[Rule::Bootargs], example: "",
    },
    Property {
        name: "capabilities", kind: "one cell", default: "0",
        about: "Only 0.",
        rules: &[Rule::Capabilities], example: "capabilities = <0>;",
    },
    Property {
        name: "cpus", kind: "one cell", default: "required",
        about: "Number of vCPUs, 1 to 8.",
        rules: &[Rule::Cpus], example: "cpus = <1>;",
    },
    Property {
        name: "direct-map", kind: "flag", default: "absent",
        about: "The guest sees its memory, its interrupt controller and its UART at the host's addresses. Only with xen,static-mem; ranges that touch are one bank, and there are at most 8.",
        rules: &[Rule::DirectMap, Rule::Banks], example: "direct-map;",
    },
    Property {
        name: "domain-cpupool", kind: "phandle", default: "",
        about: "Ignored with a warning: CPU pools are not supported.",
        rules: &[Rule::CpuPool], example: "",
    },
    Property {
        name: "llc-colors", kind: "string", default: "",
        about: "Refused: cache colouring is not supported.",
        rules: &[Rule::LlcColors], example: "",
    },
    Property {
        name: "max_grant_frames", kind: "one cell", default: "64",
        about: "Frames of the grant table at most, 1 to 64.",
        rules: &[Rule::GrantFrames], example: "max_grant_frames = <32>;",
    },
    Property {
        name: "max_grant_version", kind: "one cell", default: "1",
        about: "Only 1.",
        rules: &[Rule::GrantVersion], example: "max_grant_version = <1>;",
    },
    Property {
        name: "max_maptrack_frames", kind: "one cell", default: "1024",
        about: "Not used yet; at most 2147483647.",
        rules: &[Rule::Maptrack], example: "",
    },
    Property {
        name: "memory", kind: "two cells, KiB", default: "required",
        about: "RAM of the guest: a multiple of 4 KiB, better of 2 MiB.",
        rules: &[Rule::Memory, Rule::Banks, Rule::BigPages, Rule::StaticSum, Rule::BankFull, Rule::KernelTooLarge, Rule::RamdiskOverlap], example: "memory = <0x0 0x40000>; /* 256 MiB */",
    },
    Property {
        name: "nr_spis", kind: "one cell", default: "32",
        about: "Shared peripheral interrupts of the virtual GIC, 0 to 960; rounded up to a multiple of 32. At least 1 with vpl011.",
        rules: &[Rule::NrSpis, Rule::Vpl011], example: "nr_spis = <64>;",
    },
    Property {
        name: "passthrough", kind: "\"enabled\" or \"disabled\"", default: "\"disabled\"",
        about: "Only \"disabled\".",
        rules: &[Rule::Passthrough], example: "passthrough = \"disabled\";",
    },
    Property {
        name: "sve", kind: "one cell", default: "0",
        about: "Only 0.",
        rules: &[Rule::Sve], example: "sve = <0>;",
    },
    Property {
        name: "trap-unmapped-accesses", kind: "one cell, 0 or 1", default: "1",
        about: "1: an access to nothing is a fault in the guest. 0: it reads all ones, writes are ignored.",
        rules: &[Rule::TrapUnmapped], example: "trap-unmapped-accesses = <0>;",
    },
    Property {
        name: "v8r_el1_msa", kind: "string", default: "",
        about: "Refused: for Armv8-R hosts.",
        rules: &[Rule::V8r], example: "",
    },
    Property {
        name: "vpl011", kind: "flag", default: "absent",
        about: "The guest has a virtual PL011 UART: at Xen's address with SPI 0, direct-mapped at that of the host's UART with its interrupt.",
        rules: &[Rule::Vpl011], example: "vpl011;",
    },
    Property {
        name: "xen,domain-p2m-mem-mb", kind: "one cell, MiB", default: "1 MiB for each vCPU, 4 KiB for each MiB of RAM and 512 KiB, rounded up to a MiB",
        about: "Memory for stage-2 page tables.",
        rules: &[Rule::P2mMemory], example: "xen,domain-p2m-mem-mb = <8>;",
    },
    Property {
        name: "xen,enhanced", kind: "none, \"enabled\", \"legacy\", \"no-xenstore\" or \"disabled\"", default: "absent: \"disabled\"",
        about: "Xen's interfaces: hypercalls beyond the basic ones, grants, events and the hypervisor node. \"enabled\" and no value bring xenstore, whose page there is from the start; with \"legacy\" the guest hears of the page when the store has connected; \"no-xenstore\" is everything but that.",
        rules: &[Rule::Enhanced], example: "xen,enhanced = \"enabled\";",
    },
    Property {
        name: "xen,sci_type", kind: "string", default: "\"none\"",
        about: "Only \"none\".",
        rules: &[Rule::Sci], example: "xen,sci_type = \"none\";",
    },
    Property {
        name: "xen,static-mem", kind: "(address, size)+, in the cells of /chosen", default: "absent: RAM from the heap",
        about: "Host memory of this domain, for ever. The ranges fill the guest's banks in this order, and together are exactly memory. Whole pages, better blocks of 2 MiB; RAM, and nobody else's.",
        rules: &[Rule::StaticMem, Rule::StaticSum, Rule::Overlap, Rule::NotRam, Rule::BigPages], example: "xen,static-mem = <0x0 0x40000000 0x0 0x10000000>;",
    },
    Property {
        name: "zazen,memory-max", kind: "two cells, KiB", default: "memory",
        about: "Zazen's own. The most RAM that the guest may come to hold by populating what lies behind its memory, as far as the heap goes: from memory to ten times that. Only without xen,static-mem.",
        rules: &[Rule::MemoryMax, Rule::Memory, Rule::Banks], example: "zazen,memory-max = <0x0 0x80000>; /* 512 MiB */",
    },
];

/// Properties of: Kernel and RAM disk.
#[rustfmt::skip]
pub(crate) const MODULE: &[Property] = &[
    Property {
        name: "bootargs", kind: "string, at most 1024 bytes", default: "empty",
        about: "In the node of a kernel: the guest's command line.",
        rules: &[Rule::Bootargs], example: "bootargs = \"console=hvc0 quiet\";",
    },
    Property {
        name: "reg", kind: "(address, size), in the domain's cells", default: "",
        about: "Refused: modules that a boot loader has put into memory are not supported; use zazen,file.",
        rules: &[Rule::ModuleReg, Rule::Overlap], example: "",
    },
    Property {
        name: "xen,uefi-binary", kind: "string", default: "",
        about: "Refused: use zazen,file.",
        rules: &[Rule::ModuleReg], example: "",
    },
    Property {
        name: "zazen,file", kind: "string, 1 to 255 characters", default: "required",
        about: "Zazen's own. The file that the image builder embeds. It is looked for next to the domains file, then in the directories of --files.",
        rules: &[Rule::ModuleFile, Rule::FileMissing, Rule::FileSize, Rule::KernelFormat], example: "zazen,file = \"Image\";",
    },
    Property {
        name: "zazen,size", kind: "two cells", default: "written by the image builder",
        about: "Zazen's own. The file's exact bytes.",
        rules: &[Rule::FileSize], example: "",
    },
];

/// Properties of: vCPU.
#[rustfmt::skip]
pub(crate) const VCPU: &[Property] = &[
    Property {
        name: "hard-affinity", kind: "string", default: "all",
        about: "CPUs that the vCPU may be on, as Xen writes them. It is on one of them from boot on: one where its domain has no other vCPU, if there is one. An image for one core has all on CPU 0, whatever it says.",
        rules: &[Rule::Vcpu], example: "hard-affinity = \"1-3\";",
    },
    Property {
        name: "id", kind: "one cell", default: "required",
        about: "Number of the vCPU, below cpus; each once.",
        rules: &[Rule::Vcpu], example: "id = <0>;",
    },
    Property {
        name: "zazen,budget", kind: "one cell, microseconds", default: "500 divided by cpus, without a period",
        about: "Zazen's own. With zazen,period: the most that the vCPU runs in each period, 50 to 700. Without: its slice, 50 to 1950; who has used it waits for one turn of each other, so slices are weights. What its VMM does for it is taken from it.",
        rules: &[Rule::CpuBudget, Rule::CpuTurn, Rule::CpuSum], example: "zazen,budget = <500>; /* with a period of 2500: 20 % */",
    },
    Property {
        name: "zazen,period", kind: "one cell, microseconds", default: "absent: no bound",
        about: "Zazen's own. The period of zazen,budget, from that to 100000; the same as zazen,budget is no bound. All vCPUs of a domain have one, or none.",
        rules: &[Rule::CpuPeriod, Rule::CpuMixed, Rule::CpuLate], example: "zazen,period = <2500>;",
    },
];

/// Properties of: Static shared memory.
#[rustfmt::skip]
pub(crate) const SHARED_MEMORY: &[Property] = &[
    Property {
        name: "role", kind: "\"owner\" or \"borrower\"", default: "-",
        about: "Who is said to own it. One owner and borrowers, or nobody has a role. Here the region is RAM of none of them, owner or not.",
        rules: &[Rule::SharedMemoryRegion, Rule::SharedMemoryOwner], example: "role = \"owner\";",
    },
    Property {
        name: "xen,shared-mem", kind: "([host address], guest address, size), in the domain's cells", default: "required",
        about: "Where the region is. Whole pages. Where host and guest addresses differ by a multiple of 2 MiB for all who have it, it is mapped in blocks of 2 MiB. Without a host address it is taken from memory that is free.",
        rules: &[Rule::SharedMemoryRegion, Rule::SharedMemoryPlace, Rule::Overlap], example: "xen,shared-mem = <0x0 0x70000000 0x0 0x60000000 0x0 0x100000>;",
    },
    Property {
        name: "xen,shm-id", kind: "string, 1 to 15 characters", default: "required",
        about: "Name of the region. Domains with the same one have the region together; naming it is all the leave that they need.",
        rules: &[Rule::SharedMemoryRegion, Rule::SharedMemoryOwner], example: "xen,shm-id = \"frames\";",
    },
];

/// Properties of: Static event channel.
#[rustfmt::skip]
pub(crate) const EVTCHN: &[Property] = &[
    Property {
        name: "xen,evtchn", kind: "(port, phandle)", default: "required",
        about: "A port of this domain, up to 1023, and the node at the other end. The one that comes first in the file starts quiet, the other one with an event pending, as on Xen.",
        rules: &[Rule::EvtchnLink], example: "xen,evtchn = <10 &other_end>;",
    },
];

/// Properties of: Pair of domains.
#[rustfmt::skip]
pub(crate) const PAIR: &[Property] = &[
    Property {
        name: "zazen,domains", kind: "two strings", default: "required",
        about: "Zazen's own. The names of the two domains.",
        rules: &[Rule::PairDomains], example: "zazen,domains = \"linux1\", \"linux2\";",
    },
    Property {
        name: "zazen,events", kind: "flag", default: "absent",
        about: "Zazen's own. Each of the two may bind event channels to ports that the other one has set aside for it.",
        rules: &[Rule::PairEvents], example: "zazen,events;",
    },
    Property {
        name: "zazen,grants", kind: "one or two strings", default: "absent",
        about: "Zazen's own. Whose pages the other one may map: of those that it grants to it, and as it grants them.",
        rules: &[Rule::PairGrants], example: "zazen,grants = \"linux1\";",
    },
];

/// Properties of: Disk.
#[rustfmt::skip]
pub(crate) const DISK: &[Property] = &[
    Property {
        name: "read-only", kind: "flag", default: "absent",
        about: "The guest may not write. A disk that two domains have is read-only for both.",
        rules: &[Rule::DiskShared], example: "read-only;",
    },
    Property {
        name: "zazen,device", kind: "string", default: "",
        about: "The device of the board that the disk is, or is a part of: \"virtio0\" on QEMU virt, which is virtio-mmio slot 0.",
        rules: &[Rule::DiskSource, Rule::DiskShared], example: "zazen,device = \"virtio0\";",
    },
    Property {
        name: "zazen,file", kind: "string, 1 to 255 characters", default: "",
        about: "A file that the image builder embeds, as a RAM disk: what is written to it is lost when the machine stops. Whole sectors of 512 bytes. It is looked for as the files of modules are.",
        rules: &[Rule::DiskSource, Rule::FileMissing, Rule::DiskShared], example: "zazen,file = \"rescue.img\";",
    },
    Property {
        name: "zazen,partition", kind: "string, or one cell", default: "absent: the whole device",
        about: "The partition of the device, by its label or its number in the device's GPT.",
        rules: &[Rule::DiskPart], example: "zazen,partition = \"debian\";",
    },
    Property {
        name: "zazen,size", kind: "two cells", default: "written by the image builder",
        about: "The file's exact bytes.",
        rules: &[Rule::FileSize], example: "",
    },
];

/// Properties of: Network interface.
#[rustfmt::skip]
pub(crate) const NET: &[Property] = &[
    Property {
        name: "zazen,mac", kind: "string", default: "00:16:3e, the domain's id and the interface's number",
        about: "The interface's address. Frames that the guest sends from another one go nowhere.",
        rules: &[Rule::NetMac], example: "zazen,mac = \"02:00:00:00:00:01\";",
    },
    Property {
        name: "zazen,network", kind: "string, 1 to 15 characters", default: "",
        about: "The network that the interface is in: it hears the interfaces that name the same one, and no others.",
        rules: &[Rule::NetNetwork], example: "zazen,network = \"lan\";",
    },
    Property {
        name: "zazen,uplink", kind: "string", default: "absent: the network stays within the machine",
        about: "The device of the board by which the interface's network leads outside: \"virtio1\" on QEMU virt, which is virtio-mmio slot 8. One interface of the network is enough to name it.",
        rules: &[Rule::NetUplink], example: "zazen,uplink = \"virtio1\";",
    },
];

/// All kinds of nodes below `/chosen`, and itself.
#[rustfmt::skip]
pub const NODES: &[NodeKind] = &[
    NodeKind {
        name: "/chosen", compatible: "", properties: CHOSEN,
        about: "The node that domains are children of.",
        rules: &[Rule::NoDomain, Rule::TooManyDomains, Rule::Dom0, Rule::CpuPool, Rule::Unknown],
    },
    NodeKind {
        name: "Domain", compatible: "xen,domain", properties: DOMAIN,
        about: "A child of /chosen. Its name, without what follows @, is the domain's; domain ids are given from 1 in this order. A domain whose status is not \"okay\" is skipped.",
        rules: &[Rule::Name, Rule::NoKernel, Rule::Cells, Rule::Status, Rule::Unknown],
    },
    NodeKind {
        name: "Kernel and RAM disk", compatible: "multiboot,kernel, multiboot,ramdisk", properties: MODULE,
        about: "Children of a domain, with \"multiboot,module\" in compatible, too. The names that Xen had earlier, \"xen,linux-zimage\", \"xen,linux-initrd\" and \"xen,multiboot-module\", are taken as well. One kernel, at most one RAM disk.",
        rules: &[Rule::ModuleKind, Rule::ModuleTwice, Rule::NoKernel],
    },
    NodeKind {
        name: "vCPU", compatible: "xen,vcpu", properties: VCPU,
        about: "A child of a domain.",
        rules: &[Rule::Vcpu],
    },
    NodeKind {
        name: "Disk", compatible: "zazen,disk", properties: DISK,
        about: "Zazen's own. A child of a domain. The first one is the guest's xvda, the next xvdb, up to eight; the block server serves them (docs/disks.md).",
        rules: &[Rule::DiskCount, Rule::DiskStore],
    },
    NodeKind {
        name: "Network interface", compatible: "zazen,net", properties: NET,
        about: "Zazen's own. A child of a domain. The first one is the guest's interface 0 (eth0 of a Linux), up to four; the net server connects those that name the same network (docs/networks.md).",
        rules: &[Rule::NetCount, Rule::NetStore],
    },
    NodeKind {
        name: "Pair of domains", compatible: "zazen,pair", properties: PAIR,
        about: "Zazen's own, a child of /chosen. Two domains that may meet, and for what. Between two domains that no such node names there is nothing: no channel, no page and no call.",
        rules: &[Rule::PairDomains, Rule::PairEvents, Rule::PairGrants],
    },
    NodeKind {
        name: "Static shared memory", compatible: "xen,domain-shared-memory-v1", properties: SHARED_MEMORY,
        about: "A child of a domain. Memory that domains have together from the start, read and write, in /memory and /reserved-memory of their device trees as Xen writes them. Nobody's restart clears it.",
        rules: &[Rule::SharedMemoryOwner],
    },
    NodeKind {
        name: "Static event channel", compatible: "xen,evtchn-v1", properties: EVTCHN,
        about: "A child of a domain. A channel between two domains that there is from the start, and again when a guest restarts. Naming each other is all the leave that the two need for it.",
        rules: &[Rule::StaticEvtchn],
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_are_in_order_and_have_words() {
        for node in NODES {
            let sorted = node.properties.is_sorted_by(|a, b| a.name < b.name);
            assert!(sorted, "{}", node.name);
            for property in node.properties {
                assert!(!property.about.is_empty(), "{}", property.name);
                let example = property.example;
                assert!(
                    example.is_empty() || example.starts_with(property.name),
                    "{example}"
                );
            }
        }
    }
}
