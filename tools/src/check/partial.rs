//! Partial device trees: what devices of the host a domain would get.
//!
//! Zazen does not pass devices through yet and says so, after reporting every mistake in the tree.

use std::fs;

use board::Board;
use dtoolkit::fdt::{Fdt, FdtNode};
use dtoolkit::{Node, Property, ToCellInt};

use super::mistake::Mistake;
use super::rules::HostRule;
use super::tree::{Source, subject};
use crate::files::HostFiles;

const PAGE: u64 = 0x1000;
/// Shared peripheral interrupts of a domain that does not say.
const DEFAULT_SPIS: u32 = 32;
/// Levels of nodes that are looked at.
const DEPTH: u32 = 16;

/// Checks the partial device trees that the domains of `tree` name.
pub(super) fn mistakes(
    tree: Fdt<'_>,
    board: &'static Board,
    files: &HostFiles,
    source: &mut Source<'_>,
) -> Vec<Mistake> {
    let mut found = Vec::new();
    let Some(chosen) = tree.find_node("/chosen") else {
        return found;
    };
    let is = |node: &FdtNode<'_>, name: &str| {
        node.compatible()
            .is_some_and(|mut list| list.any(|entry| entry == name))
    };
    for domain in chosen.children().filter(|node| is(node, "xen,domain")) {
        let spis = number(&domain, "nr_spis").unwrap_or(DEFAULT_SPIS);
        for module in domain
            .children()
            .filter(|node| is(node, "multiboot,device-tree"))
        {
            let name = module.property("zazen,file");
            let Some(name) = name.and_then(|name| name.value_as::<&str>().ok()) else {
                continue;
            };
            let path = format!("/chosen/{}/{}", domain.name(), module.name());
            let mut say = |rule: HostRule, message: String, hint: &str| {
                let text = format!("{}: {name}: {message}", subject(&path));
                found.push(Mistake {
                    at: source.place(&path, Some("zazen,file")),
                    path: path.clone(),
                    property: Some(String::from("zazen,file")),
                    ..Mistake::of_file(rule.info(), text, hint)
                });
            };
            let Some(bytes) = files.path(name).and_then(|path| fs::read(path).ok()) else {
                say(
                    HostRule::Partial,
                    String::from("there is no such file"),
                    "name its directory with --files",
                );
                continue;
            };
            match Fdt::new(&bytes) {
                Ok(partial) => check(partial, spis, board, &mut say),
                Err(error) => say(
                    HostRule::Partial,
                    format!("is no device tree: {error}"),
                    "compile it with dtc -@",
                ),
            }
        }
    }
    found
}

fn number(node: &FdtNode<'_>, name: &str) -> Option<u32> {
    node.property(name)?.value_as::<u32>().ok()
}

fn check(
    partial: Fdt<'_>,
    spis: u32,
    board: &'static Board,
    say: &mut dyn FnMut(HostRule, String, &str),
) {
    let Some(passthrough) = partial.find_node("/passthrough") else {
        let message = String::from("has no node /passthrough, so it gives nothing");
        say(
            HostRule::Partial,
            message,
            "put the devices into /passthrough (compatible \"simple-bus\")",
        );
        return;
    };
    devices(passthrough, "/passthrough", DEPTH, spis, board, say);
}

fn devices(
    bus: FdtNode<'_>,
    bus_path: &str,
    depth: u32,
    spis: u32,
    board: &'static Board,
    say: &mut dyn FnMut(HostRule, String, &str),
) {
    let cells = |name, default| number(&bus, name).unwrap_or(default).min(2) as usize;
    let (address, size) = (cells("#address-cells", 2), cells("#size-cells", 1));
    for node in bus.children() {
        let path = format!("{bus_path}/{}", node.name());
        if let Some(reg) = node.property("xen,reg") {
            match reg.as_prop_encoded_array([address, size, address]) {
                Ok(entries) => {
                    for entry in entries {
                        range(
                            entry.map(|cells| cells.to_int::<u64>().unwrap_or(u64::MAX)),
                            &path,
                            board,
                            say,
                        );
                    }
                }
                Err(_) => say(
                    HostRule::PartialRange,
                    format!(
                        "{path}: xen,reg: {} bytes are no list of (host address, size, guest address) with {address} address and {size} size cells",
                        reg.value().len()
                    ),
                    "the cells are those of the node above",
                ),
            }
            let named = ["xen,path", "xen,force-assign-without-iommu"];
            if !named.iter().any(|name| node.property(name).is_some()) {
                let message = format!("{path}: xen,reg without xen,path");
                say(
                    HostRule::PartialPath,
                    message,
                    "add xen,path = \"…\", the device's path in the host's tree",
                );
            }
        }
        if let Some(list) = node.property("interrupts") {
            interrupts(list.value(), &path, spis, board, say);
        }
        if depth > 0 {
            devices(node, &path, depth - 1, spis, board, say);
        }
    }
}

fn range(
    [host, size, guest]: [u64; 3],
    path: &str,
    board: &Board,
    say: &mut dyn FnMut(HostRule, String, &str),
) {
    let all = format!("{path}: xen,reg <{host:#x} {size:#x} {guest:#x}>");
    if size == 0 || [host, size, guest].iter().any(|number| number % PAGE != 0) {
        let message = format!("{all} is not in whole pages of 4 KiB");
        say(HostRule::PartialRange, message, "align all three to 0x1000");
        return;
    }
    let end = host.saturating_add(size);
    if board
        .ram
        .iter()
        .any(|ram| host < ram.end() && ram.start < end)
    {
        let message = format!("{all} is RAM of {}, not a device", board.name);
        say(
            HostRule::PartialRange,
            message,
            "give RAM with xen,static-mem",
        );
    } else if host < board.uart.registers.end() && board.uart.registers.start < end {
        let message = format!("{all} is the UART, which the console has");
        say(
            HostRule::PartialRange,
            message,
            "use the console (xen,enhanced) or vpl011",
        );
    }
}

/// `<kind number flags>` of a GIC: kind 0 is shared, 1 private to a CPU.
fn interrupts(
    value: &[u8],
    path: &str,
    spis: u32,
    board: &Board,
    say: &mut dyn FnMut(HostRule, String, &str),
) {
    let (cells, rest) = value.as_chunks::<4>();
    let cells: Vec<u32> = cells.iter().map(|cell| u32::from_be_bytes(*cell)).collect();
    if !rest.is_empty() || cells.is_empty() || !cells.len().is_multiple_of(3) {
        let message = format!(
            "{path}: interrupts: {} bytes are no list of <kind number flags>",
            value.len()
        );
        say(HostRule::PartialInterrupt, message, "each has three cells");
        return;
    }
    for cell in cells.chunks_exact(3) {
        let (kind, number) = (cell[0], cell[1]);
        let (message, hint) = if kind != 0 {
            (
                format!("{path}: interrupt {number} is private to a CPU and cannot be given"),
                "use a shared one (<0 number flags>)",
            )
        } else if number >= spis {
            (
                format!("{path}: shared interrupt {number}, but the domain has {spis}"),
                "raise nr_spis of the domain",
            )
        } else if number + 32 == board.uart.intid {
            (
                format!("{path}: shared interrupt {number} is the UART's, which the console has"),
                "leave the UART out",
            )
        } else {
            continue;
        };
        say(HostRule::PartialInterrupt, message, hint);
    }
}
