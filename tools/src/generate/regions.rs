//! The memory regions.

use std::collections::BTreeMap;

use board::Board;
use dt_server::{Config, DomainConfig};

use super::{BOOT_DTB, console_clients, console_name, p2m_name};
use crate::system::Region;

const PAGE: u64 = 0x1000;
const BLOCK: u64 = 0x20_0000;

/// Names of the regions of module files; domains that name the same file share one.
pub(super) struct ModuleRegions<'a>(BTreeMap<&'a str, String>);

impl<'a> ModuleRegions<'a> {
    pub(super) fn new(config: &'a Config) -> Self {
        let mut names: BTreeMap<&str, String> = BTreeMap::new();
        for (_, file) in config.domains.iter().flat_map(DomainConfig::modules) {
            if names.contains_key(file) {
                continue;
            }
            let plain: String = file
                .chars()
                .map(|c| {
                    if c.is_ascii_alphanumeric() || c == '.' || c == '-' {
                        c
                    } else {
                        '_'
                    }
                })
                .collect();
            let mut name = format!("module_{plain}");
            while names.values().any(|taken| *taken == name) {
                name.push('_');
            }
            names.insert(file, name);
        }
        Self(names)
    }

    pub(super) fn of(&self, file: &str) -> String {
        self.0.get(file).cloned().unwrap_or_default()
    }
}

pub(super) fn region(name: impl Into<String>, comment: impl Into<String>, size: u64) -> Region {
    Region {
        name: name.into(),
        comment: comment.into(),
        size: Some(size),
        page_size: None,
        phys_addr: None,
        prefill: None,
    }
}

/// All regions of the system.
pub(super) fn regions(config: &Config, board: &Board, modules: &ModuleRegions<'_>) -> Vec<Region> {
    let mut regions = vec![
        Region {
            phys_addr: Some(board.uart.registers.start),
            ..region(
                "uart",
                "Registers of the UART: the console alone.",
                topology::UART_SIZE,
            )
        },
        Region {
            phys_addr: Some(board.gic.virtual_cpu.start),
            ..region(
                "gicv",
                "The GIC's virtual CPU interface: every guest's CPU interface.",
                board.gic.virtual_cpu.size,
            )
        },
        Region {
            size: None,
            page_size: Some(PAGE),
            prefill: Some(BOOT_DTB.to_owned()),
            ..region(
                "boot_dtb",
                "The domains file as a device tree, with the sizes of the modules.",
                0,
            )
        },
        region(
            "records",
            "What the memory server knows about each frame.",
            topology::records_bytes(config.handed()),
        ),
    ];
    regions.extend(super::clock::regions(board));
    for domain in &config.domains {
        let comment = format!("Where the RAM of {} is: its VMM alone.", domain.record.name);
        regions.push(region(
            p2m_name(domain),
            comment,
            topology::p2m_bytes(domain.max_ram()),
        ));
    }
    for (_, name, _, _) in console_clients(config) {
        let comment = format!("Text between {name} and the console.");
        let rings = region(console_name(&name), comment, topology::CONSOLE_REGION_SIZE);
        regions.push(Region {
            page_size: Some(PAGE),
            ..rings
        });
    }
    for (file, name) in &modules.0 {
        let users = config
            .domains
            .iter()
            .filter(|domain| domain.modules().any(|(_, used)| used == *file));
        let users: Vec<&str> = users.map(|domain| domain.record.name.as_str()).collect();
        let comment = format!("File of {}.", users.join(", "));
        // Microkit rounds the file's size up to whole pages.
        let module = region(name.clone(), comment, 0);
        regions.push(Region {
            size: None,
            page_size: Some(BLOCK),
            prefill: Some((*file).to_owned()),
            ..module
        });
    }
    regions
}
