//! What the memory server is to be handed, before it is known where that lies.

use block_server_api::VolumeSpec;
use dt_server::{Config, DomainConfig, Range, SharedRegion};
use hypervisor_core::memory::p2m::P2m;
use net_server::PortSpec;
use topology::map::{self, Which};
use topology::pd::time::Time;
use topology::shape::Shape;
use untyped_plan::{Paddr, Span};
use xenstore_server_api::Facts;
use zazen_tools::board::Board;
use zazen_tools::generate;

/// All demands on memory that come from the domains file.
#[derive(Clone, Debug, Default)]
pub struct Needs {
    /// The domains in device-tree order.
    pub domains: Vec<DomainNeeds>,
    /// Regions of shared memory, by their numbers.
    pub shared: Vec<SharedNeeds>,
    /// `xen,static-heap`: where it is given, the heap is this and no more.
    pub static_heap: Vec<Span>,
    /// RAM of the host as the file's `memory` nodes give it; only there can module files lie
    /// outside the kernel's memory.
    pub ram: Vec<Span>,
    /// What the xenstore server is told of each domain, in the order of `domains`.
    pub store: Vec<StoreDomain>,
    /// What the peer server is told, if there is one.
    pub peers: Option<peer_server::Facts>,
    /// The disks of each domain, in the order of `domains`.
    pub disks: Vec<Vec<VolumeSpec>>,
    /// The network that leads outside.
    pub uplink: Option<u8>,
    /// Bytes of the RAM disks, by their numbers.
    pub ram_disks: Vec<u64>,
    /// The network interfaces of each domain, in the order of `domains`.
    pub nics: Vec<Vec<PortSpec>>,
    /// Which protection domains, channels and regions there are for all this.
    pub shape: Shape,
    /// The board.
    pub board: &'static Board,
}

/// What the xenstore server is told of a domain.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoreDomain {
    /// What the domains file says.
    pub facts: Facts,
    /// Whether it has a store.
    pub has_store: bool,
}

/// One domain's demands.
#[derive(Clone, Debug, Default)]
pub struct DomainNeeds {
    /// Its name; its VMM's PD is `vmm_<name>`, its VM `<name>`.
    pub name: String,
    /// Domain id.
    pub domid: u16,
    /// Most bytes of RAM that it may hold, from wherever.
    pub max_ram: u64,
    /// Guest physical is host physical (`direct-map`).
    pub direct: bool,
    /// `xen,static-mem` in the order in which it fills the guest's banks.
    pub static_mem: Vec<Span>,
    /// Bytes of RAM that come from the heap at the start; 0 with static memory.
    pub heap: u64,
    /// Bytes for page tables: as many as the domain can ever use, within what its file allows.
    pub tables: u64,
    /// Bytes of extra pages at most.
    pub extra: u64,
    /// Processor time of its vCPUs, by their numbers.
    pub vcpu_times: Vec<Time>,
    /// Of which domains it may map pages: a bit for each number.
    pub lenders: u8,
    /// Which regions of shared memory it has: a bit for each number.
    pub shares: u32,
}

/// A region of shared memory.
#[derive(Clone, Debug, Default)]
pub struct SharedNeeds {
    /// Its name.
    pub id: String,
    /// Where, if the file says so.
    pub host: Option<Span>,
    /// Bytes.
    pub size: u64,
    /// It is mapped in 2 MiB frames where it has whole ones.
    pub blocks: bool,
}

impl SharedNeeds {
    fn of(region: &SharedRegion) -> Self {
        Self {
            id: region.id.clone(),
            host: spans(region.range().as_slice()).first().copied(),
            size: region.size,
            blocks: region.blocks(),
        }
    }
}

/// How much heap the memory server gets where the domains file names no `xen,static-heap`; where it
/// does, that is all the heap there is (SH-3).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Heap {
    /// What the domains need, with a 2 MiB block to spare for each that uses the heap.
    #[default]
    Needed,
    /// All that is left over in the kernel's memory.
    All,
}

/// Names of regions that a device reads and writes: what the name of a domain's begins with, the
/// block server's buffer and the driver's memory.
pub(crate) const DATA: &str = name(&map::DISK_DATA);
pub(crate) const BUFFER: &str = name(&map::DISK_BUFFER);
pub(crate) const DMA: &str = name(&map::DISK_DMA);
/// The same of the net driver.
pub(crate) const NET_DMA: &str = name(&map::NET_DMA);

const fn name(map: &map::Map) -> &'static str {
    match map.which {
        Which::One(name) | Which::Own(name) => name,
        _ => "",
    }
}

/// How many disks of the board have a driver, if a domain of `config` has one or a part of it.
fn driven(config: &Config) -> usize {
    match config.has_device_disks() {
        true => config.board.disks.len(),
        false => 0,
    }
}

fn spans(ranges: &[Range]) -> Vec<Span> {
    ranges
        .iter()
        .filter_map(|range| Span::sized(Paddr(range.start), range.size))
        .collect()
}

impl Needs {
    /// What a checked domains file asks for.
    pub fn of(config: &Config) -> Self {
        let domains = config.domains.iter().map(|domain| DomainNeeds {
            name: domain.record.name.as_str().to_owned(),
            domid: domain.record.domid,
            max_ram: domain.max_ram(),
            direct: domain.record.direct_map,
            static_mem: spans(&domain.static_mem),
            heap: domain.heap,
            tables: P2m::table_bytes(
                &domain.record.max_banks,
                &domain.record.shared,
                domain.tables,
            ),
            extra: domain.extra,
            vcpu_times: domain.vcpu_times.clone(),
            lenders: 0,
            shares: 0,
        });
        let lends = config.lends();
        let domains = (0..).zip(domains).map(|(number, domain)| DomainNeeds {
            lenders: lends.lenders(number),
            shares: config.shares(number),
            ..domain
        });
        Self {
            domains: domains.collect(),
            shared: config.shared.iter().map(SharedNeeds::of).collect(),
            static_heap: spans(&config.static_heap),
            ram: spans(&config.memory),
            store: config.domains.iter().map(StoreDomain::of).collect(),
            peers: peers(config),
            disks: config
                .domains
                .iter()
                .map(|domain| config.volumes(domain, driven(config)))
                .collect(),
            nics: config
                .domains
                .iter()
                .map(|domain| {
                    let nics = config.nics_of(domain);
                    nics.map(|(network, mac)| PortSpec { network, mac })
                        .collect()
                })
                .collect(),
            uplink: config.uplink(),
            ram_disks: config.ram_disks().iter().map(|(_, size)| *size).collect(),
            shape: generate::shape(config, config.board),
            board: config.board,
        }
    }
    /// Bytes of heap that the domains need, see [`dt_server::heap_bytes`].
    pub fn heap_bytes(&self) -> u64 {
        dt_server::heap_bytes(self.domains.iter().map(|d| (d.heap, d.extra)))
    }
    /// How many of the devices are disks of the board; RAM disks come behind them.
    pub fn hardware(&self) -> usize {
        match self.shape.disk_devices.has(None) {
            true => self.board.disks.len(),
            false => 0,
        }
    }
    /// Memory regions that devices read and write.
    pub fn device_regions(&self) -> Vec<String> {
        let net = self.shape.uplink.then(|| NET_DMA.to_owned());
        if !self.shape.disk_devices.has(None) {
            return net.into_iter().collect();
        }
        let domains = self.domains.iter().enumerate();
        let with_device = domains.filter(|(at, _)| self.shape.disk_devices.has(Some(*at)));
        let data = with_device.map(|(_, domain)| format!("{DATA}{}", domain.name));
        data.chain([BUFFER, DMA].map(str::to_owned))
            .chain(net)
            .collect()
    }
    /// All ranges that the domains file names.
    pub fn named(&self) -> Vec<Span> {
        let statics = self
            .domains
            .iter()
            .flat_map(|d| d.static_mem.iter().copied());
        let shared = self.shared.iter().filter_map(|region| region.host);
        statics
            .chain(self.static_heap.iter().copied())
            .chain(shared)
            .collect()
    }
}

fn peers(config: &Config) -> Option<peer_server::Facts> {
    let (meets, events) = (config.meets(), config.events());
    let met = meets.is_met(None);
    met.then(|| peer_server::Facts::new(meets, events, config.lends(), &config.channels))
}

impl StoreDomain {
    fn of(domain: &DomainConfig) -> Self {
        Self {
            facts: domain.store_facts(),
            has_store: domain.record.pv.has_store(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn domain(heap: u64, extra: u64) -> DomainNeeds {
        DomainNeeds {
            name: "a".into(),
            domid: 1,
            max_ram: heap,
            heap,
            extra,
            ..DomainNeeds::default()
        }
    }

    #[test]
    fn heap_is_whole_blocks_extras_and_one_to_spare() {
        let needs = Needs {
            domains: vec![domain(3 << 20, 70 << 12), domain(0, 70 << 12)],
            ..Needs::default()
        };
        assert_eq!(needs.heap_bytes(), (4 << 20) + (2 << 20) + (2 << 20));
    }

    #[test]
    fn without_ram_in_it_the_heap_is_extra_pages_alone() {
        let needs = Needs {
            domains: vec![domain(0, 70 << 12), domain(0, 70 << 12)],
            ..Needs::default()
        };
        assert_eq!(needs.heap_bytes(), 576 << 10);
    }
}
