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

/// All regions of the system.
pub(super) fn regions(whole: &Whole<'_>, board: &Board) -> Vec<Region> {
    let mut regions = Vec::new();
    let rows = REGIONS.iter();
    for row in rows.filter(|row| row.when.holds(whole.counter)) {
        match row.which {
            Which::One(name) => regions.push(region(row, whole, board, name.to_owned(), "", None)),
            Which::Own(prefix) => {
                for member in owners(whole, prefix) {
                    let label = member.label(whole.of_domain(member));
                    let name = whole.own(prefix, member);
                    regions.push(region(row, whole, board, name, label, Some(member)));
                }
            }
            Which::Modules => {
                for (file, name) in &whole.modules.0 {
                    let users = whole.config.domains.iter();
                    let users = users.filter(|d| d.modules().any(|(_, used)| used == *file));
                    let users: Vec<&str> = users.map(|d| d.record.name.as_str()).collect();
                    let module = region(row, whole, board, name.clone(), &users.join(", "), None);
                    let prefill = Some((*file).to_owned());
                    regions.push(Region { prefill, ..module });
                }
            }
            // Mapped, never a region of their own.
            Which::AllRings | Which::AllStores | Which::AtCpuInterface(_) => {}
        }
    }
    regions
}

/// Who has a region of his own with this prefix: clients of the console by their numbers, then
/// others.
fn owners(whole: &Whole<'_>, prefix: &str) -> Vec<Member> {
    let domains = whole.config.domains.len();
    let has = |member: &Member| {
        let mut maps = member.maps(whole.counter);
        maps.any(|map| matches!(map.which, Which::Own(own) if own == prefix))
    };
    let clients = table::clients(whole.counter, domains).map(|(_, member)| member);
    let others = table::members(whole.counter, domains).filter(|m| m.client().is_none());
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
    let device = |start, size| Region {
        phys_addr: Some(start),
        ..ram(size)
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
        Holds::Module => file(BLOCK, None),
        Holds::Records => ram(topology::records_bytes(whole.config.handed())),
        Holds::Page => ram(PAGE),
        Holds::P2m => {
            let domain = member.and_then(|member| whole.domain(member));
            ram(topology::p2m_bytes(domain.map_or(0, DomainConfig::max_ram)))
        }
        Holds::Store => ram(store_bytes(whole.config)),
        Holds::StoreRings => Region {
            page_size: Some(PAGE),
            ..ram(topology::STORE_REGION_SIZE)
        },
        Holds::Rings => Region {
            page_size: Some(PAGE),
            ..ram(topology::CONSOLE_REGION_SIZE)
        },
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
