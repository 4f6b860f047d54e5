//! What a valid domains file says.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use block_server_api::{Part, VolumeSpec};
use dt_server_api::{Bank, DomainRecord};
use hv_types::{BLOCK_SIZE, Mac, PAGE_SIZE};
use peer_server_api::StaticChannel;
use topology::meets::{Lends, Meets};
use topology::pd::time::Time;
use xenstore_server_api::{Devices, Facts};

use crate::diag::Diagnostics;
use crate::layout;
use crate::pair::Pair;
use crate::range::{Range, total};

/// Everything a domains file says, checked. The default has no domain: for a server whose file is
/// not valid.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// The board that the tree is for.
    pub board: &'static board::Board,
    /// Cores that the kernel uses, at least one (0 in the default, which has no domain).
    pub cores: u8,
    /// The domains in device-tree order: domain ids 1, 2, …; 1..=[`topology::MAX_DOMAINS`] of them.
    pub domains: Vec<DomainConfig>,
    /// `xen,static-heap`; empty where the file leaves the choice to the image builder.
    pub static_heap: Vec<Range>,
    /// `zazen,heap = "all"`: the heap is all memory that is left over, and not only what the
    /// domains need.
    pub heap_all: bool,
    /// Which domains may meet, and for what; nobody else may.
    pub pairs: Vec<Pair>,
    /// Static shared memory, each region once; a region's number is its place here.
    pub shared: Vec<SharedRegion>,
    /// Event channels that there are from the start.
    pub channels: Vec<StaticChannel>,
    /// RAM of the host as the `memory` nodes give it; may be empty.
    pub memory: Vec<Range>,
    /// What was noticed but is no error.
    pub warnings: Diagnostics,
}

/// One domain.
#[derive(Clone, Debug)]
pub struct DomainConfig {
    /// The record that its VMM gets.
    pub record: DomainRecord,
    /// `xen,static-mem`: host memory in the order of the property, which is the order in which it
    /// fills the guest's banks (SM-25). Empty where RAM comes from the heap.
    pub static_mem: Vec<Range>,
    /// Bytes of RAM taken from the heap at the start; 0 with static memory (SM-26).
    pub heap: u64,
    /// Processor time of its vCPUs, by their numbers: a slice in each turn, or a budget in each
    /// period (`zazen,budget`, `zazen,period`).
    pub vcpu_times: Vec<Time>,
    /// Cores of its vCPUs, by their numbers: one of those that `hard-affinity` names, or where
    /// there was room. The VMM is on the first one's.
    pub vcpu_cores: Vec<u8>,
    /// Bytes for page tables, those of the guest and of the VMM's window together
    /// (`xen,domain-p2m-mem-mb`, or Xen's formula). Kernel-owned memory, never device memory.
    pub tables: u64,
    /// Bytes of extra pages (shared_info, console, xenstore, grant frames) at most.
    pub extra: u64,
    /// The devices whose back ends are in its VMM: the store makes pairs of directories of them.
    /// Apart, because they are most of this, and domains move from list to list.
    pub devices: Box<Devices>,
    /// Command line of the guest, at most 1024 bytes.
    pub bootargs: String,
    /// `zazen,file` of the kernel, module region 0.
    pub kernel_file: String,
    /// `zazen,file` of the RAM disk, module region 1.
    pub ramdisk_file: Option<String>,
    /// Its disks in the order of their nodes, which is that of the guest's names for them.
    pub disks: Vec<DiskConfig>,
    /// The names of the regions in `record.shared`.
    pub shared_ids: Vec<String>,
    /// Its network interfaces in the order of their nodes, which is that of the guest's numbers.
    pub nics: Vec<NicConfig>,
}

/// A region of static shared memory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SharedRegion {
    /// Its name.
    pub id: String,
    /// Its address in host memory, where the file gives one; else it is taken from what is free.
    pub host: Option<u64>,
    /// Bytes, whole pages.
    pub size: u64,
    /// Number of the domain that the file calls its owner, if one.
    pub owner: Option<usize>,
    /// Who has it, and where.
    pub views: Vec<View>,
}

/// Where a domain has a region of shared memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct View {
    /// Number of the domain.
    pub domain: usize,
    /// Address in its guest.
    pub guest: u64,
}

impl SharedRegion {
    /// Whether all who have it can map it in blocks of 2 MiB where it has whole ones.
    pub fn blocks(&self) -> bool {
        let host = self.host.unwrap_or(0);
        let mut views = self.views.iter();
        views.all(|view| view.guest % BLOCK_SIZE == host % BLOCK_SIZE)
    }

    /// Its place in host memory, where the file gives one.
    pub fn range(&self) -> Option<Range> {
        Range::new(self.host?, self.size)
    }
}

/// A network interface of a domain.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NicConfig {
    /// The name of its network.
    pub network: String,
    /// Its address.
    pub mac: Mac,
    /// The device by which its network leads outside, if it names one: its number among
    /// [`board::Board::nics`].
    pub uplink: Option<usize>,
}

/// A disk of a domain.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DiskConfig {
    /// What it is, or is a part of.
    pub source: DiskSource,
    /// The domain may not write to it.
    pub read_only: bool,
}

/// What a disk is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum DiskSource {
    /// A device of the board, or a partition of it.
    Device {
        /// Its number among [`board::Board::disks`].
        device: usize,
        /// The part of it.
        part: Part,
    },
    /// A file of the image.
    File {
        /// Its name.
        name: String,
        /// Its bytes, whole sectors of 512.
        size: u64,
    },
}

fn bytes(banks: &[Bank]) -> u64 {
    banks
        .iter()
        .fold(0, |sum, bank| sum.saturating_add(bank.size()))
}

impl DomainConfig {
    /// Bytes of RAM that the guest starts with.
    pub fn ram(&self) -> u64 {
        bytes(&self.record.banks)
    }

    /// Bytes of RAM that it may hold at most (`XENMEM_maximum_reservation`): the same without
    /// `zazen,memory-max`.
    pub fn max_ram(&self) -> u64 {
        bytes(&self.record.max_banks)
    }

    /// Gives it shared memory at `bank`.
    pub(crate) fn share(&mut self, id: &str, bank: Bank) {
        self.shared_ids.push(String::from(id));
        self.record.extended = layout::without(&self.record.extended, &bank);
        // There are no more than have room: regions are counted.
        let _ = self.record.shared.push(bank);
        let tables = bank.tables().saturating_mul(PAGE_SIZE);
        self.tables = self.tables.saturating_add(tables);
    }

    /// What the xenstore server is told of it.
    pub fn store_facts(&self) -> Facts {
        Facts {
            name: self.record.name.clone(),
            vcpus: self.record.vcpus,
            memory_kib: self.ram() >> 10,
            most_kib: self.max_ram() >> 10,
            devices: (*self.devices).clone(),
        }
    }

    /// The core of its VMM.
    pub fn vmm_core(&self) -> u8 {
        self.vcpu_cores.first().copied().unwrap_or_default()
    }

    /// Files of the domain with their module regions.
    pub fn modules(&self) -> impl Iterator<Item = (u8, &str)> {
        let kernel = (self.record.kernel.region, self.kernel_file.as_str());
        let ramdisk = self.record.ramdisk.zip(self.ramdisk_file.as_deref());
        core::iter::once(kernel).chain(ramdisk.map(|(module, file)| (module.region, file)))
    }

    /// Names and bytes of the files that its disks are.
    pub fn ram_disks(&self) -> impl Iterator<Item = (&str, u64)> {
        self.disks.iter().filter_map(|disk| match &disk.source {
            DiskSource::File { name, size } => Some((name.as_str(), *size)),
            DiskSource::Device { .. } => None,
        })
    }

    /// Whether it has a device of the board, or a part of it.
    pub fn has_device_disks(&self) -> bool {
        let mut disks = self.disks.iter();
        disks.any(|disk| matches!(disk.source, DiskSource::Device { .. }))
    }
}

/// Free 2 MiB blocks that the heap needs beside the domains' RAM, given as each domain's bytes of
/// RAM from the heap. A block of kernel memory is split by copying it, and all VMMs can do that at
/// the same time; the block that a split leaves behind serves the next one.
fn spare_blocks(heaps: impl Iterator<Item = u64>) -> u64 {
    heaps.filter(|bytes| *bytes > 0).count() as u64
}

/// Bytes of heap that domains need, given as each one's bytes of RAM from the heap and of extra
/// pages: RAM in whole blocks, everybody's extra pages, and the blocks to spare for copying blocks
/// that are split. Where no RAM comes from the heap, extra pages are all there is, and they need
/// no whole blocks.
pub fn heap_bytes(domains: impl Iterator<Item = (u64, u64)> + Clone) -> u64 {
    /// Few pieces of memory suffice for multiples of this.
    const STEP: u64 = 64 << 10;
    let ram: u64 = domains
        .clone()
        .map(|(heap, _)| heap.next_multiple_of(BLOCK_SIZE))
        .sum();
    let extra: u64 = domains.clone().map(|(_, extra)| extra).sum();
    match spare_blocks(domains.map(|(heap, _)| heap)) {
        0 => extra.next_multiple_of(STEP),
        spare => ram + extra.next_multiple_of(BLOCK_SIZE) + spare * BLOCK_SIZE,
    }
}

impl Config {
    /// The RAM disks: names and bytes of the files that disks are made of, each once, in the order
    /// in which they are first named.
    pub fn ram_disks(&self) -> Vec<(&str, u64)> {
        let mut found: Vec<(&str, u64)> = Vec::new();
        for disk in self.domains.iter().flat_map(DomainConfig::ram_disks) {
            if !found.iter().any(|(other, _)| *other == disk.0) {
                found.push(disk);
            }
        }
        found
    }

    /// The names of networks, in the order in which they are first named. A network's number is its
    /// place among them.
    pub fn networks(&self) -> Vec<&str> {
        let mut found: Vec<&str> = Vec::new();
        for nic in self.domains.iter().flat_map(|domain| &domain.nics) {
            if !found.contains(&nic.network.as_str()) {
                found.push(&nic.network);
            }
        }
        found
    }

    /// The interfaces of the domain `domain`, with their networks' numbers.
    pub fn nics_of<'a>(&'a self, domain: &'a DomainConfig) -> impl Iterator<Item = (u8, Mac)> + 'a {
        let networks = self.networks();
        domain.nics.iter().filter_map(move |nic| {
            let number = networks.iter().position(|name| *name == nic.network)?;
            // At most four for each of eight domains.
            Some((u8::try_from(number).ok()?, nic.mac))
        })
    }

    /// The number of the network that leads outside, if one does. The board's first network device
    /// is the only one that has a driver.
    pub fn uplink(&self) -> Option<u8> {
        let mut nics = self.domains.iter().flat_map(|domain| &domain.nics);
        let named = nics.find(|nic| nic.uplink == Some(0))?;
        let networks = self.networks();
        let number = networks.iter().position(|name| *name == named.network)?;
        u8::try_from(number).ok()
    }

    /// Whether a domain has a device of the board, or a part of it.
    pub fn has_device_disks(&self) -> bool {
        self.domains.iter().any(DomainConfig::has_device_disks)
    }
    /// What the block server is told of the disks of `domain`, where `hardware` disks of the board
    /// have a driver; RAM disks come behind them.
    pub fn volumes(&self, domain: &DomainConfig, hardware: usize) -> Vec<VolumeSpec> {
        let files = self.ram_disks();
        let volume = |disk: &DiskConfig| {
            let (device, part) = match &disk.source {
                DiskSource::Device { device, part } => (*device, part.clone()),
                DiskSource::File { name, .. } => {
                    let file = files.iter().position(|(file, _)| file == name)?;
                    (hardware + file, Part::Whole)
                }
            };
            let read_only = disk.read_only;
            Some(VolumeSpec {
                device,
                part,
                read_only,
            })
        };
        domain.disks.iter().filter_map(volume).collect()
    }

    /// Which domains' VMMs share a page.
    pub fn meets(&self) -> Meets {
        let granted = self.pairs.iter().filter(|pair| pair.grants != [false; 2]);
        let meets = granted.fold(self.events(), |meets, pair| {
            let [a, b] = pair.domains;
            meets.with(a, b)
        });
        self.channels.iter().fold(meets, |meets, channel| {
            let [(a, _), (b, _)] = channel.ends;
            meets.with(a.into(), b.into())
        })
    }

    /// Which domains may map what others grant to them.
    pub fn lends(&self) -> Lends {
        self.pairs.iter().fold(Lends::NONE, |lends, pair| {
            let [a, b] = pair.domains;
            let ways = [(a, b), (b, a)].into_iter().zip(pair.grants);
            ways.filter(|(_, may)| *may)
                .fold(lends, |lends, ((lender, borrower), _)| {
                    lends.with(lender, borrower)
                })
        })
    }

    /// Which domains may bind event channels between them.
    pub fn events(&self) -> Meets {
        let pairs = self.pairs.iter().filter(|pair| pair.events);
        pairs.fold(Meets::NONE, |meets, pair| {
            let [a, b] = pair.domains;
            meets.with(a, b)
        })
    }

    /// The regions of shared memory that the domain `number` has: a bit for each number.
    pub fn shares(&self, number: usize) -> u32 {
        let regions = self.shared.iter().enumerate();
        let has = |region: &SharedRegion| region.views.iter().any(|view| view.domain == number);
        let regions = regions.filter(|(_, region)| has(region));
        // There are no more than bits.
        regions.fold(0, |bits, (n, _)| {
            bits | u32::try_from(n).map_or(0, |n| 1u32.unbounded_shl(n))
        })
    }

    /// Shared memory with a place in host memory.
    pub fn shared_ranges(&self) -> impl Iterator<Item = Range> + '_ {
        self.shared.iter().filter_map(SharedRegion::range)
    }

    /// Bytes of all static memory.
    pub fn static_total(&self) -> u64 {
        self.domains.iter().fold(0, |sum, domain| {
            sum.saturating_add(total(&domain.static_mem))
        })
    }

    /// Bytes that all domains together need besides static memory: RAM from the heap, page tables
    /// and extra pages.
    pub fn heap_total(&self) -> u64 {
        self.domains.iter().fold(0, |sum, domain| {
            sum.saturating_add(domain.heap)
                .saturating_add(domain.tables)
                .saturating_add(domain.extra)
        })
    }

    /// Bytes in the memory server's hands at most that it keeps records of, if it is handed what
    /// the file asks for: static memory, the heap (`xen,static-heap`, or what the domains need) and
    /// what is over at the ends of ranges, in 2 MiB each. Page tables have no records.
    pub fn recorded(&self) -> u64 {
        // Extra pages, and what the heap is cut into.
        const SPARE: u64 = 8 << 20;
        let up = |bytes: u64| {
            bytes
                .checked_next_multiple_of(BLOCK_SIZE)
                .unwrap_or(u64::MAX)
        };
        let heaps = self.domains.iter().map(|domain| domain.heap);
        let spare = SPARE.saturating_add(spare_blocks(heaps) * BLOCK_SIZE);
        let need = self.domains.iter().fold(spare, |sum, domain| {
            sum.saturating_add(up(domain.heap))
                .saturating_add(up(domain.extra))
        });
        let fixed = self.domains.iter().flat_map(|domain| &domain.static_mem);
        let ranges = fixed.chain(&self.static_heap);
        let blocks = ranges.fold(0u64, |sum, range| sum.saturating_add(blocks(*range)));
        need.saturating_add(blocks.saturating_mul(BLOCK_SIZE))
    }
}

/// Records that the memory server needs for `range`: one for each 2 MiB in it, and for each power
/// of two pages at its ends.
fn blocks(range: Range) -> u64 {
    let (start, end) = (range.start, range.end());
    let inner = start.checked_next_multiple_of(BLOCK_SIZE).unwrap_or(end);
    let outer = end & !(BLOCK_SIZE - 1);
    let pieces = |bytes: u64| u64::from((bytes >> 12).count_ones());
    match outer.checked_sub(inner) {
        Some(whole) => whole / BLOCK_SIZE + pieces(inner - start) + pieces(end - outer),
        None => 2 * u64::from(BLOCK_SIZE.ilog2()),
    }
}

/// What is known about a file that a module names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FileInfo {
    /// Exact bytes.
    pub size: u64,
    /// The first 64 bytes (zeros past the end of a shorter file), where they can be read.
    pub head: Option<[u8; 64]>,
}

/// Where module files are looked up.
pub trait Files {
    /// The file that `zazen,file` names, or `None` where there is none.
    fn probe(&self, name: &str) -> Option<FileInfo>;
}

/// No files at hand, as in the protection domain: sizes come from `zazen,size`.
#[derive(Clone, Copy, Debug)]
pub struct NoFiles;

impl Files for NoFiles {
    fn probe(&self, _name: &str) -> Option<FileInfo> {
        None
    }
}
