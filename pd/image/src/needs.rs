//! What the memory server is to be handed, before it is known where that lies.

use dt_server::{Config, DomainConfig, Range};
use topology::pd::time::Time;
use untyped_plan::{Paddr, Span};
use zazen_tools::board::Board;

/// All demands on memory that come from the domains file.
#[derive(Clone, Debug, Default)]
pub struct Needs {
    /// The domains in device-tree order.
    pub domains: Vec<DomainNeeds>,
    /// `xen,static-heap`: where it is given, the heap is this and no more.
    pub static_heap: Vec<Span>,
    /// RAM of the host as the file's `memory` nodes give it; only there can module files lie
    /// outside the kernel's memory.
    pub ram: Vec<Span>,
    /// What the xenstore server is told of each domain, in the order of `domains`.
    pub store: Vec<StoreDomain>,
    /// The board.
    pub board: &'static Board,
}

/// What the xenstore server is told of a domain.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoreDomain {
    /// Its name.
    pub name: String,
    /// Its vCPUs.
    pub vcpus: u8,
    /// KiB of RAM that it starts with.
    pub memory_kib: u64,
    /// KiB of RAM that it may have.
    pub most_kib: u64,
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
    /// Bytes for page tables.
    pub tables: u64,
    /// Bytes of extra pages at most.
    pub extra: u64,
    /// Processor time of its vCPUs, by their numbers.
    pub vcpu_times: Vec<Time>,
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
            tables: domain.tables,
            extra: domain.extra,
            vcpu_times: domain.vcpu_times.clone(),
        });
        Self {
            domains: domains.collect(),
            static_heap: spans(&config.static_heap),
            ram: spans(&config.memory),
            store: config.domains.iter().map(StoreDomain::of).collect(),
            board: config.board,
        }
    }
    /// Bytes of heap that the domains need, see [`dt_server::heap_bytes`].
    pub fn heap_bytes(&self) -> u64 {
        dt_server::heap_bytes(self.domains.iter().map(|d| (d.heap, d.extra)))
    }
    /// All ranges that the domains file names.
    pub fn named(&self) -> Vec<Span> {
        let statics = self
            .domains
            .iter()
            .flat_map(|d| d.static_mem.iter().copied());
        statics.chain(self.static_heap.iter().copied()).collect()
    }
}

impl StoreDomain {
    fn of(domain: &DomainConfig) -> Self {
        Self {
            name: domain.record.name.as_str().to_owned(),
            vcpus: domain.record.vcpus,
            memory_kib: domain.ram() >> 10,
            most_kib: domain.max_ram() >> 10,
            has_store: domain.record.pv.has_store(),
        }
    }
}

impl DomainNeeds {
    /// log2 of the bytes of the untyped for page tables: the next power of two.
    pub fn tables_bits(&self) -> u8 {
        let bits = self
            .tables
            .max(1 << 16)
            .next_power_of_two()
            .trailing_zeros();
        u8::try_from(bits).unwrap_or(u8::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn domain(heap: u64, tables: u64, extra: u64) -> DomainNeeds {
        DomainNeeds {
            name: "a".into(),
            domid: 1,
            max_ram: heap,
            heap,
            tables,
            extra,
            ..DomainNeeds::default()
        }
    }

    #[test]
    fn heap_is_whole_blocks_extras_and_one_to_spare() {
        let needs = Needs {
            domains: vec![domain(3 << 20, 0, 70 << 12), domain(0, 0, 70 << 12)],
            ..Needs::default()
        };
        assert_eq!(needs.heap_bytes(), (4 << 20) + (2 << 20) + (2 << 20));
    }

    #[test]
    fn tables_are_rounded_up_to_a_power_of_two() {
        // Xen's formula for 256 MiB and one vCPU: 2.5 MiB.
        assert_eq!(domain(0, 5 << 19, 0).tables_bits(), 22);
        assert_eq!(domain(0, 4 << 20, 0).tables_bits(), 22);
        assert_eq!(domain(0, 0, 0).tables_bits(), 16);
    }
}
