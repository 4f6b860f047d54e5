//! Rules that only the host can check: about files, about the source, and about the board.

use dt_server::{Rule, RuleInfo};

/// A rule of the host's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "each has its words in `info`")]
pub enum HostRule {
    Unreadable,
    NoCompiler,
    Syntax,
    Include,
    Tree,
    BoardRam,
    Device,
    KernelRamBorder,
    KernelRam,
    HeapRoom,
    Smmu,
    Partial,
    PartialRange,
    PartialPath,
    PartialInterrupt,
    Microkit,
    RamdiskFormat,
}

const fn info(code: &'static str, title: &'static str, text: &'static str) -> RuleInfo {
    RuleInfo { code, title, text }
}

impl HostRule {
    /// All rules of the host's.
    pub const ALL: &'static [Self] = &[
        Self::Unreadable,
        Self::NoCompiler,
        Self::Syntax,
        Self::Include,
        Self::Tree,
        Self::BoardRam,
        Self::Device,
        Self::KernelRamBorder,
        Self::KernelRam,
        Self::HeapRoom,
        Self::Smmu,
        Self::Partial,
        Self::PartialRange,
        Self::PartialPath,
        Self::PartialInterrupt,
        Self::Microkit,
        Self::RamdiskFormat,
    ];

    /// The rule in words.
    #[rustfmt::skip]
    pub const fn info(self) -> RuleInfo {
        match self {
            Self::Unreadable => info("zazen::file::unreadable", "the domains file cannot be read",
                "It is missing, or its permissions do not let you read it."),
            Self::NoCompiler => info("zazen::file::no-dtc", "dtc is missing",
                "A .dts is compiled by dtc, the device-tree compiler; a .dtb needs none."),
            Self::Syntax => info("zazen::dts::syntax", "the source is no DTS",
                "Statements end in a semicolon, numbers stand in <>, strings in \"\", and properties come before child nodes (Devicetree Specification 0.4, chapter 6)."),
            Self::Include => info("zazen::dts::include", "an included file cannot be read",
                "/include/ \"name\" is looked for next to the file that includes it."),
            Self::Tree => info("zazen::dts::tree", "the source describes an impossible tree",
                "The syntax is right, but dtc refuses the tree: a name is there twice, or a label is not defined."),
            Self::BoardRam => info("zazen::board::ram", "memory is where the board has no RAM",
                "The memory nodes and xen,static-mem must lie within the RAM of the board; --board says which one."),
            Self::Device => info("zazen::board::device", "memory is where the board has a device",
                "The registers of a device are no RAM: a guest there would program the UART, the interrupt controller or something else."),
            Self::KernelRamBorder => info("zazen::board::kernel-ram-border", "a region is partly in RAM that seL4 owns",
                "seL4 hands out its own RAM as untyped memory that it zeroes at boot, and treats the rest as device memory, which keeps its contents and splits in place. One range across the border would behave differently in its two halves."),
            Self::KernelRam => info("zazen::board::kernel-ram", "a region is in RAM that seL4 owns",
                "It works, and costs more: seL4 zeroes it at boot, a block of 2 MiB is split by copying it, and a direct-mapped domain gets it in 4 KiB pages."),
            Self::HeapRoom => info("zazen::board::heap-room", "the domains need more memory than seL4 hands out",
                "RAM without xen,static-mem, page tables and extra pages come from the RAM that seL4 owns; static memory there and seL4 itself take their part of it."),
            Self::Smmu => info("zazen::board::smmu", "devices are passed through on a board without an SMMU",
                "Without an SMMU a device that reads and writes memory by itself reaches all memory, whoever programs it."),
            Self::Partial => info("zazen::partial::tree", "a partial device tree cannot be used",
                "It is a DTB with a node /passthrough; only that, /gic and /aliases are looked at."),
            Self::PartialRange => info("zazen::partial::reg", "xen,reg is wrong",
                "<host address, size, guest address>, in whole pages of 4 KiB, in the cells of the node above; not RAM."),
            Self::PartialPath => info("zazen::partial::path", "xen,path names no device",
                "A node with xen,reg names its device in the host's tree with xen,path, or says xen,force-assign-without-iommu."),
            Self::PartialInterrupt => info("zazen::partial::interrupt", "an interrupt cannot be given to a guest",
                "Only shared peripheral interrupts can be given: <0 number flags>, with a number below nr_spis, and none that the console or a timer has."),
            Self::RamdiskFormat => info("zazen::module::ramdisk-format", "the RAM disk is of no format that Linux unpacks",
                "A cpio archive (newc), by itself or compressed, or a file system. Linux takes anything else for a damaged archive, finds no root and panics."),
            Self::Microkit => info("zazen::microkit::limit", "Microkit would refuse the system",
                "A system has at most 63 protection domains, each with at most 62 channels and interrupts, and calls go to a strictly higher priority."),
        }
    }
}

/// All rules: the dt-server's and the host's, by code.
pub fn all() -> Vec<RuleInfo> {
    let tree = Rule::ALL.iter().map(|rule| rule.info());
    let mut all: Vec<RuleInfo> = tree
        .chain(HostRule::ALL.iter().map(|rule| rule.info()))
        .collect();
    all.sort_by_key(|rule| rule.code);
    all
}

/// The page that describes all rules, and the heading of `code` in it.
pub fn link(code: &str) -> String {
    let anchor: String = code.chars().filter(|c| *c != ':').collect();
    format!("docs/domains.md#{anchor}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique() {
        let all = all();
        assert!(all.windows(2).all(|pair| pair[0].code < pair[1].code));
        assert_eq!(all.len(), Rule::ALL.len() + HostRule::ALL.len());
        assert_eq!(link("zazen::a::b-c"), "docs/domains.md#zazenab-c");
    }
}
