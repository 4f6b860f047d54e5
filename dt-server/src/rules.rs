//! Every rule in words: the code that `zazen check` shows, `zazen explain` takes and
//! docs/domains.md lists.

use crate::diag::Rule;

/// A rule in words.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RuleInfo {
    /// Stable name: `zazen::` and two words.
    pub code: &'static str,
    /// What is wrong, in one line.
    pub title: &'static str,
    /// The rule, and why there is one; may be empty.
    pub text: &'static str,
}

const fn info(code: &'static str, title: &'static str, text: &'static str) -> RuleInfo {
    RuleInfo { code, title, text }
}

impl Rule {
    /// All rules.
    pub const ALL: &'static [Self] = &[
        Self::Fdt,
        Self::Truncated,
        Self::Nesting,
        Self::NodeName,
        Self::Cells,
        Self::Status,
        Self::Unknown,
        Self::HostMemory,
        Self::Board,
        Self::ReservedMemory,
        Self::StaticHeap,
        Self::Heap,
        Self::TooManyRanges,
        Self::NotRam,
        Self::Overlap,
        Self::HeapTooSmall,
        Self::NoDomain,
        Self::TooManyDomains,
        Self::Dom0,
        Self::XenOptions,
        Self::CpuPool,
        Self::Xsm,
        Self::Name,
        Self::Memory,
        Self::Banks,
        Self::MemoryMax,
        Self::Cpus,
        Self::Vpl011,
        Self::NrSpis,
        Self::StaticMem,
        Self::StaticSum,
        Self::BigPages,
        Self::DirectMap,
        Self::Enhanced,
        Self::Console,
        Self::Passthrough,
        Self::Capabilities,
        Self::P2mMemory,
        Self::GrantVersion,
        Self::GrantFrames,
        Self::Maptrack,
        Self::TrapUnmapped,
        Self::Sve,
        Self::LlcColors,
        Self::Sci,
        Self::V8r,
        Self::Vcpu,
        Self::SharedMemory,
        Self::SharedMemoryRegion,
        Self::StaticEvtchn,
        Self::EvtchnLink,
        Self::NoKernel,
        Self::ModuleKind,
        Self::ModuleTwice,
        Self::ModuleReg,
        Self::ModuleFile,
        Self::FileMissing,
        Self::FileSize,
        Self::KernelFormat,
        Self::Bootargs,
        Self::KernelTooLarge,
        Self::RamdiskOverlap,
        Self::BankFull,
    ];

    /// The rule in words.
    #[rustfmt::skip]
    pub const fn info(self) -> RuleInfo {
        match self {
            Self::Fdt => info("zazen::dtb::malformed", "the file is no device tree",
                "A device tree blob begins with 0xd00dfeed and has the structure of the Devicetree Specification, version 17. A text file must be named .dts, so that dtc is asked to compile it."),
            Self::Truncated => info("zazen::dtb::truncated", "the device tree is cut off",
                "The header of the blob says how long it is, and the file is shorter: a copy that was interrupted, or a partition that is too small."),
            Self::Nesting => info("zazen::tree::nesting", "nodes are nested too deeply",
                "At most 16 levels, the root counted (Xen's limit)."),
            Self::NodeName => info("zazen::tree::name", "the name of a node or property is none",
                "1 to 31 characters, for a node without what follows @: letters, digits and , . _ + -, and in a property's name ? and # besides (Devicetree Specification 0.4, 2.2.1 and 2.2.4)."),
            Self::Cells => info("zazen::tree::cells", "#address-cells or #size-cells is not 1 or 2, or not what addresses are written with",
                "Addresses and sizes have one or two cells of 32 bits. A node says how many for the nodes in it, not for itself, and inherits both from the node above."),
            Self::Status => info("zazen::tree::status", "a node is switched off",
                "A memory node or domain whose status is neither \"okay\" nor \"ok\" is skipped; a domain that is skipped gets no domain id."),
            Self::Unknown => info("zazen::tree::unknown", "a property or node is not known",
                "It is ignored. Most often it is misspelt."),
            Self::HostMemory => info("zazen::host::memory", "a memory node is missing or has no sound reg",
                "Nodes named memory with device_type = \"memory\" say what RAM the host has. Without one nothing can check that static memory is RAM."),
            Self::Board => info("zazen::host::board", "the board is unknown or another one",
                "zazen,board names the board that an image is for; the image builder writes it. A file need not have it."),
            Self::ReservedMemory => info("zazen::host::reserved-memory", "a child of /reserved-memory has no sound reg",
                "Reserved memory is what firmware keeps; nothing of it may be given to a guest."),
            Self::StaticHeap => info("zazen::heap::static-heap", "xen,static-heap is no sound list of ranges",
                "Ranges are <address size> in the root's cells, and start and end at multiples of 64 KiB."),
            Self::Heap => info("zazen::heap::amount", "zazen,heap is neither \"needed\" nor \"all\"",
                "The heap is what the domains need, or all memory that is left over. xen,static-heap says so by address instead; only one of the two can be given."),
            Self::TooManyRanges => info("zazen::host::too-many-ranges", "more than 256 ranges",
                "Xen's limit for banks of memory; ranges that touch can be joined."),
            Self::NotRam => info("zazen::host::not-ram", "memory is claimed where the host has no RAM",
                "Every range of static memory and of the static heap must lie in one bank of the memory nodes."),
            Self::Overlap => info("zazen::static::overlap", "two claims on host memory overlap",
                "Static memory, static heap, shared memory, modules in host memory and what firmware has reserved are disjoint. Two guests that share a page by mistake corrupt each other in silence; that is why nothing starts."),
            Self::HeapTooSmall => info("zazen::heap::too-small", "the domains need more heap than there is",
                "RAM of domains without xen,static-mem and the extra pages of all domains (shared_info, grant frames, console) come from the heap, in whole blocks of 2 MiB. xen,static-heap bounds it."),
            Self::NoDomain => info("zazen::chosen::no-domain", "there is no domain",
                "A domain is a child of /chosen with compatible = \"xen,domain\"."),
            Self::TooManyDomains => info("zazen::chosen::too-many-domains", "there are too many domains",
                "A system has at most 8 domains."),
            Self::Dom0 => info("zazen::chosen::dom0", "something is for dom0",
                "There is no dom0: every domain is a child of /chosen with its own modules."),
            Self::XenOptions => info("zazen::chosen::options", "options for the hypervisor are ignored",
                "Zazen takes no command line. A guest's command line is bootargs of its kernel's node."),
            Self::CpuPool => info("zazen::chosen::cpupool", "CPU pools are not supported",
                "Domains run on CPU 0."),
            Self::Xsm => info("zazen::chosen::xsm", "there is no XSM",
                "Zazen has no Flask: it loads no policy. What a domain may do follows from its own properties, and no domain is privileged."),
            Self::Name => info("zazen::domain::name", "the name of a domain cannot be used",
                "The name of the node without what follows @ is the domain's name: 1 to 16 characters, different for each domain, not a server's, and not zazen, which is the console's monitor. It begins with a letter or a digit and has letters, digits and . _ + - only."),
            Self::Memory => info("zazen::domain::memory", "memory is missing or no sound amount",
                "RAM of the domain in KiB, as two cells: <0x0 0x40000> is 256 MiB. More than 0, in whole pages of 4 KiB."),
            Self::Banks => info("zazen::domain::memory-too-large", "memory is more than a guest can have",
                "RAM has two banks in the guest's address space: 3 GiB from 0x40000000, the rest from 0x200000000. A direct-mapped guest has at most 8 ranges that do not touch."),
            Self::MemoryMax => info("zazen::domain::memory-max", "zazen,memory-max is not possible",
                "A guest on the heap may grow from memory to at most ten times that, because records for all of it are made at boot; memory is then a multiple of 2 MiB. A guest with static memory has that and no more."),
            Self::Cpus => info("zazen::domain::cpus", "cpus is missing, 0 or too large",
                "The number of vCPUs, 1 to 8 with a GICv2."),
            Self::Vpl011 => info("zazen::domain::vpl011", "vpl011 has no interrupt",
                "The virtual UART needs a shared peripheral interrupt, SPI 0 or, direct-mapped, that of the host's UART, and nr_spis says that there are not so many."),
            Self::NrSpis => info("zazen::domain::nr-spis", "nr_spis is too large",
                "At most 960 shared peripheral interrupts; Xen allows 988."),
            Self::StaticMem => info("zazen::static::ranges", "xen,static-mem is no sound list of ranges",
                "Ranges are <address size> in the cells of /chosen, not in those of the domain; not empty, in whole pages of 4 KiB."),
            Self::StaticSum => info("zazen::static::sum", "static memory and memory differ",
                "The ranges of xen,static-mem together are exactly the RAM that memory says, because each of them is needed: one for the guest, one for the host."),
            Self::BigPages => info("zazen::domain::small-pages", "memory is not made of whole blocks of 2 MiB",
                "What is no whole, aligned block of 2 MiB is mapped in 4 KiB pages, which is slower."),
            Self::DirectMap => info("zazen::domain::direct-map", "direct-map is not possible",
                "A direct-mapped guest sees its memory at the host's addresses, so it needs memory with addresses: xen,static-mem. The memory lies where the board has no device, below 0x5000000000, and no two ranges that do not touch share a block of 2 MiB."),
            Self::Enhanced => info("zazen::domain::enhanced", "xen,enhanced is none of its four strings",
                "\"enabled\" (or no value), \"legacy\", \"no-xenstore\" and \"disabled\". Xen takes any other string for \"disabled\" in silence; Zazen refuses it."),
            Self::Console => info("zazen::domain::console", "nothing of a domain can be seen",
                "hvc0 comes with xen,enhanced, ttyAMA0 with vpl011. A kernel that is told to use a console that its domain has not writes nowhere, and Linux says nothing of it. A domain that has neither is heard by the hypercall console_io alone."),
            Self::Passthrough => info("zazen::domain::passthrough", "devices of the host cannot be passed through",
                "passthrough = \"enabled\" and partial device trees are not supported yet; they would need an SMMU to be safe."),
            Self::Capabilities => info("zazen::domain::capabilities", "capabilities asks for a privileged domain",
                "Control, hardware and xenstore domains are not supported."),
            Self::P2mMemory => info("zazen::domain::p2m-memory", "memory for page tables is too little",
                "xen,domain-p2m-mem-mb bounds the memory for stage-2 tables, in MiB. The default is Xen's formula."),
            Self::GrantVersion => info("zazen::domain::grant-version", "max_grant_version is not 1",
                "Only grant tables of version 1 exist."),
            Self::GrantFrames => info("zazen::domain::grant-frames", "max_grant_frames is not 1 to 64",
                "Frames of the grant table, each with 512 entries."),
            Self::Maptrack => info("zazen::domain::maptrack-frames", "max_maptrack_frames has no effect or is too large",
                "At most 2147483647; not used, because guests cannot map grants of others yet."),
            Self::TrapUnmapped => info("zazen::domain::trap-unmapped", "trap-unmapped-accesses is not 0 or 1",
                "1: an access to nothing is a fault in the guest. 0: it reads all ones, and writes are ignored."),
            Self::Sve => info("zazen::domain::sve", "SVE is not supported",
                "seL4 does not save its registers."),
            Self::LlcColors => info("zazen::domain::llc-colors", "cache colouring is not supported",
                ""),
            Self::Sci => info("zazen::domain::sci", "xen,sci_type is not \"none\"",
                ""),
            Self::V8r => info("zazen::domain::v8r", "v8r_el1_msa is for another architecture",
                "It is for Armv8-R hosts."),
            Self::Vcpu => info("zazen::domain::vcpu", "a vCPU node is wrong",
                "Children with compatible = \"xen,vcpu\" have an id below cpus, each once."),
            Self::SharedMemory => info("zazen::shared::unsupported", "static shared memory is not supported yet",
                ""),
            Self::SharedMemoryRegion => info("zazen::shared::region", "static shared memory is described wrongly",
                "xen,shm-id has 1 to 15 characters; xen,shared-mem is <[host] guest size> in whole pages; nodes with the same id agree in host address and size, and one of them may be the owner."),
            Self::StaticEvtchn => info("zazen::evtchn::unsupported", "static event channels are not supported yet",
                ""),
            Self::EvtchnLink => info("zazen::evtchn::link", "a static event channel is described wrongly",
                "xen,evtchn is <port phandle>: a port 1 to 1023 that the domain uses once, and the node at the other end, which must name this one."),
            Self::NoKernel => info("zazen::module::no-kernel", "a domain has no kernel",
                "A child with compatible = \"multiboot,kernel\", \"multiboot,module\"."),
            Self::ModuleKind => info("zazen::module::kind", "a module does not say what it is",
                "compatible has \"multiboot,kernel\" or \"multiboot,ramdisk\" besides \"multiboot,module\"."),
            Self::ModuleTwice => info("zazen::module::twice", "a domain has two modules of one kind",
                "One kernel, and at most one RAM disk."),
            Self::ModuleReg => info("zazen::module::reg", "a module is in host memory",
                "Xen finds modules where reg says that a boot loader has put them. Here the image has them inside: zazen,file names the file."),
            Self::ModuleFile => info("zazen::module::file", "a module names no file",
                "zazen,file is a file name of 1 to 255 characters."),
            Self::FileMissing => info("zazen::module::file-missing", "a module's file is not there",
                "Files are looked for next to the domains file, then in the directories of --files."),
            Self::FileSize => info("zazen::module::file-size", "a module's file is empty or has another size",
                "zazen,size is written by the image builder; a file need not have it."),
            Self::KernelFormat => info("zazen::module::kernel-format", "the kernel is no arm64 Image",
                "arch/arm64/boot/Image, uncompressed, with the magic number \"ARM\\x64\" at byte 56."),
            Self::Bootargs => info("zazen::module::bootargs", "a command line is too long or has no effect",
                "At most 1024 bytes, in the node of the kernel."),
            Self::KernelTooLarge => info("zazen::module::kernel-too-large", "the kernel is larger than the domain's RAM",
                "What counts is image_size of the kernel's header (the file and its zeroed data), from the start of the first RAM bank."),
            Self::RamdiskOverlap => info("zazen::module::ramdisk-overlaps-kernel", "the RAM disk would overlap the kernel",
                "The kernel's place is fixed by its header; device tree and RAM disk go beside it, in blocks of 2 MiB."),
            Self::BankFull => info("zazen::module::bank-full", "kernel, RAM disk and device tree do not fit",
                "All of them lie in the first RAM bank, each in whole blocks of 2 MiB, and the device tree has one block."),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn codes_are_unique_and_well_formed() {
        let mut codes: Vec<&str> = Rule::ALL.iter().map(|rule| rule.info().code).collect();
        for code in &codes {
            let words: Vec<&str> = code.split("::").collect();
            assert!(matches!(words[..], ["zazen", _, _]), "{code}");
            let fine = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || ":-".contains(c);
            assert!(code.chars().all(fine), "{code}");
        }
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), Rule::ALL.len());
    }
}
