//! The memory regions.

use std::collections::BTreeMap;

use board::{Board, Timer};
use dt_server::{Config, DomainConfig};
use topology::map::Which;
use topology::region::{self, Holds, REGIONS};
use topology::table::{self, Member};

use super::{BOOT_DTB, Whole};
use crate::system::Region;

const PAGE: u64 = 0x1000;
const BLOCK: u64 = 0x20_0000;

/// Names of the regions of files; those who name the same file share one.
pub(super) struct FileRegions<'a>(BTreeMap<&'a str, String>);

impl<'a> FileRegions<'a> {
    /// Those of modules.
    pub(super) fn modules(config: &'a Config) -> Self {
        let modules = config.domains.iter().flat_map(DomainConfig::modules);
        Self::new("module_", modules.map(|(_, file)| file))
    }

    /// Those of RAM disks, which are others even where a module is the same file: they are written.
    pub(super) fn ram_disks(config: &'a Config) -> Self {
        let disks = config.ram_disks().into_iter();
        Self::new("ramdisk_", disks.map(|(file, _)| file))
    }

    fn new(prefix: &str, files: impl Iterator<Item = &'a str>) -> Self {
        let mut names: BTreeMap<&str, String> = BTreeMap::new();
        for file in files {
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
            let mut name = format!("{prefix}{plain}");
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

/// All regions of the system.
pub(super) fn regions(whole: &Whole<'_>, board: &Board) -> Vec<Region> {
    let mut regions = Vec::new();
    let rows = REGIONS.iter();
    for row in rows.filter(|row| row.when.holds(whole.shape, None)) {
        match row.which {
            Which::One(name) => regions.push(region(row, whole, board, name.to_owned(), "", None)),
            Which::Own(prefix) => {
                for member in owners(whole, prefix) {
                    let label = member.label(whole.of_domain(member));
                    let name = whole.own(prefix, member);
                    regions.push(region(row, whole, board, name, label, Some(member)));
                }
            }
            Which::Modules | Which::RamDisks => {
                let disks = row.which == Which::RamDisks;
                let files = if disks {
                    &whole.ram_disks
                } else {
                    &whole.modules
                };
                for (file, name) in &files.0 {
                    let uses = |domain: &&DomainConfig| match disks {
                        true => domain.ram_disks().any(|(used, _)| used == *file),
                        false => domain.modules().any(|(_, used)| used == *file),
                    };
                    let users = whole.config.domains.iter().filter(uses);
                    let users: Vec<&str> = users.map(|d| d.record.name.as_str()).collect();
                    let filled = region(row, whole, board, name.clone(), &users.join(", "), None);
                    let prefill = Some((*file).to_owned());
                    regions.push(Region { prefill, ..filled });
                }
            }
            Which::Pairs => {
                for (a, b) in whole.shape.meets.pairs() {
                    let name = |number: usize| {
                        let domain = whole.config.domains.get(number);
                        domain.map_or("", |domain| domain.record.name.as_str())
                    };
                    let both = format!("{} and {}", name(a), name(b));
                    regions.push(region(row, whole, board, whole.pair(a, b), &both, None));
                }
            }
            // Mapped, never a region of their own.
            Which::AllRings | Which::OfVmms(..) | Which::AtCpuInterface(_) => {}
        }
    }
    regions
}

/// Who has a region of his own with this prefix: clients of the console by their numbers, then
/// others.
fn owners(whole: &Whole<'_>, prefix: &str) -> Vec<Member> {
    let has = |member: &Member| {
        let mut maps = member.maps(whole.shape);
        maps.any(|map| matches!(map.which, Which::Own(own) if own == prefix))
    };
    let clients = table::clients(whole.shape).map(|(_, member)| member);
    let others = table::members(whole.shape).filter(|m| m.client().is_none());
    clients.chain(others).filter(has).collect()
}

/// The region `row` called `name`, which belongs to `member` or to `whose`.
fn region(
    row: &region::Region,
    whole: &Whole<'_>,
    board: &Board,
    name: String,
    whose: &str,
    member: Option<Member>,
) -> Region {
    let ram = |size| Region {
        name: name.clone(),
        comment: row.about.replace("{name}", whose),
        size: Some(size),
        page_size: None,
        phys_addr: None,
        prefill: None,
    };
    let small = |size| Region {
        page_size: Some(PAGE),
        ..ram(size)
    };
    let device = |start, size| Region {
        phys_addr: Some(start),
        ..ram(size)
    };
    let registers = |devices: &[board::Virtio]| {
        let first = devices.first().map_or(0, |first| first.registers.start);
        device(first / PAGE * PAGE, PAGE)
    };
    // A file: Microkit rounds its size up to whole pages.
    let file = |page_size, prefill| Region {
        size: None,
        page_size: Some(page_size),
        prefill,
        ..ram(0)
    };
    let (timer, counter) = match board.timer {
        Timer::Ttc { timer, counter, .. } => (timer.start, counter.start),
        Timer::System { .. } => (0, 0),
    };
    match row.holds {
        Holds::Uart => device(board.uart.registers.start, topology::UART_SIZE),
        Holds::CpuInterface => device(board.gic.virtual_cpu.start, board.gic.virtual_cpu.size),
        Holds::Timer => device(timer, PAGE),
        Holds::Counter => device(counter, PAGE),
        Holds::BootTree => file(PAGE, Some(BOOT_DTB.to_owned())),
        Holds::Module | Holds::RamDisk => file(BLOCK, None),
        // Disks of a board share one page, and so do its network devices.
        Holds::DiskRegisters => registers(board.disks),
        Holds::NetRegisters => registers(board.nics),
        Holds::DiskQueues => small(topology::DISKS_REGION_SIZE),
        Holds::UplinkQueues => small(topology::UPLINK_REGION_SIZE),
        Holds::UplinkData => small(topology::UPLINK_DATA_SIZE),
        Holds::NetDma => small(topology::NET_DMA_SIZE),
        Holds::NetQueues => small(topology::NETS_REGION_SIZE),
        Holds::NetData => Region {
            page_size: Some(BLOCK),
            ..ram(topology::NET_DATA_SIZE)
        },
        Holds::DiskBuffer => small(topology::DISK_BUFFER_SIZE),
        Holds::DiskDma => small(topology::DISK_DMA_SIZE),
        Holds::DiskData => Region {
            page_size: Some(BLOCK),
            ..ram(topology::DISK_DATA_SIZE)
        },
        Holds::Records => ram(topology::records_bytes(whole.config.recorded())),
        Holds::Page => ram(PAGE),
        Holds::P2m => {
            let domain = member.and_then(|member| whole.domain(member));
            ram(topology::p2m_bytes(domain.map_or(0, DomainConfig::max_ram)))
        }
        Holds::Store => ram(store_bytes(whole.config)),
        Holds::StoreRings => small(topology::STORE_REGION_SIZE),
        Holds::Rings => small(topology::CONSOLE_REGION_SIZE),
    }
}

/// Bytes of the xenstore server's memory, in whole pages.
fn store_bytes(config: &Config) -> u64 {
    let domains = config.domains.iter();
    let guests = domains
        .filter(|domain| domain.record.pv.has_store())
        .count();
    let bytes = xenstore_server::cells(guests) * size_of::<xenstore_server::Cell>();
    u64::try_from(bytes)
        .unwrap_or(u64::MAX)
        .next_multiple_of(PAGE)
}
